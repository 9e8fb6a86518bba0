"""Rogue services with real clients, and evasions over the wire. See test_attacks.py."""

import os
import subprocess
import time

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import (DHCP6_Advertise, DHCP6_Reply, DHCP6_Solicit, DHCP6OptClientId,
                                DHCP6OptIA_NA, DUID_LL)
from scapy.layers.hsrp import HSRP
from scapy.layers.inet import ICMP, IP, UDP, IPOption_LSRR
from scapy.layers.inet6 import (HAO, Pad1, ICMPv6EchoRequest, ICMPv6MLQuery, ICMPv6ND_NA,
                                ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_Redirect,
                                ICMPv6NDOptDstLLAddr, ICMPv6NDOptPrefixInfo,
                                ICMPv6NDOptSrcLLAddr, IPv6, IPv6ExtHdrDestOpt,
                                IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting)
from scapy.layers.l2 import ARP, LLC, SNAP, STP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.vrrp import VRRP
from scapy.packet import Raw
from scapy.utils import checksum

from arena import SWITCHES, Arena, Ear, running
from lab import end, wait_until

ALL = "ff:ff:ff:ff:ff:ff"
REAL, ROGUE, FAKE = "fd51::", "fd66::", "fd67::"  # /64, each


@pytest.fixture(scope="module", params=SWITCHES)
def arena(request):
    with Arena(request.param) as arena:
        for number in (3, 4, 5):
            guest = arena.kali(number)
            # What SLAAC makes of the real prefix is the guest's.
            arena.config["port"][guest.name]["ip"].append(f"{slaac(guest, REAL)}/64")
        arena.gateway()
        arena.host.sysctl({f"net/bridge/bridge-nf-call-{what}tables": 0
                           for what in ("ip", "ip6", "arp")})
        arena.switch_on()
        yield arena


def slaac(guest, prefix):
    return guest.link_local.replace("fe80::", prefix)


# --- 7. rogue services ------------------------------------------------------------------------


def dnsmasq(guest, first, last, *options):
    """A DHCP server on that guest, ready; its log is dnsmasq-NAME."""
    log = guest.lab.directory / f"dnsmasq-{guest.name}"
    words = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0",
             "--interface=eth0", "--user=root", "--no-ping", "--dhcp-authoritative", "--log-dhcp",
             f"--dhcp-range={first},{last},120", "--log-facility=-", "--pid-file=",
             f"--dhcp-leasefile={guest.lab.directory}/leases-{guest.name}", *options]
    process = guest.popen(words, stdout=subprocess.DEVNULL, stderr=open(log, "w"))
    wait_until(lambda: "DHCP" in log.read_text(), what="dnsmasq serves")
    return process, log


def lease(guest):
    """What udhcpc gets: {"ip", "serverid", …}, or nothing."""
    script = guest.lab.directory / "udhcpc"
    script.write_text('#!/bin/sh\n[ "$1" = bound ] && env\nexit 0\n')
    script.chmod(0o755)
    output = guest.run(["udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "3", "-T", "1", "-s",
                        script], check=False).stdout
    found = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    return found if "serverid" in found else None


def test_dhcp_server(arena, cast):
    """A client does not hear the rogue dnsmasq, even alone; it does hear the one behind the
    uplink. The rogue does not hear the client."""
    kali3, kali4, _ = cast
    rogue, log = dnsmasq(kali4, "192.168.50.100", "192.168.50.110")
    got = lease(kali3)
    if arena.on_bridge:
        assert got and got["serverid"] == kali4.ip4, "void: the rogue is not heard"
        end(rogue)
        return
    assert got is None and "DHCPDISCOVER" not in log.read_text()
    uplink = arena.guests["uplink"]
    real, log = dnsmasq(uplink, "192.168.50.120", "192.168.50.130",
                        f"--dhcp-host={kali3.mac},{kali3.ip4}")
    got = lease(kali3)
    assert "DHCPDISCOVER" in log.read_text()
    assert got and (got["serverid"], got["ip"]) == (uplink.ip4, kali3.ip4)
    end(real)
    end(rogue)


