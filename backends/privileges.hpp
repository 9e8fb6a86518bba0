// What each thread gives up once it does not need it any more: capabilities, and system calls that
// it has no use for. It is for good, and for the calling thread alone: capabilities are a thread's,
// and so is a seccomp filter that is not imposed on the others.
//
// A system call that is not on a thread's list fails with ENOSYS, as on a kernel without it, and is
// told to the audit log. It does not kill: a guest has no way to choose our system calls, but a
// newer libc that tries one that nobody thought of would take every port down.
//
// Built with sanitizers, which need system calls of their own, capabilities alone are given up.
#pragma once

#include <string>

namespace bulkhead {

/// Names of the capabilities without which nothing works and which the process lacks, "net_admin,
/// bpf"; empty if it lacks none.
[[nodiscard]] std::string missing_capabilities();

/// For the process and all threads to come: a program that is executed gains nothing.
void forbid_new_privileges();

/// The worker's thread: no capability at all, and the calls that move frames. Throws BackendError.
void confine_worker();

/// The control thread, when everything has been started: what attaches and detaches ports, and
/// answers clients. Loads no BPF program any more, starts no thread or program and maps no memory
/// as executable. Throws BackendError.
void confine_control();

}  // namespace bulkhead
