#include "backends/device/hooks.hpp"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "backends/device/netlink.hpp"
#include "backends/error.hpp"

namespace bulkhead {
namespace {

constexpr std::uint32_t kHandle = 1;    // of our clsact filter
constexpr std::uint32_t kPriority = 1;  // its preference: first
static_assert(kHooks[0].parent == TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS));
static_assert(kHooks[1].parent == TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS));

constexpr std::size_t kTcxMax = 64;  // BPF_MPROG_MAX

/// The kernel's struct for BPF_PROG_QUERY, as far as tcx needs it (include/uapi/linux/bpf.h of 6.6;
/// Debian 12's is 6.1's).
struct TcxQuery {
  std::uint32_t target_ifindex;
  std::uint32_t attach_type;
  std::uint32_t query_flags;
  std::uint32_t attach_flags;
  std::uint64_t programs;
  std::uint32_t count;
  std::uint32_t padding;
  std::uint64_t program_flags;
  std::uint64_t links;
  std::uint64_t link_flags;
  std::uint64_t revision;
};

/// Attaches before all others. Struct as above, for BPF_LINK_CREATE. Returns the fd, or -errno.
int make_tcx_link(int program, int ifindex, const Hook& hook) {
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

void note_filter(nl_msg* message, std::vector<Filter>& filters) {
  constexpr int kId = 11, kName = 7;  // TCA_BPF_ID, TCA_BPF_NAME
  std::array<nlattr*, TCA_MAX + 1> attributes{};
  if (nlmsg_parse(nlmsg_hdr(message), sizeof(tcmsg), attributes.data(), TCA_MAX, nullptr) != 0) {
    return;
  }
  if (attributes[TCA_OPTIONS] == nullptr) return;  // the head of a list of filters, not one
  Filter filter;
  filter.name = attributes[TCA_KIND] != nullptr ? nla_get_string(attributes[TCA_KIND]) : "?";
  std::array<nlattr*, 16> options{};
  if (filter.name == "bpf" && nla_parse_nested(options.data(), static_cast<int>(options.size()) - 1,
                                               attributes[TCA_OPTIONS], nullptr) == 0) {
    if (options[kName] != nullptr) {
      filter.name = nla_get_string(options[kName]);
      filter.name = filter.name.substr(0, filter.name.find(':'));  // libbpf: "program:[id]"
    }
    if (options[kId] != nullptr) filter.program = nla_get_u32(options[kId]);
  }
  filters.push_back(filter);
}

void note_xdp(nl_msg* message, std::uint32_t& program) {
  std::array<nlattr*, IFLA_MAX + 1> attributes{};
  std::array<nlattr*, IFLA_XDP_MAX + 1> xdp{};
  if (nlmsg_parse(nlmsg_hdr(message), sizeof(ifinfomsg), attributes.data(), IFLA_MAX, nullptr) !=
          0 ||
      attributes[IFLA_XDP] == nullptr ||
      nla_parse_nested(xdp.data(), IFLA_XDP_MAX, attributes[IFLA_XDP], nullptr) != 0) {
    return;
  }
  for (const std::size_t id : std::array<std::size_t, 4>{
           IFLA_XDP_PROG_ID, IFLA_XDP_DRV_PROG_ID, IFLA_XDP_SKB_PROG_ID, IFLA_XDP_HW_PROG_ID}) {
    if (xdp[id] != nullptr) program = nla_get_u32(xdp[id]);
  }
}

}  // namespace

bool has_device(int ifindex) {
  char name[IF_NAMESIZE];
  return ::if_indextoname(static_cast<unsigned>(ifindex), name) != nullptr;
}

std::string device_text(int ifindex) {
  std::array<char, IF_NAMESIZE> name{};
  if (::if_indextoname(static_cast<unsigned>(ifindex), name.data()) == nullptr) {
    return "device " + std::to_string(ifindex);
  }
  return name.data();
}

// To learn its name takes CAP_SYS_ADMIN, which the daemon can do without.
std::string program_text(std::uint32_t id) {
  const int fd = bpf_prog_get_fd_by_id(id);
  bpf_prog_info info{};
  std::uint32_t length = sizeof info;
  const bool known = fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0;
  if (fd >= 0) ::close(fd);
  return known ? "\"" + std::string(info.name) + "\"" : "of ID " + std::to_string(id);
}

std::optional<PinnedLink> pinned_link(const std::string& path) {
  const int fd = bpf_obj_get(path.c_str());
  if (fd < 0) return std::nullopt;
  bpf_link_info info{};
  std::uint32_t length = sizeof info;
  const bool known = bpf_obj_get_info_by_fd(fd, &info, &length) == 0;
  ::close(fd);
  if (!known) return std::nullopt;
  // tcx.ifindex of 6.6 lies where xdp.ifindex does.
  return PinnedLink{info.id, info.prog_id, static_cast<int>(info.xdp.ifindex)};
}

