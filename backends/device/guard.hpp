// The guard: the programs on a port's device that let nothing of it reach the host's stack and
// nothing of the host's stack out of it, from attach() until release().
//
// They stay when the daemon ends, however it ends: fail closed. Each hook gets ours twice: at the
// head of tcx as a pinned link (a tcx program of somebody else that passes a frame would make the
// kernel skip clsact), and in clsact, which needs no pin and so outlives even the bpffs of a
// private mount namespace. Where somebody takes one of them off the other holds, until mend() has
// put it back. Kernels before 6.6 have clsact only.
//
// It also is the ports' side of the conduit: `slots()` are shared with the programs, and a device
// without open() passes nothing. Who calls it: Device, and the ports' way in. Control thread only.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backends/device/pins.hpp"
#include "backends/shortcut/shortcut.hpp"
#include "backends/slot.h"
#include "dataplane/limits.hpp"

struct port_bpf;

namespace bulkhead {

class Guard {
 public:
  /// Loads the programs, closed for every device. Throws BackendError.
  /// `any_ifindex`: a device to ask what the kernel can. `owner`: see Pins.
  /// `flow_places`: of the shortcut's table.
  Guard(int any_ifindex, const std::string& owner, std::size_t flow_places);
  ~Guard();
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  /// What is kept of this owner's devices beside the kernel's own state.
  [[nodiscard]] const Pins& pins() const { return pins_; }

  /// Somebody else's XDP, tcx or tc program on the device, as text; nothing if there is none.
  [[nodiscard]] static std::optional<std::string> foreign_program(const Pins& pins, int ifindex);
  /// Whether a bulkhead guards the device, this one or one that ended, or another one.
  [[nodiscard]] bool is_guarded(int ifindex) const;
  /// Devices of this network namespace for which that is so.
  [[nodiscard]] std::vector<int> guarded_devices() const;

  /// A device that came back from another network namespace may have another number: what is kept
  /// of it is moved to that. Its tcx links are how it is known. The number before; 0 if it had
  /// none.
  int recognize(int ifindex) const;
  /// Whether the device that has this number was deleted, or is elsewhere.
  enum class Whereabouts { here, elsewhere, deleted };
  [[nodiscard]] Whereabouts whereabouts(int ifindex) const;

  /// Puts the programs in force, in place of those that a daemon before us left. The device is
  /// closed until open(). Throws BackendError.
  ///
  /// A new link in tcx costs the kernel a grace period, some 14 ms each (tcx_entry_sync() under
  /// RTNL). Only the first kNewTcxMax devices of a start get theirs at once; the others, and those
  /// of later commands, are in clsact alone until catch_up().
  void attach(int ifindex);
  /// Makes one of the links that attach() has left for later; whether there are others. If it
  /// cannot be made, clsact goes on alone: mend() says why, and tries again.
  bool catch_up();

  /// What mend() found.
  struct Mended {
    std::string put_back;  // what somebody had taken off and is there again, as text; or nothing
    std::string trouble;   // what stays wrong, as text; or nothing
  };
  /// Looks whether the programs are in force, and puts back what somebody took off. Never throws.
  Mended mend(int ifindex);
  /// Takes them off: the device is the host's again.
  void release(int ifindex);
  /// They stay, but nobody looks after them here any more.
  void leave(int ifindex);

  /// What is kept for devices that are no more, because they vanished while no daemon ran.
  void release_vanished();

  /// Frames of the device go to that conduit as `port`'s, up to its share of the queue there.
  void open(int ifindex, PortIndex port, int conduit_ifindex);
  /// Frames of the port do not go to the conduit any more; what takes the shortcut still does.
  void close_conduit(PortIndex port);
  /// They are dropped from now on.
  void close(int ifindex, PortIndex port);

  /// The ports' counters, by port index; kPortsMax of them.
  [[nodiscard]] std::span<bulkhead_slot> slots() { return slots_; }
  /// What all ports of a worker have waiting, by worker; kWorkersMax of them.
  [[nodiscard]] std::span<bulkhead_conduit> conduits() { return conduits_; }
  [[nodiscard]] Shortcut::Maps shortcut_maps() const;
  /// Whether ours are at the head of tcx, which is stronger than clsact alone.
  [[nodiscard]] bool has_tcx() const { return has_tcx_; }

 private:
  /// A link in tcx that is still to be made.
  struct Later {
    int ifindex;
    std::size_t hook;
    auto operator<=>(const Later&) const = default;
  };

  [[nodiscard]] int program(std::size_t hook) const;
  [[nodiscard]] bool is_later(int ifindex, std::size_t hook) const;
  [[nodiscard]] bool has_link(int ifindex, std::size_t hook) const;
  void mend_tcx(int ifindex, std::size_t hook, Mended& mended);
  void mend_clsact(int ifindex, std::size_t hook, Mended& mended);
  void unmap();
  bool try_tcx(int ifindex, std::size_t hook);
  bool may_try_again();
  bool set_vlan(int ifindex, std::uint32_t vlan);

  Pins pins_;
  port_bpf* programs_ = nullptr;
  std::array<std::uint32_t, 2> program_ids_{};  // by hook
  std::span<bulkhead_slot> slots_;
  std::span<bulkhead_conduit> conduits_;
  bool has_tcx_ = false;
  std::size_t flow_places_;
  static constexpr int kNewTcxMax = 64;
  int new_tcx_left_ = kNewTcxMax;  // devices of a start, which ends with the first catch_up()
  std::deque<Later> later_;
  std::map<Later, std::string> without_;             // links that could not be made, and why
  std::chrono::steady_clock::time_point try_again_;  // one of them, at the earliest
};

}  // namespace bulkhead
