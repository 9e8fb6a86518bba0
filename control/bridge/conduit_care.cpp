// Engine's care for its conduits: what somebody does to them is noticed by a look now and then, and
// mended; a conduit past mending is made anew under its running worker. Meanwhile guests stay
// guarded: the programs on their devices redirect into a device that is down or gone, and what is
// redirected there is lost.
#include <fmt/format.h>
#include <sys/epoll.h>

#include "backends/error.hpp"
#include "control/bridge/engine.hpp"

namespace bulkhead::control {

std::vector<std::string> Engine::look_after_conduits() {
  std::vector<std::string> lines;
  for (std::uint8_t i = 0; i < worker_count(); ++i) {
    Running& running = *workers_[i];
    const std::string name = running.device.name();
    try {
      if (const std::string line = mend_conduit(i); !line.empty()) {
        ++conduits_mended_;
        lines.push_back(fmt::format("conduit {}: {}", name, line));
      }
      running.trouble.clear();
    } catch (const BackendError& error) {
      const std::string text =
          fmt::format("conduit {} cannot be mended, ports of worker {} pass nothing: {}", name, i,
                      error.what());
      if (std::exchange(running.trouble, text) != text) lines.push_back(text);
    }
  }
  return lines;
}

// Says what was mended; nothing if all was well.
std::string Engine::mend_conduit(std::uint8_t worker) {
  Running& running = *workers_[worker];
  ConduitDevice::Fault fault = running.device.fault();
  if (running.socket == nullptr) fault = {"was not whole", true};
  if (fault.text.empty()) return {};
  if (!fault.is_past_mending) {
    try {
      running.device.mend();
      return fault.text + "; mended";
    } catch (const BackendError&) {
      // It may have gone meanwhile, or something holds on to it.
    }
  }
  renew_conduit(worker);
  return fault.text + "; made anew as " + running.device.name();
}

// The worker receives from nothing while the socket is replaced: its rings go with it.
void Engine::renew_conduit(std::uint8_t worker) {
  Running& running = *workers_[worker];
  const auto before = static_cast<std::uint64_t>(running.device.ifindex());
  ReplaceReceiver stop(*running.conduit, nullptr);
  call(worker, stop);
  if (running.socket) ::epoll_ctl(running.poll.fd(), EPOLL_CTL_DEL, running.socket->fd(), nullptr);
  running.device.make_anew();
  running.socket.reset();
  umem_.register_again();
  auto socket = std::make_unique<ReceiveSocket>(umem_, worker, running.device.peer_name());
  running.device.connect(*socket);
  running.poll.add(socket->fd());
  ReplaceReceiver go_on(*running.conduit, socket.get());
  call(worker, go_on);
  running.socket = std::move(socket);
  for (bulkhead_slot& slot : guard_.slots()) {
    if (slot.conduit != before) continue;
    slot.conduit = static_cast<std::uint64_t>(running.device.ifindex());
  }
}

std::string Engine::conduit_trouble() const {
  for (const auto& running : workers_) {
    if (!running->trouble.empty()) return running->trouble;
  }
  return {};
}

}  // namespace bulkhead::control
