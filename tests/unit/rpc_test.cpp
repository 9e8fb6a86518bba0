// Request lines as JSON-RPC 2.0: what is one, and what is answered to what is none.
#include "control/rpc/rpc.hpp"

#include <gtest/gtest.h>

#include <string>

namespace bulkhead::control {
namespace {

int code_of(const std::string& line) { return Json::parse(line).at("error").at("code").get<int>(); }

TEST(Rpc, ReadsARequest) {
  const RpcRequest request =
      parse_request(R"({"jsonrpc":"2.0","id":"x","method":"stats","params":{"name":"vm1"}})");
  EXPECT_EQ(request.refusal, "");
  EXPECT_TRUE(request.wants_answer);
  EXPECT_EQ(request.id, "x");
  EXPECT_EQ(request.method, "stats");
  EXPECT_EQ(request.parameters, (Json{{"name", "vm1"}}));
}

TEST(Rpc, ANotificationWantsNoAnswer) {
  const RpcRequest request = parse_request(R"({"jsonrpc":"2.0","method":"status"})");
  EXPECT_EQ(request.refusal, "");
  EXPECT_FALSE(request.wants_answer);
  EXPECT_EQ(request.parameters, Json::object());
}

TEST(Rpc, WhatIsNoJsonIsAParseError) {
  for (const std::string line : {"", "{", "nonsense", "{\"jsonrpc\":\"2.0\"", "\xff\xfe", "[1,"}) {
    EXPECT_EQ(code_of(parse_request(line).refusal), static_cast<int>(RpcError::parse)) << line;
  }
  const std::string deep(100'000, '[');
  EXPECT_EQ(code_of(parse_request(deep).refusal), static_cast<int>(RpcError::parse));
}

TEST(Rpc, WhatIsNoRequestIsAnInvalidOne) {
  for (const char* line :
       {"1", "[]", "null", "{}", R"({"method":"status"})", R"({"jsonrpc":"1.0","method":"status"})",
        R"({"jsonrpc":"2.0","method":7})"}) {
    EXPECT_EQ(code_of(parse_request(line).refusal), static_cast<int>(RpcError::invalid_request))
        << line;
  }
  const Json answer = Json::parse(parse_request(R"({"jsonrpc":"2.0","id":5})").refusal);
  EXPECT_EQ(answer.at("id"), 5);
}

TEST(Rpc, LinesAreOneLineWhateverIsInThem) {
  for (const std::string& line :
       {rpc_error_line(RpcError::failed, "a\nb\xff"), rpc_event_line({{"port", "a\nb\xff"}})}) {
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_TRUE(Json::accept(line)) << line;
  }
}

TEST(Rpc, WhoMayOnlyReadMayReadAll) {
  for (const char* method : {"status", "port.show", "fdb.show", "stats", "metrics", "explain",
                             "monitor", "capture", "save"}) {
    EXPECT_FALSE(Methods::changes(method)) << method;
  }
  for (const char* method : {"port.add", "port.set", "port.del", "fdb.add", "fdb.del", "fdb.flush",
                             "reload", "whatever comes"}) {
    EXPECT_TRUE(Methods::changes(method)) << method;
  }
}

}  // namespace
}  // namespace bulkhead::control
