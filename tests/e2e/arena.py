"""What the attack scenarios share: the arena, and what its guests hear, believe and are told.

Each scenario runs on a Linux bridge first, the control: there the hostile frames must arrive, and
poison where that is the point, or the scenario proves nothing. Then it runs on bulkhead, where
nothing arrives, the victims' pings and iperf3 lose nothing, and the attacker's port counts the
drops under the right reason.
"""

import ipaddress
import re
import subprocess
import time
from contextlib import contextmanager, nullcontext

from frames import BROADCAST, new_mac, new_token
from lab import Conversation, Lab, end, wait_until

SWITCHES = ("bridge", "bulkhead")


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
        """bulkhead counts at least so many drops at that port, for these reasons and no other. The
        body is given a function that says how many of which so far."""
        if self.on_bridge:
            yield dict
            return
        before = self.drops(port)

        def grown():
            now = self.drops(port)
            return {reason: now[reason] - before.get(reason, 0) for reason in now
                    if now[reason] > before.get(reason, 0)}

        yield grown
        deadline = time.monotonic() + 2
        while sum(grown().values()) < least and time.monotonic() < deadline:
            time.sleep(0.05)
        assert set(grown()) <= set(reasons) and sum(grown().values()) >= least, \
            f"drops of port {port}: {grown()}; should be {least} or more of {reasons}"

    @contextmanager
    def scenario(self, left, right):
        """On bulkhead the two talk all through the body, and lose nothing. The body's sockets are
        closed behind it."""
        kept = len(self.kept)
        with nullcontext() if self.on_bridge else Conversation(left, right):
            yield
        while len(self.kept) > kept:
            self.kept.pop().close()

    @contextmanager
    def bait(self, left, right):
        """On the bridge the two ping each other, for the attacker to hear."""
        pings = [] if not self.on_bridge else [
            left.ping_start(right.ip4, count=100_000, interval=0.02),
            right.ping_start(left.ip6, count=100_000, interval=0.02)]
        try:
            yield
        finally:
            for ping in pings:
                end(ping)

    @contextmanager
    def poisoning(self, attacker, tools, reasons, claims, least=1):
        """The tools run on the attacker during the body, and until the bridge's guests are poisoned
        or bulkhead has dropped enough. claims: (Neighbours, stolen address) of each victim."""
        with self.drops_only(*reasons, port=attacker.name, least=least) as dropped, \
                running(attacker, *tools):
            yield
            if self.on_bridge:
                wait_until(lambda: all(attacker.mac in table.macs(address)
                                       for table, address in claims), 10,
                           what="void: nobody was poisoned")
                time.sleep(0.3)  # for the attacker to hear something
            else:
                wait_until(lambda: sum(dropped().values()) >= least, 10, what="drops")
                time.sleep(0.5)  # for more of the same


@contextmanager
def running(guest, *argvs, **options):
    """The tools run on that guest, during the body."""
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    tools = [guest.popen(argv, **quiet | options) for argv in argvs]
    try:
        yield
    finally:
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

    def macs(self, address):
        """Those that the address has had since the start."""
        pattern = rf"^{re.escape(address)} .*lladdr (\S+)"
        return set(re.findall(pattern, self.path.read_text(), re.MULTILINE))

    def claims(self, address):
        """macs() at the end."""
        wait_until(self.hears, what="`ip monitor` still listens")
        end(self.process)
        return self.macs(address)


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


def steal(thief, owner, sender, to=BROADCAST, **how):
    """Three times the thief sends under the owner's MAC, and the sender to the owner. Whether the
    thief gets what is the owner's."""
    sink = owner.socket(4)
    sink.bind(("", 9))  # takes frame_to()'s datagrams, so that the owner says nothing
    ear, thiefs_wire, senders_wire, token = Ear(thief), thief.wire(), sender.wire(), new_token()
    for _ in range(3):
        thiefs_wire.send(thief.frame_to(to, new_token(), src_mac=owner.mac, **how))
        time.sleep(0.01)
        senders_wire.send(sender.frame_to(owner, token))
    stolen = any(token in seen.data for seen in ear.heard())
    sink.close()
    return stolen
