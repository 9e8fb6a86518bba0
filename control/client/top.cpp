#include "control/client/top.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <iostream>
#include <optional>

#include "control/client/client.hpp"
#include "control/client/processor_time.hpp"

namespace bulkhead::control {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

std::string cut(const std::string& text, std::size_t columns) {
  if (columns == 0 || text.size() <= columns) return text;
  return text.substr(0, columns - 1) + '+';
}

std::string rates_text(const Rates& rates) {
  return fmt::format("in {} frames/s, {}bit/s; out {} frames/s, {}bit/s; dropped {}/s",
                     short_number(rates.rx_frames), short_number(rates.rx_bits),
                     short_number(rates.tx_frames), short_number(rates.tx_bits),
                     short_number(rates.drops));
}

std::string reason_text(const PortRates& port) {
  constexpr double kAll = 0.995;  // as a percentage 100
  if (port.reason.empty() || port.reason_share >= kAll) return port.reason;
  return fmt::format("{} {:.0f}%", port.reason, port.reason_share * 100);
}

/// Name and segment as wide as they are, or as there is room for.
class Columns {
 public:
  Columns(const std::vector<PortRates>& ports, std::size_t columns) {
    constexpr std::size_t kOthers = 60;  // state, rates, the longest of most reasons
    for (const PortRates& port : ports) {
      name_ = std::max(name_, port.name.size());
      segment_ = std::max(segment_, port.segment.size());
    }
    if (columns == 0) return;
    const std::size_t room = std::max(columns, kOthers + name_min + segment_min) - kOthers;
    segment_ = std::min(segment_, std::max(segment_min, room - std::min(room, name_)));
    name_ = std::min(name_, room - segment_);
  }

  [[nodiscard]] std::string head() const {
    return line("PORT", "SEGMENT", "STATE", {"RX/s", "RXb/s", "TX/s", "TXb/s", "DROP/s"}, "REASON");
  }
  [[nodiscard]] std::string row(const PortRates& port) const {
    std::array<std::string, 5> numbers{"-", "-", "-", "-", "-"};
    if (port.rates) {
      numbers = {short_number(port.rates->rx_frames), short_number(port.rates->rx_bits),
                 short_number(port.rates->tx_frames), short_number(port.rates->tx_bits),
                 short_number(port.rates->drops)};
    }
    return line(port.name, port.segment, port.state, numbers, reason_text(port));
  }

 private:
  static constexpr std::size_t name_min = 8;
  static constexpr std::size_t segment_min = 7;

  [[nodiscard]] std::string line(const std::string& name, const std::string& segment,
                                 const std::string& state,
                                 const std::array<std::string, 5>& numbers,
                                 const std::string& reason) const {
    std::string text = fmt::format("{:<{}} {:<{}} {:<7}", cut(name, name_), name_,
                                   cut(segment, segment_), segment_, state);
    for (const std::string& number : numbers) text += fmt::format(" {:>6}", number);
    if (!reason.empty()) text += "  " + reason;
    return text;
  }

