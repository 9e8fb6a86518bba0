"""attach = "xdp": native XDP on all queues of a device.

A veth pair with several queues stands for a NIC and its wire: what the far end sends is whole, as
on a wire (checksums finished, no segments, tags in the frame). No NIC was ever tried.

    wire (trusted, 4 queues) ══ XDP ──┐            ┌── conduit ── vm1, vm2 (veth), tap1 (tap)
    box (a bound guest, 4 queues) ════┴─ bulkheadd ┘
"""

import ctypes
import json
import os
import re
import socket
import struct
import time

import pytest

from frames import BROADCAST, SO_RCVBUFFORCE, Watch, entered, libc, new_mac, new_token
from lab import DaemonFailed, HostWatch, Lab, Stream, wait_until
from test_lifecycle import HOST_IP4, HOST_IP6, attach_xdp, refused

QUEUES = 4


def nic_lab():
    lab = Lab()
    try:
        lab.uplink("wire", queues=QUEUES, attach="xdp")
        lab.veth("box", queues=QUEUES, attach="xdp")
        lab.veth("vm1")
        lab.veth("vm2")
        lab.tap("tap1")
    except BaseException:
        lab.close()
        raise
    return lab


@pytest.fixture(scope="module")
def lab():
    with nic_lab() as lab:
        lab.start()
        yield lab


@pytest.fixture(scope="module")
def watch(lab):
    with Watch(lab.guests.values(), [lab.guests["vm1"], lab.guests["box"]]) as watch:
        yield watch


@pytest.fixture
def own_lab():
    """One port by XDP and two over the conduit, for tests that end the daemon or change ports."""
    with Lab() as lab:
        lab.uplink("wire", queues=QUEUES, attach="xdp")
        lab.veth("vm1")
        lab.veth("vm2")
        yield lab


def udp_server(guest, port):
    server = guest.socket(4)
    server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    server.bind((guest.ip4, port))
    server.settimeout(2)
    return server


def features(lab, device="wire"):
    lines = lab.host.run(["ethtool", "-k", device]).stdout.splitlines()
    return {line.split(":")[0].strip(): line.split()[1] for line in lines[1:]}


def xdp_of(lab, device="wire"):
    """The XDP program on the device, as `ip` tells: {"mode": 1 for native, "prog": …}; or None."""
    link = json.loads(lab.host.run(["ip", "-json", "-d", "link", "show", device]).stdout)[0]
    return link.get("xdp")


def sockets_map(lab, device="wire"):
    """ID of the map that leads to the sockets of the queues."""
    program = xdp_of(lab, device)["prog"]["id"]
    maps = json.loads(lab.host.run(["bpftool", "-j", "prog", "show", "id", program]).stdout)
    for number in maps["map_ids"]:
        found = json.loads(lab.host.run(["bpftool", "-j", "map", "show", "id", number]).stdout)
        if found["type"] == "xskmap":
            return number
    raise AssertionError("no XSKMAP")


def by_queue(lab, what, device="wire"):
    """{queue: frames}, by the device's own counters: XDP's "redirect" or "drops"."""
    text = lab.host.run(["ethtool", "-S", device]).stdout
    return {int(queue): int(count)
            for queue, count in re.findall(rf"rx_queue_(\d+)_xdp_{what}: (\d+)", text)}


# --- traffic ----------------------------------------------------------------------------------


def test_shown(lab):
    """`port show` says how a port is attached, `status` that nobody has tried it on hardware."""
    port = lab.port("wire")
    assert (port["attach"], port["queues"], port["zero_copy"]) == ("xdp", QUEUES, False)
    assert lab.port("vm1")["attach"] == "conduit" and "queues" not in lab.port("vm1")
    assert "wire (xdp, 4 queues, copy)" in lab.bh("port", "show")
    assert "never run on hardware" in lab.bh("status") and "box,wire" in lab.bh("status")
    status = lab.bh("status", json=True)
    assert status["by_xdp"] == ["box", "wire"] and "nic" in status["backends"]
    assert any("never run on hardware" in note for note in status["notes"])
    assert xdp_of(lab)["mode"] == 1, "native"
    assert any("wire" in line and "no NIC" in line for line in lab.log().splitlines())


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("pair", ["wire-vm1", "wire-tap1", "wire-box", "box-vm2", "box-tap1"])
def test_ping(lab, pair, family):
    """Ports of either sort reach each other, frames of all sizes."""
    left, right = (lab.guests[name] for name in pair.split("-"))
    for sender, receiver in [(left, right), (right, left)]:
        for size in (8, 56, 1400):
            assert sender.ping(receiver.address(family), size=size).lost == 0


