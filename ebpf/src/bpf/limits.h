/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * How many SYNs a source and its prefix may send, and how many replies go to those who have proved nothing yet, as
 * limits.rs has set it.
 *
 * Each limit is a token bucket in one word, by the generic cell rate algorithm (ITU-T I.371): the time at which the
 * bucket will be full again, and a token is there as long as that is not too far ahead. Buckets lie in arrays, found by a keyed
 * hash, so that their number is fixed whatever the sources are; those that meet in one share it. A flood from random sources
 * reaches all of them: of R a second, each bucket of an array of N takes R/N.
 *
 * Words are read and written plainly. Two processors that do so at once spend one token for two: a little more passes, never
 * less.
 */
#ifndef SYNWARD_LIMITS_H
#define SYNWARD_LIMITS_H

#include "helpers.h"
#include "maps.h"

struct limit {
	__u64 interval; /* ns from token to token; 0: no limit */
	__u64 tolerance; /* how far the time in the bucket may be ahead of the clock, ns */
};

struct limits {
	struct limit syn_per_source;
	struct limit syn_per_prefix;
	struct limit replies_per_prefix;
	struct limit replies; /* the share of one queue */
};
_Static_assert(sizeof(struct limits) == 64, "mirrored in limits.rs; a cache line");

/* Of one queue, and thus of one processor at a time: no cache line is fought for. */
struct queue_bucket {
	__u64 full_at;
	__u64 unused[7]; /* zero */
};
_Static_assert(sizeof(struct queue_bucket) == 64, "a cache line");

#define SOURCE_BUCKET_BITS 18
/* Of replies to prefixes, every SYN of a flood is asked about: few enough to stay in a near cache. */
#define PREFIX_BUCKET_BITS 14

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct limits);
} limits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << SOURCE_BUCKET_BITS);
	__type(key, __u32);
	__type(value, __u64);
} source_syns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << PREFIX_BUCKET_BITS);
	__type(key, __u32);
	__type(value, __u64);
} prefix_syns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << PREFIX_BUCKET_BITS);
	__type(key, __u32);
	__type(value, __u64);
} prefix_replies SEC(".maps");

/* One for each receive queue; the loader sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct queue_bucket);
} queue_replies SEC(".maps");

/* Odd factors of the multiply-shift hashes (Dietzfelbinger and others, 1997) that find a bucket: of sources and of prefixes,
 * IPv4 and IPv6. A peer who knew them would spend the tokens of others. */
enum bucket_key {
	SOURCE_IPV4,
	SOURCE_IPV6,
	PREFIX_IPV4,
	PREFIX_IPV6,
	BUCKET_KEYS,
};
const volatile __u64 bucket_keys[BUCKET_KEYS] = {};

INLINE const struct limits *limits_now(void)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(&limits, &only);
}

INLINE __u64 first64_of(const struct owned_address *address)
{
	const __be32 *words = (const __be32 *)address->bytes;

	return (__u64)host32(words[0]) << 32 | host32(words[1]);
}

/* A source is an address of IPv4 or a /64 of IPv6, whose addresses are all one host's to take (RFC 4291, section 2.5.1). */
INLINE __u64 hash_of_source(const struct owned_address *source)
{
	__u64 first64 = first64_of(source);

	return source->family == 4 ? (first64 >> 32) * bucket_keys[SOURCE_IPV4] : first64 * bucket_keys[SOURCE_IPV6];
}

/* A prefix is a /24 or a /48. */
INLINE __u64 hash_of_prefix(const struct owned_address *source)
{
	__u64 first64 = first64_of(source);

	return source->family == 4 ? (first64 >> 40) * bucket_keys[PREFIX_IPV4] :
				     (first64 >> 16) * bucket_keys[PREFIX_IPV6];
}

INLINE __u64 *source_bucket(const struct owned_address *source)
{
	__u32 index = hash_of_source(source) >> (64 - SOURCE_BUCKET_BITS);

	return bpf_map_lookup_elem(&source_syns, &index);
}

INLINE __u64 *prefix_bucket(void *buckets, const struct owned_address *source)
{
	__u32 index = hash_of_prefix(source) >> (64 - PREFIX_BUCKET_BITS);

	return bpf_map_lookup_elem(buckets, &index);
}

/* Whether the limit is off, or the bucket has a token. No token of this limit takes a bucket further ahead than one interval
 * beyond the tolerance: what is, another limit has left there, and it is brought back. */
INLINE int has_token(const struct limit *limit, __u64 *bucket, __u64 now)
{
	__u64 latest = now + limit->tolerance;

	if (!limit->interval)
		return 1;
	if (!bucket)
		return 0;
	if (*bucket > latest + limit->interval)
		*bucket = latest + limit->interval;
	return *bucket <= latest;
}

INLINE void take_token(const struct limit *limit, __u64 *bucket, __u64 now)
{
	if (limit->interval && bucket)
		*bucket = (*bucket > now ? *bucket : now) + limit->interval;
}

INLINE void return_token(const struct limit *limit, __u64 *bucket)
{
	if (limit->interval && bucket && *bucket > limit->interval)
		*bucket -= limit->interval;
}

/* Whether a source may send one more SYN; if so, it has. */
__attribute__((noinline)) int syn_allowed(const struct owned_address *source)
{
	const struct limits *set = limits_now();
	__u64 *of_source = 0, *of_prefix = 0;
	__u64 now;

	if (!source || !set || !(set->syn_per_source.interval | set->syn_per_prefix.interval))
		return 1;
	now = bpf_ktime_get_coarse_ns();
	if (set->syn_per_source.interval)
		of_source = source_bucket(source);
	if (set->syn_per_prefix.interval)
		of_prefix = prefix_bucket(&prefix_syns, source);
	if (!has_token(&set->syn_per_source, of_source, now) || !has_token(&set->syn_per_prefix, of_prefix, now))
		return 0;
	take_token(&set->syn_per_source, of_source, now);
	take_token(&set->syn_per_prefix, of_prefix, now);
	return 1;
}

/* Whether a source that has proved nothing may be sent one more reply; if so, it is. */
__attribute__((noinline)) int reply_allowed(const struct owned_address *source, __u32 queue, __u64 now)
{
	const struct limits *set = limits_now();
	__u64 *of_prefix = 0, *of_queue = 0;

	if (!source || !set || !(set->replies_per_prefix.interval | set->replies.interval))
		return 1;
	if (set->replies_per_prefix.interval)
		of_prefix = prefix_bucket(&prefix_replies, source);
	if (set->replies.interval)
		of_queue = bpf_map_lookup_elem(&queue_replies, &queue);
	if (!has_token(&set->replies_per_prefix, of_prefix, now) || !has_token(&set->replies, of_queue, now))
		return 0;
	take_token(&set->replies_per_prefix, of_prefix, now);
	take_token(&set->replies, of_queue, now);
	return 1;
}

/* A reply has reached whom it was meant for: its token comes back. No bucket is fuller for that than it can be, so whoever
 * proves the same thing again and again gains no more than a burst. */
__attribute__((noinline)) int reply_proven(const struct owned_address *source, __u32 queue)
{
	const struct limits *set = limits_now();

	if (!source || !set)
		return 0;
	if (set->replies_per_prefix.interval)
		return_token(&set->replies_per_prefix, prefix_bucket(&prefix_replies, source));
	if (set->replies.interval)
		return_token(&set->replies, bpf_map_lookup_elem(&queue_replies, &queue));
	return 1;
}

#endif
