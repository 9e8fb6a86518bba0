"""The guard outlives what is done to the device, by people and by programs, and to the daemon.

    vm1 (veth), vm2 (tap): ports; vm3 (veth): nobody's at first
    lo has HOST_IP4 and HOST_IP6: what a guest reaches of them, it reaches of the host

Every "the host is not reached" is asked of a Host, which first shows that it can be reached.
"""

import json
import subprocess
import time

import pytest

from lab import BUILD, PIN_ROOT, HostWatch, Lab, end, to_toml, wait_until

HOST_IP4, HOST_IP6 = "10.77.250.250", "fd77::fa"


@pytest.fixture
def lab():
    with Lab() as lab:
        lab.veth("vm1")
        lab.tap("vm2")
        lab.veth("vm3", port=False)
        lab.host.ip(f"addr add {HOST_IP4}/32 dev lo", f"addr add {HOST_IP6}/128 dev lo nodad")
        yield lab


class Host:
    """Whether guests reach the host's own stack, by what that hears."""

    def __init__(self, lab):
        self.lab = lab
        self.watch = HostWatch(lab)
        assert self.reached("vm3"), "without a guard the host is reached"
        lab.host.ip("link set vm3 down")  # quiet

    def reached(self, name):
        self.watch.seen()
        for address in (HOST_IP4, HOST_IP6):
            self.lab.guests[name].ping(address, count=2, interval=0.02)
        return bool(self.watch.seen())

    def is_safe(self, *names):
        for name in names:
            assert not self.reached(name)


def ifindex(lab, name):
    return json.loads(lab.host.run(["ip", "-json", "link", "show", name]).stdout)[0]["ifindex"]


def logged(lab, *words):
    return [line for line in lab.log().splitlines() if all(word in line for word in words)]


def restored(lab, name):
    return lab.port(name)["guard_restored"]


def filters(lab, name):
    return "".join(lab.host.run(["tc", "filter", "show", "dev", name, side]).stdout
                   for side in ("ingress", "egress"))


def is_whole(lab, name):
    text = filters(lab, name)
    return "bulkhead_in" in text and "bulkhead_out" in text


def talk(lab, left="vm1", right="vm2"):
    return lab.guests[left].ping(lab.guests[right].ip4, count=1).received == 1


# --- another name, another place --------------------------------------------------------------


def rename(lab, name, to):
    lab.host.ip(f"link set {name} down", f"link set {name} name {to}", f"link set {to} up")


@pytest.mark.parametrize("name", ["vm1", "vm2"])
def test_renamed(lab, name):
    """A port's device under another name reaches nothing of the host; the port waits and says how
    the device is called now, and has it again when its name is back."""
    lab.start()
    host = Host(lab)
    rename(lab, name, "other")
    lab.wait_port(name, "waiting")
    assert "is called other now" in lab.port(name)["why"]
    assert logged(lab, f"port {name}", "is called other now")
    host.is_safe(name)
    assert is_whole(lab, "other")
    rename(lab, "other", name)
    lab.wait_port(name, "up")
    assert "why" not in lab.port(name)
    wait_until(lambda: talk(lab), what="the guests talk again")
    host.is_safe(name)
    lab.ledger()


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_renamed_while_no_daemon_runs(lab, way):
    """The same where the daemon restarts meanwhile: the guard belongs to the device."""
    lab.start()
    host = Host(lab)
    rename(lab, "vm1", "other")
    getattr(lab, way)()
    host.is_safe("vm1")
    lab.start(wait_ports=False)
    lab.wait_port("vm1", "waiting")
    assert "is called other now" in lab.port("vm1")["why"]
    host.is_safe("vm1")
    lab.bh("port", "del", "vm1")
    wait_until(lambda: host.reached("vm1"), what="nobody has the device: it is the host's again")
    assert "bulkhead" not in filters(lab, "other")


def test_renamed_and_the_port_deleted(lab):
    """A device that has another name is the host's again when its port is deleted."""
    lab.start()
    host = Host(lab)
    rename(lab, "vm1", "other")
    lab.wait_port("vm1", "waiting")
    lab.bh("port", "del", "vm1")
    wait_until(lambda: host.reached("vm1"), what="nobody has the device: it is the host's again")


