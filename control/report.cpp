#include "control/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

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
      for (std::size_t i = 0; i < row.size(); ++i)
        line += fmt::format("{:<{}}  ", row[i], widths[i]);
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
  return text.empty() ? "-" : text;
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
  const Json& open = status["addresses_not_enforced_on"];
  if (!open.empty()) {
    out << "NOT ENFORCED: the ip of " << join(open)
        << "; this version checks MACs, not yet addresses\n";
  }
}

void show_ports(std::ostream& out, const Json& ports) {
  Table table({"NAME", "SEGMENT", "DEVICE", "STATE", "OPTIONS", "MAC", "IP (not enforced yet)",
               "RX", "TX", "DROPS"});
  for (const Json& port : ports) {
    table.add({text_of(port["name"]), text_of(port["segment"]), text_of(port["device"]),
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

void show_stats(std::ostream& out, const Json& stats) {
  for (const Json& port : stats) {
    const Json& in = port["ingress"];
    const Json& egress = port["egress"];
    out << text_of(port["name"]) << '\n'
        << fmt::format("  handed over {} = received {} + in flight {} + dropped before ({})\n",
                       in["handed"].dump(), in["received"].dump(), in["in_flight"].dump(),
                       counts(in["before"]))
        << fmt::format("  received {} = unicast {} + flooded {} + dropped ({})\n",
                       in["received"].dump(), in["unicast"].dump(), in["flooded"].dump(),
                       counts(in["drops"]))
        << fmt::format("  offered {} = sent {} + dropped ({})\n", egress["offered"].dump(),
                       egress["tx"].dump(), counts(egress["drops"]));
  }
}

void show_explanation(std::ostream& out, const Json& explanation) {
  for (const Json& check : explanation["checks"]) {
    out << fmt::format("{}  {:<30}{}\n", check["passed"].get<bool>() ? "pass" : "FAIL",
                       text_of(check["check"]), text_of(check["detail"]));
  }
  out << "verdict: " << text_of(explanation["verdict"]);
  if (!explanation["reason"].is_null()) out << ", " << text_of(explanation["reason"]);
  if (!explanation["ports"].empty()) out << " to " << join(explanation["ports"]);
  out << '\n';
}

void show_event(std::ostream& out, const Json& event) {
  out << text_of(event["event"]);
  for (const auto& [name, value] : event.items()) {
    if (name != "event") out << ' ' << name << ' ' << text_of(value);
  }
  out << std::endl;
}

}  // namespace bulkhead::control
