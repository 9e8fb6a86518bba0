// bulkhead: the client. Turns command words into one JSON-RPC request and its answer into a table,
// or, with --json, into JSON.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "config/config.hpp"
#include "control/client.hpp"
#include "control/report.hpp"
#include "control/version.hpp"

namespace {

using namespace bulkhead;
using Json = nlohmann::json;

/// One command line: what to ask for, and how to show the answer.
struct Request {
  std::string method;
  Json parameters = Json::object();
  void (*show)(std::ostream&, const Json&) = nullptr;  // nullptr: say nothing when it is done
};

/// The keys of a port as options, and what was given of them as parameters.
class PortOptions {
 public:
  void add_to(CLI::App* command) {
    for (const std::string& key : config::port_option_names()) {
      const auto kind = config::option_kind(key);
      std::string option = "--" + key;
      std::ranges::replace(option, '_', '-');
      if (kind == config::OptionValue::Kind::boolean) {
        command->add_flag(option + "{true}", texts_[key], "as in bulkhead.toml, or =false");
      } else {
        command->add_option(option, lists_[key], "as in bulkhead.toml");
      }
    }
  }

  [[nodiscard]] Json json() const {
    Json json = Json::object();
    for (const auto& [key, text] : texts_) {
      if (text == "true" || text == "false") json[key] = text == "true";
      if (!text.empty() && !json.contains(key)) json[key] = text;  // refused by the daemon, by name
    }
    for (const auto& [key, values] : lists_) {
      if (values.empty()) continue;
      const bool single = config::option_kind(key) != config::OptionValue::Kind::list;
      if (!single || values.size() > 1) {
        json[key] = values;
      } else {
        json[key] = config::option_kind(key) == config::OptionValue::Kind::integer
                        ? number_or_text(values.front())
                        : Json(values.front());
      }
    }
    return json;
  }

 private:
  static Json number_or_text(const std::string& text) {
    const Json number = Json::parse(text, nullptr, false);
    return number.is_number_integer() ? number : Json(text);
  }

  std::map<std::string, std::string> texts_;
  std::map<std::string, std::vector<std::string>> lists_;
};

/// The command words. Each subcommand fills in `request` when it is the one that was given.
class Commands {
 public:
  explicit Commands(CLI::App& app) {
    app.require_subcommand(1);
    simple(app, "status", "version, uptime, ports and totals", "status", control::show_status);
    add_port(app);
    add_fdb(app);
    CLI::App* stats = simple(app, "stats", "counters and drop reasons, with the ledger", "stats",
                             control::show_stats);
    stats->add_option("name", texts_["stats.name"], "this port only");
    CLI::App* monitor =
        simple(app, "monitor", "events as they happen, one a line", "monitor", nullptr);
    monitor->add_option("kinds", kinds_, "fdb, port, drop; all if none is given");
    CLI::App* explain = simple(app, "explain", "what would happen to a frame, check by check",
                               "explain", control::show_explanation);
    explain->add_option("port", texts_["explain.port"], "where the frame comes in")->required();
    explain->add_option("frame", hex_, "the frame's bytes in hexadecimal")->required();
    simple(app, "reload", "make the ports what the configuration file says", "reload", nullptr);
    CLI::App* check = simple(app, "check", "check a configuration file", "check", nullptr);
    check->add_option("file", check_file, "bulkhead.toml")->required();
    for (const char* name : {"save", "metrics", "capture"}) {
      simple(app, name, "not supported yet", name, nullptr)->allow_extras();
    }
  }

  /// After parsing: the request that was meant.
  [[nodiscard]] Request request() const {
    Request request = request_;
    for (const auto& [key, text] : texts_) {
      const std::size_t dot = key.rfind('.');
      if (key.substr(0, dot) == request.method && !text.empty()) {
        request.parameters[key.substr(dot + 1)] = text;
      }
    }
    if (request.method == "port.add") request.parameters.update(add_options_.json());
    if (request.method == "port.set") request.parameters.update(set_options_.json());
    if (request.method == "monitor") request.parameters["kinds"] = kinds_;
    if (request.method == "explain") {
      std::string frame;
      for (const std::string& part : hex_) frame += part;
      request.parameters["frame"] = frame;
    }
    return request;
  }

  std::string check_file;