def test_renamed_and_another_of_its_name(lab):
    """A device that takes the name of a renamed one gets the port; the renamed one stays closed."""
    lab.start()
    host = Host(lab)
    rename(lab, "vm1", "other")
    lab.wait_port("vm1", "waiting")
    rename(lab, "vm3", "vm1")
    lab.wait_port("vm1", "up")
    host.is_safe("vm1")  # the guest behind "other"
    vm2, vm3 = lab.guests["vm2"], lab.guests["vm3"]
    assert vm3.ping(vm2.ip4, count=1).received == 0  # bound to the addresses of vm1
    host.is_safe("vm3")


def test_renamed_to_another_ports_name(lab):
    """Devices that swap their names swap their ports: each guest is what its port says."""
    lab.start()
    host = Host(lab)
    lab.host.ip("link set vm1 down", "link set vm2 down", "link set vm1 name x",
                "link set vm2 name vm1", "link set x name vm2", "link set vm1 up",
                "link set vm2 up")
    for name in ("vm1", "vm2"):
        lab.wait_port(name, "up")
    assert not talk(lab)
    host.is_safe("vm1", "vm2")
    before = lab.drops("vm1").get("spoofed_mac", 0)  # which what the guest's kernel asks adds to
    with lab.guests["vm2"].wire() as wire:
        wire.send(lab.guests["vm2"].frame_to(lab.guests["vm1"], b"of another port"))
    wait_until(lambda: lab.drops("vm1").get("spoofed_mac", 0) > before, what="it is dropped")


def move(lab, name, to, back=True):
    """The device goes to another network namespace, and comes back."""
    lab.host.ip(f"link set {name} netns {to.netns.name}")
    if back:
        to.netns.ip(f"link set {name} netns {lab.host.name}")
        lab.host.ip(f"link set {name} up")


def test_moved_and_back(lab):
    """A device that is moved to another namespace and back is guarded throughout, also under the
    other number that it may have then, and the port has it again."""
    lab.start()
    wait_until(lambda: not lab.missing_pins(), what="all have their links")
    host = Host(lab)
    vm3 = lab.guests["vm3"]
    lab.host.ip(f"link set vm1 netns {vm3.netns.name}")
    lab.wait_port("vm1", "waiting")
    assert "another network namespace" in lab.port("vm1")["why"]
    vm3.netns.ip("link set vm1 up", "addr add 10.77.250.251/32 dev lo")
    assert lab.guests["vm1"].ping("10.77.250.251", count=2).received == 0  # guarded there, too
    vm3.netns.ip(f"link set vm1 netns {lab.host.name}")
    lab.host.ip("link set vm1 up")
    lab.wait_port("vm1", "up")
    host.is_safe("vm1")
    wait_until(lambda: talk(lab), what="the guests talk again")
    assert not logged(lab, "vm1", "exposed")[1:]
    assert is_whole(lab, "vm1") and not lab.missing_pins()
    # And at once, faster than anybody looks; and with another number.
    move(lab, "vm1", vm3)
    wait_until(lambda: talk(lab), what="the guests talk again")
    before = ifindex(lab, "vm1")
    lab.host.ip(f"link set vm1 netns {vm3.netns.name}")
    lab.host.ip(f"link add taken index {before} type bridge")
    vm3.netns.ip(f"link set vm1 netns {lab.host.name}")
    lab.host.ip("link set vm1 up")
    lab.wait_port("vm1", "up")
    host.is_safe("vm1")
    wait_until(lambda: talk(lab), what="the guests talk again")
    assert is_whole(lab, "vm1") and not lab.missing_pins()


def remake(lab, number):
    """vm1's device and its guest's, anew, with that number."""
    guest = lab.guests["vm1"]
    lab.host.ip("link del vm1",
                f"link add vm1 index {number} type veth peer name eth0 address {guest.mac} netns "
                f"{guest.netns.name}", "link set vm1 up")
    guest.netns.ip("link set eth0 up", f"addr add {guest.interface4} dev eth0",
                   f"addr add {guest.ip6}/64 dev eth0 nodad")
    assert ifindex(lab, "vm1") == number


