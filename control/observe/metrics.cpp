#include "control/observe/metrics.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

namespace bulkhead::control {
namespace {

enum class Type : std::uint8_t { counter, gauge, info, stateset };

constexpr std::string_view name_of(Type type) {
  constexpr std::array<std::string_view, 4> kNames{"counter", "gauge", "info", "stateset"};
  return kNames[static_cast<std::size_t>(type)];
}

using Labels = std::vector<std::pair<std::string_view, std::string_view>>;
using DropCounts = std::array<std::uint64_t, kDropReasonCount>;

std::string escaped(std::string_view text) {
  std::string result;
  for (const char character : text) {
    if (character == '\n') {
      result += "\\n";
      continue;
    }
    if (character == '"' || character == '\\') result += '\\';
    result += character;
  }
  return result;
}

/// Takes the samples of one metric.
class Samples {
 public:
  Samples(std::string& text, std::string_view name, Type type) : text_(text), name_(name) {
    if (type == Type::counter) name_ += "_total";
    if (type == Type::info) name_ += "_info";
  }

  void add(const Labels& labels, std::uint64_t value) {
    text_ += name_;
    char before = '{';
    for (const auto& [name, content] : labels) {
      text_ += fmt::format("{}{}=\"{}\"", std::exchange(before, ','), name, escaped(content));
    }
    text_ += fmt::format("{}{}\n", labels.empty() ? " " : "} ", value);
  }
  void add(std::uint64_t value) { add(Labels{}, value); }
  void add(const PortMetrics& port, std::uint64_t value) {
    add({{"port", port.name}, {"segment", port.segment}}, value);
  }
  void add(const PortMetrics& port, std::string_view label, std::string_view content,
           std::uint64_t value) {
    add({{"port", port.name}, {"segment", port.segment}, {label, content}}, value);
  }
  /// Every reason that can occur on that side, so that a first drop is an increase.
  void add(const PortMetrics& port, std::string_view side, const DropCounts& counts) {
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const std::string_view sides = kDropReasons[i].help.substr(0, kDropReasons[i].help.find(':'));
      if (counts[i] == 0 && sides.find(side) == std::string_view::npos) continue;
      add(port, side, static_cast<DropReason>(i), counts[i]);
    }
  }
  void add(const PortMetrics& port, std::string_view side, DropReason reason, std::uint64_t count) {
    add({{"port", port.name},
         {"segment", port.segment},
         {"reason", bulkhead::name_of(reason)},
         {"side", side}},
        count);
  }

