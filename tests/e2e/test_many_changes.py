"""A reload that adds or deletes 500 ports: in force and answered within seconds, and nobody else
notices. What takes the kernel long, giving devices back, follows the answer, guarded until then.

    p0 .. p499 on veth in the host's namespace, without guests
    vm1, vm2, who talk all the time; vm3, whose port goes with the 500 and comes back
    lo has HOST_IP4 and HOST_IP6: what a guest reaches of them, it reaches of the host
"""

import threading
import time

import pytest

from lab import Lab, Stream, wait_until
from test_guard import HOST_IP4, HOST_IP6, Host

pytestmark = pytest.mark.alone
PORTS = 500
ANSWER_SECONDS_MAX = 3  # 1 on an idle machine
COMMAND_SECONDS_MAX = 1
WATCHDOG_SECONDS = 6  # it is fed three times as often; the unit says 20


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.host.sysctl({"net/ipv6/conf/default/disable_ipv6": 1})
        lab.host.ip(f"addr add {HOST_IP4}/32 dev lo", f"addr add {HOST_IP6}/128 dev lo nodad")
        lab.host.run(["ip", "-batch", "-"], timeout=60, input="".join(
            f"link add p{number} type veth peer name q{number}\n"
            f"link set p{number} up\nlink set q{number} up\n" for number in range(PORTS)))
        for name in ("vm1", "vm2", "vm3"):  # the devices are in the order of their numbers
            lab.veth(name)
        lab.stays = dict(lab.config["port"])
        lab.others = {
            f"p{number}": {"device": f"p{number}", "ip": [f"10.99.{number >> 8}.{number & 255}/32"],
                           "mac": [f"52:54:00:99:{number >> 8:02x}:{number & 255:02x}"]}
            for number in range(PORTS)}
        lab.watch = Host(lab)
        lab.host.ip("link set vm3 up")
        start(lab)
        yield lab


class Watchdog:
    """Reads what the daemon tells systemd (which the daemon waits for), and how long the watchdog
    was not fed, at most, since forget()."""

    def __init__(self, lab):
        self.notify = lab.notify
        self.forget()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def forget(self):
        self.last, self.gap_seconds, self.fed = time.monotonic(), 0.0, 0

    def listen(self):
        while not self.stopping.is_set():
            try:
                is_fed = b"WATCHDOG=1" in self.notify.recv(4096)
            except TimeoutError:
                is_fed = False
            except OSError:
                return  # the lab is closed
            now = time.monotonic()
            self.gap_seconds = max(self.gap_seconds, now - self.last)
            if is_fed:
                self.fed, self.last = self.fed + 1, now

    def close(self):
        self.stopping.set()
        self.thread.join()


def start(lab):
    lab.start(watchdog_seconds=WATCHDOG_SECONDS)
    lab.watchdog = lab.keep(Watchdog(lab))


def reload_to(lab, ports):
    """Seconds until that is answered."""
    lab.config["port"] = dict(ports)
    lab.write_config()
    started = time.monotonic()
    lab.bh("reload", timeout=60)
    return time.monotonic() - started


def giving_back(lab):
    return lab.bh("status", json=True)["giving_back"]


def queue_500(lab):
    """Ports vm3 and the 500 are deleted: seconds until that is answered. Their devices are in the
    queue then, vm3's as the last one."""
    if len(lab.config["port"]) < PORTS:
        reload_to(lab, lab.stays | lab.others)
        wait_until(lambda: lab.bh("status", json=True)["ports"]["up"] == PORTS + 3, 30,
                   what="all up")
    seconds = reload_to(lab, {name: lab.stays[name] for name in ("vm1", "vm2")})
    assert giving_back(lab) > PORTS // 2
    return seconds


def add_vm3(lab):
    lab.config["port"]["vm3"] = lab.stays["vm3"]
    lab.by_command("vm3")


def test_500_added_and_deleted(lab):
    """Answered at once, and nothing is lost or late beside it, nor while devices are given back."""
    started, watchdog = time.monotonic(), lab.watchdog
    watchdog.forget()
    with Stream(lab.guests["vm1"], lab.guests["vm2"]) as pair:
        added = reload_to(lab, lab.stays | lab.others)
        wait_until(lambda: lab.bh("status", json=True)["ports"]["up"] == PORTS + 3, 30,
                   what="all up")
        up = time.monotonic() - started
        wait_until(lambda: not lab.missing_pins(), 60, 1, what="all have their links in tcx")
        deleted = queue_500(lab)
        assert len(lab.bh("port", "show", json=True)) == 2
        slowest, commands = 0.0, 0
        while giving_back(lab):
            asked = time.monotonic()
            lab.bh("port", "set", "vm2", "--isolated=false")
            slowest, commands = max(slowest, time.monotonic() - asked), commands + 1
            reached = lab.watch.reached("vm3")
            assert not reached or not giving_back(lab), "guarded until it is given back"
        sent, lost = pair.stop()
    print(f"added {added:.2f} s, all up {up:.2f}, deleted {deleted:.2f}, slowest of {commands} "
          f"commands {slowest:.2f}, the watchdog waited {watchdog.gap_seconds:.2f}, {sent} sent")
    assert max(added, deleted) < ANSWER_SECONDS_MAX
    assert commands > 5 and slowest < COMMAND_SECONDS_MAX
    assert watchdog.fed > 5 and watchdog.gap_seconds < WATCHDOG_SECONDS
    assert lost == 0 and sent > 1000
    wait_until(lambda: not giving_back(lab), what="all are given back")
    wait_until(lambda: lab.watch.reached("vm3"), what="its device is the host's again")


def test_taken_over_from_the_queue(lab):
    """A port that is added for a device in the queue has it at once, and there it stays."""
    queue_500(lab)
    add_vm3(lab)
    assert giving_back(lab) > PORTS // 4
    assert lab.guests["vm3"].ping(lab.guests["vm1"].ip4).lost == 0
    for _ in range(3):  # and again, with its socket in the way that is not closed yet
        lab.bh("port", "del", "vm3")
        assert not lab.watch.reached("vm3")
        add_vm3(lab)
    while giving_back(lab):
        assert not lab.watch.reached("vm3")
        assert lab.guests["vm3"].ping(lab.guests["vm1"].ip4).lost == 0
    assert not lab.watch.reached("vm3")
    assert lab.guests["vm3"].ping(lab.guests["vm1"].ip4).lost == 0
    lab.bh("port", "del", "vm3")
    wait_until(lambda: lab.watch.reached("vm3"), what="its device is the host's again")


def test_stopped_with_a_queue(lab):
    """What is in the queue stays guarded without a daemon, and the next one gives it back."""
    queue_500(lab)
    lab.stop()
    assert not lab.watch.reached("vm3")
    lab.watchdog.close()
    started = time.monotonic()
    start(lab)
    assert time.monotonic() - started < ANSWER_SECONDS_MAX
    assert giving_back(lab) > PORTS // 4
    assert not lab.watch.reached("vm3")
    wait_until(lambda: lab.watch.reached("vm3"), 60, what="its device is the host's again")
