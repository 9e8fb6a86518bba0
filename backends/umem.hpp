// The one memory that all AF_XDP sockets share, so that any worker can send what another received,
// and a pool of its chunks for each worker.
//
// Registered memory is pinned: what is asked for here is resident from then on.
// Kernel: Documentation/networking/af_xdp.rst, net/xdp/xdp_umem.c.
#pragma once

#include <xdp/xsk.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/frame.hpp"

namespace bulkhead {

class Umem {
 public:
  static constexpr std::uint32_t kChunkBytes = 4096;   // a page: frames of up to 3506 + 18 bytes
  static constexpr std::uint32_t kChunks = 16'384;     // of a worker: 64 MiB
  static constexpr std::uint32_t kFillEntries = 4096;  // chunks lent to the kernel for receiving

  /// Throws BackendError.
  explicit Umem(std::uint32_t workers);
  ~Umem();
  Umem(const Umem&) = delete;
  Umem& operator=(const Umem&) = delete;

  [[nodiscard]] BufferPool& pool(std::uint32_t worker) { return *pools_[worker]; }
  [[nodiscard]] xsk_umem* handle() { return umem_; }
  /// Registers the memory once more, for the sockets from now on: none can share a registration
  /// whose first socket has lost its device (xsk_bind() of net/xdp/xsk.c). Throws BackendError.
  void register_again();
  [[nodiscard]] std::span<std::uint8_t> memory() { return memory_; }
  [[nodiscard]] std::uint32_t chunk_count() const {
    return static_cast<std::uint32_t>(memory_.size() / kChunkBytes);
  }

  /// A buffer's place among the chunks of all pools.
  [[nodiscard]] static std::uint32_t number_of(const Buffer& buffer) {
    return buffer.owner * kChunks + buffer.chunk;
  }
  [[nodiscard]] Buffer& buffer_numbered(std::uint32_t number) {
    return pools_[number / kChunks]->at(number % kChunks);
  }
  /// Where a buffer's bytes are, as a descriptor says it.
  [[nodiscard]] std::uint64_t address_of(const Buffer& buffer) const {
    return static_cast<std::uint64_t>(buffer.data - memory_.data());
  }
  [[nodiscard]] std::uint8_t* bytes_at(std::uint64_t address) { return memory_.data() + address; }
  [[nodiscard]] Buffer& buffer_at(std::uint64_t address) {
    return buffer_numbered(static_cast<std::uint32_t>(address / kChunkBytes));
  }

 private:
  std::span<std::uint8_t> memory_;
  std::vector<std::unique_ptr<BufferPool>> pools_;  // by worker
  struct Rings {
    xsk_ring_prod fill{};  // libxdp gives these two to the first socket
    xsk_ring_cons completion{};
  };
  /// One registration, as libxdp has it; it keeps pointers to the rings.
  struct Registration {
    xsk_umem* umem = nullptr;
    std::unique_ptr<Rings> rings = std::make_unique<Rings>();
  };
  [[nodiscard]] Registration register_memory();

  xsk_umem* umem_ = nullptr;  // the last one's
  std::vector<Registration> registrations_;
};

}  // namespace bulkhead
