/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * dissect: what a frame is, and which local end it is about: where a segment goes, or where the one came from that an
 * ICMP error quotes. As much of the packet is filled in as the kind of the frame promises. It reads no map and decides
 * nothing about the frame's fate.
 */
#ifndef SYNWARD_PARSE_H
#define SYNWARD_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "cursor.h"
#include "maps.h"

#define MAX_VLAN_TAGS 2
#define MAX_EXTENSION_HEADERS 8

#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff

/* The ICMP errors that name the packet they are about: RFC 792, and RFC 4443 for IPv6. */
#define ICMP_UNREACHABLE 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_PACKET_TOO_BIG 2
#define ICMPV6_TIME_EXCEEDED 3
#define ICMPV6_PARAMETER_PROBLEM 4

/* Ports and sequence number: as much of a segment as an ICMP error must quote (RFC 792). */
#define QUOTED_TCP 8

enum kind {
	/* Neither TCP over IP nor an ICMP error that quotes it, or an IPv6 packet that is only passing through a router named
	 * in it. */
	FOREIGN,
	/* IP whose headers contradict themselves or end before the ports. */
	MALFORMED,
	/* A whole TCP segment: both ends are known, and where its headers are. */
	SEGMENT,
	/* An ICMP error about a TCP segment: the address and port that it was sent from are known. */
	ICMP_ERROR,
	/* A piece of what may be a TCP segment: only the address is known. */
	FRAGMENT,
	/* IPv6 with more extension headers than we walk: only the address is known. */
	CHAIN_TOO_LONG,
};

struct packet {
	struct owned_port local;
	struct owned_port remote;
	/* Of a segment: bytes before the IP header, and before the TCP header, of which only the ports are known to be there. */
	__u32 network;
	__u32 transport;
};

struct vlan_tag {
	__be16 identifier;
	__be16 ethertype;
};

/* What all ICMP errors begin with; the quoted packet follows. */
struct icmp_error {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__u8 data[4];
};

/* The parts of RFC 8200, section 4, that all skippable extension headers share; sizes in units of eight bytes beyond
 * the first eight. The last two fields only mean this in a routing header (section 4.4). */
struct extension {
	__u8 next;
	__u8 units;
	__u8 routing_type;
	__u8 segments_left;
	__u8 data[4];
};

INLINE int is_vlan(__be16 ethertype)
{
	return ethertype == be16(ETH_P_8021Q) || ethertype == be16(ETH_P_8021AD);
}

INLINE enum kind dissect_ports(struct cursor *cursor, struct packet *packet)
{
	__be16 *ports = take(cursor, 2 * sizeof(__be16));

	if (!ports)
		return MALFORMED;
	packet->transport = offset_of(cursor, ports);
	packet->remote.port = ports[0];
	packet->local.port = ports[1];
	return SEGMENT;
}

INLINE enum kind dissect_quoted_tcp(struct cursor *cursor, struct owned_port *local)
{
	__be16 *ports = take(cursor, QUOTED_TCP);

	if (!ports)
		return FOREIGN;
	local->port = ports[0];
	return ICMP_ERROR;
}

INLINE int is_fragment(const struct iphdr *ip)
{
	return (ip->frag_off & be16(IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET)) != 0;
}

/* The engine sends no fragments. Options may have been added on the way. */
INLINE enum kind dissect_quoted_ipv4(struct cursor *cursor, struct owned_port *local)
{
	struct iphdr *ip = take(cursor, sizeof(*ip));

	if (!ip || ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_TCP || is_fragment(ip))
		return FOREIGN;
	__builtin_memcpy(local->address.bytes, &ip->saddr, sizeof(ip->saddr));
	if (!skip(cursor, ip->ihl * 4 - sizeof(*ip)))
		return FOREIGN;
	return dissect_quoted_tcp(cursor, local);
}

/* The engine sends no extension headers, and nobody may add any on the way (RFC 8200, section 4). */
INLINE enum kind dissect_quoted_ipv6(struct cursor *cursor, struct owned_port *local)
{
	struct ipv6hdr *ip = take(cursor, sizeof(*ip));

	if (!ip || ip->version != 6 || ip->nexthdr != IPPROTO_TCP)
		return FOREIGN;
	__builtin_memcpy(local->address.bytes, &ip->saddr, sizeof(ip->saddr));
	return dissect_quoted_tcp(cursor, local);
}

INLINE enum kind dissect_icmp(struct cursor *cursor, struct owned_port *local)
{
	struct icmp_error *icmp = take(cursor, sizeof(*icmp));

	if (!icmp)
		return FOREIGN;
	switch (icmp->type) {
	case ICMP_UNREACHABLE:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETER_PROBLEM:
		return dissect_quoted_ipv4(cursor, local);
	}
	return FOREIGN;
}

