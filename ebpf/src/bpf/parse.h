/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * dissect: what a frame is. It reads no map and decides nothing about the frame's fate.
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

enum kind {
	/* Not TCP over IP, or an IPv6 packet that is only passing through a router named in it. */
	FOREIGN,
	/* IP whose headers contradict themselves or end before the ports. */
	MALFORMED,
	/* A whole TCP segment: address and port are known. */
	SEGMENT,
	/* A piece of what may be a TCP segment: only the address is known. */
	FRAGMENT,
	/* IPv6 with more extension headers than we walk: only the address is known. */
	CHAIN_TOO_LONG,
};

/* Where the frame is going: as much of it as its kind promises. */
struct destination {
	struct owned_port to;
};

struct vlan_tag {
	__be16 identifier;
	__be16 ethertype;
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

INLINE enum kind dissect_ports(struct cursor *cursor, struct destination *dest)
{
	__be16 *ports = take(cursor, 2 * sizeof(__be16));

	if (!ports)
		return MALFORMED;
	dest->to.port = ports[1];
	return SEGMENT;
}

/* Options are skipped here and refused by the engine, which counts them. Lengths are its affair, too. */
INLINE enum kind dissect_ipv4(struct cursor *cursor, struct destination *dest)
{
	struct iphdr *ip = take(cursor, sizeof(*ip));

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return MALFORMED;
	if (ip->protocol != IPPROTO_TCP)
		return FOREIGN;
	dest->to.address.family = 4;
	dest->to.address.protocol = IPPROTO_TCP;
	__builtin_memcpy(dest->to.address.bytes, &ip->daddr, sizeof(ip->daddr));
	if (ip->frag_off & be16(IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET))
		return FRAGMENT;
	if (!skip(cursor, ip->ihl * 4 - sizeof(*ip)))
		return MALFORMED;
	return dissect_ports(cursor, dest);
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

INLINE enum kind dissect_ipv6(struct cursor *cursor, struct destination *dest)
{
	struct ipv6hdr *ip = take(cursor, sizeof(*ip));
	__u8 next;

	if (!ip || ip->version != 6)
		return MALFORMED;
	dest->to.address.family = 6;
	dest->to.address.protocol = IPPROTO_TCP;
	__builtin_memcpy(dest->to.address.bytes, &ip->daddr, sizeof(ip->daddr));
	next = ip->nexthdr;
#pragma unroll
	for (int walked = 0; walked < MAX_EXTENSION_HEADERS; walked++) {
		struct extension *header;

		if (next == IPPROTO_TCP)
			return dissect_ports(cursor, dest);
		if (next == IPPROTO_FRAGMENT)
			return dissect_fragment(cursor);
		if (!is_skippable(next))
			return FOREIGN;
		header = take(cursor, sizeof(*header));
		if (!header || !skip(cursor, header->units * 8))
			return MALFORMED;
		if (next == IPPROTO_ROUTING && header->segments_left)
			return FOREIGN;
		next = header->next;
	}
	if (next == IPPROTO_TCP)
		return dissect_ports(cursor, dest);
	return is_skippable(next) || next == IPPROTO_FRAGMENT ? CHAIN_TOO_LONG : FOREIGN;
}

/* A third tag is a foreign EtherType. */
INLINE enum kind dissect(struct cursor *cursor, struct destination *dest)
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
		return dissect_ipv4(cursor, dest);
	if (ethertype == be16(ETH_P_IPV6))
		return dissect_ipv6(cursor, dest);
	return FOREIGN;
}

#endif
