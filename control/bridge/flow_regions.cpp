#include "control/bridge/flow_regions.hpp"

#include <algorithm>
#include <bit>

#include "dataplane/flow_entry.h"

namespace bulkhead::control {

FlowRegions::FlowRegions(std::size_t places)
    : sets_(static_cast<std::uint32_t>(places / BULKHEAD_FLOW_SET)) {}

std::uint32_t FlowRegions::region_places() const { return region_sets_ * BULKHEAD_FLOW_SET; }

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
  if (!fits) {
    const bool overlaps =
        std::ranges::any_of(owner_, [](PortIndex port) { return port != kNoPort; });
    region_sets_ = fitting;
    owner_.assign(sets_ / region_sets_, kNoPort);
    for (std::size_t i = 0; i < wanting.size(); ++i) owner_[i] = wanting[i];
    for (std::size_t i = 0; i < owner_.size(); ++i) {
      if (owner_[i] == kNoPort) continue;
      policy.ports[owner_[i]].flow_first =
          static_cast<std::uint32_t>(i) * region_sets_ * BULKHEAD_FLOW_SET;
      policy.ports[owner_[i]].flow_sets = region_sets_;
    }
    return overlaps;
  }
  const std::vector<PortIndex> before = owner_;
  const auto wants = [&](PortIndex port) { return std::ranges::binary_search(wanting, port); };
  for (PortIndex& port : owner_) {
    if (port != kNoPort && !wants(port)) port = kNoPort;
  }
  std::size_t next = 0;
  for (const PortIndex port : wanting) {
    auto place = std::ranges::find(owner_, port);
    if (place == owner_.end()) {
      while (next < owner_.size() && (owner_[next] != kNoPort || before[next] != kNoPort)) ++next;
      if (next == owner_.size()) continue;  // at the next call
      place = owner_.begin() + static_cast<std::ptrdiff_t>(next);
      *place = port;
    }
    const auto region = static_cast<std::uint32_t>(place - owner_.begin());
    policy.ports[port].flow_first = region * region_sets_ * BULKHEAD_FLOW_SET;
    policy.ports[port].flow_sets = region_sets_;
  }
  return false;
}

}  // namespace bulkhead::control
