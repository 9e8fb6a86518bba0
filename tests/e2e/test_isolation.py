"""What must not pass, does not: ISOLATION.md's laws and checks as far as MACs go, on real devices.

    segment lan:  vm1 vm2 silent (bound guests), two (bound to two MACs), iso1 iso2 (isolated),
                  uplink (trusted)
    segment far:  far1 far2 (bound guests, no trusted port)

Every "nobody gets it" is asked of a Watch, which proves with each answer that nobody was deaf.
"""

import time

import pytest

from frames import (BROADCAST, IPV4, Watch, arp_request, ethernet, new_mac, new_token,
                    rarp_announcement)
from lab import Lab, wait_until

LAN = ["vm1", "vm2", "silent", "two", "iso1", "iso2", "uplink"]
SECOND_MAC = "52:54:00:77:77:02"  # of port two


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.config["segment"] = {"lan": {"ageing": "1s"}, "far": {"ageing": "1s"}}
        lab.veth("vm1", segment="lan")
        lab.veth("vm2", segment="lan")
        lab.veth("silent", segment="lan", silent=True)
        two = lab.veth("two", segment="lan")
        lab.config["port"]["two"]["mac"] = [two.mac, SECOND_MAC]
        lab.veth("iso1", segment="lan", isolated=True)
        lab.veth("iso2", segment="lan", isolated=True)
        lab.uplink(segment="lan")
        lab.veth("far1", segment="far")
        lab.veth("far2", segment="far")
        lab.start()
        lab.guests["vm1"].install_hidden_tags()
        yield lab


@pytest.fixture(scope="module")
def watch(lab):
    guests = lab.guests
    beacons = [guests[name] for name in ("vm1", "uplink", "far1", "far2")]
    with Watch(guests.values(), beacons) as watch:
        yield watch


def names(got):
    return set(got)


# --- reach ------------------------------------------------------------------------------------


def test_unicast_reaches_its_port_only(lab, watch):
    """A frame to a bound MAC is delivered to that port and is seen nowhere else."""
    guests = lab.guests
    for sender, receiver in [("vm1", "vm2"), ("vm1", "uplink"), ("uplink", "vm1"), ("iso1", "vm1"),
                             ("vm1", "iso1"), ("iso1", "uplink"), ("far1", "far2")]:
        frame = guests[sender].frame_to(guests[receiver], new_token())
        if receiver == "uplink":  # learned, so it has to speak first
            watch.who_gets(guests["uplink"], guests["uplink"].frame_to(BROADCAST, new_token()))
        assert names(watch.who_gets(guests[sender], frame)) == {receiver}


def test_segments_share_nothing(lab, watch):
    """Frames stay in their segment: broadcasts, and unicast to the other segment's MACs."""
    guests = lab.guests
    frame = guests["far1"].frame_to(BROADCAST, new_token())
    assert names(watch.who_gets(guests["far1"], frame)) == {"far2"}
    frame = guests["vm1"].frame_to(BROADCAST, new_token())
    assert names(watch.who_gets(guests["vm1"], frame)) == set(LAN) - {"vm1"}
    with lab.counts("far1", "unknown_destination"):
        frame = guests["far1"].frame_to(guests["vm1"], new_token())
        assert not watch.who_gets(guests["far1"], frame)


def test_isolated_ports(lab, watch):
    """Isolated ports reach each other neither by unicast nor by broadcast; all others they do."""
    iso1, iso2 = lab.guests["iso1"], lab.guests["iso2"]
    with lab.counts("iso1", "isolated"):
        assert not watch.who_gets(iso1, iso1.frame_to(iso2, new_token()))
    with lab.counts("iso2", "isolated"):
        assert not watch.who_gets(iso2, iso2.frame_to(iso1, new_token()))
    got = watch.who_gets(iso1, iso1.frame_to(BROADCAST, new_token()))
    assert names(got) == set(LAN) - {"iso1", "iso2"}


def test_hairpin(lab, watch):
    """A frame to a MAC of its own port is dropped as hairpin, not sent back."""
    two = lab.guests["two"]
    with lab.counts("two", "hairpin"):
        assert not watch.who_gets(two, two.frame_to(SECOND_MAC, new_token()))
    vm1 = lab.guests["vm1"]
    assert names(watch.who_gets(vm1, vm1.frame_to(SECOND_MAC, new_token()))) == {"two"}