def test_moved_and_back_with_its_number(lab):
    """The same where it comes back, later, with the number that it had: both hooks are in force."""
    remake(lab, 500)
    lab.start()
    wait_until(lambda: not lab.missing_pins(), what="all have their links")
    host = Host(lab)
    for _ in range(2):
        move(lab, "vm1", lab.guests["vm3"], back=False)
        lab.wait_port("vm1", "waiting")
        lab.guests["vm3"].netns.ip(f"link set vm1 netns {lab.host.name}")
        lab.host.ip("link set vm1 up")
        lab.wait_port("vm1", "up")
        assert ifindex(lab, "vm1") == 500
        wait_until(lambda: is_whole(lab, "vm1"), 1, what="clsact is back")
        host.is_safe("vm1")
        wait_until(lambda: talk(lab), what="the guests talk again")


def test_number_of_one_that_is_elsewhere(lab):
    """While a device is in another namespace, one that gets its number, and its name, is not taken
    for it: its port waits and says why. When that has gone, the newcomer is taken and guarded."""
    guest, vm3 = lab.guests["vm1"], lab.guests["vm3"]
    remake(lab, 500)
    lab.start()
    wait_until(lambda: not lab.missing_pins(), what="all have their links")
    host = Host(lab)
    move(lab, "vm1", vm3, back=False)
    lab.wait_port("vm1", "waiting")
    guest.netns.ip("link set eth0 name old")
    lab.host.ip(f"link add vm1 index 500 type veth peer name eth0 address {guest.mac} netns "
                f"{guest.netns.name}", "link set vm1 up")
    wait_until(lambda: "has the number of vm1, which is in another network namespace" in
               lab.port("vm1").get("why", ""), what="the port says why it waits")
    assert lab.port("vm1")["state"] == "waiting"
    vm3.netns.ip("link del vm1")
    guest.netns.ip("link set eth0 up", f"addr add {guest.interface4} dev eth0",
                   f"addr add {guest.ip6}/64 dev eth0 nodad")
    lab.wait_port("vm1", "up")
    wait_until(lambda: is_whole(lab, "vm1"), what="it has its guard")
    host.is_safe("vm1")
    wait_until(lambda: talk(lab), what="the guests talk")


def test_number_used_again(lab):
    """A device that has the number and the name of one that was deleted is a new device."""
    lab.start()
    host = Host(lab)
    remake(lab, ifindex(lab, "vm1"))
    lab.wait_port("vm1", "up")
    wait_until(lambda: talk(lab), what="the guests talk")
    wait_until(lambda: not lab.missing_pins(), what="it has its links")
    host.is_safe("vm1")


# --- somebody at the guard --------------------------------------------------------------------


def test_clsact_deleted(lab):
    """Whoever deletes clsact finds it there again at once, while the other hook holds; it is
    logged, counted, and told by port show, status and metrics."""
    lab.start()
    host = Host(lab)
    for turn in range(1, 4):
        for name in ("vm1", "vm2"):
            lab.host.run(["tc", "qdisc", "del", "dev", name, "clsact"])
            wait_until(lambda: is_whole(lab, name), 1, what="clsact is back")
            assert restored(lab, name) == turn
        host.is_safe("vm1", "vm2")
    assert talk(lab)
    assert logged(lab, "warning", "port vm1", "device vm1", "clsact")
    assert lab.bh("status", json=True)["guard_restored"] == 6
    assert 'bulkhead_port_guard_restored_total{port="vm1",segment="default"} 3' in lab.bh("metrics")
    assert "the guard was put back 6 times" in lab.bh("status")


def test_filter_deleted(lab):
    """The same for the filter in it, for another one in its place, and for one beside it."""
    lab.start()
    host = Host(lab)
    lab.host.run(["tc", "filter", "del", "dev", "vm1", "ingress"])
    wait_until(lambda: is_whole(lab, "vm1"), 1, what="the filter is back")
    lab.host.run(["tc", "filter", "replace", "dev", "vm1", "ingress", "prio", "1", "handle", "1",
                  "bpf", "direct-action", "object-file", lab.bpf_object("foreign"), "section",
                  "tc"])
    wait_until(lambda: is_whole(lab, "vm1"), 1, what="ours is in its place")
    host.is_safe("vm1")
    lab.host.run(["tc", "filter", "add", "dev", "vm1", "ingress", "prio", "9", "bpf",
                  "direct-action", "object-file", lab.bpf_object("foreign"), "section", "tc"])
    wait_until(lambda: "of somebody else" in lab.port("vm1").get("why", ""), what="it is said")
    assert lab.port("vm1")["state"] == "up" and talk(lab)
    host.is_safe("vm1")
    lab.host.run(["tc", "filter", "del", "dev", "vm1", "ingress", "prio", "9"])
    wait_until(lambda: "why" not in lab.port("vm1"), what="it is well again")


