#include "backends/conduit/conduit.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <utility>

namespace bulkhead {

namespace {

/// Good to 4 ms, and a few nanoseconds to ask.
std::int64_t coarse_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

Conduit::Conduit(BufferPool& pool, ReceiveSocket& socket, std::span<bulkhead_slot> slots,
                 std::span<bulkhead_conduit> conduits, std::uint8_t worker)
    : pool_(pool), socket_(&socket), slots_(slots), shared_(conduits[worker]), worker_(worker) {
  unsent_.reserve(kPortsMax);
  watched_.reserve(kPortsMax);
}

std::size_t Conduit::receive(std::span<Frame> batch) {
  pull();
  const std::size_t count = waiting_.pop(batch);
  publish(batch.first(count));
  return count;
}

// All that has come, so that whose turn it is does not depend on how many are ahead of him in the
// ring; bounded, for a round must end.
void Conduit::pull() {
  constexpr int kBatches = 16;
  std::array<Buffer*, kBatchFrames> buffers;
  ring_was_empty_ = true;
  if (socket_ == nullptr) [[unlikely]]
    return;  // the conduit is being mended
  ring_was_empty_ = false;
  std::uint64_t nobodys = 0;
  for (int i = 0; i < kBatches && !ring_was_empty_; ++i) {
    const std::size_t count = socket_->receive(buffers);
    ring_was_empty_ = count < buffers.size();
    arrived_ += count;
    for (Buffer* buffer : std::span(buffers.data(), count)) {
      const PortIndex port = take_prefix(*buffer);
      if (port == kNoPort || ports_[port].socket == nullptr) {
        pool_.release(buffer);  // the port has gone meanwhile
        ++nobodys;
        continue;
      }
      ++ports_[port].arrived;
      waiting_.push(port, buffer);
    }
  }
  if (nobodys > 0) leave(nobodys);
}

void Conduit::replace(ReceiveSocket* next) {
  if (socket_ == nullptr) ReceiveSocket::take_back(pool_);
  socket_ = next;
}

bool ReplaceReceiver::step(Worker&, std::uint32_t) {
  conduit_.replace(next_);
  return true;
}

PortIndex Conduit::take_prefix(Buffer& buffer) {
  constexpr std::uint32_t kBytes = sizeof(bulkhead_prefix);
  bulkhead_prefix prefix;
  if (buffer.length < kBytes) return kNoPort;
  std::memcpy(&prefix, buffer.data, kBytes);
  if (prefix.port >= kPortsMax) return kNoPort;
  buffer.data += kBytes;
  buffer.length -= kBytes;
  return static_cast<PortIndex>(prefix.port);
}

// What has been taken no longer counts against the ports' shares.
void Conduit::publish(std::span<const Frame> batch) {
  if (batch.empty()) return;
  for (const Frame& frame : batch) {
    Port& port = ports_[frame.from];
    ++port.received;
    port.touched = true;
  }
  for (const Frame& frame : batch) {
    Port& port = ports_[frame.from];
    if (!std::exchange(port.touched, false)) continue;
    __atomic_store_n(&slots_[frame.from].received, port.received, __ATOMIC_RELAXED);
  }
  leave(batch.size());
}

void Conduit::leave(std::uint64_t frames) {
  __atomic_store_n(&shared_.received, shared_.received + frames, __ATOMIC_RELAXED);
}

std::size_t Conduit::send(PortIndex port, std::span<const Frame> frames) {
  TransmitSocket* socket = ports_[port].socket;
  if (socket == nullptr) return 0;
  const std::size_t sent = socket->send(frames);
  if (!std::exchange(ports_[port].unsent, true)) unsent_.push_back(port);
  return sent;
}

bool Conduit::settle() {
  std::erase_if(unsent_, [this](PortIndex port) {
    TransmitSocket* socket = ports_[port].socket;
    const bool more = socket != nullptr && socket->kick();
    if (socket != nullptr) socket->reap();
    ports_[port].unsent = more;
    return !more;
  });
  const std::int64_t now_ms = coarse_ms();
  if (ring_was_empty_ && now_ms - looked_ms_ >= kLookMilliseconds) {
    looked_ms_ = now_ms;
    look_for_losses();
  }
  return !unsent_.empty() || is_unsettled_;
}

void Conduit::look_for_losses() {
  bool on_its_way = losses_.look(shared_.passed, arrived_, shared_.lost);
  std::erase_if(watched_, [&](PortIndex index) {
    Port& port = ports_[index];
    bulkhead_slot& slot = slots_[index];
    on_its_way |= port.losses.look(slot.passed, port.arrived, slot.lost);
    port.watched = port.socket != nullptr || --port.looks_left > 0;
    return !port.watched;
  });
  is_unsettled_ = on_its_way;
}

void Conduit::plug(PortIndex index, Attachment* attachment) {
  Port& port = ports_[index];
  bulkhead_slot& slot = slots_[index];
  port.socket = static_cast<TransmitSocket*>(attachment);
  port.arrived = port.received = slot.received;
  port.losses = Losses();
  slot.queue = worker_;
  if (!std::exchange(port.watched, true)) watched_.push_back(index);
}

// What waits is nobody's any more, and what is still on its way does not arrive: both are lost, the
// latter at the next looks.
Attachment* Conduit::unplug(PortIndex index) {
  constexpr std::uint32_t kLooks = 20;  // a second
  Port& port = ports_[index];
  TransmitSocket* socket = std::exchange(port.socket, nullptr);
  if (socket == nullptr) return nullptr;
  std::uint64_t dropped = 0;
  for (Buffer* buffer = waiting_.take_all(index); buffer != nullptr; ++dropped) {
    Buffer* next = std::exchange(buffer->next, nullptr);
    pool_.release(buffer);
    buffer = next;
  }
  leave(dropped);
  port.arrived = port.received;
  port.looks_left = kLooks;
  socket->abandon();
  return socket;
}

}  // namespace bulkhead
