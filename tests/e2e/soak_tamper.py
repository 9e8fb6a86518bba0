"""What people and programs do to the devices of ports and to the conduit, for test_soak.py.

A deed is a method do_…(). What it did to a port's device is undone later, by another deed or before
the round is checked; meanwhile everything else goes on, and daemons end and come back. The device
is guarded throughout: no frame of its guest reaches the host.
"""

import ctypes
import os
import socket
import struct
import subprocess

from frames import entered
from lab import Netns, wait_until

BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
BPF_PROG_QUERY, TCX_HOOKS = 16, (46, 47)  # linux/bpf.h: ingress, egress
MENDED_SECONDS_MAX = 10  # each device is looked at within five seconds


def tcx_programs(ifindex, hook):
    """How many there are. bpftool of Debian 12 does not know tcx."""
    query = ctypes.create_string_buffer(struct.pack("=IIIIQII", ifindex, hook, 0, 0, 0, 0, 0) +
                                        bytes(32))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(BPF_SYSCALL, BPF_PROG_QUERY, query, len(query)) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return struct.unpack_from("=I", query, 24)[0]


class Tampering:
    """A part of Soak, which has `lab`, `random`, `gone` and the bystanders' talk."""

    def prepare_tampering(self):
        self.undo_of = {}  # by port: what takes the last deed back
        self.elsewhere = Netns(f"{self.lab.name}-elsewhere")

    def undo_all(self):
        for name in list(self.undo_of):
            self.undo(name)

    def undo(self, name):
        self.note("undo", name)
        self.undo_of.pop(name)()

    def whole(self):
        """A port whose device is there and guarded by both hooks; None if there is none."""
        names = [name for name in ("a1", "a2", "a3") if name not in self.gone | set(self.undo_of)]
        if not names:
            return None
        name = self.random.choice(names)
        self.note("at", name)
        self.lab.wait_port(name, "up")
        self.wait_hooks(name)
        return name

    def number(self, name):
        with entered(self.lab.host.path):
            return socket.if_nametoindex(name)

    def hooks(self, name):
        """How many of its four programs the device has."""
        filters = "".join(self.lab.host.run(["tc", "filter", "show", "dev", name, side]).stdout
                          for side in ("ingress", "egress"))
        number = self.number(name)
        with entered(self.lab.host.path):
            links = sum(tcx_programs(number, hook) for hook in TCX_HOOKS)
        return filters.count("name bulkhead_") + links

    def wait_hooks(self, name):
        wait_until(lambda: self.hooks(name) == 4, MENDED_SECONDS_MAX, 0.05,
                   what=f"both guards of {name} are there")

    def do_undo(self):
        if self.undo_of:
            self.undo(self.random.choice(list(self.undo_of)))

    def do_rename(self):
        if name := self.whole():
            host, other = self.lab.host, f"{name}-other"
            host.ip(f"link set {name} down", f"link set {name} name {other}",
                    f"link set {other} up")
            self.undo_of[name] = lambda: host.ip(
                f"link set {other} down", f"link set {other} name {name}", f"link set {name} up")

    def do_move(self):
        """To another network namespace; sometimes somebody has its number when it is back."""
        if not (name := self.whole()):
            return
        host = self.lab.host
        number = self.number(name)
        host.ip(f"link set {name} netns {self.elsewhere.name}")
        self.elsewhere.ip(f"link set {name} up")
        is_taken = self.random.random() < 0.5
        if is_taken:
            host.ip(f"link add taken{number} index {number} type bridge")

        def undo():
            self.elsewhere.ip(f"link set {name} netns {host.name}")
            host.ip(f"link set {name} up")
            if is_taken:
                host.ip(f"link del taken{number}")

        self.undo_of[name] = undo

    def do_strip(self):
        """One of the two guards, as container managers do it or by hand."""
        if not (name := self.whole()):
            return
        way = self.random.choice(["qdisc", "filter", "detach", "unpin"])
        self.note(way)
        if way == "qdisc":
            self.lab.host.run(["tc", "qdisc", "del", "dev", name, "clsact"])
        elif way == "filter":
            side = self.random.choice(["ingress", "egress"])
            self.lab.host.run(["tc", "filter", "del", "dev", name, side])
        else:
            number = self.number(name)
            pins = [pin for pin in self.lab.pins() if pin.name.startswith(f"{number}_")]
            for pin in self.random.sample(pins, self.random.choice([1, 2])):
                if way == "unpin":
                    pin.unlink()
                else:
                    subprocess.run(["bpftool", "link", "detach", "pinned", pin], check=True,
                                   timeout=10)
        self.undo_of[name] = lambda: self.wait_hooks(name)

    def do_bridge(self):
        if name := self.whole():
            bridge = f"br-{name}"
            self.lab.host.ip(f"link add {bridge} type bridge",
                             f"link set {bridge} addrgenmode none up",
                             f"link set {name} master {bridge}")
            self.undo_of[name] = lambda: self.lab.host.ip(f"link set {name} nomaster",
                                                          f"link del {bridge}")

    def do_conduit(self):
        """It carries everybody, so the bystanders are silent until it is mended."""
        status = self.lab.bh("status", json=True)
        name = self.random.choice(status["conduits"])
        words = self.random.choice([
            f"ip link set {name} down", f"ip link set {name}x down", f"ip link set {name} mtu 1500",
            f"ip link set {name}x xdp off", f"ip link del {name}", f"ip link del {name}x",
            f"ip link set {name} netns {self.elsewhere.name}",
            f"ip link set {name}x netns {self.elsewhere.name}",
            f"tc qdisc add dev {name} root pfifo limit 1",
        ])
        self.shut_up()
        self.note(words)
        logged = len(self.lab.log())
        self.lab.host.run(words.split())
        wait_until(lambda: self.lab.bh("status", json=True)["conduits_mended"] >
                   status["conduits_mended"], MENDED_SECONDS_MAX, what=f"after: {words}")
        self.made_anew += "made anew" in self.lab.log()[logged:]
        self.talk()
