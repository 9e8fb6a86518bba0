// The error codes of the control socket, which daemon and client share.
#pragma once

namespace bulkhead::control {

/// Codes of error responses. The client makes exit code 2 of those about the request.
enum class RpcError : int {
  parse = -32700,
  invalid_request = -32600,
  method_not_found = -32601,
  invalid_params = -32602,
  failed = -32000,
  not_permitted = -32001,
};

}  // namespace bulkhead::control
