"""A lab for one daemon: a "host" network namespace with bulkheadd in it, and guests around it.

    guest vm1                host (a namespace too)               guest vm2
    eth0 ══ veth ══ vm1 ──────────┐             ┌────────── vm2 ══ veth ══ eth0
                                  │  bulkheadd  │
    guest vm3                     │             │                 guest uplink
    eth0 ── tap_guest ── tap vm3 ─┘             └──────── uplink ══ veth ══ eth0

Everything a lab makes carries its name, bhe-PID-NUMBER, or lives in its namespaces, and goes with
it: on exit, on a failure, on Ctrl-C. What a killed test run left behind, the next lab sweeps up. A
lab touches nothing that it has not made.

Start processes from the main thread only: they die with the thread that started them.
"""

import atexit
import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from frames import IPV4, Wire, entered, ethernet, ipv4_udp

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BULKHEAD_BUILD", REPOSITORY / "build"))
WORKERS = int(os.environ.get("BULKHEAD_WORKERS", 1))  # of every daemon that says no number
SHORTCUT = os.environ.get("BULKHEAD_SHORTCUT")  # "0" or "1", of every daemon that does not say
TOOLS = Path(os.environ.get("BULKHEAD_TOOLS", BUILD))  # tap_guest and flood
PIN_ROOT = Path("/sys/fs/bpf/bulkhead")
NETNS_ROOT = Path("/run/netns")

parse = json.loads  # where a parameter is called json

MTU_MAX = 3494  # of a port, FACTS.md


def wait_until(condition, timeout=5.0, interval=0.02, what="condition"):
    """Calls the condition until it gives something true, which is returned."""
    deadline = time.monotonic() + timeout
    while True:
        if result := condition():
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(interval)


def to_toml(config):
    """{"bulkhead": {key: value}, "segment": {name: {…}}, "port": {name: {…}}, "fdb": [{…}]} as a
    file's text."""
    lines = []

    def value_text(value):
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{key} = {value_text(of)}" for key, of in value.items()) + " }"
        return json.dumps(value)

    def table(heading, values):
        lines.append(f"[{heading}]")
        lines.extend(f"{key} = {value_text(value)}" for key, value in values.items())
        lines.append("")

    if "bulkhead" in config:
        table("bulkhead", config["bulkhead"])
    for kind in ("segment", "port"):
        for name, values in config.get(kind, {}).items():
            table(f"{kind}.{name}", values)
    for values in config.get("fdb", []):
        table("[fdb]", values)
    return "\n".join(lines)


# --- processes --------------------------------------------------------------------------------


def spawn(argv, netns_path=None, **options):
    """A process group of its own that dies with the test run, in the given network namespace."""
    wrapper = ["setpriv", "--pdeathsig", "KILL"]
    if netns_path:  # not `ip netns exec`: it mounts a new /sys, and the pins below it were lost
        wrapper += ["nsenter", f"--net={netns_path}"]
    options.setdefault("stdin", subprocess.DEVNULL)
    words = wrapper + [str(word) for word in argv]
    return subprocess.Popen(words, start_new_session=True, **options)


def end(process, timeout=3.0):
    """Asks the process to go, then makes it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


class Netns:
    def __init__(self, name):
        self.name = name
        self.path = str(NETNS_ROOT / name)
        subprocess.run(["ip", "netns", "add", name], check=True, timeout=10)
        self.inode = os.stat(self.path).st_ino

    def ip(self, *commands):
        """`ip -batch`: one line a command."""
        self.run(["ip", "-batch", "-"], input="\n".join(commands) + "\n")

    def run(self, argv, check=True, timeout=20, **options):
        words = ["nsenter", f"--net={self.path}"] + [str(word) for word in argv]
        result = subprocess.run(words, capture_output=True, text=True, timeout=timeout, **options)
        if check and result.returncode != 0:
            said = result.stdout + result.stderr
            raise AssertionError(f"{argv}: exit {result.returncode}\n{said}")
        return result

    def sysctl(self, settings):
        """{"net/ipv6/…": value}; what this kernel lacks is left out."""
        with entered(self.path):
            for key, value in settings.items():
                path = Path("/proc/sys") / key
                if path.exists():
                    path.write_text(str(value))

    def socket(self, family, kind):
        with entered(self.path):
            return socket.socket(family, kind)


def delete_netns(name):
    """With its devices, its processes and the daemon's pins. Only for namespaces of a lab."""
    assert name.startswith("bhe-"), name
    path = NETNS_ROOT / name
    pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout
    for pid in pids.split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    try:
        shutil.rmtree(PIN_ROOT / str(path.stat().st_ino), ignore_errors=True)
        with entered(path):  # an open socket keeps a namespace alive, so delete its devices first
            devices = [name for _, name in socket.if_nameindex() if name != "lo"]
        lines = "".join(f"link del {device}\n" for device in devices)
        subprocess.run(["ip", "-force", "-n", name, "-batch", "-"], input=lines.encode(),
                       capture_output=True, timeout=60)
    except OSError:
        pass  # it is gone, or was never mounted
    subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=60)


