#include "backends/xsk.hpp"

#include <linux/if_xdp.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "backends/descriptors.hpp"
#include "backends/error.hpp"

namespace bulkhead {
namespace {

constexpr std::uint32_t kLent = ~std::uint32_t{0};  // the length of what the kernel is to fill

xsk_socket_config socket_config(std::uint32_t entries) {
  xsk_socket_config config{};
  config.rx_size = entries;
  config.tx_size = entries;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.bind_flags = XDP_COPY;
  return config;
}

}  // namespace

ReceiveSocket::ReceiveSocket(Umem& umem, std::uint32_t worker, const std::string& device)
    : umem_(umem), pool_(umem.pool(worker)) {
  const xsk_socket_config config = socket_config(kEntries);
  const int error = xsk_socket__create_shared(&socket_, device.c_str(), 0, umem.handle(), &rx_,
                                              nullptr, &fill_, &completion_, &config);
  if (error != 0) throw BackendError::from_errno("cannot receive from " + device, error);
}

ReceiveSocket::~ReceiveSocket() { xsk_socket__delete(socket_); }

std::size_t ReceiveSocket::receive(std::span<Buffer*> batch) {
  std::uint32_t index = 0;
  const std::uint32_t count =
      xsk_ring_cons__peek(&rx_, static_cast<std::uint32_t>(batch.size()), &index);
  for (std::uint32_t i = 0; i < count; ++i) {
    const xdp_desc* descriptor = xsk_ring_cons__rx_desc(&rx_, index + i);
    Buffer& buffer = umem_.buffer_at(descriptor->addr);
    buffer.data = umem_.bytes_at(descriptor->addr);
    buffer.length = descriptor->len;
    __builtin_prefetch(buffer.data);
    batch[i] = &buffer;
  }
  if (count > 0) xsk_ring_cons__release(&rx_, count);
  refill();  // also when nothing came: the pool may have been empty before
  return count;
}

void ReceiveSocket::take_back(BufferPool& pool) {
  for (std::uint32_t chunk = 0; chunk < pool.chunk_count(); ++chunk) {
    Buffer& buffer = pool.at(chunk);
    if (buffer.length != kLent) continue;
    buffer.length = 0;
    pool.release(&buffer);
  }
}

void ReceiveSocket::refill() {
  const std::uint32_t room =
      std::min(xsk_prod_nb_free(&fill_, Umem::kFillEntries), pool_.free_count());
  std::uint32_t index = 0;
  if (room == 0 || xsk_ring_prod__reserve(&fill_, room, &index) != room) return;
  for (std::uint32_t i = 0; i < room; ++i) {
    Buffer* buffer = pool_.take();
    buffer->length = kLent;
    *xsk_ring_prod__fill_addr(&fill_, index + i) =
        std::uint64_t{Umem::number_of(*buffer)} * Umem::kChunkBytes;
  }
  xsk_ring_prod__submit(&fill_, room);
}

TransmitSocket::TransmitSocket(Umem& umem, std::uint32_t worker, const std::string& device)
    : TransmitSocket(umem, worker) {
  const xsk_socket_config config = socket_config(kEntries);
  const int error = xsk_socket__create_shared(&socket_, device.c_str(), 0, umem.handle(), nullptr,
                                              &tx_, &fill_, &completion_, &config);
  errno = -error;
  const int fd = error == 0 ? xsk_socket__fd(socket_) : -1;
  Descriptors::require(fd, "cannot send to " + device);
  if (error != 0) throw BackendError::from_errno("cannot send to " + device, error);
  // What may be outstanding is our limit, not a socket buffer's.
  const int bytes = 64 << 20;
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
}

TransmitSocket::~TransmitSocket() { xsk_socket__delete(socket_); }

std::size_t TransmitSocket::send(std::span<const Frame> frames) {
  reap();
  const std::uint32_t share = std::min(kEntries, pool_.free_count() / kFreeShare + 1);
  const std::uint32_t room = share > outstanding_ ? share - outstanding_ : 0;
  const auto count = std::min(static_cast<std::uint32_t>(frames.size()), room);
  std::uint32_t index = 0;
  if (count == 0 || xsk_ring_prod__reserve(&tx_, count, &index) != count) return 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Buffer& buffer = *frames[i].head;  // kernel ports make and take unchained frames only
    xdp_desc* descriptor = xsk_ring_prod__tx_desc(&tx_, index + i);
    descriptor->addr = umem_.address_of(buffer);
    descriptor->len = buffer.length;
    descriptor->options = 0;
    const std::uint32_t number = Umem::number_of(buffer);
    held_[number / 64] |= std::uint64_t{1} << (number % 64);
  }
  xsk_ring_prod__submit(&tx_, count);
  outstanding_ += count;
  kick();
  return count;
}

bool TransmitSocket::kick() {
  constexpr std::uint32_t kFramesPerCall = 32;  // TX_BATCH_SIZE in net/xdp/xsk.c
  for (std::uint32_t calls = unsent() / kFramesPerCall + 1; calls > 0 && unsent() > 0; --calls) {
    if (::sendto(xsk_socket__fd(socket_), nullptr, 0, MSG_DONTWAIT, nullptr, 0) < 0) break;
  }
  return unsent() > 0;
}

void TransmitSocket::reap() {
  std::uint32_t index = 0;
  const std::uint32_t count = xsk_ring_cons__peek(&completion_, kEntries, &index);
  if (count == 0) return;
  for (std::uint32_t i = 0; i < count; ++i) {
    Buffer& buffer = umem_.buffer_at(*xsk_ring_cons__comp_addr(&completion_, index + i));
    const std::uint32_t number = Umem::number_of(buffer);
    held_[number / 64] &= ~(std::uint64_t{1} << (number % 64));
    pool_.release(&buffer);
  }
  xsk_ring_cons__release(&completion_, count);
  outstanding_ -= count;
}

void TransmitSocket::abandon() {
  reap();
  release_held();
}

void TransmitSocket::release_held() {
  for (std::uint32_t word = 0; word < held_.size(); ++word) {
    for (std::uint64_t bits = std::exchange(held_[word], 0); bits != 0; bits &= bits - 1) {
      const auto bit = static_cast<std::uint32_t>(std::countr_zero(bits));
      pool_.release(&umem_.buffer_numbered(word * 64 + bit));
    }
  }
  outstanding_ = 0;
}

}  // namespace bulkhead
