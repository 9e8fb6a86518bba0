// The process's file descriptors: how many it may have, and a reserve of them.
//
// The kernel always gives the lowest number that is free. So if nothing that stays open (a port's
// sockets, a client) may have one of the last kReserved numbers, these are always free for what is
// opened and closed again: a look at the devices, the state file, the answer to a client that has
// to be refused. Whoever opens something that stays asks is_reserved() or require_descriptor(). Any
// thread.
#pragma once

#include <cstdint>
#include <string>

namespace bulkhead {

struct Descriptors {
  static constexpr std::uint64_t kWanted =
      16'384;                                     // 2,048 ports, 512 clients, 16 workers, and more
  static constexpr std::uint64_t kReserved = 64;  // of the limit; a quarter of it at most

  /// How many there may be at the moment.
  [[nodiscard]] static std::uint64_t limit();
  /// Raises the limit to kWanted, or as far as this process may. Returns what it is then.
  static std::uint64_t raise_limit();
  [[nodiscard]] static bool is_reserved(int fd);
  /// Throws BackendError if `fd`, which is to stay open, is reserved or was not to be had (-1 and
  /// errno EMFILE): "`what`: no descriptor is left ...". The caller closes it.
  static void require(int fd, const std::string& what);
};

}  // namespace bulkhead
