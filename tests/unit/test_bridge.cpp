#include "tests/unit/test_bridge.hpp"

namespace bulkhead::test {

std::string to_text(const Outcome& outcome) {
  std::string text = outcome.verdict;
  if (!outcome.reason.empty()) text += ' ' + outcome.reason;
  for (const std::string& port : outcome.ports) text += " >" + port;
  for (const auto& [port, reason] : outcome.refused) text += " x" + port + ':' + reason;
  return text;
}

TestBridge::TestBridge(const config::Config& from, std::size_t fdb_entries) : config(from) {
  for (const auto& [name, port] : config.ports) {
    const auto index = static_cast<PortIndex>(sites.size());
    sites[name] = {index, 0, true, kMtu};
  }
  for (const auto& [name, segment] : config.segments) {
    segments.emplace(name, static_cast<SegmentIndex>(segments.size()));
  }
  const HashKey key{{0x9e37'79b9'7f4a'7c15, 0xd1b5'4a32'd192'ed03}};
  fdb = std::make_unique<Fdb>(fdb_entries, key);
  snapshot = control::compile(config, sites, segments, key);
  worker = std::make_unique<Worker>(pool, std::vector<Backend*>{&backend}, *mailbox, snapshot.get(),
                                    fdb.get());
  worker->round(now_ms);  // the first pays for all ageing so far
}

void TestBridge::reload() {
  auto next = control::compile(config, sites, segments, fdb->hash_key());
  worker->swap_snapshot(next.get());
  snapshot = std::move(next);
}

std::string TestBridge::name_of(PortIndex port) const {
  for (const auto& [name, site] : sites) {
    if (site.index == port) return name;
  }
  return "?";
}

Outcome TestBridge::send(const std::string& from, const Bytes& bytes, std::size_t split) {
  std::map<std::string, PortCounters> before;
  for (const auto& [name, site] : sites) before[name] = counters(name);
  backend.take();
  backend.inject(port(from), bytes, split);
  worker->round(now_ms);

  Outcome outcome;
  const PortCounters& now = counters(from);
  if (now.unicast > before[from].unicast) outcome.verdict = "unicast";
  if (now.flooded > before[from].flooded) outcome.verdict = "flood";
  for (std::size_t i = 0; i < kDropReasonCount; ++i) {
    if (now.dropped[i] > before[from].dropped[i]) {
      outcome.verdict += "drop";
      outcome.reason = kDropReasons[i].name;
    }
    for (const auto& [name, site] : sites) {
      if (counters(name).refused[i] > before[name].refused[i]) {
        outcome.refused[name] = kDropReasons[i].name;
      }
    }
  }
  for (const MemoryBackend::Sent& sent : backend.take()) {
    const std::string to = name_of(sent.port);
    if (!outcome.ports.insert(to).second) outcome.verdict += " twice to " + to;
    if (sent.bytes != bytes) outcome.verdict += " changed";
  }
  return outcome;
}

void TestBridge::learn(const std::string& name, MacAddress source) {
  const MacTable::Hashed address = fdb->hashed(*snapshot, port(name), source);
  const Fdb::Judgement taught = fdb->judge(*snapshot, port(name), address, false, now_ms);
  fdb->learn(*snapshot, port(name), address, false, taught.change, now_ms);
}

void TestBridge::tick(std::uint32_t seconds) {
  now_ms += 1000 * seconds;
  while (worker->round(now_ms).waiting) {
  }
}

std::set<Learned> TestBridge::learned() const {
  std::set<Learned> all;
  fdb->visit(0, fdb->bucket_count(), [&](const MacTable::Entry& entry) {
    all.emplace(entry.mac().value, entry.segment(), entry.port, entry.seen_ms, entry.moves);
    return false;
  });
  return all;
}

std::vector<Event> TestBridge::events() {
  std::vector<Event> all;
  mailbox->events.consume_all([&](const Event& event) { all.push_back(event); });
  return all;
}

std::string TestBridge::ledger_fault() {
  const auto sum = [](const auto& counts) {
    std::uint64_t total = 0;
    for (const std::uint64_t count : counts) total += count;
    return total;
  };
  std::uint64_t sent = 0;
  for (const auto& [name, site] : sites) {
    const PortCounters& of = counters(name);
    if (of.received != of.unicast + of.flooded + sum(of.dropped)) return name + ": ingress";
    if (of.offered != of.sent + sum(of.refused)) return name + ": egress";
    sent += of.sent;
  }
  if (sent != backend.sent_count()) return "the backend sent another number of frames";
  if (pool.free_count() != pool.chunk_count()) {
    return std::to_string(pool.chunk_count() - pool.free_count()) + " buffers are missing";
  }
  return "";
}

}  // namespace bulkhead::test
