/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * SYN cookies, to the bit those of the engine: the layout is described where they are at home (proto, syn_cookie/mod.rs).
 */
#ifndef SYNWARD_COOKIE_H
#define SYNWARD_COOKIE_H

#include "maps.h"
#include "options.h"
#include "parse.h"
#include "segment.h"
#include "siphash.h"

#define TICK_NS 16000000000ULL
#define ISS_OPTION_BITS 7
#define STAMP_OPTION_BITS 5
#define STAMP_MAC_BITS 27
/* In the options word: the form with timestamps. */
#define STAMPED (1 << 8)
#define ECN 1
#define NO_PEER_SCALE 15

/* How many ticks a key is in force. */
const volatile __u32 ticks_per_key = 1;

INLINE __u32 tick_of(__u64 now)
{
	return now / TICK_NS;
}

INLINE const struct cookie_key *key_of(__u32 tick)
{
	__u32 epoch = tick / ticks_per_key, place = epoch % COOKIE_KEYS;
	const struct cookie_key *key = bpf_map_lookup_elem(&cookie_keys, &place);

	return key && key->valid && key->epoch == epoch ? key : 0;
}

/* What a cookie encodes, before the mask, is kept in its options word: the bits of the sequence number, whether there is a
 * TSval, and its bits. */
INLINE __u32 iss_options(__u32 word)
{
	return word & ((1 << ISS_OPTION_BITS) - 1);
}

INLINE __u32 stamp_options(__u32 word)
{
	return word >> 16;
}

/* The hash that authenticates a cookie. */
__attribute__((noinline)) __u64 cookie_hash(const struct cookie_key *key, const struct packet *packet, __u32 irs, __u32 tick,
					    __u32 word)
{
	const __u32 *local, *remote;
	struct sip_key sip_key;
	struct sip sip;
	__u32 ports;

	if (!key || !packet)
		return 0;
	sip_key.k0 = key->k0;
	sip_key.k1 = key->k1;
	sip = sip_start(&sip_key);
	local = (const __u32 *)packet->local.address.bytes;
	remote = (const __u32 *)packet->remote.address.bytes;
	ports = ports_of(packet->local.port, packet->remote.port);
	if (packet->local.address.family == 4) {
		sip_add(&sip, sip_word(local[0], remote[0]));
	} else {
		sip_add(&sip, sip_word(local[0], local[1]));
		sip_add(&sip, sip_word(local[2], local[3]));
		sip_add(&sip, sip_word(remote[0], remote[1]));
		sip_add(&sip, sip_word(remote[2], remote[3]));
	}
	sip_add(&sip, sip_word(ports, irs));
	sip_add(&sip, sip_word(network32(tick), network32(word)));
	return sip_finish(&sip, packet->local.address.family == 4 ? 24 : 48);
}

/* The bits of the hash for the sequence number, and those for the TSval. */
INLINE __u32 iss_mac(__u64 hash)
{
	return hash >> (32 + ISS_OPTION_BITS);
}

INLINE __u32 stamp_mac(__u64 hash)
{
	return hash & ((1 << STAMP_MAC_BITS) - 1);
}

/* Joins hash bits and option bits. */
INLINE __u32 masked(__u32 mac, __u32 options, __u32 option_bits)
{
	return mac << option_bits | (options ^ (mac & ((1 << option_bits) - 1)));
}

/* The option bits of what `masked` joined. */
INLINE __u32 unmasked(__u32 value, __u32 option_bits)
{
	return (value ^ value >> option_bits) & ((1 << option_bits) - 1);
}

/* One if `mss` is at least `size`; without a branch, for the verifier would follow each way to the end. */
INLINE __u32 reaches(__u32 mss, __u32 size)
{
	return (size - 1 - mss) >> 31;
}

/* The largest class that is not above the MSS, or the least. */
INLINE __u32 mss_class(__u32 mss, __u8 family)
{
	if (family == 4)
		return reaches(mss, 1300) + reaches(mss, 1440) + reaches(mss, 1460);
	return reaches(mss, 1420) + reaches(mss, 1440) + reaches(mss, 8940);
}

/* What a peer accepts that says nothing (RFC 9293, MUST-15). */
INLINE __u32 default_mss(__u8 family)
{
	return family == 4 ? 536 : 1220;
}

/* The largest class that is not above the shift: 0, 2, 4, 6, 7, 8, 10 are classes 1 to 7. Four bits for each shift from 0 to
 * 14. */
#define SCALE_CLASSES 0x777776654332211ULL

INLINE __u32 scale_class(__u32 shift)
{
	return SCALE_CLASSES >> (4 * shift & 63) & 7;
}

/* All ones if one of the options `which` is among those agreed on, else zero. */
INLINE __u32 where(__u32 agreed, __u32 which)
{
	return 0 - (agreed / which & 1);
}

/* The options word of a cookie that is minted in `tick`. */
INLINE __u32 encode(const struct tcp_options *options, __u32 agreed, __u32 tick, __u8 family)
{
	__u32 scales = where(agreed, WITH_WINDOW_SCALE);
	__u32 stamp = (options->window_scale & scales) | (NO_PEER_SCALE & ~scales);
	__u32 iss = (tick & 1) << 6 | mss_class(options->mss, family) << 4 | (scale_class(options->window_scale) & scales) << 1 |
		    (agreed & WITH_SACK);

	return iss | ((STAMPED | stamp << 17) & where(agreed, WITH_TIMESTAMPS));
}

/* The options word of a cookie that came home, if it is one. */
INLINE __u32 decode(__u32 iss, const struct tcp_options *echo, const struct listener *listener)
{
	__u32 word = unmasked(iss, ISS_OPTION_BITS);

	if (echo->with & listener->flags & WITH_TIMESTAMPS)
		word |= STAMPED | unmasked(host32(echo->echo), STAMP_OPTION_BITS) << 16;
	return word;
}

/* Whether the listener still offers what the cookie says. */
INLINE int is_offered(__u32 word, const struct listener *listener)
{
	__u32 scales = word & STAMPED ? stamp_options(word) >> 1 != NO_PEER_SCALE : (word >> 1 & 7) != 0;

	if (word & STAMPED ? stamp_options(word) & ECN : listener->flags & REQUIRES_TIMESTAMPS)
		return 0;
	if (scales && !(listener->flags & WITH_WINDOW_SCALE))
		return 0;
	return !(word & WITH_SACK) || listener->flags & WITH_SACK;
}

/* Whether a segment brings back a cookie: its acknowledgment number less one, and with timestamps the TSecr. One
 * comparison of everything at once: its time says nothing about how much of it was right. */
INLINE int is_cookie(const struct packet *packet, const struct listener *listener, const struct tcp *tcp,
		     const struct tcp_options *echo, __u64 now)
{
	__u32 iss = host32(tcp->acknowledgment) - 1, irs = network32(host32(tcp->sequence) - 1);
	__u32 word = decode(iss, echo, listener), tick = tick_of(now);
	/* The only tick that a cookie with this parity can come from. */
	__u32 minted = tick - ((tick ^ word >> 6) & 1);
	const struct cookie_key *key = key_of(minted);
	__u64 hash;
	__u32 wrong;

	if (!key)
		return 0;
	hash = cookie_hash(key, packet, irs, minted, word);
	wrong = iss_mac(hash) ^ iss >> ISS_OPTION_BITS;
	if (word & STAMPED)
		wrong |= stamp_mac(hash) ^ host32(echo->echo) >> STAMP_OPTION_BITS;
	return !wrong && is_offered(word, listener);
}

#endif
