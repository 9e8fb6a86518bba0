"""One guest's misbehaviour stays his own: floods from a veth and from a tap's owner against the
pings of a pair that has nothing to do with it, and guests that never read.

    evil (tap, hostile owner)  vm1 (veth, floods)  ──▶  target (veth), nobody, everybody
    left ── right on veth, and lefttap ── righttap on taps: the unrelated pairs
    mute (tap whose owner never reads)
"""

import time

import pytest

from frames import BROADCAST, new_mac
from lab import WORKERS, Lab, ping_result, wait_until

pytestmark = pytest.mark.alone
LOSS_MAX = 0.01
PINGS = 400


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.hostile_tap("evil")
        lab.hostile_tap("mute", "--mute")
        lab.veth("vm1")
        lab.veth("target")
        lab.veth("left")
        lab.veth("right")
        lab.tap("lefttap")
        lab.tap("righttap")
        lab.uplink()
        lab.config["bulkhead"]["log"] = "info"
        lab.start()
        for left, right in PAIRS.values():  # neighbours are known before the flood starts
            assert lab.guests[left].ping(lab.guests[right].ip4, count=2).lost == 0
        yield lab


PAIRS = {"veth": ("left", "right"), "tap": ("lefttap", "righttap")}


def pings(lab, kinds=("veth", "tap")):
    """The unrelated pairs' pings, at the same time: 400 in two seconds each."""
    started = {}
    for kind in kinds:
        left, right = (lab.guests[name] for name in PAIRS[kind])
        started[kind] = left.ping_start(right.ip4, count=PINGS, interval=0.005)
    return {kind: ping_result(process) for kind, process in started.items()}


def assert_unharmed(results):
    for kind, result in results.items():
        assert result.sent == PINGS and result.loss <= LOSS_MAX, f"{kind} pair: {result}"


def test_without_a_flood(lab):
    """The pairs' pings without any flood: none is lost."""
    assert all(result.lost == 0 for result in pings(lab).values())


@pytest.mark.parametrize("kind", ["tso", "tso256", "tso100", "seg1", "small", "big"])
def test_tap_owner_floods(lab, kind):
    """A tap's owner who loops writes costs an unrelated pair at most 1 % of its pings."""
    evil = lab.guests["evil"]
    before = lab.stats()["evil"]["ingress"]["handed"]
    evil.flood_start(kind, seconds=3)
    time.sleep(0.2)
    results = pings(lab)
    assert evil.flood_end() > 20
    assert lab.stats()["evil"]["ingress"]["handed"] > before
    assert_unharmed(results)


@pytest.mark.parametrize("to", ["target", "uplink", "unknown", "broadcast"])
def test_guest_floods(lab, to):
    """A guest that sends 60-byte frames at full rate, to one guest, to nobody or to everybody,
    costs an unrelated pair at most 1 % of its pings."""
    vm1 = lab.guests["vm1"]
    if to in lab.guests:
        dst_mac = lab.guests[to].mac
    else:
        dst_mac = {"unknown": new_mac(), "broadcast": BROADCAST}[to]
    process = vm1.flood_start(dst_mac, seconds=3)
    time.sleep(0.2)
    results = pings(lab)
    assert int(process.communicate(timeout=20)[0].split()[1]) > 100_000
    assert_unharmed(results)


def test_flooder_with_stolen_mac(lab):
    """A flood of frames that are all dropped as spoofed costs the others nothing either."""
    vm1, left = lab.guests["vm1"], lab.guests["left"]
    before = lab.drops("vm1").get("spoofed_mac", 0)
    process = vm1.flood_start(BROADCAST, seconds=3, src_mac=left.mac)
    time.sleep(0.2)
    results = pings(lab)
    process.communicate(timeout=20)
    assert lab.drops("vm1")["spoofed_mac"] > before + 10_000
    assert_unharmed(results)


def window(lab, name):
    return lab.stats()[name]["ingress"]["window"]


def test_window_of_a_flood(lab):
    """Who goes on overrunning its window while others send gets a small one until it has stopped;
    others keep theirs."""
    evil, left, right = (lab.guests[name] for name in ("evil", "left", "right"))
    wait_until(lambda: window(lab, "evil") == window(lab, "left"), what="calm")
    wide = window(lab, "evil")
    others = left.ping_start(right.ip4, count=150, interval=0.02)
    evil.flood_start("tso", seconds=4)
    wait_until(lambda: window(lab, "evil") < wide / 4, what="a small window for evil")
    assert window(lab, "left") == wide
    evil.flood_end()
    wait_until(lambda: window(lab, "evil") == wide, what="the window as it was")
    assert ping_result(others).lost == 0


@pytest.mark.skipif(WORKERS > 1, reason="the rings between workers are for all: no large window")
def test_window_of_a_lone_sender(lab):
    """While nobody else sends, a port's window is large, also for a flood: until others do, who
    lose nothing."""
    evil, left, right = (lab.guests[name] for name in ("evil", "left", "right"))
    wait_until(lambda: window(lab, "evil") == window(lab, "left"), what="calm")
    usual = window(lab, "evil")
    evil.flood_start("tso", seconds=8)
    wait_until(lambda: window(lab, "evil") > 2 * usual, what="a large window")
    others = left.ping_start(right.ip4, count=150, interval=0.02)
    wait_until(lambda: window(lab, "evil") <= usual, timeout=1, what="no large window any more")
    assert ping_result(others).lost == 0
    evil.flood_end()
    wait_until(lambda: window(lab, "evil") == usual, what="the window as it was")


def test_tcp_beside_a_flood(lab):
    """A pair's TCP goes on while a tap's owner loops TSO frames."""
    evil, left, right = (lab.guests[name] for name in ("evil", "left", "right"))
    evil.flood_start("tso", seconds=4)
    time.sleep(0.2)
    assert left.tcp_mbps(right, mbytes=8) > 20
    evil.flood_end()


def test_guest_that_never_reads(lab):
    """A flood to a guest that never reads: the sender's other traffic and everybody else's go on,
    and what the guest does not take is dropped and counted on its egress."""
    vm1, target, mute = (lab.guests[name] for name in ("vm1", "target", "mute"))
    assert vm1.ping(target.ip4, count=2).lost == 0
    addresses = ["--src-ip", vm1.ip4, "--dst-ip", mute.ip4]
    process = vm1.flood_start(mute.mac, *addresses, seconds=3)
    time.sleep(0.3)
    results = pings(lab)
    process.communicate(timeout=20)
    assert_unharmed(results)
    own = vm1.ping(target.ip4, count=100, interval=0.005)
    assert own.loss <= LOSS_MAX, own
    drops = lab.drops("mute", side="egress")
    assert drops.get("overrun", 0) > 1000, drops
    assert_unharmed(pings(lab))


def test_mute_guest_hears_broadcasts_of_others(lab):
    """Broadcasts reach the others although one guest reads none of them."""
    left, right = lab.guests["left"], lab.guests["right"]
    with right.wire() as wire:
        lab.bh("port", "set", "left", "--limit", "broadcast=none")
        addresses = ["--src-ip", left.ip4, "--dst-ip", "255.255.255.255"]
        frames = ["--rate", 3000, "--count", 3000, "--size", 123]
        assert left.flood(BROADCAST, *frames, *addresses) == 3000
        time.sleep(0.3)
        assert len([seen for seen in wire.drain() if len(seen.data) == 123]) >= 2990
