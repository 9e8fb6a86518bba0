// The state file: what commands added to the configuration, kept for the next daemon.
//
// Invariant: the file is whole at any moment, and holds what was in force when a command was last
// answered: it is written before, and if it cannot be, the command has changed nothing. One daemon
// has it at a time, by a lock on the file. Control thread only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace bulkhead::control {

class StateFile {
 public:
  /// Locks the file, which is made if it is not there. Throws BackendError, also if another daemon
  /// has it.
  explicit StateFile(std::string path);
  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  struct Restored {
    config::Config config;
    /// False if something of an earlier state is still aside, in a file beside it with .bad.
    bool complete = true;
  };
  /// `file` and what commands had added. Where the two disagree `file` is right; what is left out
  /// is logged, and the state as it was is set aside. Its contents never make it throw.
  Restored restore(const config::Config& file);

  /// Puts `next` in force by `put_in_force` and keeps what is by command in it. All or nothing:
  /// throws BackendError if the file cannot be written, and what `put_in_force` throws.
  using PutInForce = std::function<void(const config::Config&)>;
  void change(const config::Config& before, const config::Config& next,
              const PutInForce& put_in_force);

 private:
  void lock();
  [[nodiscard]] std::string read() const;
  /// Files that hold states of which something was left out: beside the file with .bad, .bad.2 and
  /// so on behind its name.
  [[nodiscard]] std::vector<std::string> set_aside() const;
  [[nodiscard]] bool keep_aside() const;

  std::string path_;
  int fd_ = -1;  // of the file in place, locked
  std::string text_;
};

/// Adds `commands`, which are by command, to `config`, where they agree with it. Says what was left
/// out and why, a line for each. Pure.
std::vector<std::string> add_commands(config::Config& config, const config::Config& commands);

}  // namespace bulkhead::control
