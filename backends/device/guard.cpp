#include "backends/device/guard.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string_view>

#include "backends/error.hpp"
#include "port.skel.h"

namespace bulkhead {
namespace {

struct Hook {
  const char* name;        // of the pin
  const char* program;     // ours
  std::uint32_t tcx_type;  // BPF_TCX_INGRESS, BPF_TCX_EGRESS: not in the headers of Debian 12
  bpf_tc_attach_point point;
  std::uint32_t parent;  // of the clsact filters
};

constexpr std::array kHooks{
    Hook{"in", "bulkhead_in", 46, BPF_TC_INGRESS, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)},
    Hook{"out", "bulkhead_out", 47, BPF_TC_EGRESS, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)},
};

constexpr std::uint32_t kHandle = 1;    // of our clsact filter
constexpr std::uint32_t kPriority = 1;  // its preference: first

std::string device_text(int ifindex) {
  std::array<char, IF_NAMESIZE> name{};
  if (::if_indextoname(static_cast<unsigned>(ifindex), name.data()) == nullptr) {
    return "device " + std::to_string(ifindex);
  }
  return name.data();
}

/// Where the pins of this network namespace are.
std::string pin_directory() {
  struct stat info {};
  ::stat("/proc/self/ns/net", &info);
  return "/sys/fs/bpf/bulkhead/" + std::to_string(info.st_ino);
}

std::string pin_path(int ifindex, const Hook& hook) {
  return pin_directory() + "/" + std::to_string(ifindex) + "_" + hook.name;
}

/// Mounts the BPF file system where systemd would, if nobody has. False if it cannot be had.
bool have_bpffs() {
  constexpr long kMagic = 0xcafe4a11;
  struct statfs info {};
  if (::statfs("/sys/fs/bpf", &info) != 0) return false;
  if (info.f_type != kMagic && ::mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700") != 0) {
    return false;
  }
  std::error_code error;
  std::filesystem::create_directories(pin_directory(), error);
  return !error;
}

/// As messages call it: to learn its name takes CAP_SYS_ADMIN, which the daemon can do without.
std::string program_text(std::uint32_t id) {
  const int fd = bpf_prog_get_fd_by_id(id);
  bpf_prog_info info{};
  std::uint32_t length = sizeof info;
  const bool known = fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0;
  if (fd >= 0) ::close(fd);
  return known ? "\"" + std::string(info.name) + "\"" : "of ID " + std::to_string(id);
}

/// ID of the program in our pinned link; 0 if there is none.
std::uint32_t pinned_program(int ifindex, const Hook& hook) {
  const int fd = bpf_obj_get(pin_path(ifindex, hook).c_str());
  if (fd < 0) return 0;
  bpf_link_info info{};
  std::uint32_t length = sizeof info;
  const bool known = bpf_obj_get_info_by_fd(fd, &info, &length) == 0;
  ::close(fd);
  return known ? info.prog_id : 0;
}

/// IDs of the tcx programs on the hook, first to last. Empty also where the kernel has no tcx.
std::vector<std::uint32_t> tcx_programs(int ifindex, const Hook& hook) {
  std::array<std::uint32_t, 64> ids{};
  bpf_attr attr{};
  attr.query.target_fd = static_cast<std::uint32_t>(ifindex);
  attr.query.attach_type = hook.tcx_type;
  attr.query.prog_ids = reinterpret_cast<std::uint64_t>(ids.data());
  attr.query.prog_cnt = ids.size();
  if (::syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof attr) != 0) return {};
  return {ids.begin(), ids.begin() + std::min<std::size_t>(attr.query.prog_cnt, ids.size())};
}

/// Attaches before all others. The kernel's struct, as far as tcx needs it
/// (include/uapi/linux/bpf.h of 6.6; Debian 12's is 6.1's). Returns the link's fd, or -errno.
int tcx_link(int program, int ifindex, const Hook& hook) {
  struct {
    std::uint32_t prog_fd;
    std::uint32_t target_ifindex;
    std::uint32_t attach_type;
    std::uint32_t flags;
    std::uint32_t relative_fd;
    std::uint32_t padding;
    std::uint64_t expected_revision;
  } attr{};
  constexpr std::uint32_t kBefore = 1u << 3;  // BPF_F_BEFORE, relative to nothing: the head
  attr.prog_fd = static_cast<std::uint32_t>(program);
  attr.target_ifindex = static_cast<std::uint32_t>(ifindex);
  attr.attach_type = hook.tcx_type;
  attr.flags = kBefore;
  const long fd = ::syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof attr);
  return fd < 0 ? -errno : static_cast<int>(fd);
}

