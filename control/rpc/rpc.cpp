#include "control/rpc/rpc.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <utility>

#include "backends/error.hpp"
#include "config/nearest.hpp"
#include "control/memory_reserve.hpp"

namespace bulkhead::control {
namespace {

constexpr std::size_t kMethodShown = 64;  // bytes of a name that is none
constexpr std::array<std::string_view, 2> kSubscribing{"monitor", "capture"};

/// Text that came from outside may be no UTF-8, which JSON cannot carry.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json error_json(RpcError code, const std::string& message, const Json& id) {
  return {{"jsonrpc", "2.0"},
          {"error", {{"code", static_cast<int>(code)}, {"message", message}}},
          {"id", id}};
}

struct Failure {
  RpcError code;
  std::string message;
};

Json carry_out(Methods& methods, const RpcRequest& request, bool may_change, RpcAnswer& answer) {
  const std::string& method = request.method;
  const bool subscribes = std::ranges::find(kSubscribing, method) != kSubscribing.end();
  if (!subscribes && !methods.knows(method)) {
    throw Failure{RpcError::method_not_found, "there is no command \"" +
                                                  method.substr(0, kMethodShown) + "\"; " +
                                                  config::suggestion(method, Methods::names())};
  }
  if (Methods::changes(method) && !may_change) {
    throw Failure{RpcError::not_permitted,
                  method + ": not permitted; root and the daemon's own user may change things"};
  }
  try {
    if (method == "capture") {
      answer.capture = methods.capture(request.parameters);
      return Json::object();
    }
    if (method == "monitor") {
      answer.subscription = methods.subscription(request.parameters);
      return Json{{"kinds", answer.subscription->kinds}};
    }
    if (methods.answers_at_length(method)) {
      answer.pieces.emplace(methods.call_long(method, request.parameters), request.id);
      return nullptr;
    }
    return methods.call(method, request.parameters);
  } catch (const UsageError& error) {
    throw Failure{RpcError::invalid_params, error.what()};
  } catch (const config::ConfigError& error) {
    throw Failure{RpcError::invalid_params, error.what()};
  } catch (const Json::exception& error) {
    throw Failure{RpcError::invalid_params, method + ": " + error.what()};
  } catch (const FailureError& error) {
    throw Failure{RpcError::failed, error.what()};
  } catch (const BackendError& error) {
    throw Failure{RpcError::failed, error.what()};
  } catch (const std::bad_alloc&) {
    throw Failure{RpcError::failed, method + ": there is no memory for it"};
  } catch (const std::exception& error) {
    throw Failure{RpcError::failed, method + ": " + error.what()};
  }
}

}  // namespace

std::string rpc_error_line(RpcError code, const std::string& message) {
  return dump(error_json(code, message, nullptr));
}

std::string rpc_event_line(const Json& event) {
  return dump({{"jsonrpc", "2.0"}, {"method", "event"}, {"params", event}});
}

RpcRequest parse_request(std::string_view line) {
  RpcRequest request;
  // nlohmann recurses on nested values; nothing that is asked for nests deeper than a list.
  constexpr int kDepthMax = 16;
  bool too_deep = false;
  const auto depth_guard = [&](int depth, Json::parse_event_t, Json&) {
    too_deep |= depth > kDepthMax;
    return depth <= kDepthMax;
  };
  const Json json = Json::parse(line, depth_guard, false);
  if (json.is_discarded() || too_deep) {
    request.refusal = rpc_error_line(RpcError::parse, "the request is no JSON: one object a line");
    return request;
  }
  request.wants_answer = json.is_object() && json.contains("id");
  if (request.wants_answer) request.id = json["id"];
  if (!json.is_object() || json.value("jsonrpc", Json()) != "2.0" ||
      !json.value("method", Json()).is_string()) {
    request.refusal =
        dump(error_json(RpcError::invalid_request,
                        "the request is no JSON-RPC 2.0: it needs jsonrpc and method", request.id));
    return request;
  }
  request.method = json["method"];
  request.parameters = json.value("params", Json::object());
  return request;
}

std::string RpcPieces::next() {
  const bool is_list = answer_.kind == LongAnswer::Kind::list;
  std::optional<Json> piece;
  try {
    piece = answer_.next();
  } catch (const std::exception& error) {
    if (has_begun_) throw;
    is_done_ = true;
    return dump(error_json(RpcError::failed, error.what(), id_));
  }
  std::string text;
  if (!std::exchange(has_begun_, true)) {
    text = "{\"id\":" + dump(id_) + ",\"jsonrpc\":\"2.0\",\"result\":" + (is_list ? "[" : "\"");
  }
  if (!piece) {
    is_done_ = true;
    return text + (is_list ? "]}" : "\"}");
  }
  if (is_list) {
    for (const Json& row : *piece) text += (std::exchange(any_, true) ? "," : "") + dump(row);
  } else {
    const std::string quoted = dump(*piece);
    text.append(quoted, 1, quoted.size() - 2);
  }
  return text;
}

RpcAnswer answer(Methods& methods, std::string_view line, bool may_change) try {
  MemoryReserve::require();
  RpcAnswer answer;
  const RpcRequest request = parse_request(line);
  if (!request.refusal.empty()) {
    answer.line = request.refusal;
    return answer;
  }
  try {
    const Json result = carry_out(methods, request, may_change, answer);
    if (!request.wants_answer) answer.pieces.reset();
    if (request.wants_answer && !answer.pieces) {
      answer.line = dump({{"jsonrpc", "2.0"}, {"result", result}, {"id", request.id}});
    }
  } catch (const Failure& failure) {
    if (request.wants_answer) {
      answer.line = dump(error_json(failure.code, failure.message, request.id));
    }
  }
  return answer;
} catch (const std::bad_alloc&) {
  spdlog::warn("control socket: there is no memory for a request of {} bytes", line.size());
  RpcAnswer refusal;
  refusal.line = rpc_error_line(RpcError::failed, "there is no memory for the request");
  return refusal;
}

}  // namespace bulkhead::control