  std::size_t name_ = name_min;
  std::size_t segment_ = segment_min;
};

Json rates_json(const std::optional<Rates>& rates) {
  const auto value = [&](double Rates::*rate) { return rates ? Json((*rates).*rate) : Json(); };
  return {{"rx_frames_per_second", value(&Rates::rx_frames)},
          {"rx_bits_per_second", value(&Rates::rx_bits)},
          {"tx_frames_per_second", value(&Rates::tx_frames)},
          {"tx_bits_per_second", value(&Rates::tx_bits)},
          {"drops_per_second", value(&Rates::drops)}};
}

/// "1:02:03", with the days before it if there are any.
std::string duration_text(std::chrono::seconds duration) {
  const auto days = std::chrono::floor<std::chrono::days>(duration);
  const std::chrono::hh_mm_ss clock(duration - days);
  return fmt::format("{}{}:{:02}:{:02}",
                     days.count() > 0 ? std::to_string(days.count()) + "d " : "",
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

/// The daemon that is looked at, from connect to hang-up.
struct Daemon {
  explicit Daemon(const std::string& socket)
      : client(socket), processor_time(client.daemon_pid()) {}
  Client client;
  ProcessorTime processor_time;
  Json status;  // when it was connected to
  Clock::time_point since = Clock::now();
};

class Top {
 public:
  Top(const std::string& socket, const TopOptions& options, bool as_json)
      : socket_(socket),
        options_(options),
        as_json_(as_json),
        on_screen_(!as_json && ::isatty(STDOUT_FILENO) == 1),
        daemon_(std::in_place, socket),
        input_(on_screen_) {
    if (on_screen_) screen_.emplace();
  }

  void run() {
    refresh();
    if (on_screen_) show();  // the ports at once, their rates when there are any
    next_ = Clock::now();
    for (std::uint64_t i = 0; is_wanted_ && (options_.count == 0 || i < options_.count); ++i) {
      next_ += std::chrono::duration_cast<Clock::duration>(options_.interval);
      next_ = std::max(next_, Clock::now());  // nothing is made up for
      pause();
      if (is_wanted_) refresh();
      if (is_wanted_) show();
    }
  }

 private:
  /// Until the next refresh is due, unless the user wants an end.
  void pause() {
    while (is_wanted_) {
      const UserInput::Wish wish = input_.next(next_);
      if (wish == UserInput::Wish::none) return;
      obey(wish);
    }
  }

  void obey(UserInput::Wish wish) {
    switch (wish) {
      case UserInput::Wish::none:
        return;
      case UserInput::Wish::quit:
        is_wanted_ = false;
        return;
      case UserInput::Wish::suspend:
        screen_.reset();
        ::raise(SIGSTOP);
        if (on_screen_) screen_.emplace();
        break;
      case UserInput::Wish::key:
        press(input_.key());
        break;
      case UserInput::Wish::redraw:
        break;
    }
    if (on_screen_ && is_wanted_) show();
  }

  void press(char key) {
    if (key == 'q') is_wanted_ = false;
    if (key == 'r') options_.order = RateOrder::rate;
    if (key == 'd') options_.order = RateOrder::drops;
    if (key == 'n') options_.order = RateOrder::name;
  }

  /// Looks at the counters; without a daemon, at why there is none.
  void refresh() {
    try {
      if (!daemon_) daemon_.emplace(socket_);
      if (daemon_->status.is_null()) daemon_->status = ask("status");
      const Json stats = ask("stats");
      if (!is_wanted_) return;
      const auto now = Clock::now();
      seconds_ = std::chrono::duration<double>(now - looked_).count();
      looked_ = now;
      ports_ = meter_.measure(stats, seconds_);
      threads_ = daemon_->processor_time.measure(seconds_);
      why_waiting_.clear();
    } catch (const ClientError& error) {
      daemon_.reset();
      meter_.forget();
      ports_.clear();
      why_waiting_ = error.what();
    }
  }

  /// The daemon's answer; nothing if the user wants an end before it comes.
  Json ask(const std::string& method) {
    if (!is_wanted_) return nullptr;
    daemon_->client.ask(method, Json::object());
    while (is_wanted_) {
      if (auto answer = daemon_->client.answer(input_.fd())) return *answer;
      obey(input_.next(Clock::now()));
    }
    return nullptr;
  }

  void show() {
    sort(ports_, options_.order);
    if (as_json_) {
      std::cout << json().dump() << std::endl;
    } else if (on_screen_) {
      is_wanted_ &= screen_->draw(top_lines({heading(), ports_}, Screen::size()));
    } else {
      for (const std::string& line : top_lines({heading(), ports_}, {})) std::cout << line << '\n';
      std::cout << std::endl;
    }
    if (!std::cout) is_wanted_ = false;  // whoever read has gone
  }

  [[nodiscard]] std::string heading() const {
    const std::string time = fmt::format("{:%H:%M:%S}", fmt::localtime(std::time(nullptr)));
    if (!daemon_ || daemon_->status.is_null())
      return time + " waiting for bulkheadd: " + why_waiting_;
    const auto uptime = std::chrono::seconds(daemon_->status.value("uptime_seconds", 0)) +
                        std::chrono::floor<std::chrono::seconds>(Clock::now() - daemon_->since);
    std::string text = fmt::format("{} bulkhead {}, up {}", time,
                                   daemon_->status.value("version", "?"), duration_text(uptime));
    const char* before = "; ports";
    for (const char* state : {"up", "down", "waiting"}) {
      const auto count = std::ranges::count(ports_, state, &PortRates::state);
      if (count == 0) continue;
      text += fmt::format("{} {} {}", before, count, state);
      before = ",";
    }
    before = "; cpu";
    for (const auto& [name, share] : threads_) {
      text += fmt::format("{} {} {:.0f}%", before, name, share * 100);
      before = ",";
    }
    return text;
  }

  [[nodiscard]] Json json() const {
    if (!daemon_) return {{"waiting", why_waiting_}};
    Json ports = Json::array();
    for (const PortRates& port : ports_) {
      Json row = rates_json(port.rates);
      row.update({{"name", port.name}, {"segment", port.segment}, {"state", port.state}});
      row["reason"] = port.reason.empty() ? Json() : Json(port.reason);
      ports.push_back(std::move(row));
    }
    Json threads = Json::object();
    for (const auto& [name, share] : threads_) threads[name] = share;
    return {{"seconds", seconds_},
            {"cpu", threads},
            {"total", rates_json(sum(ports_))},
            {"ports", ports}};
  }

  std::string socket_;
  TopOptions options_;
  bool as_json_;
  bool on_screen_;
  std::optional<Daemon> daemon_;  // nothing: waiting for one
  UserInput input_;
  std::optional<Screen> screen_;
  RateMeter meter_;
  std::vector<PortRates> ports_;
  std::vector<ProcessorTime::Thread> threads_;
  std::string why_waiting_;
  double seconds_ = 0;
  Clock::time_point looked_ = Clock::now();
  Clock::time_point next_;
  bool is_wanted_ = true;
};

}  // namespace

std::string short_number(double value) {
  constexpr std::string_view kUnits = "kMGTPE";
  constexpr double kStep = 1000;
  if (value < 9.95) return fmt::format("{:.{}f}", value, value == std::round(value) ? 0 : 1);
  if (value < kStep - 0.5) return fmt::format("{:.0f}", value);
  std::size_t unit = 0;
  for (value /= kStep; value >= kStep - 0.05 && unit + 1 < kUnits.size(); ++unit) value /= kStep;
  return fmt::format("{:.1f}{}", value, kUnits[unit]);
}

std::vector<std::string> top_lines(const TopView& view, TerminalSize size) {
  std::vector<std::string> lines{view.heading, "total: " + rates_text(sum(view.ports))};
  const Columns columns(view.ports, size.columns);
  lines.push_back(columns.head());
  const std::size_t used = lines.size();
  std::size_t rows = view.ports.size();
  if (size.lines != 0 && used + rows > size.lines) {
    rows = size.lines > used + 1 ? size.lines - used - 1 : 0;
  }
  for (std::size_t i = 0; i < rows; ++i) lines.push_back(columns.row(view.ports[i]));
  if (const auto rest = std::span(view.ports).subspan(rows); !rest.empty()) {
    lines.push_back(fmt::format("{} more: {}", rest.size(), rates_text(sum(rest))));
  }
  if (size.lines != 0 && lines.size() > size.lines) lines.resize(size.lines);
  for (std::string& line : lines) line = cut(line, size.columns);
  return lines;
}

int top(const std::string& socket, const TopOptions& options, bool as_json) {
  ::signal(SIGPIPE, SIG_IGN);  // whoever read has gone: an end like another
  Top(socket, options, as_json).run();
  return kExitDone;
}

}  // namespace bulkhead::control
