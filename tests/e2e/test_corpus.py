"""The corpus, tests/corpus/cases.txt, over real devices and through `bulkhead explain`: both say of
every frame what the corpus says, and so neither can disagree with the other.

All ports of tests/corpus/config.toml have a guest but `absent`. The guests have no addresses, so
that no frame flows but those of the corpus. What a case has taught is forgotten after it.
"""

import fcntl
import struct
import time
import tomllib
from dataclasses import dataclass

import pytest

from frames import entered
from lab import REPOSITORY, Client, Lab, wait_until

CORPUS = REPOSITORY / "tests" / "corpus"

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000

# Less than an Ethernet header, which no Ethernet device sends: test_not_for_a_wire() shows it.
NOT_FOR_A_WIRE = {"0 bytes", "1 bytes", "13 bytes"}


@dataclass
class Case:
    name: str
    port: str
    frame: bytes
    expected: str


def cases():
    found = []
    for line in (CORPUS / "cases.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, port, frame, expected = line.split(" | ")
            kind, colon, ports = expected.partition(":")
            expected = kind + colon + ",".join(sorted(ports.split(",")))
            found.append(Case(name, port, bytes.fromhex(frame), expected))
    return found


CASES = cases()


class House(Lab):
    """The bridge of config.toml, a wire in every guest, and what becomes of a frame."""

    def __init__(self):
        super().__init__()
        self.config |= tomllib.loads((CORPUS / "config.toml").read_text())
        # The host talks on a device while forget() has deleted its port.
        self.host.sysctl({"net/ipv6/conf/default/disable_ipv6": 1})
        for name in self.config["port"]:
            if name != "absent":
                self.veth(name, silent=True, port=False)
        # So that it can send what is longer than its port's MTU.
        self.guests["kali4"].netns.ip("link set eth0 mtu 1600")
        self.start(wait_ports=False)
        for name in self.guests:
            self.wait_port(name, "up")
        self.wires = {name: guest.wire() for name, guest in self.guests.items()}
        self.client = Client(self)

    def call(self, method, **parameters):
        answer = self.client.ask(method, **parameters)
        assert "result" in answer, (method, answer)
        return answer["result"]

    def counters(self):
        return {port["name"]: port for port in self.call("stats")}

    def forget(self, case):
        """As if the frame had never been."""
        self.call("fdb.flush")
        if case.port == "llany":  # has claimed a link-local address
            self.bh("port", "del", case.port)
            self.port_add(case.port)

    def explained(self, case):
        return explanation_text(self.call("explain", port=case.port, frame=case.frame.hex()))

    def on_the_wire(self, case, again=False):
        """What guests and counters say has become of the frame, in the words of the corpus. `again`:
        of the second such frame, for which the kernel may have a verdict by then."""
        if again:
            self.wires[case.port].send(case.frame)
            wait_until(lambda: not self.counters()[case.port]["ingress"]["in_flight"],
                       interval=0.001, what="a verdict on the first")
            time.sleep(0.002)
            for wire in self.wires.values():
                wire.drain()
        before = self.counters()
        handed = before[case.port]["ingress"]["handed"] + 1
        self.wires[case.port].send(case.frame)

        def judged():
            now = self.counters()
            ingress = now[case.port]["ingress"]
            return ingress["handed"] == handed and not ingress["in_flight"] and now

        after = wait_until(judged, interval=0.001, what=f"a verdict on {case.name!r}")
        got = {}
        for name, wire in self.wires.items():
            sent = after[name]["egress"]["tx"] - before[name]["egress"]["tx"]
            got[name] = [wire.receive(1.0) for _ in range(sent)]
        self.forget(case)  # which gives a frame that nobody has counted its time
        for name, wire in self.wires.items():
            got[name] += wire.drain()
        return wire_text(case, before, after, got)


def wire_text(case, before, after, got):
    def grown(name, side):
        was, now = drops(before[name][side]), drops(after[name][side])
        return [reason for reason in now for _ in range(now[reason] - was.get(reason, 0))]

    ingress = [after[case.port]["ingress"], before[case.port]["ingress"]]
    verdicts = [kind for kind in ("unicast", "flooded", "shortcut")
                if ingress[0][kind] != ingress[1][kind]]
    verdicts += grown(case.port, "ingress")
    whole = [(case.frame, None)]
    ports = [name if [(seen.data, seen.tag) for seen in frames if seen] == whole
             else f"{name} {frames}" for name, frames in sorted(got.items()) if frames]
    refused = [f"{reason}@{name}" for name in after for reason in grown(name, "egress")]
    if verdicts == ["flooded"]:
        return "flood:" + ",".join(ports)
    if verdicts in (["unicast"], ["shortcut"]):
        return " ".join(refused + ["unicast:" + port for port in ports])
    return " ".join(verdicts + refused + ports)


def drops(side):
    """{reason: count}, with what was dropped before the dataplane."""
    before = side.get("before", {})
    return {reason: side["drops"].get(reason, 0) + before.get(reason, 0)
            for reason in before | side["drops"]}


def explanation_text(explanation):
    if explanation["verdict"] != "drop":
        return explanation["verdict"] + ":" + ",".join(sorted(explanation["ports"]))
    refuser = explanation.get("refused_by")
    return explanation["reason"] + (f"@{refuser}" if refuser else "")


@pytest.fixture(scope="module")
def house():
    with House() as house:
        yield house


def test_every_case(house):
    """`explain` first, then the frame itself, on a bridge that has learned nothing."""
    wrong = []
    for case in CASES:
        explained = house.explained(case)
        happened = explained if case.name in NOT_FOR_A_WIRE else house.on_the_wire(case)
        if not explained == happened == case.expected:
            wrong.append(f"{case.name}, from {case.port}: should be {case.expected};"
                         f" the wire: {happened}; explain: {explained}")
    assert not wrong, "\n".join(wrong)
    assert len(CASES) > 500


def test_not_for_a_wire(house):
    """Those are refused by the kernel, of a packet socket and of a tap's owner alike."""
    with entered(house.host.path), open("/dev/net/tun", "r+b", buffering=0) as tap:
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"tap", IFF_TAP | IFF_NO_PI))
        house.host.ip("link set tap up")
        for case in CASES:
            if case.name in NOT_FOR_A_WIRE:
                for send in (house.wires[case.port].send, tap.write):
                    with pytest.raises(OSError, match="Invalid argument"):
                        send(case.frame)


