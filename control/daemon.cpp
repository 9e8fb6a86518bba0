// The loop of the control thread.
//
// Who may throw, and who catches: a command, an event, a look at the devices and a tick may throw
// anything, and leave what was in force before. answer() (control/rpc/rpc.cpp) catches what a
// command throws, and its client gets an error; a Peer (control/rpc/socket.cpp) what fails for one
// client, and hangs up; Daemon::attempt() everything else: one line in the log, and the loop goes
// on. What has to be done all the same is tried again by the next tick. So after the start only
// signals end the daemon, and systemd's watchdog, which is not fed while a worker does not answer.
#include "control/daemon.hpp"

#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <utility>

#include <boost/asio.hpp>
#include <chrono>
#include <csignal>
#include <map>
#include <memory>

#include "backends/descriptors.hpp"
#include "backends/device/link_monitor.hpp"
#include "backends/error.hpp"
#include "backends/privileges.hpp"
#include "control/bridge/bridge.hpp"
#include "control/memory_reserve.hpp"
#include "control/observe/explanation.hpp"
#include "control/rpc/methods.hpp"
#include "control/rpc/socket.hpp"
#include "control/state.hpp"

namespace bulkhead::control {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kDescriptorsPerPort = 2;
constexpr auto kTick = std::chrono::milliseconds(100);
constexpr auto kLogInterval = std::chrono::seconds(10);  // between two lines about the same

class Daemon {
 public:
  Daemon(const BoundSocket& bound, StateFile& state_file, const StateFile::Restored& restored);
  void run();

 private:
  void change(config::Config next);
  config::Changes reload();
  template <class Step>
  void attempt(const char* what, Step&& step);
  void complain(const char* what, const char* why);
  void follow_devices();
  void look_at_devices();
  void look_after_conduits();
  void follow_worker();
  void follow_signals();
  void tick();
  void catch_up();
  void feed_watchdog();
  void handle_events();
  void log_drop(const Event& event);

