"""The attacks on the hypervisor, and across a link of two segments. See test_attacks.py."""

import time

import pytest

from arena import SWITCHES, Arena, Ear, Neighbours, between, not_for, steal
from frames import BROADCAST, arp_request, mac_bytes, new_mac, new_token
from lab import HostWatch, Netns, wait_until

HOST4, HOST6, HOST_MAC = "10.99.0.1", "fd99::1", "02:00:00:00:99:01"


# --- 4. the hypervisor ------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SWITCHES)
def arena(request):
    """The host has addresses on another network, and routes to the guests."""
    with Arena(request.param) as arena:
        for number in (3, 4, 5):
            arena.kali(number)
        arena.gateway()
        world = Netns(f"{arena.name}-world")
        world.sysctl({"net/ipv6/conf/default/disable_ipv6": 1})
        arena.host.ip(f"link add hostnet address {HOST_MAC} type veth peer name eth0"
                      f" netns {world.name}", "link set hostnet up",
                      f"addr add {HOST4}/24 dev hostnet", f"addr add {HOST6}/64 dev hostnet nodad")
        world.ip("link set eth0 up")
        arena.host.sysctl({"net/ipv4/ip_forward": 1})
        arena.switch_on()
        yield arena


def device_mac(arena, device):
    text = arena.host.run(["ip", "-o", "link", "show", device]).stdout
    return text.split("link/ether ")[1].split()[0]


def link_local_of(arena, device):
    """As the kernel has it (a bridge's MAC changes with its ports), or would have it."""
    def addresses():
        return arena.host.run(["ip", "-6", "-o", "addr", "show", "dev", device, "scope",
                               "link"]).stdout

    wait_until(lambda: "tentative" not in addresses(), 10, what="the host has its address")
    if "inet6" in (text := addresses()):
        return text.split("inet6 ")[1].split("/")[0]
    octets = mac_bytes(device_mac(arena, device))
    words = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return "fe80::" + ":".join(f"{words[i] << 8 | words[i + 1]:x}" for i in (0, 2, 4, 6))


@pytest.fixture
def quiet_host(arena):
    """kali4, and a watch on the host that has heard nothing for a moment."""
    arena.calm()
    with arena.scenario(arena.guests["kali3"], arena.guests["kali5"]):
        watch = HostWatch(arena)
        for _ in range(20):
            time.sleep(0.1)
            if not watch.seen():
                break
        yield arena.guests["kali4"], watch


ROADS = ["route", "the port's MAC", "the host's MAC", "another port's MAC", "broadcast",
         "multicast"]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("road", ROADS)
def test_guest_to_host(arena, quiet_host, road, family):
    """By a route or a static neighbour with any MAC, a guest does not reach the host's stack."""
    kali4, watch = quiet_host
    address = HOST4 if family == 4 else HOST6
    mac = {"route": None, "the port's MAC": device_mac(arena, "kali4"),
           "the host's MAC": device_mac(arena, "br0") if arena.on_bridge else HOST_MAC,
           "another port's MAC": device_mac(arena, "kali5"), "broadcast": BROADCAST,
           "multicast": "33:33:00:00:00:01" if family == 6 else "01:00:5e:00:00:01"}[road]
    kali4.run(["ip", f"-{family}", "route", "replace", address, "dev", "eth0"])
    if mac:
        kali4.run(["ip", "neigh", "replace", address, "lladdr", mac, "dev", "eth0", "nud",
                   "permanent"])
    ping = kali4.ping(address, count=3, options=("-W", 0.3))
    kali4.run(["ip", f"-{family}", "route", "del", address, "dev", "eth0"])
    seen = watch.seen()
    if arena.on_bridge:
        # A solicitation goes to a group that only an owner of the address on br0 joins.
        assert seen or (road, family) == ("route", 6), "void: the host heard nothing"
    else:
        assert not seen and ping.received == 0
        assert kali4.ping(arena.guests["kali3"].address(family)).lost == 0


