/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * The shield: takes from the kernel exactly the TCP segments that belong to the engine.
 *
 *   dissect (parse.h)   what is this frame?
 *   lookup              whose is it?
 *   verdict             what becomes of it?
 *
 * A frame of ours is never passed to the kernel, which has no socket for it and would answer with RST: it reaches the
 * socket of its queue, or it is dropped and counted.
 */
#include "counters.h"
#include "maps.h"
#include "parse.h"

enum owner {
	KERNEL,
	ENGINE,
};

INLINE enum owner owner_of_address(const struct destination *dest)
{
	struct owned_address any = {
		.family = dest->to.address.family,
		.protocol = dest->to.address.protocol,
	};

	if (bpf_map_lookup_elem(&owned_addresses, &dest->to.address))
		return ENGINE;
	return bpf_map_lookup_elem(&owned_addresses, &any) ? ENGINE : KERNEL;
}

/* A range of zeros holds nothing, port zero included. */
INLINE int is_in_range(const struct port_range *range, __u16 port)
{
	return port && range->lo <= port && port <= range->hi;
}

/* The address first: where none is ours, no port is, and a stranger's segment costs no second lookup. */
INLINE enum owner owner_at(const struct owned_port *to)
{
	const struct port_range *range = bpf_map_lookup_elem(&owned_addresses, &to->address);

	if (!range)
		return KERNEL;
	if (is_in_range(range, host16(to->port)))
		return ENGINE;
	return bpf_map_lookup_elem(&owned_ports, to) ? ENGINE : KERNEL;
}

INLINE enum owner owner_of_port(const struct destination *dest)
{
	struct owned_port any = {
		.address = {
			.family = dest->to.address.family,
			.protocol = dest->to.address.protocol,
		},
		.port = dest->to.port,
	};

	return owner_at(&dest->to) == ENGINE ? ENGINE : owner_at(&any);
}

INLINE enum owner lookup(enum kind kind, const struct destination *dest)
{
	switch (kind) {
	case FOREIGN:
	case MALFORMED:
		return KERNEL;
	case SEGMENT:
		return owner_of_port(dest);
	case FRAGMENT:
	case CHAIN_TOO_LONG:
		return owner_of_address(dest);
	}
	return KERNEL;
}

INLINE int counted(enum counter counter, int action)
{
	count(counter);
	return action;
}

/* The helper returns the action in its flags when the queue has no socket. */
INLINE int verdict_segment(const struct xdp_md *ctx)
{
	long action = bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP);

	return counted(action == XDP_REDIRECT ? REDIRECTED : DROPPED_NO_SOCKET, action);
}

INLINE int verdict_fragment(void)
{
	__u32 only = 0;
	const struct settings *now = bpf_map_lookup_elem(&settings, &only);

	if (now && now->pass_fragments)
		return counted(PASSED_FRAGMENT, XDP_PASS);
	return counted(DROPPED_FRAGMENT, XDP_DROP);
}

INLINE int verdict(const struct xdp_md *ctx, enum kind kind, enum owner owner)
{
	if (kind == MALFORMED)
		return counted(PASSED_MALFORMED, XDP_PASS);
	if (owner == KERNEL)
		return counted(PASSED, XDP_PASS);
	switch (kind) {
	case FOREIGN:
	case MALFORMED:
		break;
	case SEGMENT:
		return verdict_segment(ctx);
	case FRAGMENT:
		return verdict_fragment();
	case CHAIN_TOO_LONG:
		return counted(DROPPED_EXTENSION_HEADERS, XDP_DROP);
	}
	return XDP_ABORTED;
}

SEC("xdp")
int shield(struct xdp_md *ctx)
{
	struct cursor cursor = cursor_of(ctx);
	struct destination dest = {};
	enum kind kind = dissect(&cursor, &dest);

	return verdict(ctx, kind, lookup(kind, &dest));
}

char licence[] SEC("license") = "Dual MIT/GPL";
