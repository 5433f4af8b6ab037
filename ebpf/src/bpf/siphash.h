/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * SipHash-2-4 (Aumasson and Bernstein, 2012) over whole 64-bit words: what a cookie is authenticated by.
 */
#ifndef SYNWARD_SIPHASH_H
#define SYNWARD_SIPHASH_H

#include "helpers.h"

struct sip_key {
	__u64 k0;
	__u64 k1;
};

struct sip {
	__u64 v0;
	__u64 v1;
	__u64 v2;
	__u64 v3;
};

/* Eight bytes of the message as SipHash reads them, the first byte the lowest; from two halves as they lie in memory. */
INLINE __u64 sip_word(__u32 first, __u32 second)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return (__u64)second << 32 | first;
#else
	return __builtin_bswap64((__u64)first << 32 | second);
#endif
}

INLINE __u64 rotate_left(__u64 value, __u32 bits)
{
	return value << bits | value >> (64 - bits);
}

INLINE void sip_round(struct sip *sip)
{
	sip->v0 += sip->v1;
	sip->v1 = rotate_left(sip->v1, 13) ^ sip->v0;
	sip->v0 = rotate_left(sip->v0, 32);
	sip->v2 += sip->v3;
	sip->v3 = rotate_left(sip->v3, 16) ^ sip->v2;
	sip->v0 += sip->v3;
	sip->v3 = rotate_left(sip->v3, 21) ^ sip->v0;
	sip->v2 += sip->v1;
	sip->v1 = rotate_left(sip->v1, 17) ^ sip->v2;
	sip->v2 = rotate_left(sip->v2, 32);
}

INLINE struct sip sip_start(const struct sip_key *key)
{
	struct sip sip = {
		.v0 = key->k0 ^ 0x736f6d6570736575ULL,
		.v1 = key->k1 ^ 0x646f72616e646f6dULL,
		.v2 = key->k0 ^ 0x6c7967656e657261ULL,
		.v3 = key->k1 ^ 0x7465646279746573ULL,
	};

	return sip;
}

INLINE void sip_add(struct sip *sip, __u64 word)
{
	sip->v3 ^= word;
	sip_round(sip);
	sip_round(sip);
	sip->v0 ^= word;
}

/* The hash of what was added: `length` bytes, a multiple of eight. */
INLINE __u64 sip_finish(struct sip *sip, __u64 length)
{
	sip_add(sip, length << 56);
	sip->v2 ^= 0xff;
	sip_round(sip);
	sip_round(sip);
	sip_round(sip);
	sip_round(sip);
	return sip->v0 ^ sip->v1 ^ sip->v2 ^ sip->v3;
}

#endif
