// Config -> Snapshot: the only place that interprets isolation options.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "config/config.hpp"
#include "dataplane/snapshot.hpp"

namespace bulkhead::control {

/// Where a port is at the moment: what a configuration cannot know.
struct Site {
  PortIndex index = kNoPort;
  std::uint8_t backend = 0;
  bool up = false;
  std::uint32_t mtu = 0;
  std::uint8_t worker = 0;
  bool spread = false;       // every worker has a part of its queues
  std::uint32_t device = 0;  // its index; another one is another guest; 0: none
  bool away = false;         // its device has been gone for long
  std::uint8_t road = 0;     // see PortPolicy::road
};

/// May a frame from `from` be delivered to `to`? Every isolation option in one expression. Both are
/// of one segment.
[[nodiscard]] bool reaches(const config::Port& from, const config::Port& to);

/// `config` is checked; `sites` has every port of it and `segments` every segment. Pure.
[[nodiscard]] std::unique_ptr<Snapshot> compile(const config::Config& config,
                                                const std::map<std::string, Site>& sites,
                                                const std::map<std::string, SegmentIndex>& segments,
                                                HashKey key);

/// A policy as one of `workers` workers gets it: with its part of the rates of spread ports, and of
/// the segments' limits, which goes by how much the ports that are its own may learn. The parts of
/// a limit add up to the whole.
[[nodiscard]] std::unique_ptr<Snapshot> part_of(const Snapshot& policy, std::uint8_t worker,
                                                std::uint8_t workers);

}  // namespace bulkhead::control
