#include "backends/device/offloads.hpp"

#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <sstream>
#include <vector>

#include "backends/device/guard.hpp"
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

/// The note: a symbolic link, the one thing in the BPF file system that holds text.
std::string note_path(const std::string& directory, int ifindex) {
  return directory + "/" + std::to_string(ifindex) + "_offloads";
}

std::vector<std::string> read_note(int ifindex) {
  const std::string directory = Guard::directory();
  std::array<char, PATH_MAX> text{};
  const ssize_t length = directory.empty() ? -1
                                           : ::readlink(note_path(directory, ifindex).c_str(),
                                                        text.data(), text.size());
  std::vector<std::string> names;
  std::istringstream words(
      std::string(text.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0))));
  for (std::string name; std::getline(words, name, ',');) names.push_back(name);
  return names;
}

void write_note(const std::string& device, int ifindex, const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  const std::string directory = Guard::directory();
  const std::string path = note_path(directory, ifindex);
  const std::string fresh = path + "_new";
  ::unlink(fresh.c_str());
  if (!directory.empty() && ::symlink(text.c_str(), fresh.c_str()) == 0 &&
      ::rename(fresh.c_str(), path.c_str()) == 0) {
    return;
  }
  throw BackendError("device " + device + ": cannot note in /sys/fs/bpf that " + text +
                     " was on, to put it back afterwards; switch it off yourself (ethtool -K)");
}

}  // namespace

void switch_offloads_off(const std::string& device, int ifindex) {
  std::vector<std::string> ours = kHiding;
  ours.insert(ours.end(), kFiltering.begin(), kFiltering.end());
  const std::vector<std::string> noted = read_note(ifindex);
  std::vector<std::string> names = noted;
  for (const std::string& name : features_on(device, ours)) {
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  if (names != noted) write_note(device, ifindex, names);
  request_features(device, kFiltering, false);
  switch_features_off(device, kHiding);
}

void keep_offloads_off(const std::string& device) { switch_features_off(device, kHiding); }

void put_offloads_back(int ifindex) {
  const std::vector<std::string> names = read_note(ifindex);
  if (names.empty()) return;
  std::array<char, IF_NAMESIZE> device{};
  try {
    if (::if_indextoname(static_cast<unsigned>(ifindex), device.data()) != nullptr) {
      request_features(device.data(), names, true);
    }
  } catch (const BackendError&) {
    forget_offloads(ifindex);
    throw;
  }
  forget_offloads(ifindex);
}

void forget_offloads(int ifindex) {
  if (const std::string directory = Guard::directory(); !directory.empty()) {
    ::unlink(note_path(directory, ifindex).c_str());
  }
}

}  // namespace bulkhead
