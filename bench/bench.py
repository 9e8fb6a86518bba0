#!/usr/bin/python3
"""bulkhead beside the Linux kernel's bridge, measured in one run, by turns. Run by `./dev bench`.

    guest vm1                      host                       guest vm2
    eth0 ══ veth ══ vm1 ── the switch under test ── vm2 ══ veth ══ eth0, nftables: drop
       ↑ generator                                     (iperf3 -s, and who answers the pings)

Peers: bulkhead (through its conduit; polling adaptively, and busily) and the kernel's bridge, with
br_netfilter on (and the empty nftables rule set that Debian ships) and off. Each peer has a lab of
its own (tests/e2e/lab.py), and only the one whose turn it is runs. Each turn measures

  * 64 and 1500 B one way, as fast as the generator goes (generator.c): the kernel's BPF test runner
    makes the frames and an XDP program of ours redirects them into the guest's device. That alone
    makes 4 million a second, while a process that sends through a socket makes 1 and would be what
    is measured. For this the host's end of the veth has gro on, for all peers alike: that gives it
    a NAPI, which takes redirected frames and hands on ordinary skbs, by way of tc as ever. 64 B are
    60 and the frame check sequence; 1500 B are an IP packet of that length, 1514 with its header.
    What has come is what the receiving guest's device counts; an empty nftables chain drops it.
  * iperf3, TCP, one way, every offload at its default (host's gro off again).
  * ping, idle and while iperf3 runs.

Cores: the generator, and with it the kernel's work for its frames, is on core 0; bulkhead's worker
on core 1, with what the receiving guest's kernel does for frames that the worker sends. The bridge
has no thread: it runs on the generator's core, up to the sink, and leaves core 1 idle. iperf3 and
ping run where the scheduler puts them. CPU by kind is the whole machine's, /proc/stat, while frames
flow: what others do on it counts too, so it waits for quiet before each turn, but not long.
--realtime keeps others off the generator and the worker, which steadies the rates.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "e2e"))

from lab import BUILD, Lab  # noqa: E402

GENERATOR_CORE, WORKER_CORE = 0, 1
FRAME_BYTES = {"64 B": 60, "1500 B": 1514}
CPU_KINDS = {"user": (0, 1), "system": (2,), "softirq": (5, 6), "idle": (3, 4), "stolen": (7,)}
QUIET_BUSY_CORES = 0.1  # what others may use of the machine when a turn starts
QUIET_SECONDS_MAX = 5
SETTLE_SECONDS = 0.3
REALTIME = ["chrt", "--rr"]
SINK = """
table netdev bench {
  chain sink { type filter hook ingress device "eth0" priority 0; policy drop; }
}
"""
# /etc/nftables.conf of Debian 12: "as shipped".
SHIPPED_RULES = """
table inet filter {
  chain input { type filter hook input priority filter; }
  chain forward { type filter hook forward priority filter; }
  chain output { type filter hook output priority filter; }
}
"""


class Cpu:
    """Cores used by kind, of the whole machine and of each core, since it was made."""

    def __init__(self):
        self.start = self.read()

    @staticmethod
    def read():
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
        return {words[0]: [int(word) for word in words[1:9]]
                for words in lines if re.fullmatch(r"cpu\d+", words[0])}

    def used(self):
        """{"all": {kind: cores}, "cpu0": …}"""
        cores = {}
        for name, now in self.read().items():
            ticks = [after - before for before, after in zip(self.start[name], now)]
            total = max(1, sum(ticks))
            cores[name] = {kind: sum(ticks[place] for place in places) / total
                           for kind, places in CPU_KINDS.items()}
        everything = {kind: sum(core[kind] for core in cores.values()) for kind in CPU_KINDS}
        return {"all": everything} | cores


def busy_cores(seconds):
    cpu = Cpu()
    time.sleep(seconds)
    used = cpu.used()["all"]
    return sum(used.values()) - used["idle"]


def wait_for_quiet(seconds_max):
    """Cores that others use on this machine: below the limit, or what it was at the last."""
    deadline = time.monotonic() + seconds_max
    while True:
        busy = busy_cores(0.3)
        if busy < QUIET_BUSY_CORES or time.monotonic() > deadline:
            return busy
        time.sleep(1)


# --- peers ------------------------------------------------------------------------------------


class Peer:
    """A switch between two guests. start() and stop() enclose its turn."""

    def __init__(self, name):
        self.name = name
        self.lab = Lab()
        self.a, self.b = self.lab.veth("vm1"), self.lab.veth("vm2")

    def start(self):
        pass

    def stop(self):
        pass

    def hurry(self):
        """Real-time priority for the switch's threads, if it has any."""

    def counters(self):
        """What the switch itself says that it dropped, by name."""
        return {}


