// The workers of a bridge and what connects them: each with its part of the policy, its MAC table,
// its mailbox and the rings to the others. Who has the rounds run is the maker's business: the
// engine has threads do it (control/bridge/engine), tests and benchmarks give turns
// (tests/harness). Control thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/crossing.hpp"
#include "dataplane/fdb.hpp"
#include "dataplane/mailbox.hpp"
#include "dataplane/snapshot.hpp"
#include "dataplane/worker.hpp"

namespace bulkhead::control {

class Team {
 public:
  /// What a worker works with; must outlive the team.
  struct Place {
    BufferPool* pool;
    std::vector<Backend*> backends;
    FlowTable* flows = nullptr;  // if the kernel repeats verdicts
  };
  struct Member {
    Mailbox mailbox;
    std::unique_ptr<const Snapshot> snapshot;  // what it decides by
    std::unique_ptr<Fdb> fdb;
    std::unique_ptr<Worker> worker;
  };

  /// `fdb_entries`: what the MAC tables have room for at first.
  Team(const Snapshot& first, HashKey key, std::size_t fdb_entries,
       const std::vector<Place>& places);

  [[nodiscard]] std::uint8_t size() const { return static_cast<std::uint8_t>(members_.size()); }
  [[nodiscard]] Member& member(std::uint8_t worker) const { return *members_[worker]; }
  /// The next policy, a part for each worker: all may be made before any is in force.
  [[nodiscard]] std::vector<std::unique_ptr<const Snapshot>> parts_of(const Snapshot& policy);
  /// Of the policy made last.
  [[nodiscard]] std::uint32_t generation() const { return generation_; }

 private:
  [[nodiscard]] std::unique_ptr<const Snapshot> part_for(const Snapshot& policy,
                                                         std::uint8_t worker) const;
  [[nodiscard]] std::unique_ptr<Crossings> crossings_of(std::uint8_t worker,
                                                        const std::vector<Place>& places);

  std::uint32_t generation_ = 1;                    // of the policy made last
  std::vector<std::unique_ptr<Passage>> passages_;  // from worker a to b: a * workers + b
  std::vector<std::unique_ptr<Member>> members_;
};

}  // namespace bulkhead::control