def test_silent_guest(lab, watch):
    """Traffic to a guest that never spoke goes to it alone, before and after any ageing time."""
    vm1, silent = lab.guests["vm1"], lab.guests["silent"]
    for _ in range(3):  # over 3 s, with an ageing of 1 s
        got = watch.who_gets(vm1, vm1.frame_to(silent, new_token()))
        assert names(got) == {"silent"}
        time.sleep(1.2)
    assert silent.mac in lab.fdb(port="silent", kind="bound")
    assert lab.stats()["silent"]["ingress"]["handed"] == 0


def test_unknown_unicast(lab, watch):
    """Unicast to nobody's MAC goes to the trusted port, to no guest; without one it is dropped."""
    guests = lab.guests
    for name in ("vm1", "iso1"):
        frame = guests[name].frame_to(new_mac(), new_token())
        assert names(watch.who_gets(guests[name], frame)) == {"uplink"}
    with lab.counts("uplink", "unknown_destination"):
        frame = guests["uplink"].frame_to(new_mac(), new_token())
        assert not watch.who_gets(guests["uplink"], frame)
    with lab.counts("far1", "unknown_destination"):
        assert not watch.who_gets(guests["far1"], guests["far1"].frame_to(new_mac(), new_token()))


def test_unknown_false():
    """A trusted port with unknown = false hears no unknown unicast; unknown = true on a guest is
    of no use against check E: it hears no frame that is not its own."""
    with Lab() as lab:
        vm1, ear = lab.veth("vm1"), lab.veth("ear", unknown=True)
        up1, up2 = lab.uplink("up1", unknown=False), lab.uplink("up2")
        lab.start()
        with Watch([vm1, ear, up1, up2], beacons=[vm1, ear]) as watch:
            got = watch.who_gets(vm1, vm1.frame_to(new_mac(), new_token()))
            assert names(got) == {"up2"}
            got = watch.who_gets(vm1, vm1.frame_to(BROADCAST, new_token()))
            assert names(got) == {"ear", "up1", "up2"}
        lab.ledger()


def test_transit():
    """Trusted ports do not reach each other, unless both say transit = true."""
    with Lab() as lab:
        vm1, vm2 = lab.veth("vm1"), lab.veth("vm2")
        ta, tb = lab.uplink("ta", transit=True), lab.uplink("tb", transit=True)
        tc = lab.uplink("tc")
        lab.start()
        with Watch([vm1, vm2, ta, tb, tc], beacons=[vm1, vm2]) as watch:
            for sender, reached in [(ta, {"tb"}), (tb, {"ta"}), (tc, set())]:
                got = watch.who_gets(sender, sender.frame_to(BROADCAST, new_token()))
                assert names(got) == reached | {"vm1", "vm2"}
            assert names(watch.who_gets(ta, ta.frame_to(tb, new_token()))) == {"tb"}
            with lab.counts("ta", "isolated"):
                assert not watch.who_gets(ta, ta.frame_to(tc, new_token()))
        lab.ledger()


# --- theft of MACs ----------------------------------------------------------------------------


def unharmed(lab, watch, victim="vm2"):
    """The victim's entry is where it was, and its traffic goes to it, only, and comes from it."""
    guests = lab.guests
    assert lab.fdb(segment="lan")[guests[victim].mac]["port"] == victim
    frame = guests["uplink"].frame_to(guests[victim], new_token())
    assert names(watch.who_gets(guests["uplink"], frame)) == {victim}
    frame = guests[victim].frame_to(guests["vm1"], new_token())
    assert names(watch.who_gets(guests[victim], frame)) == {"vm1"}


@pytest.mark.parametrize("to", ["broadcast", "unicast", "unknown"])
def test_theft_by_a_guest(lab, watch, to):
    """A frame with another guest's MAC as its source is dropped as spoofed_mac, and moves none."""
    vm1, vm2, uplink = (lab.guests[name] for name in ("vm1", "vm2", "uplink"))
    target = {"broadcast": BROADCAST, "unicast": uplink, "unknown": new_mac()}[to]
    stolen = [vm2.mac, uplink.mac, new_mac(), lab.guests["far1"].mac]
    for mac in stolen if to != "unicast" else stolen[:1] + stolen[2:]:
        with lab.counts("vm1", "spoofed_mac"):
            assert not watch.who_gets(vm1, vm1.frame_to(target, new_token(), src_mac=mac))
    unharmed(lab, watch)


