"""The attacks, with the tools that attackers use: man in the middle, flooding, theft, strangers.

    kali3 192.168.50.13   kali4 .14 (the attacker)   kali5 .15   uplink .1 (trusted, the gateway)

Each scenario runs on a Linux bridge first, the control: there the hostile frames must arrive, and
poison where that is the point, or the scenario proves nothing. Then it runs on bulkhead: nothing
arrives, nobody loses a ping, and the attacker's port counts the drops under the right reason.
"""

import ipaddress
import re
import subprocess
import time
from contextlib import contextmanager

import pytest

from frames import BROADCAST, new_mac, new_token
from lab import Lab, end, ping_result, wait_until

SWITCHES = ("bridge", "bulkhead")


# --- the arena --------------------------------------------------------------------------------


class Arena(Lab):
    """A lab on one of the switches, with what every scenario asks."""

    def __init__(self, switch):
        super().__init__()
        self.on_bridge = switch == "bridge"

    def kali(self, number, name=None, **options):
        """A guest on veth whose address ends in 10 and the number. Linux ignores an ARP reply that
        follows another within a second; without that, attacks need not take so long."""
        guest = self.veth(name or f"kali{number}", index=number, **self.addresses(number),
                          **options)
        guest.netns.sysctl({"net/ipv4/neigh/eth0/locktime": 0})
        return guest

    def gateway(self, number=1, name="uplink", **options):
        return self.uplink(name, index=100 + number, **self.addresses(number), **options)

    @staticmethod
    def addresses(number):
        return {"ip4": f"192.168.50.{10 + number if number > 1 else 1}/24",
                "ip6": f"fd50::{10 + number if number > 1 else 1}"}

    def switch_on(self):
        if self.on_bridge:
            self.start_linux_bridge()
        else:
            self.start()

    def calm(self):
        """No neighbour entry is left of the scenario before, and no forwarding."""
        for guest in self.guests.values():
            for state in ([], ["nud", "permanent"]):
                guest.run(["ip", "neigh", "flush", "dev", "eth0", *state])
            guest.netns.sysctl({"net/ipv4/ip_forward": 0, "net/ipv6/conf/all/forwarding": 0})
        if self.on_bridge:
            for name in self.guests:
                self.host.ip(f"link set {name} type bridge_slave fdb_flush")
        guests = [guest for guest in self.guests.values() if not guest.silent]
        for left, right in zip(guests, guests[1:] + guests[:1]):
            assert left.ping(right.ip4, count=1).lost == 0, (left.name, right.name)

    @contextmanager
    def drops_only(self, *reasons, port="kali4", least=1):
        """bulkhead counts at least so many drops at that port, for these reasons and no other."""
        if self.on_bridge:
            yield
            return
        before = self.drops(port)
        yield

        def grown():
            now = self.drops(port)
            return {reason: now[reason] - before.get(reason, 0) for reason in now
                    if now[reason] > before.get(reason, 0)}

        deadline = time.monotonic() + 2
        while sum(grown().values()) < least and time.monotonic() < deadline:
            time.sleep(0.05)
        assert set(grown()) <= set(reasons) and sum(grown().values()) >= least, \
            f"drops of port {port}: {grown()}; should be {least} or more of {reasons}"

    @contextmanager
    def talk(self, left, right, seconds=2.5):
        """Both ping each other through all of the body and longer; on bulkhead none is lost."""
        count = int(seconds / 0.02)
        started = time.monotonic()
        pings = [left.ping_start(right.ip4, count=count, interval=0.02),
                 right.ping_start(left.ip6, count=count, interval=0.02)]
        yield
        assert time.monotonic() - started < seconds, "the body took longer than the pings"
        results = [ping_result(ping) for ping in pings]
        assert self.on_bridge or [result.lost for result in results] == [0, 0], results


@contextmanager
def running(guest, *argvs, seconds=2.0):
    """The tools run on that guest, for these seconds after the body."""
    tools = [guest.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL) for argv in argvs]
    yield
    time.sleep(seconds)
    for tool in tools:
        end(tool, timeout=0.3)


class Neighbours:
    """Every change to a guest's neighbour table, as `ip monitor` tells it."""

    def __init__(self, guest):
        self.guest = guest
        self.path = guest.lab.directory / f"neighbours-{guest.name}-{time.monotonic_ns()}"
        self.process = guest.popen(["ip", "monitor", "neigh"], stdout=open(self.path, "w"),
                                   stderr=subprocess.STDOUT)
        self.marks = 0
        wait_until(self.hears, what="`ip monitor` listens")

    def hears(self):
        """Whether the monitor tells of an entry made for this."""
        self.marks += 1
        address = f"192.168.50.{200 + self.marks % 50}"
        self.guest.run(["ip", "neigh", "replace", address, "lladdr", new_mac(), "dev", "eth0"])
        time.sleep(0.02)
        self.guest.run(["ip", "neigh", "del", address, "dev", "eth0"])
        return address in self.path.read_text()

    def claims(self, address):
        """The MACs that the address has had since the start."""
        assert wait_until(self.hears, what="`ip monitor` still listens")
        end(self.process)
        pattern = rf"^{re.escape(address)} .*lladdr (\S+)"
        return set(re.findall(pattern, self.path.read_text(), re.MULTILINE))


