#include "control/client/client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "control/rpc_error.hpp"

namespace bulkhead::control {

namespace {

/// What connect() said, and what to do about it.
std::string why_no_connection(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      return "permission denied; run this as root, or, to look only, as a member of the group "
             "bulkhead";
    default:
      return std::string(std::strerror(error)) +
             "; is bulkheadd running? choose another with --socket";
  }
}

}  // namespace

Client::Client(const std::string& path) : path_(path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw ClientError(kExitUsage, "socket " + path + ": the path is longer than 107 bytes");
  }
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return;
  const int error = errno;
  ::close(fd_);
  throw ClientError(kExitFailed, "socket " + path + ": " + why_no_connection(error));
}

Client::~Client() { ::close(fd_); }

nlohmann::json Client::call(const std::string& method, const nlohmann::json& parameters) {
  ask(method, parameters);
  return *answer();
}

void Client::ask(const std::string& method, const nlohmann::json& parameters) {
  const std::string line =
      nlohmann::json{{"jsonrpc", "2.0"}, {"method", method}, {"params", parameters}, {"id", 1}}
          .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
      "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t count = ::send(fd_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return;  // what bulkheadd said before it hung up is the answer
    sent += static_cast<std::size_t>(count);
  }
}

std::optional<nlohmann::json> Client::answer(int interrupt) {
  const auto object = read_object(interrupt);
  if (!object) return std::nullopt;
  if (!object->contains("error")) return object->value("result", nlohmann::json());
  const nlohmann::json& error = object->at("error");
  const auto code = static_cast<RpcError>(error.value("code", 0));
  const bool failed = code == RpcError::failed || code == RpcError::not_permitted;
  throw ClientError(failed ? kExitFailed : kExitUsage,
                    error.value("message", "refused without a reason"));
}

pid_t Client::daemon_pid() const {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd_, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return 0;
  return credentials.pid;
}

std::optional<nlohmann::json> Client::next_event(int interrupt) {
  const auto event = read_object(interrupt);
  if (!event) return std::nullopt;
  return event->value("params", nlohmann::json::object());
}

std::optional<nlohmann::json> Client::read_object(int interrupt) {
  std::array<char, 65'536> chunk;
  std::size_t end;
  while ((end = read_.find('\n')) == std::string::npos) {
    std::array<pollfd, 2> fds{pollfd{fd_, POLLIN, 0}, pollfd{interrupt, POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;  // EINTR
    if (fds[1].revents != 0) return std::nullopt;
    const ssize_t count = ::recv(fd_, chunk.data(), chunk.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw ClientError(kExitFailed, "socket " + path_ + ": bulkheadd hung up");
    read_.append(chunk.data(), static_cast<std::size_t>(count));
  }
  const nlohmann::json object = nlohmann::json::parse(read_.substr(0, end), nullptr, false);
  read_.erase(0, end + 1);
  if (!object.is_object()) {
    throw ClientError(kExitFailed, "socket " + path_ + ": the answer is no JSON; is it bulkheadd?");
  }
  return object;
}

}  // namespace bulkhead::control
