// Frames: Ethernet bytes in a chain of buffers, the headers in the first, and the pool that the
// buffers come from.
//
// A buffer is a chunk of one shared memory (AF_XDP's UMEM, or plain memory in tests) and a
// descriptor beside it. A flooded frame is sent to many ports without a copy: the head of its chain
// counts who still needs it. Invariant, at every quiet moment: chunks = free + in fill rings +
// referenced. One worker owns a pool; only its thread touches it. Workers that a frame is lent to
// count for themselves and give it back (dataplane/crossing).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/invariant.hpp"
#include "dataplane/limits.hpp"

namespace bulkhead {

class Crossings;

struct Buffer {
  std::uint8_t* data = nullptr;  // first byte of the frame in this buffer
  Buffer* next = nullptr;        // rest of the frame
  std::uint32_t length = 0;      // bytes from data
  std::uint32_t chunk = 0;       // which chunk of the pool's memory, fixed
  std::uint32_t references = 0;  // of the whole chain; only the head's counts
  std::uint8_t owner = 0;        // the worker whose pool it is of, fixed
};

struct Frame {
  Buffer* head = nullptr;
  std::uint32_t length = 0;  // bytes of the whole chain
  PortIndex from = kNoPort;  // where it came in
};

class BufferPool {
 public:
  /// Cuts `memory` into chunks of `chunk_bytes`; the memory must outlive the pool.
  BufferPool(std::span<std::uint8_t> memory, std::uint32_t chunk_bytes, std::uint8_t owner = 0);

  /// Where other workers' buffers are given back.
  void set_crossings(Crossings* crossings) { crossings_ = crossings; }

  /// A free buffer with one reference, no data and the whole chunk to fill; nullptr if none is
  /// left.
  Buffer* take() {
    if (free_count_ == 0) return nullptr;
    Buffer* buffer = free_[--free_count_];
    buffer->next = nullptr;
    buffer->references = 1;
    return buffer;
  }

  /// One reference more.
  void retain(Buffer* head) {
    if (head->owner != owner_) [[unlikely]] {
      return retain_borrowed(head);
    }
    ++head->references;
  }

  /// Gives one reference of the chain back; the last one frees every buffer of it.
  void release(Buffer* head) {
    if (head->owner != owner_) [[unlikely]] {
      return release_borrowed(head);
    }
    if (--head->references != 0) {
      if (!holds(head->references != UINT32_MAX)) head->references = 0;  // it was free already
      return;
    }
    for (Buffer* buffer = head; buffer != nullptr;) {
      Buffer* next = buffer->next;
      free_[free_count_++] = buffer;
      buffer = next;
    }
  }

  [[nodiscard]] Buffer& at(std::uint32_t chunk) { return buffers_[chunk]; }
  [[nodiscard]] std::uint8_t* start_of(std::uint32_t chunk) {
    return memory_.data() + std::size_t{chunk} * chunk_bytes_;
  }
  [[nodiscard]] std::span<std::uint8_t> memory() { return memory_; }
  [[nodiscard]] std::uint32_t chunk_bytes() const { return chunk_bytes_; }
  [[nodiscard]] std::uint32_t chunk_count() const {
    return static_cast<std::uint32_t>(buffers_.size());
  }
  [[nodiscard]] std::uint32_t free_count() const { return free_count_; }

 private:
  void retain_borrowed(Buffer* head);
  void release_borrowed(Buffer* head);

  std::span<std::uint8_t> memory_;
  std::uint32_t chunk_bytes_;
  std::uint8_t owner_;
  Crossings* crossings_ = nullptr;
  std::vector<Buffer> buffers_;
  std::vector<Buffer*> free_;  // a stack, with room for all: what was used last is in the cache
  std::uint32_t free_count_ = 0;
};

}  // namespace bulkhead