@pytest.mark.parametrize("pair", ["wire-vm1", "vm1-wire", "tap1-wire", "wire-box", "box-vm2"])
def test_tcp(lab, pair):
    """TCP works, also from guests with all offloads on: the conduit has finished their frames."""
    client, server = (lab.guests[name] for name in pair.split("-"))
    assert client.tcp_mbps(server) > 10
    assert client.tcp_mbps(server, family=6, reverse=True) > 10


def test_several_queues(lab):
    """Flows that come in by different queues all arrive, every frame."""
    wire, vm1 = lab.guests["wire"], lab.guests["vm1"]
    before = by_queue(lab, "redirect")
    assert set(before) == set(range(QUEUES))
    server = udp_server(vm1, 4100)
    clients = [wire.socket(4) for _ in range(32)]
    for client in clients:
        client.connect((vm1.ip4, 4100))
    sent = set()
    for number in range(20):
        for which, client in enumerate(clients):
            client.send(b"%d %d" % (which, number))
            sent.add((which, number))
    received = set()
    while len(received) < len(sent):
        received.add(tuple(int(word) for word in server.recv(100).split()))
    assert received == sent
    used = [queue for queue, count in by_queue(lab, "redirect").items() if count > before[queue]]
    assert len(used) >= 3, f"queues that the flows came in by: {used}"


def test_order(lab):
    """Frames of one flow stay in order, both ways."""
    wire, vm1 = lab.guests["wire"], lab.guests["vm1"]
    for sender, receiver in [(wire, vm1), (vm1, wire)]:
        server, client = udp_server(receiver, 4200), sender.socket(4)
        client.connect((receiver.ip4, 4200))
        for number in range(300):
            client.send(b"%d" % number)
        assert [int(server.recv(100)) for _ in range(300)] == list(range(300))
        server.close()


@pytest.mark.alone
def test_idle(lab):
    """The worker sleeps although sockets come and go; a frame of a NIC wakes it."""
    wire, vm1 = lab.guests["wire"], lab.guests["vm1"]
    vm1.ping(wire.ip4)
    for _ in range(5):
        time.sleep(0.4)
        said = wire.ping(vm1.ip4, count=1).output
        assert float(re.search(r"= ([\d.]+)/", said)[1]) < 50, said
    before = cpu_seconds(lab.daemon.pid)
    time.sleep(2)
    assert cpu_seconds(lab.daemon.pid) - before < 0.2


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.alone
def test_flood(lab):
    """What comes too fast is lost and counted; others go on, and the ledger is right."""
    box, vm1, vm2 = (lab.guests[name] for name in ("box", "vm1", "vm2"))
    before = lab.stats()["box"]["ingress"]["handed"]
    process = box.flood_start(vm1.mac, seconds=2)
    assert vm1.ping(vm2.ip4, count=20).loss < 0.5
    output, _ = process.communicate(timeout=10)
    sent = int(output.split()[1])
    lab.ledger()
    assert lab.stats()["box"]["ingress"]["handed"] - before <= sent + 20
    assert lab.stats()["box"]["ingress"]["handed"] - before > sent / 10
    assert "overrun" in lab.bh("metrics")


def test_who_claims_has_one_worker():
    """Queues that two workers share go to one at once when the port begins to claim link-local
    addresses, for one has to say who was first. Its limits show it: two workers have half each."""
    with nic_lab() as lab:
        lab.config["bulkhead"]["workers"] = 2
        lab.config["port"]["box"]["limit"] = {"broadcast": 40}
        lab.start()
        box = lab.guests["box"]

        def dropped_of_a_burst():
            before = lab.drops("box").get("rate_limited", 0)
            with box.wire() as wire:  # one socket: all by one queue
                for _ in range(40):
                    wire.send(box.frame_to(BROADCAST, new_token()))
            lab.ledger()
            return lab.drops("box").get("rate_limited", 0) - before

        assert dropped_of_a_burst() > 10
        time.sleep(1.1)  # for a full budget
        lab.bh("port", "set", "box", "--link-local", "any")
        lab.wait_port("box", "up")
        assert dropped_of_a_burst() == 0


