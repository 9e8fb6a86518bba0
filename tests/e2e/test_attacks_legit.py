"""What must still work, who hears a question, and shadow mode. See test_attacks.py.

    kali3 kali4 kali5   guests            uplink      trusted
    gw                  a guest with routes to the network of `behind`, a namespace of its own
    vr1 vr2             keepalived, the shared address 192.168.50.100 and its VRRP MAC
    stable              an RFC 7217 link-local address, link_local = "any"
"""

import json
import re
import socket
import struct
import subprocess
import time

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import DHCP6_Solicit, DHCP6OptClientId, DUID_LL
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (ICMPv6ND_NS, ICMPv6ND_RS, ICMPv6NDOptSrcLLAddr, IPv6)
from scapy.layers.l2 import Ether

from arena import SWITCHES, Arena, Ear
from frames import (BROADCAST, Watch, arp_request, ethernet, mac_bytes, new_mac, new_token,
                    rarp_announcement)
from lab import Netns, end, ping_result, wait_until

VIRTUAL, VIRTUAL_MAC = "192.168.50.100", "00:00:5e:00:01:32"


# --- 9. what must still work ------------------------------------------------------------------


@pytest.fixture(scope="module")
def arena():
    with Arena("bulkhead") as arena:
        for number in (3, 4, 5):
            arena.kali(number)
        arena.gateway()
        gateway = arena.kali(20, "gw", routes=["10.55.0.0/24", "fd55::/64"])
        for number, name in ((21, "vr1"), (22, "vr2")):
            arena.kali(number, name, shared=[VIRTUAL, VIRTUAL_MAC], allow=["vrrp"])
        stable = arena.kali(23, "stable", link_local="any")
        behind = Netns(f"{arena.name}-behind")
        gateway.netns.ip(f"link add back mtu 1300 type veth peer name eth0 mtu 1300"
                         f" netns {behind.name}", "link set back up",
                         "addr add 10.55.0.1/24 dev back", "addr add fd55::1/64 dev back nodad")
        behind.sysctl({"net/ipv6/conf/default/accept_dad": 0})
        behind.ip("link set lo up", "link set eth0 up", "addr add 10.55.0.2/24 dev eth0",
                  "addr add fd55::2/64 dev eth0 nodad", "route add default via 10.55.0.1",
                  "route add default via fd55::1")
        arena.switch_on()
        arena.calm()
        gateway.netns.sysctl({"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1})
        kali3 = arena.guests["kali3"]
        kali3.netns.ip(f"route add 10.55.0.0/24 via {gateway.ip4}",
                       f"route add fd55::/64 via {gateway.ip6}")
        stable.netns.sysctl({"net/ipv6/conf/eth0/stable_secret": "fd00::1:2:3:4"})
        stable.netns.ip("link set eth0 down", "link set eth0 addrgenmode stable_secret up",
                        f"addr replace {stable.ip6}/64 dev eth0 nodad")
        yield arena


@pytest.fixture
def no_drops(arena):
    """Nothing that any guest sends is dropped meanwhile."""
    before = {name: arena.drops(name) for name in arena.guests}
    yield
    after = {name: arena.drops(name) for name in arena.guests}
    assert after == before


def v6_state(guest, address):
    rows = json.loads(guest.run(["ip", "-j", "-6", "addr", "show", "dev", "eth0"]).stdout)
    for row in rows[0]["addr_info"]:
        if row["local"] == address:
            return "failed" if row.get("dadfailed") else \
                "tentative" if row.get("tentative") else "preferred"
    return None


def test_dad(arena, no_drops):
    """A guest's DAD for its own address ends well; the gateway's for a guest's finds the guest."""
    kali3, uplink = arena.guests["kali3"], arena.guests["uplink"]
    for guest in (kali3, uplink):
        guest.netns.sysctl({f"net/ipv6/conf/{which}/accept_dad": 1 for which in ("all", "eth0")})
    kali3.netns.ip(f"addr del {kali3.ip6}/64 dev eth0", f"addr add {kali3.ip6}/64 dev eth0")
    assert v6_state(kali3, kali3.ip6) == "tentative"
    wait_until(lambda: v6_state(kali3, kali3.ip6) == "preferred", what="DAD ends")
    uplink.netns.ip(f"addr add {kali3.ip6}/64 dev eth0")
    wait_until(lambda: v6_state(uplink, kali3.ip6) == "failed", what="DAD finds the owner")
    uplink.netns.ip(f"addr del {kali3.ip6}/64 dev eth0")


def test_membership_and_multicast(arena, no_drops):
    """IGMP and MLD reports reach the uplink and no guest; data reaches the members."""
    kali3, kali4, kali5, uplink = (arena.guests[name]
                                   for name in ("kali3", "kali4", "kali5", "uplink"))
    ears, token = {guest: Ear(guest) for guest in (kali4, kali5, uplink)}, new_token()
    member4, member6 = kali3.socket(4), kali3.socket(6)
    member4.bind(("", 4711))
    member4.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                       socket.inet_aton("239.1.2.3") + socket.inet_aton(kali3.ip4))
    member6.bind(("::", 4712))
    member6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                       socket.inet_pton(socket.AF_INET6, "ff05::1:99")
                       + struct.pack("I", index_of_eth0(kali3)))
    wait_until(lambda: reports(ears[uplink].wire.drain()), what="a report")
    for guest in (kali4, kali5):
        assert not reports(ears[guest].heard())
    for sender, family, group in ((kali5, 4, ("239.1.2.3", 4711)),
                                  (kali5, 6, ("ff05::1:99", 4712))):
        out = sender.socket(family)
        if family == 4:
            out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                           socket.inet_aton(sender.ip4))
        else:
            out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF,
                           index_of_eth0(sender))
        out.sendto(token, group)
        member = member4 if family == 4 else member6
        member.settimeout(2)
        assert member.recv(100) == token


