// Why a device cannot be a port's: what the bridge asks before it takes one, and `bulkheadd --check
// --devices` before anything runs. Changes nothing. Control thread; throws BackendError.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backends/device/pins.hpp"
#include "config/config.hpp"
#include "control/bridge/look.hpp"

namespace bulkhead::control {

/// Who the guards of this configuration's daemon belong to: what survives its restart.
[[nodiscard]] std::string owner_of(const config::Config& config);

/// One line with the way out; nothing if the port can have the device.
[[nodiscard]] std::optional<std::string> objection(const config::Port& port, const Link& link,
                                                   const Pins& pins, const Look& look);

/// The same for all ports of a configuration, a line for each that would wait, also for a device
/// that is not there.
[[nodiscard]] std::vector<std::string> device_objections(const config::Config& config);

}  // namespace bulkhead::control
