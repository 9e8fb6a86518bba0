// What dataplane_bench and frame_cost measure: guests with bound MACs, an uplink that has learned
// addresses, and rounds of frames between them over a backend that does nothing.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "dataplane/decide.hpp"
#include "tests/harness/house.hpp"

namespace bulkhead {

inline constexpr HashKey kKey = test::kHouseKey;
inline constexpr std::uint32_t kFrameBytes = 64;
inline constexpr std::size_t kSamples = 4096;  // drawn before the clock starts

inline MacAddress guest_mac(std::uint64_t i) { return {0x5254'0000'0000 + i}; }
inline MacAddress learned_mac(std::uint64_t i) { return {0x0200'0000'0000 + i}; }
/// The IPv4 address of who has it: a guest's in 10.0.0.0/8, the others' in 2.0.0.0/8.
inline std::array<std::uint8_t, 4> ip_of(MacAddress mac) {
  const bool is_guest = mac.value >> 32 == 0x5254;
  return {is_guest ? std::uint8_t{10} : std::uint8_t{2}, static_cast<std::uint8_t>(mac.value >> 16),
          static_cast<std::uint8_t>(mac.value >> 8), static_cast<std::uint8_t>(mac.value)};
}

/// A UDP datagram of IPv4.
inline void write(std::uint8_t* bytes, MacAddress destination, MacAddress source) {
  for (int i = 0; i < 6; ++i) {
    bytes[i] = static_cast<std::uint8_t>(destination.value >> (40 - 8 * i));
    bytes[6 + i] = static_cast<std::uint8_t>(source.value >> (40 - 8 * i));
  }
  bytes[12] = 0x08;
  bytes[13] = 0x00;
  bytes[14] = 0x45;
  bytes[17] = kFrameBytes - 14;
  bytes[22] = 64;
  bytes[23] = 17;
  std::ranges::copy(ip_of(source), bytes + 26);
  std::ranges::copy(ip_of(destination), bytes + 30);
  bytes[34] = bytes[36] = 0x30;  // ports
  bytes[39] = kFrameBytes - 34;
}

/// Guests "0000" and so on with a MAC and an IPv4 address each, and behind them in order an uplink.
inline config::Config config_of(std::size_t guests) {
  config::Config config;
  for (std::size_t i = 0; i <= guests; ++i) {
    config::Port port;
    port.name = std::to_string(10'000 + i);  // in the order of their numbers
    port.trusted = i == guests;
    if (!port.trusted) {
      port.macs = {guest_mac(i)};
      config::InterfaceAddress address;
      std::ranges::copy(ip_of(guest_mac(i)), address.bytes.begin());
      address.prefix_length = 8;
      port.addresses = {address};
    }
    config.ports[port.name] = port;
  }
  config.segments["default"].mac_limit = 1'048'576;
  return config;
}

/// Ports 0 to guests - 1 are the guests; the last is the uplink, which has learned `learned`
/// addresses.
struct Guests : test::House {
  Guests(std::size_t guests, std::size_t learned, std::function<Backend*(BufferPool&)> backend = {})
      : test::House(config_of(guests), {.fdb_entries = std::max<std::size_t>(learned, 64),
                                        .chunks = 1024,
                                        .backend = std::move(backend)}),
        uplink(static_cast<PortIndex>(guests)) {
    Fdb& fdb = *members[0]->fdb;
    for (std::size_t i = 0; i < learned; ++i) {
      const MacTable::Hashed mac = fdb.hashed(snapshot(), uplink, learned_mac(i));
      const Fdb::Judgement taught = fdb.judge(snapshot(), uplink, mac, false, 0);
      fdb.learn(snapshot(), uplink, mac, false, taught.change, 0);
    }
  }
  [[nodiscard]] const Snapshot& snapshot() const { return *members[0]->snapshot; }
  [[nodiscard]] const Fdb& fdb() const { return *members[0]->fdb; }

  PortIndex uplink;
};

/// Hands out frames that stand ready, about one to or from each learned address, and takes every
/// frame.
class NullBackend : public Backend {
 public:
  NullBackend(BufferPool& pool, std::size_t guests, std::size_t learned)
      : pool_(pool), samples_(std::bit_ceil(std::max(kSamples, learned))) {
    std::mt19937_64 random(1);
    for (Sample& sample : samples_) {  // half from the uplink, half to it
      const auto guest = static_cast<PortIndex>(random() % guests);
      const MacAddress visitor = learned_mac(random() % learned);
      const bool out = random() % 2 == 0;
      sample.from = out ? guest : static_cast<PortIndex>(guests);
      write(sample.bytes.data(), out ? visitor : guest_mac(guest),
            out ? guest_mac(guest) : visitor);
    }
  }

  std::size_t receive(std::span<Frame> batch) override {
    for (Frame& frame : batch) {
      const Sample& sample = samples_[++next_ & (samples_.size() - 1)];
      Buffer* buffer = pool_.take();
      buffer->data = pool_.start_of(buffer->chunk);
      std::memcpy(buffer->data, sample.bytes.data(), kFrameBytes);
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
  std::vector<Sample> samples_;
  std::size_t next_ = 0;
};

/// A worker with such ports; half of the frames are from the uplink and half to it.
class Rounds {
 public:
  Rounds(std::size_t ports, std::size_t addresses)
      : guests_(ports - 1, addresses, [&](BufferPool& pool) {
          backend_ = std::make_unique<NullBackend>(pool, ports - 1, addresses);
          return backend_.get();
        }) {}

  /// One round of kBatchFrames, so many a millisecond as at 6.4 million frames a second.
  void run() { guests_.members[0]->worker->round(1 + ++rounds_ / 100); }
  /// Frames until now.
  [[nodiscard]] std::uint64_t sent() {
    std::uint64_t frames = 0;
    for (PortIndex port = 0; port <= guests_.uplink; ++port) {
      frames += guests_.members[0]->worker->forwarder().counters(port).sent;
    }
    return frames;
  }

 private:
  std::unique_ptr<NullBackend> backend_;
  Guests guests_;
  std::uint32_t rounds_ = 0;
};

}  // namespace bulkhead
