#include "backends/device/offloads.hpp"

#include <net/if.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <vector>

#include "backends/device/link.hpp"
#include "backends/error.hpp"

namespace bulkhead {
namespace {

/// By the kernel's names (net/ethtool/common.c). Software GRO comes after native XDP and would hide
/// nothing; it is off as it is of no use, and so that nobody has to know that.
const std::vector<std::string> kHiding{
    "rx-vlan-hw-parse", "rx-vlan-stag-hw-parse", "rx-lro", "rx-gro-hw", "rx-gro",
};
/// Hides frames, not bytes: where a driver does not let it be switched off, it lifts the filter
/// itself while the device is promiscuous.
const std::vector<std::string> kFiltering{"rx-vlan-filter", "rx-vlan-stag-filter"};

constexpr const char* kNote = "offloads";

std::vector<std::string> read_note(const Pins& pins, int ifindex) {
  std::vector<std::string> names;
  std::istringstream words(pins.read(ifindex, kNote).value_or(""));
  for (std::string name; std::getline(words, name, ',');) names.push_back(name);
  return names;
}

void write_note(const Pins& pins, const std::string& device, int ifindex,
                const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  if (pins.write(ifindex, kNote, text)) return;
  throw BackendError("device " + device + ": cannot note in /sys/fs/bpf that " + text +
                     " was on, to put it back afterwards; switch it off yourself (ethtool -K)");
}

}  // namespace

void switch_offloads_off(const Pins& pins, const std::string& device, int ifindex) {
  std::vector<std::string> ours = kHiding;
  ours.insert(ours.end(), kFiltering.begin(), kFiltering.end());
  const std::vector<std::string> noted = read_note(pins, ifindex);
  std::vector<std::string> names = noted;
  for (const std::string& name : features_on(device, ours)) {
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  if (names != noted) write_note(pins, device, ifindex, names);
  request_features(device, kFiltering, false);
  switch_features_off(device, kHiding);
}

void keep_offloads_off(const std::string& device) { switch_features_off(device, kHiding); }

void put_offloads_back(const Pins& pins, int ifindex) {
  const std::vector<std::string> names = read_note(pins, ifindex);
  if (names.empty()) return;
  std::array<char, IF_NAMESIZE> device{};
  try {
    if (::if_indextoname(static_cast<unsigned>(ifindex), device.data()) != nullptr) {
      request_features(device.data(), names, true);
    }
  } catch (const BackendError&) {
    forget_offloads(pins, ifindex);
    throw;
  }
  forget_offloads(pins, ifindex);
}

void forget_offloads(const Pins& pins, int ifindex) { pins.remove(ifindex, kNote); }

}  // namespace bulkhead
