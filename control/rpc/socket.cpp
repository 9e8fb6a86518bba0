#include "control/rpc/socket.hpp"

#include <grp.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "backends/descriptors.hpp"
#include "backends/error.hpp"

namespace bulkhead::control {

namespace asio = boost::asio;
using Local = asio::local::stream_protocol;

namespace {

/// Takes the path over from a daemon that ended without removing it.
void clear_path(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return;
  if (!S_ISSOCK(info.st_mode)) {
    throw BackendError("socket " + path +
                       ": something else is there; choose another with --socket");
  }
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const bool served = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  if (served) {
    throw BackendError(
        "socket " + path +
        ": another bulkheadd listens there; stop it or choose another with --socket");
  }
  ::unlink(path.c_str());
}

}  // namespace

BoundSocket::BoundSocket(std::string path) : path_(std::move(path)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) {
    throw BackendError("socket " + path_ + ": the path is longer than 107 bytes");
  }
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  clear_path(path_);
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const mode_t before = ::umask(0117);
  const bool listens = ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                       ::listen(fd_, SOMAXCONN) == 0;
  const int error = errno;
  ::umask(before);
  if (!listens) {
    ::close(fd_);
    throw BackendError("socket " + path_ + ": cannot listen: " + std::strerror(error) +
                       "; choose a directory that exists and can be written to");
  }
  if (const group* members = ::getgrnam("bulkhead")) {
    if (::chown(path_.c_str(), static_cast<uid_t>(-1), members->gr_gid) != 0) {
      spdlog::warn("socket {}: cannot give it to group bulkhead: {}", path_, std::strerror(errno));
    }
  }
}

BoundSocket::~BoundSocket() {
  ::unlink(path_.c_str());
  ::close(fd_);
}

ControlSocket::ControlSocket(asio::io_context& context, const BoundSocket& bound, Methods& methods,
                             std::function<void(bool)> drops_watched)
    : drops_watched_(std::move(drops_watched)),
      shared_(std::make_shared<Peers>(Peers{.methods = methods,
                                            .closed =
                                                [this](const std::shared_ptr<Peer>& peer) {
                                                  peers_.erase(peer);
                                                  update_watchers();
                                                },
                                            .subscribed = [this] { update_watchers(); }})),
      acceptor_(context, Local(), ::dup(bound.fd())),
      pause_(context) {
  accept();
}

ControlSocket::~ControlSocket() {
  const auto peers = std::exchange(peers_, {});
  for (const auto& peer : peers) peer->close();
}

void ControlSocket::accept() {
  acceptor_.async_accept([this](boost::system::error_code error, Local::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) return accept_later(error.message());
    try {
      take(std::move(socket));
    } catch (const std::exception& failure) {
      complain("a client is refused: " + std::string(failure.what()));
    }
    accept();
  });
}

// Who connects waits meanwhile. At once it would fail again, and so on for ever.
void ControlSocket::accept_later(const std::string& why) {
  constexpr auto kPause = std::chrono::milliseconds(100);
  complain("clients wait: " + why);
  pause_.expires_after(kPause);
  pause_.async_wait([this](boost::system::error_code error) {
    if (!error) accept();
  });
}

void ControlSocket::take(Local::socket socket) {
  const bool is_short = Descriptors::is_reserved(socket.native_handle());
  if (peers_.size() >= (is_short ? kPeersAlways : kPeersMax)) {
    const std::string why = std::to_string(peers_.size()) +
                            " clients are connected, and there is no room for more; try again "
                            "when one of them has gone";
    Peer::refuse(socket, why);
    return complain("a client is refused: " + why);
  }
  const auto peer = std::make_shared<Peer>(shared_, std::move(socket));
  peers_.insert(peer);
  peer->start();
}

void ControlSocket::complain(const std::string& text) {
  constexpr auto kInterval = std::chrono::seconds(10);
  const auto now = std::chrono::steady_clock::now();
  if (now - complained_ < kInterval) return;
  complained_ = now;
  spdlog::warn("control socket: {}", text);
}

void ControlSocket::publish(const std::string& kind, Json event) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  event["time_us"] = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  const std::string line = rpc_event_line(event);
  const auto peers = peers_;  // one that fails leaves while we go through them
  for (const auto& peer : peers) {
    if (peer->wants(kind, event)) peer->offer(line);
  }
}

void ControlSocket::update_watchers() {
  const bool watched =
      std::ranges::any_of(peers_, [](const auto& peer) { return peer->monitors("drop"); });
  if (watched_ == watched) return;
  try {
    drops_watched_(watched);
    watched_ = watched;
  } catch (const std::exception& error) {
    spdlog::warn("monitor: {}; drops are told at the same rate as before", error.what());
  }
}

}  // namespace bulkhead::control
