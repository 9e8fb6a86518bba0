"""Traffic between guests whose offloads are all at their defaults: what a switch is for.

    vm1, vm2 on veth     vm3, vm4 on taps served by tap_guest     uplink on veth, trusted
"""

import socket

import pytest

from frames import BROADCAST, IPV4, Watch, checksum, new_token
from lab import MTU_MAX, HostWatch, Lab, wait_until

PAIRS = ["vm1 vm2", "vm1 vm3", "vm3 vm4", "vm1 uplink", "vm3 uplink"]


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.veth("vm1")
        lab.veth("vm2")
        lab.tap("vm3")
        lab.tap("vm4")
        lab.uplink()
        lab.start()
        yield lab


@pytest.fixture
def by_conduit(lab):
    """What the conduit makes of frames, not the kernel's shortcut."""
    for name in lab.guests:
        lab.bh("port", "set", name, "--shortcut", "false")
    yield
    for name in lab.guests:
        lab.bh("port", "set", name, "--shortcut", "true")


@pytest.fixture(params=PAIRS)
def pair(lab, request):
    return [lab.guests[name] for name in request.param.split()]


@pytest.fixture(params=[4, 6])
def family(request):
    return request.param


def test_ping(pair, family):
    """Pings pass both ways and none is lost."""
    left, right = pair
    assert left.ping(right.address(family), count=5).lost == 0
    assert right.ping(left.address(family), count=5).lost == 0


def test_tcp(pair, family):
    """TCP carries data both ways: segments and checksums are completed."""
    left, right = pair
    assert left.tcp_mbps(right, family) > 50
    assert left.tcp_mbps(right, family, reverse=True) > 50


def test_tcp_bytes(pair, family):
    """What one side of a TCP connection writes, the other reads, byte by byte."""
    left, right = pair
    listener = right.socket(family, socket.SOCK_STREAM)
    listener.bind((right.address(family), 0))
    listener.listen()
    listener.settimeout(5)
    client = left.socket(family, socket.SOCK_STREAM)
    client.settimeout(5)
    client.connect(listener.getsockname()[:2])
    server, _ = listener.accept()
    server.settimeout(5)
    question = bytes(range(256)) * 200
    for here, there in ((client, server), (server, client)):
        here.sendall(question)
        read = b""
        while len(read) < len(question):
            read += there.recv(100_000)
        assert read == question
    for one in (client, server, listener):
        one.close()


@pytest.mark.parametrize("size", [1, 1000, 1452, 4000])
def test_udp(pair, family, size):
    """UDP datagrams arrive as they were sent and are answered, in fragments too."""
    left, right = pair
    server, client = right.socket(family), left.socket(family)
    server.bind((right.address(family), 0))
    for one in (server, client):
        one.settimeout(3)
    data = new_token() + bytes(size - 1)
    client.sendto(data, server.getsockname()[:2])
    received, source = server.recvfrom(65536)
    assert received == data
    server.sendto(received, source)
    assert client.recv(65536) == data
    server.close()
    client.close()


def test_checksums_are_finished(by_conduit, pair, family):
    """A UDP datagram that the sender's kernel left unfinished arrives with a right checksum."""
    left, right = pair
    token = new_token()
    client = left.socket(family)
    with right.wire() as wire:
        client.sendto(token, (right.address(family), 9))
        frame = wire.wait_for(token).data
    client.close()
    if family == 4:
        addresses, datagram = frame[26:34], frame[34:]
    else:
        addresses, datagram = frame[22:54], frame[54:]
    assert datagram[6:8] != b"\0\0"
    pseudo = addresses + bytes([0, 17]) + len(datagram).to_bytes(2, "big")
    assert checksum(pseudo + datagram) == 0


def test_taps_send_tso():
    """The guests behind taps do send TSO frames of tens of kilobytes, both ways, and TCP runs."""
    with Lab() as lab:
        left, right = lab.tap("left"), lab.tap("right")
        lab.start()
        assert left.tcp_mbps(right, mbytes=100) > 50
        assert left.tcp_mbps(right, 6, mbytes=100, reverse=True) > 50
        lab.ledger()
        for guest in (left, right):
            guest.server.stdin.close()
            words = guest.server.stdout.readline().split()
            assert words[0] == "to_host" and int(words[-1]) > 20_000, words


def test_segments_fit_the_wire(by_conduit, lab):
    """Of a TSO frame, segments arrive that are no longer than the MTU, with their TCP checksums."""
    vm3, vm1 = lab.guests["vm3"], lab.guests["vm1"]
    with vm1.wire() as wire:
        vm3.tcp_mbps(vm1, mbytes=2)
        data = [seen.data for seen in wire.drain()
                if seen.ethertype == IPV4 and seen.data[23] == 6 and len(seen.data) > 1000]
    assert len(data) > 500
    assert max(len(frame) for frame in data) <= 1514
    for frame in data[:200]:
        segment = frame[34:]
        pseudo = frame[26:34] + bytes([0, 6]) + len(segment).to_bytes(2, "big")
        assert checksum(pseudo + segment) == 0