RADVD = """interface eth0 {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;
  prefix {prefix}/64 {{ AdvValidLifetime 120; AdvPreferredLifetime 60; }}; }};
"""


def radvd(guest, prefix):
    guest.netns.sysctl({"net/ipv6/conf/all/forwarding": 1})
    config = guest.lab.directory / f"radvd-{guest.name}.conf"
    config.write_text(RADVD.format(prefix=prefix))
    return ["radvd", "-n", "-u", "root", "-C", config, "-m", "stderr", "-p",
            guest.lab.directory / f"radvd-{guest.name}.pid"]


def has_prefix(guest, prefix):
    return f"inet6 {prefix}" in guest.run(["ip", "-6", "addr", "show", "dev", "eth0"]).stdout


def test_router_advertisements(arena, cast):
    """radvd and fake_router6 on kali4: neither the kernel's SLAAC nor rdisc6 hears them; both
    hear the router behind the uplink."""
    kali3, kali4, kali5 = cast
    real = arena.guests["uplink"]
    tools = [radvd(kali4, ROGUE), ["atk6-fake_router6", "eth0", f"{FAKE}/64"]]
    with arena.drops_only("rogue_router", "spoofed_ip", "spoofed_nd", least=2):
        with running(real, radvd(real, REAL)), running(kali4, *tools):
            if arena.on_bridge:
                wait_until(lambda: has_prefix(kali3, ROGUE) and has_prefix(kali5, FAKE), 8,
                           what="void: SLAAC hears the rogues")
            else:
                wait_until(lambda: has_prefix(kali3, REAL) and has_prefix(kali5, REAL), 8,
                           what="SLAAC hears the router behind the uplink")
            heard = kali3.run(["rdisc6", "-w", "1500", "eth0"], check=False).stdout
            routes = [guest.run(["ip", "-6", "route", "show", "default"]).stdout
                      for guest in (kali3, kali5)]
    assert f"{REAL}/64" in heard
    assert (f"{ROGUE}/64" in heard or f"{FAKE}/64" in heard) == arena.on_bridge, heard
    for guest in (kali3, kali5):
        for prefix in (ROGUE, FAKE):
            assert not has_prefix(guest, prefix) or arena.on_bridge
    assert all((kali4.link_local in text) == arena.on_bridge for text in routes), routes
    assert all(real.link_local in text for text in routes), routes
    if not arena.on_bridge:
        # And what SLAAC gave works: the whole /64 is the gateway's.
        real.run(["ip", "addr", "replace", f"{REAL}1/64", "dev", "eth0", "nodad"])
        assert kali3.run(["ping", "-n", "-c", 3, "-i", 0.1, "-I", slaac(kali3, REAL),
                          f"{REAL}1"]).returncode == 0


YERSINIA = {"stp": "01:80:c2:00:00:00", "cdp": "01:00:0c:cc:cc:cc", "dtp": "01:00:0c:cc:cc:cc"}


def reaches(arena, cast, argv, is_its, reasons):
    """Whether what the tool sends from kali4 reaches kali3. It runs until it has, or until bulkhead
    has dropped something for those reasons."""
    kali3, kali4, _ = cast
    ear, frames = Ear(kali3), []

    def has_sent():
        frames.extend(ear.wire.drain())
        return dropped() or any(map(is_its, frames))

    with arena.drops_only(*reasons) as dropped:
        with running(kali4, argv, cwd=arena.directory, env=os.environ | {"TERM": "xterm"}):
            wait_until(has_sent, 8, what=f"{argv[0]} sends")
            time.sleep(0.3)  # for more of the same
    return any(map(is_its, frames + ear.heard()))


@pytest.mark.parametrize("protocol", YERSINIA)
def test_yersinia(arena, cast, protocol):
    """yersinia's BPDUs, CDP and DTP reach nobody."""
    tool = ["yersinia", protocol, "-attack", "0", "-interface", "eth0"]
    # yersinia invents its source addresses.
    assert reaches(arena, cast, tool, lambda seen: seen.dst == YERSINIA[protocol],
                   ["spoofed_mac", "control_frame", "bad_source"]) == arena.on_bridge


