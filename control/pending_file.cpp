#include "control/pending_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

namespace bulkhead::control {
namespace {

[[noreturn]] void fail(const char* step) {
  throw std::system_error(errno, std::generic_category(), step);
}

void write_all(int fd, const std::string& text) {
  for (std::size_t written = 0; written < text.size();) {
    const ssize_t count = ::write(fd, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write");
    written += static_cast<std::size_t>(count);
  }
}

}  // namespace

PendingFile::PendingFile(std::string path, std::string beside, const std::string& text, mode_t mode)
    : path_(std::move(path)), beside_(std::move(beside)) {
  fd_ = ::open(beside_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd_ < 0) fail("open");
  try {
    if (::fchmod(fd_, mode) != 0) fail("chmod");  // whatever the umask says
    write_all(fd_, text);
    if (::fsync(fd_) != 0) fail("fsync");
  } catch (...) {
    ::unlink(beside_.c_str());
    ::close(fd_);
    throw;
  }
}

PendingFile::~PendingFile() {
  if (!beside_.empty()) ::unlink(beside_.c_str());
  if (fd_ >= 0) ::close(fd_);
}

void PendingFile::commit() {
  if (std::rename(beside_.c_str(), path_.c_str()) != 0) fail("rename");
  beside_.clear();
  // The new name, too, is to outlive a power failure; where a directory cannot be synced it is
  // there all the same.
  const auto slash = path_.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

int PendingFile::take_fd() { return std::exchange(fd_, -1); }

}  // namespace bulkhead::control