def index_of_eth0(guest):
    return int(guest.run(["ip", "-o", "link", "show", "eth0"]).stdout.split(":")[0])


def reports(frames):
    """IGMPv3 and MLDv2 reports that name the groups of the test."""
    return [seen for seen in frames
            if socket.inet_aton("239.1.2.3") in seen.data[34:]
            or socket.inet_pton(socket.AF_INET6, "ff05::1:99") in seen.data[54:]]


def test_announcements(arena, no_drops):
    """Gratuitous ARP for the own address, and RARP after a migration, reach all."""
    kali3 = arena.guests["kali3"]
    others = [arena.guests[name] for name in ("kali4", "kali5", "uplink")]
    for frame in (arp_request(kali3.mac, kali3.ip4, kali3.ip4), rarp_announcement(kali3.mac)):
        ears = [Ear(guest) for guest in others]
        wire = kali3.wire()
        wire.send(frame)
        for ear in ears:
            assert any(frame[:42] == seen.data[:42] for seen in ear.heard())


@pytest.mark.parametrize("family", [4, 6])
def test_gateway_guest(arena, no_drops, family):
    """A guest with `routes` forwards: ping, traceroute, path MTU discovery, fragments, TCP."""
    kali3, gateway = arena.guests["kali3"], arena.guests["gw"]
    target = "10.55.0.2" if family == 4 else "fd55::2"
    assert kali3.ping(target, count=20, interval=0.02).lost == 0
    output = kali3.run(["traceroute", f"-{family}", "-n", "-q", 1, "-w", 1, target]).stdout
    assert re.search(rf"1  {gateway.address(family)} .*\n.*2  {target} ", output), output
    output = kali3.run(["ping", "-n", "-c", 3, "-i", 0.1, "-M", "do", "-s", 1400, target],
                       check=False).stdout
    assert re.search(r"mtu ?= ?1300|mtu=1300", output), output
    assert "mtu 1300" in kali3.run(["ip", "route", "get", target]).stdout
    assert kali3.ping(target, count=5, size=4000).lost == 0


def test_gateway_guest_claims_nothing_of_its_routes(arena):
    """`routes` are for sending and being sent to, not for ARP."""
    gateway = arena.guests["gw"]
    wire, ear = gateway.wire(), Ear(arena.guests["kali3"])
    frame = arp_request(gateway.mac, "10.55.0.2", arena.guests["kali3"].ip4)
    with arena.drops_only("spoofed_arp", port="gw"):
        wire.send(frame)
    assert not any(frame in seen.data for seen in ear.heard())


@pytest.mark.parametrize("family", [4, 6])
def test_fragments(arena, no_drops, family):
    """Datagrams of three fragments, both ways."""
    kali3, kali5 = arena.guests["kali3"], arena.guests["kali5"]
    assert kali3.ping(kali5.address(family), count=10, size=4000, interval=0.02).lost == 0


