/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * The attackers' end of the wire, over IPv4: judges every answer to a flood by the numbers that its SYN must have had,
 * counts it, and drops it. One good SYN-ACK in SAMPLE_EVERY goes to user space, and so does every segment with data,
 * which somebody must have been let in for.
 */
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#include "numbers.h"

#define SAMPLE_EVERY 1024
#define IP_HEADER 20
#define TCP_HEADER 20
#define LONGEST_TCP_HEADER 60
#define MOST_OPTIONS 16
#define LONGEST_WINDOW_SCALE 14

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

enum option {
	END = 0,
	NOTHING = 1,
	MSS = 2,
	WINDOW_SCALE = 3,
	SACK_PERMITTED = 4,
	TIMESTAMPS = 8,
};

/* What a frame was; validator.rs mirrors the order. */
enum sight {
	VALID, /* a SYN-ACK with nothing wrong */
	TORN, /* lengths that contradict each other, a header with IP options, or a SYN-ACK with data */
	BAD_IP_CHECKSUM,
	BAD_TCP_CHECKSUM,
	BAD_FLAGS, /* SYN and ACK, and something else */
	BAD_ACKNOWLEDGMENT,
	BAD_OPTIONS, /* no MSS where there were options, a wrong timestamp echoed, an option twice, unsound or not offered */
	REFLECTED, /* what was sent, unchanged above the link */
	RESET,
	DATA,
	OTHER,
	LOST, /* user space did not keep up; counted besides what the frame was */
	SIGHTS,
};

struct expectation {
	__u64 key; /* of the numbers */
	__be32 target;
	__be16 port;
	__u8 is_client; /* SYNs offered SACK, timestamps and window scale */
	__u8 takes_unfinished; /* a checksum may be the sum of the pseudo-header alone */
};
_Static_assert(sizeof(struct expectation) == 16, "mirrored in validator.rs");

struct record {
	__u32 length;
	__u8 bytes[188]; /* of the frame; the rest is left over from others */
};
_Static_assert(sizeof(struct record) == 192, "mirrored in validator.rs");

struct tcp {
	__be16 source;
	__be16 destination;
	__be32 sequence;
	__be32 acknowledgment;
	__u8 words; /* of the header, in the upper half */
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
};
_Static_assert(sizeof(struct tcp) == TCP_HEADER, "RFC 9293, section 3.1");

/* A TCP header with all its options, and zeros behind them: an option of the greatest size may be looked at anywhere. */
union header {
	struct tcp tcp;
	__u8 bytes[LONGEST_TCP_HEADER + 12];
	__u32 words[(LONGEST_TCP_HEADER + 12) / 4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct expectation);
} expectations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SIGHTS);
	__type(key, __u32);
	__type(value, __u64);
} sights SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} records SEC(".maps");

static void *(*const bpf_ringbuf_reserve)(void *ring, __u64 size, __u64 flags) = (void *)BPF_FUNC_ringbuf_reserve;
static void (*const bpf_ringbuf_submit)(void *record, __u64 flags) = (void *)BPF_FUNC_ringbuf_submit;
static void (*const bpf_ringbuf_discard)(void *record, __u64 flags) = (void *)BPF_FUNC_ringbuf_discard;

/* Returns how many there have been on this core. */
INLINE __u64 count(enum sight which)
{
	__u32 index = which;
	__u64 *seen = bpf_map_lookup_elem(&sights, &index);

	return seen ? *seen += 1 : 0;
}

INLINE void hand_over(struct xdp_md *ctx, __u64 length)
{
	struct record *record = bpf_ringbuf_reserve(&records, sizeof(*record), 0);

	if (!record) {
		count(LOST);
		return;
	}
	if (length > sizeof(record->bytes))
		length = sizeof(record->bytes);
	record->length = length;
	if (length < ETH_HLEN || bpf_xdp_load_bytes(ctx, 0, record->bytes, length))
		bpf_ringbuf_discard(record, 0);
	else
		bpf_ringbuf_submit(record, 0);
}

INLINE __u64 sum_of(const __u32 *words, int count)
{
	__u64 sum = 0;

#pragma unroll
	for (int at = 0; at < count; at++)
		sum += words[at];
	return sum;
}

/* RFC 9293, section 3.1; one's complement sums may be taken over words as they lie in memory (RFC 1071, section 2). */
INLINE __u64 pseudo_header(const struct iphdr *ip, __u32 segment)
{
	return (__u64)ip->saddr + ip->daddr + be16(IPPROTO_TCP) + be16(segment);
}

INLINE int is_sound_checksum(const struct expectation *expected, const union header *header, __u64 pseudo)
{
	if (!folded(pseudo + sum_of(header->words, LONGEST_TCP_HEADER / 4)))
		return 1;
	return expected->takes_unfinished && header->tcp.checksum == (__u16)~folded(pseudo);
}

