// What every conversation with rtnetlink needs: libnl's objects that free themselves, its errors as
// exceptions, and a socket. For the files of this room only.
#pragma once

#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>

#include <memory>
#include <string>

#include "backends/error.hpp"

namespace bulkhead::netlink {

struct Closer {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  void operator()(nl_cache* cache) const { nl_cache_free(cache); }
  void operator()(rtnl_link* link) const { rtnl_link_put(link); }
  void operator()(nl_msg* message) const { nlmsg_free(message); }
};
template <class T>
using Owned = std::unique_ptr<T, Closer>;

/// Throws BackendError with libnl's text if `result` is an error.
inline void require(int result, const std::string& what) {
  if (result < 0) throw BackendError(what + ": " + nl_geterror(result));
}

inline Owned<nl_sock> connect_route() {
  Owned<nl_sock> socket(nl_socket_alloc());
  require(nl_connect(socket.get(), NETLINK_ROUTE), "cannot open rtnetlink");
  return socket;
}

/// Sends a request with this header and calls `note(message)` for each answer. Says libnl's result:
/// below 0 the kernel's error, which is not thrown.
template <class Header, class Note>
int ask(int type, int flags, const Header& header, Note&& note) {
  const Owned<nl_sock> socket = connect_route();
  const auto call = [](nl_msg* message, void* of) {
    (*static_cast<Note*>(of))(message);
    return static_cast<int>(NL_OK);
  };
  nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, call, &note);
  Header copy = header;
  const int sent = nl_send_simple(socket.get(), type, flags, &copy, sizeof copy);
  return sent < 0 ? sent : nl_recvmsgs_default(socket.get());
}

}  // namespace bulkhead::netlink
