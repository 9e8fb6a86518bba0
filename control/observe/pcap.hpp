// Capture files: reads pcap and pcapng for `explain --pcap`, writes pcapng for `capture`.
//
// Formats: IETF drafts opsawg-pcap and opsawg-pcapng. The reader takes files of any byte order and
// looks at no byte that it has not checked to be there; what it does not know it skips, if the
// format says how long that is. It allocates nothing that the file's size does not bound.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace bulkhead::control {

inline constexpr std::size_t kPcapBytesMax = 64 << 20;

/// A file that cannot be used. what() says why, in one line, without the file's name.
class PcapError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The whole Ethernet frames of a file, in order, as parts of `file`. Throws PcapError; also if
/// there is a frame of another link type, or one that was cut short when it was captured.
[[nodiscard]] std::vector<std::span<const std::uint8_t>> read_pcap(
    std::span<const std::uint8_t> file);

/// What stands beside a frame in the file.
struct PcapNote {
  std::string interface;
  std::uint64_t time_us = 0;  // since 1970
  std::uint32_t length = 0;   // of the frame, which may be more than was captured
  bool outbound = false;
  std::string comment;
};

/// Makes a pcapng file, piece by piece: each is whole blocks, to be written one after the other, so
/// that the file is right after every one of them.
class PcapngWriter {
 public:
  /// The file's beginning.
  [[nodiscard]] std::string header() const;
  /// One frame, behind the description of its interface if that is new.
  [[nodiscard]] std::string frame(const PcapNote& note, std::span<const std::uint8_t> bytes);

 private:
  std::map<std::string, std::uint32_t> interfaces_;
};

}  // namespace bulkhead::control
