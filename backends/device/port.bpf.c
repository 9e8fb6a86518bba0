/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What runs on a port's device, at the head of the tc hooks.
 *
 * ingress: every frame that the device delivers is tagged with its port's number (802.1ad, VLAN ID
 *          = port + 1) and redirected into the conduit. None goes on to the host's stack, also when
 *          no daemon runs: a device without a slot is closed, and a conduit that
 *          nobody reads drops.
 * egress:  nothing that the host's stack sends leaves by the device. The daemon's own frames do not
 *          pass here (AF_XDP uses dev_direct_xmit()).
 *
 * Tags that the guest put into skb metadata are pushed into the frame by bpf_skb_vlan_push(), so
 * the dataplane sees them all. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "backends/slot.h"

#define SLOTS_MAX 2048
#define DIRECT_DEVICES 65536
#define GSO_BYTES_MIN 256    /* smaller segments are nobody's legitimate traffic */
#define SEGMENTS_MAX 128     /* of one frame: half the ring between the conduit's ends */
#define FRAME_BYTES_MAX (3506 + 14) /* MTU of the conduit, and Ethernet header */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLOTS_MAX);
	__type(key, __u32);
	__type(value, struct bulkhead_slot);
} slots SEC(".maps");

/* Which slot is a device's: the VLAN ID that names it, slot + 1, by ifindex; 0 is closed. Small
 * numbers, nearly all, have an array, which costs nothing to ask. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DIRECT_DEVICES);
	__type(key, __u32);
	__type(value, __u32);
} vlan_of_device SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLOTS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} vlan_of_high_device SEC(".maps");

/* Bytes before the payload that GSO cuts up, as qdisc_pkt_len_init() counts them; 0 if unknown. */
static __always_inline __u32 gso_header_bytes(struct __sk_buff *skb)
{
	__u32 offset = sizeof(struct ethhdr);
	__be16 type = 0;
	__u8 byte = 0, protocol = 0;

	if (bpf_skb_load_bytes(skb, 12, &type, 2))
		return 0;
	for (int tags = 0; tags < 2; tags++) {
		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		if (bpf_skb_load_bytes(skb, offset + 2, &type, 2))
			return 0;
		offset += 4;
	}
	if (type == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, offset, &byte, 1) ||
		    bpf_skb_load_bytes(skb, offset + 9, &protocol, 1))
			return 0;
		offset += (byte & 0x0f) * 4;
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, offset + 6, &protocol, 1))
			return 0;
		offset += 40;
	} else {
		return 0;
	}
	if (protocol == IPPROTO_UDP)
		return offset + 8;
	if (protocol != IPPROTO_TCP || bpf_skb_load_bytes(skb, offset + 12, &byte, 1))
		return 0;
	return offset + (byte >> 4) * 4;
}

/* A tap's owner leaves the number of segments to the kernel, which has not counted them yet. */
static __always_inline __u64 segments_of(struct __sk_buff *skb)
{
	__u32 header;

	if (skb->gso_size == 0)
		return 1;
	if (skb->gso_segs != 0)
		return skb->gso_segs;
	header = gso_header_bytes(skb);
	if (skb->len <= header)
		return 1;
	return (skb->len - header + skb->gso_size - 1) / skb->gso_size;
}

SEC("tc")
int bulkhead_in(struct __sk_buff *skb)
{
	__u32 device = skb->ifindex, mtu = 0, number, conduit;
	__u32 *vlan = device < DIRECT_DEVICES ? bpf_map_lookup_elem(&vlan_of_device, &device)
					      : bpf_map_lookup_elem(&vlan_of_high_device, &device);
	struct bulkhead_slot *slot;
	__u64 segments;
	__u64 waiting;

	if (!vlan || *vlan == 0)
		return TC_ACT_SHOT;
	number = *vlan - 1;
	slot = bpf_map_lookup_elem(&slots, &number);
	if (!slot || slot->window == 0)
		return TC_ACT_SHOT;
	conduit = slot->conduit;

	segments = segments_of(skb);
	if (skb->gso_size != 0 && skb->gso_size < GSO_BYTES_MIN) {
		__sync_fetch_and_add(&slot->malformed, segments);
		return TC_ACT_SHOT;
	}
	if (skb->gso_size ? bpf_check_mtu(skb, conduit, &mtu, 0, BPF_MTU_CHK_SEGS) != 0
			  : skb->len > FRAME_BYTES_MAX) {
		__sync_fetch_and_add(&slot->too_big, segments);
		return TC_ACT_SHOT;
	}
	/* Signed: a loss may be noted twice for a moment while the daemon settles it. */
	waiting = slot->passed - slot->received - slot->lost;
	if (segments > SEGMENTS_MAX || ((__s64)waiting > 0 && waiting + segments > slot->window)) {
		__sync_fetch_and_add(&slot->overrun, segments);
		return TC_ACT_SHOT;
	}
	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021AD), (__u16)(number + 1))) {
		__sync_fetch_and_add(&slot->overrun, segments); /* no memory */
		return TC_ACT_SHOT;
	}
	__sync_fetch_and_add(&slot->passed, segments);
	return bpf_redirect(conduit, 0);
}

SEC("tc")
int bulkhead_out(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "GPL";
