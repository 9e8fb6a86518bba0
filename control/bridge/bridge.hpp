// The bridge: the running configuration and the ports' devices, and the one road by which either
// changes. Control thread only.
//
// A change is all or nothing: change() checks the new configuration, looks at the devices that it
// adds, and only then touches anything; if something still fails on the way, what was added is
// taken off again and the configuration before stays in force. Ports that a change does not
// concern lose no frame: their devices, sockets and places stay, and the policy is swapped between
// two batches.
//
// A port's device may come and go: refresh() attaches what came and detaches what went.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/device/link.hpp"
#include "backends/device/link_monitor.hpp"
#include "config/config.hpp"
#include "control/bridge/compile.hpp"
#include "control/bridge/devices.hpp"
#include "control/bridge/engine.hpp"
#include "control/bridge/intake.hpp"

namespace bulkhead::control {

enum class PortState { waiting, down, up };
[[nodiscard]] const char* name_of(PortState state);

/// A port as it runs.
struct PortStatus {
  const config::Port* config = nullptr;
  PortState state = PortState::waiting;
  std::string why;  // one line: why it waits, or what is wrong with its device; or nothing
  std::uint32_t mtu = 0;
  PortIndex index = kNoPort;
  std::uint8_t worker = 0;
  const NicDevice* nic = nullptr;    // if it is attached by XDP and not waiting
  std::uint8_t road = 0;             // of the shortcut: BULKHEAD_ROAD_
  std::string why_no_road;           // one line, if there is none
  std::uint64_t guard_restored = 0;  // times that somebody had taken something of the guard off
};

class Bridge {
 public:
  using PortListener = std::function<void(const std::string& port, PortState state)>;

  /// What becomes of guarded devices that no port has: the host's again, or closed as they are.
  enum class Leftovers { release, keep };

  /// Starts with `config`, which is checked. A port whose device cannot be had waits, and says why.
  /// Throws BackendError or ConfigError where it is not a port's device; what was guarded before
  /// stays guarded then.
  Bridge(config::Config config, Leftovers leftovers, PortListener listener);
  /// Stops forwarding. The devices stay guarded: nothing passes them until a bulkhead is back.
  ~Bridge();
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  /// Makes `next` the running configuration, or throws and changes nothing.
  void change(config::Config next);
  [[nodiscard]] const config::Config& config() const { return config_; }

  /// Looks at all devices again.
  void refresh();
  /// Follows what the kernel told of devices, and puts guards back that somebody took off.
  void follow(const LinkNotices& notices);
  /// To be called ten times a second: settles what the conduit lost, and tries ports again whose
  /// device could not be had.
  /// What waits for its device for a minute leaves its addresses to trusted ports.
  void tick(std::chrono::steady_clock::time_point now);

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

  [[nodiscard]] Engine& engine() { return *engine_; }

 private:
  struct Attached {
    PortIndex index = kNoPort;
    std::uint8_t worker = 0;
    PortState state = PortState::waiting;
    std::string why_waiting;
    std::optional<std::chrono::steady_clock::time_point> waiting_since;
    bool away = false;                       // has been waiting for kAwayAfter
    Device* device = nullptr;                // unless waiting; of devices_
    std::uint32_t mtu = 0;                   // of its device
    std::unique_ptr<TransmitSocket> socket;  // if up, over the conduit
    std::unique_ptr<NicDevice> nic;          // unless waiting, by XDP
    std::uint32_t nic_ticks = 0;             // since its queues were counted
    NicDevice::Counts nic_before;            // of devices that it has had
    ArrivalRate arrival;                     // of one on the conduit
    std::uint64_t guard_restored = 0;
    bool had_carrier = true;  // at the last notice, if up
  };

  /// Why the device cannot be this port's; nothing if it can.
  [[nodiscard]] std::optional<std::string> objection(const config::Port& port, const Link& link);
  [[nodiscard]] std::unique_ptr<NicDevice> make_nic(const config::Port& port, const Link& link);
  void try_xdp(const config::Port& port, const Link& link);
  void take_device(const config::Port& port, Attached& attached, const Link& link);
  void let_device_go(Attached& attached);
  [[nodiscard]] std::span<const NicDevice::Share> shares_of(const Attached& attached,
                                                            const config::Port& port) const;
  void plug(const config::Port& port, Attached& attached);
  void unplug(Attached& attached);
  void unplug_nic(Attached& attached);
  void admit(Attached& attached);
  void follow_queues(const std::string& name, Attached& attached);
  [[nodiscard]] Intake nic_intake(const Attached& attached, std::uint64_t received) const;
  void remove(const std::string& name, Attached& attached);
  [[nodiscard]] bool is_named(const std::string& device) const;
  [[nodiscard]] static std::string trouble_of(const std::string& name, const Attached& attached,
                                              bool is_up);
  void miss(const std::string& name, Attached& attached, bool is_news);
  void note_mended(const Device& device, const Guard::Mended& mended);
  void refresh(const Links& links, const LinkNotices& notices);
  bool follow(const std::string& name, Attached& attached, const Link& link);
  void follow_carrier(const std::string& name, Attached& attached, const Link& link);
  [[nodiscard]] static bool has_carrier(const Attached& attached);
  template <class Step>
  void attempt(const std::string& name, Attached& attached, Step&& step);
  void set_state(const std::string& name, Attached& attached, PortState state);
  void follow_absences(std::chrono::steady_clock::time_point now);
  void install(const config::Config& config);
  [[nodiscard]] static std::string why_no_road(const config::Config& config,
                                               const config::Port& port, const Attached& attached);
  [[nodiscard]] static std::uint8_t road_to(const config::Config& config, const config::Port& port,
                                            const Attached& attached);
  [[nodiscard]] PortIndex new_index();
  /// The workers of ports that claim link-local addresses, by segment.
  [[nodiscard]] std::map<std::string, std::uint8_t> claim_workers(const config::Config& next) const;
  [[nodiscard]] std::uint8_t idlest_worker(const std::map<std::string, Attached>& fresh) const;
  void number_segments(const config::Config& config);

  HashKey key_;
  config::Config config_;
  PortListener listener_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Devices> devices_;
  std::map<std::string, Attached> attached_;  // by port, one for each of config_
  std::map<std::string, SegmentIndex> segments_;
  std::vector<bool> index_used_;
  std::size_t index_last_ = kPortsMax - 1;               // that was taken
  std::optional<std::map<int, std::string>> host_uses_;  // of this change or look, once asked
  bool is_starting_ = true;
  bool may_linger_ = false;             // the next daemon can end what goes on without this one
  std::uint32_t retry_ticks_ = 0;       // until then; 0: nothing to try
  std::uint32_t retry_ticks_next_ = 1;  // doubles up to kRetryTicksMax
};

}  // namespace bulkhead::control
