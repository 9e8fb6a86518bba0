// A guest's tc egress program that moves a VLAN tag out of the frame's bytes into the skb's
// metadata, where the veth's tag-insertion offload leaves it: the frame then looks untagged to
// whoever reads bytes only. Frames ask for it by their mark (SO_MARK): 0xb1 in the highest byte,
// the tag's TCI in the lower half, bit 16 for 802.1ad instead of 802.1Q. Other frames pass as they
// are.
//
//   clang -O2 -g -target bpf -c hidden_tag.bpf.c -o hidden_tag.o
//   tc filter add dev eth0 egress bpf da obj hidden_tag.o sec tc
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int hide_tag(struct __sk_buff* skb) {
  if ((skb->mark >> 24) != 0xb1) return 0;  // TC_ACT_OK
  __u16 tpid = (skb->mark & 0x10000) ? 0x88a8 : 0x8100;
  if (bpf_skb_vlan_push(skb, bpf_htons(tpid), skb->mark & 0xffff) != 0) return 2;  // TC_ACT_SHOT
  return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
