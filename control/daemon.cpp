#include "control/daemon.hpp"

#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <utility>

#include <boost/asio.hpp>
#include <chrono>
#include <csignal>
#include <map>
#include <memory>

#include "backends/device/link.hpp"
#include "backends/error.hpp"
#include "backends/privileges.hpp"
#include "control/bridge/bridge.hpp"
#include "control/observe/explanation.hpp"
#include "control/rpc/methods.hpp"
#include "control/rpc/socket.hpp"
#include "control/state.hpp"

namespace bulkhead::control {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr auto kTick = std::chrono::milliseconds(100);
constexpr auto kDropLogInterval = std::chrono::seconds(10);

class Daemon {
 public:
  Daemon(const BoundSocket& bound, StateFile& state_file, const StateFile::Restored& restored);
  void run();

 private:
  void change(config::Config next);
  void reload();
  void follow_devices();
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
                [this] { reload(); }}),
      devices_(context_, ::dup(monitor_.fd())),
      worker_(context_, ::dup(bridge_.engine().event_fd())),
      signals_(context_, SIGTERM, SIGINT, SIGHUP),
      timer_(context_),
      catch_up_timer_(context_) {
  socket_ = std::make_unique<ControlSocket>(context_, bound, methods_, [this](bool watched) {
    bridge_.engine().call_all([&](std::uint8_t) {
      return std::make_unique<WatchDrops>(watched ? DropReporter::kWatched : DropReporter::kQuiet);
    });
  });
}

void Daemon::run() {
  follow_devices();
  follow_worker();
  follow_signals();
  tick();
  bridge_.refresh();  // what changed before the first notice
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
void Daemon::reload() {
  const config::Config& running = bridge_.config();
  config::Config next = config::load(running.file);
  const auto refuse = [&](const char* key) {
    throw config::ConfigError(running.file + ": " + key +
                              " cannot change while bulkheadd runs; restart it");
  };
  if (next.workers != running.workers) refuse("workers");
  if (next.poll != running.poll) refuse("poll");
  if (next.cpus != running.cpus) refuse("cpus");
  if (next.state != running.state) refuse("state");
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
  spdlog::info("reloaded {}: {} ports", bridge_.config().file, bridge_.config().ports.size());
}

void Daemon::follow_signals() {
  signals_.async_wait([this](boost::system::error_code error, int signal) {
    if (error) return;
    if (signal != SIGHUP) return context_.stop();
    sd_notify(0, "RELOADING=1");
    try {
      reload();
    } catch (const std::runtime_error& failure) {
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
                        if (monitor_.drain()) bridge_.refresh();
                        follow_devices();
                      });
}

void Daemon::follow_worker() {
  worker_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [this](boost::system::error_code error) {
                       if (error) return;
                       handle_events();
                       follow_worker();
                     });
}

void Daemon::tick() {
  handle_events();  // those that came while a command was waited for
  bridge_.tick();
  if (catch_up_timer_.expiry() <= Clock::now()) catch_up();
  feed_watchdog();
  timer_.expires_after(kTick);
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error) tick();
  });
}

// A link takes the kernel a good while. Between two of them whoever has a command has his turn.
void Daemon::catch_up() {
  constexpr auto kPause = std::chrono::milliseconds(5);
  try {
    if (!bridge_.engine().guard().catch_up()) return;
  } catch (const BackendError& error) {
    spdlog::warn("{}; the device is guarded by clsact alone", error.what());
  }
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
  watchdog_fed_ = now;
  // Throws if a worker does not answer.
  bridge_.engine().call_all([](std::uint8_t) { return std::make_unique<Ping>(); });
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
  if (!is_new && now - place->second < kDropLogInterval) return;
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
  StateFile state(config::state_path(config));
  const StateFile::Restored restored = state.restore(config);
  Daemon daemon(bound, state, restored);
  daemon.run();
}

}  // namespace bulkhead::control
