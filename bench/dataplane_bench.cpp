// What a frame costs in the pure switch: parse, look-up, decide, and a whole round over a backend
// that does nothing. One iteration is one frame (forward: one batch of 64; a_frame is its share).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "control/compile.hpp"
#include "dataplane/decide.hpp"
#include "dataplane/worker.hpp"

namespace bulkhead {
namespace {

constexpr HashKey kKey{{0x9e37'79b9'7f4a'7c15, 0xd1b5'4a32'd192'ed03}};
constexpr std::uint32_t kFrameBytes = 64;
constexpr std::size_t kSamples = 4096;  // drawn before the clock starts

MacAddress guest_mac(std::uint64_t i) { return {0x5254'0000'0000 + i}; }
MacAddress learned_mac(std::uint64_t i) { return {0x0200'0000'0000 + i}; }

void write(std::uint8_t* bytes, MacAddress destination, MacAddress source) {
  for (int i = 0; i < 6; ++i) {
    bytes[i] = static_cast<std::uint8_t>(destination.value >> (40 - 8 * i));
    bytes[6 + i] = static_cast<std::uint8_t>(source.value >> (40 - 8 * i));
  }
  bytes[12] = 0x08;
  bytes[13] = 0x00;
  bytes[14] = 0x45;  // IPv4, of an experimental protocol
  bytes[17] = kFrameBytes - 14;
  bytes[23] = 253;
  bytes[26] = bytes[30] = 10;
  bytes[27] = bytes[31] = 9;
}

/// Ports 0 to guests - 1 are bound guests; the last is an uplink that has learned `learned`
/// addresses.
struct House {
  House(std::size_t guests, std::size_t learned) : fdb(std::max<std::size_t>(learned, 64), kKey) {
    config::Config config;
    std::map<std::string, control::Site> sites;
    for (std::size_t i = 0; i <= guests; ++i) {
      config::Port port;
      port.name = std::to_string(i);
      port.any_ip = true;
      port.trusted = i == guests;
      if (!port.trusted) port.macs = {guest_mac(i)};
      sites[port.name] = {static_cast<PortIndex>(i), 0, true, 1500};
      config.ports[port.name] = port;
    }
    config.segments["default"].mac_limit = 1'048'576;
    snapshot = control::compile(config, sites, {{"default", 0}}, kKey);
    uplink = static_cast<PortIndex>(guests);
    for (std::size_t i = 0; i < learned; ++i) {
      const Fdb::Judgement taught = fdb.judge(*snapshot, uplink, learned_mac(i), false, 0);
      fdb.learn(*snapshot, uplink, learned_mac(i), false, taught.change, 0);
    }
  }

