"""The policy as guests live it: shadow mode, the router's link-local address, a guest that has moved
to another host, a router inside a guest's own prefix.

    segment default:  vm1 (bound), dark (in shadow), stable (link_local = "any"),
                      lodger (has prefixes), nomad (its device goes), uplink (trusted)
"""

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import Ether

from frames import arp_request
from lab import Lab, wait_until

UNLISTED_MAC, UNLISTED_IP4, UNLISTED_IP6 = "52:54:00:99:00:01", "10.77.99.1", "fd77::9901"


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.veth("vm1")
        lab.veth("dark", enforce=False)
        lab.veth("stable", link_local="any")
        lab.veth("lodger", ip4="10.88.0.2/24", ip6="fd88::2", ip=[],
                 prefixes=["10.88.0.0/24", "fd88::/64"])
        lab.veth("nomad")
        lab.uplink()
        lab.start()
        yield lab


def ping(guest, address, check=True):
    return guest.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", address], check=check).returncode


def test_shadow_guest_talks_as_on_a_plain_bridge(lab):
    """With a MAC and addresses that are not in its binding; what it would lose is counted, on its
    way in and out, and nothing of it is dropped."""
    vm1, dark, uplink = (lab.guests[name] for name in ("vm1", "dark", "uplink"))
    dark.netns.ip(f"link set eth0 address {UNLISTED_MAC}", "addr flush dev eth0",
                  f"addr add {UNLISTED_IP4}/16 dev eth0",
                  f"addr add {UNLISTED_IP6}/64 dev eth0 nodad")
    for other in (vm1, uplink):
        ping(other, UNLISTED_IP4)
        ping(other, UNLISTED_IP6)
        ping(dark, other.ip4)
        ping(dark, other.ip6)
    shadow = lab.stats()["dark"]["ingress"]["shadow"]
    assert shadow["spoofed_mac"] >= 8 and shadow["not_addressee"] >= 8, shadow
    assert lab.drops("dark") == {} or set(lab.drops("dark")) <= {"spoofed_nd"}, lab.drops("dark")
    assert not lab.drops("dark", "egress").get("not_addressee")
    assert UNLISTED_MAC in lab.fdb(port="dark", kind="learned")


def test_shadow_guest_takes_nothing_of_others(lab):
    """Neither a neighbour's address nor its MAC, and no traffic for it."""
    vm1, dark, uplink = (lab.guests[name] for name in ("vm1", "dark", "uplink"))
    wire = dark.wire()
    with lab.counts("dark", "spoofed_arp"):
        wire.send(arp_request(dark.mac, vm1.ip4, uplink.ip4))
    with lab.counts("dark", "spoofed_mac"):
        wire.send(arp_request(vm1.mac, dark.ip4, uplink.ip4))
    ping(uplink, vm1.ip4)


def test_nobody_takes_the_routers_link_local_address(lab):
    """A guest that may use any link-local address may not use the one that the uplink uses."""
    vm1, stable, uplink = (lab.guests[name] for name in ("vm1", "stable", "uplink"))
    ping(uplink, f"{vm1.link_local}%eth0")
    stolen = bytes(Ether(src=stable.mac, dst="33:33:00:00:00:01")
                   / IPv6(src=stable.link_local, dst="ff02::1", hlim=255)
                   / ICMPv6ND_NA(tgt=uplink.link_local, R=1, S=0, O=1)
                   / ICMPv6NDOptDstLLAddr(lladdr=stable.mac))
    with lab.counts("stable", "spoofed_nd"):
        stable.wire().send(stolen)
    ping(vm1, f"{uplink.link_local}%eth0")


def test_guest_resolves_a_router_inside_its_prefix(lab):
    lodger, uplink = lab.guests["lodger"], lab.guests["uplink"]
    uplink.netns.ip("addr add 10.88.0.1/24 dev eth0", "addr add fd88::1/64 dev eth0 nodad")
    ping(lodger, "10.88.0.1")
    ping(lodger, "fd88::1")


def test_guest_that_has_moved_is_reached_behind_the_uplink(lab):
    """Its old port waits; after a minute the addresses are free for trusted ports, and with the
    device back they are its own again."""
    vm1, nomad, uplink = (lab.guests[name] for name in ("vm1", "nomad", "uplink"))
    ping(vm1, nomad.ip4)
    nomad.remove_device()
    lab.wait_port("nomad", "waiting")
    uplink.netns.ip("link add nomad0 link eth0 type macvlan mode bridge",
                    f"link set nomad0 netns {nomad.netns.name}")
    nomad.netns.ip("link set nomad0 name eth0", f"link set eth0 address {nomad.mac} up",
                   f"addr add {nomad.interface4} dev eth0", f"addr add {nomad.ip6}/64 dev eth0 nodad")
    assert ping(vm1, nomad.ip4, check=False) != 0
    wait_until(lambda: any("nomad: device nomad has been gone for a minute" in line
                           and nomad.mac in line for line in lab.log().splitlines()),
               timeout=75, what="a minute")
    ping(vm1, nomad.ip4)
    ping(vm1, nomad.ip6)
    nomad.netns.ip("link del eth0")
    nomad.make_device()
    lab.wait_port("nomad", "up")
    ping(vm1, nomad.ip4)
    with lab.counts("uplink", "spoofed_mac"):
        uplink.wire().send(arp_request(nomad.mac, nomad.ip4, vm1.ip4))
