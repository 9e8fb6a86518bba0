// What a frame costs in the pure switch: parse, look-up, decide, and a whole round over a backend
// that does nothing. One iteration is one frame (forward: one batch of 64; a_frame is its share).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "bench/guests.hpp"

namespace bulkhead {
namespace {

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
  constexpr std::size_t kAsked = 1 << 16;
  std::vector<MacAddress> asked(kAsked);
  for (MacAddress& mac : asked) {
    mac = learned_mac(random() % entries + (state.range(1) != 0 ? 0 : entries));
  }
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(table.find(asked[++i % kAsked], 0));
}
BENCHMARK(bm_look_up)
    ->ArgNames({"addresses", "hit"})
    ->ArgsProduct({{1'000, 64'000, 1'000'000}, {1, 0}});

[[gnu::flatten]] void run_decide(benchmark::State& state, const Guests& house,
                                 const std::vector<Parsed>& frames,
                                 const std::vector<PortIndex>& from) {
  std::size_t i = 0;
  const Limiter limiter;
  const Claims claims;
  for (auto _ : state) {
    const std::size_t at = ++i % frames.size();
    benchmark::DoNotOptimize(
        decide(house.snapshot(), {house.fdb(), limiter, claims}, frames[at], from[at], 1));
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
  const Guests house(ports, 0);
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
  const Guests house(ports, learned);
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
[[gnu::flatten]] void bm_frame(benchmark::State& state) {
  constexpr std::size_t kGuests = 64;
  const auto count = static_cast<std::size_t>(state.range(0));
  const bool is_v6 = state.range(1) != 0;
  const std::size_t macs = std::max<std::size_t>(count, 1);
  config::Config config;
  for (std::size_t guest = 0; guest < kGuests; ++guest) {
    config::Port port;
    port.name = std::to_string(10'000 + guest);  // in the order of their numbers
    port.any_ip = count == 0;
    for (std::size_t i = 0; i < macs; ++i) port.macs.push_back(guest_mac(guest * 256 + i));
    for (std::size_t i = 0; i < count; ++i) {
      port.addresses.push_back(address_of(false, guest, i));
      port.addresses.push_back(address_of(true, guest, i));
    }
    config.ports[port.name] = port;
  }
  config.segments["default"];
  const test::House house(config);
  const Snapshot& snapshot = *house.members[0]->snapshot;
  const Fdb& fdb = *house.members[0]->fdb;
  const Limiter limiter;
  const Claims claims;
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
    const Verdict verdict = decide(snapshot, {fdb, limiter, claims}, parsed, from[at], 1);
    passed += verdict.kind == Verdict::Kind::unicast ? 1 : 0;
    benchmark::DoNotOptimize(verdict);
  }
  if (passed != i) state.SkipWithError("frames were dropped");
}
BENCHMARK(bm_frame)->ArgNames({"addresses", "v6"})->ArgsProduct({{0, 1, 64}, {0, 1}});

/// A round of 64 frames, half from the uplink and half to it. Arguments: ports; addresses.
void bm_forward(benchmark::State& state) {
  Rounds rounds(static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)));
  for (auto _ : state) rounds.run();
  state.counters["a_frame"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * kBatchFrames,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  if (rounds.sent() != static_cast<std::uint64_t>(state.iterations()) * kBatchFrames) {
    state.SkipWithError("frames were dropped");
  }
}
BENCHMARK(bm_forward)
    ->ArgNames({"ports", "addresses"})
    // What plot.py draws: by ports, with as many addresses each; by addresses, with few and many.
    ->Args({2, 1})
    ->ArgsProduct({{2, 16, 64, 256, 1024}, {1'000}})
    ->ArgsProduct({{2, 1024}, {16'384, 65'536, 262'144, 1'000'000}});

}  // namespace
}  // namespace bulkhead