def is_python(pid):
    """A zombie is not, and neither is another program that got the number since."""
    try:
        return b"python" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def sweep():
    """Removes the labs of test runs that are no more."""
    names = os.listdir(NETNS_ROOT) if NETNS_ROOT.exists() else []
    for name in names + [path.name for path in Path("/tmp").glob("bhe-*-*")]:
        match = re.match(r"bhe-(\d+)-", name)
        if match and not is_python(match[1]):
            if name in names:
                delete_netns(name)
            else:
                shutil.rmtree(Path("/tmp") / name, ignore_errors=True)


# --- guests -----------------------------------------------------------------------------------


class Ping:
    """What one `ping` said."""

    def __init__(self, output):
        match = re.search(r"(\d+) packets transmitted, (\d+) received", output)
        if not match:
            raise AssertionError(f"ping: {output}")
        self.sent, self.received = int(match[1]), int(match[2])
        self.output = output

    @property
    def lost(self):
        return self.sent - self.received

    @property
    def loss(self):
        return self.lost / self.sent

    def __repr__(self):
        return f"{self.received} of {self.sent} pings answered"


class Guest:
    """A machine behind a port: a network namespace whose eth0 ends in the host's device."""

    def __init__(self, lab, name, index, kind, mtu, silent=False, ip4=None, ip6=None, queues=None):
        """ip4: with the prefix length; ip6 is always in a /64. queues: the veth stands for a NIC and
        its wire: it has so many, and what the guest sends is whole, checksums and tags included."""
        self.lab, self.name, self.index, self.kind, self.mtu = lab, name, index, kind, mtu
        self.mac = f"52:54:00:77:{index >> 8:02x}:{index & 255:02x}"
        self.link_local = f"fe80::5054:ff:fe77:{index:x}"
        self.interface4 = ipaddress.ip_interface(ip4 or f"10.77.{index >> 8}.{index & 255}/16")
        self.ip4, self.ip6 = str(self.interface4.ip), ip6 or f"fd77::{index:x}"
        self.queues = queues
        self.silent = silent  # has no address: its kernel answers nothing
        self.netns = Netns(f"{lab.name}-{name}")
        self.server = None  # tap_guest, which serves the tap
        # Duplicate address detection would hold the addresses back, and solicitations are noise.
        # Every offload stays as the kernel has it: they are the guest's own affair.
        self.netns.sysctl({
            "net/ipv6/conf/all/accept_dad": 0,
            "net/ipv6/conf/default/accept_dad": 0,
            "net/ipv6/conf/default/router_solicitations": 0,
            "net/ipv6/conf/default/disable_ipv6": int(silent),
        })
        self.make_device()

    def make_device(self, before_up=None):
        """Again after remove_device(): the restarted guest. before_up() is called while the host's
        device is there and down."""
        host = self.lab.host
        if self.kind == "veth":
            queues = f"numtxqueues {self.queues} numrxqueues {self.queues}" if self.queues else ""
            host.ip(f"link add {self.name} mtu {self.mtu} {queues} type veth peer name eth0"
                    f" mtu {self.mtu} address {self.mac} {queues} netns {self.netns.name}")
            if self.queues:
                self.netns.run(["ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off",
                                "txvlan", "off", "tx-vlan-stag-hw-insert", "off"])
        else:
            self.server = self.lab.serve_tap(self.name, "--guest-netns", self.netns.path,
                                             "--guest-dev", "eth0", "--mtu", self.mtu)
        if before_up:
            before_up()
        host.ip(f"link set {self.name} up")
        commands = ["link set lo up", f"link set eth0 address {self.mac} up"]
        if not self.silent:
            commands.append(f"addr add {self.interface4} dev eth0")
            commands.append(f"addr add {self.ip6}/64 dev eth0 nodad")
        self.netns.ip(*commands)

    def remove_device(self):
        if self.server:
            end(self.server)
        else:
            self.lab.host.ip(f"link del {self.name}")

    def run(self, argv, **options):
        return self.netns.run(argv, **options)

    def popen(self, argv, **options):
        """Ended with the lab at the latest."""
        return self.lab.spawn(argv, self.netns.path, **options)

    def address(self, family):
        return self.ip4 if family == 4 else self.ip6

    def wire(self, **options):
        return self.lab.keep(Wire(self.netns.path, "eth0", **options))

    def socket(self, family, kind=socket.SOCK_DGRAM):
        inet = socket.AF_INET if family == 4 else socket.AF_INET6
        return self.lab.keep(self.netns.socket(inet, kind))

    def frame_to(self, to, token, size=None, src_mac=None, ethertype=IPV4, tags=()):
        """IPv4 and UDP with the token at its very end, to a guest or to a MAC (then the subnet's
        broadcast); `size` in bytes of the whole frame. Other ethertypes carry the same bytes."""
        dst_mac, dst_ip = (to, str(self.interface4.network.broadcast_address))
        if isinstance(to, Guest):
            dst_mac, dst_ip = to.mac, to.ip4
        padding = bytes(max(0, (size or 60) - 42 - 4 * len(tags) - len(token)))
        payload = ipv4_udp(self.ip4, dst_ip, padding + token)
        return ethernet(dst_mac, src_mac or self.mac, ethertype, payload, tags)

    def install_hidden_tags(self):
        """From here on wire.send(frame, hidden_tag=(tpid, tci)) puts the tag beside the frame."""
        self.run(["tc", "qdisc", "add", "dev", "eth0", "clsact"])
        self.run(["tc", "filter", "add", "dev", "eth0", "egress", "bpf", "direct-action",
                  "object-file", self.lab.bpf_object("hidden_tag"), "section", "tc"])

    # Traffic.

    def ping_start(self, target, count=3, interval=0.05, size=56, options=()):
        return self.popen(["ping", "-n", "-q", "-c", count, "-i", interval, "-W", 1, "-s", size,
                           *options, target], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)

    def ping(self, target, timeout=30, **options):
        return ping_result(self.ping_start(target, **options), timeout)

    def flood_start(self, dst_mac, *options, seconds=None, src_mac=None, **popen_options):
        """`flood` as a process; what it printed is ended_flood()'s."""
        words = [TOOLS / "flood", "--dst-mac", dst_mac, *options]
        if "--random-src" not in options:
            words += ["--src-mac", src_mac or self.mac]
        if seconds:
            words += ["--seconds", seconds]
        return self.popen(words, stdout=subprocess.PIPE, text=True, **popen_options)

    def flood(self, dst_mac, *options, timeout=30, **more):
        """Frames sent."""
        process = self.flood_start(dst_mac, *options, **more)
        output, _ = process.communicate(timeout=timeout)
        assert process.returncode == 0, output
        return int(output.split()[1])

    def tcp_mbps(self, target, family=4, mbytes=32, reverse=False):
        """Mbit/s of one TCP transfer to (reverse: from) another guest, by iperf3 with a server of
        its own; a transfer that hangs is a failed test."""
        address = target.address(family)
        server = target.popen(["iperf3", "-s", "-1", "-B", address, "--forceflush"],
                              stdout=subprocess.PIPE, text=True)
        try:
            if not any("listening" in line for line in server.stdout):
                raise AssertionError(f"iperf3 -s does not listen on {target.name}")
            words = ["iperf3", "-J", "--connect-timeout", "2000", "-c", address, "-n", f"{mbytes}M"]
            words += ["-R"] if reverse else []
            answer = json.loads(self.run(words, check=False, timeout=20).stdout)
            assert "error" not in answer, f"iperf3 {self.name}-{target.name}: {answer['error']}"
            return answer["end"]["sum_received"]["bits_per_second"] / 1e6
        finally:
            end(server)


