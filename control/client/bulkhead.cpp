// bulkhead: the client. Turns command words into one JSON-RPC request and its answer into a table,
// or, with --json, into JSON. `explain --pcap` asks once a frame; `monitor`, `capture` and
// `top` go on until they are interrupted.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "config/config.hpp"
#include "control/client/client.hpp"
#include "control/client/command_line.hpp"
#include "control/client/follow.hpp"
#include "control/client/report.hpp"
#include "control/client/top.hpp"
#include "control/observe/hex.hpp"
#include "control/observe/pcap.hpp"
#include "control/pending_file.hpp"
#include "control/usage.hpp"

namespace {

using namespace bulkhead;
using Json = nlohmann::json;

int fail(int code, const std::string& message) {
  std::cerr << "bulkhead: " << message << std::endl;
  return code;
}

std::vector<std::uint8_t> bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::uint8_t> bytes(control::kPcapBytesMax + 1);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (file.bad() || (file.gcount() == 0 && !file.eof())) {
    throw control::PcapError(std::strerror(errno));
  }
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  if (bytes.size() > control::kPcapBytesMax) {
    throw control::PcapError("longer than 64 MiB; cut it with editcap");
  }
  return bytes;
}

/// `explain` for every frame of a file, once the whole file is known to be sound.
int explain_file(control::Client& client, const std::string& path, Json parameters, bool as_json) {
  try {
    const std::vector<std::uint8_t> bytes = bytes_of(path);
    const auto frames = control::read_pcap(bytes);
    if (as_json) std::cout << '[';
    for (std::size_t i = 0; i < frames.size(); ++i) {
      parameters["frame"] = control::to_hex(frames[i]);
      Json explanation = client.call("explain", parameters);
      if (as_json) {
        explanation["frame"] = i + 1;
        std::cout << (i == 0 ? "" : ",\n ") << explanation.dump();
      } else {
        std::cout << (i == 0 ? "" : "\n") << "frame " << i + 1 << ", " << frames[i].size()
                  << " bytes\n";
        control::show_explanation(std::cout, explanation);
      }
    }
    if (as_json) std::cout << "]\n";
  } catch (const control::PcapError& error) {
    throw control::ClientError(control::kExitUsage, path + ": " + error.what());
  }
  return control::kExitDone;
}

/// Replaces the file as a whole, keeping its mode; a link to it stays one. What is no file, such as
/// /dev/stdout, is written to.
void write_file(const std::string& name, const std::string& text) {
  const auto fail = [&](int error) {
    throw control::ClientError(control::kExitFailed,
                               name + ": cannot be written: " + std::strerror(error));
  };
  struct stat info {};
  const bool is_there = ::stat(name.c_str(), &info) == 0;
  if (is_there && !S_ISREG(info.st_mode)) {
    errno = 0;
    std::ofstream file(name, std::ios::binary);
    if (!(file << text << std::flush)) fail(errno);
    return;
  }
  constexpr mode_t kMode = 0644;
  const std::string path = is_there ? std::filesystem::canonical(name).string() : name;
  try {
    control::PendingFile file(path, path + '.' + std::to_string(::getpid()), text,
                              is_there ? info.st_mode & 07777 : kMode);
    file.commit();
  } catch (const std::system_error& error) {
    fail(error.code().value());
  }
}

/// By bulkheadd, which knows devices: it takes the place of this process. Installed it is beside us
/// or in sbin.
[[noreturn]] void look_at_devices(const std::string& file) {
  std::error_code error;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const auto& program : {here / "bulkheadd", here.parent_path() / "sbin" / "bulkheadd"}) {
    ::execl(program.c_str(), "bulkheadd", "--config", file.c_str(), "--check", "--devices",
            static_cast<char*>(nullptr));
  }
  throw control::ClientError(control::kExitFailed, "check: there is no bulkheadd beside " +
                                                       (here / "bulkhead").string() +
                                                       " to look at devices");
}

int run(const control::CommandLine& line) {
  if (line.method == "check") {
    config::load(line.file);
    if (line.check_devices) look_at_devices(line.file);
    if (line.as_json) std::cout << "{}\n";
    return control::kExitDone;
  }
  if (line.method == "capture" && line.file == "-" && ::isatty(STDOUT_FILENO)) {
    throw control::ClientError(control::kExitUsage,
                               "capture: standard output is a terminal; pipe it, or say -w FILE");
  }
  if (line.method == "top") return control::top(line.socket, line.top, line.as_json);
  control::Client client(line.socket);
  if (line.method == "explain" && !line.file.empty()) {
    return explain_file(client, line.file, line.parameters, line.as_json);
  }
  const Json result = client.call(line.method, line.parameters);
  if (line.method == "monitor") return control::monitor(client, line.as_json);
  if (line.method == "capture") return control::capture(client, line);
  if (line.method == "save" && !line.file.empty() && line.file != "-") {
    write_file(line.file, result.get<std::string>());
    if (line.as_json) std::cout << "{}\n";
    return control::kExitDone;
  }
  if (line.as_json) {
    std::cout << result.dump() << '\n';
  } else if (line.show != nullptr) {
    line.show(std::cout, result);
  }
  return control::kExitDone;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const control::CommandLine line = control::read_command_line(control::words_of(argc, argv));
    if (line.help.empty()) return run(line);
    std::cout << line.help;
    return control::kExitDone;
  } catch (const control::ClientError& error) {
    return fail(error.exit_code(), error.what());
  } catch (const config::ConfigError& error) {
    return fail(control::kExitUsage, error.what());
  } catch (const std::exception& error) {
    return fail(control::kExitFailed, error.what());
  }
}
