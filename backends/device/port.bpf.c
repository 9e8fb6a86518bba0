/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What runs on a port's device, at the head of the tc hooks.
 *
 * ingress: a frame of a kind whose verdict the worker has noted for the kernel takes the shortcut
 *          (backends/shortcut). Every other one is tagged with its port's number (802.1ad, VLAN ID
 *          = port + 1) and redirected into the conduit. None goes on to the host's stack, also when
 *          no daemon runs: a device without a slot is closed, and a conduit that
 *          nobody reads drops.
 * egress:  nothing that the host's stack sends leaves by the device. The daemon's own frames do not
 *          pass here (AF_XDP uses dev_direct_xmit()), and what took the shortcut is let pass: it
 *          came in by a device of ours.
 *
 * Tags that the guest put into skb metadata are pushed into the frame by bpf_skb_vlan_push(), so
 * the dataplane sees them all. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "backends/shortcut/shortcut.bpf.h"
#include "backends/slot.h"

#define SLOTS_MAX 2048
#define CONDUITS_MAX 16 /* workers */
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

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CONDUITS_MAX);
	__type(key, __u32);
	__type(value, struct bulkhead_conduit);
} conduits SEC(".maps");

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

/* Of the kernel's own structs what is read here; where it is, the kernel's BTF says (CO-RE). */
#define FROM_KERNEL __attribute__((preserve_access_index))
struct sk_buff {
	unsigned char *head;
	__u32 end; /* offset from head */
} FROM_KERNEL;
struct skb_shared_info {
	__u32 gso_type;
} FROM_KERNEL;
/* enum in include/linux/skbuff.h */
#define GSO_TCPV4 (1u << 0)
#define GSO_DODGY (1u << 1) /* said by a tap or packet socket; the kernel has not counted it */
#define GSO_TCPV6 (1u << 4)
#define GSO_UDP (1u << 16)    /* IP fragments (UFO) */
#define GSO_UDP_L4 (1u << 17) /* datagrams */
#define GSO_KINDS (GSO_TCPV4 | GSO_TCPV6 | GSO_UDP | GSO_UDP_L4)

#define TCP_HEADER 20
#define UDP_HEADER 8
#define FRAGMENT_HEADER 8

/* What the kernel makes of one skb. */
struct cut {
	__u64 frames;      /* 0: not known, or the kernel refuses it */
	__u32 frame_bytes; /* of the longest */
	__u32 header;      /* that each has; 0: they are not alike, fragments or in a tunnel */
};

static __always_inline __u32 gso_type_of(struct __sk_buff *context)
{
	struct sk_buff *skb = (void *)context;
	unsigned char *head = 0;
	__u32 end = 0, type = 0;

	bpf_probe_read_kernel(&head, sizeof(head), &skb->head);
	bpf_probe_read_kernel(&end, sizeof(end), &skb->end);
	bpf_probe_read_kernel(&type, sizeof(type),
			      &((struct skb_shared_info *)(head + end))->gso_type);
	return type;
}

/* Where the header behind IPv4 or IPv6 begins, and which it is; 0 if there is no such. */
static __always_inline __u32 transport_of(struct __sk_buff *skb, __u8 *protocol, __u8 *version)
{
	__u32 offset = sizeof(struct ethhdr);
	__be16 type = 0;
	__u8 byte = 0;

	if (bpf_skb_load_bytes(skb, 12, &type, 2))
		return 0;
	for (int tags = 0; tags < 2; tags++) {
		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		if (bpf_skb_load_bytes(skb, offset + 2, &type, 2))
			return 0;
		offset += 4;
	}
	if (bpf_skb_load_bytes(skb, offset, &byte, 1))
		return 0;
	*version = byte >> 4;
	if (type == bpf_htons(ETH_P_IP) && *version == 4 && (byte & 0x0f) >= 5)
		return bpf_skb_load_bytes(skb, offset + 9, protocol, 1) ? 0
									: offset + (byte & 0x0f) * 4;
	if (type == bpf_htons(ETH_P_IPV6) && *version == 6)
		return bpf_skb_load_bytes(skb, offset + 6, protocol, 1) ? 0 : offset + 40;
	return 0;
}

/* Counts as tcp_gso_segment(), __udp_gso_segment() and udp[46]_ufo_fragment() cut, and knows
 * nothing where they refuse: what is no longer than a segment, or of another protocol. */
