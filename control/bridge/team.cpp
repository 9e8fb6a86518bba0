#include "control/bridge/team.hpp"

#include "control/bridge/compile.hpp"

namespace bulkhead::control {

Team::Team(const Snapshot& first, HashKey key, std::size_t fdb_entries,
           const std::vector<Place>& places)
    : passages_(places.size() * places.size()), members_(places.size()) {
  for (auto& passage : passages_) passage = std::make_unique<Passage>();
  for (std::uint8_t i = 0; i < size(); ++i) {
    members_[i] = std::make_unique<Member>();
    Member& member = *members_[i];
    member.snapshot = part_for(first, i);
    member.fdb = std::make_unique<Fdb>(fdb_entries, key, i);
    member.worker =
        std::make_unique<Worker>(*places[i].pool, places[i].backends, member.mailbox,
                                 member.snapshot.get(), member.fdb.get(), crossings_of(i, places));
    member.worker->set_flows(places[i].flows);
  }
}

std::unique_ptr<const Snapshot> Team::part_for(const Snapshot& policy, std::uint8_t worker) const {
  auto part = part_of(policy, worker, size());
  part->generation = generation_;
  return part;
}

std::vector<std::unique_ptr<const Snapshot>> Team::parts_of(const Snapshot& policy) {
  ++generation_;
  std::vector<std::unique_ptr<const Snapshot>> parts;
  for (std::uint8_t i = 0; i < size(); ++i) parts.push_back(part_for(policy, i));
  return parts;
}

std::unique_ptr<Crossings> Team::crossings_of(std::uint8_t worker,
                                              const std::vector<Place>& places) {
  const std::size_t count = places.size();
  if (count == 1) return nullptr;
  std::vector<Crossings::Peer> peers(count);
  for (std::size_t other = 0; other < count; ++other) {
    peers[other] = {passages_[worker * count + other].get(),
                    passages_[other * count + worker].get(), places[other].pool->chunk_count()};
  }
  return std::make_unique<Crossings>(worker, peers);
}

}  // namespace bulkhead::control
