"""The shortcut: what the kernel forwards by itself, by which road, counted how, and for how long.

    vm1 ══ veth ══╗            ╔══ veth ══ vm2
                  ╠ bulkheadd ═╣
    vm3 ══ tap ═══╝            ╚══ veth ══ uplink
"""

import itertools
import socket
import time
from contextlib import contextmanager

import pytest

from frames import IPV4, ethernet, ipv4_udp
from lab import Lab, wait_until

FLOOD = ("--size", 100)


@pytest.fixture
def lab():
    with Lab() as lab:
        lab.config["bulkhead"]["shortcut"] = True
        yield lab


def pair(lab, **options):
    """Two guests that say nothing by themselves."""
    guests = [lab.veth(name, silent=True, **options) for name in ("vm1", "vm2")]
    lab.start()
    return guests


def flow(lab, name):
    """What the kernel has forwarded from and to the port."""
    port = lab.stats()[name]
    return port["ingress"]["shortcut"], port["egress"]["shortcut"]


@contextmanager
def flooding(sender, receiver, **options):
    """The sender sends as fast as it can, by the shortcut; yields when that has begun."""
    process = sender.flood_start(receiver.mac, *FLOOD, "--src-ip", sender.ip4, "--dst-ip",
                                 receiver.ip4, **options)
    try:
        wait_until(lambda: flow(sender.lab, sender.name)[0] > 1000, what="the shortcut is taken")
        assert received(receiver) > 1000
        yield
    finally:
        process.terminate()
        process.wait()


def received(guest):
    return device_counts(guest)[1]


def device_counts(guest):
    """Bytes and frames that the guest's device received, and bytes and frames that it sent. Not by
    /sys, which shows another namespace's."""
    line = next(line for line in guest.run(["cat", "/proc/net/dev"]).stdout.splitlines()
                if line.strip().startswith("eth0:"))
    fields = [int(field) for field in line.split(":")[1].split()]
    return fields[0], fields[1], fields[8], fields[9]


def assert_nothing_more(guest, seconds=0.2):
    """Not one frame of the flood reaches the guest from here on."""
    with guest.wire() as wire:
        time.sleep(seconds)
        assert not [seen.data.hex() for seen in wire.drain() if seen.ethertype == IPV4]


# --- what takes it -------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [4, 6])
def test_takes_the_shortcut_and_counts_exactly(lab, family):
    one, other = lab.veth("vm1"), lab.veth("vm2")
    lab.start()
    assert one.ping(other.address(family), count=3).lost == 0
    before = flow(lab, "vm1"), flow(lab, "vm2")
    assert one.ping(other.address(family), count=100, interval=0.002).lost == 0
    lab.ledger()
    after = flow(lab, "vm1"), flow(lab, "vm2")
    for then, now in zip(before, after):
        assert now[0] - then[0] >= 100 and now[1] - then[1] >= 100
    port = lab.port("vm1")
    stats = lab.stats()["vm1"]
    assert port["rx_frames"] == stats["ingress"]["shortcut"] + stats["ingress"]["received"]
    assert port["tx_frames"] == stats["egress"]["tx"]
    who = 'port="vm1",segment="default"'
    told = dict(line.rsplit(" ", 1) for line in lab.bh("metrics").splitlines())
    for side in ("ingress", "egress"):
        assert int(told[f'bulkhead_port_shortcut_frames_total{{{who},side="{side}"}}']) == \
            stats[side]["shortcut"]
    assert int(told[f"bulkhead_port_receive_frames_total{{{who}}}"]) == port["rx_frames"]
    assert int(told[f"bulkhead_port_transmit_frames_total{{{who}}}"]) == port["tx_frames"]
    misses = stats["flows"]["misses"]
    assert misses["no_key"] >= 0 and all(
        int(told[f'bulkhead_port_shortcut_missed_frames_total{{{who},reason="{reason}"}}']) == count
        for reason, count in misses.items())


def test_tcp_takes_it_and_is_counted_in_segments(lab):
    one, other = lab.veth("vm1"), lab.veth("vm2")
    lab.start()
    one.ping(other.ip4)
    assert one.tcp_mbps(other, mbytes=64) > 100
    lab.ledger()
    stats = lab.stats()["vm1"]["ingress"]
    assert stats["shortcut_bytes"] > 64e6
    assert stats["shortcut"] > 64e6 / 1514
    assert stats["shortcut_bytes"] / stats["shortcut"] < 1514.1


