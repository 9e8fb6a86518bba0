#include "control/client/follow.hpp"

#include <signal.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include "control/client/report.hpp"
#include "control/observe/hex.hpp"
#include "control/observe/pcap.hpp"

namespace bulkhead::control {
namespace {

using Json = nlohmann::json;

/// A descriptor that becomes readable when the user or the system wants an end; what was begun is
/// finished then.
int interrupt_fd() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return ::signalfd(-1, &signals, SFD_CLOEXEC);
}

PcapNote note_of(const Json& event) {
  const std::string side = event.value("side", "?");
  std::string comment = "reason=" + event.value("reason", "?") + " side=" + side +
                        " from=" + event.value("from", "?");
  if (event.value("shadow", false)) comment += " shadow";
  return {event.value("port", "?"), event.value("time_us", std::uint64_t{0}),
          event.value("length", std::uint32_t{0}), side == "egress", comment};
}

}  // namespace

int monitor(Client& client, bool as_json) {
  for (;;) {
    const Json event = *client.next_event();
    if (as_json) {
      std::cout << event.dump() << std::endl;
    } else {
      show_event(std::cout, event);
    }
    if (!std::cout) return kExitDone;  // whoever read has gone
  }
}

int capture(Client& client, const CommandLine& line) {
  const bool to_stdout = line.file == "-";
  std::ofstream file;
  if (!to_stdout) {
    file.open(line.file, std::ios::binary | std::ios::trunc);
    if (!file) {
      throw ClientError(kExitFailed, line.file + ": " + std::strerror(errno));
    }
  }
  std::ostream& out = to_stdout ? std::cout : file;
  ::signal(SIGPIPE, SIG_IGN);  // whoever read has gone: an end like another
  const int interrupt = interrupt_fd();
  PcapngWriter writer;
  std::uint64_t frames = 0, lost = 0;
  out << writer.header() << std::flush;
  while (out && (line.frames_max == 0 || frames < line.frames_max)) {
    const auto event = client.next_event(interrupt);
    if (!event) break;
    if (event->value("event", "") == "lost") lost = event->value("frames", lost);
    const auto bytes = parse_hex(event->value("frame", ""));
    if (!bytes || bytes->empty()) continue;
    out << writer.frame(note_of(*event), *bytes) << std::flush;
    ++frames;
  }
  if (!out && !to_stdout) {
    throw ClientError(kExitFailed, line.file + ": cannot be written");
  }
  if (line.as_json && !to_stdout) {
    std::cout << Json{{"frames", frames}, {"lost", lost}}.dump() << '\n';
  } else {
    std::cerr << "bulkhead: " << frames << " frames captured, " << lost << " lost" << std::endl;
  }
  return kExitDone;
}

}  // namespace bulkhead::control