 private:
  CLI::App* simple(CLI::App& parent, const std::string& word, const std::string& help,
                   const std::string& method, void (*show)(std::ostream&, const Json&)) {
    CLI::App* command = parent.add_subcommand(word, help);
    command->callback([this, method, show] {
      request_.method = method;
      request_.show = show;
    });
    return command;
  }

  void add_port(CLI::App& app) {
    CLI::App* port = app.add_subcommand("port", "ports")->require_subcommand(1);
    CLI::App* add = simple(*port, "add", "add a port", "port.add", control::show_port_state);
    add->add_option("name", texts_["port.add.name"])->required();
    add_options_.add_to(add);
    CLI::App* set = simple(*port, "set", "change a port", "port.set", control::show_port_state);
    set->add_option("name", texts_["port.set.name"])->required();
    set_options_.add_to(set);
    CLI::App* del =
        simple(*port, "del", "delete a port; its device is the host's again", "port.del", nullptr);
    del->add_option("name", texts_["port.del.name"])->required();
    CLI::App* show = simple(*port, "show", "the ports", "port.show", control::show_ports);
    show->add_option("name", texts_["port.show.name"], "this port only");
  }

  void add_fdb(CLI::App& app) {
    CLI::App* fdb = app.add_subcommand("fdb", "the MAC table")->require_subcommand(1);
    CLI::App* show =
        simple(*fdb, "show", "bound, static and learned addresses", "fdb.show", control::show_fdb);
    show->add_option("--port", texts_["fdb.show.port"]);
    show->add_option("--segment", texts_["fdb.show.segment"]);
    CLI::App* add = simple(*fdb, "add", "a static address", "fdb.add", nullptr);
    add->add_option("mac", texts_["fdb.add.mac"])->required();
    add->add_option("--port", texts_["fdb.add.port"])->required();
    CLI::App* del = simple(*fdb, "del", "delete a static or learned address", "fdb.del", nullptr);
    del->add_option("mac", texts_["fdb.del.mac"])->required();
    del->add_option("--segment", texts_["fdb.del.segment"]);
    CLI::App* flush = simple(*fdb, "flush", "forget learned addresses", "fdb.flush", nullptr);
    flush->add_option("--port", texts_["fdb.flush.port"]);
  }

  Request request_;
  std::map<std::string, std::string> texts_;  // by method and parameter
  std::vector<std::string> kinds_;
  std::vector<std::string> hex_;
  PortOptions add_options_;
  PortOptions set_options_;
};

int fail(int code, const std::string& message) {
  std::cerr << "bulkhead: " << message << std::endl;
  return code;
}

int run(const Commands& commands, const std::string& socket, bool as_json) {
  const Request request = commands.request();
  if (request.method == "check") {
    config::load(commands.check_file);
    if (as_json) std::cout << "{}\n";
    return control::kExitDone;
  }
  control::Client client(socket);
  const Json result = client.call(request.method, request.parameters);
  if (request.method == "monitor") {
    for (;;) {
      const Json event = client.next_event();
      if (as_json) {
        std::cout << event.dump() << std::endl;
      } else {
        control::show_event(std::cout, event);
      }
      if (!std::cout) return control::kExitDone;  // whoever read has gone
    }
  }
  if (as_json) {
    std::cout << result.dump() << '\n';
  } else if (request.show != nullptr) {
    request.show(std::cout, result);
  }
  return control::kExitDone;
}

}  // namespace

int main(int argc, char** argv) {
  std::string socket = "/run/bulkhead/control.sock";
  bool as_json = false;
  CLI::App app{"bulkhead: speaks to bulkheadd, the bridge"};
  app.add_option("--socket", socket, "control socket");
  app.add_flag("--json", as_json, "print JSON");
  app.set_version_flag("--version", std::string("bulkhead ") + control::kVersion);
  Commands commands(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return app.exit(done);
  } catch (const CLI::ParseError& error) {
    return fail(control::kExitUsage, std::string(error.what()) + "; see bulkhead --help");
  }
  try {
    return run(commands, socket, as_json);
  } catch (const control::ClientError& error) {
    return fail(error.exit_code(), error.what());
  } catch (const config::ConfigError& error) {
    return fail(control::kExitUsage, error.what());
  } catch (const std::exception& error) {
    return fail(control::kExitFailed, error.what());
  }
}