@pytest.mark.parametrize("group", [False, True])
def test_guest_to_hosts_link_local(arena, quiet_host, group):
    """The host's link-local addresses, asked for one by one or all at once."""
    kali4, watch = quiet_host
    devices = ["br0"] if arena.on_bridge else ["kali4", "kali3", "hostnet"]
    for device in devices:
        own = link_local_of(arena, device)
        target = "ff02::1" if group else own
        output = kali4.run(["ping", "-n", "-c", 2, "-i", 0.1, "-w", 1, f"{target}%eth0"],
                           check=False).stdout
        answered = f"from {own}" in output
        assert answered == arena.on_bridge, output
    assert bool(watch.seen()) == arena.on_bridge


def test_guest_asks_for_the_hosts_addresses(arena, quiet_host):
    """ARP requests for every address of the host: a Linux bridge answers, whatever its network."""
    kali4, watch = quiet_host
    ear, wire = Ear(kali4), kali4.wire()
    for target in (HOST4, "127.0.0.1"):
        wire.send(arp_request(kali4.mac, kali4.ip4, target))
    time.sleep(0.1)
    answers = [seen for seen in ear.heard() if seen.ethertype == 0x0806
               and seen.data[28:32] == bytes([10, 99, 0, 1])]
    assert bool(answers) == arena.on_bridge
    assert bool(watch.seen()) == arena.on_bridge


@pytest.mark.parametrize("family", [4, 6])
def test_host_to_guest(arena, quiet_host, family):
    """The host has a route by the device, and a static neighbour: the guest hears nothing."""
    kali4, _ = quiet_host
    kali3 = arena.guests["kali3"]
    device = "br0" if arena.on_bridge else "kali3"
    address = kali3.address(family)
    token = new_token()
    ear, source = Ear(kali3), HOST4 if family == 4 else HOST6
    pinged = ["ping", "-n", "-q", "-c", 3, "-i", 0.1, "-w", 1, "-I", source, "-p", token.hex(),
              address]
    arena.host.run(["ip", f"-{family}", "route", "add", address, "dev", device])
    arena.host.run(pinged, check=False)
    by_neighbour = [seen for seen in ear.heard() if seen.src == device_mac(arena, device)]
    arena.host.run(["ip", "neigh", "replace", address, "lladdr", kali3.mac, "dev", device, "nud",
                    "permanent"])
    arena.host.run(pinged, check=False)
    frames = [seen for seen in ear.heard() if token in seen.data]
    arena.host.run(["ip", f"-{family}", "route", "del", address, "dev", device])
    arena.host.run(["ip", "neigh", "del", address, "dev", device], check=False)
    assert bool(frames) == arena.on_bridge
    assert bool(by_neighbour) == arena.on_bridge


def test_raw_host_to_guest(arena, quiet_host):
    """What a process on the host sends into a port's device (its IPv6, its LLDP, a DHCP server)."""
    kali4, _ = quiet_host
    ear, token = Ear(arena.guests["kali3"]), new_token()
    arena.host.run(["/usr/bin/python3", "-c", f"""
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.sendto(bytes.fromhex("{token.hex()}"), ("ff02::1", 9, 0,
         socket.if_nametoindex("{'br0' if arena.on_bridge else 'kali3'}")))
"""], check=False)
    heard = any(token in seen.data for seen in ear.heard())
    assert heard == arena.on_bridge


# --- 5. two segments linked by a veth pair ----------------------------------------------------


