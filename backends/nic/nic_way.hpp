// The way by native XDP, for NICs: every queue has a socket of its own. Control thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/nic/nic.hpp"
#include "backends/way.hpp"

namespace bulkhead {

class NicWays : public Ways {
 public:
  /// `shares`: what each worker serves NICs with. `backend`: the NICs' number among each worker's.
  /// Throws BackendError.
  NicWays(const Pins& pins, std::vector<NicDevice::Share> shares, std::uint8_t backend,
          WorkerCall call)
      : pins_(pins),
        program_(pins),
        shares_(std::move(shares)),
        backend_(backend),
        call_(std::move(call)) {}

  [[nodiscard]] std::unique_ptr<Way> make(const Way::Place& place) override;

 private:
  friend class NicWay;
  const Pins& pins_;
  NicProgram program_;
  std::vector<NicDevice::Share> shares_;  // by worker
  std::uint8_t backend_;
  WorkerCall call_;
};

class NicWay : public Way {
 public:
  NicWay(NicWays& shared, const Place& place) : shared_(shared), place_(place) {}
  ~NicWay() override { NicWay::leave(); }

  std::string take(const Link& link) override;
  [[nodiscard]] bool may_refuse() const override { return true; }
  void try_out(const Link& link) override;
  void open() override;
  void admit() override { nic_->admit(); }
  std::string close() override;
  void leave() override;

  [[nodiscard]] Intake intake(std::uint64_t received) const override;
  [[nodiscard]] bool is_spread() const override { return nic_ && nic_->ports().size() > 1; }
  [[nodiscard]] std::optional<Queues> queues() const override;
  [[nodiscard]] std::string outdated() const override;

 private:
  [[nodiscard]] std::span<const NicDevice::Share> shares() const;

  NicWays& shared_;
  const Place place_;
  std::string name_;
  std::unique_ptr<NicDevice> nic_;  // if taken
  NicDevice::Counts before_;        // of devices that it has had
};

}  // namespace bulkhead
