// bulkheadd: the bridge. Reads its configuration and runs in the foreground.
#include <CLI/CLI.hpp>
#include <iostream>
#include <stdexcept>

#include "backends/privileges.hpp"
#include "config/config.hpp"
#include "control/bridge/objection.hpp"
#include "control/daemon.hpp"
#include "control/log.hpp"
#include "control/usage.hpp"
#include "control/version.hpp"

namespace {

enum ExitCode { kDone = 0, kFailed = 1, kUsage = 2 };

int fail(ExitCode code, const std::string& message) {
  std::cerr << bulkhead::control::error_prefix() << "bulkheadd: " << message << '\n';
  return code;
}

/// A line for each port that would wait.
int look_at_devices(const bulkhead::config::Config& config) {
  try {
    const auto objections = bulkhead::control::device_objections(config);
    for (const std::string& text : objections) fail(kFailed, text);
    return objections.empty() ? kDone : kFailed;
  } catch (const std::exception& error) {
    return fail(kFailed, error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::string file, socket;
  bool check_only = false, check_devices = false;
  CLI::App app{"bulkheadd: a userspace software bridge with built-in isolation"};
  app.add_option("--config", file, "configuration file (TOML)")->option_text("FILE")->required();
  app.add_option("--socket", socket, "control socket, instead of the configuration's")
      ->option_text("PATH");
  app.add_flag("--check", check_only, "check the configuration and end");
  app.add_flag("--devices", check_devices, "with --check: look at the ports' devices, too");
  app.set_version_flag("--version", std::string("bulkheadd ") + bulkhead::control::kVersion);
  app.name("bulkheadd");
  try {
    const std::string asked =
        bulkhead::control::parse_words(app, bulkhead::control::words_of(argc, argv));
    if (!asked.empty()) {
      std::cout << asked;
      return kDone;
    }
  } catch (const std::invalid_argument& fault) {
    return fail(kUsage, fault.what());
  }
  bulkhead::config::Config config;
  try {
    config = bulkhead::config::load(file);
  } catch (const bulkhead::config::ConfigError& error) {
    return fail(kUsage, error.what());
  } catch (const std::exception& error) {
    return fail(kFailed, error.what());
  }
  if (!socket.empty()) config.socket = socket;
  if (check_only) return check_devices ? look_at_devices(config) : kDone;
  // From here on nothing is kUsage, after which systemd does not start it again.
  try {
    if (const std::string missing = bulkhead::missing_capabilities(); !missing.empty()) {
      return fail(kFailed, "lacks the capabilities " + missing + "; start it as root");
    }
    bulkhead::control::start_log(config.log);
    bulkhead::forbid_new_privileges();
    bulkhead::control::run_daemon(config);
  } catch (const std::exception& error) {
    return fail(kFailed, error.what());
  }
  return kDone;
}
