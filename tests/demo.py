#!/usr/bin/python3
"""The main job of bulkhead, made visible in about a minute. Run as root by `./dev demo`.

Three guests and an uplink talk through bulkheadd with every offload of theirs at its default; then
one guest pretends to be another. Every command is shown with its output, every claim is checked,
and one that is not seen to be true makes the demo fail (exit code 1). Everything happens in network
namespaces made for it, which go at the end, also on Ctrl-C and on failure.
"""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "e2e"))

from lab import BUILD, Lab, ping_result, wait_until  # noqa: E402

DRAWING = """
  guest vm1                                                            guest vm2
  eth0 ══════ veth ══════ vm1 ────┐                  ┌──── vm2 ══════ veth ══════ eth0
                                  │    bulkheadd     │
  guest vm3 (like under QEMU)     │                  │              uplink (trusted)
  eth0 ── tap_guest ── tap ═ vm3 ─┘                  └─ uplink ══════ veth ══════ eth0

  Each guest is a network namespace. tap_guest hands frames between the guest's kernel and the tap
  as QEMU does: segments of up to 64 KB (TSO) with checksums left to be finished.
"""
SPOOFED_FRAMES = 3000
SPOOFED_RATE = 1000  # a second
UDP = 17


class Terminal:
    """Plain text; headings are bold, and PASS and FAIL coloured, if somebody looks."""

    def __init__(self):
        self.colours = sys.stdout.isatty()
        self.step = 0

    def styled(self, text, code):
        return f"\033[{code}m{text}\033[0m" if self.colours else text

    def heading(self, text):
        self.step += 1
        print("\n" + self.styled(f"{self.step}. {text}", "1"), flush=True)

    @staticmethod
    def say(text):
        print(text, flush=True)

    def command(self, place, argv, background=False):
        line = f"{place}# {shlex.join(str(word) for word in argv)}{' &' if background else ''}"
        print("\n  " + self.styled(line, "1"), flush=True)

    @staticmethod
    def output(text):
        for line in text.strip("\n").splitlines():
            print("  " + line.rstrip(), flush=True)

    def claim(self, text, passed):
        word = self.styled("PASS", "32") if passed else self.styled("FAIL", "31;1")
        print(f"  {word}  {text}", flush=True)