 private:
  std::string& text_;
  std::string name_;
};

/// A metric of the whole bridge, or one with samples of each port.
struct Metric {
  std::string_view name;  // ends in its unit, if it has one
  Type type;
  std::string_view unit;
  std::string_view help;
  void (*of_all)(Samples&, const Metrics&);
  void (*of_port)(Samples&, const PortMetrics&);
};

using S = Samples;
using M = Metrics;
using P = PortMetrics;

constexpr std::array kMetrics{
    Metric{"bulkhead_build", Type::info, "", "What runs.",
           [](S& s, const M& m) {
             s.add({{"version", m.version}}, 1);
           },
           nullptr},
    Metric{"bulkhead_uptime_seconds", Type::gauge, "seconds", "Since the daemon's start.",
           [](S& s, const M& m) { s.add(m.uptime_seconds); }, nullptr},
    Metric{"bulkhead_learned_addresses", Type::gauge, "", "Learned entries of the MAC table.",
           [](S& s, const M& m) { s.add(m.learned); }, nullptr},
    Metric{"bulkhead_free_buffers", Type::gauge, "", "Frame buffers that nobody holds.",
           [](S& s, const M& m) { s.add(m.buffers_free); }, nullptr},
    Metric{"bulkhead_lost_events", Type::counter, "",
           "Announcements of the workers that found the way to the control thread full.",
           [](S& s, const M& m) { s.add(m.events_lost); }, nullptr},
    Metric{"bulkhead_breaches", Type::counter, "",
           "Invariants of the dataplane that did not hold: a fault of bulkhead.",
           [](S& s, const M& m) { s.add(m.breaches); }, nullptr},
    Metric{"bulkhead_conduits_mended", Type::counter, "",
           "How often a conduit was found down, changed, deleted or moved, and mended.",
           [](S& s, const M& m) { s.add(m.conduits_mended); }, nullptr},
    Metric{"bulkhead_conduits_in_trouble", Type::gauge, "",
           "1: a conduit cannot be mended at the moment, its ports pass nothing.",
           [](S& s, const M& m) { s.add(m.conduits_in_trouble ? 1 : 0); }, nullptr},
    Metric{"bulkhead_port_state", Type::stateset, "", "State of the port's device.", nullptr,
           [](S& s, const P& p) {
             for (const PortState state : {PortState::waiting, PortState::down, PortState::up}) {
               s.add({{"port", p.name},
                      {"segment", p.segment},
                      {"bulkhead_port_state", control::name_of(state)}},
                     p.state == state ? 1 : 0);
             }
           }},
    Metric{"bulkhead_port_enforced", Type::gauge, "",
           "1: the port is protected; 0: shadow mode, what checks find passes.", nullptr,
           [](S& s, const P& p) { s.add(p, p.enforced ? 1 : 0); }},
    Metric{"bulkhead_port_guard_restored", Type::counter, "",
           "Times that somebody took a program of the guard off the port's device and it was put "
           "back.",
           nullptr, [](S& s, const P& p) { s.add(p, p.guard_restored); }},
    Metric{"bulkhead_port_handed_frames", Type::counter, "frames",
           "Frames that the port's device handed over, GSO frames as their segments.", nullptr,
           [](S& s, const P& p) { s.add(p, p.intake.handed + p.flows.in_frames); }},
    Metric{"bulkhead_port_before_dropped_frames", Type::counter, "frames",
           "Of these, dropped before the dataplane.", nullptr,
           [](S& s, const P& p) {
             const auto add = [&](DropReason reason, std::uint64_t count) {
               s.add(p, "ingress", reason, count);
             };
             add(DropReason::too_big, p.intake.too_big);
             add(DropReason::malformed, p.intake.malformed);
             add(DropReason::overrun, p.intake.overrun);
           }},
    Metric{"bulkhead_port_in_flight_frames", Type::gauge, "frames",
           "Of these, on their way to the dataplane.", nullptr,
           [](S& s, const P& p) { s.add(p, p.intake.in_flight); }},
    Metric{"bulkhead_port_receive_frames", Type::counter, "frames",
           "Frames that came in by the port.", nullptr,
           [](S& s, const P& p) { s.add(p, p.counters.received + p.flows.in_frames); }},
    Metric{"bulkhead_port_receive_bytes", Type::counter, "bytes",
           "Bytes that came in by the port, Ethernet headers included.", nullptr,
           [](S& s, const P& p) { s.add(p, p.counters.received_bytes + p.flows.in_bytes); }},
    Metric{"bulkhead_port_transmit_frames", Type::counter, "frames",
           "Frames that left by the port.", nullptr,
           [](S& s, const P& p) { s.add(p, p.counters.sent + p.flows.out_frames); }},
    Metric{"bulkhead_port_transmit_bytes", Type::counter, "bytes",
           "Bytes that left by the port, Ethernet headers included.", nullptr,
           [](S& s, const P& p) { s.add(p, p.counters.sent_bytes + p.flows.out_bytes); }},
    Metric{"bulkhead_port_shortcut_frames", Type::counter, "frames",
           "Of the frames that came in by the port or left by it, those that the kernel forwarded "
           "by itself.",
           nullptr,
           [](S& s, const P& p) {
             s.add(p, "side", "ingress", p.flows.in_frames);
             s.add(p, "side", "egress", p.flows.out_frames);
           }},
    Metric{"bulkhead_port_shortcut_missed_frames", Type::counter, "frames",
           "Frames that came in by the port and that the kernel left to the worker.", nullptr,
           [](S& s, const P& p) {
             s.add(p, "reason", "no_key", p.flows.no_key);
             s.add(p, "reason", "no_entry", p.flows.no_entry);
             s.add(p, "reason", "stale", p.flows.stale);
             s.add(p, "reason", "closed", p.flows.closed);
           }},
    Metric{"bulkhead_port_shortcut_refused_frames", Type::counter, "frames",
           "Frames that came in by the port and whose verdict found no place in the shortcut's "
           "table.",
           nullptr, [](S& s, const P& p) { s.add(p, p.counters.flows_refused); }},
    Metric{"bulkhead_port_dropped_frames", Type::counter, "frames",
           "Frames dropped by the dataplane: ingress, that came in by the port; egress, that were "
           "to leave by it.",
           nullptr,
           [](S& s, const P& p) {
             s.add(p, "ingress", p.counters.dropped);
             s.add(p, "egress", p.counters.refused);
           }},
    Metric{"bulkhead_port_shadow_frames", Type::counter, "frames",
           "Frames that passed because the port is in shadow mode, by what they would have been "
           "dropped as.",
           nullptr,
           [](S& s, const P& p) {
             if (!p.enforced) s.add(p, "ingress", p.counters.shadowed);
           }},
};

}  // namespace

std::size_t metric_count() { return kMetrics.size(); }

bool has_ports(std::size_t metric) { return kMetrics[metric].of_port != nullptr; }

std::string openmetrics_text(const Metrics& metrics, std::size_t number, bool is_first) {
  const Metric& metric = kMetrics[number];
  std::string text;
  Samples samples(text, metric.name, metric.type);
  if (is_first) {
    text += fmt::format("# TYPE {} {}\n", metric.name, name_of(metric.type));
    if (!metric.unit.empty()) text += fmt::format("# UNIT {} {}\n", metric.name, metric.unit);
    text += fmt::format("# HELP {} {}\n", metric.name, escaped(metric.help));
    if (metric.of_all != nullptr) metric.of_all(samples, metrics);
  }
  if (metric.of_port != nullptr) {
    for (const PortMetrics& port : metrics.ports) metric.of_port(samples, port);
  }
  return text;
}

}  // namespace bulkhead::control
