// What the kernel says of all devices at one moment, for whoever decides about several of them.
// Control thread only.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "backends/device/link.hpp"

namespace bulkhead::control {

using Links = std::map<std::string, Link>;  // by name

class Look {
 public:
  /// Throws BackendError.
  Look() : links_(list_links()) {}

  [[nodiscard]] const Links& links() const { return links_; }
  /// nullptr if there is none of that name.
  [[nodiscard]] const Link* find(const std::string& name) const {
    const auto link = links_.find(name);
    return link == links_.end() ? nullptr : &link->second;
  }
  /// host_uses(), asked for when it first matters. Throws BackendError.
  [[nodiscard]] const std::map<int, std::string>& uses() const {
    if (!uses_) uses_ = host_uses(links_);
    return *uses_;
  }

 private:
  Links links_;
  mutable std::optional<std::map<int, std::string>> uses_;
};

}  // namespace bulkhead::control
