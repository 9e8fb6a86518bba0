// A long answer, made in pieces: the next one when the client has read the one before. Between two
// pieces others have their turn, and a client that does not read costs one piece of memory, however
// long its answer is. Control thread only.
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

namespace bulkhead::control {

struct LongAnswer {
  static constexpr std::size_t kRowsPerPiece = 64;
  static constexpr std::size_t kPortsPerPiece = 16;  // what is said of a port takes up to 6 kB

  enum class Kind { list, text };
  Kind kind = Kind::list;
  /// The next rows (an array, maybe an empty one) or lines (a string); nothing at the end. It holds
  /// a place to go on from and nothing of the answer: what changes meanwhile shows, or not. Throws
  /// what a method throws.
  std::function<std::optional<nlohmann::json>()> next;
};

}  // namespace bulkhead::control