def test_theft_with_source_as_destination(lab, watch):
    """A frame whose source is its destination is dropped as bad_source, the victim's MAC or one's
    own, from a guest and from the uplink."""
    vm1, vm2, uplink = (lab.guests[name] for name in ("vm1", "vm2", "uplink"))
    for sender in (vm1, uplink):
        for mac in (vm2.mac, sender.mac):
            with lab.counts(sender.name, "bad_source"):
                assert not watch.who_gets(sender, sender.frame_to(mac, new_token(), src_mac=mac))
    unharmed(lab, watch)


def test_theft_by_the_uplink(lab, watch):
    """Law 4: a bound MAC is accepted as a source from no other port, a trusted one included."""
    uplink, vm1, vm2 = (lab.guests[name] for name in ("uplink", "vm1", "vm2"))
    for target in (BROADCAST, vm1, new_mac()):
        with lab.counts("uplink", "spoofed_mac"):
            frame = uplink.frame_to(target, new_token(), src_mac=vm2.mac)
            assert not watch.who_gets(uplink, frame)
    unharmed(lab, watch)


@pytest.mark.parametrize("mac", ["00:00:00:00:00:00", BROADCAST, "01:00:5e:00:00:01"])
@pytest.mark.parametrize("name", ["vm1", "uplink"])
def test_sources_that_are_none(lab, watch, name, mac):
    """A source that is zero or a group is dropped as bad_source, from trusted ports too."""
    sender = lab.guests[name]
    with lab.counts(name, "bad_source"):
        frame = sender.frame_to(lab.guests["vm2"], new_token(), src_mac=mac)
        assert not watch.who_gets(sender, frame)
    assert mac not in lab.fdb()


def test_arpspoof_frames_of_a_stolen_mac(lab, watch):
    """An ARP request that claims another's MAC in the Ethernet header is dropped."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    frame = arp_request(vm2.mac, vm2.ip4, "10.77.0.1")
    with lab.counts("vm1", "spoofed_mac"):
        assert not watch.who_gets(vm1, frame, match=frame)
    frame = arp_request(vm1.mac, vm1.ip4, "10.77.0.200")
    assert names(watch.who_gets(vm1, frame, match=frame)) >= {"uplink"}


def test_static_entry_does_not_widen_a_binding(lab, watch):
    """Law 3: a table entry that points a foreign MAC at a guest delivers nothing to it."""
    vm1, mac = lab.guests["vm1"], new_mac()
    added = lab.bh("fdb", "add", mac, "--port", "vm2", check=False)
    try:
        got = watch.who_gets(vm1, vm1.frame_to(mac, new_token()))
        assert "vm2" not in names(got)
    finally:
        if added.returncode == 0:
            lab.bh("fdb", "del", mac, "--segment", "lan", check=False)


# --- tags, control frames, ethertypes ---------------------------------------------------------


TAGS = {
    "802.1Q": [(0x8100, 5)],
    "VID 0": [(0x8100, 0)],
    "priority": [(0x8100, 0xE000)],
    "802.1ad": [(0x88A8, 5)],
    "802.1ad VID 0": [(0x88A8, 0)],
    "QinQ": [(0x88A8, 5), (0x8100, 6)],
    "Q in Q": [(0x8100, 1), (0x8100, 2)],
    "three": [(0x8100, 0), (0x8100, 0), (0x8100, 0)],
}


@pytest.mark.parametrize("kind", TAGS)
@pytest.mark.parametrize("to", ["vm2", "uplink", "broadcast"])
def test_tags_in_the_frame(lab, watch, kind, to):
    """A guest's frame with any VLAN tag in its bytes is dropped as tagged."""
    vm1 = lab.guests["vm1"]
    target = BROADCAST if to == "broadcast" else lab.guests[to]
    with lab.counts("vm1", "tagged"):
        frame = vm1.frame_to(target, new_token(), size=100, tags=TAGS[kind])
        assert not watch.who_gets(vm1, frame)