def test_roads(lab):
    """By peer to another namespace, by redirect to a tap, to a veth in the same one, and where the
    guest's own XDP program is to see the frames; and ports that take no part say why."""
    guests = {"vm1": lab.veth("vm1"), "vm2": lab.veth("vm2", shortcut="redirect"),
              "vm3": lab.tap("vm3"), "vm4": lab.veth("vm4", shortcut=False)}
    lab.start()
    roads = {name: lab.port(name)["shortcut"] for name in guests}
    assert roads == {"vm1": "peer", "vm2": "redirect", "vm3": "redirect", "vm4": "none"}
    assert lab.port("vm4")["shortcut_why"] == "shortcut = false"
    for name, other in itertools.permutations(("vm1", "vm2", "vm3"), 2):
        before = flow(lab, name)[0]
        assert guests[name].ping(guests[other].ip4, count=5).lost == 0
        assert flow(lab, name)[0] > before, (name, other)
    assert guests["vm1"].ping(guests["vm4"].ip4).lost == 0
    assert flow(lab, "vm4") == (0, 0)
    lab.ledger()


def test_off_for_all(lab):
    lab.config["bulkhead"]["shortcut"] = False
    one, other = lab.veth("vm1"), lab.veth("vm2")
    lab.start()
    assert one.ping(other.ip4, count=10).lost == 0
    assert flow(lab, "vm1") == (0, 0)
    assert lab.port("vm1")["shortcut_why"] == "shortcut = false in [bulkhead]"
    assert lab.bh("flow", "show", json=True) == []


def test_to_and_from_a_trusted_port_addresses_beyond_it_need_no_entries(lab):
    """However many hosts are behind the uplink, a guest has one entry to it, and it one to him."""
    guest, uplink = lab.veth("vm1"), lab.uplink()
    lab.start()
    addresses = [f"198.51.100.{number}" for number in range(1, 51)]
    uplink.netns.ip(*(f"addr add {address}/32 dev eth0" for address in addresses))
    guest.netns.ip(f"route add 198.51.100.0/24 via {uplink.ip4}")
    for address in addresses:
        assert guest.ping(address, count=2, interval=0.002).lost == 0
    flows = [row for row in lab.bh("flow", "show", json=True) if row["family"] == "ipv4"]
    assert sorted((row["from"], str(row["source"]), str(row["destination"])) for row in flows) == [
        ("uplink", "None", guest.ip4), ("vm1", guest.ip4, "None")]
    assert flow(lab, "vm1")[0] > 90


def test_flow_show_and_flush(lab):
    one, other = lab.veth("vm1"), lab.veth("vm2")
    lab.veth("vm3")
    lab.start()
    one.ping(other.ip4, count=5)
    rows = {row["from"]: row for row in lab.bh("flow", "show", "vm1", json=True)
            if row["family"] == "ipv4"}
    assert set(rows) == {"vm1", "vm2"}
    row = rows["vm1"]
    assert row["to"] == "vm2" and row["source"] == one.ip4 and row["destination"] == other.ip4
    assert row["source_mac"] == one.mac and row["destination_mac"] == other.mac
    assert row["frames"] >= 3 and row["bytes"] >= 3 * 98 and row["age_seconds"] < 60
    assert one.ip4 in lab.bh("flow", "show")
    assert lab.bh("flow", "show", "vm3", json=True) == []
    lab.bh("flow", "flush")
    assert lab.bh("flow", "show", json=True) == []
    assert one.ping(other.ip4, count=5).lost == 0
    assert lab.bh("flow", "show", json=True)


def test_explain_says_whether_the_kernel_may(lab):
    one, other = lab.veth("vm1"), lab.veth("vm2")
    lab.start()
    said = lab.bh("explain", "vm1", "--to", "vm2", "--tcp", 80, json=True)
    assert said["shortcut"] == {"possible": True, "why_not": ""}
    said = lab.bh("explain", "vm1", "--to", "vm2", "--arp", json=True)
    assert not said["shortcut"]["possible"]
    frame = bytearray(ethernet(other.mac, one.mac, IPV4, ipv4_udp(one.ip4, other.ip4, b"x")))
    frame[36:38] = (1985).to_bytes(2, "big")  # HSRP's
    said = lab.bh("explain", "vm1", frame.hex(), json=True)
    assert said["shortcut"]["why_not"] == "it says something to a check"


