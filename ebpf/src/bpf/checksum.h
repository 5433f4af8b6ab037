/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * The Internet checksum (RFC 1071): 32-bit words as they lie in memory are added in 64 bits and folded at the end.
 */
#ifndef SYNWARD_CHECKSUM_H
#define SYNWARD_CHECKSUM_H

#include "helpers.h"

INLINE __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The sum of what a checksum covers, itself included. */
INLINE int is_intact(__u64 sum)
{
	return fold(sum) == 0xffff;
}

/* What stands in the header before the checksum, for a segment of `length` bytes between these addresses, each of
 * `words` words. */
INLINE __u64 pseudo_header(const __u32 *source, const __u32 *destination, __u32 words, __u32 length)
{
	__u64 sum = be16(6) + be16(length);

#pragma unroll
	for (__u32 word = 0; word < 4; word++)
		if (word < words)
			sum += (__u64)source[word] + destination[word];
	return sum;
}

#endif