def ping_result(process, timeout=30):
    output, _ = process.communicate(timeout=timeout)
    return Ping(output)


class Stream:
    """UDP datagrams from one guest, echoed by another, all the time: counts every one.

    Unlike ping it can be stopped at any moment without miscounting the last one.
    """

    def __init__(self, sender, receiver, family=4, interval=0.005):
        self.interval = interval
        self.echo = receiver.socket(family)
        self.echo.bind((receiver.address(family), 7))
        self.client = sender.socket(family)
        self.client.connect((receiver.address(family), 7))
        self.sent, self.received = 0, set()
        self.stopping = threading.Event()
        self.closing = threading.Event()
        self.threads = [threading.Thread(target=target, daemon=True)
                        for target in (self.run_echo, self.run_receiver, self.run_sender)]
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.received, what="first datagram of a stream comes back")

    def run_echo(self):
        self.echo.settimeout(0.1)
        while not self.closing.is_set():
            try:
                data, source = self.echo.recvfrom(100)
                self.echo.sendto(data, source)
            except OSError:
                pass

    def run_receiver(self):
        self.client.settimeout(0.1)
        while not self.closing.is_set():
            try:
                self.received.add(int(self.client.recv(100)))
            except OSError:
                pass

    def run_sender(self):
        while not self.stopping.wait(self.interval):
            try:
                self.client.send(b"%d" % self.sent)
            except OSError:
                pass  # counts as sent, and lost
            self.sent += 1

    def stop(self):
        """(sent, lost), after a moment of grace for the last ones."""
        self.stopping.set()
        deadline = time.monotonic() + 1.0
        while len(self.received) < self.sent and time.monotonic() < deadline:
            time.sleep(0.01)
        self.closing.set()
        for thread in self.threads:
            thread.join()
        self.echo.close()
        self.client.close()
        return self.sent, self.sent - len(self.received)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if not self.closing.is_set():
            sent, lost = self.stop()
            if kind is None:
                assert lost == 0, f"{lost} of {sent} datagrams of an unrelated pair were lost"


