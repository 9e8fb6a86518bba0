"""Coming, going and coming back: of the daemon, of ports, of devices; and what rests in between.

    vm1, vm2, vm3 on veth, vm4 on a tap, uplink: one lab for the tests that leave it as it was
"""

import ctypes
import fcntl
import json
import os
import signal
import struct
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from frames import BROADCAST, Watch, Wire, arp_request, entered, libc, new_token
from lab import (BUILD, PIN_ROOT, Client, DaemonFailed, HostWatch, Lab, Stream, end, ping_result,
                 request, to_toml, wait_until)


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        for name in ("vm1", "vm2", "vm3"):
            lab.veth(name)
        lab.tap("vm4")
        lab.uplink()
        lab.start()
        yield lab


def small_lab():
    """Two guests on veth and one on a tap, daemon not started."""
    lab = Lab()
    lab.veth("vm1")
    lab.veth("vm2")
    lab.tap("vm3")
    return lab


# --- at rest ----------------------------------------------------------------------------------


def cpu_seconds(pid):
    """Processor time of all threads, from the scheduler's own nanoseconds."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9


@pytest.mark.alone
def test_idle_cpu(lab):
    """A daemon with nothing to do uses less than 1 % of a core."""
    pid = lab.daemon.pid
    busy_before = cpu_seconds(pid)
    lab.guests["vm1"].ping(lab.guests["vm2"].ip4, count=50, interval=0.01)
    assert cpu_seconds(pid) > busy_before  # the measure moves when there is work
    time.sleep(2)
    start, before = time.monotonic(), cpu_seconds(pid)
    time.sleep(5)
    used = (cpu_seconds(pid) - before) / (time.monotonic() - start)
    assert used < 0.01, f"{used:.2%} of a core"


@pytest.mark.alone
def test_busy_polling():
    """With poll = "busy" the worker spins on the core that it is told, and traffic passes."""
    with small_lab() as lab:
        lab.config["bulkhead"] |= {"poll": "busy", "cpus": [1]}
        lab.start()
        assert lab.guests["vm1"].ping(lab.guests["vm3"].ip4).lost == 0
        tasks = [task / "status" for task in Path(f"/proc/{lab.daemon.pid}/task").iterdir()]
        assert any("Cpus_allowed_list:\t1\n" in status.read_text() for status in tasks)
        start, before = time.monotonic(), cpu_seconds(lab.daemon.pid)
        time.sleep(1)
        used = (cpu_seconds(lab.daemon.pid) - before) / (time.monotonic() - start)
        assert used > 0.3, f"{used:.0%} of a core"


@pytest.mark.alone
def test_first_frame_after_a_pause(lab):
    """After a pause in which the worker falls asleep, the first frame arrives, and soon."""
    vm1 = lab.guests["vm1"]
    for receiver in ("vm2", "vm4", "vm2", "vm4"):
        guest = lab.guests[receiver]
        with vm1.wire() as sender, guest.wire() as wire:
            time.sleep(1.5)
            token = new_token()
            sent = time.monotonic()
            sender.send(vm1.frame_to(guest, token))
            assert wire.wait_for(token, 1.0), "the first frame was lost"
            assert time.monotonic() - sent < 0.2


def test_a_minute_without_loss(lab):
    """Of a minute of pings, v4 on veth and v6 to a tap, none is lost."""
    vm1, vm2, vm3, vm4 = (lab.guests[name] for name in ("vm1", "vm2", "vm3", "vm4"))
    started = [vm1.ping_start(vm2.ip4, count=1200, interval=0.05),
               vm3.ping_start(vm4.ip6, count=1200, interval=0.05)]
    for process in started:
        result = ping_result(process, timeout=90)
        assert result.sent == 1200 and result.lost == 0, result


# --- configuration under traffic --------------------------------------------------------------


def test_reload_under_traffic(lab):
    """Reloads, of the same file and of one that changes other ports, lose no frame of a pair."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    with Stream(vm1, vm2, interval=0.002), Stream(vm2, vm1, family=6, interval=0.002):
        for turn in range(10):
            lab.config["port"]["vm3"]["isolated"] = turn % 2 == 0
            lab.reload()
            assert lab.port("vm3")["isolated"] == (turn % 2 == 0)
        os.kill(lab.daemon.pid, signal.SIGHUP)
        time.sleep(0.5)
    assert lab.daemon.poll() is None


