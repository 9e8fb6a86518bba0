#!/usr/bin/python3
"""bulkhead beside the Linux kernel's bridge, measured in one run, by turns. Run by `./dev bench`.

    guest vm1                      host                       guest vm2
    eth0 ══ veth ══ vm1 ── the switch under test ── vm2 ══ veth ══ eth0, nftables: drop
       ↑ generator                                     (iperf3 -s, and who answers the pings)

Peers: bulkhead as it is installed, with the shortcut; in user space alone, polling adaptively, busily
and with two workers; and the kernel's bridge, with br_netfilter on (and the empty nftables rule set
that Debian ships) and off. Each peer has a lab of
its own (tests/e2e/lab.py), and only the one whose turn it is runs. Each turn measures

  * 64 and 1500 B one way, as fast as the generator goes (generator.c): the kernel's BPF test runner
    makes the frames and an XDP program of ours redirects them into the guest's device. That alone
    makes 4 million a second, while a process that sends through a socket makes 1 and would be what
    is measured. For this the host's end of the veth has gro on, for all peers alike: that gives it
    a NAPI, which takes redirected frames and hands on ordinary skbs, by way of tc as ever. 64 B are
    60 and the frame check sequence; 1500 B are an IP packet of that length, 1514 with its header.
    What has come is what the receiving guest's device counts; an empty nftables chain drops it.
  * iperf3, TCP, one way, every offload at its default (host's gro off again).
  * ping, idle and while iperf3 runs; a request after the other (64 B, answered by 1,000) beside
    iperf3 with one flow and with eight.
  * a busy server: 1,000 connections from vm1 that each ask vm2 for 1,000 or 10,000 bytes, and again
    as soon as the answer is there.

Cores: the generator, and with it the kernel's work for its frames, is on core 0; bulkhead's worker
on core 1, with what the receiving guest's kernel does for frames that the worker sends; of two
workers each has one guest, and the second shares core 0 with the generator. The bridge
has no thread: it runs on the generator's core, up to the sink, and leaves core 1 idle. iperf3 and
ping run where the scheduler puts them. CPU by kind is the whole machine's, /proc/stat, while frames
flow: what others do on it counts too, so it waits for quiet before each turn, but not long.
--first keeps others off the generator and the worker, which steadies the rates.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness import (CPU_KINDS, GENERATOR_CORE, FIRST, Bulkhead, Cpu, Peer, make_parser,
                     measure_ping, measure_tcp, print_table, received_frames, run, sink, spread,
                     start_requests, values_at)

FRAME_BYTES = {"64 B": 60, "1500 B": 1514}
BULK_FLOWS = {"1 flow": 1, "8 flows": 8}
BUSY_SERVERS = {"busy server, 1 kB": 1000, "busy server, 10 kB": 10_000}
SETTLE_SECONDS = 0.3
# /etc/nftables.conf of Debian 12: "as shipped".
SHIPPED_RULES = """
table inet filter {
  chain input { type filter hook input priority filter; }
  chain forward { type filter hook forward priority filter; }
  chain output { type filter hook output priority filter; }
}
"""


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
    "bulkhead": Bulkhead,
    "bulkhead-adaptive": lambda: Bulkhead("adaptive", shortcut=False),
    "bulkhead-busy": lambda: Bulkhead("busy", shortcut=False),
    "bulkhead-2": lambda: Bulkhead("adaptive", workers=2, shortcut=False),
    "bridge-nf": lambda: Bridge(True),
    "bridge": lambda: Bridge(False),
}


# --- measurements -----------------------------------------------------------------------------


def measure_frames(peer, generator, frame_bytes, seconds):
    """Frames of one size one way. `generator` is its words."""
    a, b = peer.a, peer.b
    frame = a.frame_to(b, b"benchmark", size=frame_bytes)
    drops_before, received_before = peer.counters(), received_frames(b)
    words = ["taskset", "-c", GENERATOR_CORE, *generator, "eth0", seconds, frame.hex()]
    process = a.popen(words, stdout=subprocess.PIPE, text=True)
    edge = min(0.4, seconds / 4)  # neither the start nor the end is what is measured
    time.sleep(edge)
    cpu = Cpu()
    time.sleep(seconds - 2 * edge)
    used = cpu.used()
    answer = json.loads(process.communicate(timeout=seconds + 30)[0])
    time.sleep(SETTLE_SECONDS)
    received = received_frames(b) - received_before
    drops = {name: count - drops_before.get(name, 0) for name, count in peer.counters().items()}
    return {
        "offered_mpps": answer["frames"] / answer["seconds"] / 1e6,
        "received_mpps": received / answer["seconds"] / 1e6,
        "loss_percent": max(0.0, 100 * (1 - received / answer["frames"])),
        "drops": {name: count for name, count in drops.items() if count},
        "cpu": used,
    }


def measure(peer, generator, arguments):
    seconds = {"frames": 1, "tcp": 2, "ping": 0.5} if arguments.quick else \
        {"frames": 4, "tcp": 5, "ping": 2}
    result = {"idle ping": measure_ping(peer, seconds["ping"])(),
              "TCP": measure_tcp(peer, seconds["tcp"])}
    for name, flows in BULK_FLOWS.items():
        result[name] = measure_tcp(peer, seconds["tcp"], flows, request=True)
    for name, answer_bytes in BUSY_SERVERS.items():
        result[name] = start_requests(peer, 1000, seconds["tcp"], answer_bytes)()
    if arguments.first:
        peer.hurry()
        generator = ["nice", "-n", FIRST, *generator]
    peer.lab.host.run(["ethtool", "-K", "vm1", "gro", "on"])
    peer.b.run(["nft", "-f", "-"], input=sink("eth0"))
    for name, frame_bytes in FRAME_BYTES.items():
        result[name] = measure_frames(peer, generator, frame_bytes, seconds["frames"])
    peer.b.run(["nft", "delete", "table", "netdev", "bench"])
    peer.lab.host.run(["ethtool", "-K", "vm1", "gro", "off"])
    return result


# --- report -----------------------------------------------------------------------------------


def print_frames(turns_of, names=tuple(FRAME_BYTES)):
    for name in names:
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


def print_requests(turns_of):
    rows = [[name, peer, spread(turns, name, "gbits"),
             spread(turns, name, "request", "p50_us", digits=0),
             spread(turns, name, "request", "p99_us", digits=0)]
            for name in BULK_FLOWS for peer, turns in turns_of.items()]
    print_table(["bulk TCP", "", "Gbit/s", "a request beside it: µs", "p99"], rows)
    rows = [[name, peer, spread(turns, name, "per_second", digits=0),
             spread(turns, name, "p50_us", digits=0), spread(turns, name, "p99_us", digits=0)]
            for name in BUSY_SERVERS for peer, turns in turns_of.items()]
    print_table(["1,000 connections", "", "answers/s", "µs", "p99"], rows)


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


def print_report(turns_of):
    print_frames(turns_of)
    print_tcp_and_ping(turns_of)
    print_requests(turns_of)
    print_cpu(turns_of)


def main():
    parser = make_parser(__doc__.splitlines()[0], PEERS)
    parser.add_argument("--first", action="store_true",
                        help="priority over others for the generator and the worker while frames "
                        "flow: for machines that others use, too")
    return run("./dev bench", PEERS, measure, print_report, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