@pytest.mark.parametrize("tag", [(0x8100, 5), (0x8100, 0), (0x88A8, 5), (0x88A8, 0), (0x8100, 1)])
@pytest.mark.parametrize("inner", [(), ((0x8100, 7),)], ids=["alone", "over another"])
def test_tags_beside_the_frame(lab, watch, tag, inner):
    """A tag hidden in the skb's metadata is seen, and the frame dropped as tagged."""
    vm1 = lab.guests["vm1"]
    for target in (lab.guests["vm2"], BROADCAST):
        frame = vm1.frame_to(target, new_token(), size=100, tags=inner)
        with lab.counts("vm1", "tagged"):
            assert not watch.who_gets(vm1, frame, hidden_tag=tag)


@pytest.mark.parametrize("tpid", [0x9100, 0x9200, 0x9300])
def test_tags_of_other_tpids(lab, watch, tpid):
    """A tag with a vendor's TPID does not pass either."""
    vm1 = lab.guests["vm1"]
    frame = vm1.frame_to(lab.guests["vm2"], new_token(), tags=[(tpid, 5)])
    before = lab.drops("vm1")
    assert not watch.who_gets(vm1, frame)
    after = lab.drops("vm1")
    grown = {reason for reason in after if after[reason] > before.get(reason, 0)}
    assert grown <= {"tagged", "ethertype"} and len(grown) == 1


def test_bulkheads_own_tag_cannot_be_forged(lab, watch):
    """802.1ad tags with every low VID, which is how the conduit names ports, take no frame to
    another port, and count on the port that sent them."""
    vm1 = lab.guests["vm1"]
    wire, token, far_drops = watch.wires["vm1"], new_token(), lab.drops("far1")
    with lab.counts("vm1", "tagged", count=128):
        for vid in range(64):
            wire.send(vm1.frame_to(BROADCAST, token, tags=[(0x88A8, vid)]))
            wire.send(vm1.frame_to(BROADCAST, token), hidden_tag=(0x88A8, vid))
        assert not watch.collect(token)
    assert lab.drops("far1") == far_drops


CONTROL = ["01:80:c2:00:00:00", "01:80:c2:00:00:01", "01:80:c2:00:00:03", "01:80:c2:00:00:0e",
           "01:80:c2:00:00:10", "01:80:c2:00:00:21", "01:80:c2:00:00:2f", "01:00:0c:cc:cc:cc",
           "01:00:0c:cc:cc:cd"]


@pytest.mark.parametrize("name", ["vm1", "uplink"])
@pytest.mark.parametrize("mac", CONTROL)
def test_control_frames(lab, watch, mac, name):
    """Frames to bridge-control addresses end here, whoever sends them, whatever their type."""
    sender = lab.guests[name]
    bpdu = ethernet(mac, sender.mac, 38, b"\x42\x42\x03" + bytes(35) + new_token())
    for frame in (bpdu, sender.frame_to(mac, new_token())):
        with lab.counts(name, "control_frame"):
            assert not watch.who_gets(sender, frame)


def test_neighbours_of_control_addresses_pass(lab, watch):
    """The group address just behind the control addresses is an ordinary one."""
    vm1 = lab.guests["vm1"]
    got = watch.who_gets(vm1, vm1.frame_to("01:80:c2:00:00:30", new_token()))
    assert names(got) == set(LAN) - {"vm1"}


@pytest.mark.parametrize("ethertype", [0x0000, 0x0026, 0x05DC, 0x05DD, 0x0600, 0x0801, 0x22F0,
                                       0x6558, 0x8847, 0x8863, 0x8864, 0x888E, 0x88CC, 0x88E5,
                                       0x893F, 0x894F, 0xFFFF])
def test_ethertypes(lab, watch, ethertype):
    """Lengths (LLC, SNAP) and ethertypes other than IPv4, ARP and IPv6 are dropped as ethertype."""
    vm1 = lab.guests["vm1"]
    for target in (lab.guests["vm2"], BROADCAST):
        with lab.counts("vm1", "ethertype"):
            frame = vm1.frame_to(target, new_token(), ethertype=ethertype)
            assert not watch.who_gets(vm1, frame)


