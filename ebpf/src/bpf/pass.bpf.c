/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * Passes every frame. On the far end of a veth pair it makes that end poll itself, so that it receives what an XDP
 * program or an AF_XDP socket on this end sends.
 */
#include "helpers.h"

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char licence[] SEC("license") = "Dual MIT/GPL";
