// The control socket: JSON-RPC over a local stream socket, one object a line. Control thread only.
//
// Invariant: no peer can make the daemon wait or grow. A request may have kRequestBytesMax, answers
// that a peer does not read kUnreadBytesMax, or be one longer one; a peer beyond that is cut off.
// Requests of one peer are answered one after the other, in order. Events and captured frames that
// a peer does not read are left out.
#pragma once

#include <utility>

#include <boost/asio.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "control/rpc/rpc.hpp"

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
  static constexpr std::size_t kUnreadBytesMax = 8 << 20;

  ControlSocket(boost::asio::io_context& context, const BoundSocket& bound, Methods& methods,
                std::function<void(bool)> drops_watched);
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  /// Tells those who monitor `kind` ("fdb", "port" or "drop").
  void publish(const std::string& kind, const Json& event);

 private:
  class Peer;

  void accept();
  void update_watchers();

  Methods& methods_;
  std::function<void(bool)> drops_watched_;
  bool watched_ = false;
  boost::asio::local::stream_protocol::acceptor acceptor_;
  std::set<std::shared_ptr<Peer>> peers_;
};

}  // namespace bulkhead::control