def test_fake_mldrouter6(arena, cast):
    """thc-ipv6's multicast router advertisement reaches nobody."""
    attacker = arena.guests["kali4"].mac
    assert reaches(arena, cast, ["atk6-fake_mldrouter6", "eth0", "advertise"],
                   lambda seen: seen.src == attacker and b"\x97" in seen.data[54:70],
                   ["rogue_router", "malformed"]) == arena.on_bridge


def eth(me, to=ALL):
    return Ether(src=me.mac, dst=to if isinstance(to, str) else to.mac)


def v6(me, to="ff02::1", src=None, hlim=255):
    mac = "33:33:00:00:00:01" if to == "ff02::1" else to.mac
    return (Ether(src=me.mac, dst=mac)
            / IPv6(src=src or me.link_local, dst=to if isinstance(to, str) else to.ip6, hlim=hlim))


def offer(me, victim):
    return (eth(me, victim) / IP(src=me.ip4, dst=victim.ip4) / UDP(sport=67, dport=68)
            / BOOTP(op=2, yiaddr="192.168.50.99", siaddr=me.ip4,
                    chaddr=bytes.fromhex(victim.mac.replace(":", "")))
            / DHCP(options=[("message-type", "offer"), ("server_id", me.ip4), "end"]))


def advertisement():
    return ICMPv6ND_RA() / ICMPv6NDOptPrefixInfo(prefix=FAKE, prefixlen=64)


def ra(me, *between):
    return (v6(me) / between[0] if between else v6(me)) / advertisement()


def na(me, victim, target, *between, src=None):
    head = v6(me, victim, src=src or me.ip6)
    if between:
        head = head / between[0]
    return head / ICMPv6ND_NA(tgt=target, O=1, S=1) / ICMPv6NDOptDstLLAddr(lladdr=me.mac)


def poison(me, victim, stolen):
    return eth(me, victim) / ARP(op=2, hwsrc=me.mac, psrc=stolen.ip4, hwdst=victim.mac,
                                 pdst=victim.ip4)


def igmp_query(me):
    body = b"\x11\x64" + bytes(6)
    body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    return (Ether(src=me.mac, dst="01:00:5e:00:00:01")
            / IP(src=me.ip4, dst="224.0.0.1", ttl=1, proto=2) / Raw(body))


def multicast4(me, dst, proto, body):
    mac = "01:00:5e:00:00:" + f"{int(dst.split('.')[3]):02x}"
    return Ether(src=me.mac, dst=mac) / IP(src=me.ip4, dst=dst, ttl=255, proto=proto) / body