def test_reload_takes_ports_in_and_out(lab):
    """A reload makes every port that the file names what the file says; commands' ports stay."""
    vm2, vm1 = lab.guests["vm2"], lab.guests["vm1"]
    entry = lab.config["port"].pop("vm2")
    uptime_before = lab.bh("status", json=True)
    with Stream(vm1, lab.guests["vm4"]):
        lab.reload()
        assert lab.port("vm2") is None
        assert vm1.ping(vm2.ip4, count=1).received == 0
        lab.config["port"]["vm2"] = entry
        lab.write_config()
        os.kill(lab.daemon.pid, signal.SIGHUP)
        lab.wait_port("vm2", "up")
        assert vm1.ping(vm2.ip4, count=2).received > 0
    assert uptime_before["version"] == lab.bh("status", json=True)["version"]


def test_reload_is_all_or_nothing(lab):
    """A file with an error in it changes nothing at all, and reload says where the error is."""
    before = lab.bh("port", "show", "vm3", json=True)[0]
    good = lab.config["port"]["vm3"] | {}
    lab.config["port"]["vm3"] = good | {"isolated": not before["isolated"]}
    lab.config["port"]["zzz"] = {"device": "zzz", "mac": ["not a mac"], "ip": ["10.0.0.1/24"]}
    lab.write_config()
    try:
        result = lab.bh("reload", check=False)
        assert result.returncode in (1, 2)
        assert "zzz" in result.stderr and "not a mac" in result.stderr
        assert str(lab.config_path) + ":" in result.stderr
        os.kill(lab.daemon.pid, signal.SIGHUP)  # the same by signal
        time.sleep(0.3)
        assert lab.port("vm3")["isolated"] == before["isolated"] and lab.port("zzz") is None
        assert lab.guests["vm1"].ping(lab.guests["vm2"].ip4).lost == 0
    finally:
        lab.config["port"]["vm3"] = good
        del lab.config["port"]["zzz"]
        lab.reload()


def test_reload_of_a_file_that_is_being_written(lab):
    """Whoever writes a file empties it first, and a full disk leaves it so: no port is let go."""
    before = lab.bh("port", "show", json=True)
    lab.write_config("")
    try:
        result = lab.bh("reload", check=False)
        assert result.returncode == 2
        refusal = f"{lab.config_path}: cannot be read: it is empty"
        assert refusal in result.stderr
        os.kill(lab.daemon.pid, signal.SIGHUP)
        wait_until(lambda: f"reload: {refusal}" in lab.log(), what="the refusal in the log")
        assert lab.bh("port", "show", json=True) == before
    finally:
        lab.write_config()


