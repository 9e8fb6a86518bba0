// A port as it runs: what the configuration cannot know, and how it is said. Control thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "backends/device/device.hpp"
#include "backends/way.hpp"
#include "config/config.hpp"

namespace bulkhead::control {

enum class PortState { waiting, down, up };
[[nodiscard]] const char* name_of(PortState state);

/// How many frames of a port arrive at the worker, lately. look() once a tick.
class ArrivalRate {
 public:
  void look(std::uint64_t received) {
    constexpr double kNewest = 0.1;  // a second or two back
    const auto more = static_cast<double>(received - std::exchange(mark_, received));
    frames_per_tick_ += kNewest * (more - frames_per_tick_);
  }
  [[nodiscard]] double frames_per_tick() const { return frames_per_tick_; }

 private:
  std::uint64_t mark_ = 0;
  double frames_per_tick_ = 0;
};

struct RunningPort {
  PortIndex index = kNoPort;
  std::uint8_t worker = 0;
  std::unique_ptr<Way> way;
  PortState state = PortState::waiting;
  std::string why_waiting;
  std::optional<std::chrono::steady_clock::time_point> waiting_since;
  bool away = false;         // has been waiting for long
  Device* device = nullptr;  // unless waiting
  std::uint32_t mtu = 0;     // of its device
  bool had_carrier = true;   // at the last notice, if up
  bool in_turn = false;      // waits to be opened, as others are before it
  ArrivalRate arrival;
  std::uint64_t guard_restored = 0;  // times that somebody had taken something of the guard off
};

using RunningPorts = std::map<std::string, RunningPort>;  // by name

/// What others may know of one.
struct PortStatus {
  const config::Port* config = nullptr;
  PortState state = PortState::waiting;
  std::string why;  // one line: why it waits, or what is wrong with its device; or nothing
  std::uint32_t mtu = 0;
  PortIndex index = kNoPort;
  std::uint8_t worker = 0;
  std::optional<Way::Queues> queues;  // of a device that has its own, while the port is up
  std::uint8_t road = 0;              // of the shortcut: BULKHEAD_ROAD_
  std::string why_no_road;            // one line, if there is none
  std::uint64_t guard_restored = 0;
};

[[nodiscard]] PortStatus status_of(const config::Config& config, const config::Port& port,
                                   const RunningPort& running);

/// Why the kernel may not repeat verdicts about the port's frames; nothing if it may.
[[nodiscard]] std::string why_no_road(const config::Config& config, const config::Port& port,
                                      const RunningPort& running);
/// How the kernel itself gets frames to the port, if it may: BULKHEAD_ROAD_.
[[nodiscard]] std::uint8_t road_to(const config::Config& config, const config::Port& port,
                                   const RunningPort& running);

/// Why a device passes nothing.
[[nodiscard]] std::string down_text(const Link& link);
/// The MACs and addresses that are the port's own.
[[nodiscard]] std::string addresses_text(const config::Port& port);

}  // namespace bulkhead::control
