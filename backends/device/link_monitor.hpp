// Notice of what changes on devices, by rtnetlink: the daemon waits for it. Control thread only.
#pragma once

#include <set>

struct nl_sock;

namespace bulkhead {

/// What was heard, by interface index.
struct LinkNotices {
  bool links = false;   // some device is new, another one or no more: look at all of them
  std::set<int> gone;   // deleted, or moved to another namespace; there may be one of that number
  std::set<int> hooks;  // a qdisc or filter changed on these
  bool qdiscs = false;  // some device has another qdisc for what leaves by it
  bool lost = false;    // the kernel had to drop notices: anything may be

  [[nodiscard]] bool any() const {
    return links || qdiscs || lost || !gone.empty() || !hooks.empty();
  }
  LinkNotices& operator+=(const LinkNotices& more);
};

/// Hears of every change of a device, its qdiscs and filters (RTNLGRP_LINK, RTNLGRP_TC). Programs
/// in tcx come and go without notice.
class LinkMonitor {
 public:
  LinkMonitor();
  ~LinkMonitor();
  LinkMonitor(const LinkMonitor&) = delete;
  LinkMonitor& operator=(const LinkMonitor&) = delete;

  /// Becomes readable.
  [[nodiscard]] int fd() const;
  /// Reads what is there without waiting.
  LinkNotices drain();

 private:
  nl_sock* socket_;
};

}  // namespace bulkhead