def test_every_case_again(house):
    """What the first such frame has left behind, a verdict in the kernel among it, gives the second
    the same fate."""
    wrong = []
    for case in CASES:
        if case.name in NOT_FOR_A_WIRE:
            continue
        happened = house.on_the_wire(case, again=True)
        if happened != case.expected:
            wrong.append(f"{case.name}, from {case.port}: should be {case.expected}, too;"
                         f" the second time: {happened}")
    assert not wrong, "\n".join(wrong)


def test_explain_command(house):
    """`bulkhead explain --pcap`, a file for each port with all of its cases."""
    wrong = []
    for port in sorted({case.port for case in CASES}):
        own = [case for case in CASES if case.port == port]
        path = house.directory / f"{port}.pcap"
        path.write_bytes(pcap(case.frame for case in own))
        answers = house.bh("explain", port, "--pcap", path, json=True)
        assert len(answers) == len(own)
        wrong += [f"{case.name}, from {port}: should be {case.expected}; explain: {text}"
                  for case, text in zip(own, map(explanation_text, answers))
                  if text != case.expected]
    assert not wrong, "\n".join(wrong)


def pcap(frames):
    """A classic capture file, of Ethernet."""
    head = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 16, 1)
    return head + b"".join(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame
                           for frame in frames)
