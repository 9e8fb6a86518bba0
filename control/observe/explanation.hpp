// Words for verdicts and frames: what `explain` and `monitor drop` say of them. Control thread.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "control/bridge/bridge.hpp"
#include "dataplane/commands.hpp"

namespace bulkhead::control {

inline constexpr std::size_t kExplainBytesMax = 65'536;

/// An address as inet_ntop(3) writes it.
[[nodiscard]] std::string ip_text(bool is_v6, IpAddress address);

/// A finished Explain in the shape of INTERFACE.md.
[[nodiscard]] nlohmann::json explanation_json(const Explain& explain, const Bridge& bridge);

/// What the port allows, for a log line of what it does not.
[[nodiscard]] std::string binding_text(const config::Port& port);

/// Adds to `json` what the first bytes of a frame of `length` say: addresses, ethertype, message.
void describe_head(nlohmann::json& json, std::span<const std::uint8_t> head, std::uint32_t length);

}  // namespace bulkhead::control