class Conversation:
    """Two guests ping each other, each by another family, and iperf3 sends 5 Mbit/s of UDP from one
    to the other, until the end: every answer and every datagram counts."""

    PORT = 5202  # tcp_mbps() has the usual one
    made = 0

    def __init__(self, left, right):
        Conversation.made += 1
        self.left, self.right = left, right
        self.directory = left.lab.directory / f"conversation-{Conversation.made}"
        self.directory.mkdir()
        self.processes = []

    def run(self, guest, name, argv):
        with open(self.directory / name, "w") as output:
            self.processes.append(guest.popen(argv, stdout=output, stderr=subprocess.STDOUT))

    def said(self, name):
        return (self.directory / name).read_text()

    def counts(self):
        """{tool: (received, lost)} so far; a second answer to a ping is a loss, too."""
        counts = {}
        for name in ("ping", "ping6"):
            answers = [int(number) for number in
                       re.findall(r"icmp_seq=(\d+) ttl", self.said(name))]
            missing = set(range(1, max(answers, default=0))) - set(answers)
            counts[name] = (len(answers), len(missing) + len(answers) - len(set(answers)))
        intervals = re.findall(r" (\d+)/(\d+) \(", self.said("iperf3"))
        counts["iperf3"] = (sum(int(total) - int(lost) for lost, total in intervals),
                            sum(int(lost) for lost, _ in intervals))
        return counts

    def wait_for_more(self):
        before = self.counts()

        def went_on():
            return all(received > before[tool][0]
                       for tool, (received, _) in self.counts().items())

        wait_until(went_on, 3, what=f"{self.left.name} and {self.right.name} go on talking; "
                                    f"received and lost: {before}")

    def __enter__(self):
        left, right, port = self.left, self.right, self.PORT
        self.run(right, "iperf3", ["iperf3", "-s", "-1", "-p", port, "-i", 0.1, "--forceflush"])
        self.run(left, "ping", ["ping", "-n", "-i", 0.02, right.ip4])
        self.run(right, "ping6", ["ping", "-n", "-i", 0.02, left.ip6])
        wait_until(lambda: "listening" in self.said("iperf3"), what="iperf3 listens")
        self.run(left, "client", ["iperf3", "-c", right.ip4, "-p", port, "-u", "-b", "5M",
                                  "-t", 1000])
        self.wait_for_more()
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.wait_for_more()
                counts = self.counts()
                assert not any(lost for _, lost in counts.values()), \
                    f"{self.left.name} and {self.right.name}, received and lost: {counts}"
        finally:
            for process in self.processes:
                process.kill()
                end(process)