# --- staleness -----------------------------------------------------------------------------------


def take_binding_away(lab):
    lab.bh("port", "set", "vm1", "--ip", "10.77.9.9/16")


def take_receivers_binding_away(lab):
    lab.bh("port", "set", "vm2", "--ip", "10.77.9.9/16")


def isolate(lab):
    lab.bh("port", "set", "vm1", "--isolated")


def move_to_a_segment(lab):
    lab.bh("port", "set", "vm2", "--segment", "other")


def delete_receiver(lab):
    # The host, whose device it is soon, would say something there.
    lab.host.sysctl({"net/ipv6/conf/vm2/disable_ipv6": 1})
    lab.bh("port", "del", "vm2")


def delete_sender(lab):
    lab.bh("port", "del", "vm1")


@pytest.mark.parametrize("change", [take_binding_away, take_receivers_binding_away, isolate,
                                    move_to_a_segment, delete_receiver, delete_sender])
def test_nothing_passes_after_the_answer(lab, change):
    if change is isolate:
        lab.veth("vm2", silent=True, isolated=True)
        lab.veth("vm1", silent=True)
        lab.start()
    else:
        pair(lab)
    one, other = lab.guests["vm1"], lab.guests["vm2"]
    with flooding(one, other):
        change(lab)
        assert_nothing_more(other)


def test_nothing_passes_that_is_too_long_now(lab):
    one, other = pair(lab)
    process = one.flood_start(other.mac, "--size", 1400, "--src-ip", one.ip4, "--dst-ip", other.ip4)
    wait_until(lambda: flow(lab, "vm1")[0] > 1000, what="the shortcut is taken")
    lab.host.ip("link set vm2 mtu 1000")
    wait_until(lambda: lab.port("vm2")["mtu"] == 1000, what="the MTU is noticed")
    assert_nothing_more(other)
    process.terminate()


def test_a_learned_address_that_moves_is_followed(lab):
    """From one learning port to another: the first one gets nothing more."""
    sender = lab.veth("vm1", silent=True)
    places = [lab.veth(name, silent=True, mac="any", ip="any") for name in ("vm2", "vm3")]
    lab.start()
    address = "52:54:00:aa:aa:aa"
    say = [place.frame_to(sender, b"here", src_mac=address) for place in places]
    wires = [place.wire() for place in places]
    wires[0].send(say[0])
    wait_until(lambda: lab.fdb().get(address, {}).get("port") == "vm2", what="learned")
    process = sender.flood_start(address, *FLOOD, "--src-ip", sender.ip4, "--dst-ip", "10.77.0.99")
    wait_until(lambda: flow(lab, "vm1")[0] > 1000, what="the shortcut is taken")
    wires[1].send(say[1])
    wait_until(lambda: lab.fdb()[address]["port"] == "vm3", what="moved")
    assert_nothing_more(places[0])
    before = received(places[1])
    time.sleep(0.1)
    assert received(places[1]) > before
    lab.bh("fdb", "flush")
    assert_nothing_more(places[0])
    assert_nothing_more(places[1])
    process.terminate()


def test_the_source_stays_young_while_the_kernel_forwards(lab):
    sender = lab.veth("vm1", silent=True, mac="any", ip="any")
    receiver = lab.veth("vm2", silent=True)
    lab.config["segment"]["default"] = {"ageing": "2s"}
    lab.start()
    with flooding(sender, receiver):
        end = time.monotonic() + 5
        while time.monotonic() < end:
            assert sender.mac in lab.fdb(kind="learned")
            time.sleep(0.1)
    wait_until(lambda: sender.mac not in lab.fdb(kind="learned"), timeout=6, what="it ages")


# --- without a daemon ----------------------------------------------------------------------------