def test_ports_come_and_go_under_traffic(lab):
    """Adding and deleting ports loses no frame of other ports; an added one works at once."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    late = lab.veth("late")
    try:
        with Stream(vm1, vm2, interval=0.002), Stream(vm2, lab.guests["vm4"]):
            for _ in range(5):
                lab.port_add("late")
                assert late.ping(vm1.ip4, count=2).lost == 0
                lab.bh("port", "set", "late", "--isolated")
                assert lab.port("late")["isolated"] is True
                lab.bh("port", "del", "late")
                assert lab.port("late") is None and late.mac not in lab.fdb()
            lab.port_add("late")
            del lab.config["port"]["late"]
            lab.reload()
            assert lab.port("late")["state"] == "up"  # a reload leaves commands' ports alone
    finally:
        lab.bh("port", "del", "late", check=False)
        lab.config["port"].pop("late", None)


@pytest.mark.alone
def test_ports_go_while_they_flood():
    """Ports that are deleted in the midst of their floods, one by one and all at once: the daemon
    lives, and nothing of them passes."""
    with small_lab() as lab:
        lab.start()
        text = lab.config_path.read_text()
        guests = list(lab.guests.values())
        for _ in range(5):
            floods = [guest.flood_start(BROADCAST, "--src-ip", guest.ip4, seconds=30,
                                        stderr=subprocess.DEVNULL) for guest in guests]
            time.sleep(0.2)
            for name in ("vm3", "vm1"):
                lab.bh("port", "del", name)
            lab.bh("reload")
            lab.write_config(to_toml({"bulkhead": lab.config["bulkhead"]}))
            lab.bh("reload")
            assert lab.bh("port", "show", json=True) == []
            lab.write_config(text)
            lab.bh("reload")
            for process in floods:
                process.kill()
                process.communicate()
        for guest in guests:
            lab.wait_port(guest.name, "up")
        assert guests[0].ping(guests[2].ip4).lost == 0
        lab.ledger()


def test_deleted_port_is_free(lab):
    """A device whose port was deleted is the host's again, with nothing of bulkhead's on it."""
    guest = lab.veth("free")
    lab.host.ip("addr add 10.77.251.1/32 dev lo")
    try:
        lab.port_add("free")
        watch = HostWatch(lab)
        assert guest.ping("10.77.251.1", count=1).received == 0
        assert not watch.seen()
        lab.bh("port", "del", "free")

        def heard():  # who has asked three times in vain asks no more for a second
            guest.ping("10.77.251.1", count=1)
            return "ARP" in watch.seen()

        wait_until(heard, what="the host hears the guest")
        lab.host.ip("link add spare type bridge", "link set free master spare", "link del spare")
    finally:
        lab.host.ip("addr del 10.77.251.1/32 dev lo")
        lab.config["port"].pop("free", None)
        guest.remove_device()
        del lab.guests["free"]


def test_port_changes_its_segment(lab):
    """A port that is set into another segment reaches the new one only; set back, the old one."""
    vm1, vm2, vm3 = (lab.guests[name] for name in ("vm1", "vm2", "vm3"))
    with Stream(vm1, vm2):
        lab.bh("port", "set", "vm3", "--segment", "elsewhere")
        lab.wait_port("vm3", "up")
        assert vm1.ping(vm3.ip4, count=1).received == 0
        lab.bh("port", "set", "vm3", "--segment", "default")
        lab.wait_port("vm3", "up")
        wait_until(lambda: vm1.ping(vm3.ip4, count=1).received, what="vm3 is back")


def test_reload_swaps_devices(lab):
    """A reload that gives two ports each other's device and addresses is as good as any other."""
    ports, vm1 = lab.config["port"], lab.guests["vm1"]
    vm2, vm3 = ports["vm2"], ports["vm3"]
    try:
        with Stream(vm1, lab.guests["vm4"]):
            ports["vm2"], ports["vm3"] = vm3, vm2
            lab.reload()
            for name in ("vm2", "vm3"):
                lab.wait_port(name, "up")
            assert lab.port("vm2")["device"] == "vm3"
            for name in ("vm2", "vm3"):
                guest = lab.guests[name]
                wait_until(lambda: vm1.ping(guest.ip4, count=1).received, what="it is reached")
                assert vm1.ping(guest.ip4).lost == 0
            assert lab.fdb()[lab.guests["vm2"].mac]["port"] == "vm3"
    finally:
        ports["vm2"], ports["vm3"] = vm2, vm3
        lab.reload()
        for name in ("vm2", "vm3"):
            lab.wait_port(name, "up")


# --- devices that vanish and return -----------------------------------------------------------


@contextmanager
def away(lab, name):
    """The guest's device is gone in the body, and back behind it, whatever happens there."""
    guest = lab.guests[name]
    guest.remove_device()
    try:
        lab.wait_port(name, "waiting")
        yield
    finally:
        guest.make_device()
    lab.wait_port(name, "up")
    someone = lab.guests["vm1"]
    wait_until(lambda: someone.ping(guest.ip4, count=1).received, what=f"{name} is back")


@pytest.mark.parametrize("name", ["vm3", "vm4"])
def test_device_vanishes_and_returns(lab, name):
    """A device that goes puts its port in state waiting, one that comes back under its name is
    attached by itself, and others notice nothing."""
    guest, vm1 = lab.guests[name], lab.guests["vm1"]
    for _ in range(3):
        with Stream(vm1, lab.guests["vm2"], interval=0.002), away(lab, name):
            time.sleep(0.2)
        assert vm1.ping(guest.ip4).lost == 0 and guest.ping(vm1.ip6).lost == 0
        lab.ledger()