def test_traceroute(arena, no_drops):
    kali3, kali5 = arena.guests["kali3"], arena.guests["kali5"]
    for family in (4, 6):
        output = kali3.run(["traceroute", f"-{family}", "-n", "-q", 1, "-w", 1,
                            kali5.address(family)]).stdout
        assert f"1  {kali5.address(family)} " in output, output


def test_stable_link_local(arena, no_drops):
    """A guest with an RFC 7217 link-local address is reached by it, and reaches others."""
    stable, kali3 = arena.guests["stable"], arena.guests["kali3"]

    def own():
        text = stable.run(["ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link"]).stdout
        match = re.search(r"inet6 (fe80::\S+)/64", text)
        return match and "tentative" not in text and match[1]

    address = wait_until(own, what="a link-local address")
    assert address != stable.link_local
    for sender, target in ((stable, kali3.link_local), (kali3, address)):
        assert sender.ping(f"{target}%eth0", count=5, interval=0.02).lost == 0


def test_link_local_any_takes_nothing(arena):
    """link_local = "any" is fe80::/64 less what others own."""
    stable, kali3 = arena.guests["stable"], arena.guests["kali3"]
    frame = bytes(Ether(src=stable.mac, dst=kali3.mac)
                  / IPv6(src=arena.guests["kali5"].link_local, dst=kali3.ip6, hlim=255)
                  / ICMPv6ND_NS(tgt=kali3.ip6) / ICMPv6NDOptSrcLLAddr(lladdr=stable.mac))
    wire, ear = stable.wire(), Ear(kali3)
    with arena.drops_only("spoofed_ip", port="stable"):
        wire.send(frame)
    assert not any(frame in seen.data for seen in ear.heard())


KEEPALIVED = """global_defs {{ vrrp_garp_master_delay 0
 vrrp_version 3 }}
vrrp_instance V {{
  state BACKUP
  interface eth0
  virtual_router_id 50
  priority {priority}
  advert_int 0.2
  use_vmac vrrp.50
  virtual_ipaddress {{ {address}/24 }}
}}
"""


def keepalived(guest, priority):
    directory = guest.lab.directory
    config = directory / f"keepalived-{guest.name}.conf"
    config.write_text(KEEPALIVED.format(priority=priority, address=VIRTUAL))
    guest.netns.sysctl({"net/ipv6/conf/default/disable_ipv6": 1})  # of the macvlan
    return guest.popen(["keepalived", "-n", "-l", "-P", "-f", config,
                        "-p", directory / f"keepalived-{guest.name}.pid",
                        "-r", directory / f"vrrp-{guest.name}.pid"],
                       stdout=open(directory / f"keepalived-{guest.name}.log", "w"),
                       stderr=subprocess.STDOUT)


def test_vrrp(arena):
    """keepalived on two guests that share an address and a MAC: traffic follows the master, over a
    failover; a guest that does not share them takes neither."""
    kali3, kali4, vr1, vr2 = (arena.guests[name] for name in ("kali3", "kali4", "vr1", "vr2"))
    before = {name: arena.drops(name) for name in ("vr1", "vr2")}
    masters = [keepalived(vr1, 150), keepalived(vr2, 100)]

    def holder():
        entry = arena.fdb().get(VIRTUAL_MAC)
        return entry and entry["port"]

    wait_until(lambda: holder() == "vr1", 8, what="vr1 is master")
    assert kali3.ping(VIRTUAL, count=20, interval=0.02).lost == 0
    wire, ear = kali4.wire(), Ear(kali3)
    for frame, reason in ((arp_request(kali4.mac, VIRTUAL, VIRTUAL), "spoofed_arp"),
                          (arp_request(VIRTUAL_MAC, VIRTUAL, VIRTUAL), "spoofed_mac")):
        with arena.drops_only(reason):
            wire.send(frame)
        assert not any(frame in seen.data for seen in ear.heard())
    ping = kali3.ping_start(VIRTUAL, count=100, interval=0.05)
    time.sleep(0.5)
    vr1.netns.ip("link set eth0 down")
    result = ping_result(ping)
    assert holder() == "vr2" and result.lost < 50, (holder(), result)
    assert kali3.ping(VIRTUAL, count=20, interval=0.02).lost == 0
    vr1.netns.ip("link set eth0 up")
    wait_until(lambda: holder() == "vr1", 8, what="vr1 is master again")
    assert kali3.ping(VIRTUAL, count=20, interval=0.02).lost == 0
    for process in masters:
        end(process)
    # Two masters for a moment: one answers the other's announcement, from the MAC to the same MAC.
    for name in before:
        now = arena.drops(name)
        now.pop("bad_source", None)
        assert now == before[name], name


