/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * What becomes of a segment for a guarded end: nonsense is dropped, and while the shield of its listener is up, only known
 * flows and those that a cookie proves reach the engine.
 */
#ifndef SYNWARD_GUARD_H
#define SYNWARD_GUARD_H

#include "flows.h"
#include "limits.h"
#include "lists.h"
#include "redirect.h"
#include "samples.h"
#include "segment.h"
#include "syn_ack.h"

/* A segment on its way through the guard. */
struct arrival {
	const struct packet *packet;
	const struct segment *segment;
	const struct listener *listener;
	struct listener_counts *counts;
	struct sought_flow flow; /* while the shield is up */
};

/* One in 32 of those who have proved nothing is sampled. */
INLINE void sample(const struct arrival *arrival, enum sample_kind kind)
{
	if (arrival->counts->to_skip)
		arrival->counts->to_skip--;
	else
		arrival->counts->to_skip = sample_unproven(&arrival->packet->remote.address, kind);
}

INLINE int refused(const struct arrival *arrival, enum counter counter)
{
	arrival->counts->refused++;
	sample(arrival, SAMPLE_REFUSED);
	return counted(counter, XDP_DROP);
}

INLINE int passed(const struct xdp_md *ctx, const struct arrival *arrival, enum counter counter)
{
	arrival->counts->passed++;
	return redirect(ctx, counter);
}

INLINE int is_syn(__u32 flags)
{
	return (flags & (SYN | ACK | RST)) == SYN;
}

INLINE enum counter counter_of(enum examined examined)
{
	switch (examined) {
	case BAD_FLAGS:
		return DROPPED_FLAGS;
	case BAD_PORT:
		return DROPPED_PORT_ZERO;
	case BAD_ADDRESS:
		return DROPPED_MARTIAN;
	case SELF_ADDRESSED:
		return DROPPED_LAND;
	case SOUND:
	case BAD_HEADER:
		break;
	}
	return DROPPED_HEADER;
}

/* What a segment of an unknown flow dies as. */
INLINE enum counter counter_of_stray(const struct segment *segment)
{
	if (segment->flags & RST)
		return DROPPED_RST;
	if (segment->flags & SYN)
		return segment->flags & ACK ? DROPPED_SYN_ACK : DROPPED_SYN;
	if (!(segment->flags & ACK))
		return DROPPED_NO_ACK;
	if (segment->flags & FIN)
		return DROPPED_FIN;
	return segment->payload_bytes ? DROPPED_DATA : DROPPED_ACK;
}

/* A SYN of a flow that nobody knows. The listener gives no cookie while its accept queue is full, as Linux does. */
INLINE int on_syn(struct xdp_md *ctx, const struct arrival *arrival)
{
	__u64 now = bpf_ktime_get_coarse_ns();

	if (arrival->listener->accept_queue_full)
		return refused(arrival, DROPPED_ACCEPT_QUEUE_FULL);
	if (!reply_allowed(&arrival->packet->remote.address, ctx->rx_queue_index, now))
		return refused(arrival, DROPPED_REPLY_CEILING);
	switch (answer_syn(ctx, arrival->packet, arrival->segment, arrival->listener, now)) {
	case ANSWERED:
		arrival->counts->cookies_sent++;
		sample(arrival, SAMPLE_ANSWERED);
		return counted(ANSWERED_COOKIE, XDP_TX);
	case NO_KEY:
		return passed(ctx, arrival, REDIRECTED_UNTOLD);
	case NO_TIMESTAMPS:
		return refused(arrival, DROPPED_NO_TIMESTAMPS);
	case BAD_CHECKSUM:
		return refused(arrival, DROPPED_CHECKSUM);
	case OUT_OF_FRAME:
		break;
	}
	return XDP_ABORTED;
}