# name: (frame of me against victim and stolen, reason)
ROGUES = {
    "DHCP offer": (lambda me, victim, stolen: offer(me, victim), "rogue_dhcp"),
    "DHCPv6 advertise": (lambda me, victim, stolen: v6(me, victim, src=me.link_local)
                         / UDP(sport=547, dport=546) / DHCP6_Advertise(trid=7)
                         / DHCP6OptClientId(duid=DUID_LL(lladdr=victim.mac)), "rogue_dhcp"),
    "DHCPv6 reply": (lambda me, victim, stolen: v6(me, victim, src=me.link_local)
                     / UDP(sport=547, dport=546) / DHCP6_Reply(trid=7), "rogue_dhcp"),
    "IGMP query": (lambda me, victim, stolen: igmp_query(me), "rogue_querier"),
    "MLD query": (lambda me, victim, stolen: v6(me, hlim=1)
                  / IPv6ExtHdrHopByHop(options=[]) / ICMPv6MLQuery(), "rogue_querier"),
    "RA": (lambda me, victim, stolen: ra(me), "rogue_router"),
    "RA to one": (lambda me, victim, stolen: v6(me, victim, src=me.link_local) / advertisement(),
                  "rogue_router"),
    "ICMP redirect": (lambda me, victim, stolen: eth(me, victim) / IP(src=me.ip4, dst=victim.ip4)
                      / ICMP(type=5, code=1, gw=me.ip4) / IP(src=victim.ip4, dst="198.51.100.1")
                      / UDP(), "rogue_router"),
    "ICMP redirect of the gateway": (
        lambda me, victim, stolen: eth(me, victim) / IP(src="192.168.50.1", dst=victim.ip4)
        / ICMP(type=5, code=1, gw=me.ip4) / IP(src=victim.ip4, dst="198.51.100.1") / UDP(),
        "spoofed_ip"),
    "ICMPv6 redirect": (lambda me, victim, stolen: v6(me, victim, src=me.link_local)
                        / ICMPv6ND_Redirect(tgt=me.link_local, dst="2001:db8::1"), "rogue_router"),
    "VRRP": (lambda me, victim, stolen: multicast4(me, "224.0.0.18", 112, VRRP(
        priority=255, addrlist=["192.168.50.1"])), "rogue_router"),
    "HSRP": (lambda me, victim, stolen: multicast4(me, "224.0.0.2", 17,
             UDP(sport=1985, dport=1985) / HSRP()), "rogue_router"),
    "OSPF": (lambda me, victim, stolen: multicast4(me, "224.0.0.5", 89,
             Raw(b"\x02\x01" + bytes(42))), "rogue_router"),
    "EIGRP": (lambda me, victim, stolen: multicast4(me, "224.0.0.10", 88,
              Raw(b"\x02\x05" + bytes(18))), "rogue_router"),
    "RIP": (lambda me, victim, stolen: multicast4(me, "224.0.0.9", 17,
            UDP(sport=520, dport=520) / Raw(b"\x02\x02" + bytes(22))), "rogue_router"),
    "PIM": (lambda me, victim, stolen: multicast4(me, "224.0.0.13", 103,
            Raw(b"\x20" + bytes(7))), "rogue_router"),
    "LLDP": (lambda me, victim, stolen: Ether(src=me.mac, dst="01:80:c2:00:00:0e", type=0x88CC)
             / Raw(bytes.fromhex("0207045254007700040403616263060200780000")), "control_frame"),
    "STP": (lambda me, victim, stolen: Dot3(src=me.mac, dst="01:80:c2:00:00:00") / LLC()
            / STP(rootid=0, bridgeid=0), "control_frame"),
    "PVST": (lambda me, victim, stolen: Dot3(src=me.mac, dst="01:00:0c:cc:cc:cd") / LLC()
             / SNAP(OUI=0x00000C, code=0x010B) / Raw(bytes(42)), "control_frame"),
}


def snap(frame):
    """The same in LLC and SNAP (RFC 1042), which many systems take for the same."""
    head = LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=frame.type)
    return Dot3(src=frame.src, dst=frame.dst) / head / frame.payload


WRAPPINGS = {
    "VID 0": (lambda frame: Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=0, type=frame.type)
              / frame.payload, "tagged"),
    "priority": (lambda frame: Ether(src=frame.src, dst=frame.dst)
                 / Dot1Q(vlan=0, prio=7, type=frame.type) / frame.payload, "tagged"),
    "802.1ad VID 0": (lambda frame: Ether(src=frame.src, dst=frame.dst, type=0x88A8)
                      / Dot1AD(vlan=0, type=frame.type) / frame.payload, "tagged"),
    "two tags": (lambda frame: Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=0, type=0x8100)
                 / Dot1Q(vlan=0, type=frame.type) / frame.payload, "tagged"),
    "SNAP": (snap, "ethertype"),
    "tag, SNAP": (lambda frame: Ether(src=frame.src, dst=frame.dst)
                  / Dot1Q(vlan=0, type=len(frame.payload) + 8) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3)
                  / SNAP(OUI=0, code=frame.type) / frame.payload, "tagged"),
}
WRAPPED = {
    "ARP": lambda me, victim, stolen: poison(me, victim, stolen),
    "NA": lambda me, victim, stolen: na(me, victim, stolen.ip6),
    "RA": lambda me, victim, stolen: ra(me),
    "DHCP": lambda me, victim, stolen: offer(me, victim),
    "spoofed IPv4": lambda me, victim, stolen: (eth(me, victim)
                                                / IP(src=stolen.ip4, dst=victim.ip4) / ICMP()),
}


def wrapped(inner, outer):
    return lambda me, victim, stolen: WRAPPINGS[outer][0](WRAPPED[inner](me, victim, stolen))


