#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "backends/conduit/conduit.hpp"
#include "backends/conduit/conduit_end.hpp"
#include "backends/device/hooks.hpp"
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
  bpf_program__set_autoload(skeleton->progs.conduit_end, !tag_beside);
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

std::uint32_t id_of(int program_fd) {
  bpf_prog_info info{};
  std::uint32_t length = sizeof info;
  return bpf_obj_get_info_by_fd(program_fd, &info, &length) == 0 ? info.id : 0;
}

}  // namespace

ConduitDevice::ConduitDevice() {
  libbpf_set_print(nullptr);  // it would speak to stderr of what we handle
  try {
    make_pair();
    // Tests choose the older kernels' way by this variable (docs/man/bulkheadd.8).
    const bool newer = std::getenv("BULKHEAD_TAG_INSIDE") == nullptr;
    program_ = newer ? load(true, peer_) : nullptr;
    beside_ = program_ != nullptr;
    // For a pair that is made later, when no program can be loaded any more: the other one is bound
    // to its device.
    inside_ = load(false, peer_);
    if (inside_ == nullptr) throw BackendError::from_errno("cannot load the conduit's XDP program");
    mend();
  } catch (...) {
    release();
    throw;
  }
}

ConduitDevice::~ConduitDevice() { release(); }

void ConduitDevice::release() {
  for (const int ifindex : {ifindex_, peer_}) {
    try {
      if (ifindex != 0 && find_conduit_end(ifindex)) delete_link(ifindex);
    } catch (const BackendError&) {
      // Somebody deletes it beside us.
    }
  }
  conduit_bpf__destroy(program_);
  conduit_bpf__destroy(inside_);
  if (lock_ >= 0) ::close(lock_);
}

// The first number that is no other daemon's, and of whose names nobody has made a device: but what
// a killed daemon left is taken away.
void ConduitDevice::make_pair() {
  if (lock_ >= 0) ::close(std::exchange(lock_, -1));
  for (int n = 0; n < kConduitsMax; ++n) {
    name_ = "bhc" + std::to_string(n);
    peer_name_ = name_ + "x";
    lock_ = lock_name("conduit/" + name_);
    if (lock_ < 0) continue;
    for (const std::string& end : {name_, peer_name_}) {
      if (is_conduit_end(end)) delete_link(static_cast<int>(::if_nametoindex(end.c_str())));
    }
    if (::if_nametoindex(name_.c_str()) == 0 && ::if_nametoindex(peer_name_.c_str()) == 0) break;
    ::close(std::exchange(lock_, -1));
  }
  if (lock_ < 0) throw BackendError("256 conduits are in use; stop a bulkheadd");
  make_veth(name_, peer_name_, kMtu);
  ifindex_ = static_cast<int>(::if_nametoindex(name_.c_str()));
  peer_ = static_cast<int>(::if_nametoindex(peer_name_.c_str()));
  for (const int end : {ifindex_, peer_}) mark_conduit_end(end);
}

void ConduitDevice::make_anew() {
  for (const int ifindex : {ifindex_, peer_}) {
    if (find_conduit_end(ifindex)) delete_link(ifindex);
  }
  beside_ = false;
  make_pair();
  mend();
}

ConduitDevice::Fault ConduitDevice::fault() const {
  const auto inner = find_conduit_end(ifindex_);
  const auto outer = find_conduit_end(peer_);
  if (!inner || !outer) return {name_ + " is gone, deleted or moved elsewhere", true};
  for (const auto* end : {&*inner, &*outer}) {
    if (end->qdisc != "noqueue" && !end->qdisc.empty() && end->up) {
      return {end->name + " has got a queue of somebody else (" + end->qdisc + ")", true};
    }
  }
  for (const Hook& hook : kHooks) {
    const auto programs = tcx_entries(ifindex_, hook);
    if ((programs && !programs->empty()) || !clsact_filters(ifindex_, hook).empty()) {
      return {inner->name + " has got a tc program of somebody else", true};
    }
  }
  for (const auto* end : {&*inner, &*outer}) {
    if (!end->up) return {end->name + " is down", false};
    if (end->mtu != kMtu) return {end->name + " has another MTU", false};
  }
  if (xdp_program(peer_) != program_id()) return {outer->name + " has lost its XDP program", false};
  if (!is_closed()) return {outer->name + " has lost its tc program", false};
  if (!active_features(inner->name, kFeaturesOff).empty()) {
    return {inner->name + " has offloads switched on", false};
  }
  if (!beside_ && !active_features(inner->name, kOurTagOff).empty()) {
    return {inner->name + " has its tag offload switched on", false};
  }
  return {};
}

void ConduitDevice::mend() {
  const auto inner = find_conduit_end(ifindex_);
  const auto outer = find_conduit_end(peer_);
  if (!inner || !outer) throw BackendError("conduit " + name_ + " is gone");
  for (const auto& [ifindex, end] : {std::pair{ifindex_, &*inner}, std::pair{peer_, &*outer}}) {
    if (end->mtu != kMtu) set_mtu(ifindex, kMtu);
  }
  switch_features_off(inner->name, kFeaturesOff);
  if (!beside_) switch_features_off(inner->name, kOurTagOff);
  if (!is_closed()) attach_clsact(bpf_program__fd(inside_->progs.conduit_end), peer_, kHooks[0]);
  if (xdp_program(peer_) != program_id()) {
    bpf_xdp_detach(peer_, XDP_FLAGS_SKB_MODE, nullptr);  // one of another mode would be in the way
    const int error = bpf_xdp_attach(peer_, program_fd(), XDP_FLAGS_DRV_MODE, nullptr);
    if (error != 0) throw BackendError::from_errno("cannot attach XDP to " + outer->name, error);
  }
  set_up(outer->name);
  set_up(inner->name);
}

int ConduitDevice::program_fd() const {
  return bpf_program__fd(beside_ ? program_->progs.tag_beside : inside_->progs.tag_inside);
}

std::uint32_t ConduitDevice::program_id() const { return id_of(program_fd()); }

bool ConduitDevice::is_closed() const {
  const std::uint32_t ours = id_of(bpf_program__fd(inside_->progs.conduit_end));
  return std::ranges::any_of(clsact_filters(peer_, kHooks[0]),
                             [ours](const Filter& filter) { return filter.program == ours; });
}

void ConduitDevice::connect(const ReceiveSocket& socket) {
  const std::uint32_t queue = 0;
  const int fd = socket.fd();
  const bpf_map* sockets = (beside_ ? program_ : inside_)->maps.sockets;
  if (bpf_map__update_elem(sockets, &queue, sizeof queue, &fd, sizeof fd, BPF_ANY) != 0) {
    throw BackendError::from_errno("cannot connect the conduit");
  }
}

}  // namespace bulkhead
