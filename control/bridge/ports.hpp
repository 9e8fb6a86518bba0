// The ports as they run, and their devices, which come and go: a device that came is taken for its
// port and the way over it opened; what went is closed. All of the ports or one: whatever fails is
// that port's own trouble, which is said and tried again. Control thread only.
//
// Invariant: a port that is up in the policy has its way open; so a port leaves the policy before
// it is closed, and is let in after the policy has it.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/device/link_monitor.hpp"
#include "config/config.hpp"
#include "control/bridge/devices.hpp"
#include "control/bridge/engine.hpp"
#include "control/bridge/port.hpp"

namespace bulkhead::control {

class Ports {
 public:
  using Listener = std::function<void(const std::string& port, PortState state)>;
  using Clock = std::chrono::steady_clock;

  /// How long ways are opened for before others may ask something: one takes the kernel some
  /// milliseconds, as it makes tables for all of the frames' memory. The others follow at ticks.
  static constexpr std::chrono::milliseconds kOpeningMax{150};
  static constexpr std::chrono::milliseconds kOpeningMaxOfChange{1500};
  static constexpr std::chrono::hours kOpeningMaxOfStart{1};

  /// `config`: what runs, which has every port of this; the caller changes both. `install` puts the
  /// policy for the ports as they are into force.
  Ports(const config::Config& config, Engine& engine, std::function<void()> install,
        Listener listener);
  /// The devices stay guarded. What the kernel forwards by itself goes on for as long as it may do
  /// without a daemon.
  ~Ports();
  Ports(const Ports&) = delete;
  Ports& operator=(const Ports&) = delete;

  [[nodiscard]] const RunningPorts& running() const { return running_; }

  // For a change of the configuration.

  /// One without a device.
  [[nodiscard]] RunningPort make(const config::Port& port, PortIndex index, std::uint8_t worker);
  /// From here on nothing passes between the device and the host's stack. Says whether it was not
  /// ours before. Throws BackendError, and has changed nothing then.
  bool take_device(const config::Port& port, RunningPort& running, const Link& link,
                   const Look& look);
  /// Whether take_device() would do, for a device that another port still has. Throws likewise.
  void try_out(const config::Port& port, RunningPort& running, const Link& link, const Look& look);
  /// The device stays guarded, closed; what becomes of it is for Devices to say.
  void let_device_go(RunningPort& running);
  void undo_take(int ifindex) { devices_.undo_take(ifindex); }
  void add(RunningPorts&& fresh) { running_.merge(std::move(fresh)); }
  void remove(const std::string& name);
  /// Devices that no port names any more are given back, one by one, by catch_up().
  void give_back_unnamed();
  void settle_leftovers(bool keep);
  /// Ends what the kernel forwards by the word of the daemon before us.
  void replace_shortcut();

  // Meanwhile.

  /// Looks at all devices.
  void refresh();
  void refresh(const Look& look, const LinkNotices& notices, Clock::duration opening_max);
  /// Follows what the kernel told of devices, and puts guards back that somebody took off.
  void follow(const LinkNotices& notices);
  /// To be called ten times a second.
  void tick(Clock::time_point now);
  /// What may follow a change costs a grace period of the kernel each: links in tcx, sockets that
  /// are closed, devices that are given back. Does a little of it, and says whether more is left.
  bool catch_up();
  [[nodiscard]] std::size_t giving_back() const { return devices_.queued(); }

 private:
  [[nodiscard]] bool is_named(const std::string& device) const;
  void require_fit(const config::Port& port, const Link& link, const Look& look) const;
  void open(RunningPort& running);
  void close(RunningPort& running);
  std::map<std::string, PortState> ending(const Look& look, const std::set<int>& changed);
  void end(const std::map<std::string, PortState>& going, const Look& look);
  void miss(const std::string& name, RunningPort& running, bool is_news);
  bool follow(const std::string& name, RunningPort& running, const Link& link, const Look& look);
  void follow_carrier(const std::string& name, RunningPort& running, const Link& link);
  void follow_outdated(const std::string& name, RunningPort& running);
  void follow_absences(Clock::time_point now);
  void note_mended(const Device& device, const Guard::Mended& mended);
  template <class Step>
  void attempt(const std::string& name, RunningPort& running, Step&& step);
  void set_state(const std::string& name, RunningPort& running, PortState state);

  const config::Config& config_;
  Engine& engine_;
  std::function<void()> install_;
  Listener listener_;
  Devices devices_;
  RunningPorts running_;
  std::uint32_t ticks_ = 0;
  bool are_in_turn_ = false;  // some ports
  bool may_linger_ = false;   // the next daemon can end what the kernel forwards without this one
  std::uint32_t retry_ticks_ = 0;       // until then; 0: nothing to try
  std::uint32_t retry_ticks_next_ = 1;  // doubles up to a limit
};

}  // namespace bulkhead::control
