// What one configuration has and another one has not. Pure. Called by a reload, to say what it did.
#pragma once

#include <string>
#include <vector>

#include "config/config.hpp"

namespace bulkhead::config {

struct Changes {
  /// Names, in their order.
  struct Names {
    std::vector<std::string> added, removed, changed;
  };
  Names ports;
  Names segments;
  Names statics;  // "52:54:00:00:00:09 on uplink"; none of them is ever `changed`
};

/// Where a thing stands in its file is no difference.
Changes changes_between(const Config& before, const Config& after);

/// "ports: added vm3, vm4, removed vm1; segments: changed lan", of many the first; or "nothing
/// changed".
std::string to_text(const Changes& changes);

}  // namespace bulkhead::config
