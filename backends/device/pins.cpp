#include "backends/device/pins.hpp"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <system_error>

namespace bulkhead {
namespace {

namespace fs = std::filesystem;

bool have_bpffs() {
  constexpr long kMagic = 0xcafe4a11;
  struct statfs info {};
  if (::statfs("/sys/fs/bpf", &info) != 0) return false;
  return info.f_type == kMagic || ::mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700") == 0;
}

std::string root_of_namespace() {
  struct stat info {};
  ::stat("/proc/self/ns/net", &info);
  return "/sys/fs/bpf/bulkhead/" + std::to_string(info.st_ino);
}

/// FNV-1a, 64 bits, as 16 digits: names must not have dots, and a path may be longer than a name.
std::string hashed(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : text) hash = (hash ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3;
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016" PRIx64, hash);
  return digits.data();
}

std::optional<std::string> read_link(const std::string& path) {
  std::array<char, PATH_MAX> text{};
  const ssize_t length = ::readlink(path.c_str(), text.data(), text.size());
  if (length < 0) return std::nullopt;
  return std::string(text.data(), static_cast<std::size_t>(length));
}

std::string file_name(int ifindex, const std::string& what) {
  return std::to_string(ifindex) + "_" + what;
}

/// Names of the files in a directory that are about the device: all of them if it is 0.
std::vector<std::string> files_of(const std::string& directory, int ifindex) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename();
    const bool is_about_one = name.find('_') != std::string::npos && std::atoi(name.c_str()) > 0;
    if (is_about_one && (ifindex == 0 || name.starts_with(file_name(ifindex, "")))) {
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace

Pins::Pins(const std::string& owner) : root_(root_of_namespace()) {
  if (!have_bpffs()) {
    trouble_ = "there is no BPF file system at /sys/fs/bpf";
    return;
  }
  const std::string directory = root_ + "/" + hashed(owner);
  std::error_code error;
  fs::create_directories(directory, error);
  // The note is there already after a restart.
  if (!error && ::symlink(owner.c_str(), (directory + "/owner").c_str()) != 0 && errno != EEXIST) {
    error.assign(errno, std::generic_category());
  }
  if (error) {
    trouble_ = "cannot write to /sys/fs/bpf: " + error.message();
    return;
  }
  directory_ = directory;
}

Pins Pins::to_look_at(const std::string& owner) {
  Pins pins;
  pins.root_ = root_of_namespace();
  pins.directory_ = pins.root_ + "/" + hashed(owner);
  return pins;
}

std::string Pins::path(int ifindex, const std::string& what) const {
  return directory_ + "/" + file_name(ifindex, what);
}

std::string Pins::path(const std::string& what) const { return directory_ + "/" + what; }

std::optional<std::string> Pins::read(int ifindex, const std::string& what) const {
  if (!available()) return std::nullopt;
  return read_link(path(ifindex, what));
}

bool Pins::write(int ifindex, const std::string& what, const std::string& text) const {
  if (!available()) return false;
  const std::string place = path(ifindex, what);
  if (read_link(place) == text) return true;
  const std::string fresh = place + "_new";
  ::unlink(fresh.c_str());
  return ::symlink(text.c_str(), fresh.c_str()) == 0 && ::rename(fresh.c_str(), place.c_str()) == 0;
}

void Pins::remove(int ifindex, const std::string& what) const {
  if (available()) ::unlink(path(ifindex, what).c_str());
}

void Pins::remove_all(int ifindex) const {
  if (!available()) return;
  for (const std::string& name : files_of(directory_, ifindex)) {
    ::unlink((directory_ + "/" + name).c_str());
  }
}

void Pins::renumber(int from, int to) const {
  if (!available()) return;
  for (const std::string& name : files_of(directory_, from)) {
    const std::string what = name.substr(name.find('_') + 1);
    ::rename((directory_ + "/" + name).c_str(), path(to, what).c_str());
  }
}

std::vector<int> Pins::devices() const {
  std::set<int> found;
  if (available()) {
    for (const std::string& name : files_of(directory_, 0)) found.insert(std::atoi(name.c_str()));
  }
  return {found.begin(), found.end()};
}

std::optional<std::string> Pins::other_owner(int ifindex) const {
  if (!available()) return std::nullopt;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root_, error)) {
    const std::string directory = entry.path();
    if (directory == directory_ || !entry.is_directory(error)) continue;
    if (!read_link(directory + "/" + file_name(ifindex, "name"))) continue;
    return read_link(directory + "/owner").value_or(directory);
  }
  return std::nullopt;
}

void Pins::forget_others(int ifindex) const {
  if (!available()) return;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root_, error)) {
    const fs::path& directory = entry.path();
    if (directory == directory_ || !entry.is_directory(error)) continue;
    for (const std::string& name : files_of(directory, ifindex)) {
      ::unlink((directory / name).c_str());
    }
  }
}

void Pins::adopt(int ifindex) const {
  if (!available()) return;
  for (const std::string& name : files_of(root_, ifindex)) {
    ::rename((root_ + "/" + name).c_str(), (directory_ + "/" + name).c_str());
  }
}

}  // namespace bulkhead