@pytest.fixture(scope="module", params=SWITCHES)
def linked(request):
    """kali3 and kali4 on the left, kali5 and kali6 on the right; linkl ══ linkr between them."""
    with Arena(request.param) as arena:
        sides = {3: "left", 4: "left", 5: "right", 6: "right"}
        guests = {number: arena.kali(number, segment=side) for number, side in sides.items()}
        arena.host.ip("link add linkl type veth peer name linkr", "link set linkl up",
                      "link set linkr up")
        if arena.on_bridge:
            arena.start_linux_bridge("br0", ["kali3", "kali4", "linkl"])
            arena.start_linux_bridge("br1", ["kali5", "kali6", "linkr"])
        else:
            arena.config["segment"] = {"left": {}, "right": {}}
            for link, side, behind in (("linkl", "left", (5, 6)), ("linkr", "right", (3, 4))):
                behind = [guests[number] for number in behind]
                arena.config["port"][link] = {
                    "device": link, "segment": side, "mac": "any",
                    "ip": [f"{address}" for guest in behind for address in (guest.ip4, guest.ip6)],
                    "link_local": [guest.link_local for guest in behind]}
            arena.start()
        arena.calm()
        yield arena


def test_link_carries(linked):
    """Guests on both sides talk, both families, TCP too."""
    linked.calm()
    for left, right in (("kali3", "kali5"), ("kali6", "kali4"), ("kali3", "kali4")):
        left, right = linked.guests[left], linked.guests[right]
        assert left.ping(right.ip4, count=20, interval=0.01).lost == 0
        assert left.ping(right.ip6, count=20, interval=0.01).lost == 0
    assert linked.guests["kali3"].tcp_mbps(linked.guests["kali5"], mbytes=4) > 1


@pytest.mark.parametrize("victim, stolen", [("kali3", "kali5"), ("kali5", "kali3"),
                                            ("kali5", "kali6")])
@pytest.mark.parametrize("family", [4, 6])
def test_poisoning_across_the_link(linked, family, victim, stolen):
    """kali4 claims an address behind the link, towards its own side, and across it."""
    linked.calm()
    kali4, victim, stolen = (linked.guests[name] for name in ("kali4", victim, stolen))
    assert kali4.ping(victim.address(family), count=1).lost == 0
    assert victim.ping(stolen.address(family), count=1).lost == 0
    table, ear = Neighbours(victim), Ear(kali4)
    tool = ["arpspoof", "-i", "eth0", "-t", victim.ip4, stolen.ip4]
    if family == 6:
        tool = ["atk6-fake_advertise6", "-w", "1", "eth0", stolen.ip6, victim.ip6, kali4.mac]
    # Who has the address arpspoof asks by an empty datagram to port 67: no DHCP message is whole.
    reasons = ["spoofed_arp", "malformed"] if family == 4 else ["spoofed_ip"]
    address = stolen.address(family)
    with linked.scenario(victim, stolen), linked.bait(victim, stolen), \
            linked.poisoning(kali4, [tool], reasons, [(table, address)]):
        pass
    macs, frames = table.claims(address), ear.heard()
    if linked.on_bridge:
        assert kali4.mac in macs and not_for(frames, kali4) == []
        assert between(frames, victim, stolen), "void: nobody was poisoned"
    else:
        assert macs <= {stolen.mac} and not between(frames, victim, stolen)


def test_mac_theft_across_the_link(linked):
    """kali5's MAC as kali4's source: traffic to it goes on across the link."""
    linked.calm()
    kali3, kali4, kali5 = (linked.guests[name] for name in ("kali3", "kali4", "kali5"))
    with linked.scenario(kali3, kali5), linked.drops_only("spoofed_mac", least=3):
        assert steal(kali4, kali5, kali3) == linked.on_bridge


@pytest.fixture(scope="module", params=SWITCHES)
def loose(request):
    """kali4's binding is loose: ip = "any"; kali6's and kali7's are too: mac = "any"."""
    with Arena(request.param) as arena:
        arena.kali(3)
        arena.kali(4, ip="any")
        arena.kali(5)
        for number in (6, 7):  # kali7's is as the end of a link is
            guest = arena.kali(number, mac="any")
            # Without a MAC to derive it from; its kernel reports memberships from there.
            arena.config["port"][guest.name]["link_local"] = [guest.link_local]
        arena.gateway()
        arena.switch_on()
        arena.calm()
        yield arena


