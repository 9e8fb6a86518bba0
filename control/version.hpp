// The version, as CMakeLists.txt has it.
#pragma once

namespace bulkhead::control {

inline constexpr const char* kVersion = BULKHEAD_VERSION;

}  // namespace bulkhead::control
