/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * Bare systems: the least that a program must do to drop a frame, to send it back, or to hand it to user space.
 */
#include <linux/if_ether.h>

#include "helpers.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

SEC("xdp")
int drop(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

SEC("xdp")
int reflect(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u16 *words = data, kept;

	if (data + ETH_HLEN > end)
		return XDP_DROP;
#pragma unroll
	for (int at = 0; at < ETH_ALEN / 2; at++) {
		kept = words[at];
		words[at] = words[at + ETH_ALEN / 2];
		words[at + ETH_ALEN / 2] = kept;
	}
	return XDP_TX;
}

SEC("xdp")
int to_socket(struct xdp_md *ctx)
{
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP);
}

char licence[] SEC("license") = "Dual MIT/GPL";
