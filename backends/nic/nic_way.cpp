#include "backends/nic/nic_way.hpp"

#include <algorithm>

#include "backends/device/device.hpp"
#include "backends/device/offloads.hpp"
#include "dataplane/commands.hpp"

namespace bulkhead {

std::unique_ptr<Way> NicWays::make(const Way::Place& place) {
  return std::make_unique<NicWay>(*this, place);
}

std::string NicWay::take(const Link& link) {
  nic_ = std::make_unique<NicDevice>(shared_.program_, link);
  name_ = link.name;
  if (!has_far_end(link)) return {};
  return "attach = \"xdp\" on " + link.name +
         ", which is no NIC: checksums, segments and VLAN tags that its other end leaves to its "
         "device are not seen to; for tests";
}

void NicWay::try_out(const Link& link) {
  try {
    const NicDevice trial(shared_.program_, link);
  } catch (...) {
    put_offloads_back(shared_.pins_, link.ifindex);
    throw;
  }
  put_offloads_back(shared_.pins_, link.ifindex);
}

// Every worker's if there is a queue for each.
std::span<const NicDevice::Share> NicWay::shares() const {
  const std::span<const NicDevice::Share> all = shared_.shares_;
  const QueueCounts queues = queues_of(name_);
  if (std::min(queues.rx, queues.tx) >= all.size() && !place_.on_one_worker) return all;
  return all.subspan(place_.worker, 1);
}

void NicWay::open() {
  nic_->open(shares());
  for (const auto& part : nic_->ports()) {
    Plug command(shared_.backend_, place_.port, part.get());
    shared_.call_(part->worker, command);
  }
}

std::string NicWay::close() {
  if (!nic_ || !nic_->is_open()) return {};
  nic_->shut();
  for (const auto& part : nic_->ports()) {
    Unplug command(shared_.backend_, place_.port);
    shared_.call_(part->worker, command);
  }
  std::string trouble;
  if (nic_->close()) {
    for (const auto& part : nic_->ports()) {
      ReturnChunks give_back(*part);
      shared_.call_(part->worker, give_back);
    }
  } else {
    trouble = "device " + name_ +
              ": the kernel holds on to its AF_XDP sockets; their buffers are not used again";
  }
  nic_->forget();
  return trouble;
}

void NicWay::leave() {
  close();
  if (nic_) before_ += nic_->counts();
  nic_.reset();
}

Intake NicWay::intake(std::uint64_t received) const {
  NicDevice::Counts counts = before_;
  if (nic_) counts += nic_->counts();
  Intake intake;
  intake.overrun = counts.lost;
  intake.handed = std::max(counts.handed, received + counts.lost);
  intake.in_flight = intake.handed - received - counts.lost;
  return intake;
}

std::optional<Way::Queues> NicWay::queues() const {
  if (!nic_ || !nic_->is_open()) return std::nullopt;
  return Queues{nic_->queues().rx, nic_->is_zero_copy()};
}

std::string NicWay::outdated() const {
  return nic_->has_changed() ? "has another number of queues now" : "";
}

}  // namespace bulkhead