@pytest.mark.parametrize("way", ["detach", "unpin"])
def test_tcx_link_taken_off(lab, way):
    """A tcx link that somebody detaches, or whose pin he deletes, is back within moments; clsact
    holds meanwhile."""
    lab.start()
    host = Host(lab)
    wait_until(lambda: not lab.missing_pins(), what="all have their links")
    pins = {path.name: path for path in lab.pins()}
    for side in ("in", "out"):
        pin = pins[f"{ifindex(lab, 'vm1')}_{side}"]
        if way == "unpin":
            pin.unlink()
        else:
            subprocess.run(["bpftool", "link", "detach", "pinned", pin], check=True)
        host.is_safe("vm1")
    wait_until(lambda: restored(lab, "vm1") >= 2 and not lab.missing_pins(), what="they are back")
    assert logged(lab, "port vm1", "tcx program")
    lab.host.run(["tc", "qdisc", "del", "dev", "vm1", "clsact"])  # they are in force alone
    host.is_safe("vm1")
    assert talk(lab)


def test_bridged(lab):
    """A device that somebody puts into a bridge gives it nothing, and port show says so."""
    lab.start()
    host = Host(lab)
    lab.host.ip("link add br9 type bridge", f"addr add {HOST_IP4[:-3]}251/32 dev br9",
                "link set br9 up", "link set vm1 master br9", "link set vm3 master br9")
    wait_until(lambda: "br9" in lab.port("vm1").get("why", ""), what="port show says so")
    assert logged(lab, "port vm1", "br9")
    assert talk(lab)
    vm1, vm3 = lab.guests["vm1"], lab.guests["vm3"]
    assert vm1.ping(vm3.ip4, count=2).received == 0
    assert vm1.ping(HOST_IP4, count=2).received == 0
    lab.host.ip("link set vm1 nomaster", "link del br9")
    wait_until(lambda: "why" not in lab.port("vm1"), what="it is well again")
    host.is_safe("vm1")


def test_address_and_macvlan_later(lab):
    """What the host puts on a port's device later, an address or a macvlan, no guest reaches."""
    lab.start()
    host = Host(lab)
    lab.host.ip("addr add 10.77.250.251/32 dev vm2", "link add m9 link vm1 type macvlan",
                "link set m9 addrgenmode none up", "addr add 10.77.250.252/32 dev m9")
    for name, address in (("vm2", "10.77.250.251"), ("vm1", "10.77.250.252")):
        assert lab.guests[name].ping(address, count=2).received == 0
    host.is_safe("vm1", "vm2")
    assert talk(lab)


def test_limit_that_cannot_work(lab):
    """A bandwidth limit that a manager puts on a port's device is named in the log, before the
    port has it and after."""
    limit = ["tc", "qdisc", "add", "dev"]
    tbf = ["root", "tbf", "rate", "1mbit", "burst", "10k", "latency", "50ms"]
    lab.host.run([*limit, "vm1", *tbf])
    lab.start()
    wait_until(lambda: logged(lab, "warning", "port vm1", "tbf"), what="the log names it")
    assert not logged(lab, "port vm2", "qdisc")
    lab.host.run([*limit, "vm2", *tbf])
    wait_until(lambda: logged(lab, "warning", "port vm2", "tbf"), what="the log names it")
    assert talk(lab)


# --- whose guard it is ------------------------------------------------------------------------