class Bulkhead(Peer):
    def __init__(self, poll):
        super().__init__(f"bulkhead, {poll}")
        self.lab.config["bulkhead"] |= {"cpus": [WORKER_CORE], "poll": poll}

    def start(self):
        self.lab.start()

    def stop(self):
        self.lab.stop()

    def hurry(self):
        tasks = Path(f"/proc/{self.lab.daemon.pid}/task").iterdir()
        for task in tasks:
            if (task / "comm").read_text().startswith("bulkhead/"):
                subprocess.run([*REALTIME, "-p", "1", task.name], check=True)

    def counters(self):
        drops = {}
        for side in ("ingress", "egress"):
            for guest in ("vm1", "vm2"):
                for reason, count in self.lab.drops(guest, side).items():
                    drops[f"{side} {guest} {reason}"] = count
        return drops


class Bridge(Peer):
    def __init__(self, netfilter):
        super().__init__(f"bridge, br_netfilter {'on' if netfilter else 'off'}")
        self.lab.start_linux_bridge()
        self.lab.host.run(["nft", "-f", "-"], input=SHIPPED_RULES)
        for family in ("iptables", "ip6tables", "arptables"):
            path = Path(f"/proc/sys/net/bridge/bridge-nf-call-{family}")
            if not path.exists():
                raise SystemExit("bench: this kernel has no br_netfilter (modprobe br_netfilter)")
            self.lab.host.sysctl({f"net/bridge/{path.name}": int(netfilter)})


PEERS = {
    "bulkhead-adaptive": lambda: Bulkhead("adaptive"),
    "bulkhead-busy": lambda: Bulkhead("busy"),
    "bridge-nf": lambda: Bridge(True),
    "bridge": lambda: Bridge(False),
}


# --- measurements -----------------------------------------------------------------------------


def build_generator(directory):
    include = f"-I/usr/include/{os.uname().machine}-linux-gnu"
    program, bpf = directory / "generator", directory / "generator.bpf.o"
    subprocess.run(["clang", "-O2", "-g", "-target", "bpf", include, "-c",
                    HERE / "generator.bpf.c", "-o", bpf], check=True)
    subprocess.run(["cc", "-O2", "-Wall", HERE / "generator.c", "-o", program, "-lbpf"], check=True)
    return [program, bpf]


def sunk(guest):
    """Frames that the guest's device has received. No rule counts: that would be measured, too."""
    answer = json.loads(guest.run(["ip", "-j", "-s", "link", "show", "eth0"]).stdout)
    return answer[0]["stats64"]["rx"]["packets"]


def measure_frames(peer, generator, frame_bytes, seconds):
    """Frames of one size one way. `generator` is its words."""
    a, b = peer.a, peer.b
    frame = a.frame_to(b, b"benchmark", size=frame_bytes)
    drops_before, sunk_before = peer.counters(), sunk(b)
    words = ["taskset", "-c", GENERATOR_CORE, *generator, "eth0", seconds, frame.hex()]
    process = a.popen(words, stdout=subprocess.PIPE, text=True)
    edge = min(0.4, seconds / 4)  # neither the start nor the end is what is measured
    time.sleep(edge)
    cpu = Cpu()
    time.sleep(seconds - 2 * edge)
    used = cpu.used()
    answer = json.loads(process.communicate(timeout=seconds + 30)[0])
    time.sleep(SETTLE_SECONDS)
    received = sunk(b) - sunk_before
    drops = {name: count - drops_before.get(name, 0) for name, count in peer.counters().items()}
    return {
        "offered_mpps": answer["frames"] / answer["seconds"] / 1e6,
        "received_mpps": received / answer["seconds"] / 1e6,
        "loss_percent": max(0.0, 100 * (1 - received / answer["frames"])),
        "drops": {name: count for name, count in drops.items() if count},
        "cpu": used,
    }


