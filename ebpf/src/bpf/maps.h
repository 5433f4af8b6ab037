/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * The maps that the loader fills. maps.rs mirrors these layouts, and both sides assert their sizes.
 */
#ifndef SYNWARD_MAPS_H
#define SYNWARD_MAPS_H

#include "helpers.h"

/* An address as it stands in the packet; IPv4 in the first four bytes, the rest zero. All zero is the wildcard of its
 * family: it matches every destination address that arrives on the interface. */
struct owned_address {
	__u8 bytes[16];
	__u8 family; /* 4 or 6 */
	__u8 protocol; /* IPPROTO_* */
	__u16 unused; /* zero */
};
_Static_assert(sizeof(struct owned_address) == 20, "mirrored in maps.rs");

struct owned_port {
	struct owned_address address;
	__be16 port;
	__u16 unused; /* zero */
};
_Static_assert(sizeof(struct owned_port) == 24, "mirrored in maps.rs");

/* Ports `lo` to `hi`, both included, in host order. Zero for both is no port at all: port zero cannot be owned. */
struct port_range {
	__u16 lo;
	__u16 hi;
};
_Static_assert(sizeof(struct port_range) == 4, "mirrored in maps.rs");

/* What the loader may change while the program runs. */
struct settings {
	__u32 pass_fragments; /* 0: drop those of an owned address; 1: leave them to the kernel */
	__u32 pass_stalled; /* 0: drop what a stalled poll loop does not take; 1: leave it to the kernel */
	__u64 stall_limit; /* ns; zero: no poll loop counts as stalled */
	__u64 owned_generation; /* another after each change of what is owned */
};
_Static_assert(sizeof(struct settings) == 24, "mirrored in maps.rs");

/* What is known of a listener. All of it is written by user space with plain stores, while the program reads. */
struct listener {
	__u32 guarded; /* 0: every segment goes to the engine, whatever it is */
	__u32 up; /* 1: SYNs get cookies, and only flows that are known and ACKs that bring one pass */
	__u32 accept_queue_full; /* 1: no cookie is sent */
	__u16 mss_v4; /* what SYN-ACKs offer */
	__u16 mss_v6;
	__u16 window;
	__u8 window_scale; /* 0 to 14 */
	__u8 flags; /* WITH_* and those below */
	__u32 unused[11]; /* zero */
};
_Static_assert(sizeof(struct listener) == 64, "mirrored in listeners.rs; a cache line");

/* What a listener offers, in the bits that say what a SYN has (options.h). */
#define WITH_SACK 1
#define WITH_TIMESTAMPS 2
#define WITH_WINDOW_SCALE 4
#define WITH_MSS 8
#define REQUIRES_TIMESTAMPS 16
/* Not so at source ports, which only our own flows have to do with. */
#define TAKES_CLIENTS 32

/* The first places in the table of listeners: what is owned without a listener that the program knows of. */
#define UNGUARDED 0
#define SOURCE_PORTS 1
#define MAX_LISTENERS 1026

struct listener_counts {
	__u64 syns; /* for the listener, whatever became of them */
	__u64 cookies_sent;
	__u64 cookies_valid;
	__u64 refused; /* neither a known flow nor a valid cookie */
	__u64 passed; /* to the engine */
	__u64 to_skip; /* segments of the unproven to pass over before one is sampled (samples.h) */
};
_Static_assert(sizeof(struct listener_counts) == 48, "mirrored in listeners.rs");

/* A cookie key, and the epoch whose ticks it is for. It stands at its epoch modulo COOKIE_KEYS, so that one that may be in
 * use is never written. */
struct cookie_key {
	__u64 k0;
	__u64 k1;
	__u32 epoch;
	__u32 valid;
};
_Static_assert(sizeof(struct cookie_key) == 24, "mirrored in maps.rs");

#define COOKIE_KEYS 4

/* A poll loop's sign of life. */
struct heartbeat {
	__u64 turned; /* CLOCK_MONOTONIC, ns; written by the poll loop each turn */
	__u64 unused[7]; /* zero */
};
_Static_assert(sizeof(struct heartbeat) == 64, "mirrored in heartbeats.rs; a cache line");

/* The ports that are ours one by one, and the place of each one's listener. The loader sets the size; only it inserts, so
 * entries need not be allocated ahead. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct owned_port);
	__type(value, __u32);
} owned_ports SEC(".maps");

/* The addresses at which at least one port is ours: all that a fragment without ports can be asked about. The value is
 * the range of ports that is ours there, if one is. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct owned_address);
	__type(value, struct port_range);
} owned_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_LISTENERS);
	__type(key, __u32);
	__type(value, struct listener);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_LISTENERS);
	__type(key, __u32);
	__type(value, struct listener_counts);
} listener_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COOKIE_KEYS);
	__type(key, __u32);
	__type(value, struct cookie_key);
} cookie_keys SEC(".maps");

/* One for each receive queue; the loader sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct heartbeat);
} heartbeats SEC(".maps");

/* Since when a frame waits for each poll loop: CLOCK_MONOTONIC, ns. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} waiting_since SEC(".maps");

/* One AF_XDP socket per receive queue. The loader sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

#endif
