/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The shortcut's part of the ports' tc program, included by backends/device/port.bpf.c: finds the
 * entry that the worker has made for such frames, and repeats its verdict. It judges nothing: there
 * is no binding, no reach and no list of ports here.
 *
 * The key is computed from the frame's bytes exactly as flow_key() does (dataplane/flow_key.hpp);
 * what has none, or no entry that is valid now, goes to the worker. Entries are read as
 * dataplane/flow_entry.h says. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "dataplane/flow_entry.h"

#define FLOW_PORTS_MAX 2048
#define FLOWS_DEFAULT 131072 /* places; another number before it is loaded */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bulkhead_flow_head);
} flow_head SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FLOW_PORTS_MAX);
	__type(key, __u32);
	__type(value, struct bulkhead_flow_port);
} flow_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FLOWS_DEFAULT);
	__type(key, __u32);
	__type(value, struct bulkhead_flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BULKHEAD_FLOW_EPOCHS);
	__type(key, __u32);
	__type(value, __u64); /* less than 8 bytes would lie apart in the mapped memory */
} flow_epochs SEC(".maps");

/* A port's device. The kernel takes it out when the device is deleted or leaves for another
 * namespace (kernel/bpf/devmap.c, dev_map_notification()), so that a device that gets its number
 * later never gets its frames. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, FLOW_PORTS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} flow_devices SEC(".maps");

#define READ(field) (*(volatile __typeof__(field) *)&(field))
#define barrier() asm volatile("" ::: "memory")
#define be64_at(at) bpf_be64_to_cpu(*(__be64 *)(at))
#define be32_at(at) bpf_ntohl(*(__be32 *)(at))
#define be16_at(at) bpf_ntohs(*(__be16 *)(at))

#define IPV4_END (ETH_HLEN + 20)
#define IPV6_END (ETH_HLEN + 40)
#define MORE_OR_OFFSET 0x3fff

static __always_inline int is_speaking_port(__u16 port)
{
	switch (port) {
#define CASE(number) case number:
	BULKHEAD_SPEAKING_PORTS(CASE)
#undef CASE
		return 1;
	default:
		return 0;
	}
}

/* Whether `bytes` of an upper-layer header follow, and they say nothing to a check. */
static __always_inline int is_plain(__u8 protocol, __u8 icmp, __u8 echo, __u8 echo_reply,
				    const void *header, __u32 bytes, __u32 tcp_bytes)
{
	if (protocol == IPPROTO_TCP)
		return bytes >= tcp_bytes;
	if (protocol == IPPROTO_UDP)
		return bytes >= 8 && !is_speaking_port(be16_at(header + 2));
	if (protocol == icmp) {
		__u8 type = *(const __u8 *)header;

		return bytes >= 4 && (type == echo || type == echo_reply);
	}
	return 0;
}

/* Makes sure that the headers up to `bytes` lie together, where `*end` is after that, as far as the
 * frame has so many; what a tap or packet socket sent may be in pieces. 0 if not even all but the
 * last 4 are there. */
static __always_inline int have_headers(struct __sk_buff *skb, void **data, void **end, __u32 bytes)
{
	if (*data + bytes > *end) {
		if (bpf_skb_pull_data(skb, skb->len < IPV6_END + 20 ? skb->len : IPV6_END + 20))
			return 0;
		*data = (void *)(long)skb->data;
		*end = (void *)(long)skb->data_end;
	}
	return *data + bytes - 4 <= *end;
}

/* The key of a frame without its port, in `key`; 0 if it has none. */
static __always_inline int flow_key(struct __sk_buff *skb, __u64 *key)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u64 source;
	__u32 length = skb->len;
	__u16 type;

	if (skb->vlan_present)
		return 0;
	if (!have_headers(skb, &data, &end, IPV4_END + 8))
		return 0;
	key[0] = be64_at(data) >> 16 << 16;
	source = be64_at(data + 6);
	key[1] = source >> 16;
	type = source;
	if (key[0] >> 56 & 1) /* a group */
		return 0;
	if (type == ETH_P_IP) {
		__u32 total = be16_at(data + 16);
		__u32 upper = total - 20;
		__u8 protocol = *(__u8 *)(data + 23);

		if (*(__u8 *)(data + 14) != 0x45 || (be16_at(data + 20) & MORE_OR_OFFSET) ||
		    total < 20 || total > length - ETH_HLEN)
			return 0;
		if (protocol == IPPROTO_UDP && data + IPV4_END + 8 > end)
			return 0;
		key[2] = 0;
		key[3] = be32_at(data + 26);
		key[4] = 0;
		key[5] = be32_at(data + 30);
		return is_plain(protocol, IPPROTO_ICMP, 8, 0, data + IPV4_END, upper, 4);
	}
	if (type == ETH_P_IPV6) {
		__u32 upper;
		__u8 protocol;

		if (!have_headers(skb, &data, &end, IPV6_END + 8))
			return 0;
		upper = be16_at(data + 18);
		protocol = *(__u8 *)(data + 20);
		if (*(__u8 *)(data + 14) >> 4 != 6 || upper > length - IPV6_END)
			return 0;
		if (protocol == IPPROTO_UDP && data + IPV6_END + 8 > end)
			return 0;
		key[0] |= BULKHEAD_FLOW_IPV6;
		key[2] = be64_at(data + 22);
		key[3] = be64_at(data + 30);
		if (key[2] >> 54 == 0xfe80 >> 6) /* link-local */
			return 0;
		key[4] = be64_at(data + 38);
		key[5] = be64_at(data + 46);
		return is_plain(protocol, 58 /* ICMPv6 */, 128, 129, data + IPV6_END, upper, 20);
	}
	return 0;
}

