/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * The flood generator: run by BPF_PROG_TEST_RUN in live-frames mode, it writes a forged segment into each frame that is
 * due and redirects it to one interface.
 *
 * The kernel recycles pages with whatever their last user left in them, so every byte of a frame is written every time:
 * a template first, which user space has prepared with everything that never changes, then what does.
 */
#include "helpers.h"

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
	__u64 interval; /* from frame to frame, in 1/1024 ns */
	__u64 most_behind; /* how late a frame may be and still be sent, in 1/1024 ns */
	__u32 ifindex;
	__u32 is_ipv6;
	__u32 is_client; /* the longer form of the family */
	__u32 acks_in_256; /* how many frames of 256 are ACKs */
};
_Static_assert(sizeof(struct order) == 2 * 120 + 32 + 16 + 16, "mirrored in generator.rs");

/* How the run goes. Times are of CLOCK_MONOTONIC in nanoseconds. */
struct progress {
	__u64 random;
	__u64 first; /* when the program first ran; 0: not yet */
	__u64 last; /* when it last ran */
	__u64 due; /* when the next frame is due, in 1/1024 ns after `first` */
	__u64 sent; /* frames redirected */
};
_Static_assert(sizeof(struct progress) == 40, "mirrored in generator.rs");

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

/* Whether a frame is due now; if so, the next one is due an interval later. */
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

/* SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
INLINE __u64 draw(struct progress *progress)
{
	__u64 value = progress->random += 0x9e3779b97f4a7c15;

	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
	value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
	return value ^ (value >> 31);
}

INLINE __u16 folded(__u64 sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (__u16)~sum;
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

/* Ports, numbers and the checksum; `sum` is that of everything else. Sums are taken over words as they lie in memory,
 * which one's complement arithmetic permits (RFC 1071, section 2). */
INLINE void write_tcp(void *tcp, struct progress *progress, const struct template *template, __u64 sum, int is_client)
{
	__u64 numbers = draw(progress), rest = draw(progress);
	__u32 sequence = numbers, acknowledgment = template->is_ack ? numbers >> 32 : 0;
	__u16 port = be16(FIRST_PORT + (((rest & 0xffff) * PORTS) >> 16));

	*(__u16 *)(tcp + TCP_SOURCE_PORT) = port;
	*(__u32 *)(tcp + TCP_SEQUENCE) = sequence;
	*(__u32 *)(tcp + TCP_ACKNOWLEDGMENT) = acknowledgment;
	sum += (__u64)port + sequence + acknowledgment;
	if (is_client && template->is_stamped) {
		__u32 stamp = rest >> 32;

		*(__u32 *)(tcp + TCP_TIMESTAMP) = stamp;
		sum += stamp;
	}
	*(__u16 *)(tcp + TCP_CHECKSUM) = folded(sum);
}

INLINE void write_ipv4(void *frame, const struct order *order, struct progress *progress,
		       const struct template *template, int is_client)
{
	__u32 source = order->source[0] | (draw(progress) & order->source_free[0]);

	*(__u32 *)(frame + IPV4_SOURCE) = source;
	*(__u16 *)(frame + IPV4_CHECKSUM) = folded(template->ip_sum + source);
	write_tcp(frame + IPV4_TCP, progress, template, template->tcp_sum + source, is_client);
}

INLINE void write_ipv6(void *frame, const struct order *order, struct progress *progress,
		       const struct template *template, int is_client)
{
	__u64 high = order->source[0] | (draw(progress) & order->source_free[0]);
	__u64 low = order->source[1] | (draw(progress) & order->source_free[1]);
	__u64 sum = (high >> 32) + (high & 0xffffffff) + (low >> 32) + (low & 0xffffffff);

	*(__u64 *)(frame + IPV6_SOURCE) = high;
	*(__u64 *)(frame + IPV6_SOURCE + 8) = low;
	write_tcp(frame + IPV6_TCP, progress, template, template->tcp_sum + sum, is_client);
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

SEC("xdp")
int flood(struct xdp_md *ctx)
{
	__u32 only = 0;
	const struct order *order = bpf_map_lookup_elem(&orders, &only);
	struct progress *progress = bpf_map_lookup_elem(&progresses, &only);
	const struct template *template;

	if (!order || !progress || !is_due(order, progress))
		return XDP_DROP;
	template = (draw(progress) & 255) < order->acks_in_256 ? &order->ack : &order->syn;
	if (!write_frame(ctx, order, progress, template))
		return XDP_ABORTED;
	progress->sent += 1;
	return bpf_redirect(order->ifindex, 0);
}

char licence[] SEC("license") = "Dual MIT/GPL";
