/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * Whose is it? The place of the listener that a frame is for, or that it is the kernel's.
 */
#ifndef SYNWARD_OWNER_H
#define SYNWARD_OWNER_H

#include "maps.h"
#include "parse.h"

/* The place of a listener, or this. */
#define KERNEL (-1)

INLINE long owner_of_address(const struct owned_address *local)
{
	struct owned_address any = {
		.family = local->family,
		.protocol = local->protocol,
	};

	if (bpf_map_lookup_elem(&owned_addresses, local))
		return UNGUARDED;
	return bpf_map_lookup_elem(&owned_addresses, &any) ? UNGUARDED : KERNEL;
}

/* A range of zeros holds nothing, port zero included. */
INLINE int is_in_range(const struct port_range *range, __u16 port)
{
	return port && range->lo <= port && port <= range->hi;
}

/* The port first: it is segments for listeners that come in floods. */
INLINE long owner_at(const struct owned_port *end)
{
	const struct port_range *range;
	const __u32 *listener = bpf_map_lookup_elem(&owned_ports, end);

	if (listener)
		return *listener;
	range = bpf_map_lookup_elem(&owned_addresses, &end->address);
	return range && is_in_range(range, host16(end->port)) ? SOURCE_PORTS : KERNEL;
}

INLINE long search_owner(const struct owned_port *local)
{
	struct owned_port any = {
		.address = {
			.family = local->address.family,
			.protocol = local->address.protocol,
		},
		.port = local->port,
	};
	long owner = owner_at(local);

	return owner == KERNEL ? owner_at(&any) : owner;
}

/* The end that a segment was last found to be ours at. A flood is for one or for few; asking the maps takes five times as
 * long. */
struct owned_lately {
	struct owned_port end;
	__u32 place;
	__u64 generation;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct owned_lately);
} owned_lately SEC(".maps");

INLINE int is_same_end(const struct owned_port *one, const struct owned_port *other)
{
	const __u64 *a = (const __u64 *)one, *b = (const __u64 *)other;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

/* The generation is read first: what is found may be older than it, never younger. One of zero is never written. */
INLINE long owner_of_port(const struct owned_port *local)
{
	__u32 only = 0;
	const struct settings *set = bpf_map_lookup_elem(&settings, &only);
	struct owned_lately *lately = bpf_map_lookup_elem(&owned_lately, &only);
	__u64 generation;
	long owner;

	if (!set || !lately)
		return KERNEL;
	generation = *(volatile const __u64 *)&set->owned_generation;
	if (lately->generation == generation && is_same_end(&lately->end, local))
		return lately->place;
	owner = search_owner(local);
	if (owner != KERNEL) {
		lately->end = *local;
		lately->place = owner;
		lately->generation = generation;
	}
	return owner;
}

INLINE long lookup(enum kind kind, const struct owned_port *local)
{
	switch (kind) {
	case FOREIGN:
	case MALFORMED:
		return KERNEL;
	case SEGMENT:
	case ICMP_ERROR:
		return owner_of_port(local);
	case FRAGMENT:
	case CHAIN_TOO_LONG:
		return owner_of_address(&local->address);
	}
	return KERNEL;
}

#endif
