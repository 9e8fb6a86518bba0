#include "backends/privileges.hpp"

#include <cap-ng.h>
#include <linux/bpf.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <initializer_list>
#include <memory>
#include <span>

#include "backends/error.hpp"

namespace bulkhead {
namespace {

// What both threads need to compute, wait, and end.
constexpr std::array kCommonCalls{
    SCMP_SYS(brk),          SCMP_SYS(clock_gettime),  SCMP_SYS(clock_nanosleep),
    SCMP_SYS(exit),         SCMP_SYS(exit_group),     SCMP_SYS(futex),
    SCMP_SYS(getpid),       SCMP_SYS(gettid),         SCMP_SYS(madvise),
    SCMP_SYS(mremap),       SCMP_SYS(munmap),         SCMP_SYS(poll),
    SCMP_SYS(ppoll),        SCMP_SYS(read),           SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_yield),  SCMP_SYS(sendto),         SCMP_SYS(tgkill),
    SCMP_SYS(write),
};

// Clients, rtnetlink, AF_XDP.
constexpr std::array kSocketCalls{
    SCMP_SYS(accept),      SCMP_SYS(accept4),     SCMP_SYS(bind),       SCMP_SYS(connect),
    SCMP_SYS(getpeername), SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(ioctl),
    SCMP_SYS(listen),      SCMP_SYS(recvfrom),    SCMP_SYS(recvmsg),    SCMP_SYS(sendmsg),
    SCMP_SYS(setsockopt),  SCMP_SYS(shutdown),
};

// The event loop.
constexpr std::array kLoopCalls{
    SCMP_SYS(dup),         SCMP_SYS(epoll_create1),  SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_wait),     SCMP_SYS(eventfd2),
    SCMP_SYS(fcntl),       SCMP_SYS(membarrier),     SCMP_SYS(pipe2),
    SCMP_SYS(readv),       SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
    SCMP_SYS(writev),
};

// The configuration, the state file, pins, time zones, /proc/self.
constexpr std::array kFileCalls{
    SCMP_SYS(access),     SCMP_SYS(close),      SCMP_SYS(faccessat),  SCMP_SYS(faccessat2),
    SCMP_SYS(fchmod),     SCMP_SYS(fdatasync),  SCMP_SYS(flock),      SCMP_SYS(fstat),
    SCMP_SYS(fstatfs),    SCMP_SYS(fsync),      SCMP_SYS(ftruncate),  SCMP_SYS(getcwd),
    SCMP_SYS(getdents64), SCMP_SYS(lseek),      SCMP_SYS(lstat),      SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),    SCMP_SYS(newfstatat), SCMP_SYS(open),       SCMP_SYS(openat),
    SCMP_SYS(pread64),    SCMP_SYS(readlink),   SCMP_SYS(readlinkat), SCMP_SYS(rename),
    SCMP_SYS(renameat),   SCMP_SYS(renameat2),  SCMP_SYS(rmdir),      SCMP_SYS(stat),
    SCMP_SYS(statfs),     SCMP_SYS(statx),      SCMP_SYS(symlink),    SCMP_SYS(symlinkat),
    SCMP_SYS(umask),      SCMP_SYS(unlink),     SCMP_SYS(unlinkat),
};

// About itself.
constexpr std::array kProcessCalls{
    SCMP_SYS(getegid),   SCMP_SYS(geteuid), SCMP_SYS(getgid),    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage), SCMP_SYS(getuid),  SCMP_SYS(prlimit64), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sysinfo),   SCMP_SYS(uname),
};

// AF_INET: for ioctls on devices.
constexpr std::array kControlFamilies{AF_INET, AF_NETLINK, AF_PACKET, AF_UNIX, AF_XDP};

// Neither BPF_PROG_LOAD nor BPF_MAP_CREATE: those are done.
constexpr std::array kControlBpf{
    BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM,    BPF_OBJ_PIN,
    BPF_OBJ_GET,         BPF_PROG_QUERY,      BPF_OBJ_GET_INFO_BY_FD, BPF_LINK_CREATE,
    BPF_LINK_UPDATE,     BPF_LINK_DETACH,     BPF_PROG_GET_FD_BY_ID,
};

class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_ERRNO(ENOSYS)), seccomp_release) {
    if (context_ == nullptr) throw BackendError("cannot make a seccomp filter");
    seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_LOG, 1);  // kernels before 4.14 do not
    allow(kCommonCalls);
    for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)}) {
      allow_if(call, {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0});
    }
  }

  void allow(std::span<const int> calls) {
    for (const int call : calls) require(seccomp_rule_add(context_.get(), SCMP_ACT_ALLOW, call, 0));
  }
  void allow_if(int call, scmp_arg_cmp condition) {
    require(seccomp_rule_add_array(context_.get(), SCMP_ACT_ALLOW, call, 1, &condition));
  }
  void load() {
#ifndef BULKHEAD_SANITIZED
    require(seccomp_load(context_.get()));
#endif
  }

 private:
  static void require(int result) {
    if (result < 0) throw BackendError::from_errno("cannot limit system calls by seccomp", result);
  }

  std::unique_ptr<void, decltype(&seccomp_release)> context_;
};

/// Of these, what the thread has; and none can be gained.
void keep_capabilities(std::initializer_list<unsigned> kept) {
  if (capng_get_caps_process() != 0) throw BackendError("cannot read our capabilities");
  std::array<bool, CAP_LAST_CAP + 1> had{};
  for (const unsigned one : kept) had[one] = capng_have_capability(CAPNG_PERMITTED, one) == 1;
  const bool may_drop_bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) == 1;
  capng_clear(CAPNG_SELECT_ALL);
  for (const unsigned one : kept) {
    if (!had[one]) continue;
    capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED), one);
  }
  const auto what = may_drop_bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS;
  if (capng_apply(what) != 0) throw BackendError("cannot drop capabilities");
}

}  // namespace

std::string missing_capabilities() {
  std::string names;
  if (capng_get_caps_process() != 0) throw BackendError("cannot read our capabilities");
  const auto has = [](unsigned one) { return capng_have_capability(CAPNG_EFFECTIVE, one) == 1; };
  for (const unsigned one :
       std::initializer_list<unsigned>{CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON}) {
    const bool implied = (one == CAP_BPF || one == CAP_PERFMON) && has(CAP_SYS_ADMIN);
    if (has(one) || implied) continue;
    names += (names.empty() ? "" : ", ") + std::string(capng_capability_to_name(one));
  }
  return names;
}

void forbid_new_privileges() { ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

void confine_worker() {
  keep_capabilities({});
  Filter().load();
}

void confine_control() {
  // NET_ADMIN: tc, tcx, promiscuous mode, SO_SNDBUFFORCE. NET_RAW: AF_XDP and packet sockets. BPF:
  // links and maps on kernels before 5.19. IPC_LOCK: the frames' memory, registered for a NIC.
  if (::geteuid() == 0) {
    keep_capabilities({CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_IPC_LOCK});
  } else {  // the BPF file system, where the pins are, is root's alone
    keep_capabilities({CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_IPC_LOCK, CAP_DAC_OVERRIDE});
  }
  Filter filter;
  filter.allow(kSocketCalls);
  filter.allow(kLoopCalls);
  filter.allow(kFileCalls);
  filter.allow(kProcessCalls);
  for (const int family : kControlFamilies) {
    filter.allow_if(SCMP_SYS(socket), {0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(family), 0});
  }
  for (const bpf_cmd command : kControlBpf) {
    filter.allow_if(SCMP_SYS(bpf), {0, SCMP_CMP_EQ, command, 0});
  }
  filter.load();
}

}  // namespace bulkhead
