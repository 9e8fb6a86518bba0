#include "tests/unit/test_bridge.hpp"

namespace bulkhead::test {

std::string to_text(const Outcome& outcome) {
  std::string text = outcome.verdict;
  if (!outcome.reason.empty()) text += ' ' + outcome.reason;
  for (const std::string& port : outcome.ports) text += " >" + port;
  for (const auto& [port, reason] : outcome.refused) text += " x" + port + ':' + reason;
  return text;
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

}  // namespace bulkhead::test
