// The guard: the programs on a port's device that let nothing of it reach the host's stack and
// nothing of the host's stack out of it, from attach() until release().
//
// They stay when the daemon ends, however it ends: fail closed. Each hook gets ours twice: at the
// head of tcx as a pinned link (a tcx program of somebody else that passes a frame would make the
// kernel skip clsact), and in clsact, which needs no pin and so outlives even the bpffs of a
// private mount namespace. Kernels before 6.6 have clsact only.
//
// It also is the ports' side of the conduit: `slots()` are shared with the programs, and a device
// without open() passes nothing. Control thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backends/slot.h"
#include "dataplane/limits.hpp"

struct port_bpf;

namespace bulkhead {

class Guard {
 public:
  /// Frames that one port may have between its device and the worker: a quarter of the receive
  /// ring, where they wait. (Less makes TCP with 64 KB segments lose frames: 1.4 Gbit/s with 128,
  /// 2.2 with 512, 2.8 with 1024, on two cores.)
  static constexpr std::uint64_t kWindowFrames = 1024;
  /// The same for a port that floods: what it keeps waiting, everybody waits behind.
  static constexpr std::uint64_t kFloodWindowFrames = 128;
  /// The same for a port while no other sends: more than the worker's short absences, a millisecond
  /// or two, and room for what the first frames of the others are.
  static constexpr std::uint64_t kLoneWindowFrames = 3072;

  /// Loads the programs, closed for every device. Throws BackendError.
  /// `any_ifindex`: a device to ask what the kernel can.
  explicit Guard(int any_ifindex);
  ~Guard();
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  /// Somebody else's XDP, tcx or tc program on the device, as text; nothing if there is none.
  [[nodiscard]] static std::optional<std::string> foreign_program(int ifindex);
  /// Whether a bulkhead guards the device, this one or one that ended.
  [[nodiscard]] static bool is_guarded(int ifindex);
  /// Devices of this network namespace for which that is so.
  [[nodiscard]] static std::vector<int> guarded_devices();

  /// Puts the programs in force, in place of those that a daemon before us left. The device is
  /// closed until open(). Throws BackendError.
  ///
  /// A new link in tcx costs the kernel a grace period, some 14 ms each (tcx_entry_sync() under
  /// RTNL). Only the first kNewTcxMax devices of a start get theirs at once; the others, and those
  /// of later commands, are in clsact alone until catch_up().
  void attach(int ifindex);
  /// Makes one of the links that attach() has left for later; whether there are others. Throws
  /// BackendError if it cannot be made: clsact goes on alone.
  bool catch_up();
  /// Takes them off: the device is the host's again.
  static void release(int ifindex);

  /// What is pinned for devices that are no more, because they vanished while no daemon ran.
  static void release_vanished();

  /// Frames of the device go to that conduit as `port`'s, up to the window.
  void open(int ifindex, PortIndex port, int conduit_ifindex);
  /// They are dropped from now on. Forgets a device that has vanished, too.
  void close(int ifindex, PortIndex port);

  /// Where what belongs to this network namespace is kept in the BPF file system, which outlives
  /// the daemon and not the kernel. Mounts that and makes the directory; empty if it cannot be had.
  [[nodiscard]] static std::string directory();

  /// The ports' counters and windows, by port index; kPortsMax of them.
  [[nodiscard]] std::span<bulkhead_slot> slots() { return slots_; }
  /// Whether ours are at the head of tcx, which is stronger than clsact alone.
  [[nodiscard]] bool has_tcx() const { return has_tcx_; }

 private:
  /// A link in tcx that is still to be made.
  struct Later {
    int ifindex;
    std::size_t hook;
  };

  [[nodiscard]] int program(std::size_t hook) const;
  bool set_vlan(int ifindex, std::uint32_t vlan);

  port_bpf* programs_ = nullptr;
  std::span<bulkhead_slot> slots_;
  bool has_tcx_ = false;
  static constexpr int kNewTcxMax = 64;
  int new_tcx_left_ = kNewTcxMax;  // devices of a start, which ends with the first catch_up()
  std::deque<Later> later_;
};

}  // namespace bulkhead
