// NICs: frames to and from a device's queues by native XDP, without the conduit.
//
//   NIC queue 0 -[XDP: bulkhead_nic]-> AF_XDP socket 0 -+
//   NIC queue 1 -[XDP: bulkhead_nic]-> AF_XDP socket 1 -+-> here
//   NIC queue 0 <------------------- AF_XDP socket 0 <----- here
//
// Right for hardware, whose wire carries whole frames with finished checksums, and with the
// offloads off that hide bytes (backends/offloads). Not for a veth or tap: what their other end
// leaves to its device is never finished (docs/ARCHITECTURE.md).
//
// Who does what. NicProgram: the XDP program and its maps, one for all NICs. NicDevice: what a port
// has of them, from the moment its device is taken; both control thread. NicPort: the sockets of
// one port that one worker serves, made by control, used by the worker between plug() and unplug().
// Nic: the backend, worker's thread.
//
// A chunk that a socket has been lent, to receive into or to send from, may be read and written by
// the device until the kernel has let go of the socket, which is some time after close(). So the
// end of a port is: close(), which waits for that, then ReturnChunks.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/device/link.hpp"
#include "backends/device/pins.hpp"
#include "backends/nic/nic.h"
#include "backends/umem.hpp"
#include "backends/xsk.hpp"
#include "dataplane/backend.hpp"
#include "dataplane/mailbox.hpp"

struct nic_bpf;

namespace bulkhead {

/// One queue of a NIC: sends, and receives too.
class NicQueue : public TransmitSocket {
 public:
  /// Chunks lent to the queues of one NIC for receiving, and to one queue, at least and at most.
  static constexpr std::uint32_t kLentPerNic = 4096;
  static constexpr std::uint32_t kLentMin = 256;
  static constexpr std::uint32_t kLentMax = 2048;
  /// Free chunks that are not lent: many queues shall not leave everybody else without.
  static constexpr std::uint32_t kReserve = Umem::kChunks / 8;

  struct Place {
    xsk_umem* memory = nullptr;  // registered for this NIC
    std::string device;
    std::uint32_t number = 0;
    std::uint32_t entries = 0;     // of the rings to receive by; a power of two
    std::uint16_t bind_flags = 0;  // XDP_COPY or XDP_ZEROCOPY; the first of a memory decides
    // Of the first socket of a memory: the rings that were made with that. libxdp unmaps them twice
    // if it is given others and fails.
    xsk_ring_prod* first_fill = nullptr;
    xsk_ring_cons* first_completion = nullptr;
  };
  /// Into buffers of `worker`. Throws BackendError; the device must be up.
  NicQueue(Umem& umem, std::uint32_t worker, const Place& place);
  ~NicQueue() override { close(); }

  // Control thread.
  [[nodiscard]] int fd() const { return xsk_socket__fd(socket_); }
  /// Frames that XDP handed to the socket and that it had no room for.
  [[nodiscard]] std::uint64_t dropped() const;
  /// Afterwards neither rings nor socket are there.
  void close();

  // Worker's thread.
  /// Up to batch.size() frames, as from `port`.
  std::size_t receive(std::span<Frame> batch, PortIndex port);
  /// Lends free chunks to the kernel.
  void lend();
  /// Takes all chunks back that the socket had. Only after the kernel has let go of it.
  void return_chunks();

 private:
  xsk_ring_cons rx_{};
  std::uint32_t entries_;
  std::vector<std::uint64_t> lent_;  // a bit a chunk: to be received into
};

/// What one worker serves of a port.
class NicPort : public Attachment {
 public:
  std::uint8_t worker = 0;
  std::vector<std::unique_ptr<NicQueue>> queues;
  NicQueue* sender = nullptr;  // of them, the one that all frames leave by, which keeps their order
  std::uint64_t received = 0;  // frames; control reads it when the port is unplugged
};

/// Gives the chunks back to the worker's pool, on its thread, after NicDevice::close().
class ReturnChunks : public Command {
 public:
  explicit ReturnChunks(NicPort& port) : port_(port) {}
  bool step(Worker& worker, std::uint32_t now_ms) override;

 private:
  NicPort& port_;
};

class Nic : public Backend {
 public:
  Nic();

