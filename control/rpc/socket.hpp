// The control socket: JSON-RPC over a local stream socket, one object a line. Control thread only.
// What serves one client is a Peer.
//
// Clients beyond kPeersMax are told so and hung up on; so are those beyond kPeersAlways while no
// descriptor is left but those of the reserve. Where even that cannot be, they wait in the kernel's
// queue.
#pragma once

#include <utility>  // boost/asio forgets it

#include <boost/asio.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "control/rpc/peer.hpp"

namespace bulkhead::control {

/// The socket's path, bound: a daemon that cannot have it touches nothing else. Who connects waits
/// until a ControlSocket is there.
class BoundSocket {
 public:
  /// Binds `path`, with mode 0660 and group "bulkhead" if that exists. Throws BackendError; also if
  /// another daemon listens there.
  explicit BoundSocket(std::string path);
  /// Removes the socket.
  ~BoundSocket();
  BoundSocket(const BoundSocket&) = delete;
  BoundSocket& operator=(const BoundSocket&) = delete;

  [[nodiscard]] int fd() const { return fd_; }

 private:
  std::string path_;
  int fd_ = -1;
};

class ControlSocket {
 public:
  static constexpr std::size_t kPeersMax = 512;
  static constexpr std::size_t kPeersAlways = 8;

  ControlSocket(boost::asio::io_context& context, const BoundSocket& bound, Methods& methods,
                std::function<void(bool)> drops_watched);
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  /// Tells those who monitor `kind` ("fdb", "port" or "drop"), with the time.
  void publish(const std::string& kind, Json event);

 private:
  void accept();
  void accept_later(const std::string& why);
  void take(boost::asio::local::stream_protocol::socket socket);
  void complain(const std::string& text);
  void update_watchers();

  std::function<void(bool)> drops_watched_;
  bool watched_ = false;
  std::shared_ptr<Peers> shared_;
  std::set<std::shared_ptr<Peer>> peers_;
  boost::asio::local::stream_protocol::acceptor acceptor_;
  boost::asio::steady_timer pause_;  // until it accepts again
  std::chrono::steady_clock::time_point complained_;
};

}  // namespace bulkhead::control
