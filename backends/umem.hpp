// The one memory that all AF_XDP sockets of a worker share, and the pool of its chunks.
//
// Registered memory is pinned: what is asked for here is resident from then on.
// Kernel: Documentation/networking/af_xdp.rst, net/xdp/xdp_umem.c.
#pragma once

#include <xdp/xsk.h>

#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/frame.hpp"

namespace bulkhead {

class Umem {
 public:
  static constexpr std::uint32_t kChunkBytes = 4096;   // a page: frames of up to 3506 + 18 bytes
  static constexpr std::uint32_t kChunks = 16'384;     // 64 MiB
  static constexpr std::uint32_t kFillEntries = 4096;  // chunks lent to the kernel for receiving

  /// Throws BackendError.
  Umem();
  ~Umem();
  Umem(const Umem&) = delete;
  Umem& operator=(const Umem&) = delete;

  [[nodiscard]] BufferPool& pool() { return *pool_; }
  [[nodiscard]] xsk_umem* handle() { return umem_; }
  [[nodiscard]] xsk_ring_prod& fill_ring() { return fill_; }

  /// Where a buffer's bytes are, as a descriptor says it.
  [[nodiscard]] std::uint64_t address_of(const Buffer& buffer) const {
    return static_cast<std::uint64_t>(buffer.data - memory_.data());
  }
  [[nodiscard]] Buffer& buffer_at(std::uint64_t address) {
    return pool_->at(static_cast<std::uint32_t>(address / kChunkBytes));
  }

 private:
  std::span<std::uint8_t> memory_;
  std::unique_ptr<BufferPool> pool_;
  xsk_umem* umem_ = nullptr;
  xsk_ring_prod fill_{};
  xsk_ring_cons completion_{};  // of the receiving socket, which never sends
};

}  // namespace bulkhead
