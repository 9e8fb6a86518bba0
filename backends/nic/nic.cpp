#include "backends/nic/nic.hpp"

#include <linux/if_xdp.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "backends/error.hpp"

namespace bulkhead {

NicQueue::NicQueue(Umem& umem, std::uint32_t worker, const Place& place)
    : TransmitSocket(umem, worker), entries_(place.entries), lent_(Umem::kChunks / 64) {
  xsk_socket_config config{};
  config.rx_size = place.entries;
  config.tx_size = kEntries;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.bind_flags = place.bind_flags;
  const bool is_first = place.first_fill != nullptr;
  const int error =
      xsk_socket__create_shared(&socket_, place.device.c_str(), place.number, place.memory, &rx_,
                                &tx_, is_first ? place.first_fill : &fill_,
                                is_first ? place.first_completion : &completion_, &config);
  if (error != 0) {
    throw BackendError::from_errno(
        "cannot open queue " + std::to_string(place.number) + " of " + place.device +
            (error == -EBUSY ? " (another program's AF_XDP socket?)" : ""),
        error);
  }
  if (is_first) {
    fill_ = *place.first_fill;
    completion_ = *place.first_completion;
  }
  const int bytes = 64 << 20;  // what may be outstanding is our limit, not a socket buffer's
  ::setsockopt(fd(), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
}

std::uint64_t NicQueue::dropped() const {
  xdp_statistics statistics{};
  socklen_t length = sizeof statistics;
  if (::getsockopt(fd(), SOL_XDP, XDP_STATISTICS, &statistics, &length) != 0) return 0;
  return statistics.rx_dropped + statistics.rx_ring_full;
}

void NicQueue::close() { xsk_socket__delete(std::exchange(socket_, nullptr)); }

std::size_t NicQueue::receive(std::span<Frame> batch, PortIndex port) {
  std::uint32_t index = 0;
  const std::uint32_t count =
      xsk_ring_cons__peek(&rx_, static_cast<std::uint32_t>(batch.size()), &index);
  for (std::uint32_t i = 0; i < count; ++i) {
    const xdp_desc* descriptor = xsk_ring_cons__rx_desc(&rx_, index + i);
    Buffer& buffer = umem_.buffer_at(descriptor->addr);
    lent_[buffer.chunk / 64] &= ~(std::uint64_t{1} << (buffer.chunk % 64));
    buffer.data = umem_.bytes_at(descriptor->addr);
    buffer.length = descriptor->len;
    __builtin_prefetch(buffer.data);
    batch[i] = {&buffer, buffer.length, port};
  }
  if (count > 0) xsk_ring_cons__release(&rx_, count);
  lend();  // also when nothing came: the pool may have been empty before
  return count;
}

void NicQueue::lend() {
  if (pool_.free_count() <= kReserve) return;
  const std::uint32_t room =
      std::min(xsk_prod_nb_free(&fill_, entries_), pool_.free_count() - kReserve);
  std::uint32_t index = 0;
  if (room == 0 || xsk_ring_prod__reserve(&fill_, room, &index) != room) return;
  for (std::uint32_t i = 0; i < room; ++i) {
    const Buffer& buffer = *pool_.take();
    lent_[buffer.chunk / 64] |= std::uint64_t{1} << (buffer.chunk % 64);
    *xsk_ring_prod__fill_addr(&fill_, index + i) =
        std::uint64_t{Umem::number_of(buffer)} * Umem::kChunkBytes;
  }
  xsk_ring_prod__submit(&fill_, room);
}

void NicQueue::return_chunks() {
  release_held();
  for (std::uint32_t word = 0; word < lent_.size(); ++word) {
    for (std::uint64_t bits = std::exchange(lent_[word], 0); bits != 0; bits &= bits - 1) {
      const auto bit = static_cast<std::uint32_t>(std::countr_zero(bits));
      pool_.release(&pool_.at(word * 64 + bit));
    }
  }
}

bool ReturnChunks::step(Worker&, std::uint32_t) {
  for (const auto& queue : port_.queues) queue->return_chunks();
  return true;
}

Nic::Nic() {
  senders_.reserve(BULKHEAD_NICS_MAX);
  queues_.reserve(std::size_t{BULKHEAD_NICS_MAX} * BULKHEAD_NIC_QUEUES_MAX);
}

// Each queue is the first to be asked by turns, so that a busy one does not silence the others.
std::size_t Nic::receive(std::span<Frame> batch) {
  if (queues_.empty()) return 0;
  next_ = next_ + 1 < queues_.size() ? next_ + 1 : 0;
  std::size_t count = 0;
  for (std::size_t i = 0; i < queues_.size() && count < batch.size(); ++i) {
    const std::size_t turn = next_ + i;
    const Queue& queue = queues_[turn < queues_.size() ? turn : turn - queues_.size()];
    const std::size_t received = queue.socket->receive(batch.subspan(count), queue.port);
    queue.of->received += received;
    count += received;
  }
  return count;
}

std::size_t Nic::send(PortIndex port, std::span<const Frame> frames) {
  NicPort* to = ports_[port];
  return to == nullptr || to->sender == nullptr ? 0 : to->sender->send(frames);
}

bool Nic::settle() {
  bool more = false;
  for (NicQueue* sender : senders_) {
    more |= sender->kick();
    sender->reap();
  }
  return more;
}

void Nic::plug(PortIndex port, Attachment* attachment) {
  auto* plugged = static_cast<NicPort*>(attachment);
  ports_[port] = plugged;
  for (const auto& queue : plugged->queues) queues_.push_back({queue.get(), plugged, port});
  if (plugged->sender != nullptr) senders_.push_back(plugged->sender);
  for (const auto& queue : plugged->queues) queue->lend();
}

// What the sockets were lent stays theirs: see ReturnChunks.
Attachment* Nic::unplug(PortIndex port) {
  NicPort* plugged = std::exchange(ports_[port], nullptr);
  if (plugged == nullptr) return nullptr;
  std::erase(senders_, plugged->sender);
  std::erase_if(queues_, [&](const Queue& queue) { return queue.of == plugged; });
  if (plugged->sender != nullptr) plugged->sender->reap();
  return plugged;
}

}  // namespace bulkhead