# --- isolation --------------------------------------------------------------------------------


def test_unicast_and_flood(lab, watch):
    """Unicast reaches its port only, unknown unicast the trusted port only, broadcast all."""
    guests = lab.guests
    watch.who_gets(guests["wire"], guests["wire"].frame_to(BROADCAST, new_token()))  # learned now
    for sender, receiver in [("wire", "vm1"), ("vm1", "wire"), ("box", "wire"), ("wire", "box"),
                             ("box", "vm1"), ("tap1", "box")]:
        frame = guests[sender].frame_to(guests[receiver], new_token())
        assert set(watch.who_gets(guests[sender], frame)) == {receiver}
    for sender in ("box", "vm1"):
        frame = guests[sender].frame_to(new_mac(), new_token())
        assert set(watch.who_gets(guests[sender], frame)) == {"wire"}
    with lab.counts("wire", "unknown_destination"):
        assert not watch.who_gets(guests["wire"], guests["wire"].frame_to(new_mac(), new_token()))
    for sender in ("wire", "box"):
        frame = guests[sender].frame_to(BROADCAST, new_token())
        assert set(watch.who_gets(guests[sender], frame)) == set(guests) - {sender}


def test_spoofing(lab, watch):
    """A guest behind a NIC can be nobody else, and neither can the wire."""
    box, vm1, wire = (lab.guests[name] for name in ("box", "vm1", "wire"))
    for port, reason, frame in [
            (box, "spoofed_mac", box.frame_to(BROADCAST, new_token(), src_mac=vm1.mac)),
            (box, "spoofed_mac", box.frame_to(vm1, new_token(), src_mac=new_mac())),
            (box, "spoofed_ip", vm1.frame_to(wire, new_token(), src_mac=box.mac)),
            (wire, "spoofed_mac", wire.frame_to(vm1, new_token(), src_mac=box.mac))]:
        with lab.counts(port.name, reason):
            assert not watch.who_gets(port, frame)


@pytest.mark.parametrize("tpid", [0x8100, 0x88A8])
def test_tags(lab, watch, tpid):
    """A tag is in the frame, wherever the sender put it, and the frame is dropped."""
    box, vm1 = lab.guests["box"], lab.guests["vm1"]
    box.run(["tc", "qdisc", "del", "dev", "eth0", "clsact"], check=False)
    box.install_hidden_tags()
    with lab.counts("box", "tagged"):
        assert not watch.who_gets(box, box.frame_to(vm1, new_token(), tags=[(tpid, 5)]))
    with lab.counts("box", "tagged"):
        assert not watch.who_gets(box, box.frame_to(vm1, new_token()), hidden_tag=(tpid, 5))


def test_queue_without_a_socket(lab):
    """Frames of a queue that has no socket are dropped and counted; none reaches the host."""
    lab.host.ip(f"addr add {HOST_IP4}/32 dev lo", f"addr add {HOST_IP6}/128 dev lo nodad")
    box = lab.guests["box"]
    host = HostWatch(lab)
    number = sockets_map(lab, "box")
    before = lab.drops("box").get("overrun", 0)
    dropped = sum(by_queue(lab, "drops", "box").values())
    first = nic_number(lab, "box") * 64
    for queue in range(QUEUES):
        key = [str(byte) for byte in (first + queue).to_bytes(4, "little")]
        lab.host.run(["bpftool", "map", "delete", "id", number, "key", *key])
    assert box.ping(lab.guests["vm1"].ip4, count=3).received == 0
    assert box.ping(HOST_IP4, count=3).received == 0
    wait_until(lambda: lab.drops("box").get("overrun", 0) > before, what="misses are counted")
    assert sum(by_queue(lab, "drops", "box").values()) > dropped, "by XDP, not by the guard"
    lab.ledger()
    assert not host.seen()
    lab.host.ip("link set box down")
    lab.wait_port("box", "down")
    lab.host.ip("link set box up")
    lab.wait_port("box", "up")
    assert box.ping(lab.guests["vm1"].ip4).lost == 0
    lab.host.ip(f"addr del {HOST_IP4}/32 dev lo", f"addr del {HOST_IP6}/128 dev lo")


