// Answers of the daemon as text for people: tables for a terminal.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>

namespace bulkhead::control {

void show_status(std::ostream& out, const nlohmann::json& status);
void show_ports(std::ostream& out, const nlohmann::json& ports);
void show_port_state(std::ostream& out, const nlohmann::json& port);
void show_fdb(std::ostream& out, const nlohmann::json& entries);
void show_flows(std::ostream& out, const nlohmann::json& flows);
void show_stats(std::ostream& out, const nlohmann::json& stats);
void show_explanation(std::ostream& out, const nlohmann::json& explanation);
void show_text(std::ostream& out, const nlohmann::json& text);
/// What a reload changed.
void show_changes(std::ostream& out, const nlohmann::json& changes);
void show_event(std::ostream& out, const nlohmann::json& event);

}  // namespace bulkhead::control
