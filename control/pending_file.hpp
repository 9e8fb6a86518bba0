// A file that is replaced as a whole, or not at all: its text is written beside it and renamed.
#pragma once

#include <sys/types.h>

#include <string>

namespace bulkhead::control {

class PendingFile {
 public:
  /// Writes `text` into `beside`, on the same file system as `path`, down to the disk. `beside`
  /// must not be there. Throws std::system_error, with nothing left behind.
  PendingFile(std::string path, std::string beside, const std::string& text, mode_t mode);
  /// Removes what was written, unless it is in place.
  ~PendingFile();
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  /// Puts it in place. Throws std::system_error; then what was there before still is.
  void commit();

  [[nodiscard]] int fd() const { return fd_; }
  /// Hands the descriptor over.
  [[nodiscard]] int take_fd();

 private:
  std::string path_;
  std::string beside_;  // empty when it is in place
  int fd_ = -1;
};

}  // namespace bulkhead::control