@pytest.mark.alone
def test_device_vanishes_under_traffic(lab):
    """A device that vanishes in a flood to it and from it, and returns: all goes on."""
    vm1, vm3 = lab.guests["vm1"], lab.guests["vm3"]
    with Stream(vm1, lab.guests["vm2"]):
        to = vm1.flood_start(vm3.mac, "--rate", 20_000, seconds=3)
        back = vm3.flood_start(vm1.mac, "--rate", 20_000, seconds=3, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        with away(lab, "vm3"):
            time.sleep(0.3)
        to.wait(20)
        back.wait(20)
    assert vm1.ping(vm3.ip4).lost == 0


def pins(lab):
    """{device or number: pins} of what there is."""
    links = json.loads(lab.host.run(["ip", "-json", "link"]).stdout)
    names = {str(link["ifindex"]): link["ifname"] for link in links}
    counts = {}
    for path in lab.pins():
        index = path.name.split("_")[0]
        counts[names.get(index, index)] = counts.get(names.get(index, index), 0) + 1
    return counts


def test_device_vanishes_as_its_port_changes(lab):
    """A device that vanishes in the moment in which its port takes it to another segment leaves
    nothing pinned behind."""
    wait_until(lambda: set(pins(lab).values()) == {2}, what="all have their links")
    before = pins(lab)
    with Client(lab) as client:
        assert client.ask("status")
        os.kill(lab.daemon.pid, signal.SIGSTOP)
        client.send(request("port.set", 2, name="vm3", segment="elsewhere"))
        lab.guests["vm3"].remove_device()
        os.kill(lab.daemon.pid, signal.SIGCONT)
        assert client.line()["id"] == 2
    lab.wait_port("vm3", "waiting")
    lab.guests["vm3"].make_device()
    lab.reload()
    lab.wait_port("vm3", "up")
    wait_until(lambda: pins(lab) == before, what="its links, which follow")


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_device_vanishes_without_a_daemon(way):
    """What is pinned for a device that vanished while no daemon ran goes at the next start."""
    with small_lab() as lab:
        lab.start()
        before = pins(lab)
        getattr(lab, way)()
        lab.guests["vm1"].remove_device()
        lab.start(wait_ports=False)
        lab.wait_port("vm1", "waiting")
        assert pins(lab) == {name: count for name, count in before.items() if name != "vm1"}
        lab.guests["vm1"].make_device()
        lab.wait_port("vm1", "up")
        wait_until(lambda: pins(lab) == before, what="its links, which follow")


def test_device_goes_down_and_up(lab):
    """A device set down puts its port in state down; set up again it works without more ado."""
    vm1, vm3 = lab.guests["vm1"], lab.guests["vm3"]
    with Stream(vm1, lab.guests["vm2"]):
        lab.host.ip("link set vm3 down")
        try:
            lab.wait_port("vm3", "down")
            assert vm1.ping(vm3.ip4, count=1).received == 0
        finally:
            lab.host.ip("link set vm3 up")
        lab.wait_port("vm3", "up")
        wait_until(lambda: vm1.ping(vm3.ip4, count=1).received, what="the guest is back")


def test_tap_without_an_owner():
    """A tap whose owner died is down and says why; with an owner again it is up within a second."""
    with Lab() as own:
        own.veth("vm1")
        own.host.ip("tuntap add mode tap name held", "link set held up")
        own.config["port"]["held"] = {"device": "held", "mac": ["52:54:00:77:01:01"],
                                      "ip": ["10.77.1.1/16"]}
        own.start(wait_ports=False)
        own.wait_port("held", "down")
        assert "has no carrier" in own.port("held")["why"]
        with entered(own.host.path):
            tap = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"held", 0x1002))  # TUNSETIFF
        try:
            own.wait_port("held", "up", timeout=1.5)
            assert "why" not in own.port("held")
        finally:
            os.close(tap)
        own.wait_port("held", "down", timeout=1.5)


def test_device_flaps(lab):
    """A device that goes down and up within a moment, again and again, ends up working."""
    vm1, vm3 = lab.guests["vm1"], lab.guests["vm3"]
    with Stream(vm1, lab.guests["vm2"]):
        for pause in (0, 0, 0.001, 0.003, 0.01, 0.03):
            lab.host.ip("link set vm3 down", "link set vm3 up")
            time.sleep(pause)
        lab.wait_port("vm3", "up")
        wait_until(lambda: vm1.ping(vm3.ip4, count=1).received, what="the guest is back")


def test_port_events(lab):
    """monitor port tells of a port that waits and one that is up again."""
    process = lab.monitor("port")
    time.sleep(0.5)
    with away(lab, "vm3"):
        pass
    process.kill()
    events = [json.loads(line) for line in process.stdout.read().splitlines()]
    told = [event["event"] for event in events if event["port"] == "vm3"]
    assert "waiting" in told and "up" in told[told.index("waiting"):], events


def test_device_that_is_missing_at_start():
    """A device that is not there yet is waited for, named in the log, attached when it comes."""
    with small_lab() as lab:
        vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
        vm2.remove_device()
        lab.start(wait_ports=False)
        lab.wait_port("vm1", "up")
        lab.wait_port("vm2", "waiting")
        assert any("vm2" in line for line in lab.log().splitlines())
        vm2.make_device()
        lab.wait_port("vm2", "up")
        assert vm1.ping(vm2.ip4).lost == 0
        lab.ledger()


