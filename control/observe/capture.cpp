#include "control/observe/capture.hpp"

#include <chrono>

#include "backends/error.hpp"
#include "control/observe/hex.hpp"

namespace bulkhead::control {

using Json = nlohmann::json;

Capture::Capture(Bridge& bridge, std::optional<std::string> port, std::optional<DropReason> reason)
    : bridge_(bridge), port_(std::move(port)) {
  Engine& engine = bridge_.engine();
  for (std::uint8_t worker = 0; worker < engine.worker_count(); ++worker) {
    rings_.push_back(std::make_unique<CaptureRing>(reason));
  }
  follow_port();
  bool done = true;
  engine.call_all(
      [&](std::uint8_t worker) {
        return std::make_unique<SetCapture>(nullptr, rings_[worker].get());
      },
      [&](const SetCapture& lent) { done = done && lent.done; });
  if (!done) {
    throw BackendError("capture: " + std::to_string(kCapturesMax) +
                       " run already; end one of them");
  }
}

Capture::~Capture() {
  bridge_.engine().call_all([&](std::uint8_t worker) {
    return std::make_unique<SetCapture>(rings_[worker].get(), nullptr);
  });
}

// A port that is deleted and added again has another place, and its old one may be another port's.
void Capture::follow_port() {
  if (!port_) return;
  const bool is_there = bridge_.config().ports.contains(*port_);
  const PortIndex index = is_there ? bridge_.status_of(*port_).index : PortIndex{kPortsMax};
  for (const auto& ring : rings_) ring->set_port(index);
}

void Capture::forward(const std::function<Json(const Event&)>& describe,
                      const std::function<bool(const Json&)>& offer) {
  follow_port();
  std::uint64_t lost = unread_;
  for (const auto& ring : rings_) {
    forward(*ring, describe, offer);
    lost += ring->lost();
  }
  if (lost != told_ && offer({{"event", "lost"}, {"frames", lost}})) told_ = lost;
}

void Capture::forward(CaptureRing& ring, const std::function<Json(const Event&)>& describe,
                      const std::function<bool(const Json&)>& offer) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto time_us = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  for (std::size_t i = 0; i < kFramesPerTurn; ++i) {
    const CaptureRing::Slot* slot = ring.front();
    if (slot == nullptr) break;
    Json json = describe(slot->event);
    const bool is_meant = !json.is_null() && (!port_ || json["port"] == *port_);
    if (is_meant) {
      json["time_us"] = time_us;
      json["frame"] = to_hex({slot->bytes.data(), slot->length});
      if (!offer(json)) ++unread_;
    }
    ring.pop();
  }
}

}  // namespace bulkhead::control
