#include "control/rpc/socket.hpp"

#include <grp.h>
#include <malloc.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "backends/error.hpp"

namespace bulkhead::control {

namespace asio = boost::asio;
using Local = asio::local::stream_protocol;

// Often enough for CaptureRing::kSlots.
constexpr auto kCaptureTurn = std::chrono::milliseconds(10);

class ControlSocket::Peer : public std::enable_shared_from_this<Peer> {
 public:
  Peer(ControlSocket& server, Local::socket socket)
      : server_(server), socket_(std::move(socket)), capture_turn_(socket_.get_executor()) {
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (::getsockopt(socket_.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) ==
        0) {
      may_change_ = credentials.uid == 0 || credentials.uid == ::geteuid();
    }
  }

  // What waited in many pieces leaves holes among what stays: the kernel is to have them back.
  ~Peer() {
    outgoing_.clear();
    if (unread_bytes_max_ > kTrimBytes) ::malloc_trim(0);
  }

  void start() { read(); }
  [[nodiscard]] bool monitors(const std::string& kind) const { return kinds_.contains(kind); }

  void send(std::string line) {
    if (unread_bytes_ > 0 && unread_bytes_ + line.size() > kUnreadBytesMax) {
      spdlog::warn("control socket: a client does not read its answers, cut off");
      close();
      return;
    }
    unread_bytes_ += line.size() + 1;
    unread_bytes_max_ = std::max(unread_bytes_max_, unread_bytes_);
    line += '\n';
    outgoing_.push_back(std::move(line));
    if (outgoing_.size() == 1) write();
  }

  /// An event may be left out where an answer may not. Says whether there was room for it.
  bool offer(const std::string& line) {
    const bool has_room = unread_bytes_ + line.size() <= kUnreadBytesMax / 2;
    if (has_room) send(line);
    return has_room;
  }

  void close() {
    boost::system::error_code ignored;
    socket_.close(ignored);
    kinds_.clear();
    capture_.reset();
    capture_turn_.cancel();
    server_.peers_.erase(shared_from_this());
    server_.update_watchers();
  }

 private:
  void read() {
    socket_.async_read_some(
        asio::buffer(chunk_),
        [self = shared_from_this()](boost::system::error_code error, std::size_t count) {
          if (error) return self->close();
          self->request_.append(self->chunk_.data(), count);
          self->answer_lines();
        });
  }

  /// One request a turn, so that a peer with many does not keep the others waiting.
  void answer_lines() {
    const std::size_t end = request_.find('\n', searched_);
    if (end == std::string::npos) {
      searched_ = request_.size();
      if (request_.size() > kRequestBytesMax) return refuse_too_long();
      return read();
    }
    if (end > kRequestBytesMax) return refuse_too_long();
    const std::string line = request_.substr(0, end);
    request_.erase(0, end + 1);
    searched_ = 0;
    const auto self = shared_from_this();
    if (line.find_first_not_of(" \t\r") != std::string::npos) {
      RpcAnswer reply = answer(server_.methods_, line, may_change_);
      if (!reply.line.empty()) send(std::move(reply.line));
      if (reply.subscribe && socket_.is_open()) {
        kinds_.insert(reply.kinds.begin(), reply.kinds.end());
        server_.update_watchers();
      }
      if (reply.capture && socket_.is_open()) {
        capture_ = std::move(reply.capture);
        forward_capture();
      }
    }
    if (socket_.is_open()) {
      asio::post(socket_.get_executor(), [self] { self->answer_lines(); });
    }
  }

  void forward_capture() {
    capture_->forward([this](const Event& event) { return server_.methods_.event_json(event); },
                      [this](const Json& json) { return offer(rpc_event_line(json)); });
    capture_turn_.expires_after(kCaptureTurn);
    capture_turn_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (!error && self->capture_) self->forward_capture();
    });
  }

  void refuse_too_long() {
    send(rpc_error_line(RpcError::invalid_request, "the request is longer than 1 MiB"));
    last_ = true;  // the rest of it is no request: close when this is sent
    request_.clear();
  }

  void write() {
    asio::async_write(socket_, asio::buffer(outgoing_.front()),
                      [self = shared_from_this()](boost::system::error_code error, std::size_t) {
                        if (error) return self->close();
                        self->unread_bytes_ -= self->outgoing_.front().size();
                        self->outgoing_.pop_front();
                        if (!self->outgoing_.empty()) return self->write();
                        if (self->last_) self->close();
                      });
  }

  static constexpr std::size_t kTrimBytes = 1 << 20;

  ControlSocket& server_;
  Local::socket socket_;
  bool may_change_ = false;
  bool last_ = false;
  std::array<char, 16 * 1024> chunk_{};
  std::string request_;       // what has been read and not answered
  std::size_t searched_ = 0;  // of it, for a newline
  std::deque<std::string> outgoing_;
  std::size_t unread_bytes_ = 0;
  std::size_t unread_bytes_max_ = 0;
  std::set<std::string> kinds_;
  std::unique_ptr<Capture> capture_;
  asio::steady_timer capture_turn_;
};

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
    : methods_(methods),
      drops_watched_(std::move(drops_watched)),
      acceptor_(context, Local(), ::dup(bound.fd())) {
  accept();
}

ControlSocket::~ControlSocket() {
  const auto peers = std::exchange(peers_, {});
  for (const auto& peer : peers) peer->close();
}

void ControlSocket::accept() {
  acceptor_.async_accept([this](boost::system::error_code error, Local::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error && peers_.size() < kPeersMax) {
      const auto peer = std::make_shared<Peer>(*this, std::move(socket));
      peers_.insert(peer);
      peer->start();
    }
    accept();
  });
}

void ControlSocket::publish(const std::string& kind, const Json& event) {
  const std::string line = rpc_event_line(event);
  const auto peers = peers_;  // one that fails leaves while we go through them
  for (const auto& peer : peers) {
    if (peer->monitors(kind)) peer->offer(line);
  }
}

void ControlSocket::update_watchers() {
  const bool watched =
      std::ranges::any_of(peers_, [](const auto& peer) { return peer->monitors("drop"); });
  if (std::exchange(watched_, watched) != watched) drops_watched_(watched);
}

}  // namespace bulkhead::control
