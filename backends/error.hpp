// What the set-up of a backend throws, on the control thread: one line that names the thing and,
// where the operator can do something, the way out.
#pragma once

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

namespace bulkhead {

class BackendError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  /// "`what`: No such device", with errno's or the given text.
  static BackendError from_errno(const std::string& what, int error = errno) {
    return BackendError(what + ": " + std::strerror(error < 0 ? -error : error));
  }
};

}  // namespace bulkhead
