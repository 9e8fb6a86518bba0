"""The lab itself, on a Linux bridge in the daemon's place: what the other tests trust."""

import re
import time

import pytest

from frames import IPV4, Watch, new_mac, new_token
from lab import REPOSITORY, HostWatch, Lab, Stream


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.veth("vm1")
        lab.veth("vm2")
        lab.tap("vm3")
        lab.tap("vm4")
        lab.hostile_tap("evil")
        lab.start_linux_bridge()
        yield lab


@pytest.mark.parametrize("pair", ["vm1 vm2", "vm1 vm3", "vm3 vm4"])
@pytest.mark.parametrize("family", [4, 6])
def test_guests_talk(lab, pair, family):
    """Pings and TCP pass between guests on veth and tap."""
    left, right = (lab.guests[name] for name in pair.split())
    assert left.ping(right.address(family)).lost == 0
    for reverse in (False, True):
        assert left.tcp_mbps(right, family, reverse=reverse) > 100


@pytest.mark.alone
def test_tap_guest_carries_tso(lab):
    """A guest kernel behind tap_guest sends 64 KB TSO frames, and they arrive as such."""
    with Lab() as other:
        left, right = other.tap("left"), other.tap("right")
        other.start_linux_bridge()
        assert left.tcp_mbps(right, mbytes=200) > 500
        left.server.stdin.close()
        words = left.server.stdout.readline().split()
        assert words[0] == "to_host" and int(words[-1]) > 20_000, words


def test_stream_counts_every_loss(lab):
    """A stream across a link that goes down for a moment has lost something; else it has not."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    stream = Stream(vm1, vm2)
    time.sleep(0.3)
    sent, lost = stream.stop()
    assert sent > 30 and lost == 0
    stream = Stream(vm1, vm2)
    lab.host.ip("link set vm2 nomaster")
    time.sleep(0.1)
    lab.host.ip("link set vm2 master br0")
    time.sleep(0.1)
    sent, lost = stream.stop()
    assert 5 <= lost < sent


def test_watch_sees_a_flood(lab):
    """An unknown address is seen by every guest of a plain bridge, the hidden tag with it."""
    guests = [lab.guests[name] for name in ("vm1", "vm2", "vm3")]
    with Watch(guests, beacons=guests[:2]) as watch:
        frame = guests[0].frame_to(new_mac(), new_token())
        assert set(watch.who_gets(guests[0], frame)) == {"vm2", "vm3"}


@pytest.mark.parametrize("tpid", [0x8100, 0x88A8])
def test_hidden_tag_is_hidden(lab, tpid):
    """A tag of Guest.install_hidden_tags() is beside the frame when it leaves, not in its bytes."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    if tpid == 0x8100:
        vm1.install_hidden_tags()
    token = new_token()
    with vm1.wire(outgoing=True) as own, vm1.wire() as sender, vm2.wire() as receiver:
        sender.send(vm1.frame_to(vm2, token), hidden_tag=(tpid, 5))
        left = own.wait_for(token)  # the kernel moves a tag out of the bytes on receipt, not here
        assert left.ethertype == IPV4 and left.tag == (tpid, 5)
        sender.send(vm1.frame_to(vm2, token, tags=[(tpid, 5)]))
        left = own.wait_for(token)
        assert left.ethertype == tpid and left.tag is None
        assert receiver.wait_for(token).tag == (tpid, 5)


@pytest.mark.parametrize("kind", ["tso", "tso256", "tso100", "seg1", "small", "big"])
def test_floods_are_taken(lab, kind):
    """The kernel accepts what the hostile tap owner writes."""
    assert lab.guests["evil"].flood(kind, count=3) == 3


@pytest.mark.alone
def test_flood_is_fast(lab):
    """A guest floods at a rate that can hurt, and sends as many frames as it says."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    assert vm1.flood(vm2.mac, seconds=0.5) > 50_000
    assert vm1.flood(vm2.mac, "--random-src", "--rate", 1000, seconds=0.5) in range(450, 520)
    with vm2.wire() as wire:
        assert vm1.flood(vm2.mac, "--count", 100, "--size", 200) == 100
        time.sleep(0.1)
        assert len([seen for seen in wire.drain() if len(seen.data) == 200]) == 100


def test_host_watch_hears(lab):
    """What reaches the host's stack is noticed: IPv4, IPv6 and ARP."""
    with Lab() as other:
        vm1 = other.veth("vm1")
        other.host.ip("addr add 10.77.9.9/16 dev vm1", "addr add fd77::99/64 dev vm1 nodad")
        watch = HostWatch(other)
        assert vm1.ping("10.77.9.9").lost == 0
        seen = watch.seen()
        assert {"IpInReceives", "IcmpInMsgs", "IPv4", "ARP"} <= set(seen)
        assert vm1.ping("fd77::99").lost == 0
        seen = watch.seen()
        assert {"Ip6InReceives", "Icmp6InMsgs", "IPv6"} <= set(seen)


def test_testing_page_names_tests_that_exist():
    """docs/TESTING.md."""
    text = (REPOSITORY / "docs/TESTING.md").read_text()
    sources = "".join(path.read_text() for path in (REPOSITORY / "tests/e2e").glob("*.py"))
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 50 and not named - set(re.findall(r"^def (test_\w+)", sources, re.M))
    files = set(re.findall(r"`(test_\w+\.py)`", text))
    assert all((REPOSITORY / "tests/e2e" / name).exists() for name in files), files
