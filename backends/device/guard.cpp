#include "backends/device/guard.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <sys/mman.h>

#include <algorithm>
#include <memory>

#include "backends/device/hooks.hpp"
#include "backends/error.hpp"
#include "port.skel.h"

namespace bulkhead {
namespace {

void add(std::string& list, const std::string& what) {
  if (list.find(what) != std::string::npos) return;
  list += (list.empty() ? "" : "; ") + what;
}

/// The whole of an array that the programs share with us; empty, and errno, if that fails.
template <class Element>
std::span<Element> map_array(const bpf_map* map, std::size_t count) {
  void* memory = ::mmap(nullptr, count * sizeof(Element), PROT_READ | PROT_WRITE, MAP_SHARED,
                        bpf_map__fd(map), 0);
  if (memory == MAP_FAILED) return {};
  return {static_cast<Element*>(memory), count};
}

}  // namespace

Guard::Guard(int any_ifindex, const std::string& owner, std::size_t flow_places)
    : pins_(owner), flow_places_(flow_places) {
  programs_ = port_bpf__open();
  if (programs_ == nullptr) throw BackendError::from_errno("cannot open the ports' programs");
  bpf_map__set_max_entries(programs_->maps.flows, static_cast<std::uint32_t>(flow_places));
  const int error = port_bpf__load(programs_);
  if (error != 0) {
    port_bpf__destroy(programs_);
    throw BackendError::from_errno("cannot load the ports' tc programs", error);
  }
  slots_ = map_array<bulkhead_slot>(programs_->maps.slots, kPortsMax);
  conduits_ = map_array<bulkhead_conduit>(programs_->maps.conduits, kWorkersMax);
  if (slots_.empty() || conduits_.empty()) {
    const int map_error = errno;
    unmap();
    throw BackendError::from_errno("cannot map the ports' counters", map_error);
  }
  for (std::size_t i = 0; i < kHooks.size(); ++i) {
    bpf_prog_info info{};
    std::uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(program(i), &info, &length) == 0) program_ids_[i] = info.id;
  }
  // A kernel without tcx does not know the attach type.
  has_tcx_ = tcx_entries(any_ifindex, kHooks[0]).has_value() && pins_.available();
}

Guard::~Guard() { unmap(); }

void Guard::unmap() {
  if (!slots_.empty()) ::munmap(slots_.data(), slots_.size_bytes());
  if (!conduits_.empty()) ::munmap(conduits_.data(), conduits_.size_bytes());
  port_bpf__destroy(programs_);
}

Shortcut::Maps Guard::shortcut_maps() const {
  const auto& maps = programs_->maps;
  return {bpf_map__fd(maps.flow_head),   bpf_map__fd(maps.flow_ports),   bpf_map__fd(maps.flows),
          bpf_map__fd(maps.flow_epochs), bpf_map__fd(maps.flow_devices), flow_places_};
}

std::optional<std::string> Guard::foreign_program(const Pins& pins, int ifindex) {
  if (const std::uint32_t xdp = xdp_program(ifindex); xdp != 0) {
    return "XDP program " + program_text(xdp);
  }
  for (const Hook& hook : kHooks) {
    const auto ours = pinned_link(pins.path(ifindex, hook.name));
    for (const TcxEntry& entry : tcx_entries(ifindex, hook).value_or(std::vector<TcxEntry>())) {
      if (!ours || entry.link != ours->id) return "tcx program " + program_text(entry.program);
    }
    for (const Filter& filter : clsact_filters(ifindex, hook)) {
      if (filter.name != hook.program) return "tc filter \"" + filter.name + "\"";
    }
  }
  return std::nullopt;
}

/// Whether our pinned link of the hook is on the device that has the number now.
bool Guard::has_link(int ifindex, std::size_t hook) const {
  const auto link = pinned_link(pins_.path(ifindex, kHooks[hook].name));
  const auto entries = tcx_entries(ifindex, kHooks[hook]);
  return link && entries &&
         std::ranges::find(*entries, link->id, &TcxEntry::link) != entries->end();
}

