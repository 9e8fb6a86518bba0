"""The MAC table on real devices: what is learned, for how long, where it may move, and how much.

    segment lan:    up1 up2 (trusted), any1 any2 (mac = "any"), vm1 vm2 (bound); ageing 2 s
    segment small:  upS (trusted), anyS, vmS; mac_limit 64
"""

import json
import threading
import time

import pytest

from frames import BROADCAST, Watch, new_mac, new_token
from lab import Lab, wait_until

AGEING_SECONDS = 2.0
MAC_MAX = 8  # of any1 and any2


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.config["segment"] = {"lan": {"ageing": f"{int(AGEING_SECONDS)}s"},
                                 "small": {"mac_limit": 64}}
        lab.uplink("up1", segment="lan")
        lab.uplink("up2", segment="lan")
        learning = {"mac": "any", "ip": "any", "mac_max": MAC_MAX}
        lab.veth("any1", segment="lan", **learning)
        lab.veth("any2", segment="lan", **learning)
        lab.veth("vm1", segment="lan")
        lab.veth("vm2", segment="lan")
        lab.uplink("upS", segment="small")
        lab.veth("anyS", segment="small", **learning)
        lab.veth("vmS", segment="small")
        lab.start()
        yield lab


@pytest.fixture(scope="module")
def watch(lab):
    guests = [lab.guests[name] for name in ("up1", "up2", "any1", "any2", "vm1", "vm2")]
    with Watch(guests, beacons=[lab.guests["vm1"], lab.guests["vm2"]]) as watch:
        yield watch


@pytest.fixture(autouse=True)
def empty_table(lab):
    """Each test starts with nothing learned."""
    def emptied():  # a guest's kernel may speak meanwhile, as MLD does when its device is up
        lab.bh("fdb", "flush")
        return not lab.fdb(kind="learned")

    wait_until(emptied, what="fdb flush empties the table")


