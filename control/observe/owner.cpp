#include "control/observe/owner.hpp"

#include <algorithm>

namespace bulkhead::control {
namespace {

constexpr int kNotCovered = -1;

/// How many bits of the address the port's claim to it says; kNotCovered if it has none.
int claim_of(const config::Port& port, const config::Prefix& address) {
  const auto is_same = [&](const config::InterfaceAddress& other) {
    return config::host_of(other) == address;
  };
  const bool by_mac = port.link_local == config::LinkLocal::mac && !port.trusted &&
                      port.speaks(true) && std::ranges::any_of(port.macs, [&](MacAddress mac) {
                        return is_same(config::link_local_of(mac));
                      });
  if (by_mac || std::ranges::any_of(port.addresses, is_same) ||
      std::ranges::any_of(port.shared_addresses, is_same) ||
      std::ranges::any_of(port.link_locals, is_same)) {
    return address.length;
  }
  int longest = kNotCovered;
  for (const config::Prefix& prefix : port.prefixes) {
    if (config::covers(prefix, address)) longest = std::max(longest, int{prefix.length});
  }
  return longest;
}

template <class Claim>
const config::Port* best(const config::Config& config, const config::Port& asker, Claim claim) {
  const config::Port* owner = nullptr;
  int longest = kNotCovered;
  for (const auto& [name, port] : config.ports) {
    if (port.segment != asker.segment) continue;
    const int length = claim(port);
    if (length > longest || (length == longest && length != kNotCovered && name == asker.name)) {
      owner = &port;
      longest = length;
    }
  }
  return owner;
}

}  // namespace

const config::Port* owner_of(const config::Config& config, const config::Port& asker,
                             MacAddress mac) {
  return best(config, asker, [mac](const config::Port& port) {
    const bool has = std::ranges::find(port.macs, mac) != port.macs.end() ||
                     std::ranges::find(port.shared_macs, mac) != port.shared_macs.end();
    return has ? 0 : kNotCovered;
  });
}

const config::Port* owner_of(const config::Config& config, const config::Port& asker,
                             const config::Prefix& address) {
  return best(config, asker, [&](const config::Port& port) { return claim_of(port, address); });
}

}  // namespace bulkhead::control
