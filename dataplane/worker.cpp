#include "dataplane/worker.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace bulkhead {

Worker::Worker(BufferPool& pool, std::vector<Backend*> backends, Mailbox& mailbox,
               const Snapshot* snapshot, Fdb* fdb, std::unique_ptr<Crossings> crossings)
    : pool_(pool),
      backends_(std::move(backends)),
      mailbox_(mailbox),
      snapshot_(snapshot),
      fdb_(fdb),
      crossings_(crossings ? std::move(crossings) : std::make_unique<Crossings>()),
      forwarder_(pool, backends_, mailbox, *crossings_) {
  pool_.set_crossings(crossings_.get());
}

void Worker::set_flows(FlowTable* flows) {
  forwarder_.set_flows(flows);
  fdb_->set_epochs(flows == nullptr ? FlowEpochs() : flows->epochs());
}

Worker::Round Worker::round(std::uint32_t now_ms) {
  ++rounds_;
  Round result;
  result.busy = take_commands(now_ms);
  result.waiting = command_ != nullptr;
  result.busy |= crossings_->receive(pool_, [&](const Crossing& crossing) {
    forwarder_.arrive(*snapshot_, *fdb_, crossing, now_ms);
  });
  for (Backend* backend : backends_) {
    const std::size_t count = backend->receive(batch_);
    if (count == 0) continue;
    forwarder_.forward(*snapshot_, *fdb_, {batch_.data(), count}, now_ms);
    result.busy = true;
  }
  forwarder_.flush(*snapshot_);
  for (Backend* backend : backends_) result.waiting |= backend->settle();
  sweep(now_ms);
  if (FlowTable* flows = forwarder_.flows()) flows->visit(*snapshot_, *fdb_, now_ms);
  result.waiting |= sweep_debt_ > 0 || crossings_->has_lent();
  result.told = crossings_->flush();
  return result;
}

bool Worker::take_commands(std::uint32_t now_ms) {
  bool any = false;
  for (std::size_t i = 0; i < kCommandsPerRound; ++i) {
    if (command_ == nullptr && !mailbox_.commands.pop(command_)) break;
    any = true;
    if (!command_done_) command_done_ = command_->step(*this, now_ms);
    if (!command_done_) break;  // goes on next round
    Event done;
    done.command = command_;
    if (!mailbox_.events.push(done)) break;  // never lost: again next round
    command_ = nullptr;
    command_done_ = false;
  }
  return any;
}

void Worker::announce(const Event& event) {
  if (!mailbox_.events.push(event)) mailbox_.events_lost.fetch_add(1, std::memory_order_relaxed);
}

void Worker::announce_aged(const MacTable::Entry& entry) {
  Crossing aged;
  aged.kind = Crossing::Kind::aged;
  aged.from = entry.port;
  aged.stamp = fdb_->stamp_of(entry);
  aged.segment = entry.segment();
  aged.mac = entry.mac();
  crossings_->announce(aged);
}

void Worker::tell_aged(const MacTable::Entry& entry) {
  Event event;
  event.kind = Event::Kind::aged;
  event.port = entry.port;
  event.segment = entry.segment();
  event.mac = entry.mac();
  announce(event);
  announce_aged(entry);
}

// A slice of ageing a round, so that the whole table is swept once in kSweepMilliseconds, or slower
// when a round may not take that long: entries are dead in time all the same (Fdb::is_alive).
void Worker::sweep(std::uint32_t now_ms) {
  const std::uint32_t elapsed_ms = std::min(now_ms - swept_ms_, kSweepMilliseconds);
  const std::uint32_t earned = static_cast<std::uint32_t>(std::uint64_t{fdb_->bucket_count()} *
                                                          elapsed_ms / kSweepMilliseconds);
  if (earned > 0) {
    sweep_debt_ = std::min(sweep_debt_ + earned, fdb_->bucket_count());
    swept_ms_ = now_ms;
  }
  if (sweep_debt_ > 0 && fdb_->size() > 0) {
    // What is forgotten is announced: as much of it as there is room for.
    const std::size_t announced_max = crossings_->room() / MacTable::kBucketEntries;
    const auto buckets = static_cast<std::uint32_t>(
        std::min<std::size_t>({sweep_debt_, kSweepBucketsPerRound, announced_max}));
    fdb_->sweep(*snapshot_, now_ms, buckets,
                [this](const MacTable::Entry& entry) { tell_aged(entry); });
    sweep_debt_ -= buckets;
  } else {
    sweep_debt_ = 0;
  }
  const bool is_second_over = now_ms - renewed_ms_ >= kSweepMilliseconds;
  if (is_second_over) {
    forwarder_.reporter().renew();
    forwarder_.claims().sweep(*snapshot_, now_ms);
    renewed_ms_ = now_ms;
  }
  ask_for_table(is_second_over);
}

// Once for each table, and again each second: control may have had no memory for it.
void Worker::ask_for_table(bool is_second_over) {
  if (is_second_over) asked_room_ = 0;
  const bool wants = fdb_->is_crowded() || (is_second_over && fdb_->is_sparse());
  if (!wants || asked_room_ == fdb_->room()) return;
  Event event;
  event.kind = Event::Kind::resize;
  event.addresses = static_cast<std::uint32_t>(fdb_->size());
  if (mailbox_.events.push(event)) asked_room_ = fdb_->room();
}

}  // namespace bulkhead
