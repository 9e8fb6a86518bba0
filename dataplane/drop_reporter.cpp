#include "dataplane/drop_reporter.hpp"

#include <algorithm>
#include <cstring>

namespace bulkhead {

void DropReporter::report(DropReason reason, bool at_egress, PortIndex port, const Frame& frame,
                          bool shadow) {
  const bool tells = said_[frame.from] < limit_;
  if (!tells && !capturing_) return;
  Event event;
  event.kind = Event::Kind::dropped;
  event.reason = reason;
  event.at_egress = at_egress;
  event.shadow = shadow;
  event.port = port;
  event.from = frame.from;
  event.length = frame.length;
  event.head_length =
      std::min<std::uint32_t>(frame.head->length, static_cast<std::uint32_t>(Event::kHeadBytes));
  std::memcpy(event.head.data(), frame.head->data, event.head_length);
  for (CaptureRing* ring : captures_) {
    if (ring != nullptr) ring->offer(event, frame);
  }
  if (!tells) return;
  ++said_[frame.from];
  if (!mailbox_.events.push(event)) mailbox_.events_lost.fetch_add(1, std::memory_order_relaxed);
}

bool DropReporter::set_capture(CaptureRing* before, CaptureRing* after) {
  const auto place = std::ranges::find(captures_, before);
  if (place == captures_.end()) return false;
  *place = after;
  capturing_ = std::ranges::any_of(captures_, [](CaptureRing* ring) { return ring != nullptr; });
  return true;
}

void CaptureRing::offer(const Event& event, const Frame& frame) {
  const PortIndex port = port_.load(std::memory_order_relaxed);
  if ((port != kNoPort && event.port != port) || (reason_ && event.reason != *reason_)) return;
  const std::uint64_t put = put_.load(std::memory_order_relaxed);
  if (put - taken_.load(std::memory_order_acquire) == kSlots) {
    lost_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  Slot& slot = slots_[put % kSlots];
  slot.event = event;
  slot.length = 0;
  for (const Buffer* buffer = frame.head; buffer != nullptr; buffer = buffer->next) {
    const auto room = static_cast<std::uint32_t>(kFrameBytesMax - slot.length);
    const std::uint32_t count = std::min(buffer->length, room);
    std::memcpy(slot.bytes.data() + slot.length, buffer->data, count);
    slot.length += count;
  }
  put_.store(put + 1, std::memory_order_release);
}

}  // namespace bulkhead
