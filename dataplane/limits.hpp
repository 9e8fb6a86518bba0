// Every limit of the dataplane, by name. Nothing here grows while the bridge runs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bulkhead {

/// A port's place in the snapshot and in every per-port array; also, plus one, the VLAN ID of the
/// tag that names it on the conduit, hence fewer than 4094 of them.
using PortIndex = std::uint16_t;
using SegmentIndex = std::uint16_t;

inline constexpr PortIndex kNoPort = 0xffff;
inline constexpr std::size_t kPortsMax = 2048;  // indices; twice the ports of a configuration, as
                                                // an index rests until its addresses are flushed
inline constexpr std::size_t kSegmentsMax = 2048;
inline constexpr std::uint32_t kWorkersMax = 16;     // a power of two
inline constexpr std::size_t kBatchFrames = 64;      // frames a backend hands over at most at once
inline constexpr std::size_t kCommandsPerRound = 8;  // mailbox commands a round
inline constexpr std::uint8_t kMovesPerSweep = 5;    // moves of one MAC between two sweeps (1 s)
inline constexpr std::size_t kClaimsMax = 16;  // link-local addresses a guest may claim at once
inline constexpr std::uint32_t kSweepMilliseconds = 1000;
inline constexpr std::uint32_t kSweepBucketsPerRound = 512;
inline constexpr std::uint32_t kCopiesPerRound = 256;  // ports copied a round
// Table buckets that a command looks at a round, one cache line each: some 10 µs, beside which a
// round with frames takes ten times as long. So a command gets through a table of a million
// addresses within 1,024 rounds, however busy the worker is.
inline constexpr std::uint32_t kTableBucketsPerRound = 2048;
// Table buckets whose entries move to another table a round: some 400 entries, 30 µs.
inline constexpr std::uint32_t kMovedBucketsPerRound = 1024;

}  // namespace bulkhead