# --- the host's own stack ---------------------------------------------------------------------


class HostWatch:
    """What reaches the host namespace's own stack: its IP and ICMP counters, and sockets for single
    protocols, which sit behind tc (a socket for all protocols sits before it)."""

    PROTOCOLS = {"IPv4": 0x0800, "ARP": 0x0806, "IPv6": 0x86DD, "RARP": 0x8035, "802.1Q": 0x8100,
                 "802.1ad": 0x88A8}

    def __init__(self, lab):
        self.host = lab.host
        self.wires = {name: lab.keep(Wire(self.host.path, None, protocol=number))
                      for name, number in self.PROTOCOLS.items()}
        self.before = self.counters()

    def counters(self):
        with entered(self.host.path):
            snmp = Path("/proc/thread-self/net/snmp").read_text()
            snmp6 = Path("/proc/thread-self/net/snmp6").read_text()
        values = dict(line.split() for line in snmp6.splitlines())
        lines = iter(snmp.splitlines())
        for names, numbers in zip(lines, lines):
            prefix = names.split(":")[0]
            values |= {prefix + name: number
                       for name, number in zip(names.split()[1:], numbers.split()[1:])}
        wanted = ("IpInReceives", "IpInDelivers", "IcmpInMsgs", "IcmpOutMsgs", "UdpNoPorts",
                  "TcpInSegs", "Ip6InReceives", "Ip6InDelivers", "Icmp6InMsgs")
        return {name: int(values[name]) for name in wanted}

    def seen(self):
        """{what: how much} since the last call; empty if nothing touched the host."""
        now = self.counters()
        changed = {name: now[name] - self.before[name] for name in now
                   if now[name] != self.before[name]}
        self.before = now
        for name, wire in self.wires.items():
            if frames := wire.drain():
                changed[name] = [f"{seen.src} > {seen.dst} {seen.data[12:40].hex()}"
                                 for seen in frames[:3]] + [f"{len(frames)} frames"]
        return changed


# --- the lab ----------------------------------------------------------------------------------


class DaemonFailed(AssertionError):
    def __init__(self, returncode, log):
        super().__init__(f"bulkheadd ended with exit code {returncode}:\n{log}")
        self.returncode, self.log = returncode, log


