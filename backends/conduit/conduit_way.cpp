#include "backends/conduit/conduit_way.hpp"

#include <utility>

#include "backends/device/link.hpp"
#include "backends/device/offloads.hpp"
#include "dataplane/commands.hpp"

namespace bulkhead {
namespace {

std::uint64_t value_of(const bulkhead_u64& value) {
  return __atomic_load_n(&value, __ATOMIC_RELAXED);
}

/// Less what has gone; nothing if that seems more, as the numbers change while they are read.
std::uint64_t less(std::uint64_t all, std::uint64_t gone) { return all > gone ? all - gone : 0; }

}  // namespace

Intake conduit_intake(const bulkhead_slot& slot, const bulkhead_conduit& queue,
                      std::uint64_t received) {
  Intake intake;
  const std::uint64_t lost = value_of(slot.lost);
  const std::uint64_t passed = value_of(slot.passed);  // last: what has arrived has passed before
  intake.in_flight = less(passed, received + lost);
  if (value_of(slot.open) != 0) {
    const std::uint64_t gone = value_of(queue.received) + value_of(queue.lost);
    intake.window = less(BULKHEAD_CONDUIT_FRAMES, less(value_of(queue.passed), gone));
  }
  intake.too_big = value_of(slot.too_big);
  intake.malformed = value_of(slot.malformed);
  intake.overrun = value_of(slot.overrun) + lost;
  intake.handed = passed + intake.too_big + intake.malformed + value_of(slot.overrun);
  return intake;
}

std::unique_ptr<Way> ConduitWays::make(const Way::Place& place) {
  return std::make_unique<ConduitWay>(*this, place);
}

bool ConduitWays::tidy() {
  if (!done_with_.empty()) done_with_.erase(done_with_.begin());
  return !done_with_.empty();
}

ConduitWay::ConduitWay(ConduitWays& shared, const Place& place) : shared_(shared), place_(place) {
  shared_.guard_.slots()[place.port] = {};
}

std::string ConduitWay::take(const Link& link) {
  put_offloads_back(shared_.guard_.pins(), link.ifindex);  // of a time when it was a NIC's
  ifindex_ = link.ifindex;
  name_ = link.name;
  return {};
}

void ConduitWay::open() {
  shared_.tidy(ifindex_);  // an earlier socket would be in the way
  socket_ = std::make_unique<TransmitSocket>(shared_.umem_, place_.worker, name_);
  Plug command(shared_.backend_, place_.port, socket_.get());
  shared_.call_(place_.worker, command);
}

void ConduitWay::admit() {
  shared_.guard_.open(ifindex_, place_.port, shared_.conduit_of_(place_.worker));
}

std::string ConduitWay::close() {
  if (ifindex_ != 0) shared_.guard_.close(ifindex_, place_.port);
  unplug();
  return {};
}

void ConduitWay::linger() {
  shared_.guard_.close_conduit(place_.port);
  unplug();
  ifindex_ = 0;
}

void ConduitWay::unplug() {
  if (socket_ == nullptr) return;
  Unplug command(shared_.backend_, place_.port);
  shared_.call_(place_.worker, command);
  shared_.done_with_[ifindex_] = std::move(socket_);
}

void ConduitWay::leave() {
  close();
  ifindex_ = 0;
}

Intake ConduitWay::intake(std::uint64_t received) const {
  return conduit_intake(shared_.guard_.slots()[place_.port],
                        shared_.guard_.conduits()[place_.worker], received);
}

std::uint64_t ConduitWay::load() const {
  return value_of(shared_.guard_.slots()[place_.port].received);
}

}  // namespace bulkhead
