"""What an operator sees of what is dropped: capture, metrics, monitor, the log, explain, shadow mode.

    segment default:  vm1 vm2 (bound guests), uplink (trusted), dark (a guest in shadow mode)

Frames go over real devices; what is captured is read back with scapy's reader.
"""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import time
from dataclasses import dataclass

import pytest
from scapy.utils import RawPcapNgReader, wrpcap

from frames import (BROADCAST, IPV4, IPV6, arp_request, checksum, ethernet, ipv4_udp, new_mac,
                    new_token)
from lab import BUILD, Lab, wait_until


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.veth("vm1")
        lab.veth("vm2")
        lab.veth("dark", enforce=False)
        lab.uplink()
        lab.start()
        yield lab


@pytest.fixture(scope="module")
def wires(lab):
    return {name: guest.wire() for name, guest in lab.guests.items()}


# --- frames that a guest may not send ---------------------------------------------------------


def ipv6(src, dst, header, payload, hop_limit=255):
    head = struct.pack("!IHBB", 6 << 28, len(payload), header, hop_limit)
    return head + socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + \
        payload


def icmpv6(src, dst, kind, body):
    payload = struct.pack("!BBH", kind, 0, 0) + body
    pseudo = (socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) +
              struct.pack("!II", len(payload), 58))
    payload = payload[:2] + struct.pack("!H", checksum(pseudo + payload)) + payload[4:]
    return ipv6(src, dst, 58, payload)


def hostile(lab, reason):
    """A frame of vm1's that is dropped for that reason."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    all_nodes = "33:33:00:00:00:01"
    match reason:
        case "spoofed_mac":
            return vm1.frame_to(vm2, new_token(), src_mac=new_mac())
        case "tagged":
            return vm1.frame_to(vm2, new_token(), tags=[(0x8100, 7)])
        case "spoofed_arp":
            return arp_request(vm1.mac, vm2.ip4, vm1.ip4)
        case "spoofed_ip":
            return ethernet(vm2.mac, vm1.mac, IPV4, ipv4_udp("10.77.9.9", vm2.ip4, new_token()))
        case "spoofed_nd":  # an advertisement of vm2's address
            body = struct.pack("!I", 0x20000000) + socket.inet_pton(socket.AF_INET6, vm2.ip6)
            return ethernet(all_nodes, vm1.mac, IPV6, icmpv6(vm1.ip6, "ff02::1", 136, body))
        case "rogue_router":
            body = struct.pack("!BBHII", 64, 0, 1800, 0, 0)
            link_local = "fe80::5054:ff:fe77:1"
            return ethernet(all_nodes, vm1.mac, IPV6, icmpv6(link_local, "ff02::1", 134, body))
        case "rogue_dhcp":
            udp = struct.pack("!HHHH", 67, 68, 8 + 240, 0) + bytes([2, 1, 6, 0]) + bytes(236)
            head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                               socket.inet_aton(vm1.ip4), bytes([255] * 4))
            head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
            return ethernet(BROADCAST, vm1.mac, IPV4, head + udp)
        case "rogue_querier":
            igmp = struct.pack("!BBH4s", 0x11, 100, 0, bytes(4))
            igmp = igmp[:2] + struct.pack("!H", checksum(igmp)) + igmp[4:]
            head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(igmp), 0, 0, 1, 2, 0,
                               socket.inet_aton(vm1.ip4), socket.inet_aton("224.0.0.1"))
            head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
            return ethernet("01:00:5e:00:00:01", vm1.mac, IPV4, head + igmp)
        case "not_addressee":  # to vm2's MAC, and an address that nobody has
            return ethernet(vm2.mac, vm1.mac, IPV4, ipv4_udp(vm1.ip4, "10.77.8.8", new_token()))
    raise ValueError(reason)


# reason: the check that fails, and what its line names
REASONS = {
    "spoofed_mac": ("2 source binding", ["vm1"]),
    "tagged": ("3 no tag", ["0x8100"]),
    "spoofed_arp": ("6 ARP sender or probed address", ["which is port vm2's", "10.77.0.1/16"]),
    "spoofed_ip": ("7 IPv4 source", ["10.77.9.9", "10.77.0.1/16"]),
    "spoofed_nd": ("10 advertised target", ["fd77::2, which is port vm2's", "fd77::1/64"]),
    "rogue_router": ("11 role", ["router advertisement", "no role"]),
    "rogue_dhcp": ("11 role", ["DHCP server message", "no role"]),
    "rogue_querier": ("11 role", ["IGMP query", "no role"]),
    "not_addressee": ("E destination address", ["vm2", "10.77.8.8", "10.77.0.2/16"]),
}


# --- capture ----------------------------------------------------------------------------------


class Capture:
    """`bulkhead capture WORDS -w FILE` from when it captures until stop()."""

    number = 0

    def __init__(self, lab, *words):
        Capture.number += 1
        self.lab = lab
        self.path = lab.directory / f"{Capture.number}.pcapng"
        self.process = lab.spawn(
            [BUILD / "bulkhead", "--socket", lab.socket_path, "capture", *words, "-w", self.path],
            stderr=subprocess.PIPE, text=True)
        wait_until(lambda: self.path.exists() and self.path.stat().st_size, what="a capture began")

    def stop(self, by=signal.SIGINT):
        """[(bytes, metadata)], and what was said."""
        if by and self.process.poll() is None:
            time.sleep(0.1)
            self.process.send_signal(by)
        _, said = self.process.communicate(timeout=5)
        assert self.process.returncode == 0, said
        frames = read_pcapng(self.path.read_bytes())
        reader = RawPcapNgReader(str(self.path))
        assert [data for data, _ in reader] == [frame.data for frame in frames]
        reader.close()
        return frames, said


@dataclass
class Captured:
    """What scapy's reader of Debian 12 does not tell, besides what it does."""

    data: bytes
    port: str
    comment: str
    outbound: bool
    seconds: float  # since 1970


