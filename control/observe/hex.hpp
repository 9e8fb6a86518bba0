// Bytes as hexadecimal text, which is how frames travel in JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::control {

[[nodiscard]] std::string to_hex(std::span<const std::uint8_t> bytes);

/// White space and colons between digits are skipped; nothing if anything else is there.
[[nodiscard]] std::optional<std::vector<std::uint8_t>> parse_hex(std::string_view text);

}  // namespace bulkhead::control
