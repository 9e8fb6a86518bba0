#include "backends/conduit/conduit_end.hpp"

#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>

#include <functional>
#include <memory>

#include "backends/error.hpp"

namespace bulkhead {
namespace {

constexpr const char* kAlias = "conduit of bulkhead";

struct Closer {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  void operator()(rtnl_link* link) const { rtnl_link_put(link); }
};
template <class T>
using Owned = std::unique_ptr<T, Closer>;

void require(int result, const std::string& what) {
  if (result < 0) throw BackendError(what + ": " + nl_geterror(result));
}

Owned<nl_sock> connect_route() {
  Owned<nl_sock> socket(nl_socket_alloc());
  if (socket == nullptr) throw BackendError("cannot open rtnetlink: no memory");
  require(nl_connect(socket.get(), NETLINK_ROUTE), "cannot open rtnetlink");
  return socket;
}

void change(int ifindex, const std::function<void(rtnl_link*)>& what) {
  const Owned<nl_sock> socket = connect_route();
  const Owned<rtnl_link> which(rtnl_link_alloc());
  const Owned<rtnl_link> changes(rtnl_link_alloc());
  if (which == nullptr || changes == nullptr) throw BackendError("no memory for rtnetlink");
  rtnl_link_set_ifindex(which.get(), ifindex);
  what(changes.get());
  require(rtnl_link_change(socket.get(), which.get(), changes.get(), 0),
          "cannot change a conduit's device");
}

std::string text_of(const char* text) { return text == nullptr ? "" : text; }

}  // namespace

std::optional<ConduitEnd> find_conduit_end(int ifindex) {
  const Owned<nl_sock> socket = connect_route();
  rtnl_link* found = nullptr;
  const int result = rtnl_link_get_kernel(socket.get(), ifindex, nullptr, &found);
  if (result == -NLE_OBJ_NOTFOUND || result == -NLE_NODEV) return std::nullopt;
  require(result, "cannot look at a conduit's device");
  const Owned<rtnl_link> link(found);
  return ConduitEnd{text_of(rtnl_link_get_name(found)), text_of(rtnl_link_get_ifalias(found)),
                    text_of(rtnl_link_get_qdisc(found)), rtnl_link_get_mtu(found),
                    (rtnl_link_get_flags(found) & IFF_UP) != 0};
}

bool is_conduit_end(const std::string& name) {
  const auto ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
  if (ifindex == 0) return false;
  const auto end = find_conduit_end(ifindex);
  return end && end->alias == kAlias;
}

void mark_conduit_end(int ifindex) {
  change(ifindex, [](rtnl_link* link) { rtnl_link_set_ifalias(link, kAlias); });
}

void set_mtu(int ifindex, std::uint32_t mtu) {
  change(ifindex, [mtu](rtnl_link* link) { rtnl_link_set_mtu(link, mtu); });
}

}  // namespace bulkhead
