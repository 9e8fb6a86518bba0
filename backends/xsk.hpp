// AF_XDP sockets, in the two roles that the conduit has for them. (A ring is shared with the
// kernel: one side produces, the other consumes; libxdp's xsk_ring_* functions do the barriers.)
//
//   fill ring    we -> kernel   chunks to receive into
//   rx ring      kernel -> we   frames received
//   tx ring      we -> kernel   frames to send; sendto() makes it look, 32 frames at most a call
//   completion   kernel -> we   chunks that were sent and are ours again
//
// Copy mode: veth and tap have no zero-copy. Made on the control thread, used on the worker's.
#pragma once

#include <xdp/xsk.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backends/umem.hpp"
#include "dataplane/backend.hpp"

namespace bulkhead {

/// Receives from queue 0 of a device whose XDP program redirects to it.
class ReceiveSocket {
 public:
  static constexpr std::uint32_t kEntries = 4096;

  /// Into buffers of `worker`, which the first receive() lends it. Throws BackendError. Enter it
  /// into the program's XSKMAP by its fd.
  ReceiveSocket(Umem& umem, std::uint32_t worker, const std::string& device);
  ~ReceiveSocket();
  ReceiveSocket(const ReceiveSocket&) = delete;
  ReceiveSocket& operator=(const ReceiveSocket&) = delete;

  [[nodiscard]] int fd() const { return xsk_socket__fd(socket_); }
  /// Up to batch.size() buffers with data and length set and one reference, in order.
  std::size_t receive(std::span<Buffer*> batch);
  /// Lends free chunks to the kernel.
  void refill();
  /// What a socket had been lent when it was closed returns to its pool; there must be no other one
  /// of that pool then. Worker's thread.
  static void take_back(BufferPool& pool);

 private:
  Umem& umem_;
  BufferPool& pool_;
  xsk_socket* socket_ = nullptr;
  xsk_ring_cons rx_{};
  xsk_ring_prod fill_{};
  xsk_ring_cons completion_{};  // the kernel wants one; nothing is sent
};

/// Sends by queue 0 of one device, without any program on it.
class TransmitSocket : public Attachment {
 public:
  /// Frames that may wait for their completion. A receiver that frees nothing holds no more, and
  /// the more memory is in use the less (Choudhury and Hahne, "Dynamic queue length thresholds for
  /// shared-memory packet switches", 1998): an eighth of what is free.
  static constexpr std::uint32_t kEntries = 512;
  static constexpr std::uint32_t kFreeShare = 8;

  /// For `worker`. Throws BackendError; the device must be up.
  TransmitSocket(Umem& umem, std::uint32_t worker, const std::string& device);
  ~TransmitSocket() override;

  /// Takes the first n frames; the rest is beyond the port's share.
  std::size_t send(std::span<const Frame> frames);
  /// Asks the kernel to send what it has not; says whether something is left.
  bool kick();
  /// Takes back what was sent.
  void reap();
  /// Drops the references to everything that is outstanding: nothing is sent any more.
  void abandon();

 protected:
  /// For one that makes its socket itself.
  TransmitSocket(Umem& umem, std::uint32_t worker)
      : umem_(umem), pool_(umem.pool(worker)), held_(umem.chunk_count() / 64) {}
  /// The second half of abandon(), for when the rings are gone.
  void release_held();

  Umem& umem_;
  BufferPool& pool_;
  xsk_socket* socket_ = nullptr;
  xsk_ring_prod tx_{};
  xsk_ring_prod fill_{};  // the kernel wants one; nothing is received
  xsk_ring_cons completion_{};

 private:
  [[nodiscard]] std::uint32_t unsent() const { return tx_.cached_prod - *tx_.consumer; }

  std::uint32_t outstanding_ = 0;
  std::vector<std::uint64_t> held_;  // a bit a chunk of any pool: sent, not completed
};

}  // namespace bulkhead
