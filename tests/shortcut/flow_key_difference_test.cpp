// The difference: the program in the kernel computes the same key of the same bytes as flow_key().
//
// Feeds both the corpus, every length of some frames, and random frames that are sound or nearly.
// Needs the right to load BPF programs; without it the test fails, unless BULKHEAD_ALLOW_SKIP=1.
// BULKHEAD_SEED names another beginning.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "dataplane/flow_key.hpp"
#include "flow_key.skel.h"
#include "tests/property/draw_packet.hpp"
#include "tests/unit/corpus.hpp"

namespace bulkhead {
namespace {

using test::Bytes;
using test::Dice;
using test::put;

/// The kernel runs no program on less, nor on half an IP header (net/bpf/test_run.c,
/// bpf_prog_test_run_skb()).
constexpr std::size_t kFrameBytesMin = 15;
bool is_run(const Bytes& bytes) {
  if (bytes.size() < kFrameBytesMin) return false;
  const int type = bytes[12] << 8 | bytes[13];
  return bytes.size() >= (type == test::kIpv4 ? 34u : type == test::kIpv6 ? 54u : kFrameBytesMin);
}
constexpr std::size_t kRandomFrames = 100'000;

/// The kernel's side.
class Program {
 public:
  Program() : skeleton_(flow_key_bpf__open_and_load()) {}
  ~Program() { flow_key_bpf__destroy(skeleton_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  [[nodiscard]] bool is_loaded() const { return skeleton_ != nullptr; }
  [[nodiscard]] std::optional<FlowKey> key_of(const Bytes& bytes) const {
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = bytes.data();
    options.data_size_in = static_cast<std::uint32_t>(bytes.size());
    const int error =
        bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.flow_key_of), &options);
    EXPECT_EQ(error, 0) << "the kernel does not run it on " << bytes.size() << " bytes";
    if (error != 0 || options.retval == 0) return std::nullopt;
    FlowKey key;
    std::ranges::copy(skeleton_->bss->key_of_frame, key.words.begin());
    return key;
  }

 private:
  flow_key_bpf* skeleton_;
};

std::optional<FlowKey> workers_key_of(const Bytes& bytes) {
  Bytes copy = bytes;
  Buffer buffer;
  buffer.data = copy.data();
  buffer.length = static_cast<std::uint32_t>(copy.size());
  return flow_key(parse({&buffer, buffer.length, 0}));
}

std::string to_text(const Bytes& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte / 16];
    text += kDigits[byte % 16];
  }
  return text;
}

std::string to_text(const std::optional<FlowKey>& key) {
  if (!key) return "none";
  std::string text;
  for (const std::uint64_t word : key->words) {
    Bytes bytes(8);
    put(bytes, 0, word, 8);
    text += ' ' + to_text(bytes);
  }
  return text;
}

/// A frame that has a key: of a kind, and with something behind it.
Bytes draw_sound_frame(Dice& dice) {
  const bool is_v6 = dice.chance(50);
  const std::size_t upper = is_v6 ? 54 : 34;
  const std::size_t payload = 20 + dice.roll(40);
  Bytes bytes(upper + payload);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(dice.roll(256));
  }
  bytes[0] = static_cast<std::uint8_t>(bytes[0] & 0xfeu);
  put(bytes, 12, is_v6 ? 0x86dd : 0x0800, 2);
  const auto icmp = static_cast<std::uint64_t>(is_v6 ? 58 : 1);
  const auto protocol = dice.pick<std::uint64_t>({6, 17, icmp});
  if (is_v6) {
    put(bytes, 14, 0x60 | dice.roll(16), 1);
    put(bytes, 18, payload, 2);
    put(bytes, 20, protocol, 1);
    put(bytes, 22, dice.pick<std::uint64_t>({0x2001, 0xfd00, 0xfe80, 0xfec0, 0xfebf, 0}), 2);
  } else {
    put(bytes, 14, 0x45, 1);
    put(bytes, 16, 20 + payload, 2);
    put(bytes, 20, dice.pick<std::uint64_t>({0, 0x4000}), 2);
    put(bytes, 23, protocol, 1);
  }
  if (protocol == icmp) {
    bytes[upper] = is_v6 ? static_cast<std::uint8_t>(128 + dice.roll(2))
                         : static_cast<std::uint8_t>(dice.roll(2) * 8);
  }
  if (protocol == 17 && dice.chance(30)) {
    put(bytes, upper + 2,
        dice.pick<std::uint64_t>(
            {66, 67, 68, 69, 545, 546, 547, 519, 520, 521, 522, 1985, 2029, 3222, 53}),
        2);
  }
  return bytes;
}

