#include "backends/device/link_monitor.hpp"

#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "backends/device/netlink.hpp"

namespace bulkhead {
namespace {

void note(const nlmsghdr& message, LinkNotices& notices) {
  const void* body = NLMSG_DATA(&message);
  switch (message.nlmsg_type) {
    case RTM_DELLINK: {
      const auto* link = static_cast<const ifinfomsg*>(body);
      // The same comes when a device leaves a bridge, of that family.
      if (link->ifi_family == AF_UNSPEC) notices.gone.insert(link->ifi_index);
      [[fallthrough]];
    }
    case RTM_NEWLINK:
      notices.links = true;
      break;
    case RTM_NEWQDISC:
    case RTM_DELQDISC:
      notices.qdiscs |= static_cast<const tcmsg*>(body)->tcm_parent == TC_H_ROOT;
      [[fallthrough]];
    case RTM_NEWTFILTER:
    case RTM_DELTFILTER:
      notices.hooks.insert(static_cast<const tcmsg*>(body)->tcm_ifindex);
      break;
    default:
      break;
  }
}

}  // namespace

LinkNotices& LinkNotices::operator+=(const LinkNotices& more) {
  links |= more.links;
  qdiscs |= more.qdiscs;
  lost |= more.lost;
  gone.insert(more.gone.begin(), more.gone.end());
  hooks.insert(more.hooks.begin(), more.hooks.end());
  return *this;
}

LinkMonitor::LinkMonitor() : socket_(nl_socket_alloc()) {
  using netlink::require;
  nl_socket_disable_seq_check(socket_);
  require(nl_connect(socket_, NETLINK_ROUTE), "cannot open rtnetlink");
  require(nl_socket_add_memberships(socket_, RTNLGRP_LINK, RTNLGRP_TC, RTNLGRP_NONE),
          "cannot follow devices");
  require(nl_socket_set_nonblocking(socket_), "cannot follow devices");
  // A thousand ports that are added make some thousands of notices, ours too. What is refused here
  // shows as notices that are lost.
  const int bytes = 4 << 20;
  ::setsockopt(fd(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
}

LinkMonitor::~LinkMonitor() { nl_socket_free(socket_); }

int LinkMonitor::fd() const { return nl_socket_get_fd(socket_); }

LinkNotices LinkMonitor::drain() {
  alignas(nlmsghdr) std::array<char, 32 * 1024> bytes;
  LinkNotices notices;
  for (;;) {
    const ssize_t got = ::recv(fd(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0 && errno == ENOBUFS) {
      notices.lost = true;
      continue;
    }
    if (got <= 0) return notices;
    auto left = static_cast<unsigned>(got);
    for (auto* message = reinterpret_cast<nlmsghdr*>(bytes.data()); NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
      note(*message, notices);
    }
  }
}

}  // namespace bulkhead
