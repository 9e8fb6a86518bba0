// One end of a conduit as the kernel sees it, and what is done to it there. Control thread only;
// every call may throw BackendError.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace bulkhead {

struct ConduitEnd {
  std::string name;
  std::string alias;
  std::string qdisc;
  std::uint32_t mtu = 0;
  bool up = false;
};

/// Nothing if this network namespace has no device of that number.
std::optional<ConduitEnd> find_conduit_end(int ifindex);
/// Only if a conduit has been marked so by mark_conduit_end(), by this process or another.
bool is_conduit_end(const std::string& name);
/// So that nobody takes somebody else's "bhc0" for a conduit.
void mark_conduit_end(int ifindex);
void set_mtu(int ifindex, std::uint32_t mtu);

}  // namespace bulkhead
