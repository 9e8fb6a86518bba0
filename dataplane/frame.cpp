#include "dataplane/frame.hpp"

namespace bulkhead {

BufferPool::BufferPool(std::span<std::uint8_t> memory, std::uint32_t chunk_bytes)
    : memory_(memory),
      chunk_bytes_(chunk_bytes),
      buffers_(memory.size() / chunk_bytes),
      free_(buffers_.size()) {
  for (std::uint32_t chunk = chunk_count(); chunk-- > 0;) {
    buffers_[chunk].chunk = chunk;
    free_[free_count_++] = &buffers_[chunk];
  }
}

}  // namespace bulkhead
