#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "backends/conduit/conduit.hpp"
#include "backends/device/link.hpp"
#include "backends/error.hpp"
#include "conduit.skel.h"

namespace bulkhead {
namespace {

constexpr int kConduitsMax = 256;  // daemons in one network namespace

/// What the kernel is to finish in software before a frame enters the conduit.
const std::vector<std::string> kFeaturesOff{
    "tx-checksum-ip-generic",
    "tx-checksum-sctp",
    "tx-vlan-hw-insert",
    "tx-generic-segmentation",
};
/// And our own tag, where XDP does not see it beside the frame.
const std::vector<std::string> kOurTagOff{"tx-vlan-stag-hw-insert"};

constexpr std::uint32_t kDeviceBoundOnly = 1u << 6;  // BPF_F_XDP_DEV_BOUND_ONLY, linux/bpf.h of 6.3

/// The program in a new skeleton, loaded; nullptr and errno if the kernel does not take it.
conduit_bpf* load(bool tag_beside, int device) {
  conduit_bpf* skeleton = conduit_bpf__open();
  if (skeleton == nullptr) return nullptr;
  bpf_program* program = tag_beside ? skeleton->progs.tag_beside : skeleton->progs.tag_inside;
  bpf_program__set_autoload(program, true);
  if (tag_beside) {
    bpf_program__set_ifindex(program, static_cast<std::uint32_t>(device));
    bpf_program__set_flags(program, bpf_program__flags(program) | kDeviceBoundOnly);
  }
  const int error = -conduit_bpf__load(skeleton);
  if (error == 0) return skeleton;
  conduit_bpf__destroy(skeleton);
  errno = error;
  return nullptr;
}

}  // namespace

ConduitDevice::ConduitDevice() {
  libbpf_set_print(nullptr);  // it would speak to stderr of what we handle
  for (int n = 0; n < kConduitsMax && lock_ < 0; ++n) {
    name_ = "bhc" + std::to_string(n);
    lock_ = lock_name("conduit/" + name_);
  }
  if (lock_ < 0) throw BackendError("256 conduits are in use; stop a bulkheadd");
  peer_name_ = name_ + "x";
  try {
    if (const auto left = find_link(name_)) delete_link(left->ifindex);
    make_veth(name_, peer_name_, kMtu);
    ifindex_ = static_cast<int>(::if_nametoindex(name_.c_str()));
    switch_features_off(name_, kFeaturesOff);
    const int peer = static_cast<int>(::if_nametoindex(peer_name_.c_str()));
    // Tests choose the older kernels' way by this variable (docs/man/bulkheadd.8).
    const bool newer = std::getenv("BULKHEAD_TAG_INSIDE") == nullptr;
    program_ = newer ? load(true, peer) : nullptr;
    const bool beside = program_ != nullptr;
    if (!beside) {
      switch_features_off(name_, kOurTagOff);
      program_ = load(false, peer);
    }
    if (program_ == nullptr)
      throw BackendError::from_errno("cannot load the conduit's XDP program");
    const bpf_program* xdp = beside ? program_->progs.tag_beside : program_->progs.tag_inside;
    const int error = bpf_xdp_attach(peer, bpf_program__fd(xdp), XDP_FLAGS_DRV_MODE, nullptr);
    if (error != 0) throw BackendError::from_errno("cannot attach XDP to " + peer_name_, error);
    set_up(peer_name_);
    set_up(name_);
  } catch (...) {
    if (ifindex_ != 0) delete_link(ifindex_);
    conduit_bpf__destroy(program_);
    ::close(lock_);
    throw;
  }
}

ConduitDevice::~ConduitDevice() {
  try {
    delete_link(ifindex_);
  } catch (const BackendError&) {
    // Somebody deleted it before us.
  }
  conduit_bpf__destroy(program_);
  ::close(lock_);
}

void ConduitDevice::connect(const ReceiveSocket& socket) {
  const std::uint32_t queue = 0;
  const int fd = socket.fd();
  if (bpf_map__update_elem(program_->maps.sockets, &queue, sizeof queue, &fd, sizeof fd, BPF_ANY) !=
      0) {
    throw BackendError::from_errno("cannot connect the conduit");
  }
}

}  // namespace bulkhead