class Demo:
    def __init__(self, lab):
        self.lab = lab
        self.terminal = Terminal()
        self.claims = []

    # What every step is made of.

    def claim(self, text, seen):
        self.claims.append((text, bool(seen)))
        self.terminal.claim(text, seen)

    def in_guest(self, guest, argv, keep=None, timeout=30):
        """Runs and shows a command in a guest; `keep` is a pattern of the lines worth showing."""
        self.terminal.command(guest.name, argv)
        result = guest.run(argv, check=False, timeout=timeout)
        text = result.stdout + result.stderr
        lines = [line for line in text.splitlines() if not keep or re.search(keep, line)]
        self.terminal.output("\n".join(lines))
        return text

    def bulkhead(self, *words):
        self.terminal.command("host", ["bulkhead", *words])
        text = self.lab.bh(*words)
        self.terminal.output(text)
        return text

    # The steps.

    def run(self):
        self.topology()
        self.start()
        self.look()
        self.ping()
        self.transfer()
        self.counters()
        self.spoof()
        self.switch_off()
        return self.verdict()

    def topology(self):
        self.terminal.heading("Three guests and an uplink")
        self.terminal.say(DRAWING)
        lab = self.lab
        self.vm1, self.vm2 = lab.veth("vm1"), lab.veth("vm2")
        self.vm3 = lab.tap("vm3")
        self.uplink = lab.uplink()
        for guest in (self.vm1, self.vm3):
            text = self.in_guest(guest, ["ethtool", "-k", "eth0"],
                                 keep="^(tx-checksumming|tcp-segmentation-offload|tx-vlan-offload)")
            wanted = r"^tx-checksumming: on$.*^tcp-segmentation-offload: on$"
            self.claim(f"{guest.name}'s offloads are on, as the kernel has them by default",
                       re.search(wanted, text, re.MULTILINE | re.DOTALL))

    def start(self):
        self.terminal.heading("The configuration: who each port is. Then the daemon starts")
        self.lab.write_config()
        self.terminal.command("host", ["cat", "bulkhead.toml"])
        self.terminal.output(self.lab.config_path.read_text())
        self.terminal.command("host", ["bulkheadd", "--config", "bulkhead.toml"])
        self.lab.start()
        self.terminal.output(self.lab.log().strip().splitlines()[-1])

    def look(self):
        self.terminal.heading("What the bridge says of itself")
        self.bulkhead("status")
        self.bulkhead("port", "show")
        ports = self.lab.bh("port", "show", json=True)
        self.claim("four ports are up", [port["state"] for port in ports] == ["up"] * 4)

    def ping(self):
        self.terminal.heading("Ping, IPv4 and IPv6: between guests, and to the uplink")
        pairs = [(self.vm1, self.vm2), (self.vm2, self.vm3), (self.vm3, self.uplink)]
        for guest, target in pairs:
            for family in (4, 6):
                words = ["ping", "-n", "-q", "-c", 5, "-i", "0.05", target.address(family)]
                text = self.in_guest(guest, words, keep="transmitted|rtt")
                self.claim(f"{guest.name} reaches {target.name} over IPv{family}",
                           " 0% packet loss" in text)

    def transfer(self):
        self.terminal.heading("TCP with iperf3: segments and unfinished checksums arrive whole")
        pairs = [(self.vm1, self.vm3, "veth to tap"), (self.vm3, self.vm1, "tap to veth"),
                 (self.vm2, self.uplink, "guest to uplink")]
        for guest, target, what in pairs:
            server = target.popen(["iperf3", "-s", "-1", "--forceflush"], stdout=subprocess.PIPE,
                                  text=True)
            next(line for line in server.stdout if "listening" in line)
            words = ["iperf3", "-c", target.ip4, "-t", 3, "--connect-timeout", 2000]
            text = self.in_guest(guest, words, keep="sender|receiver|error")
            match = re.search(r"([\d.]+) ([GMK]?)bits/sec +receiver", text)
            scale = {"G": 1e3, "M": 1, "K": 1e-3, "": 1e-6}
            mbits = float(match[1]) * scale[match[2]] if match else 0
            self.claim(f"{guest.name} to {target.name} ({what}): {mbits:.0f} Mbit/s", mbits > 50)

    def counters(self):
        self.terminal.heading("The MAC table, and every frame accounted for")
        self.bulkhead("fdb", "show")
        self.claim("the uplink's address was learned, the guests' are bound",
                   self.kinds() == {self.uplink.mac: ("learned", "uplink"),
                                    self.vm1.mac: ("bound", "vm1"), self.vm2.mac: ("bound", "vm2"),
                                    self.vm3.mac: ("bound", "vm3")})
        self.bulkhead("stats")
        self.ledger_claim()

    def kinds(self):
        return {mac: (entry["kind"], entry["port"]) for mac, entry in self.lab.fdb().items()}

    def ledger_claim(self):
        try:
            self.lab.ledger()
            balanced = True
        except AssertionError as error:
            self.terminal.output(str(error))
            balanced = False
        self.claim("every port's ledger balances: no frame is lost without a name", balanced)

    def spoof(self):
        vm1, vm2, vm3 = self.vm1, self.vm2, self.vm3
        self.terminal.heading(f"vm3 turns hostile: {SPOOFED_FRAMES} frames with vm1's MAC as their "
                              "source, while vm1 pings")
        table_before = self.kinds()
        before = self.lab.stats()["vm3"]["ingress"]["drops"].get("spoofed_mac", 0)
        listening = vm2.wire()
        monitor = self.lab.spawn(
            [BUILD / "bulkhead", "--socket", self.lab.socket_path, "monitor", "drop"],
            stdout=subprocess.PIPE, text=True)
        time.sleep(0.3)

        ping_options = {"count": 400, "interval": 0.01}
        for target in (vm2, self.uplink):
            self.terminal.command("vm1", ["ping", "-q", "-c", 400, "-i", "0.01", target.ip4],
                                  background=True)
        pings = {target: vm1.ping_start(target.ip4, **ping_options)
                 for target in (vm2, self.uplink)}
        time.sleep(0.3)
        words = ["--count", SPOOFED_FRAMES, "--rate", SPOOFED_RATE]
        self.terminal.command("vm3", ["flood", "--src-mac", vm1.mac, "--dst-mac", vm2.mac, *words])
        sent = vm3.flood(vm2.mac, *words, src_mac=vm1.mac)
        self.terminal.output(f"sent {sent}")

        def dropped():
            drops = self.lab.stats()["vm3"]["ingress"]["drops"]
            return drops.get("spoofed_mac", 0) - before

        try:
            wait_until(lambda: dropped() >= sent, timeout=2)
        except AssertionError:
            pass  # the claim below says so
        self.bulkhead("stats", "vm3")
        self.claim(f"all {sent} were dropped and counted as spoofed_mac",
                   sent == SPOOFED_FRAMES and dropped() == sent)
        seen = listening.drain()
        spoofed = [frame for frame in seen if frame.src == vm1.mac and frame.data[23] == UDP]
        self.claim(f"none of them is among the {len(seen)} frames that vm2 got meanwhile",
                   seen and not spoofed)

        monitor.terminate()
        events = monitor.communicate()[0].splitlines()
        self.terminal.command("host", ["bulkhead", "monitor", "drop"])
        self.terminal.output("\n".join(events[:2]))
        self.terminal.output(f"… {len(events)} lines: of a flood the monitor tells a part, the "
                             "counters tell it all")
        self.claim("the monitor names the reason, the port and the address",
                   any("spoofed_mac" in line and "port vm3" in line and vm1.mac in line
                       for line in events))

        for target, process in pings.items():
            result = ping_result(process)
            self.terminal.say(f"  vm1's pings to {target.name}: {result.sent} sent, "
                              f"{result.received} answered")
            self.claim(f"vm1's pings to {target.name}, meanwhile: 0 % loss",
                       result.lost == 0 and result.sent == ping_options["count"])
        self.claim("the MAC table has not moved", self.kinds() == table_before)
        self.explain()

    def explain(self):
        self.terminal.say("\n  What happens to such a frame, check by check: from vm3, and from "
                          "vm1 itself.")
        frame = self.vm1.frame_to(self.vm2, b"demo").hex()
        for port, wanted in (("vm3", "drop, spoofed_mac"), ("vm1", "unicast to vm2")):
            text = self.bulkhead("explain", port, frame)
            self.claim(f"explain says of it from {port}: {wanted}",
                       f"verdict: {wanted}" in text)

    def switch_off(self):
        self.terminal.heading("vm3 is switched off: its tap goes with it")
        server = self.vm3.server
        output, _ = server.communicate(timeout=5)  # the end of its input ends it
        self.terminal.output("tap_guest says: " + output.strip().replace("\n", "\n" + 16 * " "))
        sizes = dict(re.findall(r"(to_\w+) .* frame_bytes_max (\d+)", output))
        self.claim("vm3's TSO frames of up to 64 KB came in through its tap",
                   int(sizes.get("to_host", 0)) > 60_000)
        try:
            self.lab.wait_port("vm3", "waiting", timeout=3)
        except AssertionError:
            pass
        self.bulkhead("port", "show", "vm3")
        self.claim("port vm3 waits for its device", self.lab.port("vm3")["state"] == "waiting")
        self.claim("bulkheadd ends cleanly on SIGTERM", self.lab.stop() == 0)

    def verdict(self):
        failed = [text for text, seen in self.claims if not seen]
        self.terminal.heading("The claims")
        for text, seen in self.claims:
            self.terminal.claim(text, seen)
        word = "FAIL" if failed else "PASS"
        print(f"\n{word}: {len(self.claims) - len(failed)} of {len(self.claims)} claims seen true")
        return 1 if failed else 0


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    try:
        with Lab() as lab:
            try:
                return Demo(lab).run()
            except (AssertionError, subprocess.SubprocessError, OSError, json.JSONDecodeError) as e:
                print(f"\nFAIL: the demo could not go on: {e}", file=sys.stderr)
                print(lab.log(), file=sys.stderr)
                return 1
    except KeyboardInterrupt:
        print("\nstopped; everything is cleaned up", file=sys.stderr)
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