def test_failed_start(lab):
    """A start that fails opens nothing that was guarded."""
    lab.start()
    host = Host(lab)
    lab.kill()
    lab.host.ip("link add br9 type bridge", "link set vm2 down", "link set vm2 master br9")
    lab.write_config()
    process = lab.spawn([BUILD / "bulkheadd", "--config", lab.config_path], lab.host.path,
                        stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    end(process)
    host.is_safe("vm1")


@pytest.mark.parametrize("way", ["stop", "kill", "running"])
def test_second_daemon(lab, way):
    """A second daemon leaves the first one's devices alone, and refuses them by its name, whether
    the first one runs or not."""
    lab.start()
    host = Host(lab)
    if way != "running":
        getattr(lab, way)()
    config = {"bulkhead": {"socket": f"{lab.directory}/other.sock",
                           "state": f"{lab.directory}/other"},
              "port": {"mine": {"device": "vm1", "mac": ["52:54:00:77:00:99"],
                                "ip": ["10.77.0.99/16"]}}}
    for ports in ({}, config["port"]):
        file = lab.directory / "other.toml"
        file.write_text(to_toml(config | {"port": ports}))
        log = lab.directory / "other.log"
        with open(log, "w") as out:
            second = lab.spawn([BUILD / "bulkheadd", "--config", file], lab.host.path, stderr=out)
        wait_until(lambda: "ready: " in log.read_text(), what="the second one is ready")
        host.is_safe("vm1", "vm2")
        if ports:
            assert "device vm1 belongs to another bulkheadd" in log.read_text()
            assert str(lab.state_path) in log.read_text()
        end(second)
        host.is_safe("vm1", "vm2")
    if way != "running":
        lab.start()
    assert talk(lab)
    lab.bh("port", "del", "vm1")
    wait_until(lambda: host.reached("vm1"), what="its owner gives it back")


def test_pins_without_an_owner(lab):
    """Guards of a version that noted no owner: a port that names the device has it, any other
    stays closed, and the log says so."""
    lab.start()
    wait_until(lambda: not lab.missing_pins(), what="all have their links")
    host = Host(lab)
    lab.stop()
    root = PIN_ROOT / str(lab.host.inode)
    directory = lab.pins()[0].parent
    for path in list(directory.iterdir()):
        if path.name.endswith(("_in", "_out")):
            path.rename(root / path.name)
        else:
            path.unlink()
    directory.rmdir()
    del lab.config["port"]["vm2"]
    lab.start()
    assert logged(lab, "warning", "device vm2", "stays closed")
    host.is_safe("vm1", "vm2")
    lab.config["port"]["vm2"] = {"device": "vm2", "mac": [lab.guests["vm2"].mac],
                                 "ip": [str(lab.guests["vm2"].interface4)]}
    lab.reload()
    lab.wait_port("vm2", "up")
    assert talk(lab)
    assert not [path for path in root.iterdir() if path.name.endswith(("_in", "_out"))]


def test_refused_and_nothing_left(lab):
    """A refused `port add --attach xdp` leaves nothing on the device, then or later: it is the
    host's, as it was."""
    lab.start()
    lab.host.ip("link add odd9 numtxqueues 1 numrxqueues 1 type veth peer name odd9x"
                " numtxqueues 4 numrxqueues 4", "link set odd9 up", "link set odd9x up")
    result = lab.bh("port", "add", "odd", "--device", "odd9", "--trusted", "--attach", "xdp",
                    check=False)
    assert result.returncode == 1 and "odd9" in result.stderr
    time.sleep(1)  # links of devices that are added follow
    number = str(ifindex(lab, "odd9"))
    assert not [path for path in (PIN_ROOT / str(lab.host.inode)).rglob(f"{number}_*")]
    assert "bulkhead" not in filters(lab, "odd9")
    assert "clsact" not in lab.host.run(["tc", "qdisc", "show", "dev", "odd9"]).stdout


def test_check_devices(lab):
    """`check --devices` names every port that would wait, and changes nothing; without a flaw, and
    beside the daemon that has the devices, it says nothing."""
    lab.write_config()

    def check():
        result = lab.host.run([BUILD / "bulkhead", "check", "--devices", lab.config_path],
                              check=False)
        return result.returncode, result.stderr.splitlines()

    assert check() == (0, [])
    lab.host.ip("link add br9 type bridge", "link set vm1 master br9")
    lab.config["port"]["gone"] = {"device": "absent9", "trusted": True}
    lab.write_config()
    code, lines = check()
    assert code == 1 and len(lines) == 2, lines
    assert "port gone: there is no device absent9 yet" in lines[0]
    assert "port vm1: device vm1 belongs to a bridge" in lines[1]
    assert not (PIN_ROOT / str(lab.host.inode)).exists() and "clsact" not in lab.host.run(
        ["tc", "qdisc"]).stdout
    lab.host.ip("link set vm1 nomaster")
    del lab.config["port"]["gone"]
    lab.start()
    assert check() == (0, [])
