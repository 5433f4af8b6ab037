/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * A position in the frame that cannot leave it.
 */
#ifndef SYNWARD_CURSOR_H
#define SYNWARD_CURSOR_H

#include "helpers.h"

struct cursor {
	void *at;
	void *end;
};

INLINE struct cursor cursor_of(const struct xdp_md *ctx)
{
	struct cursor cursor = {
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

#endif
