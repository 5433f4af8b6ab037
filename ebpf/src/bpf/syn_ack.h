/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * answer_syn: a SYN becomes, in its own frame, the SYN-ACK with a cookie that the engine would send (proto, listener and
 * wire/emit.rs).
 */
#ifndef SYNWARD_SYN_ACK_H
#define SYNWARD_SYN_ACK_H

#include "checksum.h"
#include "cookie.h"
#include "segment.h"

/* Whether the unfinished form of the TCP checksum is accepted, which a sending kernel leaves on a virtual device: the
 * field holds the sum of the pseudo-header. */
const volatile __u32 allow_unfinished_checksums = 0;

#define IPV4_HEADER_WORDS 5
#define TCP_HEADER_WORDS 5
#define TIME_TO_LIVE 64
#define USUAL_SYN_BYTES 20

enum answered {
	ANSWERED,
	NO_KEY,
	NO_TIMESTAMPS,
	BAD_CHECKSUM,
	/* The verifier's: cannot be. */
	OUT_OF_FRAME,
};

/* Copies the options out of the frame. False is the verifier's: cannot be. */
INLINE int load_options(struct xdp_md *ctx, const struct packet *packet, const struct segment *segment, struct raw_options *raw)
{
	__u32 last = segment->header_bytes - sizeof(struct tcp) - 1;

	if (segment->header_bytes == sizeof(struct tcp))
		return 1;
	/* The compiler knows that it is not; the verifier wants to see it. */
	asm volatile("" : "+r"(last));
	if (last >= MAX_OPTION_BYTES)
		return 0;
	return !bpf_xdp_load_bytes(ctx, packet->transport + sizeof(struct tcp), raw->words, last + 1);
}

INLINE __u64 sum_of(const __u32 *words, __u32 count)
{
	__u64 sum = 0;

#pragma unroll
	for (__u32 word = 0; word < count; word++)
		sum += words[word];
	return sum;
}

INLINE __u64 pseudo_header_of(const struct packet *packet, __u32 bytes)
{
	return pseudo_header((const __u32 *)packet->local.address.bytes, (const __u32 *)packet->remote.address.bytes,
			     packet->local.address.family == 4 ? 1 : 4, bytes);
}

/* The checksums of a SYN without payload, given the sum of its options. One with payload, which nobody sends, is answered
 * whatever its checksum is, and its peer will have to acknowledge. */
INLINE int are_checksums_right(const struct packet *packet, const struct segment *segment, __u64 options)
{
	__u64 pseudo;

	if (packet->local.address.family == 4 && !is_intact(sum_of(segment->network, IPV4_HEADER_WORDS)))
		return 0;
	if (segment->payload_bytes)
		return 1;
	pseudo = pseudo_header_of(packet, segment->header_bytes);
	if (allow_unfinished_checksums && segment->tcp->checksum == fold(pseudo))
		return 1;
	return is_intact(pseudo + sum_of((const __u32 *)segment->tcp, TCP_HEADER_WORDS) + options);
}

/* The options of a SYN and their sum; zero is the verifier's: cannot be. */
INLINE int read_syn(struct xdp_md *ctx, const struct packet *packet, const struct segment *segment,
		    struct tcp_options *options, __u64 *sum)
{
	const __u32 *words = (const __u32 *)(segment->tcp + 1);
	__u32 bytes = segment->header_bytes - sizeof(struct tcp);
	struct raw_options raw = {};

	if (bytes == USUAL_SYN_BYTES && (const void *)words + USUAL_SYN_BYTES <= segment->end &&
	    parse_usual_syn(options, words)) {
		*sum = sum_of(words, USUAL_SYN_BYTES / 4);
		return 1;
	}
	if (!load_options(ctx, packet, segment, &raw))
		return 0;
	*sum = sum_of(raw.words, MAX_OPTION_WORDS);
	return parse_options(options, &raw, bytes);
}

/* Where the next word of the options goes, and what has been written so far. */
struct writer {
	__u32 *at;
	const void *end;
	__u64 sum;
};

INLINE int put(struct writer *writer, __u32 word)
{
	if ((const void *)(writer->at + 1) > writer->end)
		return 0;
	*writer->at++ = word;
	writer->sum += word;
	return 1;
}

/* In Linux's order and padding (`tcp_options_write`). A SYN-ACK must never be larger than the SYN that drew it: every
 * option stands on it only if it stood there, the MSS among them. */
INLINE int put_options(struct writer *writer, const struct tcp_options *options, __u32 agreed,
		       const struct listener *listener, __u8 family, __u32 stamp)
{
	__u32 before = agreed & WITH_SACK ? OPTION_SACK_PERMITTED << 24 | 2 << 16 : OPTION_NOP << 24 | OPTION_NOP << 16;
	__u32 mss = family == 4 ? listener->mss_v4 : listener->mss_v6;

	if (agreed & WITH_MSS && !put(writer, network32(OPTION_MSS << 24 | 4 << 16 | mss)))
		return 0;
	if (agreed & WITH_TIMESTAMPS) {
		if (!put(writer, network32(before | OPTION_TIMESTAMPS << 8 | 10)) || !put(writer, network32(stamp)) ||
		    !put(writer, options->timestamp))
			return 0;
	} else if (agreed & WITH_SACK) {
		if (!put(writer, be32(OPTION_NOP << 24 | OPTION_NOP << 16 | OPTION_SACK_PERMITTED << 8 | 2)))
			return 0;
	}
	if (agreed & WITH_WINDOW_SCALE &&
	    !put(writer, network32(OPTION_NOP << 24 | OPTION_WINDOW_SCALE << 16 | 3 << 8 | listener->window_scale)))
		return 0;
	return 1;
}

