#include "backends/umem.hpp"

#include <sys/mman.h>

#include <string>

#include "backends/error.hpp"

namespace bulkhead {

Umem::Umem(std::uint32_t workers) {
  constexpr std::size_t kPoolBytes = std::size_t{kChunks} * kChunkBytes;
  const std::size_t bytes = workers * kPoolBytes;
  const std::string size = std::to_string(bytes >> 20) + " MiB";
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw BackendError::from_errno("cannot map " + size + " for frames");
  memory_ = {static_cast<std::uint8_t*>(memory), bytes};
  for (std::uint32_t worker = 0; worker < workers; ++worker) {
    pools_.push_back(std::make_unique<BufferPool>(memory_.subspan(worker * kPoolBytes, kPoolBytes),
                                                  kChunkBytes, static_cast<std::uint8_t>(worker)));
  }
  xsk_umem_config config{};
  config.fill_size = kFillEntries;
  config.comp_size = XSK_RING_CONS__DEFAULT_NUM_DESCS;
  config.frame_size = kChunkBytes;
  const int error = xsk_umem__create(&umem_, memory, bytes, &fill_, &completion_, &config);
  if (error != 0) {
    ::munmap(memory, bytes);
    throw BackendError::from_errno("cannot register " + size + " with AF_XDP", error);
  }
}

Umem::~Umem() {
  xsk_umem__delete(umem_);
  ::munmap(memory_.data(), memory_.size());
}

}  // namespace bulkhead
