#include "backends/umem.hpp"

#include <sys/mman.h>

#include "backends/error.hpp"

namespace bulkhead {

Umem::Umem() {
  constexpr std::size_t kBytes = std::size_t{kChunks} * kChunkBytes;
  void* memory =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw BackendError::from_errno("cannot map 64 MiB for frames");
  memory_ = {static_cast<std::uint8_t*>(memory), kBytes};
  pool_ = std::make_unique<BufferPool>(memory_, kChunkBytes);
  xsk_umem_config config{};
  config.fill_size = kFillEntries;
  config.comp_size = XSK_RING_CONS__DEFAULT_NUM_DESCS;
  config.frame_size = kChunkBytes;
  const int error = xsk_umem__create(&umem_, memory, kBytes, &fill_, &completion_, &config);
  if (error != 0) {
    ::munmap(memory, kBytes);
    throw BackendError::from_errno("cannot register 64 MiB with AF_XDP", error);
  }
}

Umem::~Umem() {
  xsk_umem__delete(umem_);
  ::munmap(memory_.data(), memory_.size());
}

}  // namespace bulkhead
