"""The attacks, with the tools that attackers use: man in the middle, flooding, theft, strangers.

    kali3 192.168.50.13   kali4 .14 (the attacker)   kali5 .15   uplink .1 (trusted, the gateway)

Each scenario runs on a Linux bridge and on bulkhead: see arena.py.
"""

import ipaddress
import time

import pytest

from arena import SWITCHES, Arena, Ear, Neighbours, between, lladdr, not_for, steal
from frames import BROADCAST, new_mac, new_token


@pytest.fixture(scope="module", params=SWITCHES)
def arena(request):
    with Arena(request.param) as arena:
        for number in (3, 4, 5):
            arena.kali(number)
        arena.kali(6)  # listens
        arena.gateway()
        arena.switch_on()
        yield arena


# --- 1. man in the middle ---------------------------------------------------------------------


def middle(arena, cast, family, reasons, tools, during=None, least=2):
    """The tools run on kali4, forwarding, while the victims talk."""
    kali3, kali4, kali5 = cast
    kali4.netns.sysctl({"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1,
                        "net/ipv4/conf/all/send_redirects": 0,
                        "net/ipv4/conf/eth0/send_redirects": 0})
    for left, right in ((kali3, kali5), (kali4, kali3), (kali4, kali5)):
        assert left.ping(right.ip4, count=1).lost == left.ping(right.ip6, count=1).lost == 0
    tables = Neighbours(kali3), Neighbours(kali5)
    stolen = kali5.address(family), kali3.address(family)
    ear = Ear(kali4)
    with arena.bait(kali3, kali5), \
            arena.poisoning(kali4, tools, reasons, list(zip(tables, stolen)), least):
        if during:
            during()
    claims = [table.claims(address) for table, address in zip(tables, stolen)]
    frames = ear.heard()
    if arena.on_bridge:
        assert all(kali4.mac in macs for macs in claims), f"void: nobody was poisoned, {claims}"
        assert between(frames, kali3, kali5), "void: the man in the middle hears nothing"
    else:
        assert claims[0] <= {kali5.mac} and claims[1] <= {kali3.mac}, claims
        assert not between(frames, kali3, kali5) and not not_for(frames, kali4)
        assert lladdr(kali3, kali5.address(family)) == kali5.mac
        assert lladdr(kali5, kali3.address(family)) == kali3.mac


def test_arpspoof(arena, cast):
    """arpspoof against both victims, with forwarding on, while they ping and move data by TCP."""
    kali3, _, kali5 = cast
    middle(arena, cast, 4, ["spoofed_arp"],
           [["arpspoof", "-i", "eth0", "-t", kali3.ip4, kali5.ip4],
            ["arpspoof", "-i", "eth0", "-t", kali5.ip4, kali3.ip4]],
           during=lambda: arena.on_bridge or kali3.tcp_mbps(kali5, mbytes=16))


@pytest.mark.parametrize("what", ["host", "both"])
def test_arpspoof_that_restores(arena, cast, what):
    """arpspoof -c, which takes the victim's MAC at its end: the "host", or both."""
    kali3, _, kali5 = cast
    middle(arena, cast, 4, ["spoofed_arp", "spoofed_mac"],
           [["arpspoof", "-i", "eth0", "-c", what, "-t", kali3.ip4, "-r", kali5.ip4]])


def test_ettercap(arena, cast):
    """ettercap's ARP poisoning of both victims, which forwards by itself."""
    kali3, _, kali5 = cast
    middle(arena, cast, 4, ["spoofed_arp", "spoofed_mac", "spoofed_ip"],
           [["ettercap", "-T", "-q", "-i", "eth0", "-M", "arp:remote",
             f"/{kali3.ip4}//", f"/{kali5.ip4}//"]])


@pytest.mark.parametrize("source", ["the victim", "own"])
def test_fake_advertise6(arena, cast, source):
    """thc-ipv6's fake_advertise6 against both victims, from their address and from its own."""
    kali3, kali4, kali5 = cast
    tools = []
    for victim, stolen in ((kali3, kali5), (kali5, kali3)):
        argv = ["atk6-fake_advertise6", "-w", "1", "eth0", stolen.ip6, victim.ip6, kali4.mac]
        tools.append(argv if source == "the victim" else argv + [kali4.ip6])
    reason = "spoofed_ip" if source == "the victim" else "spoofed_nd"
    middle(arena, cast, 6, [reason], tools)


