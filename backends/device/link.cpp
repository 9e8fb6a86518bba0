#include "backends/device/link.hpp"

#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <netlink/route/addr.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/route.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "backends/descriptors.hpp"
#include "backends/device/netlink.hpp"
#include "backends/error.hpp"

namespace bulkhead {
namespace {

using netlink::connect_route;
using netlink::Owned;
using netlink::require;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { ::close(fd_); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

Link to_link(rtnl_link* from) {
  Link link;
  link.ifindex = rtnl_link_get_ifindex(from);
  link.name = rtnl_link_get_name(from);
  if (const char* kind = rtnl_link_get_type(from)) link.kind = kind;
  link.mtu = rtnl_link_get_mtu(from);
  const unsigned flags = rtnl_link_get_flags(from);
  link.is_ethernet = rtnl_link_get_arptype(from) == ARPHRD_ETHER && (flags & IFF_LOOPBACK) == 0;
  link.up = (flags & IFF_UP) != 0;
  link.has_carrier = (flags & IFF_LOWER_UP) != 0;
  link.master = rtnl_link_get_master(from);
  // Of a veth that is its peer; in another namespace it is nothing that we could look up.
  int elsewhere = 0;
  if (link.kind != "veth" && rtnl_link_get_link_netnsid(from, &elsewhere) != 0) {
    link.lower = rtnl_link_get_link(from);
  }
  link.peer_elsewhere = link.kind == "veth" && rtnl_link_get_link_netnsid(from, &elsewhere) == 0;
  return link;
}

/// Adds the device of a message to the std::map<std::string, Link> at `links`.
int note_link(nl_msg* message, void* links) {
  const auto note = [](nl_object* object, void* to) {
    const Link link = to_link(reinterpret_cast<rtnl_link*>(object));
    (*static_cast<std::map<std::string, Link>*>(to))[link.name] = link;
  };
  const int result = nl_msg_parse(message, note, links);
  return result < 0 ? result : static_cast<int>(NL_OK);
}

/// No link-local address of its own, and so no neighbour discovery. Without IPv6 there is none.
void silence_ipv6(nl_sock* socket, const Link& link) {
  const Owned<rtnl_link> which(rtnl_link_alloc());
  const Owned<rtnl_link> change(rtnl_link_alloc());
  rtnl_link_set_ifindex(which.get(), link.ifindex);
  rtnl_link_inet6_set_addr_gen_mode(change.get(), rtnl_link_inet6_str2addrgenmode("none"));
  rtnl_link_change(socket, which.get(), change.get(), 0);
}

/// A socket that stays open for as long as a port has its device.
int open_lasting(int family, int kind, const std::string& failure) {
  const int fd = ::socket(family, kind | SOCK_CLOEXEC, 0);
  try {
    Descriptors::require(fd, failure);
  } catch (...) {
    if (fd >= 0) ::close(fd);
    throw;
  }
  if (fd < 0) throw BackendError::from_errno(failure);
  return fd;
}

/// What a device is used for, all devices below it are used for.
void add_lower_devices(std::map<int, std::string>& uses, const std::map<std::string, Link>& links) {
  constexpr int kDepthMax = 8;  // MAX_NEST_DEV of the kernel
  std::map<int, const Link*> by_number;
  for (const auto& [name, link] : links) by_number[link.ifindex] = &link;
  for (const auto& [name, link] : links) {
    const auto use = uses.find(link.ifindex);
    if (use == uses.end()) continue;
    const std::string text = use->second + " on " + name;
    int lower = link.lower;
    for (int depth = 0; lower != 0 && depth < kDepthMax; ++depth) {
      uses.try_emplace(lower, text);
      const auto below = by_number.find(lower);
      lower = below == by_number.end() ? 0 : below->second->lower;
    }
  }
}

/// SIOCETHTOOL with any of its structures, which all begin with the command.
int ethtool(const std::string& name, void* argument) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_data = static_cast<char*>(argument);
  return ::ioctl(socket.get(), SIOCETHTOOL, &request);
}

/// The kernel's names of all features, in the order of their bits.
std::vector<std::string> feature_names(const std::string& device) {
  const std::string error = "cannot list features of " + device;
  std::vector<std::uint8_t> bytes(sizeof(ethtool_sset_info) + sizeof(std::uint32_t));
  auto* info = reinterpret_cast<ethtool_sset_info*>(bytes.data());
  info->cmd = ETHTOOL_GSSET_INFO;
  info->sset_mask = std::uint64_t{1} << ETH_SS_FEATURES;
  if (ethtool(device, info) < 0) throw BackendError::from_errno(error);
  const std::uint32_t count = info->data[0];
  bytes.assign(sizeof(ethtool_gstrings) + std::size_t{count} * ETH_GSTRING_LEN, 0);
  auto* strings = reinterpret_cast<ethtool_gstrings*>(bytes.data());
  strings->cmd = ETHTOOL_GSTRINGS;
  strings->string_set = ETH_SS_FEATURES;
  strings->len = count;
  if (ethtool(device, strings) < 0) throw BackendError::from_errno(error);
  std::vector<std::string> names(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const char* name =
        reinterpret_cast<const char*>(strings->data) + std::size_t{i} * ETH_GSTRING_LEN;
    names[i].assign(name, ::strnlen(name, ETH_GSTRING_LEN));
  }
  return names;
}

/// Those of `features` whose bit is set in that word of the kernel's answer.
std::vector<std::string> feature_state(const std::string& device,
                                       const std::vector<std::string>& features,
                                       std::uint32_t ethtool_get_features_block::*word) {
  const std::vector<std::string> names = feature_names(device);
  const std::size_t blocks = (names.size() + 31) / 32;
  std::vector<std::uint8_t> bytes(sizeof(ethtool_gfeatures) +
                                  blocks * sizeof(ethtool_get_features_block));
  auto* answer = reinterpret_cast<ethtool_gfeatures*>(bytes.data());
  answer->cmd = ETHTOOL_GFEATURES;
  answer->size = static_cast<std::uint32_t>(blocks);
  if (ethtool(device, answer) < 0) {
    throw BackendError::from_errno("cannot read features of " + device);
  }
  std::vector<std::string> set;
  for (std::size_t bit = 0; bit < names.size(); ++bit) {
    if ((answer->features[bit / 32].*word & (1u << (bit % 32))) == 0) continue;
    if (std::ranges::find(features, names[bit]) != features.end()) set.push_back(names[bit]);
  }
  return set;
}

}  // namespace

std::optional<Link> find_link(const std::string& name) {
  const Owned<nl_sock> socket = connect_route();
  rtnl_link* found = nullptr;
  const int result = rtnl_link_get_kernel(socket.get(), 0, name.c_str(), &found);
  if (result == -NLE_OBJ_NOTFOUND || result == -NLE_NODEV) return std::nullopt;
  require(result, "cannot look up device " + name);
  const Owned<rtnl_link> link(found);
  return to_link(found);
}

// By a request of our own: libnl's cache asks for the statistics, too, which are most of the
// answer.
std::map<std::string, Link> list_links() {
  constexpr std::size_t kBytesAtOnce = 32 << 10;  // as many as the kernel fills in one go
  const std::string error = "cannot list devices";
  const Owned<nl_sock> socket = connect_route();
  require(nl_socket_set_msg_buf_size(socket.get(), kBytesAtOnce), error);
  std::map<std::string, Link> links;
  nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, note_link, &links);
  int result = 0;
  do {  // again if devices came and went meanwhile
    links.clear();
    const Owned<nl_msg> request(nlmsg_alloc_simple(RTM_GETLINK, NLM_F_DUMP));
    ifinfomsg all{};
    require(nlmsg_append(request.get(), &all, sizeof all, NLMSG_ALIGNTO), error);
    require(nla_put_u32(request.get(), IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS), error);
    require(nl_send_auto(socket.get(), request.get()), error);
    result = nl_recvmsgs_default(socket.get());
  } while (result == -NLE_DUMP_INTR);
  require(result, error);
  return links;
}

