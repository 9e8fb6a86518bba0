/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the ports' tc programs and the daemon share through memory-mapped BPF arrays: one port's
 * place on the conduit, and the queue that all ports of a worker wait in. Each cache line has one
 * writer. Counts are frames, a GSO frame counted as the frames that it becomes. What waits is
 * passed - received - lost, of a port as of the queue.
 *
 * The rule that keeps the conduit fair is the tc program's: a port may have as many frames waiting
 * as it leaves free in the queue (Choudhury and Hahne, "Dynamic queue length thresholds for
 * shared-memory packet switches", 1998, with a share of one). So a port alone has half of it, and
 * however many fill their shares, who comes next finds one. */
#pragma once

#ifdef __cplusplus
#include <cstdint>
using bulkhead_u32 = std::uint32_t;
using bulkhead_u64 = std::uint64_t;
#else
typedef unsigned int bulkhead_u32;
typedef unsigned long long bulkhead_u64;
#endif

/* Of a queue: less than the receive ring takes (4096), for programs on several processors may each
 * find the same place free. */
#define BULKHEAD_CONDUIT_FRAMES 3840

struct bulkhead_slot {
	/* written by the tc program */
	bulkhead_u64 passed;    /* handed to the conduit */
	bulkhead_u64 too_big;   /* longer than the conduit takes */
	bulkhead_u64 malformed; /* GSO that is absurd or not what its headers say */
	bulkhead_u64 overrun;   /* beyond the port's share of the queue */
	bulkhead_u64 reserved0[4];
	/* written by the worker */
	bulkhead_u64 received; /* taken out of the queue */
	bulkhead_u64 lost;     /* died on the way */
	bulkhead_u64 queue;    /* which one: the worker's number */
	/* written by control, seldom */
	bulkhead_u64 open;     /* 0: nothing passes */
	bulkhead_u64 conduit;  /* interface index: where to */
	bulkhead_u64 reserved1[3];
};

struct bulkhead_conduit {
	/* written by the tc programs */
	bulkhead_u64 passed;
	bulkhead_u64 reserved0[7];
	/* written by the worker */
	bulkhead_u64 received;
	bulkhead_u64 lost;
	bulkhead_u64 reserved1[6];
};

/* In front of every frame that the worker receives from the conduit. */
struct bulkhead_prefix {
	bulkhead_u32 port; /* index of the slot */
};
