/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * The maps that the loader fills. maps.rs mirrors these layouts, and both sides assert their sizes.
 */
#ifndef SYNWARD_MAPS_H
#define SYNWARD_MAPS_H

#include "helpers.h"

/* An address as it stands in the packet; IPv4 in the first four bytes, the rest zero. All zero is the wildcard of its
 * family: it matches every destination address that arrives on the interface. */
struct owned_address {
	__u8 bytes[16];
	__u8 family; /* 4 or 6 */
	__u8 protocol; /* IPPROTO_* */
	__u16 unused; /* zero */
};
_Static_assert(sizeof(struct owned_address) == 20, "mirrored in maps.rs");

struct owned_port {
	struct owned_address address;
	__be16 port;
	__u16 unused; /* zero */
};
_Static_assert(sizeof(struct owned_port) == 24, "mirrored in maps.rs");

/* Ports `lo` to `hi`, both included, in host order. Zero for both is no port at all: port zero cannot be owned. */
struct port_range {
	__u16 lo;
	__u16 hi;
};
_Static_assert(sizeof(struct port_range) == 4, "mirrored in maps.rs");

/* What the loader may change while the program runs. */
struct settings {
	__u32 pass_fragments; /* 0: drop those of an owned address; 1: leave them to the kernel */
};
_Static_assert(sizeof(struct settings) == 4, "mirrored in maps.rs");

/* The ports that are ours one by one. A key's presence is the whole fact; the value carries nothing. The loader sets the
 * size; only it inserts, so entries need not be allocated ahead. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct owned_port);
	__type(value, __u8);
} owned_ports SEC(".maps");

/* The addresses at which at least one port is ours: all that a fragment without ports can be asked about. The value is
 * the range of ports that is ours there, if one is. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct owned_address);
	__type(value, struct port_range);
} owned_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

/* One AF_XDP socket per receive queue. The loader sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

#endif
