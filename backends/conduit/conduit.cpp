#include "backends/conduit/conduit.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace bulkhead {

Conduit::Conduit(BufferPool& pool, ReceiveSocket& socket, bulkhead_slot* slots)
    : pool_(pool), socket_(socket), slots_(slots) {
  unsent_.reserve(kPortsMax);
}

std::size_t Conduit::receive(std::span<Frame> batch) {
  std::array<Buffer*, kBatchFrames> buffers;
  const std::size_t received =
      socket_.receive({buffers.data(), std::min(batch.size(), buffers.size())});
  std::size_t count = 0;
  for (std::size_t i = 0; i < received; ++i) {
    const PortIndex port = take_prefix(*buffers[i]);
    if (port == kNoPort || ports_[port].socket == nullptr) {
      pool_.release(buffers[i]);  // the port has gone meanwhile
      continue;
    }
    ++ports_[port].received;
    batch[count++] = {buffers[i], buffers[i]->length, port};
  }
  publish(batch.first(count));
  return count;
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

// What has arrived no longer counts against the ports' windows.
void Conduit::publish(std::span<const Frame> batch) {
  for (const Frame& frame : batch) {
    Port& port = ports_[frame.from];
    if (std::exchange(port.touched, true)) continue;
    __atomic_store_n(&slots_[frame.from].received, port.received, __ATOMIC_RELAXED);
  }
  for (const Frame& frame : batch) ports_[frame.from].touched = false;
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
  return !unsent_.empty();
}

void Conduit::plug(PortIndex port, Attachment* attachment) {
  ports_[port].socket = static_cast<TransmitSocket*>(attachment);
  ports_[port].received = slots_[port].received;
}

Attachment* Conduit::unplug(PortIndex port) {
  TransmitSocket* socket = std::exchange(ports_[port].socket, nullptr);
  if (socket != nullptr) socket->abandon();
  return socket;
}

}  // namespace bulkhead
