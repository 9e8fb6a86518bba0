#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <thread>
#include <utility>

#include "backends/device/offloads.hpp"
#include "backends/error.hpp"
#include "backends/nic/nic.hpp"
#include "nic.skel.h"

namespace bulkhead {
namespace {

constexpr std::chrono::milliseconds kLetGoMax{1000};

void require(int result, const std::string& what) {
  if (result != 0) throw BackendError::from_errno(what, result);
}

/// The rings' entries when so many queues share kLentPerNic chunks.
std::uint32_t entries_of(std::uint32_t queues) {
  return std::clamp(std::bit_floor(NicQueue::kLentPerNic / queues), NicQueue::kLentMin,
                    NicQueue::kLentMax);
}

void require_few(const std::string& name, const QueueCounts& queues) {
  if (queues.rx <= BULKHEAD_NIC_QUEUES_MAX) return;
  throw BackendError("device " + name + " has " + std::to_string(queues.rx) +
                     " queues, more than the 64 that are supported; use fewer: ethtool -L " + name +
                     " combined 64");
}

/// Whether no AF_XDP socket, one of ours that the kernel is still closing included, has the queue
/// (xp_assign_dev() in net/xdp/xsk_buff_pool.c). With the flag for zero-copy on a device that does
/// not have it the answer leaves nothing behind; else it takes the kernel a moment to forget that
/// somebody asked.
bool is_queue_free(int ifindex, std::uint32_t queue, std::uint16_t bind_flags) {
  constexpr std::size_t kBytes = 4096;
  const int fd = ::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  void* memory =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  xdp_umem_reg umem{};
  umem.addr = reinterpret_cast<std::uint64_t>(memory);
  umem.len = kBytes;
  umem.chunk_size = kBytes;
  const int entries = 64;
  ::setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &umem, sizeof umem);
  for (const int ring : {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING}) {
    ::setsockopt(fd, SOL_XDP, ring, &entries, sizeof entries);
  }
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = static_cast<std::uint32_t>(ifindex);
  address.sxdp_queue_id = queue;
  address.sxdp_flags = bind_flags;
  const int result = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  const bool is_free = result == 0 || errno != EBUSY;
  ::close(fd);
  ::munmap(memory, kBytes);
  return is_free;
}

}  // namespace

NicProgram::NicProgram(const Pins& pins) : pins_(pins), program_(nic_bpf__open_and_load()) {
  if (program_ == nullptr) throw BackendError::from_errno("cannot load the NICs' XDP program");
  constexpr std::size_t kQueues = std::size_t{BULKHEAD_NICS_MAX} * BULKHEAD_NIC_QUEUES_MAX;
  void* memory = ::mmap(nullptr, kQueues * sizeof(bulkhead_queue), PROT_READ | PROT_WRITE,
                        MAP_SHARED, bpf_map__fd(program_->maps.counts), 0);
  if (memory == MAP_FAILED) {
    nic_bpf__destroy(program_);
    throw BackendError::from_errno("cannot map the NICs' counters");
  }
  counts_ = {static_cast<bulkhead_queue*>(memory), kQueues};
}

NicProgram::~NicProgram() {
  ::munmap(counts_.data(), counts_.size_bytes());
  nic_bpf__destroy(program_);
}

NicDevice::NicDevice(NicProgram& program, const Link& link)
    : program_(program), name_(link.name), ifindex_(link.ifindex) {
  require_few(name_, queues_of(name_));
  const auto place = std::ranges::find(program.used_, false);
  if (place == program.used_.end()) throw BackendError("64 ports are attached by XDP already");
  switch_offloads_off(program.pins_, name_, ifindex_);
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
  link_ = bpf_link_create(bpf_program__fd(program.program_->progs.bulkhead_nic), ifindex_, BPF_XDP,
                          &options);
  if (link_ == -EOPNOTSUPP) {
    throw BackendError("device " + name_ +
                       " has no native XDP; leave `attach` out, which makes it \"conduit\"");
  }
  if (link_ < 0) {
    throw BackendError::from_errno("the driver of " + name_ + " refuses native XDP (MTU " +
                                       std::to_string(link.mtu) +
                                       "? queues?); leave `attach` out, which makes it \"conduit\"",
                                   link_);
  }
  try {
    keep_offloads_off(name_);
  } catch (...) {
    ::close(link_);
    throw;
  }
  *place = true;
  number_ = static_cast<std::uint32_t>(place - program.used_.begin());
}

// Detached first: closing alone may take effect only some time later, and until then the program
// would be taken for somebody else's.
NicDevice::~NicDevice() {
  bpf_link_detach(link_);
  ::close(link_);
  delete_sockets();
  program_.used_[number_] = false;
}

void NicDevice::open(std::span<const Share> shares) {
  queues_ = queues_of(name_);
  require_few(name_, queues_);
  zero_copy_ = !no_zero_copy_ && try_zero_copy(shares);
  if (!zero_copy_) {
    try {
      make_sockets(shares, XDP_COPY);
    } catch (...) {
      std::size_t opened = 0;
      for (const auto& port : ports_) opened += port->queues.size();
      delete_sockets();
      // Or the next try would be told that one of these is in use.
      wait_until_free(static_cast<std::uint32_t>(opened));
      throw;
    }
  }
  std::ranges::fill(queue_counts(), bulkhead_queue{});
}

