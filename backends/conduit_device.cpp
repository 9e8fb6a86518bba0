#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <unistd.h>

#include "backends/conduit.hpp"
#include "backends/error.hpp"
#include "backends/link.hpp"
#include "conduit.skel.h"

namespace bulkhead {
namespace {

constexpr int kConduitsMax = 256;  // daemons in one network namespace

/// What the kernel is to finish in software before a frame enters the conduit.
const std::vector<std::string> kFeaturesOff{
    "tx-checksum-ip-generic", "tx-checksum-sctp",        "tx-vlan-hw-insert",
    "tx-vlan-stag-hw-insert", "tx-generic-segmentation",
};

}  // namespace

ConduitDevice::ConduitDevice() {
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
    program_ = conduit_bpf__open_and_load();
    if (program_ == nullptr)
      throw BackendError::from_errno("cannot load the conduit's XDP program");
    const int peer = static_cast<int>(::if_nametoindex(peer_name_.c_str()));
    const int error = bpf_xdp_attach(peer, bpf_program__fd(program_->progs.bulkhead_xdp),
                                     XDP_FLAGS_DRV_MODE, nullptr);
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
