// Capture files: what is written is read back, what others write is read, and a file that is cut
// short or says something wrong is an error, never a read past its end.
#include "control/observe/pcap.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "control/observe/hex.hpp"

namespace bulkhead::control {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes bytes_of(const std::string& hex) { return parse_hex(hex).value(); }
Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// What read_pcap() says is wrong; "" if nothing is.
std::string fault_of(const Bytes& file) {
  try {
    static_cast<void>(read_pcap(file));
    return "";
  } catch (const PcapError& error) {
    return error.what();
  }
}

std::vector<Bytes> frames_of(const Bytes& file) {
  std::vector<Bytes> frames;
  for (const auto& frame : read_pcap(file)) frames.emplace_back(frame.begin(), frame.end());
  return frames;
}

// Two frames, of 3 and 4 bytes.
const std::vector<Bytes> kFrames{{1, 2, 3}, {4, 5, 6, 7}};

Bytes classic_little() {
  return bytes_of(
      "d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000"
      "01000000 02000000 03000000 03000000 010203"
      "01000000 02000000 04000000 04000000 04050607");
}

Bytes classic_big_nanoseconds() {
  return bytes_of(
      "a1b23c4d 0002 0004 00000000 00000000 0000ffff 00000001"
      "00000001 00000002 00000003 00000003 010203"
      "00000001 00000002 00000004 00000004 04050607");
}

const Bytes kSectionBig =
    bytes_of("0a0d0d0a 0000001c 1a2b3c4d 0001 0000 ffffffffffffffff 0000001c");
const Bytes kInterfaceBig = bytes_of("00000001 00000014 0001 0000 00000000 00000014");

Bytes written() {
  PcapngWriter writer;
  std::string text = writer.header();
  text += writer.frame({"vm1", 1'700'000'000'123'456, 3, false, "reason=tagged"}, kFrames[0]);
  text += writer.frame({"vm2", 1'700'000'000'123'457, 4, true, "reason=too_big"}, kFrames[1]);
  return {text.begin(), text.end()};
}

TEST(Pcap, ReadsClassicFilesOfBothByteOrders) {
  EXPECT_EQ(frames_of(classic_little()), kFrames);
  EXPECT_EQ(frames_of(classic_big_nanoseconds()), kFrames);
}

TEST(Pcap, ReadsWhatItWrites) { EXPECT_EQ(frames_of(written()), kFrames); }

TEST(Pcap, WritesFrameAndNoteAsPcapngHasThem) {
  PcapngWriter writer;
  const std::string first = writer.frame({"p", 0x1'0000'0002, 3, true, "hi"}, kFrames[0]);
  const std::string second = writer.frame({"p", 0, 3, false, "hi"}, kFrames[0]);
  const Bytes interface = bytes_of(
      "01000000 20000000 0100 0000 00000000"
      "0200 0100 70 000000 0000 0000 20000000");
  const Bytes frame = bytes_of(
      "06000000 38000000 00000000 01000000 02000000 03000000 03000000 010203 00"
      "0100 0200 6869 0000 0200 0400 02000000 0000 0000 38000000");
  EXPECT_EQ(Bytes(first.begin(), first.end()), interface + frame);
  EXPECT_EQ(second.size(), frame.size()) << "an interface is described once";
}

TEST(Pcap, ReadsBigEndianSectionsAndSimpleAndObsoleteBlocks) {
  const Bytes simple = bytes_of("00000003 00000014 00000003 01020300 00000014");
  const Bytes obsolete =
      bytes_of("00000002 00000024 0000 0000 00000000 00000000 00000004 00000004 04050607 00000024");
  const Bytes unknown = bytes_of("00000bad 00000010 deadbeef 00000010");
  EXPECT_EQ(frames_of(kSectionBig + kInterfaceBig + unknown + simple + obsolete), kFrames);
  std::vector<Bytes> twice = kFrames;
  twice.insert(twice.end(), kFrames.begin(), kFrames.end());
  EXPECT_EQ(frames_of(kSectionBig + kInterfaceBig + simple + obsolete + written()), twice)
      << "a second section has its own byte order and interfaces";
}

TEST(Pcap, EmptyFilesHaveNoFrames) {
  const Bytes classic = classic_little();
  EXPECT_TRUE(read_pcap(Bytes(classic.begin(), classic.begin() + 24)).empty());
  EXPECT_TRUE(read_pcap(kSectionBig).empty());
}

TEST(Pcap, SaysWhatIsWrong) {
  EXPECT_EQ(fault_of({}), "no pcap or pcapng file");
  EXPECT_EQ(fault_of(bytes_of("ffffffffffff0200")), "no pcap or pcapng file");
  Bytes file = classic_little();
  file[20] = 101;
  EXPECT_EQ(fault_of(file), "frame 1 is of link type 101; only Ethernet (1) can be explained");
  file = classic_little();
  file[24 + 12] = 200;
  EXPECT_EQ(fault_of(file),
            "frame 1 was captured short, 3 of 200 bytes; capture whole frames (tcpdump -s 0)");
  file = classic_little();
  file[24 + 11] = 0xff;
  EXPECT_EQ(fault_of(file), "frame 1 is cut short");
  const Bytes simple = bytes_of("00000003 00000014 00000003 01020300 00000014");
  EXPECT_EQ(fault_of(kSectionBig + simple),
            "a frame is of interface 0, which is not described before it");
  EXPECT_EQ(fault_of(kSectionBig + bytes_of("00000005 00000008")), "a block has a length of 8");
  EXPECT_EQ(fault_of(kSectionBig + bytes_of("00000005 0000000e")), "a block has a length of 14");
  EXPECT_EQ(fault_of(kSectionBig + bytes_of("00000005 fffffffc 00000000")), "a block is cut short");
  EXPECT_EQ(fault_of(kSectionBig + bytes_of("00000005 0000000c 00000010")),
            "a block's two lengths differ");
  file = kSectionBig;
  file[8] = 0;
  EXPECT_EQ(fault_of(file), "a section header has no byte-order magic");
  Bytes too_long = kSectionBig + kInterfaceBig + simple;
  too_long[too_long.size() - 9] = 5;  // of a block that holds four
  EXPECT_EQ(fault_of(too_long), "frame 1 is cut short");
}

// Each in memory of its own, so that a read past its end is the sanitizer's to see.
TEST(Pcap, EveryTruncationIsAnErrorOrFewerFrames) {
  for (const Bytes& file : {classic_little(), classic_big_nanoseconds(), written()}) {
    std::size_t whole = 0;
    for (std::size_t size = 0; size < file.size(); ++size) {
      const Bytes part(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
      if (!fault_of(part).empty()) continue;
      ++whole;
      EXPECT_LT(read_pcap(part).size(), kFrames.size()) << size;
    }
    EXPECT_GE(whole, 2u) << "cut between two records it is a shorter file";
  }
}

TEST(Pcap, AnyByteMayBeAnything) {
  for (const Bytes& original : {classic_little(), classic_big_nanoseconds(), written()}) {
    for (std::size_t at = 0; at < original.size(); ++at) {
      for (const int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
        Bytes file = original;
        file[at] = static_cast<std::uint8_t>(value);
        EXPECT_EQ(fault_of(file).find('\n'), std::string::npos);
      }
    }
  }
}

TEST(Hex, IsReadAndWritten) {
  EXPECT_EQ(to_hex(Bytes{0x00, 0xab, 0xff}), "00abff");
  EXPECT_EQ(parse_hex("00:aB ff\n"), (Bytes{0x00, 0xab, 0xff}));
  EXPECT_EQ(parse_hex(""), Bytes{});
  EXPECT_FALSE(parse_hex("abc"));
  EXPECT_FALSE(parse_hex("0x00"));
}

}  // namespace
}  // namespace bulkhead::control