void attach_tcx(int program, int ifindex, const Hook& hook) {
  const std::string path = pin_path(ifindex, hook);
  if (const int left = bpf_obj_get(path.c_str()); left >= 0) {  // of a daemon before us
    const bool replaced = bpf_link_update(left, program, nullptr) == 0;
    ::close(left);
    if (replaced) return;
    ::unlink(path.c_str());  // its device is gone, and the number has come round again
  }
  const int link = tcx_link(program, ifindex, hook);
  if (link < 0) {
    throw BackendError::from_errno("cannot attach tcx to " + device_text(ifindex), link);
  }
  const int error = bpf_obj_pin(link, path.c_str());
  ::close(link);
  if (error != 0) throw BackendError::from_errno("cannot pin " + path, error);
}

void attach_clsact(int program, int ifindex, const Hook& hook) {
  LIBBPF_OPTS(bpf_tc_hook, place, .ifindex = ifindex, .attach_point = hook.point);
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .flags = BPF_TC_F_REPLACE,
              .handle = kHandle, .priority = kPriority);
  const int made = bpf_tc_hook_create(&place);
  if (made != 0 && made != -EEXIST) {
    throw BackendError::from_errno("cannot add clsact to " + device_text(ifindex), made);
  }
  const int error = bpf_tc_attach(&place, &options);
  if (error != 0) {
    throw BackendError::from_errno(
        "cannot attach tc to " + device_text(ifindex) + " (an `ingress` qdisc in the way?)", error);
  }
}

bool has_device(int ifindex) {
  char name[IF_NAMESIZE];
  return ::if_indextoname(static_cast<unsigned>(ifindex), name) != nullptr;
}

/// A tc filter as its dump tells: name of its program, or its kind if it is no BPF program.
void note_filter(nl_msg* message, std::vector<std::string>& names) {
  const nlmsghdr* header = nlmsg_hdr(message);
  std::array<nlattr*, TCA_MAX + 1> attributes{};
  if (nlmsg_parse(const_cast<nlmsghdr*>(header), sizeof(tcmsg), attributes.data(), TCA_MAX,
                  nullptr) != 0) {
    return;
  }
  std::string name = attributes[TCA_KIND] != nullptr ? nla_get_string(attributes[TCA_KIND]) : "?";
  if (attributes[TCA_OPTIONS] == nullptr) return;  // the head of a list of filters, not one
  constexpr int kName = 7;                         // TCA_BPF_NAME
  std::array<nlattr*, 16> options{};
  if (name == "bpf" &&
      nla_parse_nested(options.data(), static_cast<int>(options.size()) - 1,
                       attributes[TCA_OPTIONS], nullptr) == 0 &&
      options[kName] != nullptr) {
    name = nla_get_string(options[kName]);
    name = name.substr(0, name.find(':'));  // libbpf says "program:[id]"
  }
  names.push_back(name);
}