  std::size_t receive(std::span<Frame> batch) override;
  std::size_t send(PortIndex port, std::span<const Frame> frames) override;
  bool settle() override;
  void plug(PortIndex port, Attachment* attachment) override;
  Attachment* unplug(PortIndex port) override;

 private:
  struct Queue {
    NicQueue* socket;
    NicPort* of;
    PortIndex port;
  };
  std::array<NicPort*, kPortsMax> ports_{};
  std::vector<NicQueue*> senders_;  // of all ports
  std::vector<Queue> queues_;       // of all ports
  std::size_t next_ = 0;            // whose turn it is to be asked first
};

/// The XDP program of all NICs, and its maps.
class NicProgram {
 public:
  /// Loads it. `pins`: where it is noted which offloads were on. Throws BackendError.
  explicit NicProgram(const Pins& pins);
  ~NicProgram();
  NicProgram(const NicProgram&) = delete;
  NicProgram& operator=(const NicProgram&) = delete;

 private:
  friend class NicDevice;
  const Pins& pins_;
  nic_bpf* program_ = nullptr;
  std::span<bulkhead_queue> counts_;
  std::array<bool, BULKHEAD_NICS_MAX> used_{};
};

class NicDevice {
 public:
  /// What the ports of one worker work with.
  struct Share {
    Umem* umem;
    std::uint8_t worker;
    int poll_fd;  // an epoll instance, to which the sockets are added
  };
  /// handed = received by the worker or on the way to it + lost, in frames.
  struct Counts {
    std::uint64_t handed = 0;
    std::uint64_t lost = 0;
    Counts& operator+=(const Counts& more) {
      handed += more.handed;
      lost += more.lost;
      return *this;
    }
  };

  /// Takes the device: offloads off, program on, closed. Throws BackendError with the way out, and
  /// leaves the program off; the offloads are the caller's to put back.
  NicDevice(NicProgram& program, const Link& link);
  /// The program is off. The offloads stay off.
  ~NicDevice();
  NicDevice(const NicDevice&) = delete;
  NicDevice& operator=(const NicDevice&) = delete;

  /// Makes a socket on every queue, queue i for shares[i % shares.size()]; nothing comes in yet. To
  /// be plugged in: ports()[i] into its worker, that of shares[i]. Zero-copy if the driver has it
  /// on all queues. Throws BackendError; the device must be up.
  void open(std::span<const Share> shares);
  [[nodiscard]] std::span<const std::unique_ptr<NicPort>> ports() const { return ports_; }
  /// Frames come in from now on.
  void admit();
  /// None does any more. The workers may still have some; the ports are to be unplugged.
  void shut();
  /// Closes the sockets, and waits until the kernel has let go of them. False if that did not
  /// happen in time: then the chunks must stay away for good. Otherwise to be followed by
  /// ReturnChunks for each of the ports, and forget().
  [[nodiscard]] bool close();
  void forget() { ports_.clear(); }

  [[nodiscard]] bool is_open() const { return !ports_.empty(); }
  /// Frames since the device was taken. Losses of frames in flight are known after close().
  [[nodiscard]] Counts counts() const;
  [[nodiscard]] QueueCounts queues() const { return queues_; }
  [[nodiscard]] bool is_zero_copy() const { return zero_copy_; }
  /// Whether the device uses other queues now than those that are open.
  [[nodiscard]] bool has_changed() const;

 private:
  bool try_zero_copy(std::span<const Share> shares);
  void make_sockets(std::span<const Share> shares, std::uint16_t bind_flags);
  void delete_sockets();
  /// Until the kernel has let go of the first `count` queues; false if it does not in time.
  bool wait_until_free(std::uint32_t count) const;
  [[nodiscard]] std::span<bulkhead_queue> queue_counts() const;

  NicProgram& program_;
  std::string name_;
  int ifindex_;
  int link_ = -1;             // the attached program: off when this is closed
  std::uint32_t number_ = 0;  // among the NICs
  QueueCounts queues_;        // that are open
  bool zero_copy_ = false;
  bool no_zero_copy_ = false;  // known not to work on all queues
  xsk_umem* memory_ = nullptr;
  xsk_ring_prod first_fill_{};  // of the first queue: made when the memory is registered
  xsk_ring_cons first_completion_{};
  std::vector<std::unique_ptr<NicPort>> ports_;  // one a worker
  Counts before_;                                // of sockets that were closed
};

}  // namespace bulkhead
