#include "control/client/terminal.hpp"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

namespace bulkhead::control {
namespace {

constexpr std::string_view kAlternateScreen = "\033[?1049h\033[?25l";
constexpr std::string_view kScreenBefore = "\033[?25h\033[?1049l";
constexpr std::string_view kHome = "\033[H";
constexpr std::string_view kClearToEndOfLine = "\033[K";
constexpr std::string_view kClearBelow = "\033[J";

bool write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

}  // namespace

Screen::Screen() : has_input_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
  if (has_input_) {
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // ISIG stays: Ctrl-C is a signal
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  }
  write_all(kAlternateScreen);
}

Screen::~Screen() {
  write_all(kScreenBefore);
  if (has_input_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
}

TerminalSize Screen::size() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
    return {80, 24};
  }
  return {size.ws_col, size.ws_row};
}

bool Screen::draw(const std::vector<std::string>& lines) {
  std::string text(kHome);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) text += "\r\n";  // none behind the last line, which would scroll
    text += lines[i];
    text += kClearToEndOfLine;
  }
  text += kClearBelow;
  return write_all(text);
}

UserInput::UserInput(bool with_keys) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH}) {
    sigaddset(&signals, number);
  }
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signals_ = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  const auto watch = [this](int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  };
  watch(signals_);
  if (with_keys && ::isatty(STDIN_FILENO) == 1) watch(STDIN_FILENO);
}

UserInput::~UserInput() {
  ::close(epoll_);
  ::close(signals_);
}

UserInput::Wish UserInput::next(std::chrono::steady_clock::time_point until) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    epoll_event event{};
    const int timeout = static_cast<int>(std::max<std::int64_t>(0, left.count()));
    const int count = ::epoll_wait(epoll_, &event, 1, timeout);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return Wish::none;
    return event.data.fd == signals_ ? read_signal() : read_key();
  }
}

UserInput::Wish UserInput::read_signal() {
  signalfd_siginfo info{};
  if (::read(signals_, &info, sizeof info) != sizeof info) return Wish::redraw;
  switch (info.ssi_signo) {
    case SIGTSTP:
      return Wish::suspend;
    case SIGWINCH:
      return Wish::redraw;
    default:
      return Wish::quit;
  }
}

UserInput::Wish UserInput::read_key() {
  return ::read(STDIN_FILENO, &key_, 1) == 1 ? Wish::key : Wish::quit;  // the terminal has gone
}

}  // namespace bulkhead::control
