// One `bulkhead capture`: dropped frames, on their way from the worker to whoever asked for them.
// Control thread only.
//
// While it lives, every worker copies the frames that it is about into a ring of its own
// (dataplane/drop_reporter); what finds the ring full, or the client not reading, is counted as
// lost.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "control/bridge/bridge.hpp"

namespace bulkhead::control {

class Capture {
 public:
  static constexpr std::size_t kFramesPerTurn = 256;  // then others have theirs

  /// Of drops that count on this port, for this reason; nothing: on any, for any. Throws
  /// BackendError if kCapturesMax run.
  Capture(Bridge& bridge, std::optional<std::string> port, std::optional<DropReason> reason);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  /// Offers what has come as events: drops with the frame, and how many were lost if that is new.
  /// `describe` says what `monitor` would; `offer` says whether there was room for it.
  void forward(const std::function<nlohmann::json(const Event&)>& describe,
               const std::function<bool(const nlohmann::json&)>& offer);

 private:
  void follow_port();
  void forward(CaptureRing& ring, const std::function<nlohmann::json(const Event&)>& describe,
               const std::function<bool(const nlohmann::json&)>& offer);

  Bridge& bridge_;
  std::optional<std::string> port_;
  std::vector<std::unique_ptr<CaptureRing>> rings_;  // by worker
  std::uint64_t unread_ = 0;                         // lost because the client did not read
  std::uint64_t told_ = 0;                           // how many were lost, as the client knows it
};

}  // namespace bulkhead::control