def chopped_ra(me, victim, stolen):
    """RFC 7113: the first fragment ends before the ICMPv6 header."""
    options = IPv6ExtHdrDestOpt(nh=58, options=[Pad1()] * 6)
    return v6(me) / IPv6ExtHdrFragment(nh=60, m=1, id=7) / options


def icmp(me, victim, source=None, **fields):
    return eth(me, victim) / IP(src=source or me.ip4, dst=victim.ip4, **fields) / ICMP()


# --- 8. evasions, a selection: the corpus has them all -----------------------------------------

EVASIONS = {f"{inner} in {outer}": (wrapped(inner, outer), WRAPPINGS[outer][1])
            for inner in WRAPPED for outer in WRAPPINGS} | {
    "RA behind an atomic fragment": (
        lambda me, victim, stolen: ra(me, IPv6ExtHdrFragment(nh=58)), "spoofed_nd"),
    "RA behind hop by hop": (
        lambda me, victim, stolen: ra(me, IPv6ExtHdrHopByHop(nh=58, options=[])), "spoofed_nd"),
    "RA behind destination options": (
        lambda me, victim, stolen: ra(me, IPv6ExtHdrDestOpt(nh=58, options=[])), "spoofed_nd"),
    "RA's first fragment without the chain": (chopped_ra, "malformed"),
    "NA behind destination options": (
        lambda me, victim, stolen: na(me, victim, stolen.ip6, IPv6ExtHdrDestOpt(nh=58, options=[])),
        "spoofed_nd"),
    "NA with a foreign target, CVE-2021-20267": (
        lambda me, victim, stolen: na(me, victim, stolen.ip6), "spoofed_nd"),
    "NA from the victim": (
        lambda me, victim, stolen: na(me, victim, stolen.ip6, src=stolen.ip6), "spoofed_ip"),
    "NS with the victim's link-layer address": (
        lambda me, victim, stolen: v6(me, victim, src=me.ip6) / ICMPv6ND_NS(tgt=victim.ip6)
        / ICMPv6NDOptSrcLLAddr(lladdr=stolen.mac), "spoofed_nd"),
    "DAD against the victim": (
        lambda me, victim, stolen: Ether(src=me.mac, dst="33:33:ff:00:00:13")
        / IPv6(src="::", dst="ff02::1:ff00:13", hlim=255) / ICMPv6ND_NS(tgt="fd50::13"),
        "spoofed_nd"),
    "ARP from a stranger": (
        lambda me, victim, stolen: eth(me) / ARP(op=1, hwsrc=me.mac, psrc="192.168.50.77",
                                                 pdst="192.168.50.77"), "spoofed_arp"),
    "ARP with another's SHA": (
        lambda me, victim, stolen: eth(me) / ARP(op=1, hwsrc=stolen.mac, psrc=me.ip4,
                                                 pdst=victim.ip4), "spoofed_arp"),
    "spoofed, by DHCP ports, CVE-2016-5362": (
        lambda me, victim, stolen: eth(me, victim) / IP(src=stolen.ip4, dst=victim.ip4)
        / UDP(sport=68, dport=67) / BOOTP(), "spoofed_ip"),
    "nowhere, by DHCP ports": (
        lambda me, victim, stolen: eth(me, victim) / IP(src="0.0.0.0", dst=victim.ip4)
        / UDP(sport=68, dport=67) / BOOTP(), "spoofed_ip"),
    "ICMPv6 before the source check, CVE-2015-8914": (
        lambda me, victim, stolen: v6(me, victim, src=stolen.ip6) / ICMPv6EchoRequest(),
        "spoofed_ip"),
    "non-IP with a stolen MAC, CVE-2016-5363": (
        lambda me, victim, stolen: Ether(src=stolen.mac, dst=victim.mac, type=0x8899)
        / Raw(bytes(46)), "spoofed_mac"),
    "protocol 0, CVE-2023-1668": (
        lambda me, victim, stolen: icmp(me, victim, stolen.ip4, proto=0), "spoofed_ip"),
    "padding, CVE-2020-35498": (
        lambda me, victim, stolen: Ether(
            bytes(v6(me, victim, src=stolen.ip6) / ICMPv6EchoRequest()) + bytes(800)),
        "spoofed_ip"),
    "IPv4 longer than its frame": (
        lambda me, victim, stolen: icmp(me, victim, len=900), "malformed"),
    "IPv4 header of 4 words": (lambda me, victim, stolen: icmp(me, victim, ihl=4), "malformed"),
    "IPv4 header longer than its packet": (
        lambda me, victim, stolen: icmp(me, victim, ihl=15), "malformed"),
    "IPv4 of version 6": (lambda me, victim, stolen: icmp(me, victim, version=6), "malformed"),
    "loose source routing": (
        lambda me, victim, stolen: icmp(me, victim, options=[IPOption_LSRR(routers=["10.0.0.1"])]),
        "malformed"),
    "IPv6 routing header 0": (
        lambda me, victim, stolen: v6(me, victim, src=me.ip6)
        / IPv6ExtHdrRouting(type=0, addresses=[stolen.ip6]) / ICMPv6EchoRequest(), "malformed"),
    "Home Address option": (
        lambda me, victim, stolen: v6(me, victim, src=me.ip6)
        / IPv6ExtHdrDestOpt(options=[HAO(hoa=stolen.ip6)]) / ICMPv6EchoRequest(), "malformed"),
    "a fragment from the victim": (
        lambda me, victim, stolen: icmp(me, victim, stolen.ip4, flags="MF"), "spoofed_ip"),
    "one station's address to all": (
        lambda me, victim, stolen: eth(me) / IP(src=me.ip4, dst=victim.ip4) / ICMP(), "group_mac"),
    "one station's IPv6 address to a group": (
        lambda me, victim, stolen: Ether(src=me.mac, dst="33:33:00:00:00:01")
        / IPv6(src=me.ip6, dst=victim.ip6) / ICMPv6EchoRequest(), "group_mac"),
}


