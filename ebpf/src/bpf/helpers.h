/* SPDX-License-Identifier: (MIT OR GPL-2.0-only)
 *
 * What a program of ours needs of the BPF runtime: section names, the map notation, kernel helpers by number. A small
 * set of our own, so that building asks for clang and the kernel's UAPI headers, not for libbpf.
 */
#ifndef SYNWARD_HELPERS_H
#define SYNWARD_HELPERS_H

#include <linux/bpf.h>
#include <linux/types.h>

#define SEC(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline)) inline

/* The notation in which loaders read a map's definition from BTF. */
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define be16(constant) ((__be16)__builtin_bswap16((__u16)(constant)))
#define be32(constant) ((__be32)__builtin_bswap32((__u32)(constant)))
#define host16(field) __builtin_bswap16((__u16)(field))
#define host32(field) __builtin_bswap32((__u32)(field))
/* Two ports as they lie in memory one after the other. */
#define ports_of(first, second) ((__u32)(first) | (__u32)(second) << 16)
#else
#define be16(constant) ((__be16)(constant))
#define be32(constant) ((__be32)(constant))
#define host16(field) ((__u16)(field))
#define host32(field) ((__u32)(field))
#define ports_of(first, second) ((__u32)(first) << 16 | (__u32)(second))
#endif
/* The way back is the same. */
#define network16(value) host16(value)
#define network32(value) host32(value)

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*const bpf_xdp_adjust_tail)(struct xdp_md *ctx, int delta) = (void *)BPF_FUNC_xdp_adjust_tail;
static long (*const bpf_xdp_load_bytes)(struct xdp_md *ctx, __u32 offset, void *into, __u32 size) =
	(void *)BPF_FUNC_xdp_load_bytes;
static __u64 (*const bpf_ktime_get_coarse_ns)(void) = (void *)BPF_FUNC_ktime_get_coarse_ns;
static __u64 (*const bpf_ktime_get_ns)(void) = (void *)BPF_FUNC_ktime_get_ns;
static __u32 (*const bpf_get_prandom_u32)(void) = (void *)BPF_FUNC_get_prandom_u32;
static __u32 (*const bpf_get_smp_processor_id)(void) = (void *)BPF_FUNC_get_smp_processor_id;
static long (*const bpf_redirect)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;
static long (*const bpf_redirect_map)(void *map, __u64 key, __u64 flags) = (void *)BPF_FUNC_redirect_map;

#endif
