// JSON-RPC 2.0 as text: a request line to a response line. Knows nothing of sockets.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/rpc/long_answer.hpp"
#include "control/rpc/methods.hpp"
#include "control/rpc_error.hpp"

namespace bulkhead::control {

inline constexpr std::size_t kRequestBytesMax = 1 << 20;

struct RpcRequest {
  std::string refusal;        // the line to answer with, if it is no request
  bool wants_answer = false;  // has an id, and so is no notification
  Json id;
  std::string method;
  Json parameters;
};

/// Reads one line. Pure; never throws, whatever the line is.
[[nodiscard]] RpcRequest parse_request(std::string_view line);

/// The line of a long answer, in pieces.
class RpcPieces {
 public:
  /// To the request `id`.
  RpcPieces(LongAnswer answer, Json id) : answer_(std::move(answer)), id_(std::move(id)) {}
  /// The next piece, without a newline at the end of the last one. Where the first one cannot be
  /// made, it is an error; throws where a later one cannot, whose line cannot be ended.
  [[nodiscard]] std::string next();
  [[nodiscard]] bool is_done() const { return is_done_; }

 private:
  LongAnswer answer_;
  Json id_;
  bool has_begun_ = false;
  bool is_done_ = false;
  bool any_ = false;  // a row was in a piece
};

struct RpcAnswer {
  std::string line;  // without its newline; empty if nothing is to be answered (a notification)
  std::optional<RpcPieces> pieces;           // instead of `line`
  std::optional<Subscription> subscription;  // the peer wants these events from now on
  std::unique_ptr<Capture> capture;          // the peer wants what this forwards from now on
};

[[nodiscard]] std::string rpc_error_line(RpcError code, const std::string& message);
[[nodiscard]] std::string rpc_event_line(const Json& event);

/// Answers one line. `may_change`: the peer may change things. Never throws.
[[nodiscard]] RpcAnswer answer(Methods& methods, std::string_view line, bool may_change);

}  // namespace bulkhead::control
