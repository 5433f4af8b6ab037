/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * redirect: to the AF_XDP socket of the queue, unless its poll loop has stalled.
 */
#ifndef SYNWARD_REDIRECT_H
#define SYNWARD_REDIRECT_H

#include "counters.h"
#include "maps.h"

INLINE int counted(enum counter counter, int action)
{
	count(counter);
	return action;
}

/* Whether a frame has waited for the poll loop of this queue for longer than `limit`. An idle one sleeps, however long,
 * and turns when a frame comes: so its last turn says nothing, but that there was none since. */
INLINE int is_stalled(__u32 queue, __u64 limit)
{
	const struct heartbeat *heartbeat = bpf_map_lookup_elem(&heartbeats, &queue);
	__u64 *since = bpf_map_lookup_elem(&waiting_since, &queue);
	__u64 now = bpf_ktime_get_coarse_ns();

	if (!heartbeat || !since)
		return 0;
	if (heartbeat->turned >= *since) {
		*since = now;
		return 0;
	}
	return now > *since + limit;
}

/* The helper returns the action in its flags when the queue has no socket. */
INLINE int redirect(const struct xdp_md *ctx, enum counter redirected)
{
	__u32 only = 0;
	const struct settings *set = bpf_map_lookup_elem(&settings, &only);
	long action;

	if (set && set->stall_limit && is_stalled(ctx->rx_queue_index, set->stall_limit))
		return set->pass_stalled ? counted(PASSED_STALLED, XDP_PASS) : counted(DROPPED_STALLED, XDP_DROP);
	action = bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP);
	return counted(action == XDP_REDIRECT ? redirected : DROPPED_NO_SOCKET, action);
}

#endif