def lladdr(guest, address):
    """The MAC that the guest's neighbour table has for the address, or nothing."""
    match = re.search(r"lladdr (\S+)", guest.run(["ip", "neigh", "show", address]).stdout)
    return match and match[1]


def addresses_of(data):
    """(source, destination) of an IPv4 or IPv6 frame, tags skipped; or nothing."""
    offset = 12
    while data[offset:offset + 2] in (b"\x81\0", b"\x88\xa8"):
        offset += 4
    kind, head = data[offset:offset + 2], data[offset + 2:]
    if kind == b"\x08\0":
        pair = head[12:16], head[16:20]
    elif kind == b"\x86\xdd":
        pair = head[8:24], head[24:40]
    else:
        return None
    try:
        return tuple(str(ipaddress.ip_address(part)) for part in pair)
    except ValueError:
        return None


def between(frames, left, right):
    """The frames with which the two talk to each other."""
    pairs = [{left.ip4, right.ip4}, {left.ip6, right.ip6}]
    return [seen for seen in frames if set(addresses_of(seen.data) or ()) in pairs]


def not_for(frames, guest):
    """Unicast frames that are not the guest's."""
    return [seen for seen in frames
            if not int(seen.dst[:2], 16) & 1 and seen.dst != guest.mac]


class Ear:
    """What a guest's device gets, promiscuous or not."""

    def __init__(self, guest):
        self.guest, self.wire = guest, guest.wire()

    def heard(self):
        """All frames so far; on bulkhead a ping to the guest proves that the ear hears. (On the
        bridge what it hears is the proof, and the ping may go to the thief.)"""
        if self.guest.lab.on_bridge:
            time.sleep(0.05)
            return self.wire.drain()
        frames = self.wire.drain()
        other = next(guest for guest in self.guest.lab.guests.values()
                     if guest is not self.guest and not guest.silent)
        token = new_token()
        if self.guest.silent:
            other_wire = other.wire()
            other_wire.send(other.frame_to(self.guest, token))
            other_wire.close()
            assert self.wire.wait_for(token), f"the ear on {self.guest.name} is deaf"
        else:
            assert other.ping(self.guest.ip4, count=1, options=("-p", token.hex())).lost == 0
            late = self.wire.drain()
            assert any(token in seen.data for seen in late), f"deaf: {self.guest.name}"
            frames += [seen for seen in late if token not in seen.data]
        return frames


@pytest.fixture(scope="module", params=SWITCHES)
def arena(request):
    with Arena(request.param) as arena:
        for number in (3, 4, 5):
            arena.kali(number)
        arena.kali(6)  # listens
        arena.gateway()
        arena.switch_on()
        yield arena


@pytest.fixture
def cast(arena):
    arena.calm()
    return [arena.guests[name] for name in ("kali3", "kali4", "kali5")]


# --- 1. man in the middle ---------------------------------------------------------------------


def middle(arena, cast, family, reasons, tools, seconds=1.7, during=None, least=2, slack=1.8):
    """The tools run on kali4, forwarding, while the victims talk."""
    kali3, kali4, kali5 = cast
    kali4.netns.sysctl({"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1,
                        "net/ipv4/conf/all/send_redirects": 0,
                        "net/ipv4/conf/eth0/send_redirects": 0})
    for left, right in ((kali3, kali5), (kali4, kali3), (kali4, kali5)):
        assert left.ping(right.ip4, count=1).lost == left.ping(right.ip6, count=1).lost == 0
    tables = Neighbours(kali3), Neighbours(kali5)
    ear = Ear(kali4)
    with arena.drops_only(*reasons, least=least), arena.talk(kali3, kali5, seconds + slack):
        with running(kali4, *tools, seconds=seconds):
            if during:
                during()
    claims = (tables[0].claims(kali5.address(family)), tables[1].claims(kali3.address(family)))
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
           during=lambda: arena.on_bridge or kali3.tcp_mbps(kali5, mbytes=16), slack=4)


