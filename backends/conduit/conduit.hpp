// The conduit: how frames of veth, tap and any other kernel ports reach a worker and leave it.
//
//   guest - port device -[tc: bulkhead_in, tag = port + 1]-> bhcN == bhcNx -[XDP]-> AF_XDP, here
//   guest - port device <-------------- one AF_XDP transmit socket a port <---------------- here
//
// bhcN completes nothing in hardware: checksums, segments and hidden VLAN tags are finished by the
// kernel before a frame enters it, whatever the guest offloads (docs/ARCHITECTURE.md).
//
// ConduitDevice is the veth pair and its program, control thread. Conduit is the backend, worker's
// thread. Programs on the ports' devices are backends/guard's.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/conduit/fair_queue.hpp"
#include "backends/conduit/losses.hpp"
#include "backends/slot.h"
#include "backends/umem.hpp"
#include "backends/xsk.hpp"
#include "dataplane/backend.hpp"
#include "dataplane/mailbox.hpp"

struct conduit_bpf;

namespace bulkhead {

class ConduitDevice {
 public:
  static constexpr std::uint32_t kMtu = 3506;  // the most that veth takes with native XDP
  static constexpr std::uint32_t kPortMtuMax = kMtu - 12;  // our tag and two of the guest's

  /// What is wrong with it, as text: nothing if it is empty.
  struct Fault {
    std::string text;
    bool is_past_mending = false;  // it has to be made anew
  };

  /// Makes bhcN and bhcNx for the first N of whose names nobody has a device, cleaning up what a
  /// killed daemon left. Throws BackendError.
  ConduitDevice();
  ~ConduitDevice();
  ConduitDevice(const ConduitDevice&) = delete;
  ConduitDevice& operator=(const ConduitDevice&) = delete;

  /// Where the ports' programs redirect to.
  [[nodiscard]] int ifindex() const { return ifindex_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  /// The device to receive from.
  [[nodiscard]] const std::string& peer_name() const { return peer_name_; }
  /// Lets the program redirect to this socket. Throws BackendError.
  void connect(const ReceiveSocket& socket);

  // Whoever may set a device down may do it to ours. These three throw BackendError.

  [[nodiscard]] Fault fault() const;
  /// Puts right what is not past mending; the sockets go on.
  void mend();
  /// Makes another pair, with another name if it must be. What is bound to the old one hears
  /// nothing any more: to be followed by connect() with a new socket.
  void make_anew();

 private:
  void make_pair();
  void release();
  [[nodiscard]] int program_fd() const;
  [[nodiscard]] std::uint32_t program_id() const;
  /// Whether what XDP does not take at the far end is dropped there.
  [[nodiscard]] bool is_closed() const;

  std::string name_;
  std::string peer_name_;
  int ifindex_ = 0;
  int peer_ = 0;  // its interface index
  int lock_ = -1;
  bool beside_ = false;             // tag_beside is in force
  conduit_bpf* program_ = nullptr;  // tag_beside; nullptr on older kernels
  conduit_bpf* inside_ = nullptr;   // tag_inside and conduit_end
};

/// Frames wait in the receive ring and, behind it, in a FairQueue, which decides whose turn it is.
class Conduit : public Backend {
 public:
  static constexpr std::uint32_t kLookMilliseconds = 50;  // between two looks for losses

  /// `slots`: the ports' places, by port index, and `conduits`, by worker, both shared with the
  /// ports' tc programs. `worker`: whose conduit it is.
  Conduit(BufferPool& pool, ReceiveSocket& socket, std::span<bulkhead_slot> slots,
          std::span<bulkhead_conduit> conduits, std::uint8_t worker);

  /// Receives from `next` from now on; from nothing if that is nullptr. If it received from nothing
  /// before, the socket before that is closed, and its chunks return to the pool. Worker's thread,
  /// by ReplaceReceiver.
  void replace(ReceiveSocket* next);

  std::size_t receive(std::span<Frame> batch) override;
  std::size_t send(PortIndex port, std::span<const Frame> frames) override;
  bool settle() override;
  void plug(PortIndex port, Attachment* attachment) override;
  Attachment* unplug(PortIndex port) override;

 private:
  struct Port {
    TransmitSocket* socket = nullptr;
    std::uint64_t arrived = 0;   // in the fair queue
    std::uint64_t received = 0;  // out of it
    Losses losses;
    std::uint32_t looks_left = 0;  // after it was unplugged
    bool watched = false;          // in watched_
    bool touched = false;          // received something in this batch
    bool unsent = false;           // in unsent_
  };

  void pull();
  /// Takes the conduit's prefix off. Says whose frame it is; kNoPort if nobody's.
  static PortIndex take_prefix(Buffer& buffer);
  void publish(std::span<const Frame> batch);
  void leave(std::uint64_t frames);
  void look_for_losses();

  BufferPool& pool_;
  ReceiveSocket* socket_;  // nullptr while the conduit is made anew
  std::span<bulkhead_slot> slots_;
  bulkhead_conduit& shared_;
  std::uint8_t worker_;
  std::array<Port, kPortsMax> ports_{};
  std::vector<PortIndex> unsent_;   // whose transmit ring the kernel has not emptied
  std::vector<PortIndex> watched_;  // whose losses are looked for
  FairQueue waiting_;
  std::uint64_t arrived_ = 0;  // of all ports
  Losses losses_;
  std::int64_t looked_ms_ = 0;
  bool ring_was_empty_ = false;  // at the last pull()
  bool is_unsettled_ = false;    // something was on its way at the last look
};

/// See Conduit::replace(). In two steps, as nobody may receive from a socket that is being closed:
/// first to none, then, when that is closed, to the next.
class ReplaceReceiver : public Command {
 public:
  ReplaceReceiver(Conduit& conduit, ReceiveSocket* next) : conduit_(conduit), next_(next) {}
  bool step(Worker& worker, std::uint32_t now_ms) override;

 private:
  Conduit& conduit_;
  ReceiveSocket* next_;
};

}  // namespace bulkhead
