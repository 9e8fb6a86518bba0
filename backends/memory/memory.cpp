#include "backends/memory/memory.hpp"

#include <algorithm>
#include <cassert>

namespace bulkhead {

bool MemoryBackend::inject(PortIndex port, std::span<const std::uint8_t> bytes, std::size_t split) {
  const auto fill = [this](std::span<const std::uint8_t> part) -> Buffer* {
    Buffer* buffer = pool_.take();
    if (buffer == nullptr) return nullptr;
    buffer->data = pool_.start_of(buffer->chunk);
    buffer->length = static_cast<std::uint32_t>(part.size());
    assert(part.size() <= pool_.chunk_bytes());
    std::ranges::copy(part, buffer->data);
    return buffer;
  };
  Buffer* head = fill(bytes.first(std::min(split, bytes.size())));
  if (head == nullptr) return false;
  if (split < bytes.size()) {
    head->next = fill(bytes.subspan(split));
    if (head->next == nullptr) {
      pool_.release(head);
      return false;
    }
  }
  queue_.push_back({head, static_cast<std::uint32_t>(bytes.size()), port});
  return true;
}

std::size_t MemoryBackend::receive(std::span<Frame> batch) {
  const std::size_t count = std::min(batch.size(), queue_.size());
  std::copy_n(queue_.begin(), count, batch.begin());
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

std::size_t MemoryBackend::send(PortIndex port, std::span<const Frame> frames) {
  const std::size_t count = std::min(frames.size(), room_);
  sent_count_ += count;
  for (const Frame& frame : frames.first(count)) {
    if (keep_) {
      std::vector<std::uint8_t> bytes;
      bytes.reserve(frame.length);
      for (const Buffer* buffer = frame.head; buffer != nullptr; buffer = buffer->next) {
        bytes.insert(bytes.end(), buffer->data, buffer->data + buffer->length);
      }
      sent_.push_back({port, std::move(bytes)});
    }
    pool_.release(frame.head);
  }
  return count;
}

}  // namespace bulkhead
