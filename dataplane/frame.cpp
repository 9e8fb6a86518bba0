#include "dataplane/frame.hpp"

#include "dataplane/crossing.hpp"

namespace bulkhead {

BufferPool::BufferPool(std::span<std::uint8_t> memory, std::uint32_t chunk_bytes,
                       std::uint8_t owner)
    : memory_(memory),
      chunk_bytes_(chunk_bytes),
      owner_(owner),
      buffers_(memory.size() / chunk_bytes),
      free_(buffers_.size()) {
  for (std::uint32_t chunk = chunk_count(); chunk-- > 0;) {
    buffers_[chunk].chunk = chunk;
    buffers_[chunk].owner = owner;
    free_[free_count_++] = &buffers_[chunk];
  }
}

void BufferPool::retain_borrowed(Buffer* head) { crossings_->retain(head); }

void BufferPool::release_borrowed(Buffer* head) { crossings_->release(head); }

}  // namespace bulkhead
