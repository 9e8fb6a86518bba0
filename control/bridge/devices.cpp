#include "control/bridge/devices.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "backends/device/hooks.hpp"
#include "backends/error.hpp"

namespace bulkhead::control {
namespace {

const Link* link_of(const Links& links, int ifindex) {
  const auto place = std::ranges::find_if(
      links, [ifindex](const auto& entry) { return entry.second.ifindex == ifindex; });
  return place == links.end() ? nullptr : &place->second;
}

}  // namespace

Device* Devices::find(int ifindex) const {
  const auto place = devices_.find(ifindex);
  return place == devices_.end() ? nullptr : place->second.get();
}

// One that comes back may have another number.
void Devices::recognize(const Link& link) {
  if (const int before = guard_.recognize(link.ifindex); before != 0) {
    elsewhere_.erase(before);
    devices_.erase(before);
  }
}

void Devices::claim(const Link& link) {
  if (const Device* device = find(link.ifindex)) {
    if (guard_.whereabouts(link.ifindex) != Guard::Whereabouts::elsewhere) return;
    throw BackendError(fmt::format(
        "device {0} has the number of {1}, which is in another network namespace and still "
        "guarded; bring {1} back or delete it, or make {0} anew with another number",
        link.name, device->link().name));
  }
  recognize(link);
  Device::claim(guard_, link);
}

Device& Devices::take(const Link& link) {
  if (Device* device = find(link.ifindex)) {
    std::erase(unnamed_, link.ifindex);
    device->set_taken_as(link.name);
    return *device;
  }
  auto& place = devices_[link.ifindex];
  try {
    place = std::make_unique<Device>(guard_, link, link.name);
    has_new_ = true;
  } catch (...) {
    devices_.erase(link.ifindex);
    throw;
  }
  return *place;
}

void Devices::undo_take(int ifindex) {
  Device* device = find(ifindex);
  if (device == nullptr) return;
  if (!device->was_guarded()) give_back(*device);
  devices_.erase(ifindex);
}

std::set<int> Devices::changed(const Links& links, const LinkNotices& notices) const {
  std::set<int> here;
  for (const auto& [name, link] : links) here.insert(link.ifindex);
  std::set<int> changed;
  for (const auto& [ifindex, device] : devices_) {
    const bool is_lost = notices.lost && guard_.whereabouts(ifindex) != Guard::Whereabouts::here;
    const bool was_elsewhere = elsewhere_.contains(ifindex);  // it may be back
    if (!here.contains(ifindex) || notices.gone.contains(ifindex) || was_elsewhere || is_lost) {
      changed.insert(ifindex);
    }
  }
  return changed;
}

void Devices::follow(const Links& links, const std::set<int>& changed) {
  for (const auto& [name, link] : links) {
    if (Device* device = find(link.ifindex); device != nullptr && !changed.contains(link.ifindex)) {
      device->set_link(link);
    }
  }
  for (const int ifindex : changed) {
    const Device& device = *devices_.at(ifindex);
    const Guard::Whereabouts whereabouts = guard_.whereabouts(ifindex);
    if (whereabouts == Guard::Whereabouts::elsewhere) {
      if (elsewhere_.insert(ifindex).second) {
        spdlog::warn("device {}: is in another network namespace now, and stays guarded there",
                     device.link().name);
      }
      continue;
    }
    elsewhere_.erase(ifindex);
    const std::string taken_as = device.taken_as();
    if (whereabouts == Guard::Whereabouts::deleted) devices_.at(ifindex)->forget();
    devices_.erase(ifindex);
    // One that was moved and is back, or another one of its number, which then is not guarded:
    // what we held of it is void in any case. A port that names it takes it anew.
    const Link* link = link_of(links, ifindex);
    if (link == nullptr || !guard_.is_guarded(ifindex)) continue;
    try {
      devices_[ifindex] = std::make_unique<Device>(guard_, *link, taken_as);
    } catch (const BackendError& error) {
      devices_.erase(ifindex);
      spdlog::error("{}", error.what());
    }
  }
  if (elsewhere_.empty()) return;
  for (const auto& [name, link] : links) {
    if (!devices_.contains(link.ifindex)) recognize(link);
  }
}

std::string Devices::absence(const std::string& name) const {
  for (const auto& [ifindex, device] : devices_) {
    if (device->taken_as() != name) continue;
    if (elsewhere_.contains(ifindex)) {
      return fmt::format("device {} is in another network namespace now, and stays guarded there",
                         name);
    }
    if (const std::string& now = device->link().name; now != name) {
      return fmt::format(
          "device {0} is called {1} now, and stays guarded; rename it back: ip link set {1} name "
          "{0}",
          name, now);
    }
  }
  return {};
}

void Devices::give_back(Device& device) {
  try {
    device.give_back();
  } catch (const BackendError& error) {
    spdlog::warn("{}, as it was before", error.what());
  }
  elsewhere_.erase(device.ifindex());
}

void Devices::queue_unnamed(const NameTest& is_named) {
  unnamed_.clear();
  for (const auto& [ifindex, device] : devices_) {
    if (!is_named(device->taken_as())) unnamed_.push_back(ifindex);
  }
}

void Devices::give_back_next(const std::function<void(int)>& let_go) {
  if (unnamed_.empty()) return;
  const int ifindex = unnamed_.front();
  unnamed_.pop_front();
  let_go(ifindex);
  Device* device = find(ifindex);
  if (device == nullptr) return;  // it was deleted meanwhile
  give_back(*device);
  spdlog::info("device {}: no port has it any more, it is the host's again", device->link().name);
  devices_.erase(ifindex);
}

void Devices::settle_leftovers(const Links& links, const NameTest& is_named, bool keep) {
  for (const int ifindex : guard_.guarded_devices()) {
    if (!devices_.contains(ifindex)) settle(ifindex, links, is_named, keep);
  }
  queue_unnamed(is_named);
}

void Devices::settle(int ifindex, const Links& links, const NameTest& is_named, bool keep) {
  const Link* link = link_of(links, ifindex);
  if (link == nullptr) return;
  const auto taken_as = guard_.pins().read(ifindex, "name");
  if (!taken_as) {  // another owner's, or nobody knows whose
    if (guard_.pins().other_owner(ifindex) || is_named(link->name)) return;
    spdlog::warn(
        "device {}: a bulkheadd guards it of which nothing is noted; it stays closed; to "
        "give it back see bulkheadd(8)",
        link->name);
    return;
  }
  if (keep && !is_named(*taken_as)) {
    spdlog::warn("device {}: no port has it; it stays closed", link->name);
    return;
  }
  try {
    devices_[ifindex] = std::make_unique<Device>(guard_, *link, *taken_as);
  } catch (const BackendError& error) {
    spdlog::error("device {}: stays closed: {}", link->name, error.what());
  }
}

void Devices::mend(int ifindex, const Listener& listener) {
  Device* device = find(ifindex);
  if (device == nullptr || elsewhere_.contains(ifindex)) return;
  const std::string before = device->trouble();
  const Guard::Mended mended = device->mend();
  if (!mended.put_back.empty() || mended.trouble != before) listener(*device, mended);
}

void Devices::look_at_qdiscs() {
  const std::map<int, std::string> qdiscs = root_qdiscs();
  for (const auto& [ifindex, device] : devices_) {
    const auto qdisc = qdiscs.find(ifindex);
    device->set_qdisc(qdisc == qdiscs.end() ? "" : qdisc->second);
  }
  has_new_ = false;
}

void Devices::mend_some(std::size_t count, const Listener& listener) {
  for (std::size_t i = 0; i < std::min(count, devices_.size()); ++i) {
    auto next = devices_.upper_bound(mended_last_);
    if (next == devices_.end()) next = devices_.begin();
    mended_last_ = next->first;
    mend(mended_last_, listener);
  }
}

}  // namespace bulkhead::control