def nic_number(lab, device):
    """Its place among the NICs: what the program's map of devices says."""
    program = xdp_of(lab, device)["prog"]["id"]
    maps = json.loads(lab.host.run(["bpftool", "-j", "prog", "show", "id", program]).stdout)
    index = json.loads(lab.host.run(["ip", "-json", "link", "show", device]).stdout)[0]["ifindex"]
    for number in maps["map_ids"]:
        if json.loads(lab.host.run(["bpftool", "-j", "map", "show", "id", number]).stdout)[
                "type"] == "hash":
            for row in json.loads(
                    lab.host.run(["bpftool", "-j", "map", "dump", "id", number]).stdout):
                if bytes(int(byte, 16) for byte in row["key"]) == index.to_bytes(4, "little"):
                    value = bytes(int(byte, 16) for byte in row["value"])
                    return int.from_bytes(value[:4], "little") // 64
    raise AssertionError(f"{device} is not among the NICs")


# --- the device -------------------------------------------------------------------------------


def test_device_goes_down_and_up(lab):
    """Down and up again: sockets closed and reopened, no buffer lost, counters go on."""
    box, vm1 = lab.guests["box"], lab.guests["vm1"]
    lab.ledger()
    for _ in range(3):
        before = lab.bh("status", json=True)["buffers_free"]
        lab.host.ip("link set box down")
        lab.wait_port("box", "down")
        lab.host.ip("link set box up")
        lab.wait_port("box", "up")
        assert vm1.ping(box.ip4).lost == 0
        lab.ledger()
        wait_until(lambda: abs(lab.bh("status", json=True)["buffers_free"] - before) < 20,
                   what=f"buffers are back: {before}")


def test_device_vanishes_and_returns(lab):
    """A device that is deleted takes its port down, and one of that name gets it back."""
    box, vm1, vm2 = (lab.guests[name] for name in ("box", "vm1", "vm2"))
    before = lab.bh("status", json=True)["buffers_free"]
    with Stream(vm1, vm2):
        box.remove_device()
        lab.wait_port("box", "waiting")
        box.make_device()
        lab.wait_port("box", "up")
        assert xdp_of(lab, "box")["mode"] == 1
        assert vm1.ping(box.ip4).lost == 0
    wait_until(lambda: abs(lab.bh("status", json=True)["buffers_free"] - before) < 20,
               what=f"buffers are back: {before}")


def test_number_of_queues_changes(lab):
    """Queues that the device gets are seen to; the kernel lets it lose none while it is up."""
    box, vm1 = lab.guests["box"], lab.guests["vm1"]

    def flows_arrive():
        server = udp_server(vm1, 4300)
        clients = [box.socket(4) for _ in range(16)]
        for client in clients:
            client.sendto(b"x", (vm1.ip4, 4300))
        for _ in clients:
            server.recv(10)
        for thing in (server, *clients):
            thing.close()

    lab.host.ip("link set box down")
    lab.wait_port("box", "down")
    box.run(["ethtool", "-L", "eth0", "tx", 2])  # a veth's peer sends on no more than there are
    lab.host.run(["ethtool", "-L", "box", "rx", 2, "tx", 2])
    lab.host.ip("link set box up")
    lab.wait_port("box", "up")
    assert lab.port("box")["queues"] == 2
    flows_arrive()
    lab.host.run(["ethtool", "-L", "box", "rx", 4, "tx", 4])
    box.run(["ethtool", "-L", "eth0", "tx", 4])
    wait_until(lambda: lab.port("box").get("queues") == 4, what="4 queues")
    lab.wait_port("box", "up")
    flows_arrive()
    lab.ledger()


# --- port del, restarts, kill -9 --------------------------------------------------------------