@pytest.mark.parametrize("what", ["host", "both"])
def test_arpspoof_that_restores(arena, cast, what):
    """arpspoof -c, which takes the victim's MAC at its end: the "host", or both."""
    kali3, _, kali5 = cast
    middle(arena, cast, 4, ["spoofed_arp", "spoofed_mac"],
           [["arpspoof", "-i", "eth0", "-c", what, "-t", kali3.ip4, "-r", kali5.ip4]], seconds=1)


def test_ettercap(arena, cast):
    """ettercap's ARP poisoning of both victims, which forwards by itself."""
    kali3, _, kali5 = cast
    middle(arena, cast, 4, ["spoofed_arp", "spoofed_mac", "spoofed_ip"],
           [["ettercap", "-T", "-q", "-i", "eth0", "-M", "arp:remote",
             f"/{kali3.ip4}//", f"/{kali5.ip4}//"]], seconds=4)


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
           [["atk6-parasite6", "-l", "eth0"]], during=forget, seconds=2, least=0)
    asked = [seen for seen in ear.heard()
             if seen.src in (kali3.mac, kali5.mac) and seen.data[54:55] == b"\x87"]
    asked = [seen for seen in asked if seen.data[62:78] in
             (ipaddress.ip_address(kali3.ip6).packed, ipaddress.ip_address(kali5.ip6).packed)]
    assert bool(asked) == arena.on_bridge


# --- 2. already poisoned ----------------------------------------------------------------------


@pytest.mark.parametrize("family", [4, 6])
def test_already_poisoned(arena, cast, family):
    """kali3's table names kali4's MAC for kali5: kali4 gets nothing, and right is right at once."""
    kali3, kali4, kali5 = cast
    address = kali5.address(family)
    kali3.run(["ip", "neigh", "replace", address, "lladdr", kali4.mac, "dev", "eth0", "nud",
               "permanent"])
    ear = Ear(kali4)
    before = arena.on_bridge or arena.drops("kali4", "egress").get("not_addressee", 0)
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
def test_entries_gone(arena, cast, how):
    """The table is flushed, or the victim's entry deleted; kali5 is silent: nobody else hears."""
    kali3, kali4, kali5 = cast
    sink = kali5.socket(4)
    sink.bind(("", 9))  # takes frame_to()'s datagrams, so that kali5 says nothing
    ears = {name: Ear(arena.guests[name]) for name in ("kali4", "kali6", "uplink")}
    victim = Ear(kali5)
    sender, token = kali3.wire(), new_token()
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
    kali3, kali4, kali5 = cast
    known = {guest.mac for guest in arena.guests.values()}
    ear = Ear(arena.guests["kali6"])

    def entries():
        if arena.on_bridge:
            return len(arena.host.run(["bridge", "fdb", "show", "br", "br0"]).stdout.splitlines())
        return len(arena.fdb())

    before = entries()
    # Some of macof's random sources are groups, and a burst may exceed the port's share.
    reasons = "spoofed_mac", "bad_source", "overrun"
    with arena.drops_only(*reasons, least=1990), arena.talk(kali3, kali5, 3):
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
    to = {None: BROADCAST, "unknown": new_mac()}.get(how.get("to"), None) \
        or arena.guests[how["to"]]
    how.pop("to", None)
    ear = Ear(kali4)
    thief, sender, token = kali4.wire(), kali3.wire(), new_token()
    reason = "bad_source" if kind == "source is destination" else "spoofed_mac"
    sink = kali5.socket(4)
    sink.bind(("", 9))
    with arena.drops_only(reason, least=3):
        for _ in range(3):
            thief.send(kali4.frame_to(to, new_token(), src_mac=kali5.mac, **how))
            time.sleep(0.01)
            sender.send(kali3.frame_to(kali5, token))
    stolen = [seen for seen in ear.heard() if token in seen.data]
    sink.close()
    if arena.on_bridge:
        assert stolen, "void: the bridge did not believe the thief"
    else:
        assert not stolen
        assert arena.fdb()[kali5.mac]["port"] == "kali5"
        assert kali3.ping(kali5.ip4).lost == 0 and kali3.ping(kali5.ip6).lost == 0


def test_mac_theft_of_the_gateway(arena, cast):
    """The same for the gateway, whose MAC is learned and not bound."""
    kali3, kali4, _ = cast
    uplink = arena.guests["uplink"]
    ear, thief, token = Ear(kali4), kali4.wire(), new_token()
    sender = kali3.wire()
    with arena.drops_only("spoofed_mac", least=3):
        for _ in range(3):
            thief.send(kali4.frame_to(BROADCAST, new_token(), src_mac=uplink.mac))
            time.sleep(0.01)
            sender.send(kali3.frame_to(uplink, token))
    stolen = [seen for seen in ear.heard() if token in seen.data]
    assert bool(stolen) == arena.on_bridge
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