/// The native, generic or offloaded XDP program of a device; 0 if it has none. (libbpf's query
/// dumps all devices for it, which is a long time for a thousand ports.)
std::uint32_t xdp_program(int ifindex) {
  std::unique_ptr<nl_sock, decltype(&nl_socket_free)> socket(nl_socket_alloc(), nl_socket_free);
  if (nl_connect(socket.get(), NETLINK_ROUTE) < 0) throw BackendError("cannot open rtnetlink");
  std::uint32_t program = 0;
  const auto note = [](nl_msg* message, void* out) {
    std::array<nlattr*, IFLA_MAX + 1> attributes{};
    std::array<nlattr*, IFLA_XDP_MAX + 1> xdp{};
    if (nlmsg_parse(nlmsg_hdr(message), sizeof(ifinfomsg), attributes.data(), IFLA_MAX, nullptr) ==
            0 &&
        attributes[IFLA_XDP] != nullptr &&
        nla_parse_nested(xdp.data(), IFLA_XDP_MAX, attributes[IFLA_XDP], nullptr) == 0) {
      for (const std::size_t id : std::array<std::size_t, 4>{
               IFLA_XDP_PROG_ID, IFLA_XDP_DRV_PROG_ID, IFLA_XDP_SKB_PROG_ID, IFLA_XDP_HW_PROG_ID}) {
        if (xdp[id] != nullptr) *static_cast<std::uint32_t*>(out) = nla_get_u32(xdp[id]);
      }
    }
    return static_cast<int>(NL_OK);
  };
  nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, note, &program);
  ifinfomsg request{};
  request.ifi_index = ifindex;
  if (nl_send_simple(socket.get(), RTM_GETLINK, 0, &request, sizeof request) < 0) {
    throw BackendError("cannot ask for the XDP program of " + device_text(ifindex));
  }
  nl_recvmsgs_default(socket.get());
  return program;
}

std::vector<std::string> clsact_filters(int ifindex, const Hook& hook) {
  std::unique_ptr<nl_sock, decltype(&nl_socket_free)> socket(nl_socket_alloc(), nl_socket_free);
  if (nl_connect(socket.get(), NETLINK_ROUTE) < 0) throw BackendError("cannot open rtnetlink");
  std::vector<std::string> names;
  const auto note = [](nl_msg* message, void* out) {
    note_filter(message, *static_cast<std::vector<std::string>*>(out));
    return static_cast<int>(NL_OK);
  };
  nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, note, &names);
  tcmsg request{};
  request.tcm_family = AF_UNSPEC;
  request.tcm_ifindex = ifindex;
  request.tcm_parent = hook.parent;
  if (nl_send_simple(socket.get(), RTM_GETTFILTER, NLM_F_DUMP, &request, sizeof request) < 0) {
    throw BackendError("cannot list tc filters of " + device_text(ifindex));
  }
  nl_recvmsgs_default(socket.get());
  return names;
}

}  // namespace

Guard::Guard(int any_ifindex) {
  programs_ = port_bpf__open();
  if (programs_ == nullptr) throw BackendError::from_errno("cannot open the ports' programs");
  const int error = port_bpf__load(programs_);
  if (error != 0) {
    port_bpf__destroy(programs_);
    throw BackendError::from_errno("cannot load the ports' tc programs", error);
  }
  void* memory = ::mmap(nullptr, kPortsMax * sizeof(bulkhead_slot), PROT_READ | PROT_WRITE,
                        MAP_SHARED, bpf_map__fd(programs_->maps.slots), 0);
  if (memory == MAP_FAILED) {
    port_bpf__destroy(programs_);
    throw BackendError::from_errno("cannot map the ports' counters");
  }
  slots_ = {static_cast<bulkhead_slot*>(memory), kPortsMax};
  // A kernel without tcx does not know the attach type.
  bpf_attr attr{};
  attr.query.target_fd = static_cast<std::uint32_t>(any_ifindex);
  attr.query.attach_type = kHooks[0].tcx_type;
  has_tcx_ = ::syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof attr) == 0 && have_bpffs();
}

std::string Guard::directory() { return have_bpffs() ? pin_directory() : std::string(); }

Guard::~Guard() {
  ::munmap(slots_.data(), slots_.size_bytes());
  port_bpf__destroy(programs_);
}

std::optional<std::string> Guard::foreign_program(int ifindex) {
  if (const std::uint32_t xdp = xdp_program(ifindex); xdp != 0) {
    return "XDP program " + program_text(xdp);
  }
  for (const Hook& hook : kHooks) {
    for (const std::uint32_t id : tcx_programs(ifindex, hook)) {
      if (id != pinned_program(ifindex, hook)) return "tcx program " + program_text(id);
    }
    for (const std::string& name : clsact_filters(ifindex, hook)) {
      if (name != hook.program) return "tc filter \"" + name + "\"";
    }
  }
  return std::nullopt;
}

