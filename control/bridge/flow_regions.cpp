#include "control/bridge/flow_regions.hpp"

#include <algorithm>
#include <bit>

#include "dataplane/flow_entry.h"

namespace bulkhead::control {

FlowRegions::FlowRegions(std::size_t places)
    : sets_(static_cast<std::uint32_t>(places / BULKHEAD_FLOW_SET)) {}

bool FlowRegions::plan(Snapshot& policy) {
  std::vector<PortIndex> wanting;
  for (std::size_t i = 0; i < policy.ports.size(); ++i) {
    const PortPolicy& port = policy.ports[i];
    if (port.present && port.road != 0) wanting.push_back(static_cast<PortIndex>(i));
  }
  if (wanting.empty()) {
    std::ranges::fill(owner_, kNoPort);
    return false;
  }
  const auto count = static_cast<std::uint32_t>(wanting.size());
  const std::uint32_t fitting = std::bit_floor(sets_ / count);
  if (fitting == 0) return false;  // a table for fewer ports: nobody has a region
  // Half of what would fit will do, so that a port more or less does not change all.
  const bool fits = region_sets_ != 0 && region_sets_ <= fitting && region_sets_ * 2 >= fitting;
  const auto is_taken = [](PortIndex port) { return port != kNoPort; };
  const bool overlaps = !fits && std::ranges::any_of(owner_, is_taken);
  if (!fits) {
    region_sets_ = fitting;
    owner_.assign(sets_ / region_sets_, kNoPort);
  }
  const std::vector<PortIndex> before = owner_;
  for (PortIndex& port : owner_) {
    if (!std::ranges::binary_search(wanting, port)) port = kNoPort;
  }
  std::size_t next = 0;
  for (const PortIndex port : wanting) {
    auto place = std::ranges::find(owner_, port);
    if (place == owner_.end()) {
      while (next < owner_.size() && (is_taken(owner_[next]) || is_taken(before[next]))) ++next;
      if (next == owner_.size()) continue;  // at the next call
      place = owner_.begin() + static_cast<std::ptrdiff_t>(next);
      *place = port;
    }
    const auto region = static_cast<std::uint32_t>(place - owner_.begin());
    policy.ports[port].flow_first = region * region_sets_ * BULKHEAD_FLOW_SET;
    policy.ports[port].flow_sets = region_sets_;
  }
  return overlaps;
}

}  // namespace bulkhead::control
