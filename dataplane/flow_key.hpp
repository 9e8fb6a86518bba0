// What two frames must share to get the same verdict: what the kernel may repeat a verdict by.
//
// The law: frames with the same key, from the same port, no longer than its entry says, get the
// same verdict of the same snapshot and the same tables. So the key has every byte that decide()
// reads of such a frame, and what decide() reads beyond it has no key: tags, fragments, IPv4
// options, IPv6 extension headers, all protocols but TCP, UDP and echoes of ICMP, UDP ports that
// mean something to a check, group destinations, and link-local sources (which may be claims).
// Caches elsewhere left bytes out that the verdict had read (CVE-2023-1668, CVE-2023-5366).
//
// The ports' tc programs compute the same from the same bytes (backends/shortcut/shortcut.bpf.h); a
// differential test compares the two. Pure; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/flow_entry.h"
#include "dataplane/parse.hpp"

namespace bulkhead {

struct FlowKey {
  std::array<std::uint64_t, BULKHEAD_FLOW_WORDS> words{};

  /// As the ingress port sees it: from a trusted port the source address says nothing.
  [[nodiscard]] FlowKey from(PortIndex port, bool any_source) const {
    FlowKey key = *this;
    key.words[0] |= port;
    if (any_source) key.words[2] = key.words[3] = 0;
    return key;
  }
  /// As an entry to a trusted port has it: there the destination address says nothing.
  [[nodiscard]] FlowKey to_any_destination() const {
    FlowKey key = *this;
    key.words[0] |= BULKHEAD_FLOW_ANY_DESTINATION;
    key.words[4] = key.words[5] = 0;
    return key;
  }
  bool operator==(const FlowKey&) const = default;
};

/// Why a frame has no key, for `explain`; nothing if it has one.
enum class Keyless : std::uint8_t {
#define KEYLESS(name, text) name,
#include "dataplane/keyless.def"
#undef KEYLESS
};

[[nodiscard]] std::optional<Keyless> keyless(const Parsed& frame);

/// The key of a frame, without its port; nothing if it has none.
[[nodiscard]] std::optional<FlowKey> flow_key(const Parsed& frame);

}  // namespace bulkhead