# --- who hears a question ---------------------------------------------------------------------


@pytest.fixture(scope="module", params=SWITCHES)
def crowd(request):
    """16 guests that listen promiscuously, and the uplink."""
    with Arena(request.param) as arena:
        for number in range(2, 18):
            arena.kali(number, f"vm{number}").run(["ip", "link", "set", "eth0", "promisc", "on"])
        arena.gateway(1)
        arena.switch_on()
        guests = arena.guests
        with Watch(guests.values(), [guests["vm2"], guests["uplink"]]) as watch:
            yield arena, watch


def solicited_node(address):
    last = socket.inet_pton(socket.AF_INET6, address)[-3:]
    return ("33:33:ff" + "".join(f":{octet:02x}" for octet in last),
            socket.inet_ntop(socket.AF_INET6, bytes.fromhex("ff0200000000000000000001ff") + last))


def solicitation(me, target, dad=False):
    mac, group = solicited_node(target)
    head = Ether(src=me.mac, dst=mac) / IPv6(src="::" if dad else me.ip6, dst=group, hlim=255)
    body = ICMPv6ND_NS(tgt=target)
    return bytes(head / body if dad else head / body / ICMPv6NDOptSrcLLAddr(lladdr=me.mac))


def discover(me):
    return bytes(Ether(src=me.mac, dst=BROADCAST) / IP(src="0.0.0.0", dst="255.255.255.255")
                 / UDP(sport=68, dport=67) / BOOTP(chaddr=mac_bytes(me.mac))
                 / DHCP(options=[("message-type", "discover"), "end"]))


def discover6(me):
    return bytes(Ether(src=me.mac, dst="33:33:00:01:00:02")
                 / IPv6(src=me.link_local, dst="ff02::1:2") / UDP(sport=546, dport=547)
                 / DHCP6_Solicit(trid=5) / DHCP6OptClientId(duid=DUID_LL(lladdr=me.mac)))


QUESTIONS = {
    "ARP for a guest": (lambda me, owner: arp_request(me.mac, me.ip4, owner.ip4), {"vm9"}),
    "ARP for the gateway": (lambda me, owner: arp_request(me.mac, me.ip4, "192.168.50.1"),
                            {"uplink"}),
    "ARP for nobody": (lambda me, owner: arp_request(me.mac, me.ip4, "192.168.50.222"), {"uplink"}),
    "ARP probe": (lambda me, owner: arp_request(me.mac, "0.0.0.0", me.ip4), {"uplink"}),
    "NS for a guest": (lambda me, owner: solicitation(me, owner.ip6), {"vm9"}),
    "NS for a guest's link-local": (lambda me, owner: solicitation(me, owner.link_local), {"vm9"}),
    "NS for nobody": (lambda me, owner: solicitation(me, "fd50::dead"), {"uplink"}),
    "DAD": (lambda me, owner: solicitation(me, me.ip6, dad=True), {"uplink"}),
    "DHCP discover": (lambda me, owner: discover(me), {"uplink"}),
    "DHCPv6 solicit": (lambda me, owner: discover6(me), {"uplink"}),
    "router solicitation": (
        lambda me, owner: bytes(Ether(src=me.mac, dst="33:33:00:00:00:02")
                                / IPv6(src=me.link_local, dst="ff02::2", hlim=255)
                                / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=me.mac)),
        {"uplink"}),
}


@pytest.mark.parametrize("kind", QUESTIONS)
def test_who_hears_a_question(crowd, kind):
    """On the Linux bridge all 16 others do; on bulkhead the owner or the trusted port, only."""
    arena, watch = crowd
    build, expected = QUESTIONS[kind]
    me, owner = arena.guests["vm3"], arena.guests["vm9"]
    frame = build(me, owner)
    heard = set(watch.who_gets(me, frame, match=frame[14:]))
    assert heard == (set(arena.guests) - {"vm3"} if arena.on_bridge else expected)