def test_device_that_is_down_at_start():
    """A device that is down at the start is a port, and works as soon as it is up."""
    with small_lab() as lab:
        lab.host.ip("link set vm2 down")
        lab.start(wait_ports=False)
        lab.wait_port("vm1", "up")
        assert lab.port("vm2")["state"] in ("down", "up")
        lab.host.ip("link set vm2 up")
        lab.wait_port("vm2", "up")
        assert lab.guests["vm1"].ping(lab.guests["vm2"].ip4).lost == 0
        lab.ledger()


# --- nothing touches the host -----------------------------------------------------------------

HOST_IP4, HOST_IP6 = "10.77.250.250", "fd77::fa"


class Attack:
    """Guests that talk to the host's own addresses and devices in every way, all the time."""

    def __init__(self, lab, names):
        self.lab, self.processes = lab, []
        for name in names:
            guest = lab.guests[name]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            for target in (HOST_IP4, HOST_IP6, "ff02::1%eth0", "10.77.255.255"):
                words = ["ping", "-q", "-n", "-i", "0.02"]
                words += ["-b"] if target.endswith("255") else []
                self.processes.append(guest.popen([*words, target], **quiet))
            for mac in (host_mac(lab, name), BROADCAST):
                options = ["--rate", 500, "--dst-ip", HOST_IP4]
                self.processes.append(guest.flood_start(mac, *options))

    def raw(self):
        """Single frames of kinds that ping and flood do not send."""
        for name in ("vm1", "vm2"):
            guest = self.lab.guests[name]
            device_mac = host_mac(self.lab, name)
            with guest.wire() as wire:
                wire.send(arp_request(guest.mac, guest.ip4, HOST_IP4))
                for tags in ([(0x8100, 0)], [(0x88A8, 0)], [(0x88A8, 1), (0x8100, 0)]):
                    wire.send(guest.frame_to(device_mac, new_token(), tags=tags))
                    wire.send(guest.frame_to(BROADCAST, new_token(), tags=tags))

    def alive(self):
        return all(process.poll() is None for process in self.processes)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()


def host_mac(lab, device):
    links = json.loads(lab.host.run(["ip", "-json", "link", "show", "dev", device]).stdout)
    return links[0]["address"]


def host_links(lab):
    return sorted(line.split(":")[1].split("@")[0].strip()
                  for line in lab.host.run(["ip", "-o", "link"]).stdout.splitlines())


def forwards(lab):
    return lab.guests["vm1"].ping(lab.guests["vm2"].ip4, count=3).received


def test_nothing_touches_the_host():
    """While it runs, during reload, after SIGTERM, after kill -9 and through restarts, no frame of
    a guest reaches the host's stack, and without a daemon nothing is forwarded either."""
    with small_lab() as lab:
        lab.host.ip(f"addr add {HOST_IP4}/32 dev lo", f"addr add {HOST_IP6}/128 dev lo nodad")
        control = lab.veth("control", port=False)
        lab.host.ip("link set control down")
        lab.config["bulkhead"]["linger"] = "0s"
        lab.start()
        links = host_links(lab)
        watch = HostWatch(lab)
        with Attack(lab, ["vm1", "vm2", "vm3"]) as attack:

            def quiet(stage, seconds=1.0):
                attack.raw()
                time.sleep(seconds)
                assert attack.alive()
                assert not watch.seen(), stage

            quiet("while it runs")
            assert forwards(lab) == 3
            for _ in range(5):
                lab.reload()
            quiet("while it reloads")
            assert lab.stop() == 0, lab.log()
            quiet("after SIGTERM", 1.5)
            assert forwards(lab) == 0
            lab.start()
            quiet("after a restart")
            assert forwards(lab) == 3
            lab.kill()
            quiet("after kill -9", 2.0)
            assert forwards(lab) == 0
            lab.start()
            quiet("after a restart behind kill -9")
            assert forwards(lab) == 3
            assert host_links(lab) == links  # what the killed one left behind was cleaned up
            lab.kill()
            lab.start()
            assert host_links(lab) == links
            quiet("after another")
        assert not watch.seen()
        lab.host.ip("link set control up")
        control.ping(HOST_IP4, count=1)  # the observer does hear a guest that is not attached
        control.ping(HOST_IP6, count=1)
        assert {"ARP", "IPv6"} <= set(watch.seen())
        lab.ledger()