@pytest.mark.parametrize("stolen", ["kali5"])
@pytest.mark.parametrize("family", [4, 6])
def test_ip_any_steals_nothing(loose, family, stolen):
    """A guest with ip = "any" beside bound ones cannot claim what is theirs, and may send from
    what is nobody's."""
    loose.calm()
    kali3, kali4, kali5 = (loose.guests[name] for name in ("kali3", "kali4", stolen))
    for left, right in ((kali4, kali3), (kali3, kali5)):
        assert left.ping(right.address(family), count=1).lost == 0
    table, ear = Neighbours(kali3), Ear(kali4)
    tool, reasons = ["arpspoof", "-i", "eth0", "-t", kali3.ip4, kali5.ip4], ["spoofed_arp"]
    if family == 6:
        tool = ["atk6-fake_advertise6", "-w", "1", "eth0", kali5.ip6, kali3.ip6, kali4.mac]
        reasons = ["spoofed_ip"]
    address = kali5.address(family)
    with loose.scenario(kali3, kali5), loose.bait(kali3, kali5), \
            loose.poisoning(kali4, [tool], reasons, [(table, address)]):
        pass
    macs, frames = table.claims(address), ear.heard()
    assert (kali4.mac in macs) == loose.on_bridge
    assert bool(between(frames, kali3, kali5)) == loose.on_bridge
    kali4.run(["ip", "addr", "replace", "192.168.50.99/24", "dev", "eth0"])
    assert kali4.run(["ping", "-n", "-c", 2, "-i", 0.1, "-I", "192.168.50.99",
                      loose.guests["uplink"].ip4]).returncode == 0


def test_mac_any_does_not_take_the_gateways(loose):
    """A guest that learns does not take the MAC that a trusted port has, nor a bound one."""
    loose.calm()
    kali3, kali5, kali6 = (loose.guests[name] for name in ("kali3", "kali5", "kali6"))
    for owner in (loose.guests["uplink"], kali5):
        with loose.scenario(kali3, owner), \
                loose.drops_only("spoofed_mac", port="kali6", least=3):
            assert steal(kali6, owner, kali3) == loose.on_bridge
    if not loose.on_bridge:
        mac = new_mac()
        with loose.drops_only(port="kali6", least=0):
            kali6.wire().send(kali6.frame_to(BROADCAST, new_token(), src_mac=mac))
            time.sleep(0.1)
        assert loose.fdb()[mac]["port"] == "kali6"


HOSTILE_LINK = {
    "a bound MAC": (lambda me, victim, stolen: me.frame_to(BROADCAST, new_token(),
                                                           src_mac=stolen.mac), "spoofed_mac"),
    "a bound address": (lambda me, victim, stolen: arp_request(me.mac, stolen.ip4, victim.ip4),
                        "spoofed_arp"),
    "a bound address of another MAC": (
        lambda me, victim, stolen: arp_request("02:00:00:00:00:99", stolen.ip4, victim.ip4),
        "spoofed_arp"),
    "a stranger's address": (
        lambda me, victim, stolen: arp_request(me.mac, "192.168.50.99", victim.ip4),
        "spoofed_arp"),
}


@pytest.mark.parametrize("kind", HOSTILE_LINK)
def test_theft_from_beyond_a_link(loose, kind):
    """A hostile machine behind a port like the link's takes nothing on this side."""
    loose.calm()
    kali3, kali5, kali7 = (loose.guests[name] for name in ("kali3", "kali5", "kali7"))
    build, reason = HOSTILE_LINK[kind]
    frame = build(kali7, kali3, kali5)
    with loose.scenario(kali3, kali5):
        ear = Ear(kali3)
        with loose.drops_only(reason, port="kali7"):
            kali7.wire().send(frame)
            time.sleep(0.05)
        frames = ear.wire.drain()
        kali5.ping(kali3.ip4, count=1)  # the bridge finds kali5 again
        frames += ear.heard()
    assert any(frame in seen.data for seen in frames) == loose.on_bridge
