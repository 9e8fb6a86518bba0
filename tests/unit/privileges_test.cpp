// What a confined thread can no longer do. Each in a thread of its own: it is for good.
#include "backends/privileges.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <thread>

namespace bulkhead {
namespace {

/// errno of the call in a thread confined like that; 0 if it worked.
int error_of(void (*confine)(), const std::function<long()>& call) {
  int error = 0;
  std::thread([&] {
    confine();
    errno = 0;
    if (call() == -1) error = errno;
  }).join();
  return error;
}

long map_memory(int protection) {
  void* memory = ::mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? -1 : 0;
}

long load_program() {
  bpf_attr attributes{};
  return ::syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes);
}

long execute() {
  std::array<char*, 1> nothing{nullptr};
  return ::execve("/nonexistent", nothing.data(), nothing.data());
}

class PrivilegesTest : public testing::Test {
 protected:
  void SetUp() override {
#ifdef BULKHEAD_SANITIZED
    GTEST_SKIP() << "sanitizers need system calls of their own";
#endif
  }
};

TEST_F(PrivilegesTest, ControlCannotDoWhatItHasNoUseFor) {
  EXPECT_EQ(error_of(confine_control, execute), ENOSYS);
  EXPECT_EQ(error_of(confine_control, load_program), ENOSYS);
  EXPECT_EQ(error_of(confine_control, [] { return map_memory(PROT_READ | PROT_EXEC); }), ENOSYS);
  EXPECT_EQ(error_of(confine_control, [] { return ::ptrace(PTRACE_TRACEME, 0, 0, 0); }), ENOSYS);
  EXPECT_EQ(error_of(confine_control, [] { return ::socket(AF_INET6, SOCK_STREAM, 0); }), ENOSYS);
  EXPECT_EQ(error_of(confine_control, [] { return ::chown("/", 0, 0); }), ENOSYS);
}

TEST_F(PrivilegesTest, ControlCanDoItsWork) {
  EXPECT_EQ(error_of(confine_control, [] { return map_memory(PROT_READ | PROT_WRITE); }), 0);
  EXPECT_EQ(error_of(confine_control, [] { return ::open("/dev/null", O_RDONLY); }), 0);
  EXPECT_EQ(error_of(confine_control, [] { return ::socket(AF_NETLINK, SOCK_RAW, 0); }), 0);
}

TEST_F(PrivilegesTest, WorkerOpensNothing) {
  EXPECT_EQ(error_of(confine_worker, [] { return ::open("/dev/null", O_RDONLY); }), ENOSYS);
  EXPECT_EQ(error_of(confine_worker, [] { return ::socket(AF_UNIX, SOCK_STREAM, 0); }), ENOSYS);
  EXPECT_EQ(error_of(confine_worker, load_program), ENOSYS);
  EXPECT_EQ(error_of(confine_worker, execute), ENOSYS);
}

TEST_F(PrivilegesTest, OthersKeepTheirs) {
  EXPECT_EQ(error_of(confine_worker, execute), ENOSYS);
  EXPECT_EQ(execute(), -1);
  EXPECT_EQ(errno, ENOENT);
}

}  // namespace
}  // namespace bulkhead