def test_host_cannot_talk_into_a_port():
    """What the host's stack sends out of a port's device never reaches the guest: running, after
    SIGTERM, after kill -9."""
    with small_lab() as lab:
        vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]

        def host_is_heard():
            frame = vm2.frame_to(vm1, new_token(), src_mac=host_mac(lab, "vm1"))
            with vm1.wire() as seen_by, Wire(lab.host.path, "vm1") as host_wire:
                for _ in range(5):
                    try:
                        host_wire.send(frame)
                    except OSError:
                        pass  # refused is as good as dropped
                lab.host.run(["ping", "-c", "1", "-W", "1", "-I", "vm1", "ff02::1"], check=False)
                time.sleep(0.1)
                return host_mac(lab, "vm1") in {seen.src for seen in seen_by.drain()}

        def hears():
            token = new_token()
            with vm1.wire() as wire, vm2.wire() as sender:
                sender.send(vm2.frame_to(vm1, token))
                return wire.wait_for(token)

        assert host_is_heard()  # before the device is a port
        lab.start()
        assert hears() and not host_is_heard()
        lab.stop()
        assert not host_is_heard()
        lab.start()
        assert hears() and not host_is_heard()
        lab.kill()
        assert not host_is_heard()
        lab.start()
        assert hears() and not host_is_heard()


def test_restart_keeps_guests_going():
    """A stream goes on after each restart, whether the daemon ended by SIGTERM or SIGKILL."""
    with small_lab() as lab:
        lab.start()
        vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
        stream = Stream(vm1, vm2)
        for way in (lab.stop, lab.kill, lab.stop, lab.kill):
            way()
            lab.start()
            before = len(stream.received)
            wait_until(lambda: len(stream.received) > before + 20, what="the stream goes on")
        stream.stop()
        lab.ledger()


# --- refused, with the way out ----------------------------------------------------------------


def refused(lab, port, *mentions):
    """The daemon starts, and serves the others; that port waits and says these, as does the log."""
    lab.start(wait_ports=False)
    assert lab.port(port)["state"] == "waiting"
    for text in (lab.port(port)["why"], *lab.log().splitlines()):
        if all(word in text for word in mentions):
            break
    else:
        raise AssertionError((mentions, lab.port(port), lab.log()))
    others = [name for name in lab.config["port"] if name != port]
    for name in others:
        lab.wait_port(name, "up")
    lab.stop()


def test_second_daemon(lab):
    """A second daemon on the same socket or state is refused; the first goes on. (The same devices:
    test_guard.py.)"""
    with Stream(lab.guests["vm1"], lab.guests["vm2"]):
        other = lab.directory / "other.toml"
        other.write_text(f'[bulkhead]\nsocket = "{lab.socket_path}"\n')
        code, errors = lab.try_daemon("--config", other)
        assert code == 1 and str(lab.socket_path) in errors, errors
        code, errors = lab.try_daemon("--config", lab.config_path)
        assert code == 1, errors
        text = lab.config_path.read_text().replace("control.sock", "other.sock")
        other.write_text(text)
        code, errors = lab.try_daemon("--config", other)
        assert code == 1 and f"state {lab.state_path}" in errors, errors
    assert lab.bh("status", json=True) and all(
        port["state"] == "up" for port in lab.bh("port", "show", json=True))


def attach_xdp(lab):
    lab.host.run(["ip", "link", "set", "dev", "vm2", "xdpgeneric", "obj",
                  lab.bpf_object("foreign"), "section", "xdp"])


def attach_clsact(lab):
    lab.host.run(["tc", "qdisc", "add", "dev", "vm2", "clsact"], check=False)  # there already?
    lab.host.run(["tc", "filter", "add", "dev", "vm2", "ingress", "bpf", "direct-action",
                  "object-file", lab.bpf_object("foreign"), "section", "tc"])


def attach_tcx(lab):
    """By the bpf system call: Debian 12's tools are older than tcx. The link is kept by our fd."""
    pin = PIN_ROOT.parent / f"{lab.name}-foreign"
    lab.host.run(["bpftool", "prog", "loadall", lab.bpf_object("foreign"), pin])

    def bpf(command, *words):
        attributes = (ctypes.c_uint32 * 32)(*words)
        fd = libc.syscall(321, command, attributes, ctypes.sizeof(attributes))
        assert fd >= 0, os.strerror(ctypes.get_errno())
        return fd

    name = str(pin / "foreign_tc").encode() + b"\0"
    path = ctypes.create_string_buffer(name)
    address = ctypes.addressof(path)
    program = bpf(7, address & 0xFFFFFFFF, address >> 32)  # BPF_OBJ_GET
    index = json.loads(lab.host.run(["ip", "-json", "link", "show", "vm2"]).stdout)[0]["ifindex"]
    with entered(lab.host.path):
        link = bpf(28, program, index, 46)  # BPF_LINK_CREATE, BPF_TCX_INGRESS
    for entry in pin.iterdir():
        entry.unlink()
    pin.rmdir()
    os.close(program)
    lab.keep(os.fdopen(link))