/* What of an entry is needed. */
struct flow_verdict {
	__u32 place;
	__u16 to;
	__u16 bytes_max;
};

enum flow_found { FLOW_NONE = 0, FLOW_STALE = 1, FLOW_VALID = 2 };

static __always_inline enum flow_found flow_look(const struct bulkhead_flow_head *head,
						 const struct bulkhead_flow_port *port,
						 const __u64 *key, struct flow_verdict *verdict)
{
	__u64 hash = bulkhead_flow_hash(key, head->hash_key);
	enum flow_found found = FLOW_NONE;

#pragma clang loop unroll(full)
	for (int i = 0; i < BULKHEAD_FLOW_PLACES; i++) {
		__u32 place = bulkhead_flow_place(port->region_first, port->region_sets,
						  hash, i);
		__u32 source, destination;
		struct bulkhead_flow *flow = bpf_map_lookup_elem(&flows, &place);
		__u32 version, generation;
		__u64 *from, *to, epochs;

		if (!flow)
			continue;
		version = READ(flow->version);
		barrier();
		if (READ(flow->key[0]) != key[0] || READ(flow->key[1]) != key[1] ||
		    READ(flow->key[3]) != key[3] || READ(flow->key[5]) != key[5] ||
		    READ(flow->key[2]) != key[2] || READ(flow->key[4]) != key[4])
			continue;
		generation = READ(flow->generation);
		verdict->place = place;
		verdict->to = READ(flow->to);
		verdict->bytes_max = READ(flow->bytes_max);
		source = READ(flow->source);
		destination = READ(flow->destination);
		epochs = READ(flow->epochs);
		barrier();
		if ((version & 1) || READ(flow->version) != version)
			continue;
		found = FLOW_STALE;
		if (generation != READ(head->generation))
			continue;
		if (source | destination) {
			from = bpf_map_lookup_elem(&flow_epochs, &source);
			to = bpf_map_lookup_elem(&flow_epochs, &destination);
			if (!from || !to || READ(*from) + READ(*to) != epochs)
				continue;
		}
		return FLOW_VALID;
	}
	return found;
}

/* What the kernel makes of one frame on the wire: how many, the longest, and the bytes of all. */
struct flow_load {
	__u64 frames;
	__u64 bytes;
	__u32 bytes_max;
};

/* Forwards the frame as the worker has said of such. TC_ACT_UNSPEC if it has not: to the worker. */
static __always_inline int take_shortcut(struct __sk_buff *skb, __u32 number,
					 const struct flow_load *load)
{
	struct bulkhead_flow_port *port = bpf_map_lookup_elem(&flow_ports, &number), *egress;
	__u32 zero = 0, to, *device;
	struct bulkhead_flow_head *head = bpf_map_lookup_elem(&flow_head, &zero);
	struct flow_verdict verdict;
	struct bulkhead_flow *flow;
	enum flow_found found;
	__u64 key[BULKHEAD_FLOW_WORDS];

	if (!port || !head || !port->takes_part || !port->region_sets)
		return TC_ACT_UNSPEC;
	if (!flow_key(skb, key)) {
		__sync_fetch_and_add(&port->no_key, load->frames);
		return TC_ACT_UNSPEC;
	}
	key[0] |= number;
	if (port->any_source)
		key[2] = key[3] = 0;
	found = flow_look(head, port, key, &verdict);
	if (found != FLOW_VALID) {
		key[0] |= BULKHEAD_FLOW_ANY_DESTINATION;
		key[4] = key[5] = 0;
		found |= flow_look(head, port, key, &verdict);
	}
	if (!(found & FLOW_VALID)) {
		__sync_fetch_and_add(found ? &port->stale : &port->no_entry, load->frames);
		return TC_ACT_UNSPEC;
	}
	to = verdict.to;
	egress = bpf_map_lookup_elem(&flow_ports, &to);
	device = bpf_map_lookup_elem(&flow_devices, &to);
	flow = bpf_map_lookup_elem(&flows, &verdict.place);
	if (!egress || !device || !flow || egress->road == BULKHEAD_ROAD_NONE ||
	    load->bytes_max > verdict.bytes_max ||
	    bpf_ktime_get_coarse_ns() > READ(head->deadline_ns)) {
		__sync_fetch_and_add(&port->closed, load->frames);
		return TC_ACT_UNSPEC;
	}
	flow->frames += load->frames;
	flow->bytes += load->bytes;
	__sync_fetch_and_add(&port->in_frames, load->frames);
	__sync_fetch_and_add(&port->in_bytes, load->bytes);
	__sync_fetch_and_add(&egress->out_frames, load->frames);
	__sync_fetch_and_add(&egress->out_bytes, load->bytes);
	return egress->road == BULKHEAD_ROAD_PEER ? bpf_redirect_peer(*device, 0)
						  : bpf_redirect(*device, 0);
}