def test_pairs_in_the_table_go_on_without_a_daemon_and_nothing_else(lab):
    one, other, third = (lab.veth(name) for name in ("vm1", "vm2", "vm3"))
    lab.config["bulkhead"]["linger"] = "8s"
    lab.start()
    for guest in (other, third):
        assert one.ping(guest.ip4).lost == 0
    lab.bh("flow", "flush")
    assert one.ping(other.ip4, count=5).lost == 0
    for end in (lab.kill, lab.stop):
        end()
        assert one.ping(other.ip4, count=10, interval=0.1).lost == 0
        assert one.ping(third.ip4, count=3).received == 0
        wait_until(lambda: one.ping(other.ip4, count=1).received == 0, timeout=15,
                   what="it ends with its time")
        lab.start()
        assert one.ping(other.ip4, count=5).received >= 4


def test_the_next_daemon_ends_what_its_policy_does_not_have(lab):
    """A guest whose port is gone is not forwarded by the table of the daemon before, although its
    device stays as it is."""
    one, other = lab.veth("vm1"), lab.veth("vm2")
    keys = lab.config["port"].pop("vm1")
    lab.start()
    lab.config["port"]["vm1"] = keys
    lab.by_command("vm1")
    assert one.ping(other.ip4, count=5).lost == 0
    lab.kill()
    assert one.ping(other.ip4).received == 3
    lab.state_path.write_text("[port.")  # what commands added is lost: its devices stay closed
    lab.start()
    assert one.ping(other.ip4).received == 0


def test_linger_0_stops_with_the_daemon(lab):
    one, other = lab.veth("vm1"), lab.veth("vm2")
    lab.config["bulkhead"]["linger"] = "0s"
    lab.start()
    assert one.ping(other.ip4, count=5).lost == 0
    lab.kill()
    time.sleep(1)
    assert one.ping(other.ip4).received == 0
    lab.start()
    assert one.ping(other.ip4, count=5).received >= 4
    lab.stop()
    assert one.ping(other.ip4).received == 0


# --- attacks on it -------------------------------------------------------------------------------


def test_a_guest_with_many_addresses_takes_no_entry_of_others(lab):
    """A /64 of its own, each datagram from another address of it, at full rate: its own region is
    full, others keep theirs and their answers."""
    attacker = lab.veth("vm1", prefixes=["fd99::/64"])
    one, other = lab.veth("vm2"), lab.veth("vm3")
    lab.start()
    assert one.ping(other.ip4, count=5).lost == 0
    script = ("import socket,struct,sys\n"
              "s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW);s.bind(('eth0',0))\n"
              "head=bytes.fromhex(sys.argv[1]);tail=bytes.fromhex(sys.argv[2])\n"
              "for i in range(200000):\n"
              " s.send(head+b'\\xfd\\x99'+bytes(6)+struct.pack('>Q',i+1)+tail)\n")
    head = (other.mac + attacker.mac).replace(":", "") + "86dd60000000" + "00081140"
    tail = socket.inet_pton(socket.AF_INET6, other.ip6).hex() + "04d204d200080000"
    process = attacker.popen(["python3", "-c", script, head, tail])
    result = one.ping(other.ip4, count=200, interval=0.01)
    process.wait(timeout=60)
    assert result.lost == 0
    stats = lab.stats()
    assert stats["vm1"]["flows"]["refused"] > 0
    assert stats["vm2"]["flows"]["refused"] == 0
    mine = [row for row in lab.bh("flow", "show", "vm2", json=True) if row["from"] == "vm2"]
    assert mine
    lab.ledger()


# --- the guard -----------------------------------------------------------------------------------


def test_the_host_cannot_send_out_of_a_port(lab):
    """The guard lets the shortcut's frames pass, and nothing of the host's stack."""
    guest, other = lab.veth("vm1", shortcut="redirect"), lab.veth("vm2", shortcut="redirect")
    lab.start()
    assert other.ping(guest.ip4, count=5).lost == 0
    assert flow(lab, "vm2")[0] > 0
    lab.host.ip("link add outside type veth peer name beyond", "addr add 10.77.5.5/16 dev vm1",
                "addr add 192.0.2.1/24 dev outside", "link set outside up")
    before = received(guest)
    lab.host.run(["ping", "-c", "3", "-i", "0.1", "-W", "1", guest.ip4], check=False)
    assert received(guest) == before
