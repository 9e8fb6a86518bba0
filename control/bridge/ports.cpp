#include "control/bridge/ports.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <utility>

#include "backends/conduit/conduit.hpp"
#include "backends/error.hpp"
#include "control/bridge/objection.hpp"
#include "control/bridge/placement.hpp"

namespace bulkhead::control {
namespace {

/// What went wrong, as the port's trouble.
BackendError of_port(const std::string& name, const BackendError& error) {
  const std::string prefix = "port " + name + ": ", what = error.what();
  return BackendError(what.starts_with(prefix) ? what : prefix + what);
}

}  // namespace

Ports::Ports(const config::Config& config, Engine& engine, std::function<void()> install,
             Listener listener)
    : config_(config),
      engine_(engine),
      install_(std::move(install)),
      listener_(std::move(listener)),
      devices_(engine.guard()) {}

Ports::~Ports() {
  const bool lingers = may_linger_ && config_.linger.count() > 0;
  for (auto& [name, running] : running_) {
    if (lingers && running.state == PortState::up) running.way->linger();
    let_device_go(running);
  }
}

bool Ports::is_named(const std::string& device) const {
  return std::ranges::any_of(config_.ports,
                             [&](const auto& entry) { return entry.second.device == device; });
}

// Why the device cannot be this port's, as an error.
void Ports::require_fit(const config::Port& port, const Link& link, const Look& look) const {
  const auto reason = objection(port, link, engine_.guard().pins(), look);
  if (reason) throw BackendError(*reason);
}

RunningPort Ports::make(const config::Port& port, PortIndex index, std::uint8_t worker) {
  RunningPort running;
  running.index = index;
  running.worker = worker;
  if (Shortcut* shortcut = engine_.shortcut()) shortcut->reset_counts(index);
  running.way = engine_.ways(backend_of(port)).make({index, worker, is_on_one_worker(port)});
  return running;
}

bool Ports::take_device(const config::Port& port, RunningPort& running, const Link& link,
                        const Look& look) {
  const bool is_new = devices_.find(link.ifindex) == nullptr;
  try {
    devices_.claim(link);
    require_fit(port, link, look);
    Device& device = devices_.take(link);
    try {
      const std::string remark = running.way->take(link);
      if (!remark.empty()) spdlog::warn("port {}: {}", port.name, remark);
    } catch (const BackendError&) {
      if (is_new) devices_.undo_take(link.ifindex);
      throw;
    }
    if (is_new && link.up && !device.was_guarded()) {
      spdlog::warn("port {}: device {} was up before it was attached: exposed until now", port.name,
                   link.name);
    }
    running.device = &device;
  } catch (const BackendError& error) {
    throw of_port(port.name, error);
  }
  running.mtu = link.mtu;
  running.state = PortState::down;
  return is_new;
}

void Ports::try_out(const config::Port& port, RunningPort& running, const Link& link,
                    const Look& look) {
  if (!running.way->may_refuse()) return;
  const auto has_it_so = [&](const auto& entry) {
    const Device* device = entry.second.device;
    return device != nullptr && device->ifindex() == link.ifindex &&
           backend_of(config_.ports.at(entry.first)) == backend_of(port);
  };
  if (std::ranges::any_of(running_, has_it_so)) return;
  try {
    require_fit(port, link, look);
    running.way->try_out(link);
  } catch (const BackendError& error) {
    throw of_port(port.name, error);
  }
}

void Ports::open(RunningPort& running) {
  running.way->open();
  running.state = PortState::up;
}

// The policy says down already, or does not have the port any more.
void Ports::close(RunningPort& running) {
  if (const std::string trouble = running.way->close(); !trouble.empty()) {
    spdlog::error("{}", trouble);
  }
}

void Ports::let_device_go(RunningPort& running) {
  if (running.state == PortState::waiting) return;
  close(running);
  running.way->leave();
  running.device = nullptr;
  running.state = PortState::waiting;
}

void Ports::remove(const std::string& name) {
  RunningPort& running = running_.at(name);
  let_device_go(running);
  // Nothing of the port may be left when its place is used for another.
  engine_.drain();
  FlushFdb::What flush;
  flush.port = running.index;
  flush.reset = true;
  engine_.flush(flush);
  running_.erase(name);
  spdlog::info("port {}: deleted", name);
}

void Ports::give_back_unnamed() {
  devices_.queue_unnamed([this](const std::string& device) { return is_named(device); });
}

void Ports::settle_leftovers(bool keep) {
  devices_.settle_leftovers(
      list_links(), [this](const std::string& device) { return is_named(device); }, keep);
}

void Ports::replace_shortcut() {
  Shortcut* shortcut = engine_.shortcut();
  if (shortcut == nullptr) return;
  const Pins& pins = engine_.guard().pins();
  may_linger_ = pins.available() && shortcut->replace(pins.path("shortcut"));
  if (!may_linger_ && config_.linger.count() > 0) {
    spdlog::warn("linger: nothing goes on without a daemon, as the BPF file system takes no pin");
  }
}

bool Ports::catch_up() {
  bool is_more = engine_.guard().catch_up();
  devices_.give_back_next([this](int ifindex) {
    for (const auto& ways : engine_.all_ways()) ways->tidy(ifindex);
  });
  for (const auto& ways : engine_.all_ways()) is_more |= ways->tidy();
  return is_more || devices_.queued() > 0;
}

void Ports::refresh() { refresh(Look(), {}, kOpeningMax); }

void Ports::follow(const LinkNotices& notices) {
  if (notices.qdiscs || notices.lost) devices_.look_at_qdiscs();
  if (notices.links || notices.lost) refresh(Look(), notices, kOpeningMax);
  const auto note = [this](const Device& device, const Guard::Mended& mended) {
    note_mended(device, mended);
  };
  if (notices.lost) {
    devices_.mend_some(devices_.size(), note);
  } else {
    for (const int ifindex : notices.hooks) devices_.mend(ifindex, note);
  }
}

// However many ports change, a policy is put in force twice at most: without those that go before
// they are closed, and with those that come before they are let in.
void Ports::refresh(const Look& look, const LinkNotices& notices, Clock::duration opening_max) {
  const auto began = Clock::now();
  const std::set<int> changed = devices_.changed(look.links(), notices);
  const std::map<std::string, PortState> going = ending(look, changed);
  if (!going.empty()) install_();  // nothing is sent there any more
  end(going, look);
  devices_.follow(look.links(), changed);
  bool mtu_changed = false;
  are_in_turn_ = false;
  std::vector<std::string> coming;
  for (auto& entry : running_) {
    const std::string& name = entry.first;  // not by structured bindings: see end()
    RunningPort& running = entry.second;
    const Link* link = look.find(config_.ports.at(name).device);
    if (link == nullptr) {
      miss(name, running, going.contains(name));
      continue;
    }
    attempt(name, running, [&] {
      mtu_changed |= follow(name, running, *link, look);
      follow_carrier(name, running, *link);
      const bool is_ready = running.state == PortState::down && link->up;
      running.in_turn = is_ready && !coming.empty() && Clock::now() - began > opening_max;
      are_in_turn_ |= running.in_turn;
      if (!is_ready || running.in_turn) return;
      open(running);
      coming.push_back(name);
    });
  }
  if (mtu_changed || !coming.empty()) install_();
  for (const std::string& name : coming) {
    RunningPort& running = running_.at(name);
    attempt(name, running, [&] {
      running.way->admit();
      running.why_waiting.clear();
      set_state(name, running, PortState::up);
    });
  }
}

// Ports whose device has gone, or is down. They are out of the next policy.
std::map<std::string, PortState> Ports::ending(const Look& look, const std::set<int>& changed) {
  std::map<std::string, PortState> going;
  for (auto& [name, running] : running_) {
    if (running.device == nullptr) continue;
    const Link* link = look.find(config_.ports.at(name).device);
    const int ifindex = running.device->ifindex();
    const bool vanished = link == nullptr || link->ifindex != ifindex || changed.contains(ifindex);
    if (!vanished && (running.state != PortState::up || link->up)) continue;
    going[name] = vanished ? PortState::waiting : PortState::down;
    running.state = PortState::down;
  }
  return going;
}

void Ports::end(const std::map<std::string, PortState>& going, const Look& look) {
  // Not by structured bindings: clang 14 does not let a lambda have one.
  for (const auto& entry : going) {
    const std::string& name = entry.first;
    const PortState next = entry.second;
    RunningPort& running = running_.at(name);
    attempt(name, running, [&] {
      if (next == PortState::waiting) {
        let_device_go(running);
      } else {
        close(running);
        running.device->set_link(*look.find(config_.ports.at(name).device));
        set_state(name, running, next);
      }
    });
  }
}

// A port whose device is not there.
void Ports::miss(const std::string& name, RunningPort& running, bool is_news) {
  const std::string absence = devices_.absence(config_.ports.at(name).device);
  const std::string why = absence.empty() ? absence : "port " + name + ": " + absence;
  if (std::exchange(running.why_waiting, why) != why && !why.empty()) spdlog::warn("{}", why);
  if (is_news) set_state(name, running, PortState::waiting);
}

// Takes a device that has come, and notes what it is like now. Says whether its MTU is another one.
bool Ports::follow(const std::string& name, RunningPort& running, const Link& link,
                   const Look& look) {
  if (running.state == PortState::waiting) {
    take_device(config_.ports.at(name), running, link, look);
    running.why_waiting.clear();
    set_state(name, running, PortState::down);
  }
  const bool mtu_changed = std::exchange(running.mtu, link.mtu) != link.mtu;
  if (mtu_changed && link.mtu > ConduitDevice::kPortMtuMax) {
    spdlog::warn("port {}: device {} has an MTU of {} now, of which 3494 are used", name, link.name,
                 link.mtu);
  }
  return mtu_changed;
}

// What fails is the port's own trouble: it says why, and is tried again. Among the reasons is a
// socket of ours that the kernel has not let go of yet.
template <class Step>
void Ports::attempt(const std::string& name, RunningPort& running, Step&& step) {
  try {
    step();
  } catch (const BackendError& error) {
    if (retry_ticks_ == 0) retry_ticks_ = retry_ticks_next_;
    const std::string text = of_port(name, error).what();
    if (std::exchange(running.why_waiting, text) != text) spdlog::warn("{}", text);
  }
}

void Ports::set_state(const std::string& name, RunningPort& running, PortState state) {
  running.state = state;
  listener_(name, state);
  switch (state) {
    case PortState::up:
      spdlog::info("port {}: up", name);
      break;
    case PortState::down:
      if (running.device->link().up) break;  // on its way up
      spdlog::warn("port {}: {}", name, down_text(running.device->link()));
      break;
    case PortState::waiting:
      if (!running.why_waiting.empty()) break;  // which was logged
      spdlog::warn("port {}: device {} has gone; waiting for it", name,
                   config_.ports.at(name).device);
      break;
  }
}

}  // namespace bulkhead::control