class Lab:
    """See the top of the file. Use as a context manager."""

    open_labs = []
    labs_made = 0

    def __init__(self):
        if not Lab.labs_made:
            sweep()
        Lab.labs_made += 1
        self.name = f"bhe-{os.getpid()}-{Lab.labs_made}"
        self.directory = Path("/tmp") / self.name
        self.socket_path = self.directory / "control.sock"
        self.state_path = self.directory / "state"
        self.config_path = self.directory / "bulkhead.toml"
        self.log_path = self.directory / "log"
        self.config = {"bulkhead": {"socket": str(self.socket_path)}, "segment": {}, "port": {}}
        if SHORTCUT is not None:
            self.config["bulkhead"]["shortcut"] = SHORTCUT == "1"
        if WORKERS > 1:
            self.config["bulkhead"]["workers"] = WORKERS
        self.guests, self.processes, self.kept = {}, [], []
        self.daemon = None  # the process that is to run now
        Lab.open_labs.append(self)
        try:
            self.directory.mkdir()
            self.host = Netns(f"{self.name}-host")
            self.host.ip("link set lo up")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Leaves nothing behind; a second Ctrl-C has to wait for it."""
        if self not in Lab.open_labs:
            return
        on_main_thread = threading.current_thread() is threading.main_thread()
        handlers = {}
        if on_main_thread:
            handlers = {number: signal.signal(number, signal.SIG_IGN)
                        for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            Lab.open_labs.remove(self)
            for process in reversed(self.processes):
                if process.poll() is None:
                    process.kill()
                end(process)
            for thing in self.kept:
                thing.close()
            for name in os.listdir(NETNS_ROOT) if NETNS_ROOT.exists() else []:
                if name.startswith(f"{self.name}-"):
                    delete_netns(name)
            shutil.rmtree(self.directory, ignore_errors=True)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def keep(self, thing):
        """Closed with the lab: an open socket would keep its namespace alive."""
        self.kept.append(thing)
        return thing

    def spawn(self, argv, netns_path=None, **options):
        process = spawn(argv, netns_path, **options)
        self.processes.append(process)
        return process

    # Guests. Each gets a port in the configuration, unless port=None is said; further words are
    # keys of that port. The next start() or reload() takes it in.

    def veth(self, name, **options):
        return self.add_guest(name, "veth", **options)

    def tap(self, name, **options):
        return self.add_guest(name, "tap", **options)

    def uplink(self, name="uplink", **keys):
        return self.add_guest(name, "veth", mac=None, ip=None, trusted=True, **keys)

    def add_guest(self, name, kind, mtu=1500, silent=False, port=True, index=None, ip4=None,
                  ip6=None, queues=None, **keys):
        index = index or len(self.guests) + 1
        guest = Guest(self, name, index, kind, mtu, silent, ip4, ip6, queues)
        self.guests[name] = guest
        if port:
            values = {"device": name, "mac": [guest.mac],
                      "ip": [str(guest.interface4), f"{guest.ip6}/64"]} | keys
            self.config["port"][name] = {key: value for key, value in values.items()
                                         if value is not None}
        return guest

    def hostile_tap(self, name, *options, port=True):
        """A tap whose owner writes what he is told to, and reads it all, unless told --mute."""
        index = len(self.guests) + 1
        mac = f"52:54:00:77:{index >> 8:02x}:{index & 255:02x}"
        ip4 = f"10.77.{index >> 8}.{index & 255}"
        self.guests[name] = HostileTap(self, name, mac, ip4, options)
        if port:
            self.config["port"][name] = {"device": name, "mac": [mac], "ip": [f"{ip4}/16"]}
        return self.guests[name]

    def serve_tap(self, name, *options):
        """tap_guest with that tap in the host's namespace, ready."""
        words = [TOOLS / "tap_guest", "--host-netns", self.host.path, "--tap", name, *options]
        process = self.spawn(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n", f"tap_guest for {name} did not get ready"
        return process

    def bpf_object(self, name):
        """NAME.bpf.c of this directory, compiled."""
        program = self.directory / f"{name}.o"
        if not program.exists():
            source = Path(__file__).with_name(f"{name}.bpf.c")
            include = f"-I/usr/include/{os.uname().machine}-linux-gnu"
            subprocess.run(["clang", "-O2", "-g", "-target", "bpf", include, "-c", str(source),
                            "-o", str(program)], check=True, timeout=60)
        return program

    # The daemon.

    def write_config(self, text=None):
        """In one go: a daemon that is to reload never reads half of it."""
        new = self.config_path.with_suffix(".new")
        new.write_text(to_toml(self.config) if text is None else text)
        new.replace(self.config_path)

    def start(self, wait_ports=True, timeout=15, text=None, under=(), watchdog_seconds=0):
        """Runs bulkheadd, with this text as its configuration if one is given, until it says
        READY=1; DaemonFailed if it ends instead. `under`: words before it, as of prlimit. With
        `watchdog_seconds` it has a watchdog as of systemd, and self.notify goes on hearing it."""
        self.write_config(text)
        notify_path = self.directory / "notify.sock"
        notify_path.unlink(missing_ok=True)
        environment = os.environ | {"NOTIFY_SOCKET": str(notify_path)}
        if watchdog_seconds:
            environment["WATCHDOG_USEC"] = str(int(watchdog_seconds * 1e6))
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            notify.bind(str(notify_path))
            notify.settimeout(0.05)
            with open(self.log_path, "a") as log:
                daemon = self.spawn(
                    [*under, BUILD / "bulkheadd", "--config", self.config_path], self.host.path,
                    stdout=log, stderr=log, env=environment)
            deadline = time.monotonic() + timeout
            while True:
                try:
                    if b"READY=1" in notify.recv(4096).split(b"\n"):
                        break
                except TimeoutError:
                    pass
                if daemon.poll() is not None:
                    raise DaemonFailed(daemon.returncode, self.log())
                assert time.monotonic() < deadline, f"no READY=1 within {timeout} s\n{self.log()}"
            if watchdog_seconds:
                self.notify = self.keep(notify)
        finally:
            if not watchdog_seconds:
                notify.close()
        self.daemon = daemon
        if wait_ports:
            for name in self.config["port"]:
                self.wait_port(name, "up")

    def try_daemon(self, *words, timeout=8):
        """Runs another bulkheadd in the host's namespace that is to end by itself: its exit code,
        and what it said on stderr."""
        process = self.spawn([BUILD / "bulkheadd", *words], self.host.path, text=True,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"bulkheadd {words} runs: {process.communicate()[1]}") from None
        return process.returncode, errors

    def stop(self, timeout=10):
        """SIGTERM; the exit code."""
        daemon, self.daemon = self.daemon, None
        daemon.terminate()
        return daemon.wait(timeout)

    def kill(self):
        daemon, self.daemon = self.daemon, None
        daemon.kill()
        daemon.wait()

    def reload(self):
        self.write_config()
        return self.bh("reload")

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def bh(self, *words, json=False, check=True, timeout=10):
        """`bulkhead WORDS`: its output, an object if json; with check=False the ended process."""
        argv = [str(BUILD / "bulkhead"), "--socket", str(self.socket_path)]
        argv += ["--json"] if json else []
        argv += [str(word) for word in words]
        result = subprocess.run(argv, capture_output=True, text=True, timeout=timeout)
        if not check:
            return result
        assert result.returncode == 0, f"bulkhead {words}: exit {result.returncode} {result.stderr}"
        return parse(result.stdout) if json else result.stdout

    def monitor(self, *what):
        """`bulkhead --json monitor WHAT` as a process: an event a line."""
        argv = [BUILD / "bulkhead", "--socket", self.socket_path, "--json", "monitor", *what]
        return self.spawn(argv, stdout=subprocess.PIPE, text=True)

    def port(self, name):
        ports = {port["name"]: port for port in self.bh("port", "show", json=True)}
        return ports.get(name)

    def wait_port(self, name, state, timeout=10):
        def reached():
            port = self.port(name)
            return port and port["state"] == state

        wait_until(reached, timeout, what=f"port {name} is {state}")

    def port_words(self, name):
        """The port's keys in the configuration, as words of `port add`."""
        words = []
        for key, value in self.config["port"][name].items():
            option = "--" + key.replace("_", "-")
            if isinstance(value, bool):
                words.append(option if value else f"{option}=false")
            else:
                for item in value if isinstance(value, list) else [value]:
                    words += [option, str(item)]
        return words

    def port_add(self, name):
        self.bh("port", "add", name, *self.port_words(name))
        self.wait_port(name, "up")

    def by_command(self, name):
        """The port is added by command, and no longer in the configuration."""
        self.port_add(name)
        del self.config["port"][name]

    def fdb(self, **only):
        """{mac: entry}, of the entries whose keys have these values."""
        return {entry["mac"]: entry for entry in self.bh("fdb", "show", json=True)
                if all(entry[key] == value for key, value in only.items())}

    # The guard.

    def pins(self):
        """Paths of the pinned tcx links, whoever owns them."""
        root = PIN_ROOT / str(self.host.inode)
        return [path for path in root.glob("*/*") if path.name.endswith(("_in", "_out"))]

    def missing_pins(self):
        """{device: how many} of the running ports' devices that have not both links yet."""
        links = json.loads(self.host.run(["ip", "-json", "link"]).stdout)
        numbers = {link["ifname"]: link["ifindex"] for link in links}
        names = [path.name for path in self.pins()]
        counts = {port["device"]: sum(f"{numbers[port['device']]}_{side}" in names
                                      for side in ("in", "out"))
                  for port in self.bh("port", "show", json=True) if port["device"] in numbers}
        return {device: count for device, count in counts.items() if count != 2}

    # Counters.

    def stats(self):
        return {port["name"]: port for port in self.bh("stats", json=True)}

    def drops(self, name, side="ingress"):
        """{reason: count} without the zeros; what was dropped before the dataplane is ingress."""
        port = self.stats()[name][side]
        counts = dict(port["drops"])
        for reason, count in port.get("before", {}).items():
            counts[reason] = counts.get(reason, 0) + count
        return {reason: count for reason, count in counts.items() if count}

    @contextmanager
    def counts(self, name, reason, count=1, side="ingress"):
        """The body makes that port drop `count` frames for that reason, and none for another."""
        before = self.drops(name, side)
        yield

        def added():
            now = self.drops(name, side)
            grown = {key: now[key] - before.get(key, 0) for key in now}
            return {key: number for key, number in grown.items() if number}

        deadline = time.monotonic() + 2
        while added() != {reason: count} and time.monotonic() < deadline:
            time.sleep(0.02)
        assert added() == {reason: count}, f"drops of port {name}, {side}: {added()}"

    def ledger(self, timeout=5):
        """Waits for a quiet moment, then every frame handed over must be accounted for."""
        deadline = time.monotonic() + timeout
        last = None
        while time.monotonic() < deadline:
            stats = self.stats()
            if stats == last and not any(port["ingress"]["in_flight"] for port in stats.values()):
                break
            last = stats
            time.sleep(0.05)
        else:
            in_flight = {name: port["ingress"]["in_flight"] for name, port in stats.items()}
            raise AssertionError(f"no quiet moment within {timeout} s; in flight: {in_flight}")
        for name, port in stats.items():
            check_ledger(name, port["ingress"], port["egress"])

    # A Linux bridge in the daemon's place, to test the lab itself and the attacks.

    def start_linux_bridge(self, name="br0", devices=None):
        """group_fwd_mask: all that it can be made to forward, LLDP too."""
        devices = self.guests if devices is None else devices
        self.host.ip(f"link add {name} type bridge mcast_snooping 0 group_fwd_mask 0xfff8",
                     f"link set {name} up",
                     *(f"link set {device} master {name}" for device in devices))


def check_ledger(name, ingress, egress):
    before = sum(ingress["before"].values())
    drops = sum(ingress["drops"].values())
    sums = {
        "handed": ingress["shortcut"] + ingress["received"] + ingress["in_flight"] + before,
        "received": ingress["unicast"] + ingress["flooded"] + drops,
    }
    wrong = {key: (ingress[key], total) for key, total in sums.items() if ingress[key] != total}
    total = egress["tx"] + sum(egress["drops"].values())
    if egress["offered"] != total:
        wrong["offered"] = (egress["offered"], total)
    assert not wrong, f"ledger of port {name} (is, should be): {wrong}\n{ingress}\n{egress}"


class Client:
    """A connection to the daemon's socket that says whatever it is told."""

    def __init__(self, lab):
        self.socket = lab.keep(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        self.socket.settimeout(5)
        self.socket.connect(str(lab.socket_path))
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        """The next answer; None if the daemon hung up."""
        while b"\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def ask(self, method, number=1, **parameters):
        self.send(request(method, number, **parameters))
        return self.line()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def request(method, number=1, **parameters):
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
    return json.dumps(message).encode() + b"\n"


class HostileTap:
    """A tap without a guest kernel: only an owner who floods, or never reads."""

    def __init__(self, lab, name, mac, ip4, options):
        self.name, self.mac, self.ip4 = name, mac, ip4
        self.server = lab.serve_tap(name, "--src-mac", mac, "--src-ip", ip4, *options)
        lab.host.ip(f"link set {name} up")

    def flood_start(self, kind, seconds=0, count=0):
        self.server.stdin.write(f"flood {kind} {seconds} {count}\n")
        self.server.stdin.flush()

    def flood_end(self):
        """Frames that the kernel took, as soon as it is over."""
        line = self.server.stdout.readline()
        assert line.startswith("sent "), f"tap_guest said {line!r}"
        return int(line.split()[1])

    def flood(self, kind, seconds=0, count=0):
        self.flood_start(kind, seconds, count)
        return self.flood_end()


def close_all():
    for lab in list(Lab.open_labs):
        lab.close()


atexit.register(close_all)
