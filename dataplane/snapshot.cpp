#include "dataplane/snapshot.hpp"

#include <array>

#include "dataplane/invariant.hpp"

namespace bulkhead {
namespace {

constexpr std::array<std::vector<PortIndex> ReachSet::*, ReachSet::kListCount> kLists{
    &ReachSet::flood,        &ReachSet::unknown,    &ReachSet::trusted,
    &ReachSet::ownerless,    &ReachSet::link_local, &ReachSet::testers,
    &ReachSet::dhcp_servers, &ReachSet::routers,    &ReachSet::queriers,
};

}  // namespace

const std::vector<PortIndex>& ReachSet::list(std::size_t number) const {
  return this->*kLists[number];
}

std::uint8_t ReachSet::number_of(std::span<const PortIndex> ports) const {
  std::uint8_t number = 0;
  while (number < kListCount && list(number).data() != ports.data()) ++number;
  return holds(number < kListCount) ? number : kNoList;
}

}  // namespace bulkhead