def test_rarp_announcement(lab, watch):
    """QEMU's self-announcement after a migration passes to the ports in reach."""
    vm1 = lab.guests["vm1"]
    frame = rarp_announcement(vm1.mac)
    assert names(watch.who_gets(vm1, frame, match=frame)) == set(LAN) - {"vm1"}


RARPS = {
    "another's SHA": {"sha": "52:54:00:77:00:02"},
    "another's THA": {"tha": "52:54:00:77:00:02"},
    "a request": {"op": 1},
    "a reply": {"op": 4},
    "SPA set": {"spa": b"\x0a\x4d\0\x02"},
    "TPA set": {"tpa": b"\x0a\x4d\0\x02"},
    "to a unicast MAC": {"dst": "52:54:00:77:00:02"},
}


@pytest.mark.parametrize("kind", RARPS)
def test_other_rarp(lab, watch, kind):
    """Any other RARP frame is dropped as ethertype."""
    vm1 = lab.guests["vm1"]
    frame = rarp_announcement(vm1.mac, **RARPS[kind])
    with lab.counts("vm1", "ethertype"):
        assert not watch.who_gets(vm1, frame, match=frame[12:])


def test_allowed_ethertypes_pass(lab, watch):
    """The observers see the three ethertypes that do pass, so the tests above could fail."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    assert names(watch.who_gets(vm1, vm1.frame_to(vm2, new_token(), ethertype=IPV4))) == {"vm2"}
    assert vm1.ping(vm2.ip4, count=1).lost == 0 and vm1.ping(vm2.ip6, count=1).lost == 0
    frame = arp_request(vm1.mac, vm1.ip4, vm2.ip4)
    assert "vm2" in names(watch.who_gets(vm1, frame, match=frame))


# --- where it shows ---------------------------------------------------------------------------


def test_explain_agrees_with_the_wire(lab, watch):
    """`explain` gives the verdict and reason that the wire shows, and changes nothing."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    cases = [
        (vm1.frame_to(vm2, new_token()), "unicast", {"vm2"}, None),
        (vm1.frame_to(BROADCAST, new_token()), "flood", set(LAN) - {"vm1"}, None),
        (vm1.frame_to(vm2, new_token(), src_mac=vm2.mac), "drop", set(), "bad_source"),
        (vm1.frame_to(BROADCAST, new_token(), src_mac=vm2.mac), "drop", set(), "spoofed_mac"),
        (vm1.frame_to(vm2, new_token(), tags=[(0x8100, 1)]), "drop", set(), "tagged"),
        (vm1.frame_to(vm2, new_token(), ethertype=0x88CC), "drop", set(), "ethertype"),
        (vm1.frame_to(CONTROL[0], new_token()), "drop", set(), "control_frame"),
    ]
    for frame, verdict, reached, reason in cases:
        before = lab.drops("vm1")
        answer = lab.bh("explain", "vm1", frame.hex(), json=True)
        assert lab.drops("vm1") == before
        assert answer["verdict"] == verdict and set(answer["ports"]) == reached
        assert reason is None or answer["reason"] == reason
        failed = [check["check"] for check in answer["checks"] if not check["passed"]]
        assert answer["checks"] and bool(failed) == (verdict == "drop")
        assert names(watch.who_gets(vm1, frame)) == reached
    mac = new_mac()
    frame = vm1.frame_to(vm2, new_token(), src_mac=mac)
    assert lab.bh("explain", "uplink", frame.hex(), json=True)["verdict"] == "unicast"
    assert mac not in lab.fdb()


def test_drops_are_told(lab, watch):
    """A drop is counted in `port show`, and logged with port, reason and the claimed MAC."""
    two, mac = lab.guests["two"], new_mac()  # a port without drops so far: the log has a limit
    assert "bad_source" not in lab.port("two")["drops"]
    with lab.counts("two", "bad_source"):
        watch.who_gets(two, two.frame_to(mac, new_token(), src_mac=mac))
    assert lab.port("two")["drops"]["bad_source"] == 1

    def logged():
        return any("two" in line and "bad_source" in line and mac in line
                   for line in lab.log().splitlines())

    wait_until(logged, what="the drop is logged")
