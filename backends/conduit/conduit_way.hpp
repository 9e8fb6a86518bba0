// The way over the conduit, for devices whose other end leaves work to them (veth, tap): frames
// come by the worker's conduit, and leave by a socket of the port's own. Control thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "backends/device/guard.hpp"
#include "backends/way.hpp"
#include "backends/xsk.hpp"

namespace bulkhead {

/// `received`: what the worker has counted for the port.
[[nodiscard]] Intake conduit_intake(const bulkhead_slot& slot, const bulkhead_conduit& queue,
                                    std::uint64_t received);

class ConduitWays : public Ways {
 public:
  /// `conduit_of(worker)`: the number of its conduit's device, at any time. `backend`: the
  /// conduit's number among each worker's.
  ConduitWays(Guard& guard, Umem& umem, std::function<int(std::uint8_t)> conduit_of,
              std::uint8_t backend, WorkerCall call)
      : guard_(guard),
        umem_(umem),
        conduit_of_(std::move(conduit_of)),
        backend_(backend),
        call_(std::move(call)) {}

  [[nodiscard]] std::unique_ptr<Way> make(const Way::Place& place) override;
  bool tidy() override;
  void tidy(int ifindex) override { done_with_.erase(ifindex); }

 private:
  friend class ConduitWay;
  Guard& guard_;
  Umem& umem_;
  std::function<int(std::uint8_t)> conduit_of_;
  std::uint8_t backend_;
  WorkerCall call_;
  // By device: no worker has them. Closing one takes a grace period of the kernel (xsk_unbind_dev()
  // of net/xdp/xsk.c).
  std::map<int, std::unique_ptr<TransmitSocket>> done_with_;
};

class ConduitWay : public Way {
 public:
  ConduitWay(ConduitWays& shared, const Place& place);
  ~ConduitWay() override { ConduitWay::leave(); }

  std::string take(const Link& link) override;
  void open() override;
  void admit() override;
  std::string close() override;
  void linger() override;
  void leave() override;

  [[nodiscard]] bool has_shortcut() const override { return true; }
  [[nodiscard]] Intake intake(std::uint64_t received) const override;
  [[nodiscard]] std::uint64_t load() const override;

 private:
  void unplug();

  ConduitWays& shared_;
  const Place place_;
  int ifindex_ = 0;  // if taken
  std::string name_;
  std::unique_ptr<TransmitSocket> socket_;  // if open
};

}  // namespace bulkhead