INLINE void turn_ethernet(struct ethhdr *ethernet)
{
	__u8 source[ETH_ALEN];

	__builtin_memcpy(source, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, source, ETH_ALEN);
}

/* Here and below: false is the verifier's, which has forgotten that the header is there. */
INLINE int write_ipv4(const struct segment *segment, const struct packet *packet, __u32 bytes)
{
	__u32 *words = segment->network;
	__u32 local = *(const __u32 *)packet->local.address.bytes, remote = *(const __u32 *)packet->remote.address.bytes;
	__u32 length = network32(0x45000000 | (bytes + sizeof(struct iphdr)));
	__u32 fragment = be32(0x00004000); /* don't fragment */
	__u32 protocol = be32(TIME_TO_LIVE << 24 | IPPROTO_TCP << 16);
	__u16 checksum = ~fold((__u64)length + fragment + protocol + local + remote);

	if ((void *)(words + IPV4_HEADER_WORDS) > segment->end)
		return 0;
	words[0] = length;
	words[1] = fragment;
	words[2] = protocol | network32(host16(checksum));
	words[3] = local;
	words[4] = remote;
	return 1;
}

INLINE int write_ipv6(const struct segment *segment, const struct packet *packet, __u32 bytes)
{
	struct ipv6hdr *ip = segment->network;

	if ((void *)(ip + 1) > segment->end)
		return 0;
	*(__u32 *)ip = be32(6 << 28);
	ip->payload_len = network16(bytes);
	ip->nexthdr = IPPROTO_TCP;
	ip->hop_limit = TIME_TO_LIVE;
	__builtin_memcpy(&ip->saddr, packet->local.address.bytes, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, packet->remote.address.bytes, sizeof(ip->daddr));
	return 1;
}

/* Writes the SYN-ACK over the SYN; returns its bytes from the TCP header on, or zero. */
INLINE __u32 write_syn_ack(const struct packet *packet, const struct segment *segment, const struct tcp_options *options,
			   __u32 agreed, const struct listener *listener, __u32 iss, __u32 stamp)
{
	__u8 family = packet->local.address.family;
	__u32 *tcp = (__u32 *)segment->tcp;
	struct writer writer = { .at = tcp + TCP_HEADER_WORDS, .end = segment->end };
	__u32 acknowledgment = network32(host32(segment->tcp->sequence) + 1), bytes, control;
	__u64 sum;

	if (!put_options(&writer, options, agreed, listener, family, stamp))
		return 0;
	bytes = (void *)writer.at - (void *)tcp;
	control = network32(bytes << 26 | (SYN | ACK) << 16 | listener->window);
	tcp[0] = ports_of(packet->local.port, packet->remote.port);
	tcp[1] = network32(iss);
	tcp[2] = acknowledgment;
	tcp[3] = control;
	sum = pseudo_header_of(packet, bytes) + tcp[0] + tcp[1] + acknowledgment + control + writer.sum;
	tcp[4] = network32((__u32)host16(~fold(sum)) << 16);
	if (family == 4)
		return write_ipv4(segment, packet, bytes) ? bytes : 0;
	return write_ipv6(segment, packet, bytes) ? bytes : 0;
}

/* The segment is plain: TCP stands right behind the fixed IP header. */
INLINE enum answered answer_syn(struct xdp_md *ctx, const struct packet *packet, const struct segment *segment,
				const struct listener *listener, __u64 now)
{
	__u8 family = packet->local.address.family;
	struct tcp_options options = { .mss = default_mss(family) };
	long frame = segment->end - (void *)segment->ethernet;
	__u32 tick = tick_of(now), agreed, word, bytes;
	const struct cookie_key *key = key_of(tick);
	__u64 sum, hash;

	if (!key)
		return NO_KEY;
	if (!read_syn(ctx, packet, segment, &options, &sum))
		return OUT_OF_FRAME;
	if (!are_checksums_right(packet, segment, sum))
		return BAD_CHECKSUM;
	agreed = options.with & listener->flags;
	if (listener->flags & REQUIRES_TIMESTAMPS && !(agreed & WITH_TIMESTAMPS))
		return NO_TIMESTAMPS;
	word = encode(&options, agreed, tick, family);
	hash = cookie_hash(key, packet, segment->tcp->sequence, tick, word);
	bytes = write_syn_ack(packet, segment, &options, agreed, listener,
			      masked(iss_mac(hash), iss_options(word), ISS_OPTION_BITS),
			      masked(stamp_mac(hash), stamp_options(word), STAMP_OPTION_BITS));
	if (!bytes)
		return OUT_OF_FRAME;
	turn_ethernet(segment->ethernet);
	bytes += packet->transport;
	if (bytes != frame && bpf_xdp_adjust_tail(ctx, (int)bytes - (int)frame))
		return OUT_OF_FRAME;
	return ANSWERED;
}

#endif
