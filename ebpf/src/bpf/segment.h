/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * examine: a segment for a guarded end, looked at more closely: is it one that the engine would throw away unread?
 *
 * The rules are the engine's (proto, wire/): whatever is refused here, it would refuse, too.
 */
#ifndef SYNWARD_SEGMENT_H
#define SYNWARD_SEGMENT_H

#include "parse.h"

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10
/* All control bits (RFC 9293, section 3.1; AE from RFC 9768), in the lower half of the word that holds the data offset. */
#define CONTROL_BITS 0x1ff

struct tcp {
	__be16 source;
	__be16 destination;
	__be32 sequence;
	__be32 acknowledgment;
	__be16 offset_and_flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
};
_Static_assert(sizeof(struct tcp) == 20, "RFC 9293, section 3.1");

enum examined {
	SOUND,
	/* Impossible lengths, or headers that the engine does not take. */
	BAD_HEADER,
	BAD_FLAGS,
	BAD_PORT,
	BAD_ADDRESS,
	SELF_ADDRESSED,
};

struct segment {
	struct ethhdr *ethernet; /* is there */
	void *network; /* the fixed IP header is there */
	const struct tcp *tcp; /* the fixed TCP header is there */
	const void *end; /* of the frame */
	__u32 flags;
	__u32 header_bytes; /* of TCP, options included */
	__u32 payload_bytes;
	__u32 is_plain; /* nothing stands between the fixed IP header and TCP */
};

/* 0.0.0.0/8, 127.0.0.0/8, and everything from 224.0.0.0 up (RFC 1122, section 3.2.1.3). */
INLINE int is_martian_v4(const __u8 *address)
{
	return address[0] == 0 || address[0] == 127 || address[0] >= 224;
}

/* Unspecified, loopback, multicast, and IPv4-mapped. */
INLINE int is_martian_v6(const __u32 *address)
{
	__u32 begins_with_zeros = !(address[0] | address[1]);

	if ((address[0] & be32(0xff000000)) == be32(0xff000000))
		return 1;
	if (!begins_with_zeros)
		return 0;
	if (address[2] == be32(0x0000ffff))
		return 1;
	return !address[2] && (!address[3] || address[3] == be32(1));
}

INLINE int is_martian(const struct owned_address *address)
{
	return address->family == 4 ? is_martian_v4(address->bytes) : is_martian_v6((const __u32 *)address->bytes);
}

INLINE int is_same_address(const struct owned_address *one, const struct owned_address *other)
{
	const __u32 *a = (const __u32 *)one->bytes, *b = (const __u32 *)other->bytes;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

/* The individual/group bit of IEEE 802: multicast or broadcast. */
INLINE int is_group(const __u8 *mac)
{
	return mac[0] & 1;
}

INLINE enum examined examine_addresses(const struct packet *packet, const struct ethhdr *ethernet)
{
	if (is_martian(&packet->remote.address) || is_martian(&packet->local.address))
		return BAD_ADDRESS;
	if (is_same_address(&packet->local.address, &packet->remote.address))
		return SELF_ADDRESSED;
	if (is_group(ethernet->h_source) || is_group(ethernet->h_dest))
		return BAD_ADDRESS;
	return SOUND;
}

/* Ethernet, two VLAN tags. */
#define MAX_NETWORK_OFFSET 22
/* The verifier's bound for an offset into a frame. */
#define MAX_OFFSET 0x7fff

/* Bytes from the IP header to the end of its packet, as it says itself; zero if it has options. */
INLINE __u32 packet_bytes(const void *network, __u8 family)
{
	const struct iphdr *v4 = network;
	const struct ipv6hdr *v6 = network;

	if (family == 6)
		return sizeof(*v6) + host16(v6->payload_len);
	return v4->ihl == 5 ? host16(v4->tot_len) : 0;
}

/* RST wins over SYN and FIN; no control bit at all, and SYN with FIN, are nonsense. */
INLINE int are_flags_sound(__u32 flags)
{
	return flags & RST || (flags && (flags & (SYN | FIN)) != (SYN | FIN));
}

INLINE __u32 network_header_bytes(__u8 family)
{
	return family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

/* Where the headers are, if they are whole. */
INLINE int find_headers(const struct xdp_md *ctx, const struct packet *packet, struct segment *segment)
{
	void *start = (void *)(long)ctx->data;
	__u32 network = packet->network, transport = packet->transport;
	__u32 fixed = network_header_bytes(packet->local.address.family);

	segment->ethernet = start;
	segment->end = (void *)(long)ctx->data_end;
	if (network > MAX_NETWORK_OFFSET || transport > MAX_OFFSET || transport < network + fixed)
		return 0;
	segment->network = start + network;
	segment->is_plain = transport == network + fixed;
	/* The same pointer, which the verifier then knows more about. */
	segment->tcp = segment->is_plain ? segment->network + fixed : start + transport;
	return (const void *)(segment->ethernet + 1) <= segment->end && segment->network + fixed <= segment->end &&
	       (const void *)(segment->tcp + 1) <= segment->end;
}

INLINE enum examined examine_lengths(const struct packet *packet, struct segment *segment)
{
	__u32 bytes = packet_bytes(segment->network, packet->local.address.family);
	__u32 before = packet->transport - packet->network;

	if (segment->network + (bytes & MAX_OFFSET) > segment->end || bytes > MAX_OFFSET)
		return BAD_HEADER;
	if (segment->header_bytes < sizeof(struct tcp) || before + segment->header_bytes > bytes)
		return BAD_HEADER;
	segment->payload_bytes = bytes - before - segment->header_bytes;
	return SOUND;
}

INLINE enum examined examine(const struct xdp_md *ctx, const struct packet *packet, struct segment *segment)
{
	enum examined examined;
	__u32 word;

	if (!find_headers(ctx, packet, segment))
		return BAD_HEADER;
	word = host16(segment->tcp->offset_and_flags);
	segment->flags = word & CONTROL_BITS;
	segment->header_bytes = word >> 12 << 2;
	examined = examine_lengths(packet, segment);
	if (examined != SOUND)
		return examined;
	examined = examine_addresses(packet, segment->ethernet);
	if (examined != SOUND)
		return examined;
	if (!packet->remote.port)
		return BAD_PORT;
	return are_flags_sound(segment->flags) ? SOUND : BAD_FLAGS;
}

#endif
