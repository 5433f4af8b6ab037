/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * TCP options (RFC 9293, section 3.2; RFC 2018; RFC 7323), read as the engine reads them (proto, wire/options.rs): a
 * length that is no length ends the walk and what was read before stands, unknown options and known ones of a wrong
 * length are skipped, of two alike the later counts.
 */
#ifndef SYNWARD_OPTIONS_H
#define SYNWARD_OPTIONS_H

#include "helpers.h"
#include "maps.h"

#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_MSS 2
#define OPTION_WINDOW_SCALE 3
#define OPTION_SACK_PERMITTED 4
#define OPTION_TIMESTAMPS 8

#define MAX_OPTION_WORDS 10
#define MAX_OPTION_BYTES (4 * MAX_OPTION_WORDS)

/* The least MSS that is honoured (Linux: TCP_MIN_SND_MSS). */
#define MIN_MSS 48
#define MAX_WINDOW_SCALE 14

/* The options of a header, as they lie in memory, and zeros behind them: three words more than there can be, so that no
 * option's value is read from beyond the array, whatever its length says. */
struct raw_options {
	__u32 words[MAX_OPTION_WORDS + 3];
	/* Where the walk is. Kept here, of which the verifier knows nothing, so that to it all steps look alike. */
	__u32 at;
};
_Static_assert(4 * (MAX_OPTION_WORDS + 3) >= MAX_OPTION_BYTES - 1 + 2 + 8, "the longest value that is read, at the last byte");

struct tcp_options {
	__u32 with; /* WITH_* */
	__u32 mss;
	__u32 window_scale;
	/* As they lie in memory. */
	__u32 timestamp;
	__u32 echo;
};

/* The first word of what Linux puts on every segment once timestamps are negotiated. */
#define PADDED_TIMESTAMPS be32(OPTION_NOP << 24 | OPTION_NOP << 16 | OPTION_TIMESTAMPS << 8 | 10)
/* Words of the SYN that Linux sends: MSS, SACK permitted, timestamps, window scale. */
#define SYN_MSS be32(OPTION_MSS << 24 | 4 << 16)
#define SYN_SACK_AND_TIMESTAMPS be32(OPTION_SACK_PERMITTED << 24 | 2 << 16 | OPTION_TIMESTAMPS << 8 | 10)
#define SYN_WINDOW_SCALE be32(OPTION_NOP << 24 | OPTION_WINDOW_SCALE << 16 | 3 << 8)

INLINE __u32 at_least(__u32 value, __u32 least)
{
	return value < least ? least : value;
}

INLINE __u32 at_most(__u32 value, __u32 most)
{
	return value > most ? most : value;
}

/* Takes in one option. `body` is where its value begins. */
INLINE void read_option(struct tcp_options *options, __u8 kind, __u8 length, const __u8 *body)
{
	switch (kind) {
	case OPTION_MSS:
		/* Zero says nothing, not even against an earlier one (Linux). */
		if (length == 4 && (body[0] | body[1])) {
			options->with |= WITH_MSS;
			options->mss = at_least((__u32)body[0] << 8 | body[1], MIN_MSS);
		}
		break;
	case OPTION_WINDOW_SCALE:
		if (length == 3) {
			options->with |= WITH_WINDOW_SCALE;
			options->window_scale = at_most(body[0], MAX_WINDOW_SCALE);
		}
		break;
	case OPTION_SACK_PERMITTED:
		if (length == 2)
			options->with |= WITH_SACK;
		break;
	case OPTION_TIMESTAMPS:
		if (length == 10) {
			options->with |= WITH_TIMESTAMPS;
			__builtin_memcpy(&options->timestamp, body, sizeof(options->timestamp));
			__builtin_memcpy(&options->echo, body + 4, sizeof(options->echo));
		}
		break;
	}
}

/* Walks whatever options there are, `bytes` of them. */
INLINE void walk_options(struct tcp_options *options, struct raw_options *raw, __u32 bytes)
{
	const __u8 *start = (const __u8 *)raw->words;

	for (int step = 0; step < MAX_OPTION_BYTES; step++) {
		__u32 at = *(volatile __u32 *)&raw->at;
		__u8 kind, length;

		if (at >= MAX_OPTION_BYTES || at + 1 >= bytes)
			break;
		kind = start[at];
		length = start[at + 1];
		if (kind == OPTION_END)
			break;
		if (kind == OPTION_NOP) {
			*(volatile __u32 *)&raw->at = at + 1;
			continue;
		}
		if (length < 2 || at + length > bytes)
			break;
		read_option(options, kind, length, start + at + 2);
		*(volatile __u32 *)&raw->at = at + length;
	}
}

/* The options of a SYN as Linux orders them, which takes no walk; false if they are in another order. */
INLINE int parse_usual_syn(struct tcp_options *options, const __u32 *words)
{
	__u32 mss = network32(words[0]) & 0xffff;

	if ((words[0] & be32(0xffff0000)) != SYN_MSS || words[1] != SYN_SACK_AND_TIMESTAMPS ||
	    (words[4] & be32(0xffffff00)) != SYN_WINDOW_SCALE || !mss)
		return 0;
	options->with = WITH_MSS | WITH_SACK | WITH_TIMESTAMPS | WITH_WINDOW_SCALE;
	options->mss = at_least(mss, MIN_MSS);
	options->timestamp = words[2];
	options->window_scale = at_most(network32(words[4]) & 0xff, MAX_WINDOW_SCALE);
	return 1;
}

/* Any options. This and others are functions of their own so that the verifier looks at them once and not on every path that
 * leads there; it wants to see that pointers are not null. */
__attribute__((noinline)) int parse_options(struct tcp_options *options, struct raw_options *raw, __u32 bytes)
{
	if (!options || !raw)
		return 0;
	if (bytes == 12 && raw->words[0] == PADDED_TIMESTAMPS) {
		options->with = WITH_TIMESTAMPS;
		options->timestamp = raw->words[1];
		options->echo = raw->words[2];
		return 1;
	}
	walk_options(options, raw, bytes);
	return 1;
}

#endif
