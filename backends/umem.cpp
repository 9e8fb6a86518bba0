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
  try {
    register_again();
  } catch (...) {
    ::munmap(memory, bytes);
    throw;
  }
}

Umem::Registration Umem::register_memory() {
  xsk_umem_config config{};
  config.fill_size = kFillEntries;
  config.comp_size = XSK_RING_CONS__DEFAULT_NUM_DESCS;
  config.frame_size = kChunkBytes;
  Registration made;
  const int error = xsk_umem__create(&made.umem, memory_.data(), memory_.size(), &made.rings->fill,
                                     &made.rings->completion, &config);
  if (error != 0) {
    throw BackendError::from_errno(
        "cannot register " + std::to_string(memory_.size() >> 20) + " MiB with AF_XDP", error);
  }
  return made;
}

// The one before goes when the last of its sockets has gone.
void Umem::register_again() {
  registrations_.push_back(register_memory());
  umem_ = registrations_.back().umem;
  std::erase_if(registrations_, [this](const Registration& old) {
    return old.umem != umem_ && xsk_umem__delete(old.umem) == 0;
  });
}

Umem::~Umem() {
  for (const Registration& registration : registrations_) xsk_umem__delete(registration.umem);
  ::munmap(memory_.data(), memory_.size());
}

}  // namespace bulkhead