def test_bytes_pass_unchanged(lab):
    """Frames of all lengths arrive byte by byte as they were sent."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    with vm1.wire() as sender, vm2.wire() as receiver:
        for size in [60, 61, 64, 127, 128, 129, 500, 1000, 1500, 1513, 1514]:
            token = new_token()
            frame = vm1.frame_to(vm2, token, size=size)
            sender.send(frame)
            seen = receiver.wait_for(token)
            assert seen and seen.data == frame and seen.tag is None


def test_broadcast_and_multicast_reach_all(lab):
    """Group frames go to every other port, once, and not back."""
    guests = list(lab.guests.values())
    with Watch(guests, beacons=guests[:2]) as watch:
        for sender in guests:
            for group in (BROADCAST, "01:00:5e:00:00:fb", "33:33:00:00:00:fb"):
                frame = sender.frame_to(group, new_token())
                got = watch.who_gets(sender, frame)
                assert set(got) == set(lab.guests) - {sender.name}
                assert all(len(seen) == 1 for seen in got.values())


def test_order_is_kept(lab):
    """Frames of one sender to one receiver arrive in the order they were sent, each once."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    token = new_token()
    with vm1.wire() as sender, vm2.wire() as receiver:
        for number in range(200):
            sender.send(vm1.frame_to(vm2, token + number.to_bytes(4, "big"), size=100))
        arrived = []
        while 199 not in arrived and (seen := receiver.receive(2)):
            if token in seen.data:
                arrived.append(int.from_bytes(seen.data[-4:], "big"))
    assert arrived == list(range(200))


# --- MTU --------------------------------------------------------------------------------------


def test_full_mtu(pair, family):
    """The longest frames of an MTU of 1500 pass."""
    left, right = pair
    size = 1472 if family == 4 else 1452
    assert left.ping(right.address(family), size=size, options=["-M", "do"]).lost == 0


def test_one_byte_too_big(lab):
    """A frame of one byte more than the port's MTU allows is dropped as too_big, on its ingress."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    vm1.netns.ip("link set eth0 mtu 1504")  # the veth lets four bytes more pass, for a tag
    try:
        with Watch([vm1, vm2, lab.guests["vm3"]], beacons=[vm1, vm2]) as watch:
            fits = vm1.frame_to(vm2, new_token(), size=1514)
            assert set(watch.who_gets(vm1, fits)) == {"vm2"}
            with lab.counts("vm1", "too_big"):
                assert not watch.who_gets(vm1, vm1.frame_to(vm2, new_token(), size=1515))
    finally:
        vm1.netns.ip("link set eth0 mtu 1500")


@pytest.mark.parametrize("mtu", [1280, MTU_MAX])
def test_other_mtus(mtu, family):
    """Ports with a small and with the largest MTU carry frames that fill it, and TCP."""
    with Lab() as lab:
        left, right = lab.veth("left", mtu=mtu), lab.tap("right", mtu=mtu)
        lab.start()
        size = mtu - (28 if family == 4 else 48)
        assert left.ping(right.address(family), size=size, options=["-M", "do"]).lost == 0
        assert right.ping(left.address(family), size=size, options=["-M", "do"]).lost == 0
        assert left.tcp_mbps(right, family) > 50
        assert left.tcp_mbps(right, family, reverse=True) > 50
        lab.ledger()


def test_receiver_with_a_smaller_mtu():
    """What is too big for the receiver's port is dropped as too_big on its egress, only there."""
    with Lab() as lab:
        big, small, other = lab.veth("big"), lab.veth("small", mtu=1400), lab.veth("other")
        lab.start()
        with Watch([big, small, other], beacons=[big, small]) as watch:
            frame = big.frame_to(small, new_token(), size=1414)
            assert set(watch.who_gets(big, frame)) == {"small"}
            with lab.counts("small", "too_big", side="egress"):
                assert not watch.who_gets(big, big.frame_to(small, new_token(), size=1415))
            with lab.counts("small", "too_big", side="egress"):
                frame = big.frame_to(BROADCAST, new_token(), size=1415)
                assert set(watch.who_gets(big, frame)) == {"other"}
        lab.ledger()


