// The two places on each side of a device where the guard's programs are: tcx and clsact. Nothing
// here knows ports, owners or when to attach; that is guard.hpp's. Control thread only.
#pragma once

#include <bpf/libbpf.h>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead {

struct Hook {
  const char* name;        // of the pin
  const char* program;     // ours
  std::uint32_t tcx_type;  // BPF_TCX_INGRESS, BPF_TCX_EGRESS: not in the headers of Debian 12
  bpf_tc_attach_point point;
  std::uint32_t parent;  // of the clsact filters
};

inline constexpr std::array kHooks{
    Hook{"in", "bulkhead_in", 46, BPF_TC_INGRESS, 0xFFFFFFF2},
    Hook{"out", "bulkhead_out", 47, BPF_TC_EGRESS, 0xFFFFFFF3},
};

/// "tap1", or "device 7" if there is none of that number.
std::string device_text(int ifindex);
bool has_device(int ifindex);
/// A program as messages call it: its name, if we may know it, or its ID.
std::string program_text(std::uint32_t id);

// tcx

/// A pinned link as the kernel sees it.
struct PinnedLink {
  std::uint32_t id = 0;
  std::uint32_t program = 0;
  int ifindex = 0;  // of its device in whatever namespace that is; 0: it was deleted
};
std::optional<PinnedLink> pinned_link(const std::string& path);

struct TcxEntry {
  std::uint32_t program = 0;
  std::uint32_t link = 0;  // 0: attached without one
};
/// First to last. Nothing if the kernel has no tcx or the device is gone.
std::optional<std::vector<TcxEntry>> tcx_entries(int ifindex, const Hook& hook);

/// Puts the program at the head, by the link at `path` if there is one and it is there already,
/// else by a new one that is pinned there. Throws BackendError.
void attach_tcx(int program, int ifindex, const Hook& hook, const std::string& path);
/// Takes a pinned link off, at once, and its pin away.
void detach_tcx(const std::string& path);

// clsact

struct Filter {
  std::string name;           // of the program, or the kind if it is no BPF program
  std::uint32_t program = 0;  // its ID; 0 if it is none
};
std::vector<Filter> clsact_filters(int ifindex, const Hook& hook);

/// Makes clsact if it is not there, and puts the program into it in place of ours before. Throws
/// BackendError.
void attach_clsact(int program, int ifindex, const Hook& hook);
/// With all that is in it.
void remove_clsact(int ifindex);

// others

/// The native, generic or offloaded XDP program of a device; 0 if it has none.
std::uint32_t xdp_program(int ifindex);

/// By device, the kind of the qdisc that frames of the host's stack leave by, if it is one that an
/// administrator must have put there. (A question about one device would be told to everybody.)
std::map<int, std::string> root_qdiscs();

}  // namespace bulkhead
