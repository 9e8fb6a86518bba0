/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The NICs' places in the maps of nic.bpf.c, shared with the daemon. */
#pragma once

#include "backends/slot.h"

#define BULKHEAD_NICS_MAX 64
#define BULKHEAD_NIC_QUEUES_MAX 64 /* of one NIC */

/* Where a device's queues are in `sockets` and `counts`. Written by the daemon. */
struct bulkhead_nic {
	bulkhead_u32 first;
	bulkhead_u32 queues;
};

/* Frames of one queue, in a cache line of its own: queues are received on different CPUs. */
struct bulkhead_queue {
	/* written by the XDP program */
	bulkhead_u64 handed; /* received from the device */
	bulkhead_u64 missed; /* of these, dropped: the queue has no socket */
	bulkhead_u64 reserved[6];
};