def test_mtu_grows_beyond_the_limit():
    """A device that is given an MTU beyond the limit while it runs is named in the log with the
    limit; what is longer is dropped as too_big, and what is not passes as before."""
    with Lab() as lab:
        big, other = lab.veth("big"), lab.veth("other")
        lab.start()
        lab.host.ip("link set big mtu 9000")
        big.netns.ip("link set eth0 mtu 9000")
        wait_until(lambda: "9000" in lab.log() and str(MTU_MAX) in lab.log(), what="it is logged")
        with lab.counts("big", "too_big", count=3):
            assert big.ping(other.ip4, count=3, size=5000, options=["-M", "do"]).received == 0
        assert big.ping(other.ip4, count=10, size=1400).lost == 0
        assert big.tcp_mbps(other, reverse=True) > 50
        lab.ledger()


@pytest.mark.parametrize("kind", ["tap", "veth"])
def test_mtu_9000_is_refused(kind):
    """A device with an MTU of 9000 is refused with a message that says how far it goes."""
    with Lab() as lab:
        lab.add_guest("vm1", kind, mtu=9000)
        lab.start(wait_ports=False)
        port = lab.port("vm1")
        assert port["state"] == "waiting"
        for text in (port["why"], lab.log()):
            assert "vm1" in text and "9000" in text and str(MTU_MAX) in text


def test_frames_beyond_the_conduit():
    """What a tap's owner writes beyond the conduit's size is counted as too_big before the
    dataplane; his and others' traffic goes on."""
    with Lab() as lab:
        evil, vm1, vm2 = lab.hostile_tap("evil"), lab.veth("vm1"), lab.veth("vm2")
        lab.start()
        watch = HostWatch(lab)
        with lab.counts("evil", "too_big", count=20):
            assert evil.flood("big", count=20) == 20
        assert lab.stats()["evil"]["ingress"]["before"]["too_big"] == 20
        assert vm1.ping(vm2.ip4).lost == 0
        assert not watch.seen()
        lab.ledger()


def test_absurd_segment_sizes():
    """TSO frames with segments below 256 bytes are dropped as malformed before the dataplane, and
    those of more segments than half the conduit's ring as overrun; others pass."""
    with Lab() as lab:
        evil, vm1, vm2 = lab.hostile_tap("evil"), lab.veth("vm1"), lab.veth("vm2")
        lab.start()
        assert evil.flood("seg1", count=2) == 2
        assert evil.flood("tso100", count=2) == 2
        ingress = lab.stats()["evil"]["ingress"]
        assert ingress["before"]["malformed"] >= 4
        assert ingress["received"] == 0
        assert evil.flood("tso256", count=2) == 2
        ingress = lab.stats()["evil"]["ingress"]
        assert ingress["before"]["overrun"] >= 2 * 128
        assert ingress["received"] == 0
        assert evil.flood("tso", count=2) == 2
        assert lab.stats()["evil"]["ingress"]["received"] > 0
        assert vm1.ping(vm2.ip6).lost == 0
        lab.ledger()


def test_another_device_kind():
    """A port may be any Ethernet device: here a macvlan over the uplink's wire, made promiscuous."""
    with Lab() as lab:
        vm1, uplink = lab.veth("vm1"), lab.uplink()
        lab.host.ip("link add link uplink name mv0 type macvlan mode passthru", "link set mv0 up")
        lab.config["port"]["uplink"]["device"] = "mv0"
        lab.start()
        for family in (4, 6):
            assert vm1.ping(uplink.address(family), count=5).lost == 0
            assert vm1.tcp_mbps(uplink, family) > 20
            assert uplink.tcp_mbps(vm1, family) > 20
        lab.ledger()


def test_older_kernels(monkeypatch):
    """Where XDP cannot see a tag beside the frame, the conduit's tag goes through it: the same
    frames arrive, and a guest's tags, hidden or not, are seen."""
    monkeypatch.setenv("BULKHEAD_TAG_INSIDE", "1")
    with Lab() as lab:
        vm1, vm2 = lab.veth("vm1"), lab.veth("vm2")
        vm3 = lab.tap("vm3")
        vm1.install_hidden_tags()
        lab.start()
        assert vm1.ping(vm2.ip4, count=5).lost == 0
        assert vm3.tcp_mbps(vm1) > 50
        with vm2.wire() as receiver, vm1.wire() as sender:
            for size in [60, 500, 1514]:
                token = new_token()
                frame = vm1.frame_to(vm2, token, size=size)
                sender.send(frame)
                assert receiver.wait_for(token).data == frame
            frame = vm1.frame_to(vm2, new_token(), size=100)
            tagged = vm1.frame_to(vm2, new_token(), size=100, tags=[(0x88A8, 3)])
            with lab.counts("vm1", "tagged", count=3):
                sender.send(frame, hidden_tag=(0x8100, 0))
                sender.send(frame, hidden_tag=(0x88A8, 2))
                sender.send(tagged)
