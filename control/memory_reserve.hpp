// Memory for the moment when there is none: what an exception takes away again has to be destroyed,
// and that can need memory itself (nlohmann::json lists what it frees), where a second bad_alloc
// would end the daemon.
//
// When operator new finds nothing, the reserve is given back to the system and bad_alloc is thrown.
// Control thread; workers allocate nothing.
#pragma once

namespace bulkhead::control {

class MemoryReserve {
 public:
  /// From here on. Throws std::bad_alloc if it is not to be had.
  static void install();
  /// Before something that may take much: throws std::bad_alloc if the reserve has been used and
  /// is still not to be had.
  static void require();
};

}  // namespace bulkhead::control
