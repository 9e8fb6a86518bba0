// parse_request() with whatever line: it never throws, and says either what is asked or, in one
// line of JSON, why it is no request.
#include <cstdint>
#include <cstdlib>

#include "control/rpc/rpc.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  const bulkhead::control::RpcRequest request = bulkhead::control::parse_request(line);
  if (request.refusal.empty()) return 0;
  const auto answer = nlohmann::json::parse(request.refusal, nullptr, false);
  if (!answer.is_object() || !answer.contains("error")) std::abort();
  if (request.refusal.find('\n') != std::string::npos) std::abort();
  return 0;
}
