"""One guest's misbehaviour stays his own: floods from a veth and from a tap's owner against the
pings of a pair that has nothing to do with it, and guests that never read.

    evil (tap, hostile owner)  vm1 (veth, floods)  ──▶  target (veth), nobody, everybody
    left ── right on veth, and lefttap ── righttap on taps: the unrelated pairs
    mute (tap whose owner never reads)
"""

import json
import subprocess
import time

import pytest

from frames import BROADCAST, new_mac
from lab import TOOLS, Lab, ping_result, wait_until

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


def test_share_beside_a_flood(lab):
    """While a flood fills its share of the conduit, it finds nothing more free, and everybody else
    has a share as large; when it is over, all is free again."""
    evil, left, right = (lab.guests[name] for name in ("evil", "left", "right"))
    wait_until(lambda: window(lab, "evil") == window(lab, "left"), what="calm")
    free = window(lab, "left")
    evil.flood_start("tso", seconds=3)
    others = left.ping_start(right.ip4, count=100, interval=0.02)
    for _ in range(10):
        assert window(lab, "left") >= free / 3
    assert lab.drops("evil").get("overrun", 0) > 0
    assert ping_result(others).lost == 0
    evil.flood_end()
    wait_until(lambda: window(lab, "evil") == free, what="all free again")
    lab.ledger()


def ask(asker, server, port, connections, seconds, answer_bytes):
    words = [TOOLS / "requests", "ask", server.ip4, port, connections, seconds, answer_bytes]
    return asker.popen(words, stdout=subprocess.PIPE, text=True)


def test_busy_server_is_no_flood(lab):
    """A server with 300 connections that all ask at once loses nothing, and neither does who asks
    it one thing at a time: however many connect to it, they bring it into no smaller share."""
    left, target, vm1 = (lab.guests[name] for name in ("left", "target", "vm1"))
    before = lab.drops("target").get("overrun", 0)
    for port in (80, 81):
        words = [TOOLS / "requests", "serve", port, 1000]
        server = target.popen(words, stdout=subprocess.PIPE, text=True)
        assert server.stdout.readline() == "ready\n"
    many = ask(left, target, 80, 300, 3, 1000)
    time.sleep(0.2)
    one = ask(vm1, target, 81, 1, 2, 1000)
    results = [json.loads(process.communicate(timeout=20)[0]) for process in (many, one)]
    assert results[0]["answers"] > 3000 and results[0]["p99_us"] < 200_000, results
    assert results[1]["answers"] > 50 and results[1]["p99_us"] < 100_000, results
    assert lab.drops("target").get("overrun", 0) == before
    lab.ledger()


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
    # By the worker: what the kernel forwards by itself its own device drops and counts.
    lab.bh("port", "set", "mute", "--shortcut", "false")
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