def test_port_added_and_deleted(own_lab):
    """By command, after the daemon has given up what it does not need; buffers are all back."""
    lab = own_lab
    words = lab.port_words("wire")
    assert words[words.index("--attach") + 1] == "xdp"
    keys = lab.config["port"].pop("wire")
    lab.start()
    wire, vm1 = lab.guests["wire"], lab.guests["vm1"]
    before = lab.bh("status", json=True)["buffers_free"]
    lab.config["port"]["wire"] = keys
    for _ in range(4):
        lab.port_add("wire")
        assert lab.bh("status", json=True)["buffers_free"] < before - 1000
        assert wire.ping(vm1.ip4).lost == 0
        lab.bh("port", "del", "wire")
        assert xdp_of(lab) is None
        wait_until(lambda: lab.bh("status", json=True)["buffers_free"] > before - 20,
                   what=f"buffers are back: {before}")
    lab.port_add("wire")
    assert 'attach = "xdp"' in lab.bh("save")
    del lab.config["port"]["wire"]
    lab.stop()
    lab.start()
    lab.wait_port("wire", "up")
    assert lab.port("wire")["attach"] == "xdp" and wire.ping(vm1.ip4).lost == 0


def test_attach_changes(own_lab):
    """From one way to the other by `port set`; the offloads follow, and the ledger goes on."""
    lab = own_lab
    lab.config["port"]["wire"]["attach"] = "conduit"
    before = features(lab)
    lab.start()
    wire, vm1 = lab.guests["wire"], lab.guests["vm1"]
    for attach in ("xdp", "conduit", "xdp", "auto"):
        with Stream(vm1, lab.guests["vm2"]):
            lab.bh("port", "set", "wire", "--attach", attach)
            lab.wait_port("wire", "up")
            shown = lab.port("wire")["attach"]
            assert shown == ("xdp" if attach == "xdp" else "conduit")
            assert wire.ping(vm1.ip4).lost == 0
            assert (xdp_of(lab) is not None) == (attach == "xdp")
            assert (features(lab) == before) == (attach != "xdp")
        lab.ledger()


OFFLOADS = ["rx-vlan-offload", "rx-vlan-stag-hw-parse", "generic-receive-offload"]


@pytest.mark.parametrize("end", ["del", "stop", "kill", "kill, del"])
def test_offloads(own_lab, end):
    """Off while the port is attached, and afterwards as they were, however the daemon ended; what
    was off before stays off."""
    lab = own_lab
    lab.host.run(["ethtool", "-K", "wire", "gro", "on", "rx-vlan-stag-hw-parse", "off"])
    before = features(lab)
    assert [before[name] for name in OFFLOADS] == ["on", "off", "on"]
    lab.start()
    during = features(lab)
    assert [during[name] for name in OFFLOADS] == ["off", "off", "off"]
    changed = {name for name in before if before[name] != during[name]}
    assert changed == {"rx-vlan-offload", "generic-receive-offload"}
    if end.startswith("kill"):
        lab.kill()
    if end == "stop":
        lab.stop()
    if end == "kill, del":  # the next daemon knows what there was before the one before it
        lab.start()
        assert features(lab) == during
    if lab.daemon:
        lab.bh("port", "del", "wire")
    else:
        assert features(lab)["rx-vlan-offload"] == "off"
        del lab.config["port"]["wire"]
        lab.start()
    wait_until(lambda: features(lab) == before, what="it is given back as it was")
    assert xdp_of(lab) is None


def test_offloads_of_another_device(own_lab):
    """A note about a device that has vanished is not taken for one about its successor."""
    lab = own_lab
    wire = lab.guests["wire"]
    index = json.loads(lab.host.run(["ip", "-json", "link", "show", "wire"]).stdout)[0]["ifindex"]
    lab.start()
    lab.kill()
    wire.remove_device()
    lab.host.ip(f"link add wire index {index} numrxqueues 4 numtxqueues 4 type veth peer name eth0"
                f" numrxqueues 4 numtxqueues 4 netns {wire.netns.name}", "link set wire up")
    wire.netns.ip("link set eth0 up")
    lab.host.run(["ethtool", "-K", "wire", "rx-vlan-offload", "off"])
    lab.start()
    lab.bh("port", "del", "wire")
    assert features(lab)["rx-vlan-offload"] == "off"