// A driver that has it on some queues only is not asked again: the kernel would still be closing
// those when the copying ones are opened.
bool NicDevice::try_zero_copy(std::span<const Share> shares) {
  try {
    make_sockets(shares, XDP_ZEROCOPY);
    return true;
  } catch (const BackendError&) {
    no_zero_copy_ =
        std::ranges::any_of(ports_, [](const auto& port) { return !port->queues.empty(); });
    delete_sockets();
    return false;
  }
}

// The memory is registered once more for each NIC: whether its sockets are zero-copy is decided for
// all sockets of a registration, and the conduit's never are.
void NicDevice::make_sockets(std::span<const Share> shares, std::uint16_t bind_flags) {
  xsk_umem_config config{};
  config.fill_size = entries_of(queues_.rx);
  config.comp_size = XSK_RING_CONS__DEFAULT_NUM_DESCS;
  config.frame_size = Umem::kChunkBytes;
  const std::span<std::uint8_t> memory = shares[0].umem->memory();
  require(xsk_umem__create(&memory_, memory.data(), memory.size(), &first_fill_, &first_completion_,
                           &config),
          "cannot register memory with AF_XDP for " + name_);
  for (const Share& share : shares) {
    ports_.push_back(std::make_unique<NicPort>());
    ports_.back()->worker = share.worker;
  }
  for (std::uint32_t number = 0; number < queues_.rx; ++number) {
    const std::size_t worker = number % shares.size();
    NicPort& port = *ports_[worker];
    NicQueue::Place place{memory_, name_, number, config.fill_size, bind_flags};
    if (number == 0) {
      place.first_fill = &first_fill_;
      place.first_completion = &first_completion_;
    }
    port.queues.push_back(
        std::make_unique<NicQueue>(*shares[worker].umem, shares[worker].worker, place));
    NicQueue& queue = *port.queues.back();
    if (port.sender == nullptr && number < queues_.tx) port.sender = &queue;
    epoll_event event{};
    event.events = EPOLLIN;
    if (::epoll_ctl(shares[worker].poll_fd, EPOLL_CTL_ADD, queue.fd(), &event) != 0) {
      throw BackendError::from_errno("cannot wait for frames of " + name_);
    }
  }
}

void NicDevice::delete_sockets() {
  ports_.clear();
  xsk_umem__delete(std::exchange(memory_, nullptr));
}

void NicDevice::admit() {
  const std::uint32_t first = number_ * BULKHEAD_NIC_QUEUES_MAX;
  for (std::size_t worker = 0; worker < ports_.size(); ++worker) {
    for (std::size_t i = 0; i < ports_[worker]->queues.size(); ++i) {
      const auto place = static_cast<std::uint32_t>(first + worker + i * ports_.size());
      const int fd = ports_[worker]->queues[i]->fd();
      require(bpf_map__update_elem(program_.program_->maps.nic_sockets, &place, sizeof place, &fd,
                                   sizeof fd, BPF_ANY),
              "cannot connect " + name_);
    }
  }
  const bulkhead_nic nic{first, queues_.rx};
  require(bpf_map__update_elem(program_.program_->maps.nics, &ifindex_, sizeof ifindex_, &nic,
                               sizeof nic, BPF_ANY),
          "cannot open " + name_);
}

void NicDevice::shut() {
  bpf_map__delete_elem(program_.program_->maps.nics, &ifindex_, sizeof ifindex_, 0);
}

bool NicDevice::close() {
  std::uint64_t received = 0;
  for (const auto& port : ports_) {
    for (const auto& queue : port->queues) queue->close();  // and with it, out of epoll and map
    received += port->received;
  }
  xsk_umem__delete(std::exchange(memory_, nullptr));
  std::uint64_t handed = 0;
  for (const bulkhead_queue& queue : queue_counts()) handed += queue.handed;
  before_.handed += handed;
  before_.lost += handed - received;
  std::ranges::fill(queue_counts(), bulkhead_queue{});
  return wait_until_free(queues_.rx);
}

bool NicDevice::wait_until_free(std::uint32_t count) const {
  const auto deadline = std::chrono::steady_clock::now() + kLetGoMax;
  const std::uint16_t flags = zero_copy_ || no_zero_copy_ ? XDP_COPY : XDP_ZEROCOPY;
  for (std::uint32_t number = 0; number < count; ++number) {
    while (!is_queue_free(ifindex_, number, flags)) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  return true;
}

std::span<bulkhead_queue> NicDevice::queue_counts() const {
  return program_.counts_.subspan(std::size_t{number_} * BULKHEAD_NIC_QUEUES_MAX,
                                  BULKHEAD_NIC_QUEUES_MAX);
}

NicDevice::Counts NicDevice::counts() const {
  Counts counts = before_;
  for (const auto& port : ports_) {
    for (const auto& queue : port->queues) counts.lost += queue->dropped();
  }
  for (const bulkhead_queue& queue : queue_counts()) {
    counts.lost += __atomic_load_n(&queue.missed, __ATOMIC_RELAXED);
    counts.handed += __atomic_load_n(&queue.handed, __ATOMIC_RELAXED);
  }
  return counts;
}

bool NicDevice::has_changed() const { return queues_of(name_) != queues_; }

}  // namespace bulkhead
