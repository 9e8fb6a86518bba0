#include "backends/shortcut/shortcut.hpp"

#include <bpf/bpf.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <ctime>

#include "backends/error.hpp"

namespace bulkhead {
namespace {

template <class T>
void store(T& place, T value) {
  __atomic_store_n(&place, value, __ATOMIC_RELEASE);
}

}  // namespace

MappedArray::MappedArray(int map, std::size_t bytes)
    : data_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0)), bytes_(bytes) {
  if (data_ == MAP_FAILED) throw BackendError::from_errno("cannot map the shortcut's tables");
}

MappedArray::~MappedArray() { ::munmap(data_, bytes_); }

Shortcut::Shortcut(const Maps& maps, std::uint64_t hash_key)
    : head_memory_(maps.head, sizeof(bulkhead_flow_head)),
      ports_memory_(maps.ports, kPortsMax * sizeof(bulkhead_flow_port)),
      flows_memory_(maps.flows, maps.places * sizeof(bulkhead_flow)),
      epochs_memory_(maps.epochs, BULKHEAD_FLOW_EPOCHS * sizeof(std::uint64_t)),
      head_(static_cast<bulkhead_flow_head*>(head_memory_.data())),
      ports_(static_cast<bulkhead_flow_port*>(ports_memory_.data()), kPortsMax),
      flows_(static_cast<bulkhead_flow*>(flows_memory_.data()), maps.places),
      epochs_(static_cast<std::uint64_t*>(epochs_memory_.data()), BULKHEAD_FLOW_EPOCHS),
      head_map_(maps.head),
      devices_(maps.devices),
      parts_(kPortsMax) {
  head_->hash_key = hash_key;
}

FlowTable::Memory Shortcut::memory() const {
  return {flows_, FlowEpochs(epochs_), head_->hash_key};
}

void Shortcut::set_generation(std::uint32_t generation) { store(head_->generation, generation); }

void Shortcut::set_parts(std::span<const Part> parts) {
  for (std::uint32_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    if (part == parts_[i]) continue;
    bulkhead_flow_port& port = ports_[i];
    if (part.ifindex != parts_[i].ifindex) {
      store(port.road, std::uint32_t{BULKHEAD_ROAD_NONE});
      const auto device = static_cast<std::uint32_t>(part.ifindex);
      if (device == 0) {
        bpf_map_delete_elem(devices_, &i);
      } else if (bpf_map_update_elem(devices_, &i, &device, BPF_ANY) != 0) {
        continue;  // it has gone; we hear of it
      }
    }
    port.takes_part = part.region_sets != 0 ? 1 : 0;
    port.any_source = part.any_source ? 1 : 0;
    port.region_first = part.region_first;
    port.region_sets = part.region_sets;
    store(port.road, part.road);
    parts_[i] = part;
  }
}

bulkhead_flow_port Shortcut::counts_of(PortIndex port) const {
  const auto load = [](const bulkhead_u64& count) {
    return __atomic_load_n(&count, __ATOMIC_RELAXED);
  };
  const bulkhead_flow_port& now = ports_[port];
  bulkhead_flow_port copy{};
  copy.out_frames = load(now.out_frames);
  copy.out_bytes = load(now.out_bytes);
  copy.in_frames = load(now.in_frames);
  copy.in_bytes = load(now.in_bytes);
  copy.no_key = load(now.no_key);
  copy.no_entry = load(now.no_entry);
  copy.stale = load(now.stale);
  copy.closed = load(now.closed);
  return copy;
}

void Shortcut::reset_counts(PortIndex port) {
  bulkhead_flow_port& now = ports_[port];
  for (bulkhead_u64* count : {&now.in_frames, &now.in_bytes, &now.out_frames, &now.out_bytes,
                              &now.no_key, &now.no_entry, &now.stale, &now.closed}) {
    __atomic_store_n(count, 0, __ATOMIC_RELAXED);
  }
}

std::optional<bulkhead_flow> Shortcut::flow_at(std::size_t place) const {
  const bulkhead_flow& flow = flows_[place];
  const std::uint32_t version = __atomic_load_n(&flow.version, __ATOMIC_ACQUIRE);
  const bulkhead_flow copy = flow;
  std::atomic_thread_fence(std::memory_order_acquire);
  const bool is_whole =
      (version & 1) == 0 && __atomic_load_n(&flow.version, __ATOMIC_RELAXED) == version;
  if (!is_whole || copy.generation == 0 || copy.generation != head_->generation ||
      FlowEpochs(epochs_).sum(copy.source, copy.destination) != copy.epochs) {
    return std::nullopt;
  }
  return copy;
}

// The kernel waits for a grace period of RCU, in which the programs run
// (kernel/sched/membarrier.c).
void Shortcut::settle() const {
  if (::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0) return;
  constexpr timespec kLongEnough{0, 50'000'000};  // with nohz_full; programs take microseconds
  ::nanosleep(&kLongEnough, nullptr);
}

bool Shortcut::replace(const std::string& path) {
  if (const int before = bpf_obj_get(path.c_str()); before >= 0) {
    constexpr std::uint32_t kFirst = 0;
    constexpr bulkhead_flow_head kClosed{};
    bpf_map_update_elem(before, &kFirst, &kClosed, BPF_ANY);
    ::close(before);
    ::unlink(path.c_str());
    settle();
  }
  return bpf_obj_pin(head_map_, path.c_str()) == 0;
}

void Shortcut::keep_open_for(std::chrono::nanoseconds time) {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const auto ns = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
                  static_cast<std::uint64_t>(now.tv_nsec + time.count());
  store(head_->deadline_ns, bulkhead_u64{ns});
}

}  // namespace bulkhead