std::optional<std::vector<TcxEntry>> tcx_entries(int ifindex, const Hook& hook) {
  std::array<std::uint32_t, kTcxMax> programs{}, links{};
  TcxQuery query{};
  query.target_ifindex = static_cast<std::uint32_t>(ifindex);
  query.attach_type = hook.tcx_type;
  query.programs = reinterpret_cast<std::uint64_t>(programs.data());
  query.links = reinterpret_cast<std::uint64_t>(links.data());
  query.count = kTcxMax;
  if (::syscall(SYS_bpf, BPF_PROG_QUERY, &query, sizeof query) != 0) return std::nullopt;
  std::vector<TcxEntry> entries;
  for (std::size_t i = 0; i < std::min<std::size_t>(query.count, kTcxMax); ++i) {
    entries.push_back({programs[i], links[i]});
  }
  return entries;
}

void attach_tcx(int program, int ifindex, const Hook& hook, const std::string& path) {
  if (const int left = bpf_obj_get(path.c_str()); left >= 0) {  // ours, or a daemon's before us
    const std::optional<PinnedLink> link = pinned_link(path);
    const auto entries = tcx_entries(ifindex, hook);
    const bool is_first = link && entries && !entries->empty() && entries->front().link == link->id;
    if (is_first && bpf_link_update(left, program, nullptr) == 0) {
      ::close(left);
      return;
    }
    // Its device is gone and the number has come round again, somebody detached it, or somebody
    // got before it: the kernel does not move a link, and has a program once a hook.
    bpf_link_detach(left);
    ::close(left);
    ::unlink(path.c_str());
  }
  const int link = make_tcx_link(program, ifindex, hook);
  if (link < 0) {
    throw BackendError::from_errno("cannot attach tcx to " + device_text(ifindex), link);
  }
  const int error = bpf_obj_pin(link, path.c_str());
  ::close(link);
  if (error != 0) {
    throw BackendError::from_errno("cannot pin in " + path.substr(0, path.rfind('/')), error);
  }
}

// Without the detaching it would be off only some time after the pin is gone, and be taken for
// somebody else's until then.
void detach_tcx(const std::string& path) {
  if (const int link = bpf_obj_get(path.c_str()); link >= 0) {
    bpf_link_detach(link);
    ::close(link);
  }
  ::unlink(path.c_str());
}

std::vector<Filter> clsact_filters(int ifindex, const Hook& hook) {
  std::vector<Filter> filters;
  tcmsg request{};
  request.tcm_family = AF_UNSPEC;
  request.tcm_ifindex = ifindex;
  request.tcm_parent = hook.parent;
  netlink::ask(RTM_GETTFILTER, NLM_F_DUMP, request,
               [&](nl_msg* message) { note_filter(message, filters); });
  return filters;
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

void remove_clsact(int ifindex) {
  LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = ifindex,
              .attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS));
  bpf_tc_hook_destroy(&both);
}

// By a request of our own: libbpf's query dumps all devices for it, which is a long time for a
// thousand ports.
std::uint32_t xdp_program(int ifindex) {
  std::uint32_t program = 0;
  ifinfomsg request{};
  request.ifi_index = ifindex;
  netlink::ask(RTM_GETLINK, 0, request, [&](nl_msg* message) { note_xdp(message, program); });
  return program;
}

std::map<int, std::string> root_qdiscs() {
  // What devices have by themselves, or what orders frames without holding any back.
  constexpr std::array kHarmless{"noop",  "noqueue", "mq",       "pfifo_fast", "pfifo",
                                 "bfifo", "fq",      "fq_codel", "codel",      "sfq"};
  std::map<int, std::string> found;
  tcmsg request{};
  request.tcm_family = AF_UNSPEC;
  netlink::ask(RTM_GETQDISC, NLM_F_DUMP, request, [&](nl_msg* message) {
    std::array<nlattr*, TCA_MAX + 1> attributes{};
    const auto* qdisc = static_cast<const tcmsg*>(nlmsg_data(nlmsg_hdr(message)));
    if (qdisc->tcm_parent != TC_H_ROOT ||
        nlmsg_parse(nlmsg_hdr(message), sizeof(tcmsg), attributes.data(), TCA_MAX, nullptr) != 0 ||
        attributes[TCA_KIND] == nullptr) {
      return;
    }
    const std::string kind = nla_get_string(attributes[TCA_KIND]);
    if (std::ranges::find(kHarmless, kind) == kHarmless.end()) found[qdisc->tcm_ifindex] = kind;
  });
  return found;
}

}  // namespace bulkhead