/* Whether an option of this kind may stand here; `at` is within the header. */
INLINE int is_sound_option(const struct expectation *expected, const union header *header, __u32 at, __u32 size,
			   __u32 stamp)
{
	const __u8 *option = &header->bytes[at];

	switch (option[0]) {
	case MSS:
		return size == 4 && (option[2] || option[3]);
	case WINDOW_SCALE:
		return expected->is_client && size == 3 && option[2] <= LONGEST_WINDOW_SCALE;
	case SACK_PERMITTED:
		return expected->is_client && size == 2;
	case TIMESTAMPS:
		return expected->is_client && size == 10 && option[6] == (__u8)stamp &&
		       option[7] == (__u8)(stamp >> 8) && option[8] == (__u8)(stamp >> 16) &&
		       option[9] == (__u8)(stamp >> 24);
	}
	return 0;
}

/* `length` is that of the header, at most LONGEST_TCP_HEADER. */
INLINE int are_sound_options(const struct expectation *expected, const union header *header, __u32 length,
			     __u32 stamp)
{
	__u32 at = TCP_HEADER, found = 0;

	for (int options = 0; options < MOST_OPTIONS && at < length; options++) {
		__u32 kind, size;

		/* What `length` promises, said again for the verifier. */
		if (at >= LONGEST_TCP_HEADER)
			return 0;
		kind = header->bytes[at];
		if (kind == END)
			break;
		if (kind == NOTHING) {
			at += 1;
			continue;
		}
		size = header->bytes[at + 1];
		if (size < 2 || size > 10 || at + size > length || kind > TIMESTAMPS || found & (1U << kind))
			return 0;
		if (!is_sound_option(expected, header, at, size, stamp))
			return 0;
		found |= 1U << kind;
		at += size;
	}
	/* Who offers nothing may be told nothing: else the answer would be larger than the question. */
	return !expected->is_client || (found & (1U << MSS)) != 0;
}

INLINE enum sight judge_syn_ack(const struct expectation *expected, const struct iphdr *ip, const union header *header,
				__u32 length, __u32 segment)
{
	__u64 numbers = numbers_of(expected->key, ip->daddr, 0, header->tcp.destination);

	if (length != segment)
		return TORN;
	if (!is_sound_checksum(expected, header, pseudo_header(ip, segment)))
		return BAD_TCP_CHECKSUM;
	if (header->tcp.flags != (SYN | ACK))
		return BAD_FLAGS;
	if (header->tcp.acknowledgment != be32(be32((__u32)numbers) + 1))
		return BAD_ACKNOWLEDGMENT;
	return are_sound_options(expected, header, length, numbers >> 32) ? VALID : BAD_OPTIONS;
}

/* `header` holds the header of a segment of so many bytes, as far as it says that it goes. */
INLINE enum sight judge_segment(const struct expectation *expected, const struct iphdr *ip, const union header *header,
				__u32 length, __u32 segment)
{
	if (header->tcp.flags & RST)
		return RESET;
	if (header->tcp.flags & SYN && header->tcp.flags & ACK)
		return judge_syn_ack(expected, ip, header, length, segment);
	return segment > length ? DATA : OTHER;
}

/* Whether this is what a flood sent, as far as it can be told without summing it up. */
INLINE enum sight judge_own(const struct expectation *expected, const struct iphdr *ip, const struct tcp *tcp)
{
	__u64 numbers = numbers_of(expected->key, ip->saddr, 0, tcp->source);

	return tcp->sequence == (__u32)numbers && tcp->destination == expected->port ? REFLECTED : OTHER;
}

INLINE enum sight judge(struct xdp_md *ctx, const struct expectation *expected, const struct iphdr *ip,
			const struct tcp *tcp, __u32 room)
{
	union header header = {};
	__u32 packet = host16(ip->tot_len), length = (tcp->words >> 4) * 4;

	if (ip->version != 4 || ip->ihl != IP_HEADER / 4 || packet > room || packet < IP_HEADER + TCP_HEADER)
		return TORN;
	if (folded(sum_of((const __u32 *)ip, IP_HEADER / 4)))
		return BAD_IP_CHECKSUM;
	if (ip->daddr == expected->target)
		return judge_own(expected, ip, tcp);
	if (ip->saddr != expected->target || tcp->source != expected->port)
		return OTHER;
	if (length < TCP_HEADER || length > LONGEST_TCP_HEADER || IP_HEADER + length > packet ||
	    bpf_xdp_load_bytes(ctx, ETH_HLEN + IP_HEADER, header.bytes, length))
		return TORN;
	return judge_segment(expected, ip, &header, length, packet - IP_HEADER);
}

SEC("xdp")
int validator(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct ethhdr *ethernet = data;
	const struct iphdr *ip = data + ETH_HLEN;
	const struct tcp *tcp = data + ETH_HLEN + IP_HEADER;
	__u32 only = 0;
	__u64 length = end - data, so_far;
	const struct expectation *expected = bpf_map_lookup_elem(&expectations, &only);
	enum sight sight;

	if (!expected || (void *)(tcp + 1) > end)
		return XDP_PASS;
	if (ethernet->h_proto != be16(ETH_P_IP) || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	sight = judge(ctx, expected, ip, tcp, length - ETH_HLEN);
	so_far = count(sight);
	if (sight == DATA || (sight == VALID && so_far % SAMPLE_EVERY == 0))
		hand_over(ctx, length);
	return XDP_DROP;
}

char licence[] SEC("license") = "Dual MIT/GPL";