INLINE enum kind dissect_icmpv6(struct cursor *cursor, struct owned_port *local)
{
	struct icmp_error *icmp = take(cursor, sizeof(*icmp));

	if (!icmp)
		return FOREIGN;
	switch (icmp->type) {
	case ICMPV6_UNREACHABLE:
	case ICMPV6_PACKET_TOO_BIG:
	case ICMPV6_TIME_EXCEEDED:
	case ICMPV6_PARAMETER_PROBLEM:
		return dissect_quoted_ipv6(cursor, local);
	}
	return FOREIGN;
}

INLINE void set_family(struct packet *packet, __u8 family)
{
	packet->local.address.family = family;
	packet->local.address.protocol = IPPROTO_TCP;
	packet->remote.address.family = family;
	packet->remote.address.protocol = IPPROTO_TCP;
}

/* Options are skipped here and refused by the engine, which counts them. Lengths are its affair, too. */
INLINE enum kind dissect_ipv4(struct cursor *cursor, struct packet *packet)
{
	struct iphdr *ip = take(cursor, sizeof(*ip));

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return MALFORMED;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_ICMP)
		return FOREIGN;
	packet->network = offset_of(cursor, ip);
	set_family(packet, 4);
	__builtin_memcpy(packet->local.address.bytes, &ip->daddr, sizeof(ip->daddr));
	__builtin_memcpy(packet->remote.address.bytes, &ip->saddr, sizeof(ip->saddr));
	if (is_fragment(ip))
		return ip->protocol == IPPROTO_TCP ? FRAGMENT : FOREIGN;
	if (!skip(cursor, ip->ihl * 4 - sizeof(*ip)))
		return MALFORMED;
	return ip->protocol == IPPROTO_TCP ? dissect_ports(cursor, packet) : dissect_icmp(cursor, &packet->local);
}

INLINE int is_skippable(__u8 header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS;
}

/* What follows a Fragment header is named by it even in later pieces. An extension header there may hide TCP. */
INLINE enum kind dissect_fragment(struct cursor *cursor)
{
	struct extension *fragment = take(cursor, sizeof(*fragment));

	if (!fragment)
		return MALFORMED;
	return fragment->next == IPPROTO_TCP || is_skippable(fragment->next) ? FRAGMENT : FOREIGN;
}

INLINE enum kind dissect_ipv6(struct cursor *cursor, struct packet *packet)
{
	struct ipv6hdr *ip = take(cursor, sizeof(*ip));
	__u8 next;

	if (!ip || ip->version != 6)
		return MALFORMED;
	packet->network = offset_of(cursor, ip);
	set_family(packet, 6);
	__builtin_memcpy(packet->local.address.bytes, &ip->daddr, sizeof(ip->daddr));
	__builtin_memcpy(packet->remote.address.bytes, &ip->saddr, sizeof(ip->saddr));
	next = ip->nexthdr;
#pragma unroll
	for (int walked = 0; walked < MAX_EXTENSION_HEADERS; walked++) {
		struct extension *header;

		if (!is_skippable(next))
			break;
		header = take(cursor, sizeof(*header));
		if (!header || !skip(cursor, header->units * 8))
			return MALFORMED;
		if (next == IPPROTO_ROUTING && header->segments_left)
			return FOREIGN;
		next = header->next;
	}
	switch (next) {
	case IPPROTO_TCP:
		return dissect_ports(cursor, packet);
	case IPPROTO_ICMPV6:
		return dissect_icmpv6(cursor, &packet->local);
	case IPPROTO_FRAGMENT:
		return dissect_fragment(cursor);
	}
	return is_skippable(next) ? CHAIN_TOO_LONG : FOREIGN;
}

/* A third tag is a foreign EtherType. */
INLINE enum kind dissect(struct cursor *cursor, struct packet *packet)
{
	struct ethhdr *ethernet = take(cursor, sizeof(*ethernet));
	__be16 ethertype;

	if (!ethernet)
		return FOREIGN;
	ethertype = ethernet->h_proto;
#pragma unroll
	for (int tags = 0; tags < MAX_VLAN_TAGS; tags++) {
		struct vlan_tag *tag;

		if (!is_vlan(ethertype))
			break;
		tag = take(cursor, sizeof(*tag));
		if (!tag)
			return FOREIGN;
		ethertype = tag->ethertype;
	}
	if (ethertype == be16(ETH_P_IP))
		return dissect_ipv4(cursor, packet);
	if (ethertype == be16(ETH_P_IPV6))
		return dissect_ipv6(cursor, packet);
	return FOREIGN;
}

#endif