def attach_bridge(lab):
    lab.host.ip("link add br9 type bridge", "link set vm2 master br9")


@pytest.mark.parametrize("attach", [attach_xdp, attach_clsact, attach_tcx, attach_bridge],
                         ids=["xdp", "clsact", "tcx", "bridge"])
def test_foreign_owner(attach):
    """A device with somebody else's XDP, tc or tcx program or in a bridge is refused, at the start
    and by port add, and is left as it was."""
    word = {attach_xdp: "XDP", attach_bridge: "bridge"}.get(attach, "tc")
    with small_lab() as lab:
        attach(lab)
        before = lab.host.run(["ip", "-d", "link", "show", "vm2"]).stdout
        refused(lab, "vm2", word)
        assert lab.host.run(["ip", "-d", "link", "show", "vm2"]).stdout == before
        words = lab.port_words("vm2")
        del lab.config["port"]["vm2"]
        lab.start()
        result = lab.bh("port", "add", "vm2", *words, check=False)
        assert result.returncode == 1 and "vm2" in result.stderr and word in result.stderr
        assert lab.port("vm2") is None
        assert lab.guests["vm1"].ping(lab.guests["vm3"].ip4).lost == 0
        assert lab.host.run(["ip", "-d", "link", "show", "vm2"]).stdout == before


@pytest.mark.parametrize("attach", [attach_xdp, attach_clsact, attach_tcx],
                         ids=["xdp", "clsact", "tcx"])
def test_foreign_program_comes_later(attach):
    """A program that somebody puts on a port's device later opens no way to the host's stack."""
    with small_lab() as lab:
        lab.host.ip(f"addr add {HOST_IP4}/32 dev lo", f"addr add {HOST_IP6}/128 dev lo nodad")
        lab.start()
        watch = HostWatch(lab)
        attach(lab)
        vm2 = lab.guests["vm2"]
        assert vm2.ping(HOST_IP4, count=2).received == 0
        assert vm2.ping(HOST_IP6, count=2).received == 0
        lab.kill()
        assert vm2.ping(HOST_IP4, count=2).received == 0
        assert not watch.seen()


@pytest.mark.parametrize("kind", ["address", "default route", "macvlan"])
def test_take_over(kind):
    """A device that carries the host's own address or default route, itself or by a device on it,
    is refused unless take_over."""
    with small_lab() as lab:
        lab.host.ip(*{"address": ["addr add 10.99.0.1/24 dev vm2"],
                      "default route": ["route add default dev vm2"],
                      "macvlan": ["link add link vm2 name upper type macvlan mode bridge",
                                  "addr add 10.99.0.1/24 dev upper"]}[kind])
        refused(lab, "vm2", "take_over", *(["10.99.0.1", "on upper"] if kind == "macvlan" else []))
        words = lab.port_words("vm2")
        keys = lab.config["port"].pop("vm2")
        lab.start()
        result = lab.bh("port", "add", "vm2", *words, check=False)
        assert result.returncode == 1 and "take" in result.stderr and lab.port("vm2") is None
        lab.bh("port", "add", "vm2", *words, "--take-over")
        lab.wait_port("vm2", "up")
        lab.stop()
        lab.config["port"]["vm2"] = keys | {"take_over": True}
        lab.start()
        assert lab.guests["vm1"].ping(lab.guests["vm2"].ip4).lost == 0


@pytest.mark.parametrize("kind", ["loopback", "tun"])
def test_wrong_kind_of_device(kind):
    """A device that is not an Ethernet device is refused."""
    with small_lab() as lab:
        device = "lo"
        if kind == "tun":
            device = "tun9"
            lab.host.ip("tuntap add mode tun name tun9", "link set tun9 up")
        lab.config["port"]["odd"] = {"device": device, "mac": ["52:54:00:77:01:01"],
                                     "ip": ["10.77.1.1/16"]}
        refused(lab, "odd", device, "Ethernet")


def test_exposed_device_is_logged():
    """A device that was up before it was attached is logged as exposed until then."""
    with small_lab() as lab:
        lab.start()
        assert any("vm1" in line and "exposed" in line for line in lab.log().splitlines())


