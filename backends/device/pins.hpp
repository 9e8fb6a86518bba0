// What outlives the daemon and not the kernel: the place in the BPF file system where one owner
// keeps the pins of its tcx links, and notes about its devices.
//
//   /sys/fs/bpf/bulkhead/NETNS/OWNER/owner             -> what survives a restart of the same
//   daemon:
//                                                         the path of its state file
//                                    shortcut             what ends the shortcut of a daemon that
//                                                         is no more (shortcut.hpp)
//                                    IFINDEX_in, _out     tcx links
//                                    IFINDEX_name      -> the device's name when a port took it
//                                    IFINDEX_offloads  -> what was on (offloads.hpp)
//
// NETNS is the inode of the network namespace, OWNER a hash of the owner's text. The file system
// takes pins, directories and symbolic links only, and no dot in a name; so a note is a link.
//
// Who has a guarded device is who has its IFINDEX_name. A note counts only for a device that is
// guarded: the number of one that has vanished may come round again. Control thread only.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace bulkhead {

class Pins {
 public:
  /// Mounts the file system where systemd would, if nobody has, and makes the owner's directory.
  explicit Pins(const std::string& owner);
  /// What is there, to be looked at only: makes nothing.
  static Pins to_look_at(const std::string& owner);

  /// False where the file system cannot be had: then nothing is kept.
  [[nodiscard]] bool available() const { return !directory_.empty(); }
  /// Why not; one line.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  [[nodiscard]] std::string path(int ifindex, const std::string& what) const;
  /// Of what is kept of no device; it must not begin with a digit.
  [[nodiscard]] std::string path(const std::string& what) const;

  /// A note; nothing if there is none.
  [[nodiscard]] std::optional<std::string> read(int ifindex, const std::string& what) const;
  /// Replaces it. False if it cannot be kept.
  bool write(int ifindex, const std::string& what, const std::string& text) const;
  void remove(int ifindex, const std::string& what) const;
  /// All that is kept of the device.
  void remove_all(int ifindex) const;
  /// All that is kept of `from` is of `to` from now on: a device has another number.
  void renumber(int from, int to) const;

  /// Devices of which something is kept, whether they are still there or not.
  [[nodiscard]] std::vector<int> devices() const;
  /// The text of another owner that has a note of this device.
  [[nodiscard]] std::optional<std::string> other_owner(int ifindex) const;
  /// Drops what other owners note of this device: it was of an earlier device of that number.
  void forget_others(int ifindex) const;
  /// Takes over the pins of versions that noted no owner, if it has any of this device.
  void adopt(int ifindex) const;

 private:
  Pins() = default;

  std::string root_;       // of this network namespace
  std::string directory_;  // ours in it; empty if it cannot be had
  std::string trouble_;
};

}  // namespace bulkhead
