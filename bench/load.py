#!/usr/bin/python3
"""What a pair of guests keeps while a third one floods. Run by `./dev bench load`.

    guest evil                     host                                     guest vm1
    eth0 ══ veth ══ evil ──┐                             ┌── vm1 ══ veth ══ eth0   ↑ ping, TCP
       ↑ generator         ├── the switch under test ────┼── vm2 ══ veth ══ eth0   ↓
    guest nowhere          │                             └── uplink ══ veth ══ eth0
    eth0 ══ veth ══ nowhere ── nftables: drop

Peers: bulkhead (through its conduit, polling adaptively) and the kernel's bridge with equivalent
rules, by turns. A turn is pings from vm1 to vm2, then TCP, undisturbed and during each flood: the
generator (generator.c; its veth has gro on, as in bench.py) sends 64 B frames at full rate,

  * into nothing: from a guest that no switch has, whose device drops everything at once. The flood
    takes a core for itself; what the pair loses here is not the switch's doing.
  * spoofed: to vm2, with vm1's MAC and IP addresses as the source.
  * broadcast: by evil's own addresses, IPv4 to the subnet's broadcast address.
  * unknown: by evil's own addresses, each frame to another MAC, which nobody has.
  * fragments: later fragments by evil's own addresses to the uplink's MAC and a foreign IP address.
    They break no rule and are forwarded. (To vm2 they would measure its kernel's reassembly.)
  * churn: to vm2, each frame by another source MAC.

Equivalent rules for the bridge (`rules()`, nftables; br_netfilter is off) take the place of the
guests' bindings, and of bulkhead's defaults:

  * The source MAC, ARP's sender and the IP source must be the port's; tags and other protocols do
    not pass. Probes for an address and a DHCP client's requests from nowhere do.
  * A limit a port and second, with a burst of one second: 500 ARP and neighbour discovery, 50 DHCP,
    500 other broadcast, 2000 other multicast.
  * Guests' MACs are static in the FDB, their ports learn nothing and get no unknown unicast; the
    uplink does.
  * Nothing between the ports and the host's stack.

They come first in prerouting, before the FDB is looked at or learns. They do less than bulkhead
does: no look into neighbour discovery, DHCP or options, no directed ARP, nothing on the way out.

Offered is what the generator sent, over the whole of ping and TCP; forwarded what of it the uplink
received. The generator is on core 0 and bulkhead's worker on core 1; ping and iperf3 run where the
scheduler puts them.
"""

import json
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager

from harness import (GENERATOR_CORE, Bulkhead, Peer, make_parser, measure_ping, measure_tcp,
                     print_table, received_frames, run, sink, spread, values_at)

from frames import BROADCAST, IPV4, checksum, ethernet, ipv4_udp  # harness has made the path

FLOOD_SECONDS_MAX = 120  # it is ended when everything is measured
SETTLE_SECONDS = 0.5
FOREIGN_IP = "198.51.100.1"
NOBODY_IP = "10.77.0.99"
NOBODY_MAC = "02:be:00:00:00:00"


# --- peers ------------------------------------------------------------------------------------


def add_attacker(peer):
    lab = peer.lab
    peer.evil, peer.uplink = lab.veth("evil"), lab.uplink()
    peer.nowhere = lab.veth("nowhere", port=False)
    lab.host.run(["nft", "-f", "-"], input=sink("nowhere"))
    for device in ("evil", "nowhere"):
        lab.host.run(["ethtool", "-K", device, "gro", "on"])


def rules(guests):
    """See the top of the file."""
    chains = "".join(f"""
  chain from_{guest.name} {{
    ether saddr != {guest.mac} drop
    ether type {{ 8021q, 8021ad }} drop
    ip saddr {guest.ip4} goto other_{guest.name}
    arp saddr ether {guest.mac} arp saddr ip {{ {guest.ip4}, 0.0.0.0 }} goto arp_nd_{guest.name}
    ip6 saddr {{ {guest.ip6}, {guest.link_local}, :: }} \\
      icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} goto arp_nd_{guest.name}
    ip6 saddr {{ {guest.ip6}, {guest.link_local} }} goto other_{guest.name}
    ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 goto dhcp_{guest.name}
    drop
  }}
  chain arp_nd_{guest.name} {{ limit rate over 500/second burst 500 packets drop; accept; }}
  chain dhcp_{guest.name} {{ limit rate over 50/second burst 50 packets drop; accept; }}
  chain other_{guest.name} {{
    pkttype broadcast limit rate over 500/second burst 500 packets drop
    pkttype multicast limit rate over 2000/second burst 2000 packets drop
    accept
  }}
""" for guest in guests)
    ports = ", ".join(f"{guest.name} : goto from_{guest.name}" for guest in guests)
    return f"""
table bridge isolation {{{chains}
  chain prerouting {{
    type filter hook prerouting priority filter; policy accept;
    iifname vmap {{ {ports} }}
  }}
  chain input {{ type filter hook input priority filter; policy drop; }}
  chain output {{ type filter hook output priority filter; policy drop; }}
}}
"""


class FlooderAtBulkhead(Bulkhead):
    def __init__(self):
        super().__init__("adaptive")
        add_attacker(self)


