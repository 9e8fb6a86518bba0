// The reasons of drop_reasons.def as an enum, and their names and help as text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace bulkhead {

enum class DropReason : std::uint8_t {
#define DROP_REASON(name, help) name,
#include "dataplane/drop_reasons.def"
#undef DROP_REASON
};

struct DropReasonText {
  std::string_view name;
  std::string_view help;
};

inline constexpr std::array kDropReasons{
#define DROP_REASON(name, help) DropReasonText{#name, help},
#include "dataplane/drop_reasons.def"
#undef DROP_REASON
};

inline constexpr std::size_t kDropReasonCount = kDropReasons.size();

/// A reason to drop, or none: as std::optional<DropReason>, in one byte, which every check returns.
class Refusal {
 public:
  constexpr Refusal() = default;
  constexpr Refusal(DropReason reason) : value_(static_cast<std::uint8_t>(reason)) {}
  constexpr explicit operator bool() const { return value_ != kNone; }
  constexpr DropReason operator*() const { return static_cast<DropReason>(value_); }
  constexpr bool operator==(const Refusal&) const = default;

 private:
  static constexpr std::uint8_t kNone = kDropReasonCount;
  std::uint8_t value_ = kNone;
};
inline constexpr Refusal kPassed;

constexpr std::size_t index_of(DropReason reason) { return static_cast<std::size_t>(reason); }
constexpr std::string_view name_of(DropReason reason) {
  return kDropReasons[index_of(reason)].name;
}

}  // namespace bulkhead
