// Programs that somebody else might have on a device before bulkhead comes: they pass everything.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("tc")
int foreign_tc(struct __sk_buff* skb) { return 0; }  // TC_ACT_OK

SEC("xdp")
int foreign_xdp(struct xdp_md* context) { return XDP_PASS; }

char _license[] SEC("license") = "Dual BSD/GPL";
