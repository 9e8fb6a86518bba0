/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What runs at the worker's end of the conduit: everything to the AF_XDP socket, and if nobody
 * listens there, dropped. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

SEC("xdp")
int bulkhead_xdp(struct xdp_md *ctx)
{
	return bpf_redirect_map(&sockets, 0, XDP_DROP);
}

char LICENSE[] SEC("license") = "GPL";