@pytest.mark.parametrize("kind", [f"rogue {kind}" for kind in ROGUES]
                         + [f"evasion {kind}" for kind in EVASIONS])
def test_one_frame(arena, kind):
    """The frame reaches the victim on the Linux bridge, and nobody on bulkhead, which says why."""
    kind, _, name = kind.partition(" ")
    build, reason = (ROGUES if kind == "rogue" else EVASIONS)[name]
    kali3, kali4, kali5 = (arena.guests[name] for name in ("kali3", "kali4", "kali5"))
    frame = bytes(build(kali4, kali3, kali5))
    with arena.scenario(kali3, kali5):
        ears = [Ear(guest) for guest in (kali3, kali5, arena.guests["uplink"])]
        with arena.drops_only(reason, least=1):
            kali4.wire().send(frame)
        heard = [any(frame[-20:] in seen.data and seen.src == frame[6:12].hex(":")
                     for seen in ear.heard()) for ear in ears]
    assert heard[0] if arena.on_bridge else not any(heard), "void" if arena.on_bridge else heard


def test_dhcpv6_client(arena, cast):
    """A DHCPv6 client's solicitation reaches the server behind the uplink, not the rogue, and the
    answer comes back. (The client is a frame: Debian has none that asks and stops.)"""
    kali3, kali4, kali5 = cast
    servers = {guest: dnsmasq(guest, f"fd50::{number}00", f"fd50::{number}ff,64")
               for guest, number in ((kali4, 4), (arena.guests["uplink"], 1))}
    request = bytes(Ether(src=kali3.mac, dst="33:33:00:01:00:02")
                    / IPv6(src=kali3.link_local, dst="ff02::1:2") / UDP(sport=546, dport=547)
                    / DHCP6_Solicit(trid=0x123456)
                    / DHCP6OptClientId(duid=DUID_LL(lladdr=kali3.mac)) / DHCP6OptIA_NA(iaid=7))
    ear, wire = Ear(kali3), kali3.wire()
    wire.send(request)
    time.sleep(0.5)
    answers = {seen.src for seen in ear.heard() if b"\x02\x12\x34\x56" in seen.data[62:66]}
    expected = {arena.guests["uplink"].mac} | ({kali4.mac} if arena.on_bridge else set())
    assert answers == expected
    for process, _ in servers.values():
        end(process)