def measure_ping(peer, seconds, interval=0.005):
    """Starts to ping from one guest to the other; the function it returns waits for the result,
    round-trip times in microseconds."""
    count = max(20, int(seconds / interval))
    words = ["ping", "-n", "-c", count, "-i", interval, "-W", 1, peer.b.ip4]
    process = peer.a.popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def result():
        output, _ = process.communicate(timeout=count * 0.1 + 30)
        times = sorted(1000 * float(text) for text in re.findall(r"time=([\d.]+) ms", output))
        sent = int(re.search(r"(\d+) packets transmitted", output)[1])
        if not times:
            raise AssertionError(f"{peer.name}: no ping was answered\n{output}")
        return {"median_us": statistics.median(times), "p99_us": times[int(len(times) * 0.99)],
                "loss_percent": 100 * (1 - len(times) / sent)}

    return result


def measure_tcp(peer, seconds):
    """iperf3 one way, and pings at the same time."""
    server = peer.b.popen(["iperf3", "-s", "-1", "--forceflush"], stdout=subprocess.PIPE, text=True)
    next(line for line in server.stdout if "listening" in line)
    ping_seconds = seconds - 0.6
    words = ["iperf3", "-J", "--connect-timeout", 2000, "-t", seconds, "-c", peer.b.ip4]
    client = peer.a.popen(words, stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    cpu = Cpu()
    ping = measure_ping(peer, ping_seconds)
    time.sleep(ping_seconds)
    used = cpu.used()
    answer = json.loads(client.communicate(timeout=seconds + 30)[0])
    server.communicate(timeout=10)
    if "error" in answer:
        raise AssertionError(f"{peer.name}: iperf3: {answer['error']}")
    end = answer["end"]
    return {"gbits": end["sum_received"]["bits_per_second"] / 1e9,
            "retransmits": end["sum_sent"]["retransmits"], "cpu": used, "ping": ping()}


def take_turn(peer, generator, seconds, arguments):
    load = wait_for_quiet(0 if arguments.quick else QUIET_SECONDS_MAX)
    result = {"others_busy_cores": load}
    peer.start()
    try:
        peer.a.run(["ping", "-q", "-c", 2, "-i", "0.1", peer.b.ip4])  # learned, and ARP is done
        result["idle ping"] = measure_ping(peer, seconds["ping"])()
        result["TCP"] = measure_tcp(peer, seconds["tcp"])
        if arguments.realtime:
            peer.hurry()
            generator = [*REALTIME, "1", *generator]
        peer.lab.host.run(["ethtool", "-K", "vm1", "gro", "on"])
        peer.b.run(["nft", "-f", "-"], input=SINK)
        for name, frame_bytes in FRAME_BYTES.items():
            result[name] = measure_frames(peer, generator, frame_bytes, seconds["frames"])
        peer.b.run(["nft", "delete", "table", "netdev", "bench"])
        peer.lab.host.run(["ethtool", "-K", "vm1", "gro", "off"])
    finally:
        peer.stop()
    return result


# --- report -----------------------------------------------------------------------------------


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    return f"{model}, {os.cpu_count()} cores, Linux {os.uname().release}, {os.uname().machine}"


def values_at(turns, *path):
    values = []
    for turn in turns:
        for key in path:
            turn = turn[key]
        values.append(turn)
    return values


def spread(turns, *path, digits=2, unit=""):
    """median (min–max)"""
    values = values_at(turns, *path)
    middle = f"{statistics.median(values):.{digits}f}{unit}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def print_table(head, rows):
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
    print()


def print_frames(turns_of):
    for name in FRAME_BYTES:
        rows = [[peer, spread(turns, name, "offered_mpps"), spread(turns, name, "received_mpps"),
                 spread(turns, name, "loss_percent", digits=1)]
                for peer, turns in turns_of.items()]
        print_table([f"{name} one way", "offered Mpps", "received Mpps", "loss %"], rows)


def print_tcp_and_ping(turns_of):
    rows = [[peer, spread(turns, "TCP", "gbits"),
             spread(turns, "idle ping", "median_us", digits=0),
             spread(turns, "idle ping", "p99_us", digits=0),
             spread(turns, "idle ping", "loss_percent", digits=1),
             spread(turns, "TCP", "ping", "median_us", digits=0),
             spread(turns, "TCP", "ping", "p99_us", digits=0),
             spread(turns, "TCP", "ping", "loss_percent", digits=1)]
            for peer, turns in turns_of.items()]
    print_table(["TCP and ping", "Gbit/s", "idle: µs", "p99", "loss %",
                 "under TCP: µs", "p99", "loss %"], rows)


def print_cpu(turns_of):
    rows = []
    for what in (*FRAME_BYTES, "TCP"):
        for peer, turns in turns_of.items():
            cells = [f"{statistics.median(values_at(turns, what, 'cpu', 'all', kind)):.2f}"
                     for kind in CPU_KINDS]
            cores = [" / ".join(
                f"{1 - statistics.median(values_at(turns, what, 'cpu', core, 'idle')):.2f}"
                for core in turns[0][what]["cpu"] if core != "all")]
            rows.append([what, peer, *cells, *cores])
    print_table(["CPU, cores", "", *CPU_KINDS, "busy, core by core"], rows)


def print_report(turns_of, rounds, command):
    others = [turn["others_busy_cores"] for turns in turns_of.values() for turn in turns]
    print(f"\nMachine: {machine()}")
    print(f"Command: `{command}`; {rounds} round{'s' if rounds > 1 else ''}, by turns; "
          "median (min–max)")
    print(f"Others used {statistics.median(others):.2f} cores (at most {max(others):.2f}) "
          "before the turns\n")
    print_frames(turns_of)
    print_tcp_and_ping(turns_of)
    print_cpu(turns_of)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="half a minute: does it work at all")
    parser.add_argument("--rounds", type=int, help="turns of each peer (3; --quick: 1)")
    parser.add_argument("--realtime", action="store_true",
                        help="real-time priority for the generator and the worker while frames "
                        "flow: for machines that others use, too")
    parser.add_argument("--peer", action="append", choices=PEERS, help="only this one (repeat)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    return parser.parse_args()


def measure_all(arguments):
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    seconds = {"frames": 1, "tcp": 2, "ping": 0.5} if arguments.quick else \
        {"frames": 4, "tcp": 5, "ping": 2}
    peers = []
    try:
        peers += [PEERS[name]() for name in arguments.peer or PEERS]
        generator = build_generator(peers[0].lab.directory)
        turns_of = {peer.name: [] for peer in peers}
        for number in range(rounds):
            for peer in peers:
                print(f"round {number + 1} of {rounds}: {peer.name}", file=sys.stderr, flush=True)
                turn = take_turn(peer, generator, seconds, arguments)
                turns_of[peer.name].append(turn)
        return turns_of, rounds
    finally:
        for lab in list(Lab.open_labs):
            lab.close()


def main():
    arguments = parse_arguments()
    if os.geteuid() != 0:
        print("bench: must be root, to make network namespaces; try sudo", file=sys.stderr)
        return 1
    if (os.cpu_count() or 1) <= WORKER_CORE:
        print("bench: needs two cores", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    command = " ".join(["./dev bench", *sys.argv[1:]])
    try:
        turns_of, rounds = measure_all(arguments)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (AssertionError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print_report(turns_of, rounds, command)
    if arguments.json:
        document = {"machine": machine(), "command": command, "build": str(BUILD),
                    "peers": turns_of}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
