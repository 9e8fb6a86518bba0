#include "backends/descriptors.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

#include "backends/error.hpp"

namespace bulkhead {

std::uint64_t Descriptors::limit() {
  rlimit limits{};
  ::getrlimit(RLIMIT_NOFILE, &limits);
  return limits.rlim_cur;
}

// The hard limit can be raised with CAP_SYS_RESOURCE only, which the unit does not give.
std::uint64_t Descriptors::raise_limit() {
  rlimit limits{};
  ::getrlimit(RLIMIT_NOFILE, &limits);
  if (limits.rlim_cur >= kWanted) return limits.rlim_cur;
  const rlimit wanted{kWanted, std::max<rlim_t>(limits.rlim_max, kWanted)};
  const rlimit allowed{std::min<rlim_t>(limits.rlim_max, kWanted), limits.rlim_max};
  if (::setrlimit(RLIMIT_NOFILE, &wanted) != 0) ::setrlimit(RLIMIT_NOFILE, &allowed);
  return limit();
}

bool Descriptors::is_reserved(int fd) {
  const std::uint64_t all = limit();
  return static_cast<std::uint64_t>(fd) >= all - std::min(kReserved, all / 4);
}

void Descriptors::require(int fd, const std::string& what) {
  const bool is_missing = fd < 0 && (errno == EMFILE || errno == ENFILE);
  if (!is_missing && (fd < 0 || !is_reserved(fd))) return;
  throw BackendError(what + ": no descriptor is left of " + std::to_string(limit()) +
                     "; raise LimitNOFILE (ulimit -n), or delete ports");
}

}  // namespace bulkhead
