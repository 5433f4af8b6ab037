/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * Prefixes whose sources are dropped or let through, as prefix_list.rs has listed them.
 *
 * A trie knows them all, but asking it takes hundreds of nanoseconds when it is large. So a covering bitmap stands before
 * it, which has a bit set for every source that a prefix may match: a source without its bit pays for one cache line.
 * Only user space writes either, and in an order that leaves no gap: a prefix is in the trie before its bits are set,
 * and has left it before they are cleared.
 */
#ifndef SYNWARD_LISTS_H
#define SYNWARD_LISTS_H

#include "helpers.h"
#include "maps.h"

enum listed {
	UNLISTED,
	BLOCKED,
	ALLOWED,
};

/* The keys of the tries: `struct bpf_lpm_trie_key` for each family. */
struct prefix4 {
	__u32 length;
	__u8 bytes[4];
};
_Static_assert(sizeof(struct prefix4) == 8, "the length and an address, without padding");

struct prefix6 {
	__u32 length;
	__u8 bytes[16];
};
_Static_assert(sizeof(struct prefix6) == 20, "the length and an address, without padding");

struct listing {
	__u64 expiry; /* CLOCK_MONOTONIC, ns; 0: never */
	__u32 verdict; /* enum listed */
	__u32 unused; /* zero */
};
_Static_assert(sizeof(struct listing) == 16, "mirrored in prefix_list.rs");

/* 2^15 lines of 2^9 bits. */
#define COVER_LINE_BITS 15
#define COVER_BIT_BITS 9
#define COVER_HALF_BITS (COVER_BIT_BITS - 1)

struct cover_line {
	__u64 words[1 << COVER_BIT_BITS >> 6];
};
_Static_assert(sizeof(struct cover_line) == 64, "one cache line; mirrored in prefix_list/cover.rs");

/* The loader sets the sizes of the tries. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix4);
	__type(value, struct listing);
} listed_ipv4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix6);
	__type(value, struct listing);
} listed_ipv6 SEC(".maps");

/* A bit for each /24. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << COVER_LINE_BITS);
	__type(key, __u32);
	__type(value, struct cover_line);
} cover_ipv4 SEC(".maps");

/* A line for each hash of a /32: its first half has a bit for each further hash of the /32, which is set if a prefix is
 * listed that reaches beyond a /48 of it, its second half a bit for each hash of a /48. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << COVER_LINE_BITS);
	__type(key, __u32);
	__type(value, struct cover_line);
} cover_ipv6 SEC(".maps");

/* Odd factors of two multiply-shift hashes (Dietzfelbinger and others, 1997): of a /32 and of a /48. Who finds addresses
 * that share a bit gains no more than who uses a listed /48: both only send the program to the trie. */
const volatile __u64 cover_keys[2] = {};

INLINE int has_bit(const struct cover_line *line, __u32 bit)
{
	return line && line->words[bit % (1 << COVER_BIT_BITS) / 64] >> bit % 64 & 1;
}

INLINE int is_covered_ipv4(const struct owned_address *source)
{
	__u32 address = host32(*(const __be32 *)source->bytes);
	__u32 index = address >> (32 - COVER_LINE_BITS);

	return has_bit(bpf_map_lookup_elem(&cover_ipv4, &index), address >> 8);
}

INLINE int is_covered_ipv6(const struct owned_address *source)
{
	const __be32 *address = (const __be32 *)source->bytes;
	__u64 top32 = host32(address[0]);
	__u64 top48 = top32 << 16 | host32(address[1]) >> 16;
	__u32 of32 = top32 * cover_keys[0] >> (64 - COVER_LINE_BITS - COVER_HALF_BITS);
	__u32 of48 = top48 * cover_keys[1] >> (64 - COVER_HALF_BITS);
	__u32 index = of32 >> COVER_HALF_BITS, half = 1 << COVER_HALF_BITS;
	const struct cover_line *line = bpf_map_lookup_elem(&cover_ipv6, &index);

	return has_bit(line, of32 % half) || has_bit(line, half + of48);
}

/* The clock is read only for a match that expires. A coarse one (a tick, at most 10 ms) does for that. */
INLINE enum listed listing_at_present(const struct listing *listing)
{
	if (!listing || (listing->expiry && listing->expiry <= bpf_ktime_get_coarse_ns()))
		return UNLISTED;
	return listing->verdict == BLOCKED ? BLOCKED : ALLOWED;
}

INLINE enum listed listed_of_ipv4(const struct owned_address *source)
{
	struct prefix4 key = { .length = 32 };

	__builtin_memcpy(key.bytes, source->bytes, sizeof(key.bytes));
	return listing_at_present(bpf_map_lookup_elem(&listed_ipv4, &key));
}

INLINE enum listed listed_of_ipv6(const struct owned_address *source)
{
	struct prefix6 key = { .length = 128 };

	__builtin_memcpy(key.bytes, source->bytes, sizeof(key.bytes));
	return listing_at_present(bpf_map_lookup_elem(&listed_ipv6, &key));
}

/* What the longest prefix that matches says (enum listed). One that has expired says nothing, and hides shorter ones until
 * user space has swept it away. */
__attribute__((noinline)) int ask_tries(const struct owned_address *source)
{
	if (!source)
		return UNLISTED;
	return source->family == 4 ? listed_of_ipv4(source) : listed_of_ipv6(source);
}

INLINE int is_covered(const struct owned_address *source)
{
	return source->family == 4 ? is_covered_ipv4(source) : is_covered_ipv6(source);
}

INLINE enum listed listed(const struct owned_address *source)
{
	return is_covered(source) ? ask_tries(source) : UNLISTED;
}

#endif
