/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * The flood generator: run by BPF_PROG_TEST_RUN in live-frames mode, it writes a forged segment into each frame that is
 * due and redirects it to one interface.
 *
 * The kernel recycles pages with whatever their last user left in them, so every byte of a frame is written every time:
 * a template first, which user space has prepared with everything that never changes, then what does.
 */
#include "numbers.h"

/* The lengths a frame can have: bare or with a client's options, over IPv4 or IPv6. */
#define BARE_IPV4 60
#define CLIENT_IPV4 74
#define BARE_IPV6 74
#define CLIENT_IPV6 94
#define MAX_FRAME 96 /* a whole number of words */

#define IPV4_CHECKSUM 24
#define IPV4_SOURCE 26
#define IPV6_SOURCE 22
#define IPV4_TCP 34
#define IPV6_TCP 54
#define TCP_SOURCE_PORT 0
#define TCP_SEQUENCE 4
#define TCP_ACKNOWLEDGMENT 8
#define TCP_CHECKSUM 16
#define TCP_TIMESTAMP 28 /* in the options of a Linux client's SYN */

#define FIRST_PORT 1024
#define PORTS (65536 - FIRST_PORT)

/* A frame without its source, ports, numbers and checksums, and the one's complement sums of what it does have. */
struct template {
	__u8 bytes[MAX_FRAME];
	__u64 tcp_sum; /* pseudo-header and TCP */
	__u64 ip_sum; /* IPv4 header */
	__u32 is_ack; /* an acknowledgment number is drawn */
	__u32 is_stamped; /* a timestamp is drawn */
};

/* What user space orders, once, before the run. An IPv6 address is two words as they lie in memory, an IPv4 address is one
 * of four bytes, widened. */
struct order {
	struct template syn;
	struct template ack;
	__u64 source[2];
	__u64 source_free[2]; /* the bits of the source that are drawn */
	__u64 key; /* of the numbers */
	__u64 interval; /* from burst to burst, in 1/1024 ns */
	__u64 most_behind; /* how late a burst may be and still be sent, in 1/1024 ns */
	__u32 ifindex;
	__u32 is_ipv6;
	__u32 is_client; /* the longer form of the family */
	__u32 acks_in_256; /* how many frames of 256 are ACKs */
	__u32 burst; /* frames that leave together, at most `batch` */
	__u32 batch; /* runs between two flushes by the kernel */
};
_Static_assert(sizeof(struct order) == 2 * 120 + 32 + 24 + 24, "mirrored in generator.rs");

/* How the run goes. Times are of CLOCK_MONOTONIC in nanoseconds. */
struct progress {
	__u64 random;
	__u64 first; /* when the program first ran; 0: not yet */
	__u64 last; /* when it last looked whether a burst is due */
	__u64 due; /* when the next burst is due, in 1/1024 ns after `first` */
	__u64 sent; /* frames redirected */
	__u64 runs; /* how often the program ran */
	__u64 left; /* frames that the burst under way lacks */
};
_Static_assert(sizeof(struct progress) == 56, "mirrored in generator.rs");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct order);
} orders SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct progress);
} progresses SEC(".maps");

/* The program under test. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} subjects SEC(".maps");

static long (*const bpf_tail_call)(void *ctx, void *programs, __u32 index) = (void *)BPF_FUNC_tail_call;

/* Whether a burst is due now; if so, the next one is due an interval later. */
INLINE int is_due(const struct order *order, struct progress *progress)
{
	__u64 now = bpf_ktime_get_ns(), elapsed;

	if (!progress->first)
		progress->first = now;
	progress->last = now;
	elapsed = (now - progress->first) << 10;
	if (elapsed < progress->due)
		return 0;
	if (elapsed - progress->due > order->most_behind)
		progress->due = elapsed - order->most_behind;
	progress->due += order->interval;
	return 1;
}

/* Whether a frame leaves now. A burst begins only where the rest of the kernel's batch has room for all of it: it is
 * flushed in one piece. */
INLINE int leaves(const struct order *order, struct progress *progress)
{
	__u32 place = order->batch ? progress->runs++ % order->batch : 0;

	if (progress->left) {
		progress->left -= 1;
		return 1;
	}
	if (order->batch - place < order->burst || !is_due(order, progress))
		return 0;
	progress->left = order->burst - 1;
	return 1;
}

INLINE __u64 draw(struct progress *progress)
{
	return mixed(progress->random += 0x9e3779b97f4a7c15);
}

/* Copies `size`, a constant, in words. */
INLINE void copy(void *to, const void *from, __u32 size)
{
#pragma unroll
	for (__u32 at = 0; at + 8 <= size; at += 8)
		*(__u64 *)(to + at) = *(const __u64 *)(from + at);
	if (size & 4)
		*(__u32 *)(to + (size & ~7U)) = *(const __u32 *)(from + (size & ~7U));
	if (size & 2)
		*(__u16 *)(to + (size & ~3U)) = *(const __u16 *)(from + (size & ~3U));
}

/* The end that a segment claims to come from. */
struct source {
	__u64 high;
	__u64 low; /* zero in IPv4 */
	__u16 port;
};