std::map<int, std::string> host_uses(const std::map<std::string, Link>& links) {
  std::map<int, std::string> uses;
  const Owned<nl_sock> socket = connect_route();
  nl_cache* raw = nullptr;
  require(rtnl_addr_alloc_cache(socket.get(), &raw), "cannot list addresses");
  const Owned<nl_cache> addresses(raw);
  for (nl_object* object = nl_cache_get_first(raw); object != nullptr;
       object = nl_cache_get_next(object)) {
    auto* address = reinterpret_cast<rtnl_addr*>(object);
    constexpr int kLinkScope = 253;  // RT_SCOPE_LINK: fe80::/64, which every device has
    const bool is_link_local =
        rtnl_addr_get_family(address) == AF_INET6 && rtnl_addr_get_scope(address) == kLinkScope;
    if (is_link_local) continue;
    std::array<char, 64> text{};
    uses.try_emplace(rtnl_addr_get_ifindex(address),
                     std::string("address ") +
                         nl_addr2str(rtnl_addr_get_local(address), text.data(), text.size()));
  }
  require(rtnl_route_alloc_cache(socket.get(), AF_UNSPEC, 0, &raw), "cannot list routes");
  const Owned<nl_cache> routes(raw);
  for (nl_object* object = nl_cache_get_first(raw); object != nullptr;
       object = nl_cache_get_next(object)) {
    auto* route = reinterpret_cast<rtnl_route*>(object);
    const nl_addr* destination = rtnl_route_get_dst(route);
    if (destination != nullptr && nl_addr_get_prefixlen(destination) != 0) continue;
    for (int hop = 0; hop < rtnl_route_get_nnexthops(route); ++hop) {
      uses.try_emplace(rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(route, hop)),
                       "default route");
    }
  }
  add_lower_devices(uses, links);
  return uses;
}

