#include "dataplane/crossing.hpp"

#include <algorithm>
#include <utility>

namespace bulkhead {

Crossings::Crossings(std::uint8_t self, const std::vector<Peer>& peers) : lanes_(peers.size()) {
  for (std::size_t i = 0; i < peers.size(); ++i) {
    if (i == self) continue;
    lanes_[i].peer = peers[i];
    lanes_[i].borrowed.resize(peers[i].chunks);
  }
}

// Takes note of what the peer has taken.
void Crossings::look(Lane& lane) {
  const std::size_t waiting = Passage::kCrossings - lane.peer.out->forth.write_available();
  const std::size_t left = lane.entered - lane.pending_count - waiting;
  for (; lane.left != left; ++lane.left) --lane.places[lane.ports[lane.left % lane.ports.size()]];
}

bool Crossings::send(std::uint8_t to, const Crossing& frame) {
  Lane& lane = lanes_[to];
  if (!has_place(lane, frame.from)) look(lane);
  if (lane.lent == Passage::kLentMax || !has_place(lane, frame.from)) return false;
  if (!append(to, frame)) return false;
  ++lane.lent;
  return true;
}

std::size_t Crossings::room() {
  std::size_t least = SIZE_MAX;
  for (Lane& lane : lanes_) {
    if (lane.peer.out == nullptr) continue;
    if (room(lane) < kReserved) look(lane);
    least = std::min(least, room(lane));
  }
  return least;
}

void Crossings::announce(const Crossing& announcement) {
  for (std::size_t to = 0; to < lanes_.size(); ++to) {
    if (lanes_[to].peer.out != nullptr) append(to, announcement);
  }
}

bool Crossings::append(std::size_t to, const Crossing& crossing) {
  Lane& lane = lanes_[to];
  if (lane.pending_count == lane.pending.size()) push_pending(lane);
  if (!holds(room(lane) > 0 && lane.pending_count < lane.pending.size())) return false;
  lane.pending[lane.pending_count++] = crossing;
  lane.ports[lane.entered++ % lane.ports.size()] = crossing.from;
  ++lane.places[crossing.from];
  told_ |= 1u << to;
  return true;
}

namespace {

/// Of `count` entries the ring took so many, which must be all; the others stay for the next time.
template <class T, std::size_t kSize>
std::size_t keep_rest(std::array<T, kSize>& entries, std::size_t count, std::size_t pushed) {
  if (holds(pushed == count)) return 0;
  std::move(entries.begin() + static_cast<std::ptrdiff_t>(pushed),
            entries.begin() + static_cast<std::ptrdiff_t>(count), entries.begin());
  return count - pushed;
}

}  // namespace

void Crossings::push_pending(Lane& lane) {
  const std::size_t pushed = lane.peer.out->forth.push(lane.pending.data(), lane.pending_count);
  lane.pending_count = keep_rest(lane.pending, lane.pending_count, pushed);
}

// There is always room: no more are lent than the ring takes.
void Crossings::push_homeward(Lane& lane) {
  const std::size_t pushed = lane.peer.in->home.push(lane.homeward.data(), lane.homeward_count);
  lane.homeward_count = keep_rest(lane.homeward, lane.homeward_count, pushed);
}

std::uint32_t Crossings::flush() {
  for (Lane& lane : lanes_) {
    if (lane.pending_count > 0) push_pending(lane);
    if (lane.homeward_count > 0) push_homeward(lane);
  }
  return std::exchange(told_, 0);
}

void Crossings::give_back(Buffer* head) {
  Lane& lane = lanes_[head->owner];
  if (lane.homeward_count == lane.homeward.size()) push_homeward(lane);
  if (!holds(lane.homeward_count < lane.homeward.size())) return;  // a buffer less
  lane.homeward[lane.homeward_count++] = head;
}

bool Crossings::take_home(Lane& lane, BufferPool& pool) {
  std::array<Buffer*, kBatchCrossings> buffers;
  std::size_t count = 0;
  bool any = false;
  // As many as fit in a round of a peer that floods all it has; the rest waits for the next.
  for (int turn = 0; turn < 4 && lane.lent > 0; ++turn) {
    count = lane.peer.out->home.pop(buffers.data(), buffers.size());
    for (Buffer* buffer : std::span(buffers.data(), count)) pool.release(buffer);
    lane.lent -= static_cast<std::uint32_t>(count);
    any |= count > 0;
    if (count < buffers.size()) break;
  }
  return any;
}

bool Crossings::has_arrivals() const {
  return std::ranges::any_of(lanes_, [](const Lane& lane) {
    return lane.peer.in != nullptr && lane.peer.in->forth.read_available() > 0;
  });
}

bool Crossings::has_lent() const {
  return std::ranges::any_of(lanes_, [](const Lane& lane) { return lane.lent > 0; });
}

std::uint64_t Crossings::arrived(std::size_t from) const {
  const Lane& lane = lanes_[from];
  return lane.taken + (lane.peer.in == nullptr ? 0 : lane.peer.in->forth.read_available());
}

}  // namespace bulkhead
