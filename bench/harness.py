"""What bench.py and load.py share: the switches under test and their two guests, what is measured
of them, and runs in which they take turns.
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

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "e2e"))

from lab import BUILD, TOOLS, Lab, end  # noqa: E402

GENERATOR_CORE, WORKER_CORE = 0, 1
CPU_KINDS = {"user": (0, 1), "system": (2,), "softirq": (5, 6), "idle": (3, 4), "stolen": (7,)}
QUIET_BUSY_CORES = 0.1  # what others may use of the machine when a turn starts
QUIET_SECONDS_MAX = 5
REQUEST_PORT = 80
FIRST = "-20"  # niceness; real-time scheduling would be throttled to 95 % of a core


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
        """Priority over others for the switch's threads, if it has any."""

    def counters(self):
        """What the switch itself says that it dropped, by name."""
        return {}


class Bulkhead(Peer):
    def __init__(self, poll="adaptive", workers=1, shortcut=True):
        """As it is installed; or in user space alone, polling in one way or the other."""
        name = "bulkhead" if shortcut else f"bulkhead in user space, {poll}"
        super().__init__(name + (f", {workers} workers" if workers > 1 else ""))
        cpus = [WORKER_CORE, GENERATOR_CORE][:workers]
        self.lab.config["bulkhead"] |= {"cpus": cpus, "poll": poll, "workers": workers,
                                        "shortcut": shortcut}

    def start(self):
        self.lab.start()

    def stop(self):
        self.lab.stop()

    def hurry(self):
        tasks = Path(f"/proc/{self.lab.daemon.pid}/task").iterdir()
        for task in tasks:
            if (task / "comm").read_text().startswith("bulkhead/"):
                subprocess.run(["renice", "-n", FIRST, "-p", task.name], check=True,
                               stdout=subprocess.DEVNULL)

    def counters(self):
        drops = {}
        for side in ("ingress", "egress"):
            for guest in self.lab.config["port"]:
                for reason, count in self.lab.drops(guest, side).items():
                    drops[f"{side} {guest} {reason}"] = count
        return drops


# --- measurements -----------------------------------------------------------------------------


def build_generator(directory):
    include = f"-I/usr/include/{os.uname().machine}-linux-gnu"
    program, bpf = directory / "generator", directory / "generator.bpf.o"
    subprocess.run(["clang", "-O2", "-g", "-target", "bpf", include, "-c",
                    HERE / "generator.bpf.c", "-o", bpf], check=True)
    subprocess.run(["cc", "-O2", "-Wall", HERE / "generator.c", "-o", program, "-lbpf"], check=True)
    return [program, bpf]


def sink(device):
    """Rules that drop all that the device receives, first of all."""
    return f"""
table netdev bench {{
  chain sink {{ type filter hook ingress device "{device}" priority 0; policy drop; }}
}}
"""


def received_frames(guest):
    """Of the guest's device. No rule counts: that would be measured, too."""
    answer = json.loads(guest.run(["ip", "-j", "-s", "link", "show", "eth0"]).stdout)
    return answer[0]["stats64"]["rx"]["packets"]


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
                "max_us": times[-1], "loss_percent": 100 * (1 - len(times) / sent)}

    return result


def start_requests(peer, connections, seconds, answer_bytes):
    """Starts to ask a server on the other guest (tests/e2e/requests.cpp); the function it returns
    waits for the result."""
    server = peer.b.popen([TOOLS / "requests", "serve", REQUEST_PORT, answer_bytes],
                          stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n", f"{peer.name}: no server"
    words = [TOOLS / "requests", "ask", peer.b.ip4, REQUEST_PORT, connections, seconds,
             answer_bytes]
    client = peer.a.popen(words, stdout=subprocess.PIPE, text=True)

    def result():
        output, _ = client.communicate(timeout=seconds + 30)
        end(server)
        return json.loads(output)

    return result


def measure_tcp(peer, seconds, flows=1, request=False):
    """iperf3 one way, and pings at the same time, or a request after the other."""
    server = peer.b.popen(["iperf3", "-s", "-1", "--forceflush"], stdout=subprocess.PIPE, text=True)
    next(line for line in server.stdout if "listening" in line)
    ping_seconds = seconds - 0.6
    words = ["iperf3", "-J", "--connect-timeout", 2000, "-t", seconds, "-P", flows,
             "-c", peer.b.ip4]
    client = peer.a.popen(words, stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    cpu = Cpu()
    beside = start_requests(peer, 1, ping_seconds, 1000) if request else \
        measure_ping(peer, ping_seconds)
    time.sleep(ping_seconds)
    used = cpu.used()
    answer = json.loads(client.communicate(timeout=seconds + 30)[0])
    server.communicate(timeout=10)
    if "error" in answer:
        raise AssertionError(f"{peer.name}: iperf3: {answer['error']}")
    end = answer["end"]
    return {"gbits": end["sum_received"]["bits_per_second"] / 1e9,
            "retransmits": end["sum_sent"]["retransmits"], "cpu": used,
            "request" if request else "ping": beside()}


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


# --- runs -------------------------------------------------------------------------------------


def make_parser(description, peers):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="one short round: does it work at all")
    parser.add_argument("--rounds", type=int, help="turns of each peer (3, or 1 with --quick)")
    parser.add_argument("--peer", action="append", choices=peers, help="only this one (repeat)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    return parser


def take_turn(peer, measure, generator, arguments):
    busy = wait_for_quiet(0 if arguments.quick else QUIET_SECONDS_MAX)
    peer.start()
    try:
        peer.a.run(["ping", "-q", "-c", 2, "-i", "0.1", peer.b.ip4])  # learned, and ARP is done
        return {"others_busy_cores": busy} | measure(peer, generator, arguments)
    finally:
        peer.stop()


def measure_all(peers_by_name, measure, arguments):
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    peers = []
    try:
        peers += [peers_by_name[name]() for name in arguments.peer or peers_by_name]
        generator = build_generator(peers[0].lab.directory)
        turns_of = {peer.name: [] for peer in peers}
        for number in range(rounds):
            for peer in peers:
                print(f"round {number + 1} of {rounds}: {peer.name}", file=sys.stderr, flush=True)
                turns_of[peer.name].append(take_turn(peer, measure, generator, arguments))
        return turns_of
    finally:
        for lab in list(Lab.open_labs):
            lab.close()


def print_head(turns_of, command):
    turns = [turn for turns in turns_of.values() for turn in turns]
    rounds = len(turns) // len(turns_of)
    others = [turn["others_busy_cores"] for turn in turns]
    print(f"\nMachine: {machine()}")
    print(f"Command: `{command}`; {rounds} round{'s' if rounds > 1 else ''}, by turns; "
          "median (min–max)")
    print(f"Others used {statistics.median(others):.2f} cores (at most {max(others):.2f}) "
          "before the turns\n")


def run(command, peers_by_name, measure, print_report, arguments):
    """measure(peer, generator, arguments) is one turn's result; the exit code."""
    if os.geteuid() != 0:
        print("bench: must be root, to make network namespaces; try sudo", file=sys.stderr)
        return 1
    if (os.cpu_count() or 1) <= WORKER_CORE:
        print("bench: needs two cores", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    command = " ".join([command, *sys.argv[1:]])
    try:
        turns_of = measure_all(peers_by_name, measure, arguments)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (AssertionError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print_head(turns_of, command)
    print_report(turns_of)
    if arguments.json:
        document = {"machine": machine(), "command": command, "build": str(BUILD),
                    "peers": turns_of}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0