  StateFile& state_;
  asio::io_context context_;
  LinkMonitor monitor_;
  std::unique_ptr<ControlSocket> socket_;  // told of ports by the bridge, hence before it
  Bridge bridge_;
  Methods methods_;
  asio::posix::stream_descriptor devices_;
  asio::posix::stream_descriptor worker_;
  asio::signal_set signals_;
  asio::steady_timer timer_;
  asio::steady_timer catch_up_timer_;
  Clock::time_point watchdog_fed_;
  LinkNotices notices_;                                  // of devices, since the last look at them
  std::uint32_t conduit_ticks_ = 0;                      // since the last look at them
  std::map<std::string, Clock::time_point> complained_;  // of what fails, by the line
  std::map<std::pair<PortIndex, DropReason>, Clock::time_point> drop_logged_;
};

Daemon::Daemon(const BoundSocket& bound, StateFile& state_file, const StateFile::Restored& restored)
    : state_(state_file),
      bridge_(restored.config,
              restored.complete ? Bridge::Leftovers::release : Bridge::Leftovers::keep,
              [this](const std::string& port, PortState state) {
                if (socket_) socket_->publish("port", Methods::port_event_json(port, state));
              }),
      methods_({bridge_, [this](config::Config next) { change(std::move(next)); },
                [this] { return reload(); }}),
      devices_(context_, ::dup(monitor_.fd())),
      worker_(context_, ::dup(bridge_.engine().event_fd())),
      signals_(context_, SIGTERM, SIGINT, SIGHUP),
      timer_(context_),
      catch_up_timer_(context_) {
  bridge_.engine().while_waiting([this] { feed_watchdog(); });
  socket_ = std::make_unique<ControlSocket>(context_, bound, methods_, [this](bool watched) {
    bridge_.engine().call_all([&](std::uint8_t) {
      return std::make_unique<WatchDrops>(watched ? DropReporter::kWatched : DropReporter::kQuiet);
    });
  });
}

void Daemon::run() {
  notices_.links = true;  // what changed before the first notice
  follow_devices();
  follow_worker();
  follow_signals();
  tick();  // looks at the devices, which may have changed before the first notice
  spdlog::info("ready: {} ports, control socket {}", bridge_.config().ports.size(),
               bridge_.config().socket);
  confine_control();
  sd_notify(0, "READY=1");
  context_.run();
  sd_notify(0, "STOPPING=1");
  spdlog::info("stopping: the ports' devices stay closed until a bulkheadd is back");
  socket_.reset();
}

// What a command wants, or a reload.
void Daemon::change(config::Config next) {
  const auto overruled = config::remove_overruled_statics(next);
  config::add_missing_segments(next);
  const std::string file = std::exchange(next.file, {});
  config::check(next);  // what is wrong now is the command's, not the file's
  next.file = file;
  const config::Config before = bridge_.config();
  state_.change(before, next, [this](const config::Config& config) { bridge_.change(config); });
  for (const std::string& text : overruled) spdlog::warn("{}; the static entry is gone", text);
}

// All or nothing: what is wrong with the file is thrown before anything is touched.
config::Changes Daemon::reload() {
  const config::Config running = bridge_.config();
  config::Config next = config::load(running.file);
  const auto refuse = [&](const char* key) {
    throw config::ConfigError(running.file + ": " + key +
                              " cannot change while bulkheadd runs; restart it");
  };
  if (next.workers != running.workers) refuse("workers");
  if (next.poll != running.poll) refuse("poll");
  if (next.cpus != running.cpus) refuse("cpus");
  if (next.state != running.state) refuse("state");
  if (next.shortcut != running.shortcut) refuse("shortcut");
  if (next.shortcut_entries != running.shortcut_entries) refuse("shortcut_entries");
  next.socket = running.socket;  // --socket may have said another
  for (const auto& [name, port] : running.ports) {
    if (port.by_command()) next.ports.try_emplace(name, port);
  }
  config::add_missing_segments(next);
  config::check(next);
  for (const config::Static& entry : running.statics) {
    if (entry.by_command()) next.statics.push_back(entry);
  }
  const std::string level = next.log;
  change(std::move(next));
  spdlog::set_level(spdlog::level::from_str(level));
  config::Changes changes = config::changes_between(running, bridge_.config());
  spdlog::info("reloaded {}: {}", running.file, config::to_text(changes));
  return changes;
}

void Daemon::follow_signals() {
  signals_.async_wait([this](boost::system::error_code error, int signal) {
    if (error) return;
    if (signal != SIGHUP) return context_.stop();
    sd_notify(0, "RELOADING=1");
    try {
      reload();
    } catch (const std::bad_alloc&) {
      spdlog::error("reload: no memory for it; the configuration before stays in force");
    } catch (const std::exception& failure) {
      spdlog::error("reload: {}; the configuration before stays in force", failure.what());
    }
    sd_notify(0, "READY=1");
    follow_signals();
  });
}

void Daemon::follow_devices() {
  devices_.async_wait(asio::posix::stream_descriptor::wait_read,
                      [this](boost::system::error_code error) {
                        if (error) return;
                        notices_ += monitor_.drain();
                        attempt("devices", [this] { look_at_devices(); });
                        follow_devices();
                      });
}

// What fails is tried again by the next tick.
void Daemon::look_at_devices() {
  if (!notices_.any()) return;
  bridge_.ports().follow(notices_);
  notices_ = {};
}

void Daemon::look_after_conduits() {
  constexpr std::uint32_t kEveryTicks = 8;
  if (++conduit_ticks_ < kEveryTicks) return;
  conduit_ticks_ = 0;
  for (const std::string& line : bridge_.engine().look_after_conduits()) spdlog::warn("{}", line);
}

template <class Step>
void Daemon::attempt(const char* what, Step&& step) {
  try {
    step();
  } catch (const std::bad_alloc&) {
    complain(what, "there is no memory for it");
  } catch (const std::exception& error) {
    complain(what, error.what());
  }
}

// The same trouble may come ten times a second.
void Daemon::complain(const char* what, const char* why) {
  const auto now = Clock::now();
  std::erase_if(complained_,
                [now](const auto& entry) { return now - entry.second >= kLogInterval; });
  const std::string line = std::string(what) + ": " + why;
  if (complained_.emplace(line, now).second) spdlog::error("{}; trying again", line);
}

void Daemon::follow_worker() {
  worker_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [this](boost::system::error_code error) {
                       if (error) return;
                       attempt("events", [this] { handle_events(); });
                       follow_worker();
                     });
}

