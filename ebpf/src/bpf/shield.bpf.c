/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * The shield: takes from the kernel exactly the TCP segments that belong to the engine, and the ICMP errors about those
 * that the engine has sent; and under a flood lets pass to the engine only what real peers send.
 *
 *   dissect (parse.h)     what is this frame?
 *   lookup (owner.h)      whose is it?
 *   verdict               what becomes of it?
 *     examine (segment.h)   a guarded listener's: could it be a segment at all?
 *     admit (guard.h)       its shield is up: does the engine know the flow, or is it proved by a cookie?
 *
 * A frame of ours is never passed to the kernel, which has no socket for it and would answer with RST: it reaches the
 * socket of its queue, or it is dropped and counted. The one exception is asked for (settings.pass_stalled).
 */
#include "counters.h"
#include "guard.h"
#include "owner.h"
#include "parse.h"
#include "redirect.h"

INLINE int verdict_fragment(void)
{
	__u32 only = 0;
	const struct settings *now = bpf_map_lookup_elem(&settings, &only);

	if (now && now->pass_fragments)
		return counted(PASSED_FRAGMENT, XDP_PASS);
	return counted(DROPPED_FRAGMENT, XDP_DROP);
}

INLINE int verdict(struct xdp_md *ctx, enum kind kind, const struct packet *packet, long owner)
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
		return verdict_segment(ctx, packet, owner);
	case ICMP_ERROR:
		return redirect(ctx, REDIRECTED_ICMP);
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
	struct packet packet = {};
	enum kind kind = dissect(&cursor, &packet);

	return verdict(ctx, kind, &packet, lookup(kind, &packet.local));
}

char licence[] SEC("license") = "Dual MIT/GPL";
