/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * A position in the frame that cannot leave it.
 */
#ifndef SYNWARD_CURSOR_H
#define SYNWARD_CURSOR_H

#include "helpers.h"

struct cursor {
	void *start;
	void *at;
	void *end;
};

INLINE struct cursor cursor_of(const struct xdp_md *ctx)
{
	struct cursor cursor = {
		.start = (void *)(long)ctx->data,
		.at = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};

	return cursor;
}

/* The next `size` bytes, moving past them; NULL if the frame ends before they do, and the cursor stays. */
INLINE void *take(struct cursor *cursor, __u32 size)
{
	void *start = cursor->at;

	if (start + size > cursor->end)
		return 0;
	cursor->at = start + size;
	return start;
}

/* What `skip` can pass over at most; the longest IPv6 extension header has 255 * 8 bytes after its first eight. */
#define MAX_SKIP 2047
_Static_assert(255 * 8 <= MAX_SKIP && (MAX_SKIP & (MAX_SKIP + 1)) == 0, "the mask in skip must change no size");

/* Moves past `size` bytes, a number from the packet; 0 if the frame ends before they do. */
INLINE int skip(struct cursor *cursor, __u32 size)
{
	/* The mask is for the verifier; the compiler, which knows that it changes nothing, must not see through it. */
	asm volatile("" : "+r"(size));
	return take(cursor, size & MAX_SKIP) != 0;
}

/* Bytes of the frame before `position`. */
INLINE __u32 offset_of(const struct cursor *cursor, const void *position)
{
	return position - cursor->start;
}

#endif