/* Port, numbers and the checksum; `sum` is that of everything else. */
INLINE void write_tcp(void *tcp, const struct order *order, __u64 drawn, const struct template *template,
		      const struct source *source, __u64 sum, int is_client)
{
	__u64 numbers = numbers_of(order->key, source->high, source->low, source->port);
	__u32 sequence = numbers, acknowledgment = template->is_ack ? drawn >> 32 : 0;

	*(__u16 *)(tcp + TCP_SOURCE_PORT) = source->port;
	*(__u32 *)(tcp + TCP_SEQUENCE) = sequence;
	*(__u32 *)(tcp + TCP_ACKNOWLEDGMENT) = acknowledgment;
	sum += (__u64)source->port + sequence + acknowledgment;
	if (is_client && template->is_stamped) {
		__u32 stamp = numbers >> 32;

		*(__u32 *)(tcp + TCP_TIMESTAMP) = stamp;
		sum += stamp;
	}
	*(__u16 *)(tcp + TCP_CHECKSUM) = folded(sum);
}

INLINE __u16 port_of(__u64 drawn)
{
	return be16(FIRST_PORT + (((drawn & 0xffff) * PORTS) >> 16));
}

INLINE void write_ipv4(void *frame, const struct order *order, struct progress *progress,
		       const struct template *template, int is_client)
{
	__u64 drawn = draw(progress);
	struct source source = {
		.high = order->source[0] | (draw(progress) & order->source_free[0]),
		.port = port_of(drawn),
	};

	*(__u32 *)(frame + IPV4_SOURCE) = source.high;
	*(__u16 *)(frame + IPV4_CHECKSUM) = folded(template->ip_sum + source.high);
	write_tcp(frame + IPV4_TCP, order, drawn, template, &source, template->tcp_sum + source.high, is_client);
}

INLINE void write_ipv6(void *frame, const struct order *order, struct progress *progress,
		       const struct template *template, int is_client)
{
	__u64 drawn = draw(progress), sum;
	struct source source = {
		.high = order->source[0] | (draw(progress) & order->source_free[0]),
		.low = order->source[1] | (draw(progress) & order->source_free[1]),
		.port = port_of(drawn),
	};

	sum = (source.high >> 32) + (source.high & 0xffffffff) + (source.low >> 32) + (source.low & 0xffffffff);
	*(__u64 *)(frame + IPV6_SOURCE) = source.high;
	*(__u64 *)(frame + IPV6_SOURCE + 8) = source.low;
	write_tcp(frame + IPV6_TCP, order, drawn, template, &source, template->tcp_sum + sum, is_client);
}

/* Writes a frame of `size` bytes, a constant, if it is that long. */
#define WRITE(family, size, is_client)                                                                                 \
	do {                                                                                                           \
		if (frame + (size) > end)                                                                              \
			return 0;                                                                                      \
		copy(frame, template->bytes, size);                                                                    \
		write_##family(frame, order, progress, template, is_client);                                           \
		return 1;                                                                                              \
	} while (0)

INLINE int write_frame(struct xdp_md *ctx, const struct order *order, struct progress *progress,
		       const struct template *template)
{
	void *frame = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if (order->is_ipv6 && order->is_client)
		WRITE(ipv6, CLIENT_IPV6, 1);
	if (order->is_ipv6)
		WRITE(ipv6, BARE_IPV6, 0);
	if (order->is_client)
		WRITE(ipv4, CLIENT_IPV4, 1);
	WRITE(ipv4, BARE_IPV4, 0);
}

INLINE const struct template *next_template(const struct order *order, struct progress *progress)
{
	return (draw(progress) & 255) < order->acks_in_256 ? &order->ack : &order->syn;
}

SEC("xdp")
int flood(struct xdp_md *ctx)
{
	__u32 only = 0;
	const struct order *order = bpf_map_lookup_elem(&orders, &only);
	struct progress *progress = bpf_map_lookup_elem(&progresses, &only);

	if (!order || !progress || !leaves(order, progress))
		return XDP_DROP;
	if (!write_frame(ctx, order, progress, next_template(order, progress)))
		return XDP_ABORTED;
	progress->sent += 1;
	return bpf_redirect(order->ifindex, 0);
}

INLINE long frame_bytes(const struct order *order)
{
	if (order->is_ipv6)
		return order->is_client ? CLIENT_IPV6 : BARE_IPV6;
	return order->is_client ? CLIENT_IPV4 : BARE_IPV4;
}

/* A program that has answered with a shorter frame pays for its getting longer again, too. */
INLINE void lengthen(struct xdp_md *ctx, const struct order *order)
{
	long lacking = frame_bytes(order) - ((long)ctx->data_end - (long)ctx->data);

	if (lacking > 0)
		bpf_xdp_adjust_tail(ctx, lacking);
}

/* Writes the next frame and hands it to the program under test, which may do with it what it likes: the next run writes
 * every byte anew. */
SEC("xdp")
int rehearsal(struct xdp_md *ctx)
{
	__u32 only = 0;
	const struct order *order = bpf_map_lookup_elem(&orders, &only);
	struct progress *progress = bpf_map_lookup_elem(&progresses, &only);

	if (!order || !progress)
		return XDP_ABORTED;
	lengthen(ctx, order);
	if (!write_frame(ctx, order, progress, next_template(order, progress)))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &subjects, 0);
	return XDP_ABORTED;
}

/* What a rehearsal costs whatever the program under test does. */
SEC("xdp")
int nothing(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

char licence[] SEC("license") = "Dual MIT/GPL";
