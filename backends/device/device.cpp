#include "backends/device/device.hpp"

#include <unistd.h>

#include <optional>

#include "backends/device/hooks.hpp"
#include "backends/device/offloads.hpp"
#include "backends/error.hpp"

namespace bulkhead {
namespace {

constexpr const char* kName = "name";  // the note

/// Who else has it, running or not; nothing if nobody has.
std::optional<std::string> other_owner(const Guard& guard, int ifindex) {
  if (!guard.is_guarded(ifindex)) {
    guard.pins().forget_others(ifindex);  // notes about an earlier device of that number
    return std::nullopt;
  }
  if (guard.pins().read(ifindex, kName)) return std::nullopt;
  return guard.pins().other_owner(ifindex);
}

}  // namespace

bool has_far_end(const Link& link) { return link.kind == "veth" || link.kind == "tun"; }

void Device::claim(const Guard& guard, const Link& link) {
  guard.pins().adopt(link.ifindex);
  if (const auto owner = other_owner(guard, link.ifindex)) {
    throw BackendError("device " + link.name + " belongs to another bulkheadd (state " + *owner +
                       "); delete the port there, or see OWNERS in bulkheadd(8)");
  }
}

Device::Device(Guard& guard, const Link& link, const std::string& taken_as)
    : guard_(guard), link_(link) {
  lock_ = lock_name("device/" + std::to_string(link.ifindex));
  if (lock_ < 0) {
    throw BackendError("device " + link.name +
                       " belongs to another running bulkheadd; delete the port there");
  }
  try {
    was_guarded_ = guard_.is_guarded(link.ifindex);
    if (!was_guarded_) guard_.pins().remove_all(link.ifindex);
    set_taken_as(taken_as);
    guard_.attach(link.ifindex);
    if (!has_far_end(link)) promiscuous_ = make_promiscuous(link.ifindex);
  } catch (...) {
    if (was_guarded_) {
      guard_.leave(link.ifindex);
    } else {
      guard_.release(link.ifindex);
    }
    ::close(lock_);
    throw;
  }
}

Device::~Device() {
  guard_.leave(link_.ifindex);
  if (promiscuous_ >= 0) ::close(promiscuous_);
  ::close(lock_);
}

void Device::set_taken_as(const std::string& name) {
  if (taken_as_ == name) return;
  taken_as_ = name;
  guard_.pins().write(link_.ifindex, kName, name);
}

Guard::Mended Device::mend() {
  Guard::Mended mended = guard_.mend(link_.ifindex);
  guard_.pins().write(link_.ifindex, kName, taken_as_);  // if it could not be noted before
  const auto add = [&](const std::string& text) {
    mended.trouble += (mended.trouble.empty() ? "" : "; ") + text;
  };
  if (link_.master != 0) {
    add("it is in " + device_text(link_.master) +
        ", which gets nothing from it; take it out: " + "ip link set " + link_.name + " nomaster");
  }
  if (!qdisc_.empty()) {
    add("its qdisc " + qdisc_ + " has no effect, as frames to the guest do not pass it; take it " +
        "off: tc qdisc del dev " + link_.name + " root");
  }
  trouble_ = mended.trouble;
  return mended;
}

void Device::give_back() {
  const bool is_here = guard_.whereabouts(link_.ifindex) == Guard::Whereabouts::here;
  try {
    if (is_here) put_offloads_back(guard_.pins(), link_.ifindex);
  } catch (const BackendError&) {
    guard_.release(link_.ifindex);
    throw;
  }
  guard_.release(link_.ifindex);
}

void Device::forget() { guard_.pins().remove_all(link_.ifindex); }

}  // namespace bulkhead
