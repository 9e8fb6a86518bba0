#include "dataplane/flow_table.hpp"

#include <algorithm>
#include <atomic>

namespace bulkhead {
namespace {

/// Readers see that the entry is being written, before any of it is.
void begin_write(bulkhead_flow& flow) {
  __atomic_store_n(&flow.version, flow.version + 1, __ATOMIC_RELAXED);
  std::atomic_thread_fence(std::memory_order_release);
}

void end_write(bulkhead_flow& flow) {
  __atomic_store_n(&flow.version, flow.version + 1, __ATOMIC_RELEASE);
}

PortIndex port_of(const bulkhead_flow& flow) {
  return static_cast<PortIndex>(flow.key[0] & BULKHEAD_FLOW_PORT);
}

}  // namespace

FlowTable::FlowTable(const Memory& memory)
    : memory_(memory), notes_(memory.flows.size()), counts_(kPortsMax) {
  live_.reserve(memory.flows.size());
}

bool FlowTable::is_alive(const Snapshot& snapshot, const bulkhead_flow& flow) const {
  return flow.generation == snapshot.generation &&
         memory_.epochs.sum(flow.source, flow.destination) == flow.epochs;
}

FlowTable::Noted FlowTable::note(const Snapshot& snapshot, const Parsed& frame,
                                 const Hashes& hashes, PortIndex from, PortIndex to,
                                 std::uint32_t now_ms) {
  const PortPolicy& ingress = snapshot.ports[from];
  const PortPolicy& egress = snapshot.ports[to];
  const auto common = flow_key(frame);
  if (!common) return Noted::keyless;
  FlowKey key = common->from(from, ingress.trusted);
  if (egress.trusted) key = key.to_any_destination();
  const std::uint64_t hash = bulkhead_flow_hash(key.words.data(), memory_.hash_key);
  bulkhead_flow* place = nullptr;
  for (int nth = 0; nth < BULKHEAD_FLOW_PLACES; ++nth) {
    bulkhead_flow& flow =
        memory_.flows[bulkhead_flow_place(ingress.flow_first, ingress.flow_sets, hash, nth)];
    const bool is_alive_now = is_alive(snapshot, flow);
    if (std::ranges::equal(flow.key, key.words)) {
      if (is_alive_now && flow.to == to) return Noted::known;
      place = &flow;  // never twice in the table
      break;
    }
    if (place == nullptr && !is_alive_now) place = &flow;
  }
  if (place == nullptr) return Noted::refused;
  const auto stays_put = [](const PortPolicy& port) { return !port.learns && !port.shares_macs; };
  begin_write(*place);
  std::ranges::copy(key.words, place->key);
  place->generation = snapshot.generation;
  place->to = to;
  place->bytes_max =
      static_cast<std::uint16_t>(std::min(ingress.frame_bytes_max, egress.frame_bytes_max));
  place->source = stays_put(ingress) ? std::uint16_t{0} : FlowEpochs::number_of(hashes.source.hash);
  place->destination =
      stays_put(egress) ? std::uint16_t{0} : FlowEpochs::number_of(hashes.destination.hash);
  place->epochs = memory_.epochs.sum(place->source, place->destination);
  place->made_ms = now_ms;
  place->frames = place->bytes = 0;
  end_write(*place);
  list(static_cast<std::uint32_t>(place - memory_.flows.data()), from, now_ms);
  return Noted::made;
}

bool FlowTable::is_of(const Snapshot& snapshot, PortIndex port, std::uint32_t place) {
  const PortPolicy& policy = snapshot.ports[port];
  return policy.present && snapshot.is_local(port) && place >= policy.flow_first &&
         place - policy.flow_first < policy.flow_sets * BULKHEAD_FLOW_SET;
}

void FlowTable::list(std::uint32_t place, PortIndex port, std::uint32_t now_ms) {
  Note& note = notes_[place];
  note.frames = 0;
  note.used_ms = now_ms;
  if (note.listed && note.port == port) return;
  if (note.listed) --counts_[note.port];
  ++counts_[port];
  note.port = port;
  if (!note.listed) live_.push_back(place);
  note.listed = true;
}

void FlowTable::visit(const Snapshot& snapshot, Fdb& fdb, std::uint32_t now_ms) {
  if (next_ >= live_.size()) {
    if (now_ms - begun_ms_ < kVisitMilliseconds) return;
    begun_ms_ = now_ms;
    next_ = 0;
  }
  for (std::uint32_t visits = kVisitsPerRound; visits > 0 && next_ < live_.size(); --visits) {
    const std::uint32_t place = live_[next_];
    const bulkhead_flow& flow = memory_.flows[place];
    Note& note = notes_[place];
    const std::uint64_t frames = __atomic_load_n(&flow.frames, __ATOMIC_RELAXED);
    if (!is_of(snapshot, note.port, place)) {
      unlist(place);  // another port's by now: not to be written to
      continue;
    }
    if (frames != note.frames) {
      note.frames = frames;
      note.used_ms = now_ms;
    }
    if (!is_alive(snapshot, flow) || !is_in_place(snapshot, fdb, flow, now_ms) ||
        now_ms - note.used_ms >= kIdleMilliseconds) {
      free_place(place);
      continue;
    }
    if (note.used_ms == now_ms && flow.source != 0) keep_young(snapshot, fdb, flow, now_ms);
    ++next_;
  }
}

void FlowTable::free_place(std::uint32_t place) {
  bulkhead_flow& flow = memory_.flows[place];
  begin_write(flow);
  flow.generation = 0;
  end_write(flow);
  unlist(place);
}

/// The last of the list takes its place there, and is visited next.
void FlowTable::unlist(std::uint32_t place) {
  --counts_[notes_[place].port];
  notes_[place].listed = false;
  live_[next_] = live_.back();
  live_.pop_back();
}

// An address is dead as soon as it has aged, and swept, which ends its entries, up to a second
// later.
bool FlowTable::is_in_place(const Snapshot& snapshot, const Fdb& fdb, const bulkhead_flow& flow,
                            std::uint32_t now_ms) {
  const PortIndex from = port_of(flow);
  const auto is_at = [&](std::uint64_t mac, PortIndex port) {
    return locate(snapshot, fdb, fdb.hashed(snapshot, from, {mac}), now_ms) == port;
  };
  return (flow.source == 0 || is_at(flow.key[1], from)) &&
         (flow.destination == 0 || is_at(flow.key[0] >> 16, flow.to));
}

void FlowTable::keep_young(const Snapshot& snapshot, Fdb& fdb, const bulkhead_flow& flow,
                           std::uint32_t now_ms) {
  const PortIndex port = port_of(flow);
  fdb.keep_young(snapshot, port, fdb.hashed(snapshot, port, {flow.key[1]}), now_ms);
}

}  // namespace bulkhead
