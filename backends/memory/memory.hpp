// Ports in memory, for tests and benchmarks: what inject() puts in comes out of receive(), and what
// the worker sends is kept until take(). One thread.
#pragma once

#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "dataplane/backend.hpp"

namespace bulkhead {

class MemoryBackend : public Backend {
 public:
  struct Sent {
    PortIndex port;
    std::vector<std::uint8_t> bytes;
  };

  /// `keep`: false to count what is sent and forget it.
  explicit MemoryBackend(BufferPool& pool, bool keep = true) : pool_(pool), keep_(keep) {}

  /// Queues a frame as having come in by `port`; false if the pool is empty. With `split`, the
  /// bytes from there on are in a second buffer.
  bool inject(PortIndex port, std::span<const std::uint8_t> bytes, std::size_t split = SIZE_MAX);
  /// What was sent since the last call, in order.
  std::vector<Sent> take() { return std::exchange(sent_, {}); }
  [[nodiscard]] std::uint64_t sent_count() const { return sent_count_; }
  /// Frames that send() takes a call; the rest it refuses, as a full ring would.
  void set_room(std::size_t frames) { room_ = frames; }

  std::size_t receive(std::span<Frame> batch) override;
  std::size_t send(PortIndex port, std::span<const Frame> frames) override;
  bool settle() override { return false; }
  void plug(PortIndex, Attachment*) override {}
  Attachment* unplug(PortIndex) override { return nullptr; }

 private:
  BufferPool& pool_;
  bool keep_;
  std::size_t room_ = SIZE_MAX;
  std::deque<Frame> queue_;
  std::vector<Sent> sent_;
  std::uint64_t sent_count_ = 0;
};

}  // namespace bulkhead
