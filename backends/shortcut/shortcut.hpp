// The shortcut, as control sees it: what the ports' tc programs ask beside the entries that the
// workers write (dataplane/flow_table.hpp). Which policy is in force, until when anything passes,
// how frames get to a port.
//
// Invariant: the generation of a policy is in force before any worker has that policy, and after
// settle() no program repeats a verdict of an earlier one. Control thread only.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/flow_table.hpp"
#include "dataplane/limits.hpp"

namespace bulkhead {

/// Some memory that is mapped, of a BPF array.
class MappedArray {
 public:
  /// Throws BackendError.
  MappedArray(int map, std::size_t bytes);
  ~MappedArray();
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;
  [[nodiscard]] void* data() const { return data_; }

 private:
  void* data_;
  std::size_t bytes_;
};

class Shortcut {
 public:
  /// The programs' maps, by file descriptor.
  struct Maps {
    int head, ports, flows, epochs, devices;
    std::size_t places;  // in flows
  };

  /// What a port takes part with.
  struct Part {
    std::uint32_t road = BULKHEAD_ROAD_NONE;
    int ifindex = 0;  // of its device; 0: frames cannot go there
    bool any_source = false;
    std::uint32_t region_first = 0;
    std::uint32_t region_sets = 0;  // 0: nothing from it is repeated
    bool operator==(const Part&) const = default;
  };

  /// Throws BackendError.
  explicit Shortcut(const Maps& maps, std::uint64_t hash_key);

  /// For the workers' tables.
  [[nodiscard]] FlowTable::Memory memory() const;

  /// Verdicts of that policy may be repeated from now on, and no others.
  void set_generation(std::uint32_t generation);
  /// After set_generation(), before the workers have the policy. `parts`: by port index.
  void set_parts(std::span<const Part> parts);
  /// Waits until no program is under way that has seen an earlier generation.
  void settle() const;

  /// Nothing passes any more by the table of the daemon that was there before, and ours can be
  /// ended in the same way: by what is pinned at `path`. False if it cannot be pinned; then it must
  /// not go on without us.
  bool replace(const std::string& path);

  /// Nothing passes any more when this time is over, unless it is said again.
  void keep_open_for(std::chrono::nanoseconds time);

  /// What was counted for a port, by index.
  [[nodiscard]] bulkhead_flow_port counts_of(PortIndex port) const;
  /// Its place is another port's from now on.
  void reset_counts(PortIndex port);
  [[nodiscard]] std::size_t places() const { return flows_.size(); }
  /// The entry in that place, if verdicts are repeated by it now.
  [[nodiscard]] std::optional<bulkhead_flow> flow_at(std::size_t place) const;
  [[nodiscard]] bool has_any_source(PortIndex port) const { return parts_[port].any_source; }

 private:
  MappedArray head_memory_, ports_memory_, flows_memory_, epochs_memory_;
  bulkhead_flow_head* head_;
  std::span<bulkhead_flow_port> ports_;
  std::span<bulkhead_flow> flows_;
  std::span<std::uint64_t> epochs_;
  int head_map_;
  int devices_;              // a map, too
  std::vector<Part> parts_;  // by port index, as they are in the maps
};

}  // namespace bulkhead