  std::unique_ptr<Snapshot> snapshot;
  Fdb fdb;
  PortIndex uplink;
};

void bm_parse(benchmark::State& state) {
  std::vector<std::uint8_t> memory(kSamples * kFrameBytes);
  std::vector<Buffer> buffers(kSamples);
  for (std::size_t i = 0; i < kSamples; ++i) {
    buffers[i].data = memory.data() + i * kFrameBytes;
    buffers[i].length = kFrameBytes;
    write(buffers[i].data, guest_mac(i), guest_mac(i + 1));
  }
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(parse({&buffers[++i % kSamples], kFrameBytes, 0}));
  }
}
BENCHMARK(bm_parse);

/// Arguments: addresses in the table; whether those asked for are in it.
void bm_look_up(benchmark::State& state) {
  const auto entries = static_cast<std::uint64_t>(state.range(0));
  MacTable table(entries, kKey);
  for (std::uint64_t i = 0; i < entries; ++i) table.insert(learned_mac(i), 0);
  std::mt19937_64 random(1);
  std::vector<MacAddress> asked(1 << 16);
  for (MacAddress& mac : asked) {
    mac = learned_mac(random() % entries + (state.range(1) != 0 ? 0 : entries));
  }
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(table.find(asked[++i % asked.size()], 0));
}
BENCHMARK(bm_look_up)
    ->ArgNames({"addresses", "hit"})
    ->ArgsProduct({{1'000, 64'000, 1'000'000}, {1, 0}});

void run_decide(benchmark::State& state, const House& house, const std::vector<Parsed>& frames,
                const std::vector<PortIndex>& from) {
  std::size_t i = 0;
  const Limiter limiter;
  for (auto _ : state) {
    const std::size_t at = ++i % frames.size();
    benchmark::DoNotOptimize(
        decide(*house.snapshot, {house.fdb, limiter}, frames[at], from[at], 1));
  }
}

Parsed parsed_of(MacAddress destination, MacAddress source) {
  std::array<std::uint8_t, kFrameBytes> bytes{};
  write(bytes.data(), destination, source);
  Buffer buffer;
  buffer.data = bytes.data();
  buffer.length = kFrameBytes;
  return parse({&buffer, kFrameBytes, 0});
}

/// Guest to guest, both bound. Argument: ports.
void bm_decide_bound(benchmark::State& state) {
  const auto ports = static_cast<std::size_t>(state.range(0));
  const House house(ports, 0);
  std::mt19937_64 random(1);
  std::vector<Parsed> frames(kSamples);
  std::vector<PortIndex> from(kSamples);
  for (std::size_t i = 0; i < kSamples; ++i) {
    from[i] = static_cast<PortIndex>(random() % ports);
    const std::size_t to = (from[i] + 1 + random() % (ports - 1)) % ports;
    frames[i] = parsed_of(guest_mac(to), guest_mac(from[i]));
  }
  run_decide(state, house, frames, from);
}
BENCHMARK(bm_decide_bound)->ArgName("ports")->Arg(2)->Arg(1023);

/// Uplink to guest, from learned addresses. Arguments: ports; addresses.
void bm_decide_learned(benchmark::State& state) {
  const auto ports = static_cast<std::size_t>(state.range(0)) - 1;
  const auto learned = static_cast<std::size_t>(state.range(1));
  const House house(ports, learned);
  std::mt19937_64 random(1);
  std::vector<Parsed> frames(kSamples);
  for (Parsed& frame : frames) {
    frame = parsed_of(guest_mac(random() % ports), learned_mac(random() % learned));
  }
  run_decide(state, house, frames, std::vector<PortIndex>(kSamples, house.uplink));
}
BENCHMARK(bm_decide_learned)->ArgNames({"ports", "addresses"})->Args({2, 1})->Args({1024, 65'536});

config::InterfaceAddress address_of(bool is_v6, std::size_t guest, std::size_t i) {
  config::InterfaceAddress address;
  address.is_v6 = is_v6;
  address.bytes = is_v6 ? std::array<std::uint8_t, 16>{0xfd} : std::array<std::uint8_t, 16>{10};
  const std::size_t last = is_v6 ? 15 : 3;
  address.bytes[last] = static_cast<std::uint8_t>(i + 1);
  address.bytes[last - 1] = static_cast<std::uint8_t>(guest);
  address.prefix_length = is_v6 ? 64 : 16;
  return address;
}

/// parse() and decide() of a frame between 64 guests. Arguments: what each has of MACs, IPv4 and
/// IPv6 addresses (0: one MAC and ip = "any"); whether the frames are IPv6.
void bm_frame(benchmark::State& state) {
  constexpr std::size_t kGuests = 64;
  const auto count = static_cast<std::size_t>(state.range(0));
  const bool is_v6 = state.range(1) != 0;
  const std::size_t macs = std::max<std::size_t>(count, 1);
  config::Config config;
  std::map<std::string, control::Site> sites;
  for (std::size_t guest = 0; guest < kGuests; ++guest) {
    config::Port port;
    port.name = std::to_string(guest);
    port.any_ip = count == 0;
    for (std::size_t i = 0; i < macs; ++i) port.macs.push_back(guest_mac(guest * 256 + i));
    for (std::size_t i = 0; i < count; ++i) {
      port.addresses.push_back(address_of(false, guest, i));
      port.addresses.push_back(address_of(true, guest, i));
    }
    sites[port.name] = {static_cast<PortIndex>(guest), 0, true, 1500};
    config.ports[port.name] = port;
  }
  config.segments["default"];
  const auto snapshot = control::compile(config, sites, {{"default", 0}}, kKey);
  const Fdb fdb(64, kKey);
  const Limiter limiter;
  std::mt19937_64 random(1);
  std::vector<std::uint8_t> memory(kSamples * kFrameBytes);
  std::vector<Buffer> buffers(kSamples);
  std::vector<PortIndex> from(kSamples);
  for (std::size_t i = 0; i < kSamples; ++i) {
    const std::size_t one = random() % kGuests;
    const std::size_t other = (one + 1 + random() % (kGuests - 1)) % kGuests;
    std::uint8_t* bytes = memory.data() + i * kFrameBytes;
    write(bytes, guest_mac(other * 256 + random() % macs), guest_mac(one * 256 + random() % macs));
    const std::size_t octets = is_v6 ? 16 : 4;
    std::uint8_t* sender = bytes + (is_v6 ? 22 : 26);
    if (is_v6) {
      const std::array<std::uint8_t, 10> header{0x86, 0xdd, 0x60, 0, 0, 0, 0, 10, 59, 64};
      std::copy(header.begin(), header.end(), bytes + 12);
    }
    const auto source = address_of(is_v6, one, random() % macs);
    const auto destination = address_of(is_v6, other, random() % macs);
    std::copy_n(source.bytes.begin(), octets, sender);
    std::copy_n(destination.bytes.begin(), octets, sender + octets);
    buffers[i].data = bytes;
    buffers[i].length = kFrameBytes;
    from[i] = static_cast<PortIndex>(one);
  }
  std::size_t i = 0;
  std::size_t passed = 0;
  for (auto _ : state) {
    const std::size_t at = ++i % kSamples;
    const Parsed parsed = parse({&buffers[at], kFrameBytes, from[at]});
    const Verdict verdict = decide(*snapshot, {fdb, limiter}, parsed, from[at], 1);
    passed += verdict.kind == Verdict::Kind::unicast ? 1 : 0;
    benchmark::DoNotOptimize(verdict);
  }
  if (passed != i) state.SkipWithError("frames were dropped");
}
BENCHMARK(bm_frame)->ArgNames({"addresses", "v6"})->ArgsProduct({{0, 1, 64}, {0, 1}});

/// Hands out frames that stand ready, and takes every frame.
class NullBackend : public Backend {
 public:
  NullBackend(BufferPool& pool, const House& house, std::size_t guests, std::size_t learned)
      : pool_(pool) {
    std::mt19937_64 random(1);
    for (Sample& sample : samples_) {  // half from the uplink, half to it
      const auto guest = static_cast<PortIndex>(random() % guests);
      const MacAddress visitor = learned_mac(random() % learned);
      const bool out = random() % 2 == 0;
      sample.from = out ? guest : house.uplink;
      write(sample.bytes.data(), out ? visitor : guest_mac(guest),
            out ? guest_mac(guest) : visitor);
    }
  }

  std::size_t receive(std::span<Frame> batch) override {
    for (Frame& frame : batch) {
      const Sample& sample = samples_[++next_ % kSamples];
      Buffer* buffer = pool_.take();
      buffer->data = pool_.start_of(buffer->chunk);
      std::copy(sample.bytes.begin(), sample.bytes.end(), buffer->data);
      buffer->length = kFrameBytes;
      frame = {buffer, kFrameBytes, sample.from};
    }
    return batch.size();
  }
  std::size_t send(PortIndex, std::span<const Frame> frames) override {
    for (const Frame& frame : frames) pool_.release(frame.head);
    return frames.size();
  }
  bool settle() override { return false; }
  void plug(PortIndex, Attachment*) override {}
  Attachment* unplug(PortIndex) override { return nullptr; }

 private:
  struct Sample {
    std::array<std::uint8_t, kFrameBytes> bytes{};
    PortIndex from = 0;
  };
  BufferPool& pool_;
  std::vector<Sample> samples_ = std::vector<Sample>(kSamples);
  std::size_t next_ = 0;
};

/// A round of 64 frames, half from the uplink and half to it. Arguments: ports; addresses.
void bm_forward(benchmark::State& state) {
  const auto guests = static_cast<std::size_t>(state.range(0)) - 1;
  const auto learned = static_cast<std::size_t>(state.range(1));
  House house(guests, learned);
  std::vector<std::uint8_t> memory(std::size_t{1024} * 2048);
  BufferPool pool(memory, 2048);
  NullBackend backend(pool, house, guests, learned);
  const auto mailbox = std::make_unique<Mailbox>();
  Worker worker(pool, {&backend}, *mailbox, house.snapshot.get(), &house.fdb);
  for (auto _ : state) worker.round(1);
  state.counters["a_frame"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * kBatchFrames,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  std::uint64_t sent = 0;
  for (PortIndex port = 0; port <= house.uplink; ++port) {
    sent += worker.forwarder().counters(port).sent;
  }
  if (sent != static_cast<std::uint64_t>(state.iterations()) * kBatchFrames) {
    state.SkipWithError("frames were dropped");
  }
}
BENCHMARK(bm_forward)->ArgNames({"ports", "addresses"})->Args({2, 1})->Args({1024, 65'536});

}  // namespace
}  // namespace bulkhead