/* The fine clock: a cookie that the engine has minted just now, in a new tick, must not come too early. */
INLINE int on_stray_ack(struct xdp_md *ctx, const struct arrival *arrival)
{
	struct raw_options raw = {};
	struct tcp_options echo = {};
	__u64 now = bpf_ktime_get_ns();

	if (!load_options(ctx, arrival->packet, arrival->segment, &raw))
		return XDP_ABORTED;
	parse_options(&echo, &raw, arrival->segment->header_bytes - sizeof(struct tcp));
	if (!is_cookie(arrival->packet, arrival->listener, arrival->segment->tcp, &echo, now))
		return refused(arrival, counter_of_stray(arrival->segment));
	mark_flow(arrival->flow.hash, now);
	reply_proven(&arrival->packet->remote.address, ctx->rx_queue_index);
	sample_proven(&arrival->packet->remote.address);
	arrival->counts->cookies_valid++;
	return passed(ctx, arrival, REDIRECTED_COOKIE);
}

/* The shield is up. */
INLINE int admit(struct xdp_md *ctx, const struct arrival *arrival)
{
	__u32 flags = arrival->segment->flags;

	switch (flow_published(&arrival->flow)) {
	case KNOWN:
		return passed(ctx, arrival, REDIRECTED_KNOWN);
	case UNTOLD:
		return passed(ctx, arrival, REDIRECTED_UNTOLD);
	case UNKNOWN:
		break;
	}
	if (!(arrival->listener->flags & TAKES_CLIENTS))
		return refused(arrival, counter_of_stray(arrival->segment));
	if (!arrival->segment->is_plain)
		return refused(arrival, DROPPED_EXTENSION_HEADERS);
	if (is_syn(flags))
		return on_syn(ctx, arrival);
	if (is_marked(arrival->flow.hash, bpf_ktime_get_coarse_ns()))
		return passed(ctx, arrival, REDIRECTED_KNOWN);
	if ((flags & (SYN | RST | ACK)) == ACK)
		return on_stray_ack(ctx, arrival);
	return refused(arrival, counter_of_stray(arrival->segment));
}

enum client {
	WELCOME,
	LISTED_TO_DROP,
	TOO_MANY_SYNS,
};

/* Whether the source may send here at all, and this SYN. At source ports it is a peer whom we have called, listed or not. */
INLINE enum client client_of(const struct arrival *arrival)
{
	const struct owned_address *source = &arrival->packet->remote.address;

	if (!(arrival->listener->flags & TAKES_CLIENTS))
		return WELCOME;
	switch (listed(source)) {
	case BLOCKED:
		return LISTED_TO_DROP;
	case ALLOWED:
		return WELCOME;
	case UNLISTED:
		break;
	}
	return is_syn(arrival->segment->flags) && !syn_allowed(source) ? TOO_MANY_SYNS : WELCOME;
}

/* A function of its own, so that the verifier looks at it once and not for each way in which a segment may be wrapped. */
__attribute__((noinline)) int verdict_segment(struct xdp_md *ctx, const struct packet *packet, __u32 place)
{
	const struct listener *listener = bpf_map_lookup_elem(&listeners, &place);
	struct segment segment;
	struct arrival arrival = { .packet = packet, .segment = &segment, .listener = listener };
	enum examined examined;
	__u32 up;

	if (!packet || !listener || !listener->guarded)
		return redirect(ctx, REDIRECTED);
	up = listener->up;
	if (up)
		seek_flow(packet, &arrival.flow);
	arrival.counts = bpf_map_lookup_elem(&listener_counts, &place);
	if (!arrival.counts)
		return XDP_ABORTED;
	examined = examine(ctx, packet, &segment);
	if (examined != SOUND)
		return refused(&arrival, counter_of(examined));
	arrival.counts->syns += is_syn(segment.flags);
	switch (client_of(&arrival)) {
	case LISTED_TO_DROP:
		return refused(&arrival, DROPPED_BLOCKED);
	case TOO_MANY_SYNS:
		return refused(&arrival, DROPPED_SYN_RATE);
	case WELCOME:
		break;
	}
	return up ? admit(ctx, &arrival) : passed(ctx, &arrival, REDIRECTED);
}

#endif
