/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What runs in the driver of a NIC that is attached by native XDP: every frame to the AF_XDP socket
 * of its queue; and if there is none, or no daemon, dropped. None goes on to the host's stack.
 *
 * One program for all NICs: it is loaded before the daemon gives up the right to load any. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "backends/nic/nic.h"

#define QUEUES_MAX (BULKHEAD_NICS_MAX * BULKHEAD_NIC_QUEUES_MAX)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BULKHEAD_NICS_MAX);
	__type(key, __u32); /* ifindex */
	__type(value, struct bulkhead_nic);
} nics SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} nic_sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, QUEUES_MAX);
	__type(key, __u32);
	__type(value, struct bulkhead_queue);
} counts SEC(".maps");

SEC("xdp")
int bulkhead_nic(struct xdp_md *ctx)
{
	__u32 device = ctx->ingress_ifindex, queue = ctx->rx_queue_index, place;
	struct bulkhead_nic *nic = bpf_map_lookup_elem(&nics, &device);
	struct bulkhead_queue *count;
	long action = XDP_DROP;

	if (!nic)
		return XDP_DROP; /* closed */
	/* A queue that the device has got since is counted with the first. */
	place = nic->first + (queue < nic->queues ? queue : 0);
	count = bpf_map_lookup_elem(&counts, &place);
	if (!count)
		return XDP_DROP;
	if (queue < nic->queues)
		action = bpf_redirect_map(&nic_sockets, place, XDP_DROP);
	__sync_fetch_and_add(&count->handed, 1);
	if (action != XDP_REDIRECT)
		__sync_fetch_and_add(&count->missed, 1);
	return action;
}

char LICENSE[] SEC("license") = "GPL";
