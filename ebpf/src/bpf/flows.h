/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * Which flows are known: those that the engine has published (flows.rs), and those whose cookie has just come home.
 *
 * The engine's are fingerprints in buckets of half a cache line. It alone writes them, with a compare-and-swap each, so
 * that the program never undoes what it did; and a flow that found its bucket full is counted there, and the bucket
 * passes everything until that flow is over. The program's own marks are another table, which forgets.
 */
#ifndef SYNWARD_FLOWS_H
#define SYNWARD_FLOWS_H

#include "helpers.h"
#include "maps.h"
#include "parse.h"

#define FINGERPRINTS 15

struct flow_bucket {
	__u16 overflowed; /* flows of this bucket that found no place in it */
	__u16 fingerprints[FINGERPRINTS]; /* zero: free */
};
_Static_assert(sizeof(struct flow_bucket) == 32, "mirrored in flows.rs; read as four words");

/* The loader sets the size, a power of two. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_bucket);
} flows SEC(".maps");

/* How many buckets there are, less one. */
const volatile __u32 flow_bucket_mask = 0;

/* The keys of the hash: one for each 32 bits of an IPv6 tuple, and one more. */
#define FLOW_KEYS 10
const volatile __u64 flow_keys[FLOW_KEYS] = {};

/* How long a mark stands: the engine publishes the flow within that time. */
#define MARK_NS 2000000000ULL
/* The engine is far quicker than that, so few are needed at a time; few enough to stay in a near cache under a flood of ACKs. */
#define MARKS 16384

struct mark {
	__u64 flow; /* the hash */
	__u64 until; /* CLOCK_MONOTONIC, ns */
};
_Static_assert(sizeof(struct mark) == 16, "two words");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MARKS);
	__type(key, __u32);
	__type(value, struct mark);
} marks SEC(".maps");

enum flow {
	UNKNOWN,
	KNOWN,
	/* Nobody can tell: its bucket is full. */
	UNTOLD,
};

/* Multilinear hashing (Lemire and Kaser, 2014): the high half of a sum of 32-bit words times secret 64-bit keys is
 * strongly universal, so nobody who does not know the keys can choose flows that meet in a bucket. The rest spreads it
 * over all bits. Mirrored in flows.rs. */
INLINE __u64 flow_hash_of(const struct packet *packet)
{
	const __u32 *local = (const __u32 *)packet->local.address.bytes;
	const __u32 *remote = (const __u32 *)packet->remote.address.bytes;
	__u32 ports = ports_of(packet->local.port, packet->remote.port);
	__u64 hash = flow_keys[0] + flow_keys[1] * local[0] + flow_keys[2] * remote[0] + flow_keys[3] * ports;

	if (packet->local.address.family == 6) {
		hash += flow_keys[4] * local[1] + flow_keys[5] * local[2] + flow_keys[6] * local[3];
		hash += flow_keys[7] * remote[1] + flow_keys[8] * remote[2] + flow_keys[9] * remote[3];
	}
	hash ^= hash >> 32;
	hash *= 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

#define LANES 0x0001000100010001ULL

/* Whether one of the four 16-bit lanes of `word` is `lane`. */
INLINE int has_lane(__u64 word, __u64 lanes)
{
	__u64 zero_if_it = word ^ lanes;

	return ((zero_if_it - LANES) & ~zero_if_it & LANES << 15) != 0;
}

/* A flow on its way to its bucket, which is seldom in a near cache. */
struct sought_flow {
	__u64 hash;
	const __u64 *words; /* of the bucket */
	__u32 overflowed; /* what stands there first: once it has come, all of the bucket has */
};

/* Begins to look for the flow of a segment. What is done until `flow_published` is done while the bucket comes. */
INLINE void seek_flow(const struct packet *packet, struct sought_flow *flow)
{
	__u64 hash = flow_hash_of(packet);
	__u32 index = hash & flow_bucket_mask;
	const struct flow_bucket *bucket = bpf_map_lookup_elem(&flows, &index);

	flow->hash = hash;
	flow->words = (const __u64 *)bucket;
	flow->overflowed = bucket ? *(volatile const __u16 *)&bucket->overflowed : 0;
}

INLINE enum flow flow_published(const struct sought_flow *flow)
{
	__u64 fingerprint = flow->hash >> 48;
	__u64 lanes = (fingerprint ? fingerprint : 1) * LANES;
	const __u64 *words = flow->words;

	/* The count of the overflowed is never taken for a fingerprint: where it is not zero, all pass. */
	if (!words || flow->overflowed)
		return UNTOLD;
	if (has_lane(words[0], lanes) || has_lane(words[1], lanes) || has_lane(words[2], lanes) ||
	    has_lane(words[3], lanes))
		return KNOWN;
	/* Another flow of this fingerprint may have been counted meanwhile, and have gone with this one's place. */
	return *(volatile const __u16 *)words ? UNTOLD : UNKNOWN;
}

INLINE struct mark *mark_of(__u64 hash)
{
	__u32 index = (hash >> 32) % MARKS;

	return bpf_map_lookup_elem(&marks, &index);
}

/* The rest of a first flight passes before the engine has published the flow. Two processors may write the same mark at
 * once; what comes out stands for no flow, or for one of the two. */
INLINE void mark_flow(__u64 hash, __u64 now)
{
	struct mark *mark = mark_of(hash);

	if (!mark)
		return;
	mark->flow = hash;
	mark->until = now + MARK_NS;
}

INLINE int is_marked(__u64 hash, __u64 now)
{
	const struct mark *mark = mark_of(hash);

	return mark && mark->flow == hash && now < mark->until;
}

#endif
