// One client of the control socket. Control thread only.
//
// Invariant: no peer can make the daemon wait or grow. Its requests are answered one after the
// other, in order, the next one when the answer before has been sent. A request may have
// kRequestBytesMax; long answers are made in pieces (long_answer.hpp), of all peers one at a time,
// and between two of them whoever asks for little is answered. Events and captured frames
// that it does not read are left out. What all peers together have not sent or read is bounded, too
// (Peers). Whatever fails for a peer, memory included, closes this one and nothing else.
#pragma once

#include <utility>  // boost/asio forgets it

#include <array>
#include <boost/asio.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/rpc/rpc.hpp"

namespace bulkhead::control {

class Peer;

/// What the peers have in common.
struct Peers {
  static constexpr std::size_t kEventBytesMax = 4 << 20;  // that a peer has not read
  static constexpr std::size_t kBytesMax = 64 << 20;      // of all of them, in either direction

  Methods& methods;
  std::function<void(const std::shared_ptr<Peer>&)> closed;
  std::function<void()> subscribed;                  // one monitors other events than before
  std::size_t bytes = 0;                             // of requests and answers, now
  std::deque<std::weak_ptr<Peer>> wait_for_piece{};  // whose turn it is to have a piece made
  std::size_t untrimmed = 0;  // pieces made since memory last went back to the kernel
};

class Peer : public std::enable_shared_from_this<Peer> {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;

  Peer(std::shared_ptr<Peers> peers, Socket socket);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  /// Tells a client why it is not served, as the answer to whatever it asks.
  static void refuse(Socket& socket, const std::string& why);

  void start();
  void close();
  [[nodiscard]] bool monitors(const std::string& kind) const { return subscription_.has(kind); }
  [[nodiscard]] bool wants(const std::string& kind, const Json& event) const {
    return monitors(kind) && subscription_.is_about(event);
  }
  /// An event may be left out where an answer may not. Says whether there was room for it.
  bool offer(const std::string& line);

 private:
  struct Outgoing {
    std::string text;
    bool is_answer;  // or a piece of one
  };

  template <class Step>
  void attempt(Step&& step);
  void go_on();
  void read();
  void answer_line();
  void answer_request(const std::string& line);
  void answer_with(std::string line);
  void wait_for_piece();
  static void make_a_piece(const std::shared_ptr<Peers>& peers,
                           const boost::asio::any_io_executor& executor);
  void send_piece();
  void send(Outgoing what);
  void write();
  void sent();
  void forward_capture();
  void refuse_request(const std::string& why);
  void count(std::size_t more, std::size_t less);

  std::shared_ptr<Peers> peers_;  // a peer may live until its last handler has gone
  Socket socket_;
  bool may_change_ = false;
  bool reading_ = false;
  bool answering_ = false;  // an answer is in outgoing_
  bool last_ = false;       // hang up when everything is sent
  std::array<char, 16 * 1024> chunk_{};
  std::string request_;       // what has been read and not answered
  std::size_t searched_ = 0;  // of it, for a newline
  std::deque<Outgoing> outgoing_;
  std::optional<RpcPieces> pieces_;  // of an answer that is under way
  std::deque<Outgoing> held_;        // events, until it is complete
  std::size_t bytes_ = 0;            // of request_, outgoing_ and held_
  std::size_t bytes_most_ = 0;
  Subscription subscription_;
  std::unique_ptr<Capture> capture_;
  boost::asio::steady_timer capture_turn_;
};

}  // namespace bulkhead::control