bool Guard::is_guarded(int ifindex) {
  const std::vector<std::string> filters = clsact_filters(ifindex, kHooks[0]);
  return std::ranges::find(filters, kHooks[0].program) != filters.end();
}

std::vector<int> Guard::guarded_devices() {
  std::vector<int> found;
  std::unique_ptr<struct if_nameindex, decltype(&::if_freenameindex)> links(::if_nameindex(),
                                                                            ::if_freenameindex);
  for (const struct if_nameindex* link = links.get(); link != nullptr && link->if_index != 0;
       ++link) {
    const int ifindex = static_cast<int>(link->if_index);
    if (is_guarded(ifindex)) found.push_back(ifindex);
  }
  return found;
}

int Guard::program(std::size_t hook) const {
  const std::array programs{programs_->progs.bulkhead_in, programs_->progs.bulkhead_out};
  return bpf_program__fd(programs[hook]);
}

void Guard::attach(int ifindex) {
  for (std::size_t i = 0; i < kHooks.size(); ++i) attach_clsact(program(i), ifindex, kHooks[i]);
  if (!has_tcx_) return;
  const bool is_new = !std::filesystem::exists(pin_path(ifindex, kHooks[0]));
  const bool is_later = is_new && new_tcx_left_ == 0;
  new_tcx_left_ -= is_new && !is_later ? 1 : 0;
  for (std::size_t i = 0; i < kHooks.size(); ++i) {
    if (is_later) {
      later_.push_back({ifindex, i});
    } else {
      attach_tcx(program(i), ifindex, kHooks[i]);
    }
  }
}

bool Guard::catch_up() {
  new_tcx_left_ = 0;
  if (later_.empty()) return false;
  const auto [ifindex, hook] = later_.front();
  later_.pop_front();
  try {
    attach_tcx(program(hook), ifindex, kHooks[hook]);
  } catch (const BackendError&) {
    if (has_device(ifindex)) throw;
  }
  return !later_.empty();
}

void Guard::release(int ifindex) {
  for (const Hook& hook : kHooks) {
    const std::string path = pin_path(ifindex, hook);
    // Without this it would be off only some time after the link is gone, and be taken for foreign.
    if (const int link = bpf_obj_get(path.c_str()); link >= 0) {
      bpf_link_detach(link);
      ::close(link);
    }
    ::unlink(path.c_str());
  }
  LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = ifindex,
              .attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS));
  bpf_tc_hook_destroy(&both);  // foreign filters were refused: all in it is ours
}

void Guard::release_vanished() {
  std::set<int> vanished;
  std::error_code error;
  for (const auto& pin : std::filesystem::directory_iterator(pin_directory(), error)) {
    const int ifindex = std::atoi(pin.path().filename().c_str());
    if (ifindex > 0 && !has_device(ifindex)) vanished.insert(ifindex);
  }
  for (const int ifindex : vanished) release(ifindex);
}

void Guard::open(int ifindex, PortIndex port, int conduit_ifindex) {
  slots_[port].conduit = static_cast<std::uint64_t>(conduit_ifindex);
  slots_[port].window = kWindowFrames;
  if (!set_vlan(ifindex, port + 1u)) {
    throw BackendError::from_errno("cannot open " + device_text(ifindex));
  }
}

void Guard::close(int ifindex, PortIndex port) {
  set_vlan(ifindex, 0);
  slots_[port].window = 0;
  std::erase_if(later_, [ifindex](const Later& later) {
    return later.ifindex == ifindex;  // it may be another daemon's by then
  });
}

bool Guard::set_vlan(int ifindex, std::uint32_t vlan) {
  const auto key = static_cast<std::uint32_t>(ifindex);
  bpf_map* direct = programs_->maps.vlan_of_device;
  bpf_map* map = key < bpf_map__max_entries(direct) ? direct : programs_->maps.vlan_of_high_device;
  if (vlan == 0 && map != direct) return bpf_map__delete_elem(map, &key, sizeof key, 0) == 0;
  return bpf_map__update_elem(map, &key, sizeof key, &vlan, sizeof vlan, BPF_ANY) == 0;
}

}  // namespace bulkhead
