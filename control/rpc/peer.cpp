#include "control/rpc/peer.hpp"

#include <malloc.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace bulkhead::control {

namespace asio = boost::asio;

namespace {

// Often enough for CaptureRing::kSlots.
constexpr auto kCaptureTurn = std::chrono::milliseconds(10);
constexpr std::size_t kSmallBytes = 64 << 10;  // always allowed
constexpr const char* kFull =
    "clients that do not read their answers hold all the memory there is for that; try again later";

}  // namespace

Peer::Peer(std::shared_ptr<Peers> peers, Socket socket)
    : peers_(std::move(peers)), socket_(std::move(socket)), capture_turn_(socket_.get_executor()) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(socket_.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0) {
    may_change_ = credentials.uid == 0 || credentials.uid == ::geteuid();
  }
}

// What waited in many pieces leaves holes among what stays: the kernel is to have them back.
Peer::~Peer() {
  constexpr std::size_t kTrimBytes = 1 << 20;
  outgoing_.clear();
  held_.clear();
  request_ = {};
  count(0, bytes_);
  if (bytes_most_ > kTrimBytes) ::malloc_trim(0);
}

void Peer::refuse(Socket& socket, const std::string& why) {
  const std::string line = rpc_error_line(RpcError::failed, why) + "\n";
  ::send(socket.native_handle(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void Peer::start() {
  attempt([this] { go_on(); });
}

void Peer::close() {
  if (!socket_.is_open()) return;
  boost::system::error_code ignored;
  socket_.close(ignored);
  subscription_ = {};
  capture_.reset();
  pieces_.reset();
  capture_turn_.cancel();
  peers_->closed(shared_from_this());
}

bool Peer::offer(const std::string& line) {
  const std::size_t size = line.size() + 1;
  const bool has_room =
      bytes_ + size <= Peers::kEventBytesMax && peers_->bytes + size <= Peers::kBytesMax;
  if (!has_room || !socket_.is_open()) return has_room;
  try {
    send({line + '\n', false});
  } catch (const std::bad_alloc&) {
    return false;
  }
  return true;
}

template <class Step>
void Peer::attempt(Step&& step) {
  const auto self = shared_from_this();
  try {
    step();
  } catch (const std::exception& error) {
    spdlog::warn("control socket: a client is cut off: {}", error.what());
    close();
  }
}

/// Whatever is next: a piece of the answer that is under way, a request that is there, or to read.
void Peer::go_on() {
  if (!socket_.is_open() || answering_) return;
  if (pieces_) return wait_for_piece();
  if (last_) {
    if (outgoing_.empty()) close();
    return;
  }
  answer_line();
}

void Peer::read() {
  if (std::exchange(reading_, true)) return;
  socket_.async_read_some(
      asio::buffer(chunk_),
      [self = shared_from_this()](boost::system::error_code error, std::size_t got) {
        self->reading_ = false;
        if (error) return self->close();
        self->attempt([&] {
          self->request_.append(self->chunk_.data(), got);
          self->count(got, 0);
          self->go_on();
        });
      });
}

void Peer::answer_line() {
  const std::size_t end = request_.find('\n', searched_);
  if (std::min(end, request_.size()) > kRequestBytesMax) {
    return refuse_request("the request is longer than 1 MiB");
  }
  if (end == std::string::npos) {
    searched_ = request_.size();
    if (bytes_ > kSmallBytes && peers_->bytes > Peers::kBytesMax) return refuse_request(kFull);
    return read();
  }
  const std::string line = request_.substr(0, end);
  request_.erase(0, end + 1);
  searched_ = 0;
  count(0, line.size() + 1);
  if (line.find_first_not_of(" \t\r") != std::string::npos) answer_request(line);
  if (answering_ || !socket_.is_open()) return;
  // One request a turn, so that a peer with many does not keep the others waiting.
  asio::post(socket_.get_executor(),
             [self = shared_from_this()] { self->attempt([&] { self->go_on(); }); });
}

void Peer::answer_request(const std::string& line) {
  RpcAnswer reply = answer(peers_->methods, line, may_change_);
  const bool subscribes = reply.subscription.has_value();
  if (subscribes) subscription_ = std::move(*reply.subscription);
  pieces_ = std::move(reply.pieces);
  if (!reply.line.empty()) {
    answer_with(std::move(reply.line));
  } else if (pieces_) {
    answering_ = true;  // from now on
    wait_for_piece();
  }
  if (subscribes) peers_->subscribed();
  if (reply.capture && socket_.is_open()) {
    capture_ = std::move(reply.capture);
    forward_capture();
  }
}

void Peer::answer_with(std::string line) {
  if (line.size() > kSmallBytes && peers_->bytes + line.size() > Peers::kBytesMax) {
    line = rpc_error_line(RpcError::failed, kFull);
  }
  send({std::move(line) + '\n', true});
}

void Peer::wait_for_piece() {
  peers_->wait_for_piece.push_back(weak_from_this());
  if (peers_->wait_for_piece.size() == 1) make_a_piece(peers_, socket_.get_executor());
}

// One a turn of the loop, whoever waits. What is counted for a piece takes megabytes for a moment,
// and leaves holes between pieces that nobody reads: the kernel has them back now and then.
void Peer::make_a_piece(const std::shared_ptr<Peers>& peers,
                        const asio::any_io_executor& executor) {
  asio::post(executor, [peers, executor] {
    const auto peer = peers->wait_for_piece.front().lock();
    if (peer && peer->pieces_) peer->attempt([&] { peer->send_piece(); });
    peers->wait_for_piece.pop_front();
    constexpr std::size_t kPiecesUntrimmed = 128;
    if (++peers->untrimmed == kPiecesUntrimmed) {
      peers->untrimmed = 0;
      ::malloc_trim(0);
    }
    if (!peers->wait_for_piece.empty()) make_a_piece(peers, executor);
  });
}

void Peer::send_piece() {
  std::string text = pieces_->next();
  const bool is_last = pieces_->is_done();
  if (is_last) text += '\n';
  text.shrink_to_fit();  // a client may leave it there for long
  send({std::move(text), true});
  if (!is_last) return;
  pieces_.reset();
  for (Outgoing& event : held_) outgoing_.push_back(std::move(event));
  held_.clear();
}

void Peer::send(Outgoing what) {
  const std::size_t size = what.text.size();
  const bool is_answer = what.is_answer;
  const bool is_held = !is_answer && pieces_;
  (is_held ? held_ : outgoing_).push_back(std::move(what));
  count(size, 0);
  if (is_held) return;
  answering_ = answering_ || is_answer;
  if (outgoing_.size() == 1) write();
}

void Peer::write() {
  asio::async_write(socket_, asio::buffer(outgoing_.front().text),
                    [self = shared_from_this()](boost::system::error_code error, std::size_t) {
                      if (error) return self->close();
                      self->attempt([&] { self->sent(); });
                    });
}

void Peer::sent() {
  const Outgoing done = std::move(outgoing_.front());
  outgoing_.pop_front();
  count(0, done.text.size());
  if (done.is_answer) answering_ = false;
  if (!outgoing_.empty()) write();
  if (done.is_answer || last_) go_on();
}

void Peer::forward_capture() {
  capture_->forward([this](const Event& event) { return peers_->methods.event_json(event); },
                    [this](const Json& json) { return offer(rpc_event_line(json)); });
  capture_turn_.expires_after(kCaptureTurn);
  capture_turn_.async_wait([self = shared_from_this()](boost::system::error_code error) {
    if (error || !self->capture_) return;
    self->attempt([&] { self->forward_capture(); });
  });
}

/// The rest of it is no request: hangs up when this is sent.
void Peer::refuse_request(const std::string& why) {
  last_ = true;
  count(0, request_.size());
  request_ = {};
  searched_ = 0;
  send({rpc_error_line(RpcError::invalid_request, why) + '\n', true});
}

void Peer::count(std::size_t more, std::size_t less) {
  bytes_ += more - less;
  peers_->bytes += more - less;
  bytes_most_ = std::max(bytes_most_, bytes_);
}

}  // namespace bulkhead::control
