/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * What a frame costs, by BPF_PROG_TEST_RUN: that repeats a program on a frame as the last run has left it, so each run begins
 * with writing the frame anew. `restored` does that and nothing else, `measured` also runs the shield.
 */
#ifndef SYNWARD_MEASURED_H
#define SYNWARD_MEASURED_H

#include "helpers.h"

#define LONGEST_MEASURED 256

struct measured_frame {
	__u32 size;
	__u8 bytes[LONGEST_MEASURED];
};
_Static_assert(sizeof(struct measured_frame) == 260, "mirrored in measure.rs");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct measured_frame);
} measured_frame SEC(".maps");

INLINE void restore(struct xdp_md *ctx)
{
	__u32 only = 0;
	struct measured_frame *frame = bpf_map_lookup_elem(&measured_frame, &only);
	__u32 size = frame ? frame->size : 0;
	long now = (long)ctx->data_end - (long)ctx->data;

	if (!frame || size - 1 >= LONGEST_MEASURED)
		return;
	if (now != size)
		bpf_xdp_adjust_tail(ctx, (int)size - (int)now);
	/* The compiler must not read it again: the verifier has seen this one checked. */
	asm volatile("" : "+r"(size));
	if (size - 1 < LONGEST_MEASURED)
		bpf_xdp_store_bytes(ctx, 0, frame->bytes, size);
}

SEC("xdp")
int restored(struct xdp_md *ctx)
{
	restore(ctx);
	return XDP_DROP;
}

SEC("xdp")
int measured(struct xdp_md *ctx)
{
	restore(ctx);
	return judge(ctx);
}

#endif