def read_pcapng(data):
    """Of one little-endian section, as the draft has it."""
    ports, frames = [], []
    while data:
        kind, length = struct.unpack_from("<II", data)
        assert length % 4 == 0 and struct.unpack_from("<I", data, length - 4) == (length,)
        body, data = data[8:length - 4], data[length:]
        if kind == 1:
            assert body[:2] == b"\x01\0"  # Ethernet
            ports.append(pcapng_options(body[8:])[2].decode())
        elif kind == 6:
            port, high, low, captured, total = struct.unpack_from("<IIIII", body)
            assert captured == total
            options = pcapng_options(body[20 + (captured + 3) // 4 * 4:])
            frames.append(Captured(body[20:20 + captured], ports[port], options[1].decode(),
                                   options[2] == b"\x02\0\0\0", ((high << 32) + low) / 1e6))
    assert len(ports) == len(set(ports))
    return frames


def pcapng_options(data):
    options = {}
    while (head := struct.unpack_from("<HH", data))[0]:
        options[head[0]] = data[4:4 + head[1]]
        data = data[4 + (head[1] + 3) // 4 * 4:]
    return options


def comments(frames):
    return [frame.comment for frame in frames]


def test_capture_byte_for_byte(lab, wires):
    """Every dropped frame is in the file as it was sent, with port, reason, side and direction."""
    capture = Capture(lab)
    sent = []
    for reason in REASONS:
        frame = hostile(lab, reason)
        sent.append((reason, frame))
        wires["vm1"].send(frame)
    large = lab.guests["vm1"].frame_to(lab.guests["vm2"], new_token(), size=1514, src_mac=new_mac())
    sent.append(("spoofed_mac", large))
    wires["vm1"].send(large)
    frames, said = capture.stop()
    got = {frame.data: frame for frame in frames}
    for reason, data in sent:
        assert data in got, f"{reason} is not in the capture"
        frame = got[data]
        side = "egress" if reason == "not_addressee" else "ingress"
        assert frame.comment == f"reason={reason} side={side} from=vm1"
        assert frame.port == ("vm2" if side == "egress" else "vm1")
        assert frame.outbound == (side == "egress")
        assert abs(frame.seconds - time.time()) < 60
    assert f"{len(frames)} frames captured, 0 lost" in said


def test_capture_filters_and_counts(lab, wires):
    """--port and --reason choose, --count ends it; who asks for nothing gets everything."""
    by_reason = Capture(lab, "--reason", "tagged")
    by_port = Capture(lab, "--port", "vm2")
    both = Capture(lab, "--port", "vm1", "--reason", "spoofed_ip", "--count", "2")
    for _ in range(3):
        for reason in ("tagged", "spoofed_ip", "not_addressee"):
            wires["vm1"].send(hostile(lab, reason))
    frames, said = both.stop(by=None)
    assert comments(frames) == ["reason=spoofed_ip side=ingress from=vm1"] * 2
    assert "2 frames captured" in said
    assert comments(by_reason.stop()[0]) == ["reason=tagged side=ingress from=vm1"] * 3
    assert comments(by_port.stop(signal.SIGTERM)[0]) == [
        "reason=not_addressee side=egress from=vm1"] * 3


@pytest.mark.alone
def test_capture_accounts_for_every_drop(lab):
    """In a flood that no client could follow: drops = captured + lost, to the frame."""
    vm1 = lab.guests["vm1"]
    before = lab.drops("vm1").get("spoofed_mac", 0)
    capture = Capture(lab, "--reason", "spoofed_mac")
    vm1.flood(lab.guests["vm2"].mac, "--seconds", "1", src_mac=new_mac())
    lab.ledger()
    time.sleep(1.0)
    frames, said = capture.stop()
    captured, lost = map(int, re.search(r"(\d+) frames captured, (\d+) lost", said).groups())
    assert captured == len(frames)
    assert captured + lost == lab.drops("vm1")["spoofed_mac"] - before


def test_capture_to_a_pipe(lab, wires):
    """-w - writes to standard output, frame by frame; it ends when the reader has gone."""
    process = lab.spawn([BUILD / "bulkhead", "--socket", lab.socket_path, "capture", "-w", "-"],
                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    header = process.stdout.read(8)
    frame = hostile(lab, "spoofed_mac")
    wires["vm1"].send(frame)
    data = header
    while frame not in data:
        data += process.stdout.read1(65536)
    process.stdout.close()

    def ended():
        wires["vm1"].send(frame)
        return process.poll() is not None

    wait_until(ended, what="capture ends with its reader")
    assert process.returncode == 0


def test_capture_usage(lab):
    """An unknown port or reason is a usage error that lists those there are; so is no file."""
    target = lab.directory / "never.pcapng"
    for words, mentions in ((["--port", "nope"], ["nope", "vm1, vm2"]),
                            (["--reason", "nope"], ["nope", "spoofed_arp", "overrun"]),
                            (["--count", "0"], ["count"])):
        result = lab.bh("capture", *words, "-w", target, check=False)
        assert result.returncode == 2 and not target.exists(), result
        assert len(result.stderr.splitlines()) == 1
        assert all(mention in result.stderr for mention in mentions), result.stderr
    assert lab.bh("capture", check=False).returncode == 2
    result = lab.bh("capture", "-w", lab.directory / "no" / "where", check=False)
    assert result.returncode == 1 and "No such file" in result.stderr


def test_captures_at_a_time(lab):
    """Four run at a time; a fifth is refused, and may come when one has ended."""
    running = [Capture(lab) for _ in range(4)]
    fifth = lab.directory / "fifth"
    result = lab.bh("capture", "-w", fifth, check=False)
    assert result.returncode == 1 and "4 run already" in result.stderr
    for capture in running:
        capture.stop()
    Capture(lab).stop()


@pytest.mark.alone
def test_capture_that_never_reads(lab, wires):
    """A client that does not read loses frames, which is counted; the daemon does not grow."""
    def resident_kib():
        with open(f"/proc/{lab.daemon.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])

    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(lab.socket_path))
        deaf.sendall(b'{"jsonrpc":"2.0","id":1,"method":"capture"}\n')
        time.sleep(0.2)
        before = resident_kib()
        vm1 = lab.guests["vm1"]
        vm1.flood(lab.guests["vm2"].mac, "--seconds", "2", "--size", "1500", src_mac=new_mac())
        assert resident_kib() - before < 16 * 1024
        assert lab.bh("status", json=True)["version"]
        deaf.settimeout(0.5)
        lost, data = 0, b""
        deadline = time.monotonic() + 10
        while not lost and time.monotonic() < deadline:
            data += deaf.recv(1 << 20)
            if match := re.search(rb'"event":"lost","frames":(\d+)', data):
                lost = int(match[1])
        assert lost > 0
    wait_until(lambda: lab.guests["vm1"].ping(lab.guests["vm2"].ip4, count=3).lost == 0)


def test_capture_follows_its_port(lab, wires):
    """A port that is deleted and added again is captured on; another in its place is not."""
    capture = Capture(lab, "--port", "vm1")
    lab.bh("port", "del", "vm1")
    lab.bh("port", "del", "vm2")
    lab.port_add("vm2")
    frame = ethernet(lab.guests["vm1"].mac, lab.guests["vm2"].mac, IPV4,
                     ipv4_udp("10.77.9.9", "10.77.0.1", new_token()))
    wires["vm2"].send(frame)
    lab.port_add("vm1")
    time.sleep(0.1)
    mine = hostile(lab, "spoofed_ip")
    wires["vm1"].send(mine)
    captured = [frame.data for frame in capture.stop()[0]]
    assert mine in captured and frame not in captured


# --- metrics ----------------------------------------------------------------------------------


def samples(text):
    """{(name, labels…): value}"""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = re.fullmatch(r"([a-z_]+)(\{.*\})? (\S+)", line).groups()
        found[name, *re.findall(r'(\w+)="([^"]*)"', labels or "")] = float(value)
    return found


def test_metrics_agree_with_stats(lab, wires):
    """`metrics` is OpenMetrics text, and its numbers are those of `stats`."""
    for reason in REASONS:
        wires["vm1"].send(hostile(lab, reason))
    dark, vm2 = lab.guests["dark"], lab.guests["vm2"]
    wires["dark"].send(ethernet(vm2.mac, dark.mac, IPV4, ipv4_udp("10.77.9.9", vm2.ip4, b"x")))
    lab.ledger()
    text, stats = lab.bh("metrics"), lab.stats()
    assert text.endswith("\n# EOF\n") and json.loads(lab.bh("--json", "metrics")).endswith("# EOF\n")
    got = samples(text)
    for name, port in stats.items():
        who = (("port", name), ("segment", "default"))
        ingress, egress = port["ingress"], port["egress"]
        for metric, value in (("handed_frames_total", ingress["handed"]),
                              ("receive_frames_total", ingress["received"] + ingress["shortcut"]),
                              ("receive_bytes_total", ingress["bytes"] + ingress["shortcut_bytes"]),
                              ("in_flight_frames", ingress["in_flight"]),
                              ("transmit_frames_total", egress["tx"]),
                              ("transmit_bytes_total", egress["bytes"]),
                              ("enforced", int(name != "dark"))):
            assert got[f"bulkhead_port_{metric}", *who] == value, (name, metric)
        for metric, side, counts in (("dropped", "ingress", ingress["drops"]),
                                     ("dropped", "egress", egress["drops"]),
                                     ("shadow", "ingress", ingress["shadow"]),
                                     ("before_dropped", "ingress", ingress["before"])):
            key = f"bulkhead_port_{metric}_frames_total"
            told = {labels[2][1]: value for (series, *labels), value in got.items()
                    if series == key and tuple(labels[:2]) == who and labels[3][1] == side and value}
            assert told == {reason: count for reason, count in counts.items() if count}, name
        assert got["bulkhead_port_state", *who, ("bulkhead_port_state", port_state(lab, name))] == 1
    status = lab.bh("status", json=True)
    assert got["bulkhead_learned_addresses",] == status["fdb_learned"]
    assert got["bulkhead_build_info", ("version", status["version"])] == 1
    assert stats["dark"]["ingress"]["shadow"], "the shadow counters were not put to the test"


@pytest.fixture(scope="session")
def promtool():
    """Prometheus' own tool, out of its Debian package, which is 19 MB and is not installed."""
    path = BUILD / "promtool"
    if not path.exists():
        script = """cd "$(mktemp -d)" && apt-get -qq download prometheus &&
            dpkg-deb --fsys-tarfile prometheus_*.deb | tar x ./usr/bin/promtool &&
            mv usr/bin/promtool "$1" && rm -r "$PWD" """
        result = subprocess.run(["bash", "-c", script, "bash", path], capture_output=True,
                                text=True, timeout=80)
        if result.returncode != 0 and os.environ.get("BULKHEAD_ALLOW_SKIP") == "1":
            pytest.skip("promtool is not to be had")
        assert result.returncode == 0, result.stderr
    return path


def read_openmetrics(promtool, text, directory):
    """promtool's run with the text, which it wants with timestamps: as blocks of a database."""
    stamped = re.sub(r"^([^#].*)$", r"\1 1700000000", text, flags=re.MULTILINE)
    (directory / "metrics").write_text(stamped)
    return subprocess.run([promtool, "tsdb", "create-blocks-from", "openmetrics",
                           directory / "metrics", directory / "database"], capture_output=True,
                          text=True, timeout=20)


def test_metrics_by_prometheus(lab, promtool, tmp_path):
    """Prometheus' OpenMetrics parser reads every sample, each as a series of its own."""
    text = lab.bh("metrics")
    result = read_openmetrics(promtool, text, tmp_path)
    assert result.returncode == 0, result.stderr
    heading, row = result.stdout.splitlines()
    columns = re.split(r"  +", heading.strip())
    told = dict(zip(columns, re.split(r"  +", row.strip())))
    count = str(len(samples(text)))
    assert told["NUM SAMPLES"] == told["NUM SERIES"] == count, result.stdout
    broken = read_openmetrics(promtool, text.replace("# EOF\n", ""), tmp_path)
    assert broken.returncode != 0


def test_metrics_lint(lab, promtool):
    """`promtool check metrics` finds nothing to better in names and help. It reads the older text
    format only, where types are on the samples' names and there is neither info nor stateset."""
    text = re.sub(r"^# UNIT .*\n", "", lab.bh("metrics"), flags=re.MULTILINE)
    for kind, suffix, older in (("counter", "_total", "counter"), ("info", "_info", "gauge"),
                                ("stateset", "", "gauge")):
        for name in re.findall(rf"^# TYPE (\S+) {kind}$", text, flags=re.MULTILINE):
            text = text.replace(f"# TYPE {name} {kind}\n", f"# TYPE {name}{suffix} {older}\n")
            text = text.replace(f"# HELP {name} ", f"# HELP {name}{suffix} ")
    result = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True,
                            text=True, timeout=20)
    assert result.returncode == 0 and result.stderr == "", result.stderr


def port_state(lab, name):
    return lab.port(name)["state"]


# --- explain ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", REASONS)
def test_explain_names_the_binding(lab, reason):
    """`explain` names the check that fails, the field, and the binding that it broke."""
    check, mentions = REASONS[reason]
    result = lab.bh("explain", "vm1", hostile(lab, reason).hex(), json=True)
    assert (result["verdict"], result["reason"]) == ("drop", reason)
    last = result["checks"][-1]
    assert (last["check"], last["passed"]) == (check, False), last
    assert all(mention in last["detail"] for mention in mentions), last
    assert all(step["passed"] for step in result["checks"][:-1])
    assert f"verdict: drop, {reason}" in lab.bh("explain", "vm1", hostile(lab, reason).hex())


def test_reasons_are_explained_where_they_are_shown(lab, wires):
    """`stats` and `explain` end with what the reason means, and what to do about it."""
    frame = hostile(lab, "spoofed_ip")
    wires["vm1"].send(frame)
    wait_until(lambda: lab.drops("vm1").get("spoofed_ip"), what="the frame is dropped")
    help_text = re.compile(r"^spoofed_ip, ingress: .*; .*`ip`.*$", re.M)
    for words in (["stats", "vm1"], ["explain", "vm1", frame.hex()]):
        assert len(help_text.findall(lab.bh(*words))) == 1
    assert not help_text.search(lab.bh("stats", "uplink"))


def test_explain_pcap(lab, wires):
    """`explain --pcap` says of every frame of a file what it says of each; of what was captured,
    what it was captured for."""
    frames = {reason: hostile(lab, reason) for reason in REASONS}
    classic = lab.directory / "classic.pcap"
    wrpcap(str(classic), [bytes(frame) for frame in frames.values()], linktype=1)
    results = lab.bh("explain", "vm1", "--pcap", classic, json=True)
    assert [result["frame"] for result in results] == list(range(1, len(frames) + 1))
    assert [result["reason"] for result in results] == list(frames)
    for result, frame in zip(results, frames.values()):
        alone = lab.bh("explain", "vm1", frame.hex(), json=True)
        assert {key: result[key] for key in alone} == alone
    text = lab.bh("explain", "vm1", "--pcap", classic)
    assert len(re.findall(r"^frame \d+, \d+ bytes$", text, re.M)) == len(frames)
    assert re.findall(r"^verdict: drop, (\w+)", text, re.M) == list(frames)

    capture = Capture(lab, "--port", "vm1")
    for frame in frames.values():
        wires["vm1"].send(frame)
    captured, _ = capture.stop()
    results = lab.bh("explain", "vm1", "--pcap", capture.path, json=True)
    reasons = [re.match(r"reason=(\w+)", comment)[1] for comment in comments(captured)]
    assert reasons and [result["reason"] for result in results] == reasons


def test_explain_pcap_usage(lab):
    """A file that cannot be read is one line on stderr that names it, and exit code 2."""
    bad = lab.directory / "bad.pcap"
    for content, mention in ((b"nonsense", "no pcap"), (b"", "no pcap"),
                             (bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000") +
                              bytes(8) + struct.pack("<II", 100, 100) + b"short", "cut short")):
        bad.write_bytes(content)
        result = lab.bh("explain", "vm1", "--pcap", bad, check=False)
        assert result.returncode == 2 and not result.stdout, result
        assert len(result.stderr.splitlines()) == 1 and str(bad) in result.stderr
        assert mention in result.stderr
    for words in (["--pcap", lab.directory / "none"], ["--pcap", lab.directory], [],
                  ["00", "--pcap", bad]):
        result = lab.bh("explain", "vm1", *words, check=False)
        assert result.returncode == 2 and len(result.stderr.splitlines()) == 1, result


# --- monitor and log --------------------------------------------------------------------------


def test_monitor_drop(lab, wires):
    """`monitor drop` has port, reason, side, shadow, MAC and addresses of each drop."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    process = lab.monitor("drop")
    time.sleep(0.3)
    wires["vm1"].send(hostile(lab, "spoofed_ip"))
    wires["vm1"].send(hostile(lab, "not_addressee"))
    wires["dark"].send(ethernet(vm2.mac, lab.guests["dark"].mac, IPV4,
                                ipv4_udp("10.77.9.9", vm2.ip4, new_token())))
    time.sleep(0.3)
    process.kill()
    events = {event["reason"] + event["from"]: event
              for event in map(json.loads, process.stdout.read().splitlines())}
    spoofed = events["spoofed_ipvm1"]
    assert spoofed["event"] == "drop" and spoofed["port"] == "vm1" and spoofed["side"] == "ingress"
    assert spoofed["mac"] == spoofed["source"] == vm1.mac and spoofed["destination"] == vm2.mac
    assert (spoofed["sender"], spoofed["receiver"]) == ("10.77.9.9", vm2.ip4)
    assert spoofed["shadow"] is False
    missed = events["not_addresseevm1"]
    assert (missed["port"], missed["side"], missed["receiver"]) == ("vm2", "egress", "10.77.8.8")
    assert events["spoofed_ipdark"]["shadow"] is True


LOG_LINE = re.compile(
    r"^\S+ warning port (?P<port>\S+): (?P<reason>\w+) (?P<what>dropped|passed \(shadow mode\)) at "
    r"(?P<side>ingress|egress): from (?P<source_port>\S+), (?P<source>\S+) -> (?P<destination>\S+), "
    r"ethertype (?P<ethertype>0x[0-9a-f]{4}|\?), (?P<sender>\S+) -> (?P<receiver>\S+), "
    r"(?P<length>\d+) bytes; it has mac (?P<macs>.+); ip (?P<ips>.+)$")


def test_drop_log():
    """Drops are logged in one line of port, reason, addresses and binding, each port and reason at
    most once in ten seconds."""
    with Lab() as lab:
        vm1, vm2 = lab.veth("vm1"), lab.veth("vm2")
        dark = lab.veth("dark", enforce=False)
        lab.start()
        wire, dark_wire = vm1.wire(), dark.wire()
        for _ in range(20):
            for reason in REASONS:
                wire.send(hostile(lab, reason))
            time.sleep(0.02)
        dark_wire.send(ethernet(vm2.mac, dark.mac, IPV4, ipv4_udp("10.77.9.9", vm2.ip4, b"x")))

        def lines():
            return [line for line in lab.log().splitlines()
                    if " dropped at " in line or " passed (shadow" in line]

        wait_until(lambda: any("dark" in line for line in lines()), what="shadow mode is logged")
        told = {}
        for line in lines():
            match = LOG_LINE.match(line)
            assert match, line
            key = match["port"], match["reason"]
            assert key not in told, "logged twice"
            told[key] = match
        match = told["vm1", "spoofed_ip"]
        assert (match["source"], match["destination"]) == (vm1.mac, vm2.mac)
        assert (match["sender"], match["receiver"]) == ("10.77.9.9", vm2.ip4)
        assert vm1.mac in match["macs"] and f"{vm1.ip4}/16" in match["ips"]
        assert told["dark", "spoofed_ip"]["what"] == "passed (shadow mode)"
        lab.ledger()


# --- shadow mode and shapes -------------------------------------------------------------------


@pytest.mark.parametrize("is_journal", [True, False])
def test_log_to_the_journal(is_journal):
    """Where stderr is the journal's stream, lines begin with their priority, and have no time."""
    with Lab() as lab:
        lab.write_config()
        reader, writer = socket.socketpair()
        info = os.fstat(writer.fileno())
        stream = f"{info.st_dev}:{info.st_ino + (0 if is_journal else 1)}"
        argv = [BUILD / "bulkheadd", "--config", lab.config_path]
        daemon = lab.spawn(argv, lab.host.path, stderr=writer,
                           env=os.environ | {"JOURNAL_STREAM": stream})
        wait_until(lab.socket_path.exists, what="the daemon runs")
        lab.bh("port", "add", "dark", "--device", "none", "--mac", "any", "--ip", "any",
               "--enforce=false")
        lab.write_config("[nonsense]\n")
        daemon.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        daemon.terminate()
        daemon.wait(10)
        second = lab.spawn(argv, lab.host.path, stderr=writer,
                           env=os.environ | {"JOURNAL_STREAM": stream})
        assert second.wait(10) == 2
        writer.close()
        with reader, reader.makefile() as lines:
            log = lines.read().splitlines()
        if is_journal:
            assert any(line.startswith("<6>ready: ") for line in log), log
            assert any(line.startswith("<4>port dark: shadow mode") for line in log), log
            assert any(line.startswith("<3>reload: ") for line in log), log
            assert log[-1].startswith("<3>bulkheadd: ") and "nonsense" in log[-1], log
        else:
            assert log and not any(line.startswith("<") for line in log), log
            assert any(" warning port dark: shadow mode" in line for line in log), log


def test_shadow_mode(lab, wires):
    """A port in shadow mode is loudly unprotected; what would be dropped passes and is counted."""
    vm2, dark = lab.guests["vm2"], lab.guests["dark"]
    before = lab.stats()["dark"]["ingress"]["shadow"].get("spoofed_ip", 0)
    total = lab.bh("status", json=True)["shadow"]
    token = new_token()
    wires["vm2"].drain()
    wires["dark"].send(ethernet(vm2.mac, dark.mac, IPV4, ipv4_udp("10.77.9.9", vm2.ip4, token)))
    wait_until(lambda: any(token in seen.data for seen in wires["vm2"].drain()))
    assert lab.stats()["dark"]["ingress"]["shadow"]["spoofed_ip"] == before + 1
    status = lab.bh("status", json=True)
    assert status["shadow"] == total + 1 and status["unprotected"] == ["dark"]
    assert "NOT PROTECTED: dark" in lab.bh("status")
    assert "SHADOW" in lab.bh("port", "show") and "shadow mode let pass" in lab.bh("stats", "dark")
    explained = lab.bh("explain", "dark", ethernet(
        vm2.mac, dark.mac, IPV4, ipv4_udp("10.77.9.9", vm2.ip4, token)).hex())
    assert "would be dropped as spoofed_ip" in explained


def test_port_show_has_every_key(lab):
    """`port show` says what the configuration says, and the limits that hold."""
    vm1 = lab.port("vm1")
    assert vm1["limit"] == {"broadcast": 500, "multicast": 2000, "arp_nd": 500, "dhcp": 50}
    assert (vm1["link_local"], vm1["shared"], vm1["allow"]) == ("mac", [], [])
    assert (vm1["prefixes"], vm1["routes"], vm1["enforce"]) == ([], [], True)
    assert lab.port("uplink")["limit"]["broadcast"] == "none"
    lab.bh("port", "set", "vm1", "--shared", "00:00:5e:00:01:01", "--shared", "10.77.3.1/16",
           "--allow", "vrrp", "--routes", "10.99.0.0/16", "--prefixes", "fd99::/64", "--limit",
           "dhcp=none", "--link-local", "fe80::1/64")
    vm1 = lab.port("vm1")
    assert vm1["shared"] == ["00:00:5e:00:01:01", "10.77.3.1/16"] and vm1["allow"] == ["vrrp"]
    assert vm1["routes"] == ["10.99.0.0/16"] and vm1["prefixes"] == ["fd99::/64"]
    assert vm1["limit"]["dhcp"] == "none" and vm1["link_local"] == ["fe80::1/64"]
