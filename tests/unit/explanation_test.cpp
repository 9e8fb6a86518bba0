// The words for what a port allows.
#include "control/observe/explanation.hpp"

#include <gtest/gtest.h>

namespace bulkhead::control {
namespace {

config::InterfaceAddress address(bool is_v6) {
  config::InterfaceAddress address;
  address.is_v6 = is_v6;
  address.bytes = is_v6 ? std::array<std::uint8_t, 16>{0xfd} : std::array<std::uint8_t, 16>{10};
  address.prefix_length = 8;
  return address;
}

TEST(Explanation, lists_the_link_local_address_of_a_port_that_speaks_ipv6_only) {
  config::Port port;
  port.macs = {MacAddress{0x5254'0000'0001}};
  port.addresses = {address(false)};
  EXPECT_EQ(binding_text(port).find("fe80"), std::string::npos) << binding_text(port);
  port.addresses.push_back(address(true));
  EXPECT_NE(binding_text(port).find("fe80::5054:ff:fe00:1"), std::string::npos)
      << binding_text(port);
}

}  // namespace
}  // namespace bulkhead::control
