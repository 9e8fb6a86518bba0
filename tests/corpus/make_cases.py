#!/usr/bin/env python3
"""Writes cases.txt: frames, where they come in, and what is to become of them (see its head).

Frames are put together here byte by byte and not by a library, because most of them are wrong, and
because the same text has to come out everywhere. What is expected stands beside each frame as
docs/ISOLATION.md has it; nothing is taken from the bridge.
"""
import ipaddress
import pathlib
import struct

HEAD = """\
# name | port | frame in hex | what is to become of it
#   unicast:PORT        that port gets it
#   flood:PORT,PORT     these get it, and nobody else; nothing after the colon: nobody does
#   REASON              dropped, counted at the port that it came in by
#   REASON@PORT         refused by the port that it was for
# Every case by itself, on a bridge that has just started with config.toml and has learned nothing.
# Written by make_cases.py.
"""

BROADCAST = "ff:ff:ff:ff:ff:ff"
GATEWAY = "52:54:00:00:00:01"  # behind the uplink
VIRTUAL = "00:00:5e:00:01:07"
LAST = {"kali3": 0x13, "kali4": 0x14, "kali5": 0x15, "anyip": 0x20, "anymac": 0x30, "prefix": 0x40,
        "router": 0x50, "vrrp1": 0x61, "vrrp2": 0x62, "dhcp": 0x70, "querier": 0x71,
        "llany": 0x80, "lllist": 0x81, "iso1": 0x91, "iso2": 0x92, "shadow": 0xa0, "only4": 0xb0,
        "only6": 0xb1, "limited": 0xc0, "absent": 0xd0, "lonely": 0xe0, "uplink": 0x01}
V4 = {"kali3": 13, "kali4": 14, "kali5": 15, "anyip": 20, "anymac": 30, "router": 50, "vrrp1": 61,
      "vrrp2": 62, "dhcp": 70, "querier": 71, "llany": 80, "lllist": 81, "iso1": 91, "iso2": 92,
      "shadow": 160, "only4": 176, "limited": 192, "absent": 208, "lonely": 224, "uplink": 1}
OUTSIDE = {"absent", "lonely"}
cases = []


def mac(name):
    return name if ":" in name else f"52:54:00:00:00:{LAST[name]:02x}"


def v4(name):
    return name if "." in name else f"192.168.50.{V4[name]}"


def v6(name):
    return name if ":" in name else f"fd00:50::{LAST[name]:x}"


def ll(name):
    return f"fe80::5054:ff:fe00:{LAST[name]:x}"


def everyone(*but, v=0):
    """Who gets a frame to a group, of a family of IP or of none."""
    without = {4: {"only6"}, 6: {"only4"}, 0: set()}[v]
    return "flood:" + ",".join(n for n in LAST if n not in OUTSIDE | without | set(but))


def case(name, port, frame, expected):
    assert "|" not in name and all(name != other[0] for other in cases), name
    cases.append((name, port, frame, expected))


# ---- frames

def raw_mac(text):
    return bytes.fromhex(mac(text).replace(":", ""))


def a4(text):
    return ipaddress.IPv4Address(v4(text)).packed


def a6(text):
    return ipaddress.IPv6Address(v6(text)).packed


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def eth(to, source, kind, body):
    return raw_mac(to) + raw_mac(source) + struct.pack("!H", kind) + body


def ip4(source, to, protocol, body=b"", options=b"", fragment=0, version=4, total=None, ihl=None,
        ttl=64):
    words = 5 + len(options) // 4 if ihl is None else ihl
    length = 20 + len(options) + len(body) if total is None else total
    header = struct.pack("!BBHHHBBH", version << 4 | words, 0, length, 7, fragment, ttl, protocol,
                         0) + a4(source) + a4(to) + options
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + body


def ip6(source, to, protocol, body=b"", hops=64, version=6, length=None, checksum_of=None):
    length = len(body) if length is None else length
    if protocol == 58 or checksum_of is not None:
        at = checksum_of or 0
        message = body[at:at + 2] + b"\0\0" + body[at + 4:]
        pseudo = a6(source) + a6(to) + struct.pack("!II", len(message), 58)
        body = body[:at + 2] + struct.pack("!H", checksum(pseudo + message)) + body[at + 4:]
    return struct.pack("!IHBB", version << 28, length, protocol, hops) + a6(source) + a6(to) + body


def udp(source, to, body=b""):
    return struct.pack("!HHHH", source, to, 8 + len(body), 0) + body


def tcp(source=1024, to=80):
    return struct.pack("!HHIIBBHHH", source, to, 1, 0, 0x50, 2, 1024, 0, 0)


def icmp(kind, body=b"\0" * 4):
    message = bytes([kind, 0, 0, 0]) + body
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


PING = icmp(8, b"\0\1\0\1ping")
PING6 = bytes([128, 0, 0, 0, 0, 1, 0, 1]) + b"ping"


def arp(op, sha, spa, tha, tpa, kind=1, protocol=0x0800, sizes=0x0604):
    return struct.pack("!HHHH", kind, protocol, sizes, op) + raw_mac(sha) + a4(spa) + \
        raw_mac(tha) + a4(tpa)


NOBODY = "00:00:00:00:00:00"


def arp_frame(op, sha, spa, tpa, to=BROADCAST, tha=NOBODY, source=None, **other):
    return eth(to, source or sha, 0x0806, arp(op, sha, spa, tha, tpa, **other))


def option(kind, address):
    return bytes([kind, 1]) + raw_mac(address)


def nd(kind, target="::", options=b"", flags=0, code=0):
    return bytes([kind, code, 0, 0]) + struct.pack("!I", flags) + a6(target) + options


def group_of(address):
    packed = a6(address)
    return str(ipaddress.IPv6Address(a6("ff02::1:ff00:0")[:13] + packed[13:]))


def group_mac(address):
    packed = a6(address)
    if packed[0] != 0xff:
        raise ValueError(address)
    return ":".join(f"{byte:02x}" for byte in b"\x33\x33" + packed[12:])


def frame6(port, source, to, protocol, body, to_mac=None, hops=255, **other):
    where = to_mac or (group_mac(to) if a6(to)[0] == 0xff else GATEWAY)
    return eth(where, port, 0x86dd, ip6(source, to, protocol, body, hops, **other))


def ns(port, target, source=None, lla="own", to=None, to_mac=None, **other):
    lla = mac(port) if lla == "own" else lla
    body = nd(135, target, option(1, lla) if lla else b"", code=other.pop("code", 0))
    body += other.pop("more", b"")
    return frame6(port, source or ll(port), to or group_of(target), 58, body, to_mac, **other)


def na(port, target, source=None, lla="own", to="ff02::1", to_mac=None, kind=2, **other):
    lla = mac(port) if lla == "own" else lla
    body = nd(136, target, option(kind, lla) if lla else b"", 0x20000000,
              code=other.pop("code", 0)) + other.pop("more", b"")
    return frame6(port, source or ll(port), to, 58, body, to_mac, **other)


def dad(port, target, group=None, more=b"", **other):
    return frame6(port, "::", group or group_of(target), 58, nd(135, target) + more, **other)


RS = bytes([133, 0, 0, 0, 0, 0, 0, 0])
RA = bytes([134, 0, 0, 0, 64, 0, 7, 8]) + b"\0" * 8
REDIRECT = bytes([137, 0, 0, 0, 0, 0, 0, 0]) + a6("fe80::1") + a6("fd00:50::13")


def mld(kind, group="ff02::1:3"):
    if kind == 143:
        return bytes([143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0]) + a6(group)
    return bytes([kind, 0, 0, 0, 0, 0, 0, 0]) + a6(group)