# --- many -------------------------------------------------------------------------------------


@pytest.mark.alone
def test_64_ports():
    """64 guests at once: each hears the others' broadcasts, and pings between all of them pass."""
    with Lab() as lab:
        for number in range(64):
            lab.veth(f"g{number}")
        lab.start(timeout=30)
        guests = list(lab.guests.values())
        with Watch(guests, beacons=guests[:2]) as watch:
            got = watch.who_gets(guests[5], guests[5].frame_to(BROADCAST, new_token()))
            assert set(got) == set(lab.guests) - {"g5"}
            got = watch.who_gets(guests[6], guests[6].frame_to(guests[60], new_token()))
            assert set(got) == {"g60"}
        for step in (1, 31):
            started = [guest.ping_start(guests[(number + step) % 64].address(4 if step == 1 else 6),
                                        count=2)
                       for number, guest in enumerate(guests)]
            for process in started:
                assert ping_result(process).lost == 0
        lab.ledger()


@pytest.mark.alone
def test_device_let_go_before_its_tcx_link():
    """Of many devices in one go the last get their tcx links later. One whose port is deleted before
    that is free to be another daemon's, and the first daemon keeps its hands off it."""
    with Lab() as lab:
        lab.host.sysctl({"net/ipv6/conf/default/disable_ipv6": 1})
        many = [f"p{number}" for number in range(160)]
        lab.host.ip(*(f"link add {name} type veth peer name q{name}" for name in many))
        for number, name in enumerate(many):
            lab.config["port"][name] = {"device": name, "mac": [f"52:54:00:99:00:{number:02x}"],
                                        "ip": [f"10.99.0.{number}/32"]}
        left, right = lab.veth("z1"), lab.veth("z2")  # by name the last
        lab.start(wait_ports=False)
        taken = {name: lab.config["port"].pop(name) for name in ("z1", "z2")}
        lab.reload()
        assert set(many) - set(pins(lab)), "all links are there: nothing was put to the test"
        other = lab.directory / "other.toml"
        other.write_text(to_toml({"bulkhead": {"socket": f"{lab.directory}/other.sock",
                                               "state": f"{lab.directory}/other",
                                               "linger": "0s"}, "port": taken}))
        second = lab.spawn([BUILD / "bulkheadd", "--config", other], lab.host.path,
                           stderr=subprocess.DEVNULL)
        wait_until(lambda: left.ping(right.ip4, count=1).received, 10, what="they are its ports")
        wait_until(lambda: all(pins(lab).get(name) == 2 for name in many), 60,
                   what="the first daemon has caught up: both directions of each device")
        time.sleep(1)  # these would be the next
        assert left.ping(right.ip4).lost == 0
        end(second)
        assert left.ping(right.ip4, count=1).received == 0  # it was its doing


def test_link_that_cannot_be_made():
    """A link in tcx that follows and cannot be made is logged; the port works, and clsact alone
    keeps it from the host."""
    with small_lab() as lab:
        lab.host.ip(f"addr add {HOST_IP4}/32 dev lo")
        words = lab.port_words("vm2")
        del lab.config["port"]["vm2"]
        lab.start()
        index = json.loads(lab.host.run(["ip", "-json", "link", "show", "vm2"]).stdout)[0]["ifindex"]
        in_the_way = lab.pins()[0].with_name(f"{index}_out")
        in_the_way.mkdir()
        try:
            watch = HostWatch(lab)
            lab.bh("port", "add", "vm2", *words)
            wait_until(lambda: f"port vm2: device vm2: cannot pin in {in_the_way.parent}: File exists;"
                       " clsact alone guards it" in lab.log(), 10, what="the warning")
            assert pins(lab)["vm2"] == 2  # ours and what is in the way of the other
            assert lab.guests["vm1"].ping(lab.guests["vm2"].ip4).lost == 0
            assert lab.guests["vm2"].ping(HOST_IP4, count=2).received == 0 and not watch.seen()
        finally:
            in_the_way.rmdir()


def test_older_kernels():
    """What the BPF programs take from newer kernels is weak: where it is missing, an object with a
    strong reference does not load at all, also if no program in use has it."""
    objects = sorted((BUILD / "bpf").glob("*.bpf.o"))
    assert objects
    for path in objects:
        said = subprocess.run(["readelf", "-sW", str(path)], capture_output=True, text=True).stdout
        for line in said.splitlines():
            words = line.split()
            if len(words) >= 8 and words[6] == "UND":
                assert words[4] == "WEAK", (path.name, line)
