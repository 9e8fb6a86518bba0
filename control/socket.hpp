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

#include "control/rpc.hpp"

namespace bulkhead::control {

class ControlSocket {
 public:
  static constexpr std::size_t kPeersMax = 512;
  static constexpr std::size_t kUnreadBytesMax = 8 << 20;

  /// Binds `path`, with mode 0660 and group "bulkhead" if that exists. Throws BackendError; also if
  /// another daemon listens there.
  ControlSocket(boost::asio::io_context& context, std::string path, Methods& methods,
                std::function<void(bool)> drops_watched);
  /// Removes the socket.
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  /// Tells those who monitor `kind` ("fdb", "port" or "drop").
  void publish(const std::string& kind, const Json& event);

 private:
  class Peer;

  void accept();
  void update_watchers();

  std::string path_;
  Methods& methods_;
  std::function<void(bool)> drops_watched_;
  bool watched_ = false;
  boost::asio::local::stream_protocol::acceptor acceptor_;
  std::set<std::shared_ptr<Peer>> peers_;
};

}  // namespace bulkhead::control
