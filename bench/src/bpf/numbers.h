/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * The numbers of a forged segment are a keyed hash of where it claims to come from: who knows the key can tell which
 * answers are right, and nobody has to remember what was sent.
 */
#ifndef SYNWARD_NUMBERS_H
#define SYNWARD_NUMBERS_H

#include "helpers.h"

/* The output function of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
INLINE __u64 mixed(__u64 value)
{
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
	value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
	return value ^ (value >> 31);
}

/* The sequence number of a segment from this address and port, and above it the timestamp; both as they lie in memory.
 * An address is two words as they lie in memory, the second zero in IPv4. */
INLINE __u64 numbers_of(__u64 key, __u64 high, __u64 low, __u16 port)
{
	return mixed(mixed(mixed(key ^ high) ^ low) ^ port);
}

/* The one's complement of a sum of words as they lie in memory (RFC 1071, section 2): a checksum, or zero where the sum
 * takes in one that is right. */
INLINE __u16 folded(__u64 sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (__u16)~sum;
}

#endif