class FlooderAtBridge(Peer):
    def __init__(self):
        super().__init__("bridge with rules")
        add_attacker(self)
        guests = [self.a, self.b, self.evil]
        host = self.lab.host
        self.lab.start_linux_bridge(devices=self.lab.config["port"])
        host.run(["nft", "-f", "-"], input=rules(guests))
        host.sysctl({f"net/bridge/bridge-nf-call-{family}": 0
                     for family in ("iptables", "ip6tables", "arptables")})
        lines = [f"link set dev {guest.name} flood off learning off\n"
                 f"fdb replace {guest.mac} dev {guest.name} master static\n" for guest in guests]
        host.run(["bridge", "-batch", "-"], input="".join(lines))


PEERS = {"bulkhead": FlooderAtBulkhead, "bridge": FlooderAtBridge}


# --- measurements -----------------------------------------------------------------------------


def later_fragment(src_ip, dst_ip):
    """The last 26 bytes of a datagram of 1506, as an IP packet."""
    packet = bytearray(ipv4_udp(src_ip, dst_ip, bytes(18)))
    packet[6:8] = (1480 // 8).to_bytes(2, "big")
    packet[10:12] = bytes(2)
    packet[10:12] = checksum(bytes(packet[:20])).to_bytes(2, "big")
    return bytes(packet)


def floods(peer):
    """{name: (guest that sends, frame, more words for the generator)}"""
    evil, vm1, vm2, uplink = peer.evil, peer.a, peer.b, peer.uplink

    def own(dst_mac, dst_ip):
        return ethernet(dst_mac, evil.mac, IPV4, ipv4_udp(evil.ip4, dst_ip, bytes(18)))

    to_vm2 = own(vm2.mac, vm2.ip4)
    stolen = ethernet(vm2.mac, vm1.mac, IPV4, ipv4_udp(vm1.ip4, vm2.ip4, bytes(18)))
    fragment = ethernet(uplink.mac, evil.mac, IPV4, later_fragment(evil.ip4, FOREIGN_IP))
    subnet_broadcast = evil.interface4.network.broadcast_address
    return {
        "into nothing": (peer.nowhere, to_vm2, ()),
        "spoofed": (evil, stolen, ()),
        "broadcast": (evil, own(BROADCAST, str(subnet_broadcast)), ()),
        "unknown": (evil, own(NOBODY_MAC, NOBODY_IP), ("destination",)),
        "fragments": (evil, fragment, ()),
        "churn": (evil, to_vm2, ("source",)),
    }


@contextmanager
def flooding(peer, generator, flood, result):
    """The flood runs while the body does; how much it was is added to the result."""
    guest, frame, more = flood
    drops_before, forwarded_before = peer.counters(), received_frames(peer.uplink)
    words = ["taskset", "-c", GENERATOR_CORE, *generator, "eth0", FLOOD_SECONDS_MAX, frame.hex()]
    process = guest.popen([*words, *more], stdout=subprocess.PIPE, text=True)
    time.sleep(SETTLE_SECONDS)
    yield
    process.terminate()
    answer = json.loads(process.communicate(timeout=10)[0])
    time.sleep(SETTLE_SECONDS)
    forwarded = received_frames(peer.uplink) - forwarded_before
    drops = {name: count - drops_before.get(name, 0) for name, count in peer.counters().items()}
    result |= {"offered_mpps": answer["frames"] / answer["seconds"] / 1e6,
               "forwarded_mpps": forwarded / answer["seconds"] / 1e6,
               "flood_seconds": answer["seconds"],
               "drops": {name: count for name, count in drops.items() if count}}


def measure(peer, generator, arguments):
    seconds = {"ping": 1, "tcp": 2} if arguments.quick else {"ping": 4, "tcp": 5}

    def pair():
        return {"ping": measure_ping(peer, seconds["ping"])(),
                "TCP": measure_tcp(peer, seconds["tcp"])}

    peer.evil.run(["ping", "-q", "-c", 1, peer.uplink.ip4])  # the uplink's MAC is learned
    results = {"undisturbed": pair()}
    for name, flood in floods(peer).items():
        results[name] = {}
        with flooding(peer, generator, flood, results[name]):
            results[name] |= pair()
    return results


# --- report -----------------------------------------------------------------------------------


def of_undisturbed(turns, name, *path):
    values = [statistics.median(values_at(turns, what, *path)) for what in (name, "undisturbed")]
    return values[0] / values[1]


def print_report(turns_of):
    names = [name for name in next(iter(turns_of.values()))[0] if name != "others_busy_cores"]
    rows = []
    for name in names:
        for peer, turns in turns_of.items():
            flood = ["–", "–"] if name == "undisturbed" else \
                [spread(turns, name, key) for key in ("offered_mpps", "forwarded_mpps")]
            rows.append([
                name, peer, *flood,
                spread(turns, name, "ping", "median_us", digits=0),
                spread(turns, name, "ping", "p99_us", digits=0),
                f"{of_undisturbed(turns, name, 'ping', 'p99_us'):.1f}",
                f"{max(values_at(turns, name, 'ping', 'max_us')):.0f}",
                spread(turns, name, "ping", "loss_percent", digits=1),
                spread(turns, name, "TCP", "gbits"),
                f"{100 * of_undisturbed(turns, name, 'TCP', 'gbits'):.0f}"])
    print_table(["64 B flood", "switch", "offered Mpps", "forwarded Mpps", "ping: µs", "p99",
                 "× undisturbed", "max", "loss %", "TCP Gbit/s", "% of undisturbed"], rows)


def main():
    parser = make_parser(__doc__.splitlines()[0], PEERS)
    return run("./dev bench load", PEERS, measure, print_report, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
