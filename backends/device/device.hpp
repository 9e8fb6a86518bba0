// One device of the kernel that is bulkhead's: everything that concerns it and not what a port does
// on it. It is locked against other daemons, guarded and watched, and hears all frames.
//
// Invariant: from the moment it is taken nothing passes between it and the host's stack but by way
// of give_back(), whatever becomes of it: it keeps its guard under another name, and when this
// object ends, with the daemon or before. Who it is is its number in our network namespace, not its
// name. Several ports may have one (VLANs); who has which is control/bridge/devices. Control thread
// only.
#pragma once

#include <cstdint>
#include <string>

#include "backends/device/guard.hpp"
#include "backends/device/link.hpp"

namespace bulkhead {

class Device {
 public:
  /// Throws BackendError, with the way out, if another daemon has it, whether that runs or not.
  /// What versions noted that knew no owners is ours from then on.
  static void claim(const Guard& guard, const Link& link);
  /// Takes what was claimed. Throws BackendError if it cannot be locked or guarded; then it is as
  /// it was before. `taken_as`: see below.
  Device(Guard& guard, const Link& link, const std::string& taken_as);
  /// It stays guarded, and is for the next daemon of this owner.
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  [[nodiscard]] const Link& link() const { return link_; }
  [[nodiscard]] int ifindex() const { return link_.ifindex; }
  /// What the kernel says of it now.
  void set_link(const Link& link) { link_ = link; }
  /// What root_qdiscs() says of it now, or nothing.
  void set_qdisc(const std::string& kind) { qdisc_ = kind; }
  /// The name that a port took it by last. It may be called otherwise now.
  [[nodiscard]] const std::string& taken_as() const { return taken_as_; }
  void set_taken_as(const std::string& name);
  /// Whether it was guarded already when it was taken.
  [[nodiscard]] bool was_guarded() const { return was_guarded_; }

  /// Puts the guard back where somebody took it off. Nothing more happens on an intact one.
  Guard::Mended mend();
  /// What is wrong with it and cannot be undone by us, one line; empty if nothing is.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

  /// It is the host's again, as it was before it was taken. To be destroyed next. Throws
  /// BackendError if an offload of it stays off; it is the host's all the same.
  void give_back();
  /// It was deleted: forgets what is kept of it. To be destroyed next.
  void forget();

 private:
  Guard& guard_;
  Link link_;
  std::string taken_as_;
  bool was_guarded_ = false;
  int lock_ = -1;
  int promiscuous_ = -1;
  std::string qdisc_;
  std::string trouble_;
};

/// Whose other end is a guest's, not a wire: what that end leaves to its device is not done in the
/// frames that native XDP sees.
[[nodiscard]] bool has_far_end(const Link& link);

}  // namespace bulkhead
