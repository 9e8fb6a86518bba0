/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* One port's place on the conduit, shared by the port's tc program and the daemon through a
 * memory-mapped BPF array. Each cache line has one writer. Counts are frames, a GSO frame counted
 * as the segments that it becomes.
 *
 * The window is the fairness of the conduit: a port may have at most `window` frames between its tc
 * program and the worker, so that no port fills the queues in between, which all share. */
#pragma once

#ifdef __cplusplus
#include <cstdint>
using bulkhead_u32 = std::uint32_t;
using bulkhead_u64 = std::uint64_t;
#else
typedef unsigned int bulkhead_u32;
typedef unsigned long long bulkhead_u64;
#endif

struct bulkhead_slot {
	/* written by the tc program */
	bulkhead_u64 passed;    /* handed to the conduit */
	bulkhead_u64 too_big;   /* longer than the conduit takes */
	bulkhead_u64 malformed; /* GSO with an absurd segment size */
	bulkhead_u64 overrun;   /* beyond the window */
	bulkhead_u64 reserved0[4];
	/* written by the daemon */
	bulkhead_u64 received;  /* arrived at the worker */
	bulkhead_u64 lost;      /* died in the conduit */
	bulkhead_u64 window;    /* 0: closed, nothing passes */
	bulkhead_u64 conduit;   /* interface index: where to */
	bulkhead_u64 reserved1[4];
};

/* In front of every frame that the worker receives from the conduit. */
struct bulkhead_prefix {
	bulkhead_u32 port; /* index of the slot */
};
