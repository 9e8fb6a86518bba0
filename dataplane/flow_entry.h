/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the worker and the ports' tc programs share, so that the kernel can repeat a verdict: the
 * layout of the flow table, in memory that both have mapped, and the arithmetic that both must do
 * alike. The worker is the only writer of an entry's first half (dataplane/flow_table.hpp), the
 * program its only reader (backends/shortcut/shortcut.bpf.h). C, for the program is compiled for
 * the kernel.
 *
 * How a reader on another processor never sees half an entry: `version` is odd while the worker
 * writes, and the program reads it before and after (a seqlock). x86-64 does neither stores nor
 * loads out of order, so it is enough that the compilers keep them where they are. */
#pragma once

#ifdef __cplusplus
#include <cstdint>
using bulkhead_u16 = std::uint16_t;
using bulkhead_u32 = std::uint32_t;
using bulkhead_u64 = std::uint64_t;
#else
typedef unsigned short bulkhead_u16;
typedef unsigned int bulkhead_u32;
typedef unsigned long long bulkhead_u64;
#endif

/* An entry is in one of two sets of two places: BULKHEAD_FLOW_PLACES of them, from its hash. */
#define BULKHEAD_FLOW_PLACES 4
#define BULKHEAD_FLOW_SET 2

/* Of an address in the MAC table: how many times it moved or was forgotten. Number 0 is of
 * addresses that do neither, and never counts. */
#define BULKHEAD_FLOW_EPOCHS 65536

/* What two frames must share to get the same verdict, see flow_key.hpp. In host byte order:
 *   [0] destination MAC << 16 | flags | ingress port     [1] source MAC
 *   [2], [3] source address     [4], [5] destination address, upper and lower half */
#define BULKHEAD_FLOW_WORDS 6
#define BULKHEAD_FLOW_PORT 0x0fff
#define BULKHEAD_FLOW_IPV6 0x4000
#define BULKHEAD_FLOW_ANY_DESTINATION 0x8000 /* words 4 and 5 are 0 and say nothing */

/* UDP destination ports that mean something to a check: DHCP and DHCPv6, RIP and RIPng, HSRP over
 * IPv4 and IPv6, GLBP. What is sent there has no key. */
#define BULKHEAD_SPEAKING_PORTS(PORT) \
	PORT(67) PORT(68) PORT(546) PORT(547) PORT(520) PORT(521) PORT(1985) PORT(2029) PORT(3222)

struct bulkhead_flow {
	/* written by the worker */
	bulkhead_u64 key[BULKHEAD_FLOW_WORDS];
	bulkhead_u32 generation; /* of the policy by which the verdict was given; 0: a free place */
	bulkhead_u32 version;    /* odd: being written */
	bulkhead_u16 to;         /* port */
	bulkhead_u16 bytes_max;  /* of a frame on the wire, by both ports' MTU */
	bulkhead_u16 source;     /* number of the source's epoch */
	bulkhead_u16 destination;
	/* a cache line further: what changes while it is in use */
	bulkhead_u64 epochs;  /* sum of both then; written by the worker, with the above */
	bulkhead_u32 made_ms; /* by the worker, on its clock */
	bulkhead_u32 reserved0;
	bulkhead_u64 frames; /* written by the program, segments counted; not exact, as two processors
	                        may count at once */
	bulkhead_u64 bytes;
	bulkhead_u64 reserved1[4];
};

/* What the program asks once a frame. */
struct bulkhead_flow_head {
	/* written by control */
	bulkhead_u64 hash_key;
	bulkhead_u64 deadline_ns; /* CLOCK_MONOTONIC_COARSE: nothing passes later than that */
	bulkhead_u32 generation;  /* of the policy in force */
	bulkhead_u32 reserved0;
	bulkhead_u64 reserved1[5];
};

/* A port's part. */
struct bulkhead_flow_port {
	/* written by control */
	bulkhead_u32 road;         /* BULKHEAD_ROAD_: how frames get to the port */
	bulkhead_u32 takes_part;   /* as where frames come in */
	bulkhead_u32 any_source;   /* words 2 and 3 of its keys are 0 and say nothing */
	bulkhead_u32 region_first; /* its entries: a place in the table, */
	bulkhead_u32 region_sets;  /* and how many sets; a power of two, or 0 */
	bulkhead_u32 reserved0[11];
	/* counted by the programs, exactly */
	bulkhead_u64 in_frames; /* segments counted */
	bulkhead_u64 in_bytes;  /* as on the wire */
	bulkhead_u64 out_frames;
	bulkhead_u64 out_bytes;
	bulkhead_u64 no_key;   /* went to the worker, as they have none */
	bulkhead_u64 no_entry; /* as there is no entry, */
	bulkhead_u64 stale;    /* or it is of an earlier policy, or an address moved, */
	bulkhead_u64 closed;   /* or it may not be used: too long for it, no device, no daemon */
};

#ifdef __cplusplus
static_assert(sizeof(bulkhead_flow) == 128 && sizeof(bulkhead_flow_head) == 64 &&
              sizeof(bulkhead_flow_port) == 128);
#endif

#define BULKHEAD_ROAD_NONE 0
#define BULKHEAD_ROAD_REDIRECT 1 /* into the device, past our own guard */
#define BULKHEAD_ROAD_PEER 2     /* to the other end of a veth in another network namespace */

/* Mixes the whole key, so that who chooses addresses cannot choose places. Each step is a
 * bijection of what it adds (the finalizer of SplitMix64 in turn). */
static inline bulkhead_u64 bulkhead_flow_hash(const bulkhead_u64 *key, bulkhead_u64 secret)
{
	bulkhead_u64 hash = secret;

#ifdef __clang__
#pragma clang loop unroll(full)
#endif
	for (int i = 0; i < BULKHEAD_FLOW_WORDS; i++) {
		hash = (hash ^ key[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return hash;
}

/* The place that is asked `nth`, of the region that begins at `first` and has `sets`. */
static inline bulkhead_u32 bulkhead_flow_place(bulkhead_u32 first, bulkhead_u32 sets,
					       bulkhead_u64 hash, int nth)
{
	bulkhead_u32 bits = (bulkhead_u32)(nth < BULKHEAD_FLOW_SET ? hash : hash >> 32);

	return first + (bits & (sets - 1)) * BULKHEAD_FLOW_SET +
	       (bulkhead_u32)nth % BULKHEAD_FLOW_SET;
}