def test_gateways_question(crowd):
    """What the trusted port asks is heard by the owner only, too."""
    arena, watch = crowd
    uplink, owner = arena.guests["uplink"], arena.guests["vm9"]
    for frame in (arp_request(uplink.mac, uplink.ip4, owner.ip4),
                  solicitation(uplink, owner.ip6)):
        heard = set(watch.who_gets(uplink, frame, match=frame[14:]))
        assert heard == (set(arena.guests) - {"uplink"} if arena.on_bridge else {"vm9"})


# --- shadow mode ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shadow():
    with Arena("bulkhead") as arena:
        arena.kali(3)
        arena.kali(4, enforce=False)
        arena.kali(5)
        arena.gateway()
        arena.switch_on()
        yield arena


def would_be(arena):
    return dict(arena.stats()["kali4"]["ingress"]["shadow"])


def shadow_cases(me, victim):
    return {
        "spoofed_ip": me.frame_to(victim, new_token()).replace(
            socket.inet_aton(me.ip4), socket.inet_aton("192.168.50.77")),
        "spoofed_arp": arp_request(me.mac, "192.168.50.77", "192.168.50.77"),
        "ethertype": ethernet(BROADCAST, me.mac, 0x88B5, new_token() + bytes(40)),
        "rogue_dhcp": bytes(Ether(src=me.mac, dst=victim.mac) / IP(src=me.ip4, dst=victim.ip4)
                            / UDP(sport=67, dport=68) / BOOTP(op=2)),
        "spoofed_mac": me.frame_to(BROADCAST, new_token(), src_mac=new_mac()),
    }


@pytest.mark.parametrize("reason", ["spoofed_ip", "spoofed_arp", "ethertype", "rogue_dhcp",
                                    "spoofed_mac"])
def test_shadow_lets_pass_and_counts(shadow, reason):
    """enforce = false: the frame passes and is counted as what it would have been."""
    kali3, kali4 = shadow.guests["kali3"], shadow.guests["kali4"]
    frame = shadow_cases(kali4, kali3)[reason]
    ear, wire, before = Ear(shadow.guests["uplink" if reason == "ethertype" else "kali3"]), \
        kali4.wire(), would_be(shadow)
    with shadow.drops_only(least=0):
        wire.send(frame)
        assert ear.wire.wait_for(frame[12:42]), "the frame did not pass"
    after = would_be(shadow)
    grown = {key: after[key] - before.get(key, 0) for key in after
             if after[key] != before.get(key, 0)}
    assert grown == {reason: 1}


def test_shadow_is_said(shadow):
    """status, for people and for machines, names the port that is not protected; the log too."""
    assert shadow.bh("status", json=True)["unprotected"] == ["kali4"]
    assert re.search(r"(unprotected|not protected).*kali4", shadow.bh("status"), re.I)
    assert re.search(r"kali4.*NOT protected", shadow.log())


def test_shadow_keeps_law_4(shadow):
    """What is bound to others is dropped all the same: MAC, source address, ARP, ND."""
    kali3, kali4, kali5 = (shadow.guests[name] for name in ("kali3", "kali4", "kali5"))
    cases = {
        "spoofed_mac": kali4.frame_to(BROADCAST, new_token(), src_mac=kali5.mac),
        "spoofed_arp": arp_request(kali4.mac, kali5.ip4, kali5.ip4),
        "spoofed_ip": bytes(Ether(src=kali4.mac, dst=kali3.mac)
                            / IP(src=kali5.ip4, dst=kali3.ip4) / UDP(dport=9)),
        "spoofed_nd": solicitation(kali4, kali5.ip6, dad=True),
    }
    wire, ear = kali4.wire(), Ear(kali3)
    for reason, frame in cases.items():
        with shadow.drops_only(reason):
            wire.send(frame)
    heard = ear.heard()
    assert not any(frame[12:] in seen.data for frame in cases.values() for seen in heard)


def test_shadow_ends(shadow):
    """enforce = true by command, and the next frame is dropped."""
    kali3, kali4 = shadow.guests["kali3"], shadow.guests["kali4"]
    shadow.bh("port", "set", "kali4", "--enforce=true")
    try:
        wire, before = kali4.wire(), would_be(shadow)
        with shadow.drops_only("spoofed_arp"):
            wire.send(shadow_cases(kali4, kali3)["spoofed_arp"])
        assert would_be(shadow) == before
        assert shadow.bh("status", json=True)["unprotected"] == []
    finally:
        shadow.bh("port", "set", "kali4", "--enforce=false")
