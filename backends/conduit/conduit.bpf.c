/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What runs at the worker's end of the conduit: everything to the AF_XDP socket, with the number of
 * the port that it came in by in front (bulkhead_prefix); and if nobody listens there, dropped.
 *
 * The number arrives as the VLAN ID of the tag that port.bpf.c pushed. Where the kernel can say
 * what tag an skb carries beside the frame (6.8: veth's xdp_metadata_ops), the tag never enters the
 * frame, which saves moving the frame about. Older kernels insert it, and it is taken out here. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "backends/slot.h"

#define VLAN_MASK 0x0fff

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *protocol,
					__u16 *tci) __ksym __weak; /* or no program here would load */

SEC("?xdp")
int tag_beside(struct xdp_md *ctx)
{
	struct bulkhead_prefix *prefix;
	__be16 protocol;
	__u16 tci;

	if (bpf_xdp_metadata_rx_vlan_tag(ctx, &protocol, &tci) ||
	    protocol != bpf_htons(ETH_P_8021AD) || bpf_xdp_adjust_head(ctx, -(int)sizeof(*prefix)))
		return XDP_DROP;
	prefix = (void *)(long)ctx->data;
	if ((void *)(prefix + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	prefix->port = (tci & VLAN_MASK) - 1;
	return bpf_redirect_map(&sockets, 0, XDP_DROP);
}

SEC("?xdp")
int tag_inside(struct xdp_md *ctx)
{
	struct {
		__u32 macs[3];
		__be16 protocol;
		__be16 tci;
	} *tagged = (void *)(long)ctx->data;
	__u32 number;

	if ((void *)(tagged + 1) > (void *)(long)ctx->data_end ||
	    tagged->protocol != bpf_htons(ETH_P_8021AD))
		return XDP_DROP;
	number = (bpf_ntohs(tagged->tci) & VLAN_MASK) - 1;
	*(__u32 *)&tagged->protocol = tagged->macs[2];
	tagged->macs[2] = tagged->macs[1];
	tagged->macs[1] = tagged->macs[0];
	tagged->macs[0] = number;
	return bpf_redirect_map(&sockets, 0, XDP_DROP);
}

/* Behind them, at the tc ingress of the same device: while somebody has taken the XDP program off,
 * no guest's frame reaches the host's stack. */
SEC("?tc")
int conduit_end(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "GPL";