class Monitor:
    """`bulkhead --json monitor WHAT`, subscribed for sure; a thread collects its events."""

    def __init__(self, lab, what="fdb"):
        self.lab, self.events = lab, []
        self.process = lab.monitor(what)
        threading.Thread(target=self.read, daemon=True).start()
        with lab.guests["up1"].wire() as wire:
            def subscribed():
                wire.send(lab.guests["up1"].frame_to(BROADCAST, new_token(), src_mac=new_mac()))
                return self.events

            wait_until(subscribed, interval=0.1, what="monitor shows an event")

    def read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def wait_for(self, timeout=2.0, **values):
        """The first event with these values."""
        def found():
            return [event for event in self.events
                    if all(event.get(key) == value for key, value in values.items())]

        return wait_until(found, timeout, what=f"event {values} among {self.events[-5:]}")[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def speak(lab, watch, name, mac, to=BROADCAST):
    """A frame with that source from that guest; who got it."""
    guest = lab.guests[name]
    return set(watch.who_gets(guest, guest.frame_to(to, new_token(), src_mac=mac)))


def who_hears(lab, watch, mac, sender="vm1"):
    guest = lab.guests[sender]
    return set(watch.who_gets(guest, guest.frame_to(mac, new_token())))


# --- learning and ageing ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["up1", "any1"])
def test_learns(lab, watch, name):
    """An address seen on a port that learns is in the table, and traffic to it goes there only."""
    mac = new_mac()
    assert who_hears(lab, watch, mac) == {"up1", "up2"}  # unknown so far
    speak(lab, watch, name, mac)
    entry = lab.fdb()[mac]
    assert (entry["port"], entry["kind"], entry["segment"]) == (name, "learned", "lan")
    assert 0 <= entry["age_seconds"] < AGEING_SECONDS
    assert who_hears(lab, watch, mac) == {name}


def test_bound_ports_do_not_learn(lab, watch):
    """From a bound port nothing is learned; its own MACs are in the table, and do not age."""
    mac = new_mac()
    with lab.counts("vm1", "spoofed_mac"):
        speak(lab, watch, "vm1", mac)
    assert mac not in lab.fdb()
    time.sleep(AGEING_SECONDS + 1)
    table = lab.fdb(kind="bound")
    for name in ("vm1", "vm2", "vmS"):
        assert table[lab.guests[name].mac]["port"] == name


def test_dropped_frames_teach_nothing(lab, watch):
    """Law 1: a control frame from a port that learns teaches nothing."""
    mac = new_mac()
    with lab.counts("up1", "control_frame"):
        assert not speak(lab, watch, "up1", mac, to="01:80:c2:00:00:00")
    with lab.counts("any1", "control_frame"):
        assert not speak(lab, watch, "any1", mac, to="01:80:c2:00:00:00")
    assert mac not in lab.fdb()


def test_ages_in_time(lab, watch):
    """A learned entry lives for the ageing time after its last frame, is told, and then is gone."""
    mac = new_mac()
    with Monitor(lab) as monitor:
        speak(lab, watch, "up1", mac)
        learned = monitor.wait_for(event="learned", mac=mac)
        assert (learned["port"], learned["segment"]) == ("up1", "lan")
        refreshed = time.monotonic()
        for _ in range(3):  # frames keep it alive beyond its first ageing time
            time.sleep(AGEING_SECONDS / 2)
            assert mac in lab.fdb()
            refreshed = time.monotonic()
            speak(lab, watch, "up1", mac)
        while mac in lab.fdb():
            time.sleep(0.05)
            assert time.monotonic() < refreshed + AGEING_SECONDS + 2, "it does not age out"
        assert time.monotonic() > refreshed + AGEING_SECONDS - 0.3, "it aged out too early"
        aged = monitor.wait_for(event="aged", mac=mac)
        assert (aged["port"], aged["segment"]) == ("up1", "lan")
    assert who_hears(lab, watch, mac) == {"up1", "up2"}


def test_traffic_to_an_entry_does_not_refresh_it(lab, watch):
    """Frames to a learned address do not keep it alive, only frames from it do."""
    mac = new_mac()
    speak(lab, watch, "up1", mac)
    spoken = time.monotonic()
    while mac in lab.fdb():
        who_hears(lab, watch, mac)
        assert time.monotonic() < spoken + AGEING_SECONDS + 2


# --- moves ------------------------------------------------------------------------------------


@pytest.mark.parametrize("move", ["any1 any2", "any2 any1", "any1 up1", "up1 up2"])
def test_moves(lab, watch, move):
    """An entry moves to a port of equal or higher rank, with an event that says from where."""
    old, new = move.split()
    mac = new_mac()
    with Monitor(lab) as monitor:
        speak(lab, watch, old, mac)
        assert who_hears(lab, watch, mac) == {old}
        speak(lab, watch, new, mac)
        moved = monitor.wait_for(event="moved", mac=mac)
        assert (moved["from"], moved["port"], moved["segment"]) == (old, new, "lan")
    assert lab.fdb()[mac]["port"] == new
    assert who_hears(lab, watch, mac) == {new}


def test_does_not_move_down(lab, watch):
    """What a trusted port has taught, no guest takes over, and its frame goes nowhere."""
    mac = new_mac()
    speak(lab, watch, "up1", mac)
    assert not speak(lab, watch, "any1", mac)
    assert lab.fdb()[mac]["port"] == "up1"
    assert who_hears(lab, watch, mac) == {"up1"}


def test_bound_does_not_move(lab, watch):
    """A bound address is learned nowhere else, neither on a guest's port nor on a trusted one."""
    vm2 = lab.guests["vm2"]
    for name in ("any1", "up1"):
        with lab.counts(name, "spoofed_mac"):
            assert not speak(lab, watch, name, vm2.mac)
    assert lab.fdb(segment="lan")[vm2.mac]["port"] == "vm2"
    assert who_hears(lab, watch, vm2.mac) == {"vm2"}


def test_segments_learn_apart(lab, watch):
    """The same address may be learned in two segments, on two ports."""
    mac = new_mac()
    speak(lab, watch, "up1", mac)
    with lab.guests["upS"].wire() as wire:
        wire.send(lab.guests["upS"].frame_to(BROADCAST, new_token(), src_mac=mac))
    wait_until(lambda: mac in lab.fdb(segment="small"), what="learned in the other segment")
    assert lab.fdb(segment="small")[mac]["port"] == "upS"
    assert lab.fdb(segment="lan")[mac]["port"] == "up1"


def test_flapping(lab, watch):
    """An address that jumps between two ports all the time is dropped as flapping."""
    mac = new_mac()
    any1, any2 = lab.guests["any1"], lab.guests["any2"]

    def flapping():
        return sum(lab.drops(name).get("flapping", 0) for name in ("any1", "any2"))

    before = flapping()
    for _ in range(30):
        for guest in (any1, any2):
            watch.wires[guest.name].send(guest.frame_to(BROADCAST, new_token(), src_mac=mac))
            time.sleep(0.005)
    wait_until(lambda: flapping() >= before + 20, what="moves are dropped as flapping")
    assert lab.guests["vm1"].ping(lab.guests["vm2"].ip4).lost == 0


# --- limits -----------------------------------------------------------------------------------


def test_mac_max(lab, watch):
    """A guest that learns gets mac_max addresses; a frame with one more is dropped as mac_limit."""
    macs = [new_mac() for _ in range(MAC_MAX + 3)]
    for mac in macs[:MAC_MAX]:
        assert speak(lab, watch, "any1", mac) == {"up1", "up2", "any2", "vm1", "vm2"}
    for mac in macs[MAC_MAX:]:
        with lab.counts("any1", "mac_limit"):
            assert not speak(lab, watch, "any1", mac)
    assert set(lab.fdb(port="any1", kind="learned")) <= set(macs[:MAC_MAX])
    mac = new_mac()
    speak(lab, watch, "any2", mac)  # another port's budget is its own
    assert lab.fdb()[mac]["port"] == "any2"


def test_segment_limit(lab):
    """A segment learns up to its mac_limit; then frames with new addresses are dropped."""
    uplink = lab.guests["upS"]
    before = lab.drops("upS").get("mac_limit", 0)
    assert uplink.flood(BROADCAST, "--random-src", "--rate", 2000, "--count", 1000) == 1000
    wait_until(lambda: lab.drops("upS").get("mac_limit", 0) >= before + 900, what="drops counted")
    learned = lab.fdb(segment="small", kind="learned")
    assert 50 <= len(learned) <= 64
    assert not lab.fdb(segment="lan", port="upS")


@pytest.mark.alone
@pytest.mark.parametrize("name", ["vm1", "any1", "up1", "upS"])
def test_macof(lab, name):
    """While a port floods with a new source in every frame, the table keeps its limits and an
    unrelated pair's pings pass; then the flooder's own entry, if it may have one, is learned."""
    left, right = ("vmS", "anyS") if name != "upS" else ("vm1", "vm2")
    left, right, flooder = lab.guests[left], lab.guests[right], lab.guests[name]
    assert right.ping(left.ip4, count=2).lost == 0  # ARP is done, and anyS learned
    # What an uplink sends to nobody is dropped before anything is learned.
    to = {"up1": lab.guests["vm2"].mac, "upS": BROADCAST}.get(name, new_mac())
    before = lab.drops(name)
    process = flooder.flood_start(to, "--random-src", seconds=2.5)
    ping = left.ping(right.ip4, count=400, interval=0.005)
    limit = {"vm1": 0, "any1": MAC_MAX, "up1": 65536, "upS": 64}[name]
    assert len(lab.fdb(port=name, kind="learned")) <= limit
    sent = int(process.communicate(timeout=20)[0].split()[1])
    assert sent > 100_000
    assert ping.loss <= 0.01, ping
    reason = {"vm1": "spoofed_mac", "any1": "mac_limit", "upS": "mac_limit", "up1": None}[name]
    if reason:
        assert lab.drops(name)[reason] > before.get(reason, 0)
    assert lab.guests["vm2"].ping(lab.guests["up1"].ip4, count=2).lost == 0


# --- by hand ----------------------------------------------------------------------------------


def test_static_entries(lab, watch):
    """fdb add pins an address to a port that may have it, fdb del lets it go."""
    mac = new_mac()
    lab.bh("fdb", "add", mac, "--port", "up2")
    entry = lab.fdb()[mac]
    assert (entry["port"], entry["kind"]) == ("up2", "static")
    assert who_hears(lab, watch, mac) == {"up2"}
    speak(lab, watch, "up1", mac)  # static outranks trusted
    speak(lab, watch, "any1", mac)
    assert lab.fdb()[mac]["port"] == "up2"
    lab.bh("fdb", "del", mac)
    assert mac not in lab.fdb()


def test_flush(lab, watch):
    """fdb flush --port forgets what that port has taught, and neither bound nor others' entries."""
    here, there = new_mac(), new_mac()
    speak(lab, watch, "up1", here)
    speak(lab, watch, "any1", there)
    lab.bh("fdb", "flush", "--port", "up1")
    wait_until(lambda: here not in lab.fdb(), what="flushed")
    assert there in lab.fdb() and lab.guests["vm1"].mac in lab.fdb()


def test_show_filters(lab, watch):
    """fdb show --port and --segment show just that."""
    speak(lab, watch, "up1", new_mac())
    entries = lab.bh("fdb", "show", "--port", "up1", json=True)
    assert entries and all(entry["port"] == "up1" for entry in entries)
    entries = lab.bh("fdb", "show", "--segment", "small", json=True)
    assert lab.guests["vmS"].mac in {entry["mac"] for entry in entries}
    assert all(entry["segment"] == "small" for entry in entries)
