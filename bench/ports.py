#!/usr/bin/python3
"""What a pair of guests has of a switch with many ports. Run by `./dev bench ports`.

    guest vm1                      host                       guest vm2
    eth0 ══ veth ══ vm1 ──┐                         ┌── vm2 ══ veth ══ eth0, nftables: drop
       ↑ generator        ├── the switch under test ┤                  (and who answers pings)
                          └── p0, p1, …: veths ─────┘

Peers: bulkhead (through its conduit, polling adaptively) and the kernel's bridge without
br_netfilter, each with 2, 64 and 1,000 ports, by turns. All but two ports are up and silent. A turn
is pings, and then 64 B frames one way as in bench.py. bulkhead is given the time to finish what its
start has left to do (a thousand devices get their links in tcx one by one).
"""

import sys
import time
from pathlib import Path

from bench import Bridge, measure_frames, print_frames
from harness import FIRST, Bulkhead, make_parser, measure_ping, print_table, run, sink, spread

PORTS = (2, 64, 1000)
IDLE_CORES = 0.01
IDLE_SECONDS_MAX = 60


def add_ports(lab, count):
    """Ports that nobody uses."""
    lab.host.sysctl({"net/ipv6/conf/default/disable_ipv6": 1})
    names = [f"p{number}" for number in range(count)]
    if names:
        lab.host.run(["ip", "-batch", "-"], timeout=120, input="".join(
            f"link add {name} type veth peer name {name}guest\n"
            f"link set {name} up\nlink set {name}guest up\n" for name in names))
    for number, name in enumerate(names):
        high, low = divmod(number, 256)
        lab.config["port"][name] = {"device": name, "mac": [f"52:54:00:99:{high:02x}:{low:02x}"],
                                    "ip": [f"10.99.{high}.{low}/32"]}


class CrowdedBulkhead(Bulkhead):
    def __init__(self, ports):
        super().__init__("adaptive")
        add_ports(self.lab, ports - 2)
        self.name = f"bulkhead, {ports:,} ports"

    def start(self):
        self.lab.start(wait_ports=False, timeout=60)
        deadline = time.monotonic() + IDLE_SECONDS_MAX
        while self.busy_cores() > IDLE_CORES and time.monotonic() < deadline:
            pass

    def stop(self):
        self.lab.stop(timeout=60)

    def busy_cores(self):
        tasks = list(Path(f"/proc/{self.lab.daemon.pid}/task").iterdir())

        def used():
            return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

        before, started = used(), time.monotonic()
        time.sleep(1)
        return (used() - before) / (time.monotonic() - started)

    def counters(self):
        return {}  # of a thousand ports, for each frame size: too many commands


class CrowdedBridge(Bridge):
    def __init__(self, ports):
        super().__init__(False)
        add_ports(self.lab, ports - 2)
        self.lab.host.ip(*(f"link set p{number} master br0" for number in range(ports - 2)))
        self.name = f"bridge, {ports:,} ports"


PEERS = {f"{name}-{ports}": lambda kind=kind, ports=ports: kind(ports)
         for ports in PORTS
         for name, kind in (("bulkhead", CrowdedBulkhead), ("bridge", CrowdedBridge))}


def measure(peer, generator, arguments):
    ping_seconds, frame_seconds = (0.5, 1) if arguments.quick else (2, 4)
    result = {"ping": measure_ping(peer, ping_seconds)()}
    peer.hurry()
    peer.lab.host.run(["ethtool", "-K", "vm1", "gro", "on"])
    peer.b.run(["nft", "-f", "-"], input=sink("eth0"))
    result["64 B"] = measure_frames(peer, ["nice", "-n", FIRST, *generator], 60, frame_seconds)
    peer.b.run(["nft", "delete", "table", "netdev", "bench"])
    peer.lab.host.run(["ethtool", "-K", "vm1", "gro", "off"])
    return result


def print_report(turns_of):
    print_frames(turns_of, ["64 B"])
    print_table(["idle ping", "µs", "p99", "loss %"],
                [[peer, spread(turns, "ping", "median_us", digits=0),
                  spread(turns, "ping", "p99_us", digits=0),
                  spread(turns, "ping", "loss_percent", digits=1)]
                 for peer, turns in turns_of.items()])


def main():
    parser = make_parser(__doc__.splitlines()[0], PEERS)
    return run("./dev bench ports", PEERS, measure, print_report, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
