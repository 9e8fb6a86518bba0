"""A soak: random traffic, commands, devices that go and come, and daemons that end; in quiet
moments nothing may have grown, and nothing may have touched the host.

    left ── right: bystanders, whose datagrams all arrive
    a1 a2 a3 on veth, t1 on a tap, uplink (trusted), evil (a tap whose owner floods): they do it all;
        what is done to the devices of a1 a2 a3 and to the conduit is in soak_tamper.py
    late1 late2: ports added and deleted by command; their devices are down while they are no ports

BULKHEAD_SOAK_SECONDS says for how long (30), BULKHEAD_SOAK_SEED repeats the decisions of a run
(not its timing). `./dev soak [MINUTES [SEED]]` sets both. In the first half daemons end and come
back, in the second one daemon lives through it all, so that slow growth shows.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from frames import ARP, BROADCAST, IPV4, IPV6, Wire, arp_request, ethernet, new_mac, new_token
from lab import (BUILD, NETNS_ROOT, PIN_ROOT, REPOSITORY, WORKERS, Client, HostWatch, Lab, Stream,
                 request, to_toml, wait_until)
from soak_held import Around, Daemon, kernel_ids
from soak_tamper import Tampering

pytestmark = pytest.mark.alone
SECONDS = float(os.environ.get("BULKHEAD_SOAK_SECONDS", 30))
SEED = int(os.environ.get("BULKHEAD_SOAK_SEED", 0)) or random.SystemRandom().randrange(1, 10**9)
ACTIONS_A_ROUND = 12
ROUND_SECONDS_MAX = 60
LOSS_MAX = 0.01  # of the bystanders, while somebody floods at full rate; otherwise 0
# With more segments each worker's MAC table is larger, while they are there. So far, and no further:
GROWTH_KBYTES_MAX = 40_960 * WORKERS  # after the first round
STEADY_ROUNDS, STEADY_GROWTH_KBYTES_MAX = 60, 4096  # of so many, the last third over the middle one
HOST_IP4, HOST_IP6 = "10.77.250.250", "fd77::fa"


def corpus_frames():
    lines = (REPOSITORY / "tests/corpus/cases.txt").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    return [data for data in (bytes.fromhex(row[2]) for row in rows) if 14 <= len(data) <= 1514]


class Soak(Tampering):
    def __init__(self, lab):
        self.lab = lab
        self.random = random.Random(SEED)
        self.corpus = corpus_frames()
        self.left, self.right = lab.veth("left"), lab.veth("right")
        self.actors = [lab.veth("a1"), lab.veth("a2"), lab.veth("a3"), lab.tap("t1"), lab.uplink()]
        self.evil = lab.hostile_tap("evil")
        self.late = {}  # by name: the words of `port add`
        for name in ("late1", "late2"):
            guest = lab.veth(name)
            lab.host.ip(f"link set {name} down")
            self.late[name] = lab.port_words(name)
            del lab.config["port"][name]
            self.actors.append(guest)
        self.by_name = {guest.name: guest for guest in self.actors}
        lab.host.ip(f"addr add {HOST_IP4}/32 dev lo", f"addr add {HOST_IP6}/128 dev lo nodad")
        self.prepare_tampering()
        self.around = Around(lab)
        self.gone = set()  # devices that are away
        self.processes, self.clients, self.statics = [], [], set()
        self.streams = []
        self.seen_objects = set()  # BPF, of all daemons
        self.done, self.memory, self.diary = Counter(), [], []
        self.is_flooding = self.may_restart = False
        self.round_start = time.monotonic()

    def run(self):
        lab = self.lab
        lab.start()
        lab.ledger()
        self.watch = HostWatch(lab)
        self.do_add_and_delete()  # there is a state file from here on
        self.restore()
        self.around_at_rest = self.around.look()
        self.buffers = self.buffers_free()
        self.new_life()
        start, rounds = time.monotonic(), 0
        while (elapsed := time.monotonic() - start) < SECONDS:
            signal.alarm(ROUND_SECONDS_MAX)
            self.may_restart = elapsed < SECONDS / 2
            self.round()
            rounds += 1
            print(f"soak: {elapsed:.0f} s, round {rounds}, memory {self.memory[-1]} kB, "
                  f"{self.daemon.descriptors().total()} descriptors", flush=True)
        said = ", ".join(f"{count} {name}" for name, count in sorted(self.done.items()))
        print(f"soak: deeds: {said}", flush=True)
        print(f"soak: seed {SEED}, {elapsed:.0f} s, {rounds} rounds, {self.done['restart']} "
              f"restarts, memory {min(self.memory)} to {max(self.memory)} kB since the last; "
              "host at rest", flush=True)
        assert lab.stop() == 0

    def new_life(self):
        self.daemon = Daemon(self.lab.daemon.pid)
        self.at_rest = None  # what this daemon held after its first round
        self.made_anew = 0  # conduits since then

    def note(self, *words):
        """For the diary of the round, which a failure shows."""
        elapsed = f"{time.monotonic() - self.round_start:.2f}"
        self.diary.append(" ".join([elapsed, *map(str, words)]))

    def round(self):
        self.round_start = time.monotonic()
        self.diary.clear()
        self.talk()
        for _ in range(ACTIONS_A_ROUND):
            names = [name for name in dir(self) if name.startswith(("traffic_", "do_"))]
            name = self.random.choice(names)
            self.done[name.split("_", 1)[1]] += 1
            self.note(name)
            getattr(self, name)()
        self.shut_up()
        self.restore()
        self.check()

    # The bystanders.

    def talk(self):
        self.streams = [Stream(self.left, self.right), Stream(self.right, self.left, family=6)]

    def shut_up(self):
        self.note("the bystanders are to stop")
        for stream in self.streams:
            sent, lost = stream.stop()
            allowed = LOSS_MAX * sent if self.is_flooding else 0
            missing = sorted(set(range(sent)) - stream.received)
            assert lost <= allowed, f"{lost} of {sent} datagrams of the bystanders: {missing}"
        self.streams = []

    # Back to the state that everything is compared in.

    def restore(self):
        lab = self.lab
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
            lab.processes.remove(process)
        for client in self.clients:
            client.close()
            lab.kept.remove(client.socket)
        self.processes, self.clients = [], []
        if self.is_flooding:
            self.evil.flood_end()
            self.is_flooding = False
        self.undo_all()
        for name in list(self.gone):
            self.return_device(name)
        for name in self.late:
            self.delete_late(name)
        for mac in list(self.statics):
            lab.bh("fdb", "del", mac, check=False)
        self.statics.clear()
        for name in lab.config["port"]:
            lab.host.ip(f"link set {name} up")
        lab.reload()
        for name in lab.config["port"]:
            lab.wait_port(name, "up")
        lab.bh("fdb", "flush")

    def check(self):
        lab, daemon = self.lab, self.daemon
        lab.ledger()
        assert not (seen := self.watch.seen()), f"the host's stack was touched: {seen}"

        self.same("free buffers", self.buffers_free, self.buffers)
        self.same("around", self.around.look, self.around_at_rest)
        held = {"descriptors": self.descriptors, "threads": daemon.threads}
        if self.at_rest is None:
            time.sleep(0.2)
            self.at_rest = {what: look() for what, look in held.items()}
            self.memory = [daemon.memory_kbytes()]
            self.made_anew = 0
        for what, look in held.items():
            self.same(what, look, self.at_rest[what])
        self.memory.append(daemon.memory_kbytes())
        if "TSAN_OPTIONS" not in os.environ:  # whose own memory grows with every place in use
            self.check_growth()
        self.seen_objects |= daemon.kernel_objects()
        self.same("BPF objects of daemons before", self.leaked_objects, set())
        wrong = [line for line in lab.log().splitlines() if " critical " in line]
        assert not wrong, wrong

    def descriptors(self):
        """A conduit that is made anew registers the frames' memory once more, by a socket. Earlier
        registrations stay as long as ports use them. Such sockets are not counted."""
        held = self.daemon.descriptors()
        if self.at_rest:
            at_rest = self.at_rest["descriptors"]["socket:[]"]
            more_max = min(self.made_anew, len(self.lab.config["port"]) + 2)
            if at_rest <= held["socket:[]"] <= at_rest + more_max:
                held["socket:[]"] = at_rest
        return held

    def check_growth(self):
        growth = self.memory[-1] - self.memory[0]
        assert growth <= GROWTH_KBYTES_MAX, f"grown by {growth} kB: {self.memory}"
        if (rounds := len(self.memory)) >= STEADY_ROUNDS:
            third = rounds // 3
            growth = min(self.memory[-third:]) - min(self.memory[third:2 * third])
            assert growth <= STEADY_GROWTH_KBYTES_MAX, f"grows, {growth} kB: {self.memory}"

    def buffers_free(self):
        """At a quiet moment those that no fill ring has."""
        return self.lab.bh("status", json=True)["buffers_free"]

    def leaked_objects(self):
        """Programs and maps that an earlier daemon had, and that nobody has a use for."""
        there = kernel_ids("prog") | kernel_ids("map")
        return (self.seen_objects & there) - self.daemon.kernel_objects()

    @staticmethod
    def same(what, look, wanted):
        """Within a moment: hung-up clients and freed BPF objects take one."""
        try:
            wait_until(lambda: look() == wanted, 5, 0.1)
        except AssertionError:
            assert look() == wanted, f"{what}: {look()}, was {wanted}"

    # Means.

    def background(self, guest, argv, **options):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options
        self.processes.append(guest.popen(argv, **quiet))

    def actor(self, there=True):
        """One of those who do it all."""
        return self.random.choice([guest for guest in self.actors
                                   if not there or guest.name not in self.gone])

    def attempt(self, *words):
        """A command that may be refused, but then in one line."""
        self.note(*words)
        result = self.lab.bh(*words, check=False)
        assert result.returncode in (0, 1, 2), result
        assert result.returncode == 0 or len(result.stderr.splitlines()) == 1, result
        return result

    def pause(self, most=0.3):
        time.sleep(self.random.uniform(0, most))

    # Traffic.

    def traffic_ping(self):
        to = self.actor()
        target = self.random.choice([to.ip4, to.ip6, HOST_IP4, HOST_IP6, "ff02::1%eth0",
                                     "10.77.255.255"])
        words = ["ping", "-b"] if target.endswith(".255") else ["ping"]
        size = self.random.choice([0, 56, 1400, 4000])
        self.background(self.actor(), [*words, "-q", "-i", "0.01", "-s", size, target])

    def traffic_udp(self):
        """At limited rates, honest and spoofed, of every size."""
        sender, to = self.actor(), self.actor()
        destination = self.random.choice([to.mac, self.left.mac, BROADCAST, new_mac(),
                                          "01:00:5e:00:00:05"])
        words = ["--rate", self.random.choice([10, 1000, 10_000]),
                 "--size", self.random.choice([60, 60, 128, 1514]),
                 "--dst-ip", self.random.choice([to.ip4, self.left.ip4, HOST_IP4]),
                 "--src-ip", self.random.choice([sender.ip4, sender.ip4, self.left.ip4])]
        if self.random.random() < 0.2:
            words.append("--random-src")
        source = self.random.choice([sender.mac, sender.mac, self.left.mac, new_mac()])
        self.processes.append(sender.flood_start(destination, *words, seconds=5, src_mac=source,
                                                 stderr=subprocess.DEVNULL))

    def traffic_tcp(self):
        sender, to = self.actor(), self.actor()
        port = self.random.randrange(20_000, 60_000)
        self.background(to, ["iperf3", "-s", "-1", "-p", port])
        reverse = ["-R"] if self.random.random() < 0.5 else []
        time.sleep(0.1)
        self.background(sender, ["iperf3", "-c", to.address(self.random.choice([4, 6])), "-p", port,
                                 "-t", 3, "--connect-timeout", 1000, *reverse])

    def traffic_malformed(self):
        """Frames of the corpus with the sender's own addresses here and there, and broken."""
        sender, to = self.actor(), self.actor()
        with Wire(sender.netns.path, "eth0") as wire:
            for _ in range(50):
                data = bytearray(self.random.choice(self.corpus))
                if self.random.random() < 0.7:
                    data[6:12] = bytes.fromhex(sender.mac.replace(":", ""))
                if self.random.random() < 0.7:
                    data[0:6] = bytes.fromhex(to.mac.replace(":", ""))
                for _ in range(self.random.choice([0, 0, 1, 4])):
                    data[self.random.randrange(len(data))] = self.random.randrange(256)
                if self.random.random() < 0.2:
                    data = data[:self.random.randrange(14, len(data) + 1)]
                self.send(wire, bytes(data))

    def traffic_lies(self):
        """Tags, ARP for others, ethertypes that nobody knows, oversized frames."""
        sender, to = self.actor(), self.actor()
        with Wire(sender.netns.path, "eth0") as wire:
            for _ in range(20):
                tags = self.random.choice([(), [(0x8100, 0)], [(0x88A8, 5), (0x8100, 0)]])
                self.send(wire, sender.frame_to(to, new_token(), tags=tags))
                self.send(wire, arp_request(sender.mac, self.left.ip4, to.ip4))
                self.send(wire, arp_request(sender.mac, sender.ip4, HOST_IP4))
                kind = self.random.choice([ARP, IPV4, IPV6, 0x88CC, 0x1234])
                payload = self.random.randbytes(self.random.choice([46, 400, 1500]))
                self.send(wire, ethernet(to.mac, sender.mac, kind, payload))

    @staticmethod
    def send(wire, data):
        try:
            wire.send(data)
        except OSError:
            pass  # longer than the MTU, or the device is down

    def traffic_full_flood(self):
        """By the owner of a tap, until the round ends."""
        if not self.is_flooding:
            self.is_flooding = True
            kind = self.random.choice(["tso", "tso256", "tso100", "seg1", "small", "big"])
            self.evil.flood_start(kind, seconds=2)

    # Commands.

    def do_add_and_delete(self):
        name = self.random.choice(list(self.late))
        if self.lab.port(name):
            self.delete_late(name)
        else:
            self.lab.bh("port", "add", name, *self.late[name])
            self.lab.host.ip(f"link set {name} up")

    def delete_late(self, name):
        self.lab.host.ip(f"link set {name} down")  # the host's again, and it is to stay at rest
        if self.lab.port(name):
            self.lab.bh("port", "del", name)

    def do_set(self):
        name = self.random.choice(list(self.by_name))
        options = ["--isolated", "--isolated=false", "--unknown", "--transit", "--mac-max=3",
                   "--limit=broadcast=9", "--limit=arp_nd=none",
                   "--segment=default", "--segment=other", "--allow=vrrp", "--routes=10.99.0.0/16",
                   "--prefixes=fd99::/64", "--link-local=any", "--shared=00:00:5e:00:01:01"]
        self.attempt("port", "set", name, *self.random.sample(options, self.random.choice([1, 3])))

    def do_shadow(self):
        """In a segment of its own: in that of the bystanders it would be free to rob them."""
        self.attempt("port", "set", "a3", "--segment=other", "--enforce=false")
        self.pause(0.1)
        self.attempt("port", "set", "a3", "--segment=default", "--enforce")

    def do_wrong_command(self):
        wrong = [["port", "set", "a1", "--mac", "nonsense"], ["port", "del", "nobody"],
                 ["port", "add", "a1", "--device", "a1"], ["fdb", "add", BROADCAST, "--port", "a1"],
                 ["port", "add", "dup", "--device", "a1", "--mac", new_mac(), "--ip", "any"],
                 ["port", "add", "lo", "--device", "lo", "--mac", new_mac(), "--ip", "any"],
                 ["port", "set", "a2", "--segment", "default", "--mac", self.left.mac],
                 ["stats", "nobody"], ["explain", "a1", "0"],
                 ["capture", "--port", "nobody", "-w", "/dev/null"]]
        assert self.attempt(*self.random.choice(wrong)).returncode in (1, 2)

    def do_ask(self):
        for words in self.random.sample([["status"], ["stats"], ["metrics"], ["port", "show"],
                                         ["fdb", "show"], ["save"],
                                         ["top", "--count", "1", "--interval", "100ms"],
                                         ["explain", "a1", self.random.choice(self.corpus).hex()]],
                                        3):
            self.lab.bh(*words)

    def do_fdb(self):
        mac = new_mac()
        if self.attempt("fdb", "add", mac, "--port", "uplink").returncode == 0:
            self.statics.add(mac)
        if len(self.statics) > 5:
            self.attempt("fdb", "del", self.statics.pop())
        if self.random.random() < 0.5:
            self.lab.bh("fdb", "flush")

    def do_reload(self):
        """What the file says already, or something else for some ports."""
        config = json.loads(json.dumps(self.lab.config))
        for name in self.random.sample(["a1", "a2", "a3", "t1"], self.random.choice([0, 1, 3])):
            config["port"][name]["isolated"] = self.random.random() < 0.5
            config["port"][name]["segment"] = self.random.choice(["default", "lan"])
        self.lab.write_config(to_toml(config))
        if self.random.random() < 0.3:
            os.kill(self.lab.daemon.pid, signal.SIGHUP)
        else:
            self.lab.bh("reload")

    def do_wrong_reload(self):
        text = to_toml(self.lab.config)
        wrong = [text + '[port.bad]\ndevice = "bad"\n', text.replace('mac = ["52', 'mac = ["5', 1),
                 text[:self.random.randrange(20, len(text) - 20)] + "\n[", "[port.a1\n"]
        self.lab.write_config(self.random.choice(wrong))
        assert self.attempt("reload").returncode in (1, 2)
        self.lab.write_config()

    def do_hang_up(self):
        """Clients that go half way, do not read, or talk nonsense."""
        for _ in range(self.random.randrange(1, 20)):
            client = Client(self.lab)
            method = self.random.choice(["stats", "port.show", "monitor", "capture", "save"])
            whole = request(method)
            try:
                client.send(self.random.choice([whole[:-9], whole * 20, b"nonsense\n", b"{}\n" * 50,
                                                whole + whole[:5], b"[" * 1000 + b"\n"]))
            except OSError:
                pass
            if self.random.random() < 0.8 or len(self.clients) > 50:
                client.close()
                self.lab.kept.remove(client.socket)
            else:
                self.clients.append(client)  # until the round ends, and never reads

    def do_watch(self):
        words = self.random.choice([["monitor"], ["monitor", "drop"],
                                    ["capture", "-w", "/dev/null"],
                                    ["top", "--interval", "100ms"]])
        process = self.lab.spawn([BUILD / "bulkhead", "--socket", self.lab.socket_path, *words],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes.append(process)
        if self.random.random() < 0.3:
            process.send_signal(signal.SIGSTOP)  # it never reads

    # Devices.

    def do_device_goes(self):
        guest = self.random.choice([self.by_name[name] for name in ("a1", "a2", "a3", "t1")])
        if guest.name in self.undo_of:
            self.undo(guest.name)
        if guest.name in self.gone:
            self.return_device(guest.name)
        else:
            guest.remove_device()
            self.gone.add(guest.name)
            self.pause()

    def return_device(self, name):
        """It is up only once the daemon has closed it, so that it never is the host's."""
        self.by_name[name].make_device(before_up=lambda: self.lab.wait_port(name, "down"))
        self.gone.remove(name)

    def do_flap(self):
        name = self.random.choice(["a1", "a2", "uplink", "evil"])
        if name not in self.gone and name not in self.undo_of:
            for _ in range(self.random.choice([1, 5])):
                self.lab.host.ip(f"link set {name} down", f"link set {name} up")

    def do_mtu(self):
        name = self.random.choice(["a1", "a2", "a3"])
        if name not in self.gone and name not in self.undo_of:
            for mtu in (self.random.choice([1280, 2000, 3494]), 1500):
                self.lab.host.ip(f"link set {name} mtu {mtu}")
                self.pause(0.1)

    def do_nothing(self):
        self.pause(0.5)

    # Daemons.

    def do_restart(self):
        """In the midst of it all, by SIGTERM or SIGKILL."""
        if not self.may_restart:
            self.done["restart"] -= 1
            return
        self.shut_up()
        if self.random.random() < 0.5:
            assert self.lab.stop() == 0
        else:
            self.lab.kill()
        self.pause()
        self.lab.start(wait_ports=False)
        for name in ("left", "right"):
            self.lab.wait_port(name, "up")
        self.new_life()
        self.talk()


def test_soak(monkeypatch):
    """Random things for half a minute; see above."""
    # What is large goes back to the kernel when it is freed: memory that stays is in use.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")
    print(f"soak: seed {SEED}, {SECONDS:.0f} s", flush=True)
    with Lab() as lab:
        soak = Soak(lab)
        try:
            soak.run()
        except BaseException as error:
            error.add_note("\n".join([f"BULKHEAD_SOAK_SEED={SEED}; the last round:", *soak.diary,
                                      "the log:", *lab.log().splitlines()[-100:]]))
            raise
        name, inode = lab.name, lab.host.inode
    assert not (PIN_ROOT / str(inode)).exists()
    assert not [there for there in os.listdir(NETNS_ROOT) if there.startswith(name + "-")]
    objects = soak.seen_objects
    wait_until(lambda: not objects & (kernel_ids("prog") | kernel_ids("map") | kernel_ids("link")),
               10, 0.2, "BPF programs, maps and links are gone")
