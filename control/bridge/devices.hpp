// The devices that are ours, by their number, and what becomes of each: taken for a port, followed
// under whatever name, given back when no port names it any more. Several ports may have one.
//
// Invariant: a device is here, guarded and watched, from take() until it is deleted or given back,
// which is some time after the last port that names it has gone; its name, or the namespace that it
// is in, changes nothing of that. Control thread only.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "backends/device/device.hpp"
#include "backends/device/link_monitor.hpp"
#include "control/bridge/look.hpp"

namespace bulkhead::control {

class Devices {
 public:
  using NameTest = std::function<bool(const std::string&)>;

  explicit Devices(Guard& guard) : guard_(guard) {}

  /// nullptr if we do not have it.
  [[nodiscard]] Device* find(int ifindex) const;
  /// Throws BackendError if it is another bulkheadd's. To be called before anything else.
  void claim(const Link& link);
  /// Takes it for a port that calls it by its name of now, if we do not have it already. Throws
  /// BackendError.
  Device& take(const Link& link);
  /// take() was in vain: what it took is as it was before. Guarded, if it was.
  void undo_take(int ifindex);

  /// Which of them are no more what they were: deleted, or moved to another namespace, be they back
  /// or not. Whoever works with one of them lets it go before follow().
  [[nodiscard]] std::set<int> changed(const Links& links, const LinkNotices& notices) const;
  /// Notes what the kernel says of each now, and forgets those that were deleted.
  void follow(const Links& links, const std::set<int>& changed);
  /// Why a port cannot have the device of this name, which is not there: it has another name now,
  /// or is elsewhere. Empty if it was deleted, or never was.
  [[nodiscard]] std::string absence(const std::string& name) const;

  /// Takes those back that a daemon before us left for ports that are still there, and gives the
  /// host those that nobody names any more, by queue_unnamed(); with `keep` they stay closed. To be
  /// called once, when the ports of the start have what they can have.
  void settle_leftovers(const Links& links, const NameTest& is_named, bool keep);
  /// Those that no port names any more are to be given back, and no others are. To be called after
  /// each change of the ports. Each stays guarded until give_back_next(), or is a port's again.
  void queue_unnamed(const NameTest& is_named);
  /// Gives the next one of these back, which takes the kernel some grace periods under RTNL, 30 ms
  /// or so. `let_go`, with its number, is called before.
  void give_back_next(const std::function<void(int)>& let_go);
  /// How many are still to be given back.
  [[nodiscard]] std::size_t queued() const { return unnamed_.size(); }

  /// What was found on the next `count` of them, all in turn, that was not as it must be.
  using Listener = std::function<void(Device&, const Guard::Mended&)>;
  /// Looks at the qdiscs of all: of each that is new, and after a notice.
  void look_at_qdiscs();
  void mend_some(std::size_t count, const Listener& listener);
  void mend(int ifindex, const Listener& listener);
  /// Some are new since look_at_qdiscs().
  [[nodiscard]] bool has_new() const { return has_new_; }
  [[nodiscard]] std::size_t size() const { return devices_.size(); }

 private:
  void recognize(const Link& link);
  void give_back(Device& device);
  void settle(int ifindex, const Links& links, const NameTest& is_named, bool keep);

  Guard& guard_;
  std::map<int, std::unique_ptr<Device>> devices_;
  std::set<int> elsewhere_;  // of these
  std::deque<int> unnamed_;  // of these, to be given back
  int mended_last_ = 0;
  bool has_new_ = false;
};

}  // namespace bulkhead::control
