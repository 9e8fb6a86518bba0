#include "control/state.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include "backends/error.hpp"
#include "control/pending_file.hpp"

namespace bulkhead::control {
namespace {

constexpr mode_t kMode = 0640;
constexpr const char* kAside = ".bad";

[[noreturn]] void refuse(const std::string& path, const std::string& text) {
  throw BackendError("state " + path + ": " + text);
}

/// What is wrong with `config`, or nothing.
std::string fault_of(config::Config config) {
  config.file.clear();  // it is right; what came to it by command is not
  config::add_missing_segments(config);
  try {
    config::check(config);
  } catch (const config::ConfigError& error) {
    return error.what();
  }
  return {};
}

/// Adds the ports that agree with `config`. A check is for all together, so halves are tried only
/// where the whole does not do.
void add_ports(config::Config& config, std::span<const config::Port* const> ports,
               std::vector<std::string>& left_out) {
  if (ports.empty()) return;
  config::Config next = config;
  for (const config::Port* port : ports) next.ports.emplace(port->name, *port);
  const std::string fault = fault_of(next);
  if (fault.empty()) {
    config = std::move(next);
  } else if (ports.size() == 1) {
    left_out.push_back(fault);
  } else {
    add_ports(config, ports.first(ports.size() / 2), left_out);
    add_ports(config, ports.subspan(ports.size() / 2), left_out);
  }
}

}  // namespace

std::vector<std::string> add_commands(config::Config& config, const config::Config& commands) {
  std::vector<std::string> left_out;
  std::vector<const config::Port*> ports;
  for (const auto& [name, port] : commands.ports) {
    const auto in_file = config.ports.find(name);
    if (in_file == config.ports.end()) {
      ports.push_back(&port);
    } else if (!in_file->second.same_as(port)) {
      left_out.push_back("port " + name + ": is another one in the configuration file");
    }
  }
  add_ports(config, ports, left_out);
  config::add_missing_segments(config);
  for (const config::Static& entry : commands.statics) {
    const bool in_file = std::ranges::any_of(config.statics, [&](const config::Static& other) {
      return other.mac == entry.mac && other.port == entry.port;
    });
    if (!in_file) config.statics.push_back(entry);
  }
  std::ranges::move(config::remove_overruled_statics(config), std::back_inserter(left_out));
  return left_out;
}

StateFile::StateFile(std::string path) : path_(std::move(path)) {
  lock();
  path_ = std::filesystem::canonical(path_);  // so that a link to it stays one
}

StateFile::~StateFile() {
  if (fd_ >= 0) ::close(fd_);
}

void StateFile::lock() {
  const std::string remedy = "; choose another `state`, in a directory that exists";
  for (;;) {
    // Without O_NONBLOCK a FIFO would hold us up.
    const int fd = ::open(path_.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, kMode);
    if (fd < 0) refuse(path_, "cannot be opened: " + std::string(std::strerror(errno)) + remedy);
    struct stat opened {};
    ::fstat(fd, &opened);
    const bool is_file = S_ISREG(opened.st_mode);
    const bool is_locked = is_file && ::flock(fd, LOCK_EX | LOCK_NB) == 0;
    struct stat in_place {};
    const bool is_in_place = ::stat(path_.c_str(), &in_place) == 0 &&
                             in_place.st_ino == opened.st_ino && in_place.st_dev == opened.st_dev;
    if (is_locked && is_in_place) {
      fd_ = fd;
      return;
    }
    ::close(fd);
    if (!is_file) refuse(path_, "is something else than a file; choose another `state`");
    if (!is_locked) refuse(path_, "another bulkheadd has it; stop it or choose another `state`");
    // Replaced between the two: it is another one now.
  }
}

std::string StateFile::read() const {
  std::string text;
  std::array<char, 65'536> chunk;
  for (;;) {
    const ssize_t count = ::pread(fd_, chunk.data(), chunk.size(), static_cast<off_t>(text.size()));
    if (count == 0) return text;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) refuse(path_, "cannot be read: " + std::string(std::strerror(errno)));
    text.append(chunk.data(), static_cast<std::size_t>(count));
    if (text.size() > config::kFileLengthMax) refuse(path_, "is longer than 16 MiB");
  }
}

std::vector<std::string> StateFile::set_aside() const {
  const std::filesystem::path path = path_;
  const std::string name = path.filename().string() + kAside;
  std::vector<std::string> found;
  std::error_code error;
  std::filesystem::directory_iterator file(path.parent_path(), error);
  for (; !error && file != std::filesystem::directory_iterator(); file.increment(error)) {
    const std::string other = file->path().filename().string();
    if (other == name || other.starts_with(name + ".")) found.push_back(file->path().string());
  }
  return found;
}

// A second name for what is there now, before it is replaced. False if that cannot be.
bool StateFile::keep_aside() const {
  std::string aside = path_ + kAside;
  for (int number = 2; ::link(path_.c_str(), aside.c_str()) != 0; ++number) {
    const int failure = errno;
    std::error_code error;
    if (std::filesystem::equivalent(path_, aside, error)) return true;  // but not yet replaced
    if (failure != EEXIST) {
      spdlog::warn("state {}: cannot be kept as {}: {}; the next command replaces it", path_, aside,
                   std::strerror(failure));
      return false;
    }
    aside = path_ + kAside + "." + std::to_string(number);
  }
  return true;
}

StateFile::Restored StateFile::restore(const config::Config& file) {
  Restored restored{.config = file, .complete = true};
  std::vector<std::string> left_out;
  try {
    text_ = read();
    left_out = add_commands(restored.config, config::parse_state(text_, path_));
    for (const std::string& text : left_out) {
      spdlog::warn("state {}: {}; left out, the configuration file is right", path_, text);
    }
  } catch (const std::runtime_error& error) {
    left_out.emplace_back(error.what());
    spdlog::warn("{}; what commands added is NOT there", error.what());
  }
  try {
    // What the file says now is not to come back as a command's when the file no longer does.
    if (left_out.empty() || keep_aside()) {
      change(restored.config, restored.config, [](const config::Config&) {});
    }
  } catch (const BackendError& error) {
    spdlog::warn("{}", error.what());
  }
  const std::vector<std::string> aside = set_aside();
  restored.complete = left_out.empty() && aside.empty();
  for (const std::string& path : aside) {
    spdlog::warn(
        "state {}: holds what was left out; devices without a port stay closed until it is deleted",
        path);
  }
  return restored;
}

void StateFile::change(const config::Config& before, const config::Config& next,
                       const PutInForce& put_in_force) {
  std::string text = config::state_to_toml(next);
  if (text == text_) return put_in_force(next);
  const auto cannot = [&](const std::system_error& error) {
    refuse(path_, "cannot be written: " + error.code().message() +
                      "; nothing has changed; mend that and try again");
  };
  const std::string beside = path_ + ".new";
  ::unlink(beside.c_str());  // of a daemon that was killed; by the lock nobody else writes it
  std::optional<PendingFile> pending;
  try {
    pending.emplace(path_, beside, text, kMode);
    if (::flock(pending->fd(), LOCK_EX | LOCK_NB) != 0) {
      throw std::system_error(errno, std::generic_category());
    }
  } catch (const std::system_error& error) {
    cannot(error);
  }
  put_in_force(next);
  try {
    pending->commit();
  } catch (const std::system_error& error) {
    put_in_force(before);
    cannot(error);
  }
  ::close(std::exchange(fd_, pending->take_fd()));
  text_ = std::move(text);
}

}  // namespace bulkhead::control