def test_fake_solicitate6(arena, cast):
    """Solicitations that carry the victim's address as their source and kali4's MAC."""
    kali3, kali4, kali5 = cast
    tools = [["atk6-fake_solicitate6", "eth0", victim.ip6, victim.ip6, kali4.mac, stolen.ip6]
             for victim, stolen in ((kali3, kali5), (kali5, kali3))]
    middle(arena, cast, 6, ["spoofed_ip", "spoofed_nd"], tools)


def test_parasite6(arena, cast):
    """parasite6 answers every solicitation that it hears. On bulkhead it hears none."""
    kali3, kali4, kali5 = cast
    ear = Ear(kali4)

    def forget():
        time.sleep(1)
        for guest in (kali3, kali5):
            guest.run(["ip", "neigh", "flush", "dev", "eth0"])
            guest.ping(kali3.ip6 if guest is kali5 else kali5.ip6, count=2)

    middle(arena, cast, 6, ["spoofed_ip", "spoofed_nd", "not_addressee"],
           [["atk6-parasite6", "-l", "eth0"]], during=forget, least=0)
    asked = [seen for seen in ear.heard()
             if seen.src in (kali3.mac, kali5.mac) and seen.data[54:55] == b"\x87"]
    asked = [seen for seen in asked if seen.data[62:78] in
             (ipaddress.ip_address(kali3.ip6).packed, ipaddress.ip_address(kali5.ip6).packed)]
    assert bool(asked) == arena.on_bridge


# --- 2. already poisoned ----------------------------------------------------------------------


@pytest.mark.parametrize("family", [4, 6])
def test_already_poisoned(arena, family):
    """kali3's table names kali4's MAC for kali5: kali4 gets nothing, and right is right at once.
    (It is kali3 that has cut itself off from kali5: another two talk.)"""
    arena.calm()
    kali3, kali4, kali5, kali6 = (arena.guests[f"kali{number}"] for number in (3, 4, 5, 6))
    address = kali5.address(family)
    kali3.run(["ip", "neigh", "replace", address, "lladdr", kali4.mac, "dev", "eth0", "nud",
               "permanent"])
    ear = Ear(kali4)
    before = arena.on_bridge or arena.drops("kali4", "egress").get("not_addressee", 0)
    with arena.scenario(kali5, kali6):
        lost = kali3.ping(address, count=5).lost
        frames = ear.heard()
    if arena.on_bridge:
        assert len(between(frames, kali3, kali5)) >= 5, "void: the poisoned do not reach kali4"
    else:
        assert lost == 5 and not between(frames, kali3, kali5)
        assert arena.drops("kali4", "egress")["not_addressee"] - before == 5
        kali3.run(["ip", "neigh", "replace", address, "lladdr", kali5.mac, "dev", "eth0"])
        assert kali3.ping(address, count=5).lost == 0


# --- 3. after the attack, flooding ------------------------------------------------------------


@pytest.mark.parametrize("how", ["flush", "delete"])
def test_entries_gone(arena, how):
    """The table is flushed, or the victim's entry deleted; kali5 is silent: nobody else hears. Nor
    do those miss anything who talk with the gateway, whose MAC is learned and not bound."""
    arena.calm()
    kali3, kali5, uplink = (arena.guests[name] for name in ("kali3", "kali5", "uplink"))
    sink = kali5.socket(4)
    sink.bind(("", 9))  # takes frame_to()'s datagrams, so that kali5 says nothing
    ears = {name: Ear(arena.guests[name]) for name in ("kali4", "kali6", "uplink")}
    victim = Ear(kali5)
    sender, token = kali3.wire(), new_token()
    with arena.scenario(kali3, uplink):
        for _ in range(5):
            if arena.on_bridge:
                arena.host.run(["bridge", "fdb", "del", kali5.mac, "dev", "kali5", "master"]
                               if how == "delete" else
                               ["ip", "link", "set", "kali5", "type", "bridge_slave", "fdb_flush"],
                               check=False)
            elif how == "flush":
                arena.bh("fdb", "flush")
            else:
                arena.bh("fdb", "del", kali5.mac, check=False)
            sender.send(kali3.frame_to(kali5, token))
    heard = {name for name, ear in ears.items()
             if any(token in seen.data for seen in ear.heard())}
    assert sum(token in seen.data for seen in victim.heard()) == 5
    assert heard == (set(ears) if arena.on_bridge else set())
    sink.close()