void Daemon::tick() {
  attempt("events", [this] { handle_events(); });  // that came while a command was waited for
  attempt("devices", [this] { look_at_devices(); });
  attempt("ports", [this] { bridge_.ports().tick(Clock::now()); });
  attempt("conduits", [this] { look_after_conduits(); });
  if (catch_up_timer_.expiry() <= Clock::now()) catch_up();
  attempt("watchdog", [this] { feed_watchdog(); });
  timer_.expires_after(kTick);
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error) tick();
  });
}

// Each step takes the kernel a good while. Between two of them whoever has a command has his turn.
void Daemon::catch_up() {
  constexpr auto kPause = std::chrono::milliseconds(5);
  bool is_more = true;
  attempt("what follows a change", [&] { is_more = bridge_.ports().catch_up(); });
  if (!is_more) return;
  catch_up_timer_.expires_after(kPause);
  catch_up_timer_.async_wait([this](boost::system::error_code error) {
    if (!error) catch_up();
  });
}

// systemd restarts a daemon whose control thread or one of whose workers does not get on.
void Daemon::feed_watchdog() {
  std::uint64_t limit_us = 0;
  if (sd_watchdog_enabled(0, &limit_us) <= 0) return;
  const auto now = Clock::now();
  if (now - watchdog_fed_ < std::chrono::microseconds(limit_us / 3)) return;
  if (!bridge_.engine().workers_get_on()) return;  // again at the next tick
  watchdog_fed_ = now;
  sd_notify(0, "WATCHDOG=1");
}

void Daemon::handle_events() {
  for (const Event& event : bridge_.engine().take_events()) {
    const bool is_drop = event.kind == Event::Kind::dropped;
    if (is_drop) log_drop(event);
    const Json json = methods_.event_json(event);
    if (!json.is_null()) socket_->publish(is_drop ? "drop" : "fdb", json);
  }
}

void Daemon::log_drop(const Event& event) {
  const auto now = Clock::now();
  const auto [place, is_new] = drop_logged_.try_emplace({event.port, event.reason}, now);
  if (!is_new && now - place->second < kLogInterval) return;
  place->second = now;
  const Json json = methods_.event_json(event);
  if (json.is_null()) return;
  const auto port = bridge_.config().ports.find(json["port"].get<std::string>());
  spdlog::warn(
      "port {}: {} {} at {}: from {}, {} -> {}, ethertype {}, {} -> {}, {} bytes; it has {}",
      port->first, json["reason"].get<std::string>(),
      event.shadow ? "passed (shadow mode)" : "dropped", json["side"].get<std::string>(),
      json["from"].get<std::string>(), json.value("source", "?"), json.value("destination", "?"),
      json.value("ethertype", "?"), json.value("sender", "-"), json.value("receiver", "-"),
      event.length, binding_text(port->second));
}

}  // namespace

void run_daemon(const config::Config& config) {
  // In this order: a second daemon is refused before it touches anything.
  const BoundSocket bound(config.socket);
  MemoryReserve::install();
  const std::uint64_t descriptors = Descriptors::raise_limit();
  if (descriptors < kDescriptorsPerPort * config.ports.size() + Descriptors::kReserved) {
    spdlog::warn("{} descriptors are too few for {} ports, some will wait; raise LimitNOFILE",
                 descriptors, config.ports.size());
  }
  StateFile state(config::state_path(config));
  const StateFile::Restored restored = state.restore(config);
  Daemon daemon(bound, state, restored);
  daemon.run();
}

}  // namespace bulkhead::control
