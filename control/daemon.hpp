// The daemon: the control thread's loop, and what wakes it (signals, devices, the worker, clients).
#pragma once

#include <string>

#include "config/config.hpp"

namespace bulkhead::control {

/// Runs until SIGTERM or SIGINT. Throws what the start throws; afterwards every error is logged or
/// answered to whoever asked.
void run_daemon(const config::Config& config);

}  // namespace bulkhead::control
