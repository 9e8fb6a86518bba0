// The commands that go on: events and frames, as the daemon sends them.
#pragma once

#include "control/client/client.hpp"
#include "control/client/command_line.hpp"

namespace bulkhead::control {

/// Prints events, one a line, until the daemon or the reader of the output goes. The exit code.
int monitor(Client& client, bool as_json);

/// Writes dropped frames until interrupted, or until there are `line.frames_max`. The file is whole
/// after each. The exit code; throws ClientError.
int capture(Client& client, const CommandLine& line);

}  // namespace bulkhead::control