def test_macof(arena, cast):
    """macof: thousands of stolen and invented sources teach nothing and reach nobody."""
    kali4 = cast[1]
    known = {guest.mac for guest in arena.guests.values()}
    ear = Ear(arena.guests["kali6"])

    def entries():
        if arena.on_bridge:
            return len(arena.host.run(["bridge", "fdb", "show", "br", "br0"]).stdout.splitlines())
        return len(arena.fdb())

    before = entries()
    # Some of macof's random sources are groups, and a burst may exceed the port's share.
    reasons = "spoofed_mac", "bad_source", "overrun"
    with arena.drops_only(*reasons, least=1990):
        kali4.run(["macof", "-i", "eth0", "-n", 2000])
    strange = [seen for seen in ear.heard() if seen.src not in known]
    if arena.on_bridge:
        assert len(strange) > 500 and entries() > before + 500, "void"
    else:
        assert not strange and entries() <= before + 1, (strange, before, entries())


THEFTS = {
    "broadcast": {},
    "unicast": {"to": "kali3"},
    "unknown": {"to": "unknown"},
    "source is destination": {"to": "kali5"},
    "in a tag": {"tags": [(0x8100, 0)]},
    "in two tags": {"tags": [(0x88A8, 0), (0x8100, 0)]},
    "LLC": {"ethertype": 0x0026},
    "jumbo LLC": {"ethertype": 0x8870},
    "ARP": {"ethertype": 0x0806},
    "MPLS": {"ethertype": 0x8847},
}


@pytest.mark.parametrize("kind", THEFTS)
def test_mac_theft(arena, cast, kind):
    """kali5's MAC as a source from kali4's port, in every wrapping, moves nothing."""
    kali3, kali4, kali5 = cast
    how = dict(THEFTS[kind])
    to = how.pop("to", BROADCAST)
    to = new_mac() if to == "unknown" else arena.guests.get(to, to)
    reason = "bad_source" if kind == "source is destination" else "spoofed_mac"
    with arena.drops_only(reason, least=3):
        stolen = steal(kali4, kali5, kali3, to, **how)
    assert stolen == arena.on_bridge, "void: the bridge did not believe the thief"
    if not arena.on_bridge:
        assert arena.fdb()[kali5.mac]["port"] == "kali5"
        assert kali3.ping(kali5.ip4).lost == 0 and kali3.ping(kali5.ip6).lost == 0


def test_mac_theft_of_the_gateway(arena):
    """The same for the gateway, whose MAC is learned and not bound."""
    arena.calm()
    kali3, kali4, uplink = (arena.guests[name] for name in ("kali3", "kali4", "uplink"))
    with arena.scenario(kali3, uplink), arena.drops_only("spoofed_mac", least=3):
        assert steal(kali4, uplink, kali3) == arena.on_bridge
    if not arena.on_bridge:
        assert kali3.ping(uplink.ip4).lost == 0


# --- 6. traffic for a stranger ----------------------------------------------------------------


@pytest.mark.parametrize("sender", ["uplink", "kali3"])
def test_strangers_traffic(arena, cast, sender):
    """Unicast for a MAC that no port has: no guest sees it."""
    guest, token = arena.guests[sender], new_token()
    ears = {name: Ear(arena.guests[name]) for name in arena.guests if name != sender}
    wire = guest.wire()
    for _ in range(5):
        wire.send(guest.frame_to(new_mac(), token))
    heard = {name for name, ear in ears.items()
             if any(token in seen.data for seen in ear.heard())}
    if arena.on_bridge:
        assert heard == set(ears), "void: the bridge did not flood"
    else:
        assert heard <= {"uplink"}, heard
        assert sender == "uplink" or heard == {"uplink"}