bool Guard::is_guarded(int ifindex) const {
  const std::vector<Filter> filters = clsact_filters(ifindex, kHooks[0]);
  return std::ranges::find(filters, kHooks[0].program, &Filter::name) != filters.end() ||
         has_link(ifindex, 0);
}

std::vector<int> Guard::guarded_devices() const {
  std::vector<int> found;
  std::unique_ptr<struct if_nameindex, decltype(&::if_freenameindex)> links(::if_nameindex(),
                                                                            ::if_freenameindex);
  for (const struct if_nameindex* link = links.get(); link != nullptr && link->if_index != 0;
       ++link) {
    const int ifindex = static_cast<int>(link->if_index);
    recognize(ifindex);
    if (is_guarded(ifindex)) found.push_back(ifindex);
  }
  return found;
}

int Guard::recognize(int ifindex) const {
  const auto entries = tcx_entries(ifindex, kHooks[0]);
  if (!entries || entries->empty() || has_link(ifindex, 0)) return 0;
  for (const int other : pins_.devices()) {
    const auto link = pinned_link(pins_.path(other, kHooks[0].name));
    if (!link || std::ranges::find(*entries, link->id, &TcxEntry::link) == entries->end()) continue;
    pins_.remove_all(ifindex);  // of one that had the number
    pins_.renumber(other, ifindex);
    return other;
  }
  return 0;
}

Guard::Whereabouts Guard::whereabouts(int ifindex) const {
  const auto link = pinned_link(pins_.path(ifindex, kHooks[0].name));
  if (!link) return has_device(ifindex) ? Whereabouts::here : Whereabouts::deleted;
  if (link->ifindex == 0) return Whereabouts::deleted;
  return has_link(ifindex, 0) ? Whereabouts::here : Whereabouts::elsewhere;
}

int Guard::program(std::size_t hook) const {
  const std::array programs{programs_->progs.bulkhead_in, programs_->progs.bulkhead_out};
  return bpf_program__fd(programs[hook]);
}

void Guard::attach(int ifindex) {
  for (std::size_t i = 0; i < kHooks.size(); ++i) attach_clsact(program(i), ifindex, kHooks[i]);
  if (!has_tcx_) return;
  const bool is_new = !has_link(ifindex, 0);
  const bool is_later = is_new && new_tcx_left_ == 0;
  new_tcx_left_ -= is_new && !is_later ? 1 : 0;
  for (std::size_t i = 0; i < kHooks.size(); ++i) {
    if (is_later) {
      later_.push_back({ifindex, i});
    } else {
      try_tcx(ifindex, i);
    }
  }
}

bool Guard::catch_up() {
  new_tcx_left_ = 0;
  if (later_.empty()) return false;
  const auto [ifindex, hook] = later_.front();
  later_.pop_front();
  try_tcx(ifindex, hook);
  return !later_.empty();
}

bool Guard::try_tcx(int ifindex, std::size_t hook) {
  try {
    attach_tcx(program(hook), ifindex, kHooks[hook], pins_.path(ifindex, kHooks[hook].name));
    return true;
  } catch (const BackendError& error) {
    without_[{ifindex, hook}] = std::string(error.what()) + "; clsact alone guards it";
    return false;
  }
}

bool Guard::is_later(int ifindex, std::size_t hook) const {
  return std::ranges::any_of(
      later_, [&](const Later& later) { return later.ifindex == ifindex && later.hook == hook; });
}

Guard::Mended Guard::mend(int ifindex) {
  Mended mended;
  for (std::size_t i = 0; i < kHooks.size(); ++i) {
    if (has_tcx_ && !is_later(ifindex, i)) mend_tcx(ifindex, i, mended);
    mend_clsact(ifindex, i, mended);
  }
  return mended;
}

