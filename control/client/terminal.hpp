// The user's terminal while a live view is on it, and what the user wants meanwhile.
#pragma once

#include <termios.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace bulkhead::control {

struct TerminalSize {
  std::size_t columns = 0;  // 0: as many as there is text for
  std::size_t lines = 0;    // likewise
};

/// The alternate screen, without cursor, echo and line editing, until the destructor gives back
/// what was there before. Where standard input is no terminal, it is left alone.
class Screen {
 public:
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  [[nodiscard]] static TerminalSize size();
  /// Replaces what is on the screen, in one write: nothing flickers. Lines must fit. False if the
  /// terminal has gone.
  bool draw(const std::vector<std::string>& lines);

 private:
  termios before_{};
  bool has_input_;
};

/// Signals, and keys if standard input is a terminal.
class UserInput {
 public:
  enum class Wish { none, quit, suspend, redraw, key };

  /// Blocks SIGINT, SIGTERM, SIGHUP, SIGTSTP and SIGWINCH, which are wishes from here on.
  explicit UserInput(bool with_keys);
  ~UserInput();
  UserInput(const UserInput&) = delete;
  UserInput& operator=(const UserInput&) = delete;

  /// Readable when there is a wish.
  [[nodiscard]] int fd() const { return epoll_; }
  /// The next wish, waited for until then; none if there is none.
  Wish next(std::chrono::steady_clock::time_point until);
  /// With Wish::key: which.
  [[nodiscard]] char key() const { return key_; }

 private:
  Wish read_signal();
  Wish read_key();

  int epoll_ = -1;
  int signals_ = -1;
  char key_ = 0;
};

}  // namespace bulkhead::control
