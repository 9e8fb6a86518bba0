// Of the mutants' build only: which check is taken out, by the name in BULKHEAD_REMOVED_CHECK.
#include <cstdlib>
#include <string_view>

#include "dataplane/decide.hpp"

namespace bulkhead {

bool is_removed(Check check) {
  static const int removed = [] {
    const char* name = std::getenv("BULKHEAD_REMOVED_CHECK");
    const std::string_view wanted = name == nullptr ? "" : name;
    int number = 0;
#define CHECK(check_name, text)             \
  if (wanted == #check_name) return number; \
  ++number;
#include "dataplane/checks.def"
#undef CHECK
    return -1;
  }();
  return static_cast<int>(check) == removed;
}

}  // namespace bulkhead
