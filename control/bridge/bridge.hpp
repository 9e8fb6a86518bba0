// The bridge: the running configuration, and the one road by which it changes. Control thread only.
//
// A change is all or nothing: change() checks the new configuration, looks at the devices that it
// adds, and only then touches anything; if something still fails on the way, what was added is
// taken off again and the configuration before stays in force. Ports that a change does not
// concern lose no frame: their devices, sockets and places stay, and the policy is swapped between
// two batches.
//
// How the ports run, whose devices may come and go, is for Ports to say.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "control/bridge/compile.hpp"
#include "control/bridge/engine.hpp"
#include "control/bridge/placement.hpp"
#include "control/bridge/ports.hpp"

namespace bulkhead::control {

class Bridge {
 public:
  /// What becomes of guarded devices that no port has: the host's again, or closed as they are.
  enum class Leftovers { release, keep };

  /// Starts with `config`, which is checked. A port whose device cannot be had waits, and says why.
  /// Throws BackendError or ConfigError where it is not a port's device; what was guarded before
  /// stays guarded then.
  Bridge(config::Config config, Leftovers leftovers, Ports::Listener listener);
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;
  /// Stops forwarding. The devices stay guarded: nothing passes them until a bulkhead is back.
  ~Bridge() = default;

  /// Makes `next` the running configuration, or throws and changes nothing.
  void change(config::Config next);
  [[nodiscard]] const config::Config& config() const { return config_; }

  /// The kernel forwards nothing by itself until each pair has been judged anew.
  void forget_flows() { install(config_); }

  [[nodiscard]] PortStatus status_of(const std::string& port) const;
  /// `received`: what the worker has counted for the port.
  [[nodiscard]] Intake intake_of(const std::string& port, std::uint64_t received) const;
  /// The port's name; nothing if there is none with this index (any more).
  [[nodiscard]] std::optional<std::string> name_of(PortIndex index) const;
  [[nodiscard]] std::string segment_name(SegmentIndex index) const;
  [[nodiscard]] SegmentIndex segment_index(const std::string& name) const {
    return segments_.at(name);
  }

  [[nodiscard]] Ports& ports() { return *ports_; }
  [[nodiscard]] Engine& engine() { return *engine_; }

 private:
  /// What a change does to the ports.
  struct Change {
    std::set<std::string> gone, come;
    RunningPorts fresh;      // for those that come
    std::vector<int> taken;  // devices
    Look look;
  };

  [[nodiscard]] Change plan(const config::Config& next, const WorkerChoice& workers) const;
  void prepare(Change& change, const config::Config& next, WorkerChoice& workers);
  void undo(Change& change);
  void commit(Change& change, config::Config&& next);
  void tell_of(const Change& change) const;
  void install(const config::Config& config);
  void number_segments(const config::Config& config);

  HashKey key_;
  config::Config config_;
  std::map<std::string, SegmentIndex> segments_;
  PortNumbers numbers_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Ports> ports_;
  bool is_starting_ = true;
};

}  // namespace bulkhead::control