void make_veth(const std::string& name, const std::string& peer, std::uint32_t mtu) {
  const Owned<nl_sock> socket = connect_route();
  const Owned<rtnl_link> link(rtnl_link_veth_alloc());
  rtnl_link* other = rtnl_link_veth_get_peer(link.get());
  rtnl_link_set_name(link.get(), name.c_str());
  rtnl_link_set_name(other, peer.c_str());
  for (rtnl_link* end : {link.get(), other}) {
    rtnl_link_set_mtu(end, mtu);
    rtnl_link_set_num_tx_queues(end, 1);
    rtnl_link_set_num_rx_queues(end, 1);
  }
  const int result = rtnl_link_add(socket.get(), link.get(), NLM_F_CREATE | NLM_F_EXCL);
  rtnl_link_put(other);  // rtnl_link_veth_get_peer() took a reference
  require(result, "cannot make veth pair " + name);
  for (const std::string& end : {name, peer}) silence_ipv6(socket.get(), find_link(end).value());
}

void delete_link(int ifindex) {
  const Owned<nl_sock> socket = connect_route();
  const Owned<rtnl_link> link(rtnl_link_alloc());
  rtnl_link_set_ifindex(link.get(), ifindex);
  require(rtnl_link_delete(socket.get(), link.get()), "cannot delete device");
}

void set_up(const std::string& name) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) < 0) {
    throw BackendError::from_errno("cannot read flags of " + name);
  }
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP | IFF_NOARP);
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) < 0) {
    throw BackendError::from_errno("cannot set " + name + " up");
  }
}

QueueCounts queues_of(const std::string& name) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (ethtool(name, &channels) == 0) {
    return {channels.combined_count + channels.rx_count,
            channels.combined_count + channels.tx_count};
  }
  if (errno != EOPNOTSUPP) throw BackendError::from_errno("cannot count the queues of " + name);
  const Owned<nl_sock> socket = connect_route();
  rtnl_link* found = nullptr;
  require(rtnl_link_get_kernel(socket.get(), 0, name.c_str(), &found),
          "cannot look up device " + name);
  const Owned<rtnl_link> link(found);
  const QueueCounts most{rtnl_link_get_num_rx_queues(found), rtnl_link_get_num_tx_queues(found)};
  if (most == QueueCounts{1, 1}) return most;
  throw BackendError("device " + name + " does not say how many of its queues it uses");
}

std::vector<std::string> features_on(const std::string& name,
                                     const std::vector<std::string>& features) {
  return feature_state(name, features, &ethtool_get_features_block::requested);
}

std::vector<std::string> active_features(const std::string& name,
                                         const std::vector<std::string>& features) {
  return feature_state(name, features, &ethtool_get_features_block::active);
}

void request_features(const std::string& name, const std::vector<std::string>& features, bool on) {
  const std::vector<std::string> names = feature_names(name);
  const std::size_t blocks = (names.size() + 31) / 32;
  std::vector<std::uint8_t> bytes(sizeof(ethtool_sfeatures) +
                                  blocks * sizeof(ethtool_set_features_block));
  auto* request = reinterpret_cast<ethtool_sfeatures*>(bytes.data());
  request->cmd = ETHTOOL_SFEATURES;
  request->size = static_cast<std::uint32_t>(blocks);
  for (std::size_t bit = 0; bit < names.size(); ++bit) {
    if (std::ranges::find(features, names[bit]) == features.end()) continue;
    request->features[bit / 32].valid |= 1u << (bit % 32);
    if (on) request->features[bit / 32].requested |= 1u << (bit % 32);
  }
  if (ethtool(name, request) < 0) throw BackendError::from_errno("cannot set features of " + name);
}

void switch_features_off(const std::string& name, const std::vector<std::string>& features) {
  request_features(name, features, false);
  const auto left = feature_state(name, features, &ethtool_get_features_block::active);
  if (!left.empty()) throw BackendError("cannot switch " + left.front() + " of " + name + " off");
}

int make_promiscuous(int ifindex) {
  // Protocol 0: receives nothing.
  const int fd = open_lasting(AF_PACKET, SOCK_RAW, "cannot open a packet socket");
  packet_mreq request{};
  request.mr_ifindex = ifindex;
  request.mr_type = PACKET_MR_PROMISC;
  if (::setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request) == 0) return fd;
  const int error = errno;
  ::close(fd);
  throw BackendError::from_errno("cannot make the device promiscuous", error);
}

int lock_name(const std::string& name) {
  const int fd = open_lasting(AF_UNIX, SOCK_DGRAM, "cannot lock " + name);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = "bulkhead/" + name;  // behind a zero byte: abstract, in this namespace
  text.copy(address.sun_path + 1, sizeof address.sun_path - 2);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0) return fd;
  const int error = errno;
  ::close(fd);
  if (error != EADDRINUSE) throw BackendError::from_errno("cannot lock " + name, error);
  return -1;
}

}  // namespace bulkhead
