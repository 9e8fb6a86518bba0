// The order in which a worker takes the frames that wait for it: port by port in turns, and a port
// that had nothing waiting first, once. So nobody waits behind what another port has piled up: a
// ping that comes beside a flood waits for the turns of others at most. (RFC 8290, FQ-CoDel, 4.1
// and 4.2, with ports as the flows and frames as the unit; how much may wait is the tc program's
// rule.) Frames of a port keep their order. Worker's thread, by Conduit; nothing is allocated after
// the start.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/frame.hpp"

namespace bulkhead {

class FairQueue {
 public:
  static constexpr std::uint32_t kTurnFrames = 8;

  FairQueue() : ports_(kPortsMax) {}

  /// Takes over the reference of an unchained buffer; its `next` is the queue's until pop().
  void push(PortIndex port, Buffer* buffer) {
    Port& queue = ports_[port];
    buffer->next = nullptr;
    (queue.head == nullptr ? queue.head : queue.tail->next) = buffer;
    queue.tail = buffer;
    ++size_;
    if (queue.listed) return;
    queue.credit = kTurnFrames;
    append(fresh_, port);
  }

  /// Whose turn it is; how many.
  std::size_t pop(std::span<Frame> batch) {
    std::size_t count = 0;
    while (count < batch.size() && size_ > 0) {
      List& list = fresh_.first != kNoPort ? fresh_ : known_;
      const PortIndex port = list.first;
      Port& queue = ports_[port];
      for (; queue.head != nullptr && queue.credit > 0 && count < batch.size(); --queue.credit) {
        batch[count++] = take(queue, port);
      }
      if (count == batch.size() && queue.head != nullptr && queue.credit > 0) break;
      // Its turn is over. Who has nothing left goes behind the others once before he is new again:
      // otherwise a port that sends frame by frame would always be first.
      remove_first(list);
      if (queue.head == nullptr && &list == &known_) continue;
      queue.credit = kTurnFrames;
      append(known_, port);
    }
    return count;
  }

  /// Takes everything of a port out: the chain of its buffers.
  Buffer* take_all(PortIndex port) {
    Port& queue = ports_[port];
    for (const Buffer* buffer = queue.head; buffer != nullptr; buffer = buffer->next) --size_;
    Buffer* head = queue.head;
    queue.head = nullptr;
    return head;
  }

  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  struct Port {
    Buffer* head = nullptr;
    Buffer* tail = nullptr;
    std::uint32_t credit = 0;  // frames until its turn is over
    PortIndex next = kNoPort;  // of its list
    bool listed = false;
  };
  struct List {
    PortIndex first = kNoPort, last = kNoPort;
  };

  Frame take(Port& queue, PortIndex port) {
    Buffer* buffer = queue.head;
    queue.head = buffer->next;
    if (queue.head != nullptr) __builtin_prefetch(queue.head->data);
    buffer->next = nullptr;
    --size_;
    return {buffer, buffer->length, port};
  }

  void append(List& list, PortIndex port) {
    ports_[port].listed = true;
    ports_[port].next = kNoPort;
    (list.first == kNoPort ? list.first : ports_[list.last].next) = port;
    list.last = port;
  }

  void remove_first(List& list) {
    Port& queue = ports_[list.first];
    queue.listed = false;
    list.first = queue.next;
  }

  std::vector<Port> ports_;
  List fresh_;  // had nothing waiting
  List known_;
  std::size_t size_ = 0;
};

}  // namespace bulkhead
