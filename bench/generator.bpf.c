/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Sends every frame that bpf_prog_test_run() makes out of one device, and counts them.
 *
 * The pages go round: a frame comes back as the bridge under test has left it, and one that pushes
 * a tag has moved the addresses. So the Ethernet header is written anew each time. It runs on one
 * core, so nothing here is atomic. Loaded by generator.c. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

#define CLOCK_EVERY 64 /* a power of two: reading the clock costs as much as the rest */

enum randomized { NOTHING, SOURCE, DESTINATION };

struct state {
	__u32 device;
	enum randomized randomized; /* the last four octets of that address */
	struct ethhdr header;
	__u64 frames, first_ns, last_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct state);
} states SEC(".maps");

SEC("xdp")
int generate(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct state *state = bpf_map_lookup_elem(&states, &zero);
	struct ethhdr *header = (void *)(long)ctx->data;

	if (!state || (void *)(header + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	*header = state->header;
	if (state->randomized != NOTHING) {
		__u32 octets = bpf_get_prandom_u32();

		if (state->randomized == SOURCE)
			__builtin_memcpy(header->h_source + 2, &octets, sizeof octets);
		else
			__builtin_memcpy(header->h_dest + 2, &octets, sizeof octets);
	}
	if (state->frames++ % CLOCK_EVERY == 0) {
		state->last_ns = bpf_ktime_get_ns();
		if (!state->first_ns)
			state->first_ns = state->last_ns;
	}
	return bpf_redirect(state->device, 0);
}

char LICENSE[] SEC("license") = "GPL";