def test_nothing_touches_the_host(own_lab):
    """From the attachment to the deletion, whether the daemon runs, was killed or stopped."""
    lab = own_lab
    lab.host.ip(f"addr add {HOST_IP4}/32 dev lo", f"addr add {HOST_IP6}/128 dev lo nodad")
    lab.start()
    wire, vm1 = lab.guests["wire"], lab.guests["vm1"]
    host = HostWatch(lab)
    probes = [wire.popen(["ping", "-n", "-q", "-i", "0.01", address]) for address in
              (HOST_IP4, HOST_IP6, "10.77.255.255")]
    wire.wire().send(wire.frame_to(BROADCAST, new_token()))
    time.sleep(0.3)
    for end in (lab.kill, lab.stop, lab.kill):
        end()
        time.sleep(0.3)
        wire.wire().send(wire.frame_to(BROADCAST, new_token()))
        lab.start()
        assert wire.ping(vm1.ip4).lost == 0
    lab.host.ip("link set wire down")
    lab.wait_port("wire", "down")
    lab.host.ip("link set wire up")
    lab.wait_port("wire", "up")
    assert not host.seen()
    for probe in probes:
        probe.kill()


def test_killed_and_back_under_traffic(own_lab):
    """kill -9 and a start again, several times: guests go on talking."""
    lab = own_lab
    lab.start()
    wire, vm1 = lab.guests["wire"], lab.guests["vm1"]
    for _ in range(3):
        ping = wire.ping_start(vm1.ip4, count=60, interval=0.05)
        lab.kill()
        lab.start()
        output, _ = ping.communicate(timeout=20)
        assert int(re.search(r"(\d+) received", output)[1]) > 5, output
        assert wire.ping(vm1.ip4).lost == 0


def hold_queue(lab, device, queue):
    """An AF_XDP socket of another program on that queue: its fd."""
    libc.mmap.restype = ctypes.c_void_p
    memory = libc.mmap(None, ctypes.c_size_t(4096), 3, 0x22, -1, ctypes.c_size_t(0))
    index = json.loads(lab.host.run(["ip", "-json", "link", "show", device]).stdout)[0]["ifindex"]
    with entered(lab.host.path):
        fd = libc.socket(44, socket.SOCK_RAW, 0)  # AF_XDP; Python knows no address of it
    for option, value in [(4, struct.pack("QQII", memory, 4096, 4096, 0)),  # XDP_UMEM_REG
                          (5, struct.pack("i", 64)), (6, struct.pack("i", 64)),  # its two rings
                          (2, struct.pack("i", 64))]:  # XDP_RX_RING
        assert libc.setsockopt(fd, 283, option, value, len(value)) == 0
    address = struct.pack("HHIII", 44, 2, index, queue, 0)  # XDP_COPY
    assert libc.bind(fd, address, len(address)) == 0, os.strerror(ctypes.get_errno())
    return fd


def test_queue_in_use(own_lab):
    """A queue that another program has: the port says so and waits, closed, until it is free."""
    lab = own_lab
    fd = hold_queue(lab, "wire", 2)
    lab.start(wait_ports=False)
    host = HostWatch(lab)
    port = wait_until(lambda: lab.port("wire").get("why") and lab.port("wire"), what="a reason")
    assert port["state"] == "down" and "queue 2 of wire" in port["why"], port
    assert lab.guests["wire"].ping(lab.guests["vm1"].ip4).received == 0
    before = lab.bh("status", json=True)["buffers_free"]
    os.close(fd)
    lab.wait_port("wire", "up")
    assert lab.guests["wire"].ping(lab.guests["vm1"].ip4).lost == 0
    assert lab.bh("status", json=True)["buffers_free"] < before
    assert not host.seen()


# --- refused, with the way out ----------------------------------------------------------------


def test_foreign_program(own_lab):
    """Somebody else's XDP program on the device: refused, and left as it was."""
    lab = own_lab
    lab.config["port"]["vm2"]["attach"] = "xdp"
    attach_xdp(lab)
    before = xdp_of(lab, "vm2")
    refused(lab, "vm2", "XDP program")
    assert xdp_of(lab, "vm2") == before


