/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * One counter per outcome; each frame that arrives is counted under exactly one. The order is that of `ShieldCounter` in
 * counters.rs; a test there compares the two lists.
 */
#ifndef SYNWARD_COUNTERS_H
#define SYNWARD_COUNTERS_H

#include "helpers.h"

enum counter {
	REDIRECTED,
	REDIRECTED_ICMP,
	PASSED,
	PASSED_MALFORMED,
	PASSED_FRAGMENT,
	DROPPED_NO_SOCKET,
	DROPPED_FRAGMENT,
	DROPPED_EXTENSION_HEADERS,
	REDIRECTED_KNOWN,
	REDIRECTED_UNTOLD,
	REDIRECTED_COOKIE,
	ANSWERED_COOKIE,
	DROPPED_HEADER,
	DROPPED_FLAGS,
	DROPPED_PORT_ZERO,
	DROPPED_MARTIAN,
	DROPPED_LAND,
	DROPPED_CHECKSUM,
	DROPPED_ACCEPT_QUEUE_FULL,
	DROPPED_NO_TIMESTAMPS,
	DROPPED_SYN,
	DROPPED_ACK,
	DROPPED_DATA,
	DROPPED_FIN,
	DROPPED_RST,
	DROPPED_SYN_ACK,
	DROPPED_NO_ACK,
	DROPPED_STALLED,
	PASSED_STALLED,
	DROPPED_BLOCKED,
	DROPPED_SYN_RATE,
	DROPPED_REPLY_CEILING,
	COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

INLINE void count(enum counter which)
{
	__u32 index = which;
	__u64 *value = bpf_map_lookup_elem(&counters, &index);

	if (value)
		*value += 1;
}

#endif