def hop_by_hop(next_header, options=b"\x05\x02\x00\x00\x01\x00"):
    return bytes([next_header, (len(options) + 2) // 8 - 1]) + options


def routing(next_header, kind):
    return bytes([next_header, 2, kind, 1, 0, 0, 0, 0]) + a6("fd00:50::15")


def fragment6(next_header, offset=0, more=True, ident=7):
    return struct.pack("!BBHI", next_header, 0, offset << 3 | more, ident)


def mld_frame(port, source, group="ff02::16", kind=143):
    body = hop_by_hop(58) + mld(kind)
    return frame6(port, source, group, 0, body, hops=1, checksum_of=8)


def dhcp(op, chaddr, hardware=1, size=6, ciaddr="0.0.0.0", giaddr="0.0.0.0"):
    return bytes([op, hardware, size, 0]) + b"\0" * 8 + a4(ciaddr) + b"\0" * 8 + a4(giaddr) + \
        raw_mac(chaddr) + b"\0" * 10 + \
        b"\0" * 192 + bytes.fromhex("63825363350101ff")


def dhcp_frame(port, source="0.0.0.0", to="255.255.255.255", to_mac=BROADCAST, sport=68, dport=67,
               op=1, chaddr=None, fragment=0, **other):
    body = udp(sport, dport, dhcp(op, chaddr or port, **other))
    return eth(to_mac, port, 0x0800, ip4(source, to, 17, body, fragment=fragment))


def v4_frame(port, to, protocol=1, body=PING, source=None, to_mac=None, **other):
    return eth(to_mac or to, port, 0x0800, ip4(source or port, to, protocol, body, **other))


def v6_frame(port, to, protocol=58, body=PING6, source=None, to_mac=None, **other):
    return eth(to_mac or to, port, 0x86dd, ip6(source or port, to, protocol, body, **other))


def from_uplink(to, body4=None, source="192.168.50.1", to4=None, mac_of=GATEWAY):
    return eth(to, mac_of, 0x0800, ip4(source, to4 or to, 1, body4 or PING))


# ---- what they are for

def ethernet():
    good = v4_frame("kali4", "kali3")
    case("whole ping", "kali4", good, "unicast:kali3")
    for length in (0, 1, 13):
        case(f"{length} bytes", "kali4", good[:length], "malformed")
    case("header alone", "kali4", good[:14], "malformed")
    case("as long as the MTU", "kali4", v4_frame("kali4", "kali3", 253, b"\0" * 1480),
         "unicast:kali3")
    case("longer than the MTU", "kali4", v4_frame("kali4", "kali3", 253, b"\0" * 1481), "too_big")
    body = good[14:]
    for name, source in {"group": "01:00:5e:00:00:01", "broadcast": BROADCAST, "zero": NOBODY,
                         "the destination": "kali3"}.items():
        case(f"source is {name}", "kali4", eth("kali3", source, 0x0800, body), "bad_source")
    for name, source in {"kali5": "kali5", "the gateway": GATEWAY, "nobody": "52:54:00:99:99:99",
                         "the virtual router": VIRTUAL}.items():
        case(f"source is of {name}", "kali4", eth("kali3", source, 0x0800, body), "spoofed_mac")
        case(f"source is of {name}, not IP", "kali4", eth(BROADCAST, source, 0x88b5, b"\0" * 46),
             "spoofed_mac")
    case("source is kali5, from anymac", "anymac", eth("kali3", "kali5", 0x0800, body),
         "spoofed_mac")
    case("source is kali5, from the uplink", "uplink", eth("kali3", "kali5", 0x0800, body),
         "spoofed_mac")
    case("source is the virtual router, from the uplink", "uplink",
         eth("kali3", VIRTUAL, 0x0800, body), "spoofed_mac")
    case("source is the virtual router, from its holder", "vrrp1",
         eth("kali3", VIRTUAL, 0x0800, ip4("192.168.50.60", "kali3", 1, PING)), "unicast:kali3")
    case("reflected by the uplink", "uplink", eth(BROADCAST, "kali4", 0x0806, arp(
        1, "kali4", "kali4", NOBODY, "kali3")), "spoofed_mac")
    case("anymac learns", "anymac", eth("kali3", "52:54:00:99:99:99", 0x0800,
                                        ip4("anymac", "kali3", 1, PING)), "unicast:kali3")


def tags_and_control():
    inner = struct.pack("!H", 0x0800) + ip4("kali4", "kali3", 1, PING)
    stolen = struct.pack("!H", 0x0806) + arp(2, "kali4", "kali5", "kali3", "kali3")
    for tpid in (0x8100, 0x88a8, 0x9100, 0x9200, 0x9300):
        for vid in (0, 1):
            case(f"tag {tpid:04x} VID {vid}", "kali4",
                 eth("kali3", "kali4", tpid, struct.pack("!H", vid) + inner), "tagged")
    case("priority tag around stolen ARP", "kali4",
         eth("kali3", "kali4", 0x8100, b"\xe0\0" + stolen), "tagged")
    case("double tag around stolen ARP", "kali4",
         eth("kali3", "kali4", 0x88a8, b"\0\0\x81\0\0\0" + stolen), "tagged")
    case("VID 0 around a router advertisement", "kali4", eth(
        "33:33:00:00:00:01", "kali4", 0x8100, b"\0\0\x86\xdd" +
        ip6(ll("kali4"), "ff02::1", 58, RA, 255)), "tagged")
    case("VID 0 around a DHCP offer", "kali4", eth(
        BROADCAST, "kali4", 0x8100, b"\0\0\x08\0" +
        ip4("kali4", "255.255.255.255", 17, udp(67, 68, dhcp(2, "kali3")))), "tagged")
    case("tag with a stolen MAC", "kali4", eth("kali3", "kali5", 0x8100, b"\0\0" + inner),
         "spoofed_mac")
    case("tag from the uplink to a bound guest", "uplink",
         eth("kali3", GATEWAY, 0x8100, b"\0\1" + inner), "not_addressee@kali3")
    llc = b"\x42\x42\x03" + b"\0" * 43
    case("spanning tree", "kali4", eth("01:80:c2:00:00:00", "kali4", 38, llc), "control_frame")
    case("spanning tree from the uplink", "uplink", eth("01:80:c2:00:00:00", GATEWAY, 38, llc),
         "control_frame")
    for name, address, kind in (("pause", "01:80:c2:00:00:01", 0x8808),
                                ("LACP", "01:80:c2:00:00:02", 0x8809),
                                ("EAPOL", "01:80:c2:00:00:03", 0x888e),
                                ("LLDP", "01:80:c2:00:00:0e", 0x88cc),
                                ("GVRP", "01:80:c2:00:00:21", 38),
                                ("last of the block", "01:80:c2:00:00:2f", 38),
                                ("CDP and DTP", "01:00:0c:cc:cc:cc", 38),
                                ("PVST+", "01:00:0c:cc:cc:cd", 38),
                                ("UDLD of another kind", "01:00:0c:00:00:00", 38)):
        case(f"control: {name}", "kali4", eth(address, "kali4", kind, b"\0" * 46), "control_frame")
    case("IP to a control address", "kali4", eth("01:80:c2:00:00:0e", "kali4", 0x0800,
                                                 ip4("kali4", "224.0.0.1", 1, PING)),
         "control_frame")


def ethertypes():
    ip = ip4("kali5", "kali3", 1, PING)
    case("LLC", "kali4", eth("kali3", "kali4", 46, b"\xaa\xaa\x03" + b"\0" * 43), "ethertype")
    case("SNAP around IPv4", "kali4", eth("kali3", "kali4", 8 + len(ip),
                                          b"\xaa\xaa\x03\0\0\0\x08\0" + ip), "ethertype")
    case("SNAP with a tag inside", "kali4", eth("kali3", "kali4", 12 + len(ip),
                                                b"\xaa\xaa\x03\0\0\0\x81\0\0\0\x08\0" + ip),
         "ethertype")
    case("SNAP around a router advertisement", "kali4", eth(
        "33:33:00:00:00:01", "kali4", 64, b"\xaa\xaa\x03\0\0\0\x86\xdd" +
        ip6(ll("kali4"), "ff02::1", 58, RA, 255)), "ethertype")
    case("length 0", "kali4", eth("kali3", "kali4", 0, ip), "ethertype")
    for name, kind in (("PPPoE discovery", 0x8863), ("PPPoE", 0x8864), ("MPLS", 0x8847),
                       ("MACsec", 0x88e5), ("AVTP", 0x22f0), ("experiment", 0x88b5),
                       ("wake on LAN", 0x0842), ("1536", 0x0600), ("last", 0xffff)):
        case(f"ethertype: {name}", "kali4", eth("kali3", "kali4", kind, b"\0" * 46), "ethertype")
    case("LLC from the uplink", "uplink", eth("kali3", GATEWAY, 46, b"\0" * 46), "unicast:kali3")
    rarp = struct.pack("!HHHH", 1, 0x0800, 0x0604, 3)
    own = raw_mac("kali4")

    def announce(body, to=BROADCAST):
        return eth(to, "kali4", 0x8035, body + b"\0" * 18)

    case("RARP self-announcement", "kali4", announce(rarp + own + b"\0" * 4 + own + b"\0" * 4),
         everyone("kali4"))
    other = raw_mac("kali5")
    case("RARP for another", "kali4", announce(rarp + own + b"\0" * 4 + other + b"\0" * 4),
         "ethertype")
    case("RARP of another", "kali4", announce(rarp + other + b"\0" * 4 + own + b"\0" * 4),
         "ethertype")
    case("RARP with an address", "kali4", announce(rarp + own + a4("kali5") + own + b"\0" * 4),
         "ethertype")
    case("RARP to a station", "kali4", announce(rarp + own + b"\0" * 4 + own + b"\0" * 4, "kali3"),
         "ethertype")
    case("RARP reply", "kali4", announce(rarp[:7] + b"\4" + own + b"\0" * 4 + own + b"\0" * 4),
         "ethertype")


def arp_cases():
    case("request for kali5", "kali4", arp_frame(1, "kali4", "kali4", "kali5"), "flood:kali5")
    case("request for nobody's address", "kali4", arp_frame(1, "kali4", "kali4", "192.168.50.99"),
         "flood:uplink,anyip,shadow")
    case("request for an address of a prefix", "kali4", arp_frame(1, "kali4", "kali4", "10.40.0.7"),
         "flood:prefix")
    case("request for a routed address", "kali4", arp_frame(1, "kali4", "kali4", "10.50.0.7"),
         "flood:uplink,anyip,shadow")
    case("request for a shared address", "kali4", arp_frame(1, "kali4", "kali4", "192.168.50.60"),
         "flood:vrrp1,vrrp2")
    case("request for its own", "kali4", arp_frame(1, "kali4", "kali4", "kali4"),
         everyone("kali4", v=4))
    case("request between isolated", "iso1", arp_frame(1, "iso1", "iso1", "iso2"), "isolated")
    case("request of an isolated one", "iso1", arp_frame(1, "iso1", "iso1", "kali3"), "flood:kali3")
    # Who asks for an address does not have it: a router inside the guest's own prefix may.
    case("request within a prefix", "prefix", arp_frame(1, "prefix", "10.40.0.1", "10.40.0.2"),
         "flood:uplink,anyip,shadow")
    case("VRRP: ARP by the virtual MAC's own", "vrrp1", arp_frame(
        2, VIRTUAL, "192.168.50.60", "kali3", "kali3", "kali3", "vrrp1"), "unicast:kali3")
    case("VRRP: ARP from the virtual MAC", "vrrp1", arp_frame(
        1, "vrrp1", "vrrp1", "kali3", source=VIRTUAL), "flood:kali3")
    case("VRRP: the virtual MAC in a guest's ARP", "kali4", arp_frame(
        2, VIRTUAL, "kali4", "kali3", "kali3", "kali3", "kali4"), "spoofed_arp")
    case("request from the uplink", "uplink", arp_frame(1, GATEWAY, "uplink", "kali3"),
         "flood:kali3")
    case("request for nobody's from the uplink", "uplink",
         arp_frame(1, GATEWAY, "uplink", "192.168.50.99"), "flood:anyip,shadow")
    case("request for one that is away", "kali4", arp_frame(1, "kali4", "kali4", "absent"),
         "flood:")
    case("unicast request", "kali4", arp_frame(1, "kali4", "kali4", "kali3", "kali3"),
         "unicast:kali3")
    case("reply", "kali4", arp_frame(2, "kali4", "kali4", "kali3", "kali3", "kali3"),
         "unicast:kali3")
    case("probe", "kali4", arp_frame(1, "kali4", "0.0.0.0", "kali4"), "flood:uplink")
    case("announcement", "kali4", arp_frame(1, "kali4", "kali4", "kali4", tha=BROADCAST),
         everyone("kali4", v=4))
    case("announcement as a reply", "kali4", arp_frame(2, "kali4", "kali4", "kali4"),
         everyone("kali4", v=4))
    case("announcement of a shared address", "vrrp2",
         arp_frame(1, VIRTUAL, "192.168.50.60", "192.168.50.60"), everyone("vrrp2", v=4))
    case("announcement of the gateway from the uplink", "uplink",
         arp_frame(1, GATEWAY, "uplink", "uplink"), everyone("uplink", v=4))
    case("prefix announces", "prefix", arp_frame(1, "prefix", "10.40.0.9", "10.40.0.9"),
         everyone("prefix", v=4))
    case("anyip asks", "anyip", arp_frame(1, "anyip", "192.168.50.99", "kali3"), "flood:kali3")
    case("anyip announces nobody's", "anyip", arp_frame(1, "anyip", "10.9.9.9", "10.9.9.9"),
         everyone("anyip", v=4))
    for name, frame in {
            "arpspoof at kali3": arp_frame(2, "kali4", "kali5", "kali3", "kali3", "kali3"),
            "arpspoof at kali5": arp_frame(2, "kali4", "kali3", "kali5", "kali5", "kali5"),
            "arpspoof for the gateway": arp_frame(2, "kali4", "uplink", "kali3", "kali3", "kali3"),
            "arpspoof by broadcast": arp_frame(2, "kali4", "kali5", "kali5"),
            "arpspoof by request": arp_frame(1, "kali4", "kali5", "kali3"),
            "request from nobody's": arp_frame(1, "kali4", "192.168.50.99", "kali3"),
            "stolen SHA": arp_frame(2, "kali5", "kali4", "kali3", "kali3", "kali3", "kali4"),
            "stolen SHA and SPA": arp_frame(2, "kali5", "kali5", "kali3", "kali3", "kali3",
                                            "kali4"),
            "probe for kali5": arp_frame(1, "kali4", "0.0.0.0", "kali5"),
            "probe for nobody's": arp_frame(1, "kali4", "0.0.0.0", "192.168.50.99"),
            "probe for zero": arp_frame(1, "kali4", "0.0.0.0", "0.0.0.0"),
            "reply from zero": arp_frame(2, "kali4", "0.0.0.0", "kali3", "kali3", "kali3"),
            "to a multicast MAC": arp_frame(1, "kali4", "kali4", "kali3", "01:00:5e:00:00:01"),
            "operation 0": arp_frame(0, "kali4", "kali4", "kali3"),
            "operation 8": arp_frame(8, "kali4", "kali4", "kali3"),
            "hardware type 6": arp_frame(1, "kali4", "kali4", "kali3", kind=6),
            "of another protocol": arp_frame(1, "kali4", "kali4", "kali3", protocol=0x86dd),
            "wrong sizes": arp_frame(1, "kali4", "kali4", "kali3", sizes=0x0406),
            "cut short": arp_frame(1, "kali4", "kali4", "kali3")[:41]}.items():
        case(f"ARP: {name}", "kali4", frame, "spoofed_arp")
    case("ARP: a routed address", "router", arp_frame(1, "router", "10.50.0.1", "kali3"),
         "spoofed_arp")
    case("ARP: a shared address from outside", "kali4",
         arp_frame(1, "kali4", "192.168.50.60", "192.168.50.60"), "spoofed_arp")
    case("ARP: from a guest without IPv4", "only6",
         arp_frame(1, "only6", "192.168.50.177", "kali3"), "unbound_family")
    case("ARP: of kali5's from a guest without IPv4", "only6",
         arp_frame(1, "only6", "kali5", "kali3"), "spoofed_arp")
    case("ARP: probe for kali5's from a guest without IPv4", "only6",
         arp_frame(1, "only6", "0.0.0.0", "kali5"), "spoofed_arp")
    case("ARP: anyip takes kali3's", "anyip", arp_frame(1, "anyip", "kali3", "kali5"),
         "spoofed_arp")
    case("ARP: anyip with another SHA", "anyip",
         arp_frame(1, "kali5", "10.9.9.9", "kali3", source="anyip"), "spoofed_arp")
    case("ARP: reply for another protocol address", "uplink",
         arp_frame(2, GATEWAY, "uplink", "kali5", "kali3", "kali3"), "not_addressee@kali3")
    case("ARP: reply for another hardware address", "uplink",
         arp_frame(2, GATEWAY, "uplink", "kali3", "kali3", "kali5"), "not_addressee@kali3")
    case("ARP: reply to a probe", "uplink",
         arp_frame(2, GATEWAY, "uplink", "0.0.0.0", "kali3", "kali3"), "unicast:kali3")
    case("ARP: reply to anyip for a bound address", "uplink",
         arp_frame(2, GATEWAY, "uplink", "kali3", "anyip", "anyip"), "not_addressee@anyip")
    case("ARP: to a guest without IPv4", "kali4",
         arp_frame(1, "kali4", "kali4", "192.168.50.177", "only6"), "not_addressee@only6")
    case("ARP: broken, from the uplink", "uplink", arp_frame(
        1, GATEWAY, "uplink", "kali3", sizes=0x0406), "flood:anyip,shadow")


def ipv4_cases():
    for name, protocol, body in (("TCP", 6, tcp()), ("UDP", 17, udp(9, 9)), ("GRE", 47, b"\0" * 8),
                                 ("ESP", 50, b"\0" * 8), ("6in4", 41, b"\0" * 40),
                                 ("protocol 0", 0, b"\0" * 8), ("protocol 255", 255, b""),
                                 ("traceroute", 17, udp(33434, 33434)),
                                 ("time exceeded", 1, icmp(11, b"\0" * 32)),
                                 ("packet too big", 1, icmp(3, b"\0" * 32))):
        case(f"IPv4: {name}", "kali4", v4_frame("kali4", "kali3", protocol, body), "unicast:kali3")
    case("IPv4: ttl 1", "kali4", v4_frame("kali4", "kali3", ttl=1), "unicast:kali3")
    case("IPv4: padded", "kali4", v4_frame("kali4", "kali3") + b"\xff" * 300, "unicast:kali3")
    case("IPv4: to the gateway", "kali4", v4_frame("kali4", "8.8.8.8", to_mac=GATEWAY),
         "flood:uplink")
    case("IPv4: limited broadcast", "kali4", v4_frame(
        "kali4", "255.255.255.255", 17, udp(9, 9), to_mac=BROADCAST), everyone("kali4", v=4))
    # prefix is of another subnet
    case("IPv4: subnet broadcast", "kali4", v4_frame(
        "kali4", "192.168.50.255", 17, udp(9, 9), to_mac=BROADCAST),
         everyone("kali4", "prefix", v=4))
    case("IPv4: multicast", "kali4", v4_frame(
        "kali4", "224.0.0.251", 17, udp(5353, 5353), to_mac="01:00:5e:00:00:fb"),
         everyone("kali4", v=4))
    case("IPv4: from another guest's address", "kali4", v4_frame("kali4", "kali3", source="kali5"),
         "spoofed_ip")
    for name, source in (("nobody's address", "192.168.50.99"), ("zero", "0.0.0.0"),
                         ("multicast", "224.0.0.1"), ("broadcast", "255.255.255.255"),
                         ("loopback", "127.0.0.1"), ("its network", "192.168.50.0"),
                         ("a shared address", "192.168.50.60"), ("outside", "8.8.8.8")):
        case(f"IPv4: from {name}", "kali4", v4_frame("kali4", "kali3", source=source),
             "spoofed_ip")
    case("IPv4: from a guest without IPv4", "only6",
         v4_frame("only6", "kali3", source="192.168.50.177"), "unbound_family")
    case("IPv4: kali5's from a guest without IPv4", "only6",
         v4_frame("only6", "kali3", source="kali5"), "spoofed_ip")
    case("IPv4: from a prefix", "prefix", v4_frame("prefix", "kali3", source="10.40.0.77"),
         "unicast:kali3")
    case("IPv4: from beyond a prefix", "prefix", v4_frame("prefix", "kali3", source="10.40.1.0"),
         "spoofed_ip")
    case("IPv4: routed", "router", v4_frame("router", "kali3", source="10.50.1.1"),
         "unicast:kali3")
    case("IPv4: routed, but bound to kali5", "router", v4_frame("router", "kali3", source="kali5"),
         "spoofed_ip")
    case("IPv4: routed loopback", "router", v4_frame("router", "kali3", source="127.0.0.1"),
         "spoofed_ip")
    case("IPv4: anyip from nobody's", "anyip", v4_frame("anyip", "kali3", source="8.8.8.8"),
         "unicast:kali3")
    case("IPv4: anyip from kali5's", "anyip", v4_frame("anyip", "kali3", source="kali5"),
         "spoofed_ip")
    case("IPv4: shared source", "vrrp1", v4_frame("vrrp1", "kali3", source="192.168.50.60"),
         "unicast:kali3")
    for name, broken in {
            "version 6": dict(version=6), "version 0": dict(version=0), "header of 16": dict(ihl=4),
            "header beyond the frame": dict(ihl=15), "total below the header": dict(total=19),
            "total 0": dict(total=0), "total beyond the frame": dict(total=1000)}.items():
        case(f"IPv4: {name}", "kali4", v4_frame("kali4", "kali3", **broken), "malformed")
    case("IPv4: cut in the header", "kali4", v4_frame("kali4", "kali3")[:33], "malformed")
    case("IPv4: total that hides the payload", "kali4", v4_frame(
        "kali4", "kali3", 17, udp(67, 68, dhcp(2, "kali3")), total=20), "malformed")
    for name, options in {"loose source route": b"\x83\x07\x04" + a4("kali5") + b"\0",
                          "strict source route": b"\x89\x07\x04" + a4("kali5") + b"\0",
                          "source route after padding":
                          b"\1\x83\x07\x04" + a4("kali5"),
                          "unknown option": b"\xcc\x04\0\0", "experiment": b"\x1e\x04\0\0",
                          "option of length 0": b"\x07\0\0\0", "option of length 1": b"\x07\1\0\0",
                          "option beyond the header": b"\x07\x08\0\0"}.items():
        case(f"IPv4: {name}", "kali4", v4_frame("kali4", "kali3", options=options), "malformed")
    for name, options in {"router alert": b"\x94\x04\0\0", "record route": b"\x07\x07\x04" + b"\0" * 5,
                          "timestamp": b"\x44\x08\x05\0\0\0\0\0",
                          "end, then anything": b"\0\x83\x83\x83"}.items():
        case(f"IPv4: {name}", "kali4", v4_frame("kali4", "kali3", options=options),
             "unicast:kali3")
    case("IPv4: first fragment", "kali4", v4_frame("kali4", "kali3", 17, udp(9, 9) + b"\0" * 8,
                                                   fragment=0x2000), "unicast:kali3")
    case("IPv4: later fragment", "kali4", v4_frame("kali4", "kali3", 17, b"\0" * 16, fragment=5),
         "unicast:kali3")
    case("IPv4: stolen later fragment", "kali4", v4_frame(
        "kali4", "kali3", 17, b"\0" * 16, fragment=5, source="kali5"), "spoofed_ip")
    case("IPv4: first fragment without ports", "kali4", v4_frame(
        "kali4", "kali3", 17, b"\0\x43\0\x44", fragment=0x2000), "malformed")
    case("IPv4: UDP without a header", "kali4", v4_frame("kali4", "kali3", 17, b"\0" * 7),
         "malformed")
    case("IPv4: to another's address", "kali4", v4_frame("kali4", "kali5", to_mac="kali3"),
         "not_addressee@kali3")
    case("IPv4: to nobody's address", "kali4", v4_frame("kali4", "8.8.8.8", to_mac="kali3"),
         "not_addressee@kali3")
    case("IPv4: to a routed address", "kali4", v4_frame("kali4", "10.50.9.9", to_mac="router"),
         "unicast:router")
    case("IPv4: by way of the router to kali5", "kali4", v4_frame("kali4", "kali5",
                                                                  to_mac="router"),
         "not_addressee@router")
    case("IPv4: to an address of a prefix", "kali4", v4_frame("kali4", "10.40.0.200",
                                                              to_mac="prefix"), "unicast:prefix")
    case("IPv4: to anyip", "kali4", v4_frame("kali4", "8.8.8.8", to_mac="anyip"), "unicast:anyip")
    case("IPv4: to anyip for kali3", "kali4", v4_frame("kali4", "kali3", to_mac="anyip"),
         "not_addressee@anyip")
    case("IPv4: to a guest without IPv4", "kali4", v4_frame("kali4", "192.168.50.177",
                                                            to_mac="only6"),
         "not_addressee@only6")
    case("IPv4: limited broadcast to a station", "kali4", v4_frame(
        "kali4", "255.255.255.255", 17, udp(9, 9), to_mac="kali3"), "unicast:kali3")
    for name, to in (("kali3", "kali3"), ("nobody's", "192.168.50.99"), ("the host", "10.0.0.1"),
                     ("another subnet's broadcast", "10.40.0.255")):
        case(f"IPv4: to {name} by broadcast", "kali4", v4_frame("kali4", to, to_mac=BROADCAST),
             "group_mac")
    case("IPv4: to kali3 by multicast", "kali4", v4_frame("kali4", "kali3",
                                                          to_mac="01:00:5e:00:00:01"), "group_mac")
    case("IPv4: anyip to kali3 by broadcast", "anyip", v4_frame(
        "anyip", "kali3", source="8.8.8.8", to_mac=BROADCAST), "group_mac")
    case("IPv4: uplink to a guest", "uplink", from_uplink("kali3"), "unicast:kali3")
    case("IPv4: uplink from outside", "uplink", from_uplink("kali3", source="8.8.8.8"),
         "unicast:kali3")
    case("IPv4: uplink to a guest for another", "uplink", from_uplink("kali3", to4="kali5"),
         "not_addressee@kali3")
    case("IPv4: uplink broadcasts to one", "uplink", from_uplink(BROADCAST, to4="kali3"),
         "flood:kali3")
    case("IPv4: uplink to a stranger", "uplink", from_uplink("52:54:00:99:99:99", to4="8.8.8.8"),
         "unknown_destination")
    case("IPv4: to a stranger", "kali4", v4_frame("kali4", "192.168.50.99",
                                                  to_mac="52:54:00:99:99:99"), "flood:uplink")
    case("IPv4: to a stranger, alone", "lonely", v4_frame("lonely", "192.168.50.99",
                                                          to_mac="52:54:00:99:99:99"),
         "unknown_destination")
    case("IPv4: from one MAC of a guest to the other", "prefix", v4_frame(
        "prefix", "10.40.0.2", source="10.40.0.1", to_mac="52:54:00:00:00:41"), "hairpin")
    case("IPv4: isolated to isolated", "iso1", v4_frame("iso1", "iso2"), "isolated")
    case("IPv4: isolated to guest", "iso1", v4_frame("iso1", "kali3"), "unicast:kali3")
    case("IPv4: isolated broadcasts", "iso1", v4_frame(
        "iso1", "255.255.255.255", 17, udp(9, 9), to_mac=BROADCAST),
         everyone("iso1", "iso2", v=4))
    case("IPv4: to one that is away", "kali4", v4_frame("kali4", "absent"), "port_down@absent")
    case("IPv4: to the virtual router before it spoke", "kali4",
         v4_frame("kali4", "192.168.50.60", to_mac=VIRTUAL), "flood:uplink")
    case("IPv4: limited may send to a station", "limited", v4_frame("limited", "kali3"),
         "unicast:kali3")
    case("IPv4: limited may not broadcast", "limited", v4_frame(
        "limited", "255.255.255.255", 17, udp(9, 9), to_mac=BROADCAST), "rate_limited")
    case("IPv4: limited may not multicast", "limited", v4_frame(
        "limited", "224.0.0.251", 17, udp(9, 9), to_mac="01:00:5e:00:00:fb"), "rate_limited")
    case("ARP: limited", "limited", arp_frame(1, "limited", "limited", "kali3"), "rate_limited")
    case("DHCP: limited", "limited", dhcp_frame("limited"), "rate_limited")


def dhcp_cases():
    case("DHCP: discover", "kali4", dhcp_frame("kali4"), "flood:uplink,dhcp")
    case("DHCP: discover of anyip", "anyip", dhcp_frame("anyip"), "flood:uplink,dhcp")
    case("DHCP: broadcast with an address", "kali4", dhcp_frame("kali4", source="kali4"),
         "flood:uplink,dhcp")
    case("DHCP: renewal", "kali4", dhcp_frame("kali4", "kali4", "dhcp", "dhcp"), "unicast:dhcp")
    for name, broken in {
            "from port 69": dict(sport=69), "to a station": dict(to="dhcp", to_mac="dhcp"),
            "to a station's MAC": dict(to_mac="dhcp"), "to a subnet": dict(to="192.168.50.255"),
            "neither request nor reply": dict(op=3), "by multicast": dict(
                to_mac="01:00:5e:00:00:01")}.items():
        case(f"DHCP: from nowhere, {name}", "kali4", dhcp_frame("kali4", **broken), "spoofed_ip")
    # Whatever address it comes from, a client speaks for itself.
    for sender, form in {
            "from nowhere": {}, "from its address": dict(source="kali4"),
            "to a server": dict(source="kali4", to="dhcp", to_mac="dhcp"),
            "from another port": dict(source="kali4", to="dhcp", to_mac="dhcp", sport=69)}.items():
        for name, broken in {
                "chaddr of another": dict(chaddr="kali5"),
                "made-up chaddr": dict(chaddr="52:54:00:99:99:99"),
                "another hardware type": dict(hardware=6), "another size": dict(size=8),
                "ciaddr of another": dict(ciaddr="kali5"),
                "ciaddr of nobody": dict(ciaddr="192.168.50.99")}.items():
            case(f"DHCP: {sender}, {name}", "kali4", dhcp_frame("kali4", **form, **broken),
                 "spoofed_dhcp")
        case(f"DHCP: {sender}, in fragments", "kali4",
             dhcp_frame("kali4", fragment=0x2000, **form), "malformed")
    case("DHCP: release", "kali4", dhcp_frame("kali4", "kali4", "dhcp", "dhcp", ciaddr="kali4"),
         "unicast:dhcp")
    case("DHCP: release of kali5's lease", "kali4", dhcp_frame(
        "kali4", "kali4", "dhcp", "dhcp", ciaddr="kali5", chaddr="kali5"), "spoofed_dhcp")
    case("DHCP: ciaddr of a prefix", "prefix", dhcp_frame(
        "prefix", "10.40.0.9", "dhcp", "dhcp", ciaddr="10.40.0.10"), "unicast:dhcp")
    case("DHCP: ciaddr of a route", "router", dhcp_frame(
        "router", "router", "dhcp", "dhcp", ciaddr="10.50.0.9"), "spoofed_dhcp")
    case("DHCP: anyip for nobody's", "anyip", dhcp_frame(
        "anyip", "8.8.8.8", "dhcp", "dhcp", ciaddr="8.8.8.8"), "unicast:dhcp")
    case("DHCP: anyip for kali5's", "anyip", dhcp_frame(
        "anyip", "8.8.8.8", "dhcp", "dhcp", ciaddr="kali5"), "spoofed_dhcp")
    case("DHCP: anymac for itself", "anymac", dhcp_frame("anymac", "anymac", "dhcp", "dhcp"),
         "unicast:dhcp")
    case("DHCP: anymac for another MAC", "anymac", dhcp_frame(
        "anymac", "anymac", "dhcp", "dhcp", chaddr="52:54:00:99:99:99"), "spoofed_dhcp")
    case("DHCP: the virtual router for itself", "vrrp1", dhcp_frame(
        "vrrp1", "vrrp1", "dhcp", "dhcp", chaddr=VIRTUAL), "unicast:dhcp")
    case("DHCP: cut short", "kali4", v4_frame(
        "kali4", "dhcp", 17, udp(68, 67, dhcp(1, "kali4")[:33])), "malformed")
    case("DHCP: in tiny fragments", "kali4", v4_frame(
        "kali4", "dhcp", 17, udp(67, 67), fragment=0x2000), "malformed")
    for name, relayed in {"giaddr": dict(giaddr="kali4"), "from port 67": dict(sport=67)}.items():
        for op in (1, 3):
            case(f"DHCP: relay, {name}, op {op}", "kali4", dhcp_frame(
                "kali4", "kali4", "dhcp", "dhcp", op=op, chaddr="kali5", **relayed), "rogue_dhcp")
        case(f"DHCP: relay, {name}, with the role", "dhcp", dhcp_frame(
            "dhcp", "dhcp", "uplink", GATEWAY, chaddr="kali5", **relayed), "flood:uplink")
    case("DHCP: relay from nowhere", "kali4", dhcp_frame("kali4", sport=67, giaddr="kali4"),
         "spoofed_ip")
    case("DHCP: relayed by broadcast", "kali4", dhcp_frame(
        "kali4", "kali4", chaddr="kali5", giaddr="kali4"), "rogue_dhcp")
    case("DHCP: fragments from the uplink", "uplink", eth(
        BROADCAST, GATEWAY, 0x0800, ip4("uplink", "255.255.255.255", 17,
                                        udp(67, 68, dhcp(2, "kali3")), fragment=0x2000)),
         "flood:anyip,shadow")
    case("DHCP: ports past the source check", "kali4", dhcp_frame("kali4", source="kali5"),
         "spoofed_ip")
    case("DHCP: from nowhere without IPv4", "only6", dhcp_frame("only6"), "unbound_family")
    case("DHCP: client ports around no DHCP", "kali4", eth(
        BROADCAST, "kali4", 0x0800, ip4("0.0.0.0", "255.255.255.255", 17, udp(68, 67, b"\1"))),
         "malformed")
    case("DHCP: from nowhere to port 68", "kali4", dhcp_frame("kali4", sport=68, dport=68),
         "spoofed_ip")

    def offer(port, chaddr="kali3", **other):
        return dhcp_frame(port, source=port, sport=67, dport=68, op=2, chaddr=chaddr, **other)

    case("DHCP: offer of a guest", "kali4", offer("kali4"), "rogue_dhcp")
    case("DHCP: offer of a guest, unicast", "kali4", offer("kali4", to="kali3", to_mac="kali3"),
         "rogue_dhcp")
    case("DHCP: offer from another port", "kali4",
         dhcp_frame("kali4", source="kali4", sport=9, dport=68, op=2), "rogue_dhcp")
    case("DHCP: offer in fragments", "kali4", offer("kali4", fragment=0x2000), "malformed")
    case("DHCP: reply to a relay", "kali4",
         dhcp_frame("kali4", "kali4", "uplink", GATEWAY, 67, 67, 2), "rogue_dhcp")
    case("DHCP: offer of anyip", "anyip", dhcp_frame(
        "anyip", source="8.8.8.8", sport=67, dport=68, op=2), "rogue_dhcp")
    case("DHCP: offer with the role, by broadcast", "dhcp", offer("dhcp"), "unicast:kali3")
    case("DHCP: offer with the role, unicast", "dhcp", offer("dhcp", to="kali3", to_mac="kali3"),
         "unicast:kali3")
    case("DHCP: offer to an unbound address by its MAC", "dhcp",
         offer("dhcp", to="192.168.50.99", to_mac="kali3"), "not_addressee@kali3")
    case("DHCP: offer from the uplink", "uplink", eth(
        BROADCAST, GATEWAY, 0x0800, ip4("uplink", "255.255.255.255", 17,
                                        udp(67, 68, dhcp(2, "kali3")))), "unicast:kali3")
    case("DHCP: offer to a stranger", "uplink", eth(
        BROADCAST, GATEWAY, 0x0800, ip4("uplink", "255.255.255.255", 17,
                                        udp(67, 68, dhcp(2, "52:54:00:99:99:99")))),
         "unknown_destination")
    case("DHCPv6: solicit", "kali4", frame6("kali4", ll("kali4"), "ff02::1:2", 17,
                                            udp(546, 547, b"\1\0\0\1"), hops=1),
         "flood:uplink,dhcp")
    for name, message in (("relay-forward", 12), ("relay-reply", 13), ("advertise", 2),
                          ("reply", 7), ("reconfigure", 10)):
        body = bytes([message]) + b"\0" * 33
        case(f"DHCPv6: {name} to a server", "kali4", frame6(
            "kali4", ll("kali4"), "ff02::1:2", 17, udp(547, 547, body), hops=1), "rogue_dhcp")
        case(f"DHCPv6: {name} to a server, with the role", "dhcp", frame6(
            "dhcp", ll("dhcp"), "ff05::1:3", 17, udp(547, 547, body)),
             "flood:uplink" if message == 12 else everyone("dhcp", v=6))
    case("DHCPv6: without a message", "kali4", frame6(
        "kali4", ll("kali4"), "ff02::1:2", 17, udp(546, 547), hops=1), "malformed")
    case("DHCPv6: relay-forward in fragments", "kali4", frame6(
        "kali4", ll("kali4"), "ff02::1:2", 44, fragment6(17) + udp(547, 547), hops=1), "malformed")
    case("DHCPv6: advertise of a guest", "kali4", v6_frame(
        "kali4", "kali3", 17, udp(547, 546, b"\2\0\0\1")), "rogue_dhcp")
    case("DHCPv6: advertise with the role", "dhcp", v6_frame(
        "dhcp", ll("kali3"), 17, udp(547, 546, b"\2\0\0\1"), source=ll("dhcp"), to_mac="kali3"),
         "unicast:kali3")
    case("DHCPv6: solicit from another's address", "kali4", frame6(
        "kali4", ll("kali5"), "ff02::1:2", 17, udp(546, 547, b"\1\0\0\1"), hops=1), "spoofed_ip")
    case("DHCPv6: advertise behind destination options", "kali4", v6_frame(
        "kali4", "kali3", 60, hop_by_hop(17, b"\1\4\0\0\0\0") + udp(547, 546, b"\2\0\0\1")),
         "rogue_dhcp")


def roles():
    r = "rogue_router"
    multicast = "01:00:5e:00:00:05"
    case("role: ICMP redirect", "kali4", v4_frame("kali4", "kali3", 1, icmp(5)), r)
    case("role: ICMP router advertisement", "kali4", v4_frame(
        "kali4", "224.0.0.1", 1, icmp(9), to_mac="01:00:5e:00:00:01"), r)
    case("role: ICMP redirect of the router", "router", v4_frame("router", "kali3", 1, icmp(5)),
         "unicast:kali3")
    for name, protocol, body in (("VRRP", 112, b"\x31" + b"\0" * 19), ("OSPF", 89, b"\0" * 24),
                                 ("EIGRP", 88, b"\0" * 20), ("IGRP", 9, b"\0" * 20),
                                 ("PIM", 103, b"\0" * 8), ("RIP", 17, udp(520, 520, b"\2\2\0\0")),
                                 ("HSRP", 17, udp(1985, 1985, b"\0" * 20)),
                                 ("GLBP", 17, udp(3222, 3222, b"\0" * 20)),
                                 ("DVMRP", 2, b"\x13" + b"\0" * 7),
                                 ("multicast router discovery", 2, b"\x30" + b"\0" * 7)):
        case(f"role: {name}", "kali4", v4_frame("kali4", "224.0.0.5", protocol, body,
                                                to_mac=multicast), r)
        case(f"role: {name} of anyip", "anyip", v4_frame("anyip", "224.0.0.5", protocol, body,
                                                         source="8.8.8.8", to_mac=multicast), r)
    case("role: OSPF with the role", "router", v4_frame("router", "224.0.0.5", 89, b"\0" * 24,
                                                        to_mac=multicast), everyone("router", v=4))
    case("role: OSPF over IPv6", "kali4", frame6("kali4", ll("kali4"), "ff02::5", 89, b"\0" * 16),
         r)
    case("role: RIPng", "kali4", frame6("kali4", ll("kali4"), "ff02::9", 17,
                                        udp(521, 521, b"\2\1\0\0")), r)
    case("role: VRRP with the role", "vrrp1", eth("01:00:5e:00:00:12", VIRTUAL, 0x0800, ip4(
        "vrrp1", "224.0.0.18", 112, b"\x31" + b"\0" * 19)), everyone("vrrp1", v=4))
    case("role: VRRP over IPv6 with the role", "vrrp1", frame6(
        "vrrp1", ll("vrrp1"), "ff02::12", 112, b"\x31" + b"\0" * 23), everyone("vrrp1", v=6))
    case("role: VRRP with another role", "router", v4_frame(
        "router", "224.0.0.18", 112, b"\x31" + b"\0" * 19, to_mac="01:00:5e:00:00:12"), r)
    query = b"\x11\0\0\0\0\0\0\0"
    report = b"\x16\0\0\0\xe0\0\0\xfb"
    for name, body in {"IGMP v1 report": b"\x12" + report[1:], "IGMP v2 report": report,
                       "IGMP leave": b"\x17" + report[1:],
                       "IGMP v3 report": b"\x22" + report[1:]}.items():
        case(f"role: {name}", "kali4", v4_frame("kali4", "224.0.0.251", 2, body, ttl=1,
                                                to_mac="01:00:5e:00:00:fb",
                                                options=b"\x94\4\0\0"), "flood:uplink,querier")
    case("role: IGMP report from nowhere", "kali4", v4_frame(
        "kali4", "224.0.0.251", 2, report, source="0.0.0.0", to_mac="01:00:5e:00:00:fb"),
         "flood:uplink,querier")
    case("role: IGMP report from another's", "kali4", v4_frame(
        "kali4", "224.0.0.251", 2, report, source="kali5", to_mac="01:00:5e:00:00:fb"),
         "spoofed_ip")
    case("role: IGMP query", "kali4", v4_frame("kali4", "224.0.0.1", 2, query,
                                               to_mac="01:00:5e:00:00:01"), "rogue_querier")
    case("role: IGMP query from nowhere", "kali4", v4_frame(
        "kali4", "224.0.0.1", 2, query, source="0.0.0.0", to_mac="01:00:5e:00:00:01"),
         "spoofed_ip")
    case("role: IGMP query with the role", "querier", v4_frame(
        "querier", "224.0.0.1", 2, query, to_mac="01:00:5e:00:00:01"), everyone("querier", v=4))
    case("role: MLD query", "kali4", mld_frame("kali4", ll("kali4"), "ff02::1", 130),
         "rogue_querier")
    case("role: MLD query with the role", "querier", mld_frame("querier", ll("querier"), "ff02::1",
                                                               130), everyone("querier", v=6))
    for kind in (131, 132, 143):
        case(f"role: MLD report {kind}", "kali4", mld_frame("kali4", ll("kali4"), kind=kind),
             "flood:uplink,querier")
        case(f"role: MLD report {kind} from nowhere", "kali4", mld_frame("kali4", "::", kind=kind),
             "flood:uplink,querier")
    case("role: MLD report from nowhere beyond the link", "kali4", mld_frame("kali4", "::",
                                                                             "ff05::16"),
         "spoofed_ip")
    case("role: MLD report from another's", "kali4", mld_frame("kali4", ll("kali5")), "spoofed_ip")
    case("role: MLD query from nowhere", "kali4", mld_frame("kali4", "::", "ff02::1", 130),
         "spoofed_ip")
    case("role: multicast router advertisement", "kali4", frame6(
        "kali4", ll("kali4"), "ff02::6a", 58, bytes([151, 0, 0, 0, 0, 0, 0, 0])), r)
    case("role: RPL", "kali4", frame6("kali4", ll("kali4"), "ff02::1a", 58,
                                      bytes([155, 1, 0, 0]) + b"\0" * 24), r)


def router_discovery():
    case("RS", "kali4", frame6("kali4", ll("kali4"), "ff02::2", 58, RS), "flood:uplink,router")
    case("RS with its MAC", "kali4", frame6("kali4", ll("kali4"), "ff02::2", 58,
                                            RS + option(1, "kali4")), "flood:uplink,router")
    case("RS with another MAC", "kali4", frame6("kali4", ll("kali4"), "ff02::2", 58,
                                                RS + option(1, "kali5")), "spoofed_nd")
    case("RS from nowhere", "kali4", frame6("kali4", "::", "ff02::2", 58, RS), "spoofed_ip")
    case("RS with hop limit 64", "kali4", frame6("kali4", ll("kali4"), "ff02::2", 58, RS, hops=64),
         "spoofed_nd")
    own = ll("kali4")
    case("RA", "kali4", frame6("kali4", own, "ff02::1", 58, RA), "rogue_router")
    case("RA to a station", "kali4", frame6("kali4", own, ll("kali3"), 58, RA, "kali3"),
         "rogue_router")
    case("RA from the gateway's address", "kali4", frame6("kali4", "fe80::1", "ff02::1", 58, RA),
         "spoofed_ip")
    case("RA of anyip", "anyip", frame6("anyip", "fe80::20", "ff02::1", 58, RA), "rogue_router")
    prefix = bytes([3, 4, 64, 0xc0]) + b"\0" * 12 + a6("fd00:50::")
    case("RA with the role", "router", frame6(
        "router", ll("router"), "ff02::1", 58, RA + option(1, "router") + prefix + prefix),
         everyone("router", v=6))
    case("RA from the uplink", "uplink", eth("33:33:00:00:00:01", GATEWAY, 0x86dd, ip6(
        "fe80::1", "ff02::1", 58, RA, 255)), everyone("uplink", v=6))
    case("redirect", "kali4", frame6("kali4", own, ll("kali3"), 58, REDIRECT, "kali3"),
         "rogue_router")
    case("redirect from the gateway's address", "kali4",
         frame6("kali4", "fe80::1", ll("kali3"), 58, REDIRECT, "kali3"), "spoofed_ip")
    case("redirect with the role", "router", frame6("router", ll("router"), ll("kali3"), 58,
                                                    REDIRECT, "kali3"), "unicast:kali3")
    case("router renumbering", "kali4", frame6("kali4", own, "ff02::1", 58,
                                               bytes([138, 0, 0, 0]) + b"\0" * 12), "rogue_router")
    # RFC 7113, RFC 6980: what hides an advertisement from a filter.
    padding = b"\1\4\0\0\0\0"
    for name, first, before in (("hop-by-hop", 0, hop_by_hop(58, padding)),
                                ("destination options", 60, hop_by_hop(58, padding)),
                                ("two destination options", 60,
                                 hop_by_hop(60, padding) + hop_by_hop(58, padding)),
                                ("authentication", 51, bytes([58, 2]) + b"\0" * 14),
                                ("mobility routing", 43, routing(58, 2)),
                                ("an atomic fragment", 44, fragment6(58, 0, False)),
                                ("a first fragment", 44, fragment6(58))):
        for what, body in (("RA", RA), ("NA", nd(136, "kali5")), ("NS", nd(135, "kali5")),
                           ("RS", RS)):
            case(f"{what} behind {name}", "kali4", frame6(
                "kali4", own, "ff02::1", first, before + body, checksum_of=len(before)),
                 "spoofed_nd")
    case("NA behind hop-by-hop, from kali5's address", "kali4", frame6(
        "kali4", ll("kali5"), "ff02::1", 0, hop_by_hop(58, padding) + nd(136, "kali5"),
        checksum_of=8), "spoofed_nd")
    long_chain = hop_by_hop(60, b"\1\x7c" + b"\0" * 124)
    case("RA with the chain in two fragments", "kali4", frame6(
        "kali4", own, "ff02::1", 44, fragment6(60) + long_chain[:64]), "malformed")
    case("RA's second fragment", "kali4", frame6(
        "kali4", own, "ff02::1", 44, fragment6(60, 8, False) + long_chain[64:] + RA),
         everyone("kali4", v=6))
    case("second fragment from another", "kali4", frame6(
        "kali4", "fe80::1", "ff02::1", 44, fragment6(60, 8, False) + RA), "spoofed_ip")
    case("fragment of fragments", "kali4", frame6(
        "kali4", own, "ff02::1", 44, fragment6(44) + fragment6(58) + RA), "malformed")
    case("RA in a fragment without its type", "kali4", frame6(
        "kali4", own, "ff02::1", 44, fragment6(58)), "malformed")


def neighbours():
    own = ll("kali4")
    case("NS for kali5", "kali4", ns("kali4", "fd00:50::15"), "flood:kali5")
    case("NS for kali5's link-local", "kali4", ns("kali4", ll("kali5")), "flood:kali5")
    case("NS from a global address", "kali4", ns("kali4", "fd00:50::15", source="kali4"),
         "flood:kali5")
    case("NS without its MAC", "kali4", ns("kali4", "fd00:50::15", lla=None), "flood:kali5")
    case("NS with a nonce", "kali4", ns("kali4", "fd00:50::15", more=bytes([14, 1]) + b"\7" * 6),
         "flood:kali5")
    case("NS for nobody's", "kali4", ns("kali4", "fd00:50::99"), "flood:uplink,anyip,shadow")
    case("NS for a prefix", "kali4", ns("kali4", "fd00:40::99"), "flood:prefix")
    case("NS for a shared address", "kali4", ns("kali4", "fd00:50::60"), "flood:vrrp1,vrrp2")
    case("NS for a link-local address of nobody", "kali4", ns("kali4", "fe80::99"),
         "flood:uplink,anyip,llany,shadow")
    case("NS between isolated", "iso1", ns("iso1", "fd00:50::92"), "isolated")
    case("NS, unicast", "kali4", ns("kali4", "fd00:50::15", to="kali5", to_mac="kali5"),
         "unicast:kali5")
    case("NS from the uplink", "uplink", eth(group_mac(group_of("fd00:50::13")), GATEWAY, 0x86dd,
                                             ip6("fe80::1", group_of("fd00:50::13"), 58,
                                                 nd(135, "kali3", option(1, GATEWAY)), 255)),
         "flood:kali3")
    case("DAD for its address", "kali4", dad("kali4", "fd00:50::14"), "flood:uplink")
    case("DAD for its link-local", "kali4", dad("kali4", own), "flood:uplink")
    case("DAD with a nonce", "kali4", dad("kali4", own, more=bytes([14, 1]) + b"\7" * 6),
         "flood:uplink")
    case("DAD of a prefix", "prefix", dad("prefix", "fd00:40::dead"), "flood:uplink")
    case("DAD of a shared address", "vrrp1", dad("vrrp1", "fd00:50::60"), "flood:uplink,vrrp2")
    case("DAD of any link-local", "llany", dad("llany", "fe80::1234"), "flood:uplink")
    case("DAD of a listed link-local", "lllist", dad("lllist", "fe80::81"), "flood:uplink")
    case("DAD of anyip", "anyip", dad("anyip", "fd00:99::1"), "flood:uplink")
    for name, port, frame in (
            ("DAD for kali5's", "kali4", dad("kali4", "fd00:50::15")),
            ("DAD for nobody's", "kali4", dad("kali4", "fd00:50::99")),
            ("DAD to all nodes", "kali4", dad("kali4", "fd00:50::14", "ff02::1")),
            ("DAD with a MAC", "kali4", dad("kali4", "fd00:50::14", more=option(1, "kali4"))),
            ("DAD with hop limit 1", "kali4", dad("kali4", "fd00:50::14", hops=1)),
            ("DAD for kali5's of anyip", "anyip", dad("anyip", "fd00:50::15")),
            ("DAD beside the list", "lllist", dad("lllist", "fe80::82")),
            ("DAD for its EUI-64 beside the list", "lllist", dad("lllist", ll("lllist"))),
            ("DAD for kali5's link-local of any", "llany", dad("llany", ll("kali5"))),
            ("DAD for kali5's without IPv6", "only4", dad("only4", "fd00:50::15")),
            ("DAD of a routed address", "router", dad("router", "fd00:51::1"))):
        case(name, port, frame, "spoofed_nd")
    # What an IPv4-only guest says while it boots is no attack.
    for name, frame in (
            ("DAD", dad("only4", ll("only4"))),
            ("RS", frame6("only4", ll("only4"), "ff02::2", 58, RS)),
            ("RS from nowhere", frame6("only4", "::", "ff02::2", 58, RS)),
            ("MLD report", mld_frame("only4", ll("only4"))),
            ("MLD report from nowhere", mld_frame("only4", "::"))):
        case(f"{name} without IPv6", "only4", frame, "unbound_family")
    case("NA", "kali4", na("kali4", "fd00:50::14"), everyone("kali4", v=6))
    case("NA of its link-local", "kali4", na("kali4", own, to=ll("kali3"), to_mac="kali3"),
         "unicast:kali3")
    case("NA without a MAC", "kali4", na("kali4", own, to=ll("kali3"), to_mac="kali3", lla=None),
         "unicast:kali3")
    case("NA of a shared address", "vrrp1", na("vrrp1", "fd00:50::60", lla=VIRTUAL),
         everyone("vrrp1", v=6))
    case("NA of any link-local", "llany", na("llany", "fe80::5678", source="fe80::5678"),
         everyone("llany", v=6))
    for name, frame in {
            "parasite6 at kali3": na("kali4", "fd00:50::15", to="kali3", to_mac="kali3"),
            "for the gateway": na("kali4", "fe80::1"),
            "for nobody's": na("kali4", "fd00:50::99"),
            "with kali5's MAC": na("kali4", "fd00:50::14", lla="kali5"),
            "with the source's option": na("kali4", "fd00:50::14", kind=1),
            "with hop limit 254": na("kali4", "fd00:50::14", hops=254),
            "with code 1": na("kali4", "fd00:50::14", code=1),
            "with a MAC twice": na("kali4", "fd00:50::14", more=option(2, "kali5")),
            "with an empty option": na("kali4", "fd00:50::14", more=b"\x0e\0" + b"\0" * 6),
            "with an option beyond the end": na("kali4", "fd00:50::14", more=b"\x0e\2" + b"\0" * 6),
            "with half an option": na("kali4", "fd00:50::14", more=b"\x0e"),
            "with an unknown option": na("kali4", "fd00:50::14", more=b"\xfd\1" + b"\0" * 6),
            "with a MAC of 16 bytes": na("kali4", "fd00:50::14", lla=None,
                                         more=b"\2\2" + raw_mac("kali4") + b"\0" * 8),
            "of a group": na("kali4", "ff02::1:ff00:14", lla=None)}.items():
        case(f"NA {name}", "kali4", frame, "spoofed_nd")
    case("NA cut short", "kali4", frame6("kali4", own, "ff02::1", 58, nd(136, "kali4")[:23]),
         "spoofed_nd")
    case("NA from kali5's address", "kali4", na("kali4", "fd00:50::15", source=ll("kali5")),
         "spoofed_ip")
    case("NA from nowhere", "kali4", na("kali4", "fd00:50::14", source="::"), "spoofed_ip")
    case("NA of a routed address", "router", na("router", "fd00:51::1"), "spoofed_nd")
    for name, frame in {
            "with kali5's MAC": ns("kali4", "fd00:50::15", lla="kali5"),
            "with the target's option": ns("kali4", "fd00:50::15", lla=None,
                                           more=option(2, "kali4")),
            "with hop limit 64": ns("kali4", "fd00:50::15", hops=64),
            "with code 1": ns("kali4", "fd00:50::15", code=1),
            "for a group": ns("kali4", "ff02::1", to="ff02::1")}.items():
        case(f"NS {name}", "kali4", frame, "spoofed_nd")
    case("NS from kali5's address", "kali4", ns("kali4", "fd00:50::13", source=ll("kali5")),
         "spoofed_ip")
    case("inverse solicitation", "kali4", frame6("kali4", own, "ff02::1", 58,
                                                 bytes([141, 0, 0, 0, 0, 0, 0, 0]) +
                                                 option(1, "kali4") + option(2, "kali5")),
         "spoofed_nd")
    case("NA to another's address", "uplink", eth("kali3", GATEWAY, 0x86dd, ip6(
        "fe80::1", "kali5", 58, nd(136, "fe80::1"), 255)), "not_addressee@kali3")


def ipv6_cases():
    own = ll("kali4")
    case("IPv6: ping", "kali4", v6_frame("kali4", "kali3"), "unicast:kali3")
    case("IPv6: link-local ping", "kali4", v6_frame("kali4", ll("kali3"), source=own,
                                                    to_mac="kali3"), "unicast:kali3")
    for name, protocol, body in (("TCP", 6, tcp()), ("UDP", 17, udp(9, 9)), ("nothing", 59, b""),
                                 ("GRE", 47, b"\0" * 8), ("ESP", 50, b"\0" * 8),
                                 ("IPv4 inside", 4, b"\0" * 20),
                                 ("packet too big", 58, bytes([2, 0, 0, 0]) + b"\0" * 48)):
        case(f"IPv6: {name}", "kali4", v6_frame("kali4", "kali3", protocol, body), "unicast:kali3")
    case("IPv6: multicast", "kali4", frame6("kali4", own, "ff02::fb", 17, udp(5353, 5353)),
         everyone("kali4", v=6))
    case("IPv6: padded", "kali4", v6_frame("kali4", "kali3") + b"\xff" * 100, "unicast:kali3")
    for name, source in (("kali5's address", "kali5"), ("kali5's link-local", ll("kali5")),
                         ("nobody's address", "fd00:50::99"), ("nowhere", "::"),
                         ("loopback", "::1"), ("a group", "ff02::1"), ("outside", "2001:db8::1"),
                         ("another link-local", "fe80::99"), ("a shared address", "fd00:50::60"),
                         ("mapped IPv4", "::ffff:192.168.50.14")):
        case(f"IPv6: from {name}", "kali4", v6_frame("kali4", "kali3", source=source),
             "spoofed_ip")
    case("IPv6: from a guest without IPv6", "only4", v6_frame("only4", "kali3",
                                                              source=ll("only4")),
         "unbound_family")
    case("IPv6: kali5's from a guest without IPv6", "only4", v6_frame(
        "only4", "kali3", source="fd00:50::15"), "spoofed_ip")
    case("IPv6: from a prefix", "prefix", v6_frame("prefix", "kali3", source="fd00:40::7:7"),
         "unicast:kali3")
    case("IPv6: routed", "router", v6_frame("router", "kali3", source="fd00:51::1"),
         "unicast:kali3")
    case("IPv6: from any link-local", "llany", v6_frame("llany", ll("kali3"), source="fe80::abcd",
                                                        to_mac="kali3"), "unicast:kali3")
    case("IPv6: from kali5's link-local, any", "llany", v6_frame("llany", "kali3",
                                                                 source=ll("kali5")), "spoofed_ip")
    case("IPv6: beyond fe80::/64, any", "llany", v6_frame("llany", "kali3", source="fe80:1::1"),
         "spoofed_ip")
    case("IPv6: anyip from nobody's", "anyip", v6_frame("anyip", "kali3", source="fd00:99::1"),
         "unicast:kali3")
    case("IPv6: anyip from kali5's", "anyip", v6_frame("anyip", "kali3", source="kali5"),
         "spoofed_ip")
    case("IPv6: version 4", "kali4", v6_frame("kali4", "kali3", version=4), "malformed")
    case("IPv6: payload beyond the frame", "kali4", v6_frame("kali4", "kali3", length=100),
         "malformed")
    case("IPv6: cut in the header", "kali4", v6_frame("kali4", "kali3")[:53], "malformed")
    case("IPv6: length that hides ICMP", "kali4", v6_frame("kali4", "kali3", length=0),
         "malformed")
    padding = b"\1\4\0\0\0\0"
    plain = hop_by_hop(17, padding)
    packet = udp(9, 9)
    good = {"hop-by-hop": (0, plain), "destination options": (60, plain),
            "router alert": (0, hop_by_hop(17)), "mobility routing": (43, routing(17, 2)),
            "RPL routing": (43, routing(17, 3)), "segment routing": (43, routing(17, 4)),
            "authentication": (51, bytes([17, 2]) + b"\0" * 14),
            "an atomic fragment": (44, fragment6(17, 0, False)),
            "a first fragment": (44, fragment6(17)),
            "a chain of four": (0, hop_by_hop(60, padding) + hop_by_hop(43, padding) +
                                routing(44, 4) + fragment6(17, 0, False))}
    for name, (first, before) in good.items():
        case(f"IPv6: {name}", "kali4", v6_frame("kali4", "kali3", first, before + packet),
             "unicast:kali3")
    eight = b"".join([hop_by_hop(60, padding)] * 7 + [plain])
    case("IPv6: eight headers", "kali4", v6_frame("kali4", "kali3", 60, eight + packet),
         "unicast:kali3")
    case("IPv6: nine headers", "kali4", v6_frame("kali4", "kali3", 60,
                                                 hop_by_hop(60, padding) + eight + packet),
         "malformed")
    bad = {"routing type 0": (43, routing(17, 0)), "routing type 1": (43, routing(17, 1)),
           "routing type 5": (43, routing(17, 5)),
           "home address": (60, hop_by_hop(17, b"\xc9\x10" + a6("kali5") + b"\1\2\0\0")),
           "jumbo": (0, hop_by_hop(17, b"\xc2\4\0\1\0\0")),
           "unknown option": (60, hop_by_hop(17, b"\x1e\4\0\0\0\0")),
           "option beyond its header": (60, hop_by_hop(17, b"\1\5\0\0\0\0")),
           "hop-by-hop not first": (60, hop_by_hop(0, padding) + plain),
           "hop-by-hop twice": (0, hop_by_hop(0, padding) + plain),
           "header beyond the end": (60, bytes([17, 200]) + padding),
           "mobility header": (135, plain), "HIP": (139, plain), "shim6": (140, plain),
           "experiment 253": (253, plain), "experiment 254": (254, plain)}
    for name, (first, before) in bad.items():
        case(f"IPv6: {name}", "kali4", v6_frame("kali4", "kali3", first, before + packet),
             "malformed")
    for name, body in {"cut TCP": (6, tcp()[:19]), "cut UDP": (17, packet[:7]),
                       "cut ICMP": (58, PING6[:3])}.items():
        case(f"IPv6: first fragment with {name}", "kali4", v6_frame(
            "kali4", "kali3", 44, fragment6(body[0]) + body[1]), "malformed")
    case("IPv6: later fragment", "kali4", v6_frame("kali4", "kali3", 44,
                                                   fragment6(17, 4, False) + b"\0" * 16),
         "unicast:kali3")
    case("IPv6: stolen later fragment", "kali4", v6_frame(
        "kali4", "kali3", 44, fragment6(17, 4, False) + b"\0" * 16, source="kali5"), "spoofed_ip")
    case("IPv6: ICMP before the source check", "kali4", v6_frame("kali4", "kali3",
                                                                 source="fd00:50::15", hops=255),
         "spoofed_ip")
    case("IPv6: to another's address", "kali4", v6_frame("kali4", "kali5", to_mac="kali3"),
         "not_addressee@kali3")
    case("IPv6: to another's link-local", "kali4", v6_frame("kali4", ll("kali5"), to_mac="kali3"),
         "not_addressee@kali3")
    case("IPv6: to anyip for kali3", "kali4", v6_frame("kali4", "kali3", to_mac="anyip"),
         "not_addressee@anyip")
    case("IPv6: to a guest without IPv6", "kali4", v6_frame("kali4", ll("only4"), to_mac="only4"),
         "not_addressee@only4")
    case("IPv6: to a routed address", "kali4", v6_frame("kali4", "fd00:51::9", to_mac="router"),
         "unicast:router")
    for name, to in (("kali3", "kali3"), ("kali3's link-local", ll("kali3")),
                     ("nobody", "fd00:50::99")):
        case(f"IPv6: to {name} by broadcast", "kali4", v6_frame("kali4", to, to_mac=BROADCAST),
             "group_mac")
        case(f"IPv6: to {name} by multicast", "kali4", v6_frame("kali4", to,
                                                                to_mac="33:33:00:00:00:01"),
             "group_mac")
    case("IPv6: anyip to kali3 by broadcast", "anyip", v6_frame(
        "anyip", "kali3", source="fd00:99::1", to_mac=BROADCAST), "group_mac")
    case("IPv6: broken, from the uplink", "uplink", eth("kali3", GATEWAY, 0x86dd, ip6(
        "fd00:50::1", "kali3", 43, routing(17, 0) + packet)), "not_addressee@kali3")
    case("IPv6: source routed, from the uplink, by broadcast", "uplink", eth(
        BROADCAST, GATEWAY, 0x86dd, ip6("fd00:50::1", "ff02::1", 43, routing(17, 0) + packet)),
         "flood:anyip,shadow")


def shadow_cases():
    case("shadow: nobody's source", "shadow", v4_frame("shadow", "kali3", source="192.168.50.99"),
         "unicast:kali3")
    case("shadow: nobody's MAC", "shadow", eth("kali3", "52:54:00:99:99:99", 0x0800,
                                               ip4("shadow", "kali3", 1, PING)), "unicast:kali3")
    case("shadow: kali5's MAC", "shadow", eth("kali3", "kali5", 0x0800,
                                              ip4("shadow", "kali3", 1, PING)), "spoofed_mac")
    case("shadow: kali5's source", "shadow", v4_frame("shadow", "kali3", source="kali5"),
         "spoofed_ip")
    case("shadow: kali5's by ARP", "shadow", arp_frame(2, "shadow", "kali5", "kali3", "kali3",
                                                       "kali3"), "spoofed_arp")
    case("shadow: nobody's by ARP", "shadow", arp_frame(1, "shadow", "192.168.50.99", "kali3"),
         "flood:kali3")
    case("shadow: kali5's by NA", "shadow", na("shadow", "fd00:50::15"), "spoofed_nd")
    case("shadow: NA behind an extension header", "shadow", frame6(
        "shadow", ll("shadow"), "ff02::1", 60, hop_by_hop(58, b"\1\4\0\0\0\0") +
        nd(136, "fd00:50::15"), checksum_of=8), "spoofed_nd")
    case("shadow: offer", "shadow", dhcp_frame("shadow", "shadow", sport=67, dport=68, op=2,
                                               chaddr="kali3"), "unicast:kali3")
    case("shadow: DHCP for nobody's", "shadow", dhcp_frame(
        "shadow", "shadow", "dhcp", "dhcp", chaddr="52:54:00:99:99:99"), "unicast:dhcp")
    case("shadow: DHCP for kali5's MAC", "shadow", dhcp_frame(
        "shadow", "shadow", "dhcp", "dhcp", chaddr="kali5"), "spoofed_dhcp")
    case("shadow: DHCP for kali5's address", "shadow", dhcp_frame(
        "shadow", "shadow", "dhcp", "dhcp", ciaddr="kali5"), "spoofed_dhcp")
    case("shadow: DHCP in fragments", "shadow", dhcp_frame(
        "shadow", "shadow", "dhcp", "dhcp", fragment=0x2000), "not_addressee@dhcp")
    case("shadow: router advertisement", "shadow", frame6("shadow", ll("shadow"), "ff02::1", 58,
                                                          RA), everyone("shadow", v=6))
    case("shadow: to another's address", "shadow", v4_frame("shadow", "kali5", to_mac="kali3"),
         "not_addressee@kali3")
    # It is asked and given what a port with mac = "any" and ip = "any" would be.
    case("shadow: receives nothing of others", "kali4", v4_frame("kali4", "kali5",
                                                                 to_mac="shadow"),
         "not_addressee@shadow")
    case("shadow: receives what is nobody's", "kali4", v4_frame("kali4", "192.168.50.99",
                                                                to_mac="shadow"),
         "unicast:shadow")
    case("shadow: is asked for nobody's", "kali4", arp_frame(1, "kali4", "kali4", "192.168.50.99"),
         "flood:uplink,anyip,shadow")
    case("shadow: is not asked for kali5's", "shadow", arp_frame(1, "shadow", "shadow", "kali5"),
         "flood:kali5")
    case("shadow: answers to nobody's reach it", "kali4", arp_frame(
        2, "kali4", "kali4", "192.168.50.99", "shadow", "shadow"), "unicast:shadow")
    case("shadow: answers to kali5's do not", "kali4", arp_frame(
        2, "kali4", "kali4", "kali5", "shadow", "shadow"), "not_addressee@shadow")
    case("shadow: behind a tag a claim could hide", "shadow", eth(
        BROADCAST, "shadow", 0x8100, b"\0\0\x08\x06" + arp(2, "shadow", "kali5", "kali3",
                                                          "kali3")), "tagged")


def main():
    for part in (ethernet, tags_and_control, ethertypes, arp_cases, ipv4_cases, dhcp_cases, roles,
                 router_discovery, neighbours, ipv6_cases, shadow_cases):
        part()
    text = HEAD
    for name, port, frame, expected in cases:
        text += f"{name} | {port} | {frame.hex()} | {expected}\n"
    pathlib.Path(__file__).with_name("cases.txt").write_text(text, encoding="utf-8")
    print(len(cases), "cases")


if __name__ == "__main__":
    main()