static __always_inline struct cut cut_of(struct __sk_buff *skb)
{
	struct cut cut = {0, 0, 0};
	__u32 type, kind, header, payload, fragment_header = 0;
	__u8 protocol = 0, version = 0, byte = 0;

	type = gso_type_of(skb);
	kind = type & GSO_KINDS;
	header = transport_of(skb, &protocol, &version);
	if (header == 0)
		return cut;
	if (protocol == IPPROTO_TCP && kind == (version == 4 ? GSO_TCPV4 : GSO_TCPV6)) {
		if (bpf_skb_load_bytes(skb, header + 12, &byte, 1) || (byte >> 4) * 4 < TCP_HEADER)
			return cut;
		header += (byte >> 4) * 4;
	} else if (protocol == IPPROTO_UDP && kind == GSO_UDP_L4) {
		header += UDP_HEADER;
	} else if (protocol == IPPROTO_UDP && kind == GSO_UDP) {
		fragment_header = version == 6 ? FRAGMENT_HEADER : 0;
	} else {
		return cut;
	}
	if (skb->len <= header + skb->gso_size)
		return cut;
	payload = skb->len - header;
	cut.frames = (payload + skb->gso_size - 1) / skb->gso_size;
	cut.frame_bytes = header + fragment_header + skb->gso_size;
	cut.header = kind == GSO_UDP ? 0 : header;
	return cut;
}

/* What the kernel itself made and counted, of a kind that no guest can name from outside: inside a
 * tunnel, SCTP, behind IPv6 extension headers. */
static __always_inline int kernel_has_counted(struct __sk_buff *skb)
{
	return skb->gso_segs != 0 && !(gso_type_of(skb) & GSO_DODGY);
}

/* The VLAN ID that names the device's port on the conduit; 0 if it is no port's, or closed. */
static __always_inline __u32 vlan_of(__u32 device)
{
	__u32 *vlan = device < DIRECT_DEVICES ? bpf_map_lookup_elem(&vlan_of_device, &device)
					      : bpf_map_lookup_elem(&vlan_of_high_device, &device);

	return vlan ? *vlan : 0;
}

SEC("tc")
int bulkhead_in(struct __sk_buff *skb)
{
	__u32 mtu = 0, vlan = vlan_of(skb->ifindex), number = vlan - 1, conduit;
	struct bulkhead_slot *slot;
	struct cut cut = {1, skb->len, skb->len};
	struct bulkhead_conduit *queue;
	__s64 waiting, room;

	if (vlan == 0)
		return TC_ACT_SHOT;
	if (skb->gso_size != 0)
		cut = cut_of(skb);
	if (cut.header != 0 && (skb->gso_size == 0 || skb->gso_size >= GSO_BYTES_MIN)) {
		struct flow_load load = {cut.frames, skb->len + (cut.frames - 1) * cut.header,
					 cut.frame_bytes};
		int action = take_shortcut(skb, number, &load);

		if (action != TC_ACT_UNSPEC)
			return action;
	}
	slot = bpf_map_lookup_elem(&slots, &number);
	if (!slot || slot->open == 0)
		return TC_ACT_SHOT;
	conduit = slot->conduit;
	number = slot->queue;
	queue = bpf_map_lookup_elem(&conduits, &number);
	if (!queue)
		return TC_ACT_SHOT;

	if (skb->gso_size != 0) {
		if (cut.frames == 0 && kernel_has_counted(skb)) {
			cut.frames = skb->gso_segs;
			cut.frame_bytes = bpf_check_mtu(skb, conduit, &mtu, 0, BPF_MTU_CHK_SEGS)
						  ? FRAME_BYTES_MAX + 1
						  : 0;
		}
		if (cut.frames == 0 || skb->gso_size < GSO_BYTES_MIN) {
			__sync_fetch_and_add(&slot->malformed, cut.frames ? cut.frames : 1);
			return TC_ACT_SHOT;
		}
	}
	if (cut.frame_bytes > FRAME_BYTES_MAX) {
		__sync_fetch_and_add(&slot->too_big, cut.frames);
		return TC_ACT_SHOT;
	}
	/* Signed: a loss may be noted twice for a moment while the worker settles it. */
	waiting = slot->passed - slot->received - slot->lost;
	room = BULKHEAD_CONDUIT_FRAMES - (__s64)(queue->passed - queue->received - queue->lost);
	if (cut.frames > SEGMENTS_MAX ||
	    (waiting > 0 ? waiting : 0) + (__s64)cut.frames > room) {
		__sync_fetch_and_add(&slot->overrun, cut.frames);
		return TC_ACT_SHOT;
	}
	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021AD), (__u16)vlan)) {
		__sync_fetch_and_add(&slot->overrun, cut.frames); /* no memory */
		return TC_ACT_SHOT;
	}
	__sync_fetch_and_add(&queue->passed, cut.frames);
	__sync_fetch_and_add(&slot->passed, cut.frames);
	return bpf_redirect(conduit, 0);
}

SEC("tc")
int bulkhead_out(struct __sk_buff *skb)
{
	/* What the host's own stack sends came in nowhere, and what it forwards not by a port. */
	return vlan_of(skb->ingress_ifindex) ? TC_ACT_OK : TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "GPL";
