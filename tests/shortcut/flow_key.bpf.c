/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The key that the ports' tc programs compute of a frame, for the test to read. */
#include "backends/shortcut/shortcut.bpf.h"

__u64 key_of_frame[BULKHEAD_FLOW_WORDS];

/* Returns whether the frame has a key, which is in key_of_frame then. */
SEC("tc")
int flow_key_of(struct __sk_buff *skb)
{
	__u64 key[BULKHEAD_FLOW_WORDS];

	if (!flow_key(skb, key))
		return 0;
	for (int i = 0; i < BULKHEAD_FLOW_WORDS; i++)
		key_of_frame[i] = key[i];
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
