// The client's side of the control socket: blocking, one request at a time.
#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>

namespace bulkhead::control {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

/// What went wrong, with the exit code that says of what sort it is.
class ClientError : public std::runtime_error {
 public:
  ClientError(int exit_code, const std::string& text)
      : std::runtime_error(text), exit_code_(exit_code) {}
  [[nodiscard]] int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

class Client {
 public:
  /// Connects. Throws ClientError.
  explicit Client(const std::string& path);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// The result of a method. Throws ClientError, also for what the daemon refuses.
  nlohmann::json call(const std::string& method, const nlohmann::json& parameters);
  /// call() in two: the question, and its result; nothing if `interrupt`, a descriptor, became
  /// readable before: it is still to come then.
  void ask(const std::string& method, const nlohmann::json& parameters);
  std::optional<nlohmann::json> answer(int interrupt = -1);
  /// The next event, after `monitor` or `capture` was called; nothing if `interrupt`, a descriptor,
  /// became readable before. Throws ClientError when the daemon has gone.
  std::optional<nlohmann::json> next_event(int interrupt = -1);
  /// The daemon's process; 0 if it cannot be seen from here.
  [[nodiscard]] pid_t daemon_pid() const;

 private:
  std::optional<nlohmann::json> read_object(int interrupt);

  int fd_ = -1;
  std::string path_;
  std::string read_;
};

}  // namespace bulkhead::control
