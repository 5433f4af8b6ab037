/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * The shield: takes from the kernel exactly the TCP segments that belong to the engine, and the ICMP errors about those
 * that the engine has sent.
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

INLINE enum owner owner_of_address(const struct owned_address *local)
{
	struct owned_address any = {
		.family = local->family,
		.protocol = local->protocol,
	};

	if (bpf_map_lookup_elem(&owned_addresses, local))
		return ENGINE;
	return bpf_map_lookup_elem(&owned_addresses, &any) ? ENGINE : KERNEL;
}

/* A range of zeros holds nothing, port zero included. */
INLINE int is_in_range(const struct port_range *range, __u16 port)
{
	return port && range->lo <= port && port <= range->hi;
}

/* The port first: it is segments for listeners that come in floods. */
INLINE enum owner owner_at(const struct owned_port *end)
{
	const struct port_range *range;

	if (bpf_map_lookup_elem(&owned_ports, end))
		return ENGINE;
	range = bpf_map_lookup_elem(&owned_addresses, &end->address);
	return range && is_in_range(range, host16(end->port)) ? ENGINE : KERNEL;
}

INLINE enum owner owner_of_port(const struct owned_port *local)
{
	struct owned_port any = {
		.address = {
			.family = local->address.family,
			.protocol = local->address.protocol,
		},
		.port = local->port,
	};

	return owner_at(local) == ENGINE ? ENGINE : owner_at(&any);
}

INLINE enum owner lookup(enum kind kind, const struct owned_port *local)
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

INLINE int counted(enum counter counter, int action)
{
	count(counter);
	return action;
}

/* The helper returns the action in its flags when the queue has no socket. */
INLINE int verdict_redirect(const struct xdp_md *ctx, enum counter redirected)
{
	long action = bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP);

	return counted(action == XDP_REDIRECT ? redirected : DROPPED_NO_SOCKET, action);
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
		return verdict_redirect(ctx, REDIRECTED);
	case ICMP_ERROR:
		return verdict_redirect(ctx, REDIRECTED_ICMP);
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
	struct owned_port local = {};
	enum kind kind = dissect(&cursor, &local);

	return verdict(ctx, kind, lookup(kind, &local));
}

char licence[] SEC("license") = "Dual MIT/GPL";