// Behind somebody else's program ours would not be asked about what that passes.
void Guard::mend_tcx(int ifindex, std::size_t hook, Mended& mended) {
  auto entries = tcx_entries(ifindex, kHooks[hook]);
  if (!entries) return;  // the device has gone
  const bool is_first = !entries->empty() && entries->front().program == program_ids_[hook];
  const auto failed = without_.find({ifindex, hook});
  if (!is_first && (failed == without_.end() || may_try_again())) {
    const bool is_behind = !entries->empty();
    const bool was_there = failed == without_.end();
    if (try_tcx(ifindex, hook)) {
      without_.erase({ifindex, hook});
      if (was_there) add(mended.put_back, is_behind ? "the head of tcx" : "the tcx program");
    }
    entries = tcx_entries(ifindex, kHooks[hook]);
  }
  if (const auto still = without_.find({ifindex, hook}); still != without_.end()) {
    add(mended.trouble, still->second);
  }
  for (const TcxEntry& entry : entries.value_or(std::vector<TcxEntry>())) {
    if (entry.program == program_ids_[hook]) continue;
    add(mended.trouble,
        "tcx program " + program_text(entry.program) + " of somebody else is behind ours in tcx");
  }
}

// A try costs the kernel as much as a success.
bool Guard::may_try_again() {
  const auto now = std::chrono::steady_clock::now();
  if (now < try_again_) return false;
  try_again_ = now + std::chrono::seconds(1);
  return true;
}

void Guard::mend_clsact(int ifindex, std::size_t hook, Mended& mended) {
  const std::vector<Filter> filters = clsact_filters(ifindex, kHooks[hook]);
  for (const Filter& filter : filters) {
    if (filter.program == program_ids_[hook]) continue;
    add(mended.trouble, "tc filter \"" + filter.name + "\" of somebody else is beside ours");
  }
  if (std::ranges::find(filters, program_ids_[hook], &Filter::program) != filters.end()) return;
  try {
    attach_clsact(program(hook), ifindex, kHooks[hook]);
    add(mended.put_back, "the clsact program");
  } catch (const BackendError& error) {
    if (has_device(ifindex)) add(mended.trouble, error.what());
  }
}

void Guard::leave(int ifindex) {
  std::erase_if(later_, [ifindex](const Later& later) { return later.ifindex == ifindex; });
  std::erase_if(without_, [ifindex](const auto& entry) { return entry.first.ifindex == ifindex; });
}

void Guard::release(int ifindex) {
  leave(ifindex);
  // In another namespace: what has its number here is another device.
  const bool is_here = whereabouts(ifindex) == Whereabouts::here;
  if (pins_.available()) {
    for (const Hook& hook : kHooks) detach_tcx(pins_.path(ifindex, hook.name));
  }
  if (is_here) remove_clsact(ifindex);
  pins_.remove_all(ifindex);
}

// By the links: the number of one that has vanished may be another's by now.
void Guard::release_vanished() {
  for (const int ifindex : pins_.devices()) {
    const auto link = pinned_link(pins_.path(ifindex, kHooks[0].name));
    const bool is_deleted = link ? link->ifindex == 0 : !has_device(ifindex);
    if (is_deleted) pins_.remove_all(ifindex);
  }
}

void Guard::open(int ifindex, PortIndex port, int conduit_ifindex) {
  slots_[port].conduit = static_cast<std::uint64_t>(conduit_ifindex);
  slots_[port].open = 1;
  if (!set_vlan(ifindex, port + 1u)) {
    throw BackendError::from_errno("cannot open " + device_text(ifindex));
  }
}

void Guard::close_conduit(PortIndex port) { slots_[port].open = 0; }

void Guard::close(int ifindex, PortIndex port) {
  set_vlan(ifindex, 0);
  close_conduit(port);
}

bool Guard::set_vlan(int ifindex, std::uint32_t vlan) {
  const auto key = static_cast<std::uint32_t>(ifindex);
  bpf_map* direct = programs_->maps.vlan_of_device;
  bpf_map* map = key < bpf_map__max_entries(direct) ? direct : programs_->maps.vlan_of_high_device;
  if (vlan == 0 && map != direct) return bpf_map__delete_elem(map, &key, sizeof key, 0) == 0;
  return bpf_map__update_elem(map, &key, sizeof key, &vlan, sizeof vlan, BPF_ANY) == 0;
}

}  // namespace bulkhead
