// parse() and decide() over a fixed bridge with whatever bytes: a run of frames, each two bytes of
// port and time step, one of length, and the frame. Nothing may be read beyond a frame, no guest
// may get what is not its own, and a drop may teach nothing.
#include <cstdlib>
#include <memory>

#include "dataplane/decide.hpp"
#include "tests/harness/house.hpp"

namespace bulkhead {
namespace {

constexpr const char* kHouse =
    "[segment.default]\nageing = \"2s\"\nmac_limit = 6\n"
    "[port.a]\ndevice = \"a\"\nip = [\"10.0.0.97/24\", \"fd00::61/64\"]\n"
    "mac = \"02:00:00:00:00:61\"\nlink_local = \"any\"\nprefixes = [\"fd01::/64\"]\n"
    "[port.b]\ndevice = \"b\"\nip = [\"10.0.0.98/24\", \"fd00::62/64\"]\nroutes = [\"::/0\"]\nmac "
    "= \"02:00:00:00:00:62\"\nisolated = true\n"
    "[port.m]\ndevice = \"m\"\nip = \"any\"\nmac = \"any\"\nmac_max = 3\nisolated = true\n"
    "[port.n]\ndevice = \"n\"\nip = \"any\"\nmac = \"any\"\nunknown = true\n"
    "[port.u]\ndevice = \"u\"\ntrusted = true\n";
constexpr PortIndex kPorts = 5;

void require(bool holds) {
  if (!holds) std::abort();
}

void judge(const Snapshot& snapshot, Fdb& fdb, const Parsed& parsed, PortIndex from,
           std::uint32_t now_ms) {
  static const Limiter kLimiter;
  static const Claims kClaims;
  const Verdict verdict = decide(snapshot, {fdb, kLimiter, kClaims}, parsed, from, now_ms);
  const auto leaves = [&](PortIndex to) {
    const PortPolicy& port = snapshot.ports[to];
    const MacAddress mac = parsed.destination;
    require(to != from && snapshot.reach[snapshot.ports[from].reach].contains(to));
    require(port.trusted || port.learns || mac.is_group() || has_mac(snapshot, port, mac));
    const MacTable::Entry* bound = snapshot.bound.find(parsed.source, port.segment);
    const bool is_v6 = parsed.payload == Payload::ipv6;
    if (parsed.is_ip() && parsed.flaw == Flaw::none) {
      const bool of_guest = !snapshot.ports[from].trusted;
      require(!of_guest || ownership(snapshot, from, is_v6, parsed.sender) != Ownership::others);
      require(port.trusted || ownership(snapshot, to, is_v6, parsed.receiver) != Ownership::others);
    }
    require(bound == nullptr || bound->port == from);
  };
  if (verdict.kind == Verdict::Kind::drop) require(verdict.change == Fdb::Change::nothing);
  if (verdict.kind == Verdict::Kind::unicast) leaves(verdict.port);
  for (const PortIndex to : verdict.ports) {
    if (to != from && !admit(snapshot, parsed, to, kNoPort)) leaves(to);
  }
  fdb.learn(snapshot, from, hashes_of(snapshot, parsed, from).source, verdict.shared_source,
            verdict.change, now_ms);
  require(fdb.size() <= snapshot.segments[0].mac_limit);
}

}  // namespace
}  // namespace bulkhead

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  static const test::House kBridge(kHouse, {.mtu = 100});
  Fdb fdb(16, test::kHouseKey);
  std::uint32_t now_ms = 0;
  while (size >= 3) {
    const auto from = static_cast<PortIndex>(data[0] % kPorts);
    now_ms += data[1] * 16u;
    const std::size_t length = std::min<std::size_t>(data[2], size - 3);
    const auto bytes = std::make_unique<std::uint8_t[]>(length);  // exact: reads beyond it are seen
    std::copy_n(data + 3, length, bytes.get());
    Buffer buffer;
    buffer.data = bytes.get();
    buffer.length = static_cast<std::uint32_t>(length);
    judge(*kBridge.members[0]->snapshot, fdb, parse({&buffer, buffer.length, from}), from, now_ms);
    data += 3 + length;
    size -= 3 + length;
  }
  return 0;
}