def test_foreign_program_comes_later(own_lab):
    """Nobody can put another XDP program in the place of ours."""
    lab = own_lab
    lab.config["port"]["vm2"]["attach"] = "xdp"
    lab.start()
    with pytest.raises(AssertionError):
        attach_xdp(lab)
    assert xdp_of(lab, "vm2")["mode"] == 1


def refused_in_every_way(lab, device, *mentions):
    """At the start, by `port add`, and by `port set` of a port over the conduit, if it can be one:
    exit code 1 and one line; and everything is as it was."""
    before = features(lab, device)
    refused(lab, "odd", device, *mentions)
    assert features(lab, device) == before and xdp_of(lab, device) is None
    words = lab.port_words("odd")
    lab.config["port"].pop("odd")
    lab.start()
    result = lab.bh("port", "add", "odd", *words, check=False)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert all(word in result.stderr for word in (device, *mentions)), result.stderr
    assert lab.port("odd") is None
    assert features(lab, device) == before and xdp_of(lab, device) is None
    return words


def odd_port(lab, device):
    lab.config["port"]["odd"] = {"device": device, "trusted": True, "attach": "xdp"}


def test_no_nic(own_lab):
    """A device of another kind than those that are known is refused."""
    lab = own_lab
    lab.host.ip("link add odd9 type veth peer name odd9x", "link set odd9x up",
                "link set odd9 up", "link add link odd9x name mv9 type macvlan", "link set mv9 up")
    odd_port(lab, "mv9")
    words = refused_in_every_way(lab, "mv9", "macvlan", "attach")
    words[words.index("xdp")] = "auto"
    lab.bh("port", "add", "odd", *words)
    lab.wait_port("odd", "up")
    assert lab.port("odd")["attach"] == "conduit"
    result = lab.bh("port", "set", "odd", "--attach", "xdp", check=False)
    assert result.returncode == 1 and "mv9" in result.stderr
    assert lab.port("odd")["attach"] == "conduit" and lab.port("odd")["state"] == "up"


def test_driver_that_refuses(own_lab):
    """What the driver does not like is its refusal; the port goes on as it was. Here: a veth whose
    peer sends on more queues than it has."""
    lab = own_lab
    lab.host.ip("link add odd9 numtxqueues 1 numrxqueues 1 type veth peer name odd9x"
                " numtxqueues 4 numrxqueues 4", "link set odd9 up", "link set odd9x up")
    odd_port(lab, "odd9")
    words = refused_in_every_way(lab, "odd9", "native XDP", "attach")
    words[words.index("xdp")] = "conduit"
    lab.bh("port", "add", "odd", *words)
    lab.wait_port("odd", "up")
    before = features(lab, "odd9")
    result = lab.bh("port", "set", "odd", "--attach", "xdp", check=False)
    assert result.returncode == 1 and "odd9" in result.stderr
    assert lab.port("odd")["attach"] == "conduit" and lab.port("odd")["state"] == "up"
    assert features(lab, "odd9") == before


def test_mtu(own_lab):
    """An MTU beyond what a buffer takes is refused."""
    lab = own_lab
    lab.host.ip("link add odd9 mtu 3495 type veth peer name odd9x mtu 3495", "link set odd9 up")
    odd_port(lab, "odd9")
    refused_in_every_way(lab, "odd9", "3494", "mtu")


def test_host_use(own_lab):
    """A device with the host's addresses is refused, as over the conduit."""
    lab = own_lab
    lab.host.ip("addr add 10.99.0.1/24 dev wire")
    refused(lab, "wire", "take_over")
    assert xdp_of(lab) is None


def test_bad_word(own_lab):
    """Exit code 2, with the place in the file."""
    lab = own_lab
    lab.config["port"]["wire"]["attach"] = "dpdk"
    with pytest.raises(DaemonFailed) as failure:
        lab.start()
    assert failure.value.returncode == 2
    assert 'attach must be "auto", "conduit" or "xdp", not "dpdk"' in failure.value.log
