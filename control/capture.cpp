#include "control/capture.hpp"

#include <chrono>

#include "backends/error.hpp"
#include "control/hex.hpp"

namespace bulkhead::control {

using Json = nlohmann::json;

Capture::Capture(Bridge& bridge, std::optional<std::string> port, std::optional<DropReason> reason)
    : bridge_(bridge), port_(std::move(port)), ring_(reason) {
  follow_port();
  SetCapture lend(nullptr, &ring_);
  bridge_.engine().call(lend);
  if (!lend.done) {
    throw BackendError("capture: " + std::to_string(kCapturesMax) +
                       " run already; end one of them");
  }
}

Capture::~Capture() {
  SetCapture take_back(&ring_, nullptr);
  bridge_.engine().call(take_back);
}

// A port that is deleted and added again has another place, and its old one may be another port's.
void Capture::follow_port() {
  if (!port_) return;
  const bool is_there = bridge_.config().ports.contains(*port_);
  ring_.set_port(is_there ? bridge_.status_of(*port_).index : PortIndex{kPortsMax});
}

void Capture::forward(const std::function<Json(const Event&)>& describe,
                      const std::function<bool(const Json&)>& offer) {
  follow_port();
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto time_us = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  for (std::size_t i = 0; i < kFramesPerTurn; ++i) {
    const CaptureRing::Slot* slot = ring_.front();
    if (slot == nullptr) break;
    Json json = describe(slot->event);
    const bool is_meant = !json.is_null() && (!port_ || json["port"] == *port_);
    if (is_meant) {
      json["time_us"] = time_us;
      json["frame"] = to_hex({slot->bytes.data(), slot->length});
      if (!offer(json)) ++unread_;
    }
    ring_.pop();
  }
  const std::uint64_t lost = ring_.lost() + unread_;
  if (lost != told_ && offer({{"event", "lost"}, {"frames", lost}})) told_ = lost;
}

}  // namespace bulkhead::control
