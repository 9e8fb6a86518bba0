#include "control/client/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <set>
#include <string>
#include <vector>

#include "dataplane/drop_reason.hpp"

namespace bulkhead::control {
namespace {

using Json = nlohmann::json;

/// Rows of cells in columns as wide as they need to be.
class Table {
 public:
  explicit Table(std::vector<std::string> head) { rows_.push_back(std::move(head)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  void print(std::ostream& out) const {
    std::vector<std::size_t> widths(rows_.front().size());
    for (const auto& row : rows_) {
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    for (const auto& row : rows_) {
      std::string line;
      for (std::size_t i = 0; i < row.size(); ++i) {
        line += fmt::format("{:<{}}  ", row[i], widths[i]);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out << line << '\n';
    }
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string text_of(const Json& value) {
  if (value.is_null()) return "-";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string join(const Json& list) {
  std::string text;
  for (const Json& element : list) text += (text.empty() ? "" : ",") + text_of(element);
  return text.empty() ? "-" : text;
}

std::string counts(const Json& object) {
  std::string text;
  for (const auto& [name, count] : object.items()) {
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, count.dump());
  }
  return text.empty() ? "-" : text;
}

std::string options_of(const Json& port) {
  std::string text;
  for (const char* option : {"trusted", "isolated", "transit", "unknown"}) {
    if (port.value(option, false)) text += (text.empty() ? "" : ",") + std::string(option);
  }
  if (!port.value("enforce", true)) text += (text.empty() ? "" : ",") + std::string("SHADOW");
  return text.empty() ? "-" : text;
}

/// "eth1 (xdp, 4 queues, zero-copy)", or the name alone if it is attached over the conduit.
std::string device_of(const Json& port) {
  std::string text = text_of(port["device"]);
  if (port.value("attach", "") != "xdp") return text;
  text += " (xdp";
  if (port.contains("queues")) {
    text += fmt::format(", {} queues, {}", port["queues"].dump(),
                        port["zero_copy"].get<bool>() ? "zero-copy" : "copy");
  }
  return text + ')';
}

/// 10:55:06.123 of local time.
std::string time_text(std::int64_t time_us) {
  const auto seconds = static_cast<std::time_t>(time_us / 1'000'000);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("{:02}:{:02}:{:02}.{:03}", local.tm_hour, local.tm_min, local.tm_sec,
                     time_us / 1'000 % 1'000);
}

/// What a drop reason means, and what to do about it.
std::string_view help_of(std::string_view reason) {
  const auto* known = std::ranges::find(kDropReasons, reason, &DropReasonText::name);
  return known == std::ranges::end(kDropReasons) ? "" : known->help;
}

}  // namespace

void show_status(std::ostream& out, const Json& status) {
  const Json& ports = status["ports"];
  out << "bulkhead " << text_of(status["version"]) << ", up " << text_of(status["uptime_seconds"])
      << " s, " << text_of(status["workers"]) << " worker (" << text_of(status["poll"])
      << "), backends " << join(status["backends"]) << '\n'
      << "ports: " << ports["up"] << " up, " << ports["down"] << " down, " << ports["waiting"]
      << " waiting; " << status["fdb_learned"] << " learned addresses\n"
      << "frames: " << status["rx_frames"] << " in, " << status["tx_frames"] << " out, "
      << status["drops"] << " dropped\n";
  const Json& open = status["unprotected"];
  if (!open.empty()) {
    out << "NOT PROTECTED: " << join(open)
        << " (shadow mode: what would be dropped is counted, and passes; " << status["shadow"]
        << " frames until now)\n";
  }
  if (const auto times = status.value("guard_restored", std::uint64_t{0}); times != 0) {
    out << "the guard was put back " << times << (times == 1 ? " time" : " times")
        << ", after somebody took it off; the log says which\n";
  }
  if (const auto devices = status.value("giving_back", std::uint64_t{0}); devices != 0) {
    out << devices << (devices == 1 ? " device is" : " devices are")
        << " still to be given back, guarded until then\n";
  }
  if (!status["by_xdp"].empty()) out << "native XDP: " << join(status["by_xdp"]) << '\n';
  for (const Json& note : status["notes"]) out << "note: " << text_of(note) << '\n';
}

void show_ports(std::ostream& out, const Json& ports) {
  Table table({"NAME", "SEGMENT", "DEVICE", "STATE", "OPTIONS", "MAC", "IP", "RX", "TX", "DROPS"});
  for (const Json& port : ports) {
    table.add({text_of(port["name"]), text_of(port["segment"]), device_of(port),
               text_of(port["state"]), options_of(port), join(port["mac"]), join(port["ip"]),
               text_of(port["rx_frames"]), text_of(port["tx_frames"]), counts(port["drops"])});
  }
  table.print(out);
  for (const Json& port : ports) {
    if (port.contains("why")) out << text_of(port["why"]) << '\n';
  }
}

void show_port_state(std::ostream& out, const Json& port) {
  if (port["state"] != "up") {
    out << "port " << text_of(port["name"]) << " is " << text_of(port["state"])
        << ": its device is " << (port["state"] == "down" ? "down" : "not there yet") << '\n';
  }
}

void show_fdb(std::ostream& out, const Json& entries) {
  Table table({"MAC", "VLAN", "SEGMENT", "PORT", "KIND", "AGE"});
  for (const Json& entry : entries) {
    table.add({text_of(entry["mac"]), text_of(entry["vlan"]), text_of(entry["segment"]),
               text_of(entry["port"]), text_of(entry["kind"]),
               text_of(entry["age_seconds"]) + "s"});
  }
  table.print(out);
}

void show_flows(std::ostream& out, const Json& flows) {
  Table table({"FROM", "TO", "SOURCE", "DESTINATION", "FRAMES", "BYTES", "AGE"});
  const auto end_of = [](const Json& flow, const char* mac, const char* address) {
    const std::string ip = flow[address].is_null() ? "any" : text_of(flow[address]);
    return text_of(flow[mac]) + ' ' + ip;
  };
  for (const Json& flow : flows) {
    table.add({text_of(flow["from"]), text_of(flow["to"]), end_of(flow, "source_mac", "source"),
               end_of(flow, "destination_mac", "destination"), text_of(flow["frames"]),
               text_of(flow["bytes"]), text_of(flow["age_seconds"]) + "s"});
  }
  table.print(out);
}

/// What "overrun" before the dataplane means here and now; nothing if there is none.
std::string share_text(const Json& ingress) {
  if (ingress["before"]["overrun"] == 0) return {};
  return fmt::format(
      "  overrun: more than its share waited for the worker; {} wait now, {} may. "
      "TCP finds its rate that way; a flood goes on\n",
      ingress["in_flight"].dump(), ingress["window"].dump());
}

/// What the shortcut did not forward, and why; nothing if it was asked nothing.
std::string flows_text(const Json& flows) {
  std::uint64_t asked = flows["refused"].get<std::uint64_t>();
  for (const auto& [why, count] : flows["misses"].items()) asked += count.get<std::uint64_t>();
  if (asked == 0) return {};
  return fmt::format("  not by the shortcut ({}); {} without a place in its table\n",
                     counts(flows["misses"]), flows["refused"].dump());
}

// The reasons that were shown are explained below them.
void show_stats(std::ostream& out, const Json& stats) {
  std::set<std::string> reasons;
  const auto note = [&](const Json& drops) {
    for (const auto& [reason, count] : drops.items()) {
      if (count != 0) reasons.insert(reason);
    }
  };
  for (const Json& port : stats) {
    const Json& in = port["ingress"];
    const Json& egress = port["egress"];
    out << text_of(port["name"]) << '\n'
        << fmt::format(
               "  handed over {} = shortcut {} + received {} + in flight {} + dropped before "
               "({})\n",
               in["handed"].dump(), in["shortcut"].dump(), in["received"].dump(),
               in["in_flight"].dump(), counts(in["before"]))
        << share_text(in)
        << fmt::format("  received {} = unicast {} + flooded {} + dropped ({})\n",
                       in["received"].dump(), in["unicast"].dump(), in["flooded"].dump(),
                       counts(in["drops"]))
        << (in["shadow"].empty()
                ? std::string()
                : fmt::format("  shadow mode let pass ({})\n", counts(in["shadow"])))
        << fmt::format("  offered {} = sent {} (shortcut {}) + dropped ({})\n",
                       egress["offered"].dump(), egress["tx"].dump(), egress["shortcut"].dump(),
                       counts(egress["drops"]))
        << flows_text(port["flows"]);
    for (const char* drops : {"before", "drops", "shadow"}) note(in[drops]);
    note(egress["drops"]);
  }
  for (const std::string& reason : reasons) out << reason << ", " << help_of(reason) << '\n';
}

void show_text(std::ostream& out, const Json& text) { out << text.get<std::string>(); }

void show_explanation(std::ostream& out, const Json& explanation) {
  if (explanation.contains("made")) out << text_of(explanation["made"]["text"]) << '\n';
  Table table({"", "CHECK", "DETAIL"});
  for (const Json& check : explanation["checks"]) {
    table.add({check["passed"].get<bool>() ? "pass" : "FAIL", text_of(check["check"]),
               text_of(check["detail"])});
  }
  table.print(out);
  out << "verdict: " << text_of(explanation["verdict"]);
  const Json& reason = explanation["reason"];
  if (!reason.is_null()) out << ", " << text_of(reason);
  if (explanation.contains("refused_by")) out << " by " << text_of(explanation["refused_by"]);
  if (!explanation["ports"].empty()) out << " to " << join(explanation["ports"]);
  if (explanation.contains("shadow")) {
    out << " (shadow mode; it would be dropped as " << text_of(explanation["shadow"]) << ')';
  }
  out << '\n';
  if (explanation.contains("shortcut")) {
    const Json& shortcut = explanation["shortcut"];
    out << "shortcut: "
        << (shortcut["possible"].get<bool>() ? "the kernel may forward the like by itself"
                                             : "no, " + text_of(shortcut["why_not"]))
        << '\n';
  }
  if (!reason.is_null()) out << text_of(reason) << ", " << help_of(text_of(reason)) << '\n';
}

void show_changes(std::ostream& out, const Json& changes) {
  out << changes.value("text", "") << '\n';
}

void show_event(std::ostream& out, const Json& event) {
  if (event.contains("time_us")) out << time_text(event["time_us"].get<std::int64_t>()) << ' ';
  out << text_of(event["event"]);
  for (const auto& [name, value] : event.items()) {
    if (name != "event" && name != "time_us") out << ' ' << name << ' ' << text_of(value);
  }
  out << std::endl;
}

}  // namespace bulkhead::control