Bytes draw_frame(Dice& dice) {
  Bytes bytes;
  if (dice.chance(60)) {
    bytes = draw_sound_frame(dice);
  } else {
    const auto one = static_cast<std::uint8_t>(dice.roll(4));
    const Bytes link_local{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, one};
    const Bytes global{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, one};
    bytes = test::draw_packet({test::mac('a'),
                               test::mac('b'),
                               test::mac('c'),
                               {10, 0, 0, one},
                               {10, 0, 0, 7},
                               dice.chance(20) ? link_local : global,
                               global},
                              dice);
  }
  if (dice.chance(20)) bytes.resize(bytes.size() + dice.roll(50));  // padding
  for (std::size_t changes = dice.chance(40) ? 1 + dice.roll(3) : 0; changes > 0; --changes) {
    // Mostly of the headers, where it matters.
    const std::size_t range =
        dice.chance(80) ? std::min<std::size_t>(bytes.size(), 62) : bytes.size();
    std::uint8_t& byte = bytes[dice.roll(range)];
    byte = static_cast<std::uint8_t>(dice.chance(50) ? dice.roll(256) : byte ^ 1u << dice.roll(8));
  }
  if (dice.chance(20)) bytes.resize(dice.roll(bytes.size() + 1));
  if (bytes.size() < kFrameBytesMin) bytes.resize(kFrameBytesMin);
  return bytes;
}

class FlowKeyDifference : public ::testing::Test {
 protected:
  void SetUp() override {
    if (program_.is_loaded()) return;
    const char* skip = std::getenv("BULKHEAD_ALLOW_SKIP");
    if (skip != nullptr && std::strcmp(skip, "1") == 0) GTEST_SKIP() << "no BPF here";
    FAIL() << "cannot load a BPF program: run it as root, or with BULKHEAD_ALLOW_SKIP=1";
  }
  /// Says whether both have the same. Counts those with a key. What the kernel does not run has
  /// none.
  bool agree(const Bytes& bytes) {
    const auto expected = workers_key_of(bytes);
    if (!is_run(bytes)) {
      EXPECT_EQ(to_text(expected), "none") << to_text(bytes);
      return !expected;
    }
    const auto found = program_.key_of(bytes);
    if (expected) ++with_key_;
    EXPECT_EQ(to_text(found), to_text(expected)) << to_text(bytes);
    return found == expected;
  }

  Program program_;
  std::size_t with_key_ = 0;
};

TEST_F(FlowKeyDifference, OfTheCorpus) {
  std::size_t frames = 0;
  for (const test::Case& a_case : test::corpus()) {
    if (a_case.bytes.size() < kFrameBytesMin) continue;
    ++frames;
    EXPECT_TRUE(agree(a_case.bytes)) << a_case.name;
  }
  EXPECT_GE(frames, 100u);
  EXPECT_GE(with_key_, 5u);
}

TEST_F(FlowKeyDifference, OfEveryLength) {
  Dice dice(1);
  for (int i = 0; i < 60; ++i) {
    const Bytes whole = draw_sound_frame(dice);
    for (std::size_t length = kFrameBytesMin; length <= whole.size(); ++length) {
      Bytes bytes(whole.begin(), whole.begin() + static_cast<long>(length));
      ASSERT_TRUE(agree(bytes));  // its header promises more
      const bool is_v6 = bytes[12] == 0x86;
      if (length < (is_v6 ? 54u : 34u)) continue;
      put(bytes, is_v6 ? 18 : 16, length - (is_v6 ? 54 : 14), 2);
      ASSERT_TRUE(agree(bytes));
      bytes.resize(bytes.size() + 60);  // the same, padded
      ASSERT_TRUE(agree(bytes));
    }
  }
}

TEST_F(FlowKeyDifference, OfRandomFrames) {
  const char* seed = std::getenv("BULKHEAD_SEED");
  Dice dice(seed == nullptr ? 1 : std::strtoull(seed, nullptr, 0));
  for (std::size_t i = 0; i < kRandomFrames; ++i) ASSERT_TRUE(agree(draw_frame(dice))) << i;
  EXPECT_GE(with_key_, kRandomFrames / 10);
  EXPECT_LE(with_key_, kRandomFrames * 9 / 10);
}

}  // namespace
}  // namespace bulkhead
