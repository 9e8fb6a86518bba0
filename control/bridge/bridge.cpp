#include "control/bridge/bridge.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>

#include "backends/device/offloads.hpp"
#include "backends/error.hpp"
#include "control/bridge/objection.hpp"

namespace bulkhead::control {
namespace {

constexpr std::uint32_t kRetryTicksMax = 32;

Engine::Options engine_options(const config::Config& config) {
  return {config.workers, config.cpus, config.poll == config::Poll::busy, owner_of(config),
          config.shortcut ? config.shortcut_entries : 0};
}

std::map<std::string, SegmentIndex> first_numbers(const config::Config& config) {
  std::map<std::string, SegmentIndex> numbers;
  for (const auto& [name, segment] : config.segments) {
    numbers.emplace(name, static_cast<SegmentIndex>(numbers.size()));
  }
  return numbers;
}

config::Config without_ports(config::Config config) {
  config.ports.clear();
  config.statics.clear();
  return config;
}

std::string down_text(const Link& link) {
  if (!link.up) {
    return "device " + link.name + " is down; set it up: ip link set " + link.name + " up";
  }
  return "device " + link.name + " has no carrier: nobody has it open, or its other end is down";
}

/// What went wrong, as the port's trouble.
BackendError of_port(const std::string& name, const BackendError& error) {
  const std::string prefix = "port " + name + ": ", what = error.what();
  return BackendError(what.starts_with(prefix) ? what : prefix + what);
}

/// The same place on the same device: a change from one to the other needs only a new policy. What
/// claims addresses has all queues of a NIC on one worker (shares_of()).
bool same_place(const config::Port& a, const config::Port& b) {
  const auto claims = [](const config::Port& port) {
    return port.by_xdp() && port.link_local == config::LinkLocal::any;
  };
  return a.device == b.device && a.segment == b.segment && a.by_xdp() == b.by_xdp() &&
         claims(a) == claims(b);
}

constexpr std::chrono::seconds kAwayAfter{60};

/// The MACs and addresses that are the port's own, for a log line.
std::string addresses_text(const config::Port& port) {
  std::string text;
  const auto add = [&](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
  for (const MacAddress mac : port.macs) add(config::to_text(mac));
  for (const auto& address : port.addresses) add(config::to_text(address));
  for (const auto& prefix : port.prefixes) add(config::to_text(prefix));
  return text.empty() ? "nothing" : text;
}

}  // namespace

const char* name_of(PortState state) {
  switch (state) {
    case PortState::up:
      return "up";
    case PortState::down:
      return "down";
    default:
      return "waiting";
  }
}

Bridge::Bridge(config::Config config, Leftovers leftovers, PortListener listener)
    : key_(random_hash_key()),
      config_(without_ports(config)),
      listener_(std::move(listener)),
      segments_(first_numbers(config)),
      index_used_(kPortsMax) {
  engine_ = std::make_unique<Engine>(*compile(config_, {}, segments_, key_), key_,
                                     engine_options(config));
  if (!engine_->guard().has_tcx()) {
    const std::string& trouble = engine_->guard().pins().trouble();
    spdlog::warn(
        "{}: clsact alone guards the devices, and a tcx program that somebody attaches later can "
        "pass by it",
        trouble.empty() ? "this kernel has no tcx" : trouble);
  }
  engine_->guard().release_vanished();
  devices_ = std::make_unique<Devices>(engine_->guard());
  change(std::move(config));
  is_starting_ = false;
  // A killed daemon leaves its guards. Those of our ports' devices were taken over, or stay closed
  // as long as the port cannot have its device.
  devices_->settle_leftovers(
      list_links(), [this](const std::string& name) { return is_named(name); },
      leftovers == Leftovers::keep);
  refresh();
  if (Shortcut* shortcut = engine_->shortcut()) {
    const Pins& pins = engine_->guard().pins();
    may_linger_ = pins.available() && shortcut->replace(pins.path("shortcut"));
    if (!may_linger_ && config_.linger.count() > 0) {
      spdlog::warn("linger: nothing goes on without a daemon, as the BPF file system takes no pin");
    }
  }
}

Bridge::~Bridge() {
  // What the kernel forwards by itself goes on for as long as it may do without a daemon.
  const bool lingers = config_.shortcut && config_.linger.count() > 0 && may_linger_;
  for (auto& [name, attached] : attached_) {
    if (lingers && attached.state == PortState::up && !attached.nic) {
      engine_->guard().close_conduit(attached.index);
      unplug(attached);
      attached.device = nullptr;
    } else {
      let_device_go(attached);
    }
  }
}

bool Bridge::is_named(const std::string& device) const {
  return std::ranges::any_of(config_.ports,
                             [&](const auto& entry) { return entry.second.device == device; });
}

std::optional<std::string> Bridge::objection(const config::Port& port, const Link& link) {
  return control::objection(port, link, engine_->guard().pins(),
                            [this]() -> const std::map<int, std::string>& {
                              if (!host_uses_) host_uses_ = host_uses(list_links());
                              return *host_uses_;
                            });
}

// From here on nothing passes between the device and the host's stack.
void Bridge::take_device(const config::Port& port, Attached& attached, const Link& link) {
  try {
    devices_->claim(link);
  } catch (const BackendError& error) {
    throw of_port(port.name, error);
  }
  if (const auto reason = objection(port, link)) {
    throw BackendError("port " + port.name + ": " + *reason);
  }
  const bool is_new = devices_->find(link.ifindex) == nullptr;
  Device* device = nullptr;
  try {
    device = &devices_->take(link);
    if (port.by_xdp()) {
      attached.nic = make_nic(port, link);
      if (has_far_end(link)) {
        spdlog::warn(
            "port {}: attach = \"xdp\" on {}, which is no NIC: checksums, segments and VLAN tags "
            "that its other end leaves to its device are not seen to; for tests",
            port.name, link.name);
      }
    } else {  // of a time when it was attached by XDP
      put_offloads_back(engine_->guard().pins(), link.ifindex);
    }
  } catch (const BackendError& error) {
    if (is_new) devices_->undo_take(link.ifindex);
    throw of_port(port.name, error);
  }
  if (is_new && link.up && !device->was_guarded()) {
    spdlog::warn("port {}: device {} was up before it was attached: exposed until now", port.name,
                 link.name);
  }
  attached.device = device;
  attached.mtu = link.mtu;
  attached.state = PortState::down;
}

std::unique_ptr<NicDevice> Bridge::make_nic(const config::Port& port, const Link& link) {
  try {
    return std::make_unique<NicDevice>(engine_->nics(), link);
  } catch (const BackendError& error) {
    throw of_port(port.name, error);
  }
}

// Before anything is changed: can a device that is attached over the conduit be attached by XDP?
void Bridge::try_xdp(const config::Port& port, const Link& link) {
  const auto has_it_by_xdp = [&](const auto& entry) {
    return entry.second.nic && entry.second.device->ifindex() == link.ifindex;
  };
  if (std::ranges::any_of(attached_, has_it_by_xdp)) return;
  if (const auto reason = objection(port, link)) {
    throw BackendError("port " + port.name + ": " + *reason);
  }
  try {
    const std::unique_ptr<NicDevice> trial = make_nic(port, link);
  } catch (...) {
    put_offloads_back(engine_->guard().pins(), link.ifindex);
    throw;
  }
  put_offloads_back(engine_->guard().pins(), link.ifindex);
}

// Whose queues a NIC's are: every worker's if there is one for each, and nobody has to have the
// first word on claims.
std::span<const NicDevice::Share> Bridge::shares_of(const Attached& attached,
                                                    const config::Port& port) const {
  const auto all = engine_->nic_shares();
  const bool claims = port.link_local == config::LinkLocal::any;
  const QueueCounts queues = queues_of(attached.device->link().name);
  if (std::min(queues.rx, queues.tx) >= all.size() && !claims) return all;
  return all.subspan(attached.worker, 1);
}

void Bridge::plug(const config::Port& port, Attached& attached) {
  if (attached.nic) {
    attached.nic->open(shares_of(attached, port));
    for (const auto& part : attached.nic->ports()) {
      Plug command(Engine::kNicBackend, attached.index, part.get());
      engine_->call(part->worker, command);
    }
    attached.state = PortState::up;
    return;
  }
  attached.socket = std::make_unique<TransmitSocket>(engine_->umem(), attached.worker,
                                                     attached.device->link().name);
  Plug command(Engine::kConduitBackend, attached.index, attached.socket.get());
  engine_->call(attached.worker, command);
  attached.state = PortState::up;
}

// The worker must not send to it any more: the policy says down already, or the port is gone.
void Bridge::unplug(Attached& attached) {
  if (attached.nic && attached.nic->is_open()) unplug_nic(attached);
  if (attached.socket == nullptr) return;
  Unplug command(Engine::kConduitBackend, attached.index);
  engine_->call(attached.worker, command);
  attached.socket.reset();
}

void Bridge::unplug_nic(Attached& attached) {
  attached.nic->shut();
  for (const auto& port : attached.nic->ports()) {
    Unplug command(Engine::kNicBackend, attached.index);
    engine_->call(port->worker, command);
  }
  if (attached.nic->close()) {
    for (const auto& port : attached.nic->ports()) {
      ReturnChunks give_back(*port);
      engine_->call(port->worker, give_back);
    }
  } else {
    spdlog::error(
        "device {}: the kernel holds on to its AF_XDP sockets; their buffers are not "
        "used again",
        attached.device->link().name);
  }
  attached.nic->forget();
}

// Its frames come in from now on.
void Bridge::admit(Attached& attached) {
  if (attached.nic) {
    attached.nic->admit();
  } else {
    engine_->guard().open(attached.device->ifindex(), attached.index,
                          engine_->conduit(attached.worker).ifindex());
  }
}

// It stays guarded, closed; what becomes of it is for devices_ to say.
void Bridge::let_device_go(Attached& attached) {
  if (attached.state == PortState::waiting) return;
  engine_->guard().close(attached.device->ifindex(), attached.index);
  unplug(attached);
  if (attached.nic) {
    attached.nic_before += attached.nic->counts();
    attached.nic.reset();
  }
  attached.device = nullptr;
  attached.state = PortState::waiting;
}

// In turn, so that a place rests before it is another port's.
PortIndex Bridge::new_index() {
  for (std::size_t tries = 0; tries < kPortsMax; ++tries) {
    index_last_ = (index_last_ + 1) % kPortsMax;
    if (index_used_[index_last_]) continue;
    index_used_[index_last_] = true;
    return static_cast<PortIndex>(index_last_);
  }
  throw BackendError("too many ports: all places are in use");
}

// Who claims an address first is for one worker to say: where a port says, or where one is already.
std::map<std::string, std::uint8_t> Bridge::claim_workers(const config::Config& next) const {
  std::map<std::string, std::uint8_t> workers;
  for (const auto& [name, port] : next.ports) {
    if (port.link_local != config::LinkLocal::any) continue;
    const auto attached = attached_.find(name);
    if (port.worker) {
      workers[port.segment] = static_cast<std::uint8_t>(*port.worker);
    } else if (attached != attached_.end() && same_place(config_.ports.at(name), port)) {
      workers.try_emplace(port.segment, attached->second.worker);
    }
  }
  return workers;
}

// By the worker's part of all ports and of all frames that come in lately.
std::uint8_t Bridge::idlest_worker(const std::map<std::string, Attached>& fresh) const {
  struct Load {
    double ports = 0, frames = 0;
  };
  std::vector<Load> loads(engine_->worker_count());
  Load all{1, 1};  // never nothing
  for (const auto* ports : {&attached_, &fresh}) {
    for (const auto& [name, attached] : *ports) {
      for (Load* load : {&loads[attached.worker], &all}) {
        load->ports += 1;
        load->frames += attached.arrival.frames_per_tick();
      }
    }
  }
  const auto idlest = std::ranges::min_element(loads, {}, [&](const Load& load) {
    return load.ports / all.ports + load.frames / all.frames;
  });
  return static_cast<std::uint8_t>(idlest - loads.begin());
}

void Bridge::number_segments(const config::Config& config) {
  std::erase_if(segments_,
                [&](const auto& entry) { return !config.segments.contains(entry.first); });
  for (const auto& [name, segment] : config.segments) {
    if (segments_.contains(name)) continue;
    SegmentIndex number = 0;
    while (std::ranges::any_of(segments_, [&](const auto& e) { return e.second == number; })) {
      ++number;
    }
    segments_.emplace(name, number);
  }
}

// Why the kernel may not repeat verdicts about the port's frames; nothing if it may.
std::string Bridge::why_no_road(const config::Config& config, const config::Port& port,
                                const Attached& attached) {
  if (!config.shortcut) return "shortcut = false in [bulkhead]";
  if (port.shortcut == config::ShortcutUse::none) return "shortcut = false";
  if (port.by_xdp()) return "attach = \"xdp\"";
  if (attached.state != PortState::up) return "the port is not up";
  return {};
}

// How the kernel itself gets frames to the port, if it may.
std::uint8_t Bridge::road_to(const config::Config& config, const config::Port& port,
                             const Attached& attached) {
  if (!why_no_road(config, port, attached).empty()) return BULKHEAD_ROAD_NONE;
  const bool by_peer =
      port.shortcut == config::ShortcutUse::full && attached.device->link().peer_elsewhere;
  return by_peer ? BULKHEAD_ROAD_PEER : BULKHEAD_ROAD_REDIRECT;
}

// Puts the policy of `config`, for the ports as they are now, in force.
void Bridge::install(const config::Config& config) {
  std::map<std::string, Site> sites;
  for (const auto& [name, port] : config.ports) {
    const Attached& attached = attached_.at(name);
    const std::uint8_t backend = port.by_xdp() ? Engine::kNicBackend : Engine::kConduitBackend;
    const bool is_waiting = attached.state == PortState::waiting;
    const bool spread = attached.nic && attached.nic->ports().size() > 1;
    sites[name] = {attached.index,
                   backend,
                   attached.state == PortState::up,
                   std::min(attached.mtu, ConduitDevice::kPortMtuMax),
                   attached.worker,
                   spread,
                   is_waiting ? 0 : static_cast<std::uint32_t>(attached.device->ifindex()),
                   attached.away && is_waiting,
                   road_to(config, port, attached)};
  }
  engine_->swap(compile(config, sites, segments_, key_));
}

void Bridge::change(config::Config next) {
  host_uses_.reset();
  // 1. What stays, what goes, what comes.
  std::set<std::string> gone, come;
  std::map<std::string, std::uint8_t> claim_worker = claim_workers(next);
  const auto worker_wanted = [&](const config::Port& port) -> std::optional<std::uint8_t> {
    if (port.worker) return static_cast<std::uint8_t>(*port.worker);
    if (port.link_local != config::LinkLocal::any) return std::nullopt;
    const auto place = claim_worker.find(port.segment);
    if (place == claim_worker.end()) return std::nullopt;
    return place->second;
  };
  for (const auto& [name, port] : config_.ports) {
    const auto after = next.ports.find(name);
    const bool stays = after != next.ports.end() && same_place(port, after->second) &&
                       worker_wanted(after->second).value_or(attached_.at(name).worker) ==
                           attached_.at(name).worker;
    if (!stays) gone.insert(name);
  }
  for (const auto& [name, port] : next.ports) {
    if (!config_.ports.contains(name) || gone.contains(name)) come.insert(name);
  }
  // 2. Everything that may fail, on the side.
  std::map<std::string, Attached> fresh;
  std::vector<int> taken;
  const auto undo = [&] {
    for (auto& [name, attached] : fresh) {
      let_device_go(attached);
      index_used_[attached.index] = false;
    }
    for (const int ifindex : taken) devices_->undo_take(ifindex);
  };
  std::set<std::string> moved_devices;
  for (const std::string& name : gone) moved_devices.insert(config_.ports.at(name).device);
  const std::map<std::string, Link> links = list_links();
  try {
    for (const std::string& name : come) {
      const config::Port& port = next.ports.at(name);
      const std::uint8_t worker = worker_wanted(port).value_or(idlest_worker(fresh));
      Attached& attached = fresh[name];
      attached.index = new_index();
      attached.worker = worker;
      if (port.link_local == config::LinkLocal::any) {
        claim_worker.try_emplace(port.segment, attached.worker);
      }
      engine_->guard().slots()[attached.index] = {};
      if (Shortcut* shortcut = engine_->shortcut()) shortcut->reset_counts(attached.index);
      const auto link = links.find(port.device);
      if (link == links.end()) continue;
      if (moved_devices.contains(port.device)) {
        if (port.by_xdp()) try_xdp(port, link->second);
        continue;
      }
      if (is_starting_) continue;  // refresh() tries, and may fail
      const bool is_new = devices_->find(link->second.ifindex) == nullptr;
      take_device(port, attached, link->second);
      if (is_new) taken.push_back(link->second.ifindex);
    }
  } catch (...) {
    undo();
    throw;
  }
  // 3. Commit. First the ports that go: out of the policy, then off their devices.
  if (!gone.empty()) {
    config::Config remaining = config_;
    for (const std::string& name : gone) remaining.ports.erase(name);
    std::erase_if(remaining.statics,
                  [&](const config::Static& entry) { return gone.contains(entry.port); });
    install(remaining);
  }
  for (const std::string& name : gone) {
    remove(name, attached_.at(name));
    attached_.erase(name);
  }
  number_segments(next);
  for (auto& [name, attached] : fresh) attached_.emplace(name, std::move(attached));
  config_ = std::move(next);
  install(config_);
  for (const std::string& name : come) {
    const PortState state = attached_.at(name).state;
    spdlog::info("port {}: added, segment {}, device {}", name, config_.ports.at(name).segment,
                 config_.ports.at(name).device);
    if (state == PortState::waiting && !links.contains(config_.ports.at(name).device)) {
      spdlog::warn("port {}: waiting for device {}", name, config_.ports.at(name).device);
    }
    if (!config_.ports.at(name).enforce) {
      spdlog::warn("port {}: shadow mode, the port is NOT protected", name);
    }
  }
  refresh(links, {});
  devices_->give_back_unnamed([this](const std::string& device) { return is_named(device); });
}

void Bridge::remove(const std::string& name, Attached& attached) {
  let_device_go(attached);
  // Nothing of the port may be left when its place is used for another.
  engine_->drain();
  FlushFdb::What flush;
  flush.port = attached.index;
  flush.reset = true;
  engine_->flush(flush);
  index_used_[attached.index] = false;
  spdlog::info("port {}: deleted", name);
}

void Bridge::set_state(const std::string& name, Attached& attached, PortState state) {
  attached.state = state;
  listener_(name, state);
  const std::string& device = config_.ports.at(name).device;
  switch (state) {
    case PortState::up:
      spdlog::info("port {}: up", name);
      break;
    case PortState::down:
      if (attached.device->link().up) break;  // on its way up
      spdlog::warn("port {}: {}", name, down_text(attached.device->link()));
      break;
    case PortState::waiting:
      if (!attached.why_waiting.empty()) break;  // which was logged
      spdlog::warn("port {}: device {} has gone; waiting for it", name, device);
      break;
  }
}

void Bridge::refresh() { refresh(list_links(), {}); }

void Bridge::follow(const LinkNotices& notices) {
  if (notices.qdiscs || notices.lost) devices_->look_at_qdiscs();
  if (notices.links || notices.lost) refresh(list_links(), notices);
  const auto note = [this](const Device& device, const Guard::Mended& mended) {
    note_mended(device, mended);
  };
  if (notices.lost) {
    devices_->mend_some(devices_->size(), note);
  } else {
    for (const int ifindex : notices.hooks) devices_->mend(ifindex, note);
  }
}

// However many ports change, a policy is put in force twice at most: without those that go before
// they are unplugged, and with those that come before they are let in.
void Bridge::refresh(const Links& links, const LinkNotices& notices) {
  host_uses_.reset();
  const auto link_of = [&](const std::string& name) -> const Link* {
    const auto link = links.find(config_.ports.at(name).device);
    return link == links.end() ? nullptr : &link->second;
  };
  const std::set<int> changed = devices_->changed(links, notices);
  std::map<std::string, PortState> going;
  for (auto& [name, attached] : attached_) {
    if (attached.device == nullptr) continue;
    const Link* link = link_of(name);
    const int ifindex = attached.device->ifindex();
    const bool vanished = link == nullptr || link->ifindex != ifindex || changed.contains(ifindex);
    if (!vanished && (attached.state != PortState::up || link->up)) continue;
    going[name] = vanished ? PortState::waiting : PortState::down;
    attached.state = PortState::down;
  }
  if (!going.empty()) install(config_);  // nothing is sent there any more
  // Not by structured bindings: clang 14 does not let a lambda have one.
  for (const auto& entry : going) {
    const std::string& name = entry.first;
    const PortState next = entry.second;
    Attached& attached = attached_.at(name);
    attempt(name, attached, [&] {
      if (next == PortState::waiting) {
        let_device_go(attached);
      } else {
        unplug(attached);
        attached.device->set_link(*link_of(name));
        set_state(name, attached, next);
      }
    });
  }
  devices_->follow(links, changed);
  bool mtu_changed = false;
  std::vector<std::string> coming;
  for (auto& entry : attached_) {
    const std::string& name = entry.first;
    Attached& attached = entry.second;
    const Link* link = link_of(name);
    if (link == nullptr) {
      miss(name, attached, going.contains(name));
      continue;
    }
    attempt(name, attached, [&] {
      mtu_changed |= follow(name, attached, *link);
      follow_carrier(name, attached, *link);
      if (attached.state != PortState::down || !link->up) return;
      plug(config_.ports.at(name), attached);
      coming.push_back(name);
    });
  }
  if (mtu_changed || !coming.empty()) install(config_);
  for (const std::string& name : coming) {
    Attached& attached = attached_.at(name);
    attempt(name, attached, [&] {
      admit(attached);
      attached.why_waiting.clear();
      set_state(name, attached, PortState::up);
    });
  }
}

// A port whose device is not there.
void Bridge::miss(const std::string& name, Attached& attached, bool is_news) {
  const std::string absence = devices_->absence(config_.ports.at(name).device);
  const std::string why = absence.empty() ? absence : "port " + name + ": " + absence;
  if (std::exchange(attached.why_waiting, why) != why && !why.empty()) spdlog::warn("{}", why);
  if (is_news) set_state(name, attached, PortState::waiting);
}

// What somebody did to a guard, and that it is undone: to the log, and counted for the port.
void Bridge::note_mended(const Device& device, const Guard::Mended& mended) {
  const std::string& name = device.link().name;
  for (auto& [port_name, attached] : attached_) {
    if (config_.ports.at(port_name).device != device.taken_as()) continue;
    if (!mended.put_back.empty()) {
      ++attached.guard_restored;
      spdlog::warn("port {}: device {}: somebody took off {} of the guard; it is back", port_name,
                   name, mended.put_back);
    }
    if (!mended.trouble.empty()) {
      spdlog::warn("port {}: device {}: {}", port_name, name, mended.trouble);
    }
  }
}

// Takes a device that has come, and notes what it is like now. Says whether its MTU is another one.
bool Bridge::follow(const std::string& name, Attached& attached, const Link& link) {
  if (attached.state == PortState::waiting) {
    take_device(config_.ports.at(name), attached, link);
    attached.why_waiting.clear();
    set_state(name, attached, PortState::down);
  }
  const bool mtu_changed = std::exchange(attached.mtu, link.mtu) != link.mtu;
  if (mtu_changed && link.mtu > ConduitDevice::kPortMtuMax) {
    spdlog::warn("port {}: device {} has an MTU of {} now, of which 3494 are used", name, link.name,
                 link.mtu);
  }
  return mtu_changed;
}

// A port without a carrier is shown as down, and goes on: the kernel tells of a carrier up to a
// second late (net/core/link_watch.c), and what a guest says first must not be lost.
void Bridge::follow_carrier(const std::string& name, Attached& attached, const Link& link) {
  if (attached.state != PortState::up) {
    attached.had_carrier = true;
    return;
  }
  if (std::exchange(attached.had_carrier, link.has_carrier) == link.has_carrier) return;
  listener_(name, link.has_carrier ? PortState::up : PortState::down);
  if (link.has_carrier) {
    spdlog::info("port {}: up", name);
  } else {
    spdlog::warn("port {}: {}", name, down_text(link));
  }
}

/// As the kernel says now, if its last notice said no.
bool Bridge::has_carrier(const Attached& attached) {
  const Link& known = attached.device->link();
  if (known.has_carrier) return true;
  const std::optional<Link> now = find_link(known.name);
  return now && now->ifindex == known.ifindex && now->has_carrier;
}

// What fails is the port's own trouble: it says why, and is tried again. Among the reasons is a
// socket of ours that the kernel has not let go of yet.
template <class Step>
void Bridge::attempt(const std::string& name, Attached& attached, Step&& step) {
  try {
    step();
  } catch (const BackendError& error) {
    if (retry_ticks_ == 0) retry_ticks_ = retry_ticks_next_;
    const std::string text = of_port(name, error).what();
    if (std::exchange(attached.why_waiting, text) != text) spdlog::warn("{}", text);
  }
}

// A guest whose device has been gone for long may live on another host by now, behind a trusted
// port: there its addresses are accepted then.
void Bridge::follow_absences(std::chrono::steady_clock::time_point now) {
  bool changed = false;
  for (auto& [name, attached] : attached_) {
    if (attached.state != PortState::waiting) {
      attached.waiting_since.reset();
      changed |= std::exchange(attached.away, false);
      continue;
    }
    if (!attached.waiting_since) attached.waiting_since = now;
    if (attached.away || now - *attached.waiting_since < kAwayAfter) continue;
    attached.away = changed = true;
    spdlog::warn(
        "port {}: device {} has been gone for a minute; until it is back, trusted ports of "
        "segment {} may use what is {}'s: {}",
        name, config_.ports.at(name).device, config_.ports.at(name).segment, name,
        addresses_text(config_.ports.at(name)));
  }
  if (changed) install(config_);
}

void Bridge::tick(std::chrono::steady_clock::time_point now) {
  if (Shortcut* shortcut = engine_->shortcut()) {
    constexpr std::chrono::milliseconds kLingerMin{500};  // several ticks: one may be late
    const auto linger = may_linger_ ? config_.linger : std::chrono::seconds(0);
    shortcut->keep_open_for(std::max<std::chrono::nanoseconds>(linger, kLingerMin));
  }
  follow_absences(now);
  if (devices_->has_new()) devices_->look_at_qdiscs();
  constexpr std::size_t kLooks = 50;    // ticks for all devices: five seconds
  constexpr std::size_t kLooksMax = 8;  // a tick: with more than 400 devices it takes longer
  devices_->mend_some(
      std::min(1 + devices_->size() / kLooks, kLooksMax),
      [this](const Device& device, const Guard::Mended& mended) { note_mended(device, mended); });
  if (retry_ticks_ > 0 && --retry_ticks_ == 0) {
    retry_ticks_next_ = std::min(2 * retry_ticks_next_, kRetryTicksMax);
    refresh();
    if (retry_ticks_ == 0) retry_ticks_next_ = 1;
  }
  for (auto& [name, attached] : attached_) {
    if (attached.state == PortState::waiting) continue;
    if (attached.nic) {
      follow_queues(name, attached);
    } else {
      const bulkhead_slot& slot = engine_->guard().slots()[attached.index];
      attached.arrival.look(__atomic_load_n(&slot.received, __ATOMIC_RELAXED));
    }
  }
}

// Frames of a queue that the device has got since have no socket to go to; and a veth does not run
// the program on it (veth_set_channels() of 6.18), so that they end at the guard. The device is
// taken anew.
void Bridge::follow_queues(const std::string& name, Attached& attached) {
  constexpr std::uint32_t kEveryTicks = 10;
  if (attached.state != PortState::up || ++attached.nic_ticks < kEveryTicks) return;
  attached.nic_ticks = 0;
  try {
    if (!attached.nic->has_changed()) return;
    spdlog::info("port {}: device {} has another number of queues now", name,
                 attached.device->link().name);
    attached.state = PortState::down;
    install(config_);
    let_device_go(attached);
    refresh();
  } catch (const BackendError&) {
    // The device has gone; refresh() will hear of it.
  }
}

std::string Bridge::trouble_of(const std::string& name, const Attached& attached, bool is_up) {
  if (attached.device == nullptr) return {};
  const Link& link = attached.device->link();
  if (!is_up) return "port " + name + ": " + down_text(link);
  if (attached.device->trouble().empty()) return {};
  return "port " + name + ": device " + link.name + ": " + attached.device->trouble();
}

PortStatus Bridge::status_of(const std::string& port) const {
  const Attached& attached = attached_.at(port);
  const bool is_up = attached.state == PortState::up && has_carrier(attached);
  return {.config = &config_.ports.at(port),
          .state = attached.state == PortState::up && !is_up ? PortState::down : attached.state,
          .why = attached.why_waiting.empty() ? trouble_of(port, attached, is_up)
                                              : attached.why_waiting,
          .mtu = attached.mtu,
          .index = attached.index,
          .worker = attached.worker,
          .nic = attached.nic.get(),
          .road = road_to(config_, config_.ports.at(port), attached),
          .why_no_road = why_no_road(config_, config_.ports.at(port), attached),
          .guard_restored = attached.guard_restored};
}

Intake Bridge::intake_of(const std::string& port, std::uint64_t received) const {
  if (config_.ports.at(port).by_xdp()) return nic_intake(attached_.at(port), received);
  const Attached& attached = attached_.at(port);
  return conduit_intake(engine_->guard().slots()[attached.index],
                        engine_->guard().conduits()[attached.worker], received);
}

Intake Bridge::nic_intake(const Attached& attached, std::uint64_t received) const {
  NicDevice::Counts counts = attached.nic_before;
  if (attached.nic) counts += attached.nic->counts();
  Intake intake;
  intake.overrun = counts.lost;
  intake.handed = std::max(counts.handed, received + counts.lost);
  intake.in_flight = intake.handed - received - counts.lost;
  return intake;
}

std::optional<std::string> Bridge::name_of(PortIndex index) const {
  for (const auto& [name, attached] : attached_) {
    if (attached.index == index) return name;
  }
  return std::nullopt;
}

std::string Bridge::segment_name(SegmentIndex index) const {
  for (const auto& [name, number] : segments_) {
    if (number == index) return name;
  }
  return {};
}

}  // namespace bulkhead::control
