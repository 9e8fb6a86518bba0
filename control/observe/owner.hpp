// Whose an address is. Pure. For `explain`, which names the owner and makes frames for it.
#pragma once

#include <string>

#include "config/config.hpp"

namespace bulkhead::control {

/// The port of `segment` that the MAC is bound to or shared by; `asker` if it is one of several.
/// Null if there is none.
const config::Port* owner_of(const config::Config& config, const config::Port& asker,
                             MacAddress mac);

/// The port of the asker's segment with the longest prefix that covers the address (itself a prefix
/// of full length); `asker` if it is one of several. Null if there is none. Routes do not count:
/// nobody claims what is in them.
const config::Port* owner_of(const config::Config& config, const config::Port& asker,
                             const config::Prefix& address);

}  // namespace bulkhead::control
