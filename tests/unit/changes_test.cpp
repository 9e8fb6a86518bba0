// What a reload says that it changed.
#include "config/changes.hpp"

#include <gtest/gtest.h>

namespace bulkhead::config {
namespace {

constexpr const char* kBefore = R"([segment.lan]
[port.vm1]
device = "vm1"
trusted = true
[port.vm2]
device = "vm2"
trusted = true
[port.vm3]
device = "vm3"
trusted = true
[[fdb]]
mac = "52:54:00:00:00:09"
port = "vm3"
)";
constexpr const char* kAfter = R"(# a line more moves everything
[segment.lan]
ageing = "5s"
[segment.dmz]
[port.vm2]
device = "vm2"
trusted = true
[port.vm3]
device = "vm3"
trusted = true
isolated = true
[port.vm4]
device = "vm4"
trusted = true
)";

using Names = std::vector<std::string>;

TEST(Changes, NameWhatIsNewGoneAndOther) {
  const Changes changes = changes_between(parse(kBefore, "a"), parse(kAfter, "b"));
  EXPECT_EQ(changes.ports.added, Names{"vm4"});
  EXPECT_EQ(changes.ports.removed, Names{"vm1"});
  EXPECT_EQ(changes.ports.changed, Names{"vm3"});
  EXPECT_EQ(changes.segments.added, Names{"dmz"});
  EXPECT_EQ(changes.segments.changed, Names{"lan"});
  EXPECT_EQ(changes.statics.removed, Names{"52:54:00:00:00:09 on vm3"});
  EXPECT_EQ(to_text(changes),
            "ports: added vm4, removed vm1, changed vm3; segments: added dmz, changed lan; static "
            "addresses: removed 52:54:00:00:00:09 on vm3");
}

TEST(Changes, OfTheSameAreNone) {
  const Changes changes =
      changes_between(parse(kBefore, "a"), parse(std::string("\n") + kBefore, "b"));
  EXPECT_EQ(to_text(changes), "nothing changed");
}

TEST(Changes, OfManyNameTheFirst) {
  Changes changes;
  for (int i = 0; i < 500; ++i) changes.ports.added.push_back("vm" + std::to_string(i));
  EXPECT_EQ(to_text(changes),
            "ports: added vm0, vm1, vm2, vm3, vm4, vm5, vm6, vm7, vm8, vm9 and 490 more");
}

}  // namespace
}  // namespace bulkhead::config
