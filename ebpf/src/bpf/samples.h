/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * Who sends what is refused, and who proves to be real: samples for user space (samples.rs), in rings that it reads without
 * a system call. What it does not read in time is written over.
 *
 * Each processor has two rings, so that no flood pushes out of one what stands in the other. Only that processor writes
 * there. A sample bears its number and a check over all its words: one that is read while it is written over is found out.
 */
#ifndef SYNWARD_SAMPLES_H
#define SYNWARD_SAMPLES_H

#include "helpers.h"
#include "maps.h"

enum sample_kind {
	SAMPLE_ANSWERED = 1, /* a SYN that was answered with a cookie */
	SAMPLE_REFUSED, /* a segment that was dropped */
	SAMPLE_PROVEN, /* a segment that brought a cookie home */
};

struct sample {
	__u64 tag; /* its number, modulo 2^48, then 8 bits of family and 8 of kind */
	__u64 address[2]; /* as it stands in the packet */
	__u64 check; /* the sum of the others */
};
_Static_assert(sizeof(struct sample) == 32, "mirrored in samples.rs");

#define RING_SAMPLES 1024

struct sample_ring {
	__u64 written; /* how many ever were: the number of the next */
	__u64 unused[7]; /* zero */
	struct sample samples[RING_SAMPLES];
};
_Static_assert(sizeof(struct sample_ring) == 64 + 32 * RING_SAMPLES, "mirrored in samples.rs");

enum ring {
	RING_UNPROVEN,
	RING_PROVEN,
	RINGS,
};

/* RINGS for each processor, one after the other; the loader sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RINGS);
	__type(key, __u32);
	__type(value, struct sample_ring);
} samples SEC(".maps");

INLINE struct sample_ring *ring_of(enum ring ring)
{
	__u32 index = bpf_get_smp_processor_id() * RINGS + ring;

	return bpf_map_lookup_elem(&samples, &index);
}

INLINE void write_sample(struct sample_ring *ring, const struct owned_address *source, enum sample_kind kind)
{
	__u64 number = ring->written;
	struct sample *sample = &ring->samples[number % RING_SAMPLES];
	struct sample new = { .tag = number << 16 | (__u64)source->family << 8 | kind };

	__builtin_memcpy(new.address, source->bytes, sizeof(new.address));
	new.check = new.tag + new.address[0] + new.address[1];
	*sample = new;
	ring->written = number + 1;
}

/* Zero to 62, 31 on average: 32 events to a sample, whose distances nobody can fall into step with. */
INLINE __u32 random_skip(void)
{
	__u32 random = bpf_get_prandom_u32();

	return (random & 31) + (random >> 5 & 31);
}

/* Of those who have proved nothing; returns how many of them to pass over next. */
__attribute__((noinline)) __u32 sample_unproven(const struct owned_address *source, enum sample_kind kind)
{
	struct sample_ring *ring = ring_of(RING_UNPROVEN);

	if (!ring || !source)
		return 0;
	write_sample(ring, source, kind);
	return random_skip();
}

/* Each of those who have. */
__attribute__((noinline)) int sample_proven(const struct owned_address *source)
{
	struct sample_ring *ring = ring_of(RING_PROVEN);

	if (!ring || !source)
		return 0;
	write_sample(ring, source, SAMPLE_PROVEN);
	return 1;
}

#endif
