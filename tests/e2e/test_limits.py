"""What the daemon does when it is short of something: descriptors, memory, a look at the devices.

Nothing of it ends the daemon or makes it spin: whoever wanted something is told, or waits, and the
log has a line.
"""

import os
import re
import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab import WORKERS, Client, Lab, Stream, request, wait_until

PORTS = 60
# A limit that the daemon may not raise: root has that capability unless it is taken away.
CAPABILITY = ["setpriv", "--bounding-set=-sys_resource"]
CLIENTS = 512
LEARNED = 20_000


def limited(descriptors):
    """Words that give the daemon so many descriptors."""
    return ["prlimit", f"--nofile={descriptors}:{descriptors}", *CAPABILITY]


def set_limits(lab, **limits):
    """Of the running daemon."""
    words = [f"--{name}={value}" for name, value in limits.items()]
    subprocess.run(["prlimit", "--pid", str(lab.daemon.pid), *words], check=True)


def status_of(lab):
    lines = Path(f"/proc/{lab.daemon.pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def resident_mbytes(lab):
    return int(status_of(lab)["VmRSS"].split()[0]) / 1024


def netlink_drops(lab):
    """Notices that the kernel could not deliver to the daemon."""
    lines = lab.host.run(["cat", "/proc/net/netlink"]).stdout.splitlines()[1:]
    sockets = [line.split() for line in lines]
    # A socket's number has the process in its lower 22 bits (libnl, lib/socket.c).
    return sum(int(words[8]) for words in sockets if int(words[2]) & 0x3FFFFF == lab.daemon.pid)


def processor_seconds(lab):
    fields = Path(f"/proc/{lab.daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def assert_idle(lab, seconds=1.0):
    before = processor_seconds(lab)
    time.sleep(seconds)
    used = (processor_seconds(lab) - before) / seconds
    assert used < 0.3, f"{used:.0%} of a core with nothing to do"


def more_ports(lab, count):
    """veth pairs without guests, and their ports in the configuration."""
    lab.host.sysctl({"net/ipv6/conf/default/disable_ipv6": 1})
    lab.host.run(["ip", "-batch", "-"], timeout=60, input="".join(
        f"link add p{number} type veth peer name q{number}\n"
        f"link set p{number} up\nlink set q{number} up\n" for number in range(count)))
    for number in range(count):
        lab.config["port"][f"p{number}"] = {
            "device": f"p{number}", "ip": [f"10.99.0.{number}/32"],
            "mac": [f"52:54:00:99:00:{number:02x}"], "segment": "many"}


@pytest.fixture
def lab():
    with Lab() as lab:
        lab.veth("vm1")
        lab.veth("vm2")
        lab.uplink()
        lab.veth("vm3")
        yield lab


# --- descriptors ------------------------------------------------------------------------------


def test_limit_is_raised(lab):
    """The usual limit of 1,024 descriptors is not what the daemon lives with."""
    lab.start(under=["prlimit", "--nofile=1024:16384"])
    limits = Path(f"/proc/{lab.daemon.pid}/limits").read_text()
    soft, hard = re.search(r"Max open files +(\d+) +(\d+)", limits).groups()
    assert int(soft) >= 16_384 and int(hard) >= int(soft)


def test_limit_that_cannot_be_raised(lab):
    """A daemon without the right to raise the hard limit goes up to it, and says that it is low."""
    lab.start(under=["prlimit", "--nofile=100:200", *CAPABILITY])
    limits = Path(f"/proc/{lab.daemon.pid}/limits").read_text()
    assert re.search(r"Max open files +200 +200", limits)


def test_ports_without_descriptors(lab):
    """A port that finds no descriptor is refused or waits, and says why; the others work, commands
    are answered, and nothing spins. With more descriptors it comes up by itself."""
    more_ports(lab, PORTS)
    added = [name for name in lab.config["port"] if name.startswith("p")]
    words = {name: lab.port_words(name) for name in added}
    for name in added:
        del lab.config["port"][name]
    lab.start()
    used = len(os.listdir(f"/proc/{lab.daemon.pid}/fd"))
    set_limits(lab, nofile=f"{used + 70}:16384")
    with Stream(lab.guests["vm1"], lab.guests["vm2"]):
        results = [lab.bh("port", "add", name, *words[name], check=False) for name in added]
        refused = [result for result in results if result.returncode != 0]
        assert 5 < len(refused) < PORTS - 5
        for result in refused:
            assert result.returncode == 1 and "no descriptor is left" in result.stderr, result
        for port in lab.bh("port", "show", json=True):
            assert port["state"] == "up" or "no descriptor is left" in port["why"], port
        assert_idle(lab)
        set_limits(lab, nofile="16384:16384")
        wait_until(lambda: lab.bh("status", json=True)["ports"]["up"] ==
                   PORTS + 4 - len(refused), 10, what="all ports are up")


def test_clients_without_descriptors(lab):
    """Clients that find no descriptor but the reserve's are told so. Meanwhile nothing spins, a
    device that comes is seen and its port comes up, and traffic flows."""
    lab.start(under=limited(160 + 20 * WORKERS))
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    with ExitStack() as stack, Stream(vm1, vm2):
        told, served = 0, []
        for _ in range(150):
            client = stack.enter_context(Client(lab))
            try:
                answer = client.ask("status")
            except (BrokenPipeError, ConnectionResetError):
                answer = client.line()
            if "error" in answer:
                assert "clients are connected" in answer["error"]["message"]
                told += 1
            else:
                served.append(client)
        assert told > 20 and len(served) > 20
        said = lab.bh("status", check=False)
        assert said.returncode == 1 and "clients are connected" in said.stderr, said
        assert_idle(lab)
        lab.guests["vm3"].remove_device()
        wait_until(lambda: served[0].ask("port.show", name="vm3")["result"][0]["state"]
                   == "waiting", what="the port waits")
        lab.guests["vm3"].make_device()
        wait_until(lambda: served[0].ask("port.show", name="vm3")["result"][0]["state"] == "up",
                   what="the port is up")
        stack.pop_all().close()
        wait_until(lambda: lab.bh("status", check=False).returncode == 0, what="there is room")


def test_more_clients_than_there_may_be(lab):
    """The 513th client is told that there are too many."""
    lab.start()
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            stack.enter_context(Client(lab))
        wait_until(lambda: lab.bh("status", check=False).returncode == 1, what="all are taken")
        said = lab.bh("status", check=False)
        assert f"{CLIENTS} clients are connected" in said.stderr, said
        assert_idle(lab)
    wait_until(lambda: lab.bh("status", check=False).returncode == 0, what="there is room")


def test_no_descriptor_at_all(lab):
    """Without a single descriptor clients wait, and the daemon neither spins nor ends. A device that
    comes meanwhile is seen afterwards."""
    lab.start()
    used = len(os.listdir(f"/proc/{lab.daemon.pid}/fd"))
    held = Client(lab)
    held.ask("status")
    set_limits(lab, nofile=f"{used // 2}:16384")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiting:
        waiting.settimeout(10)
        waiting.connect(str(lab.socket_path))
        waiting.sendall(request("status"))
        lab.guests["vm2"].remove_device()
        assert_idle(lab)
        assert "error" in held.ask("reload")
        set_limits(lab, nofile="16384:16384")
        assert b'"result"' in waiting.recv(65536)
    lab.wait_port("vm2", "waiting")
    assert "devices: " in lab.log() and "trying again" in lab.log()
    lab.guests["vm2"].make_device()
    lab.wait_port("vm2", "up")


# --- memory -----------------------------------------------------------------------------------


def learn_many(lab, count):
    uplink = lab.guests["uplink"]
    uplink.flood("ff:ff:ff:ff:ff:ff", "--random-src", "--rate", 10_000, "--count", count)
    wait_until(lambda: lab.bh("status", json=True)["fdb_learned"] > 0.5 * count,
               what="the addresses are learned")


@pytest.mark.parametrize("method", ["fdb.show", "metrics"])
def test_512_clients_that_do_not_read(lab, method):
    """512 clients ask for much and read nothing: memory is bounded, others are answered at once, the
    same long answer included, and no client is cut off."""
    more_ports(lab, 200)
    lab.config["bulkhead"]["log"] = "warning"
    lab.start(wait_ports=False, timeout=30)
    lab.wait_port("p199", "up")
    learn_many(lab, LEARNED)
    assert len(lab.fdb(kind="learned")) > 0.5 * LEARNED
    before = resident_mbytes(lab)
    slowest = 0
    with ExitStack() as stack, Stream(lab.guests["vm1"], lab.guests["vm2"]):
        deaf = [stack.enter_context(Client(lab)) for _ in range(CLIENTS - 8)]
        for client in deaf:
            client.send(request(method) * 20)
        for _ in range(20):
            started = time.monotonic()
            lab.bh("status")
            slowest = max(slowest, time.monotonic() - started)
            time.sleep(0.05)
        started = time.monotonic()
        lab.bh("metrics")
        assert len(lab.fdb(kind="learned")) > 0.5 * LEARNED
        assert time.monotonic() - started < 20
        assert slowest < 3, f"a client waited {slowest:.1f} s for its answer"
        assert resident_mbytes(lab) < before + 200
        first = deaf[0]
        assert all(first.line()["id"] == 1 for _ in range(2))
    wait_until(lambda: resident_mbytes(lab) < before + 60, what="memory is given back")


def test_requests_that_never_end(lab):
    """512 clients that each begin a request of a megabyte and leave it at that: what all of them
    may hold is bounded, and others are answered."""
    lab.start()
    before = resident_mbytes(lab)
    with ExitStack() as stack:
        cut = 0
        for _ in range(CLIENTS - 8):
            client = stack.enter_context(Client(lab))
            try:
                client.send(b'{"' + b"x" * ((1 << 20) - 100))
            except (BrokenPipeError, ConnectionResetError):
                cut += 1
        assert lab.bh("status")
        assert resident_mbytes(lab) < before + 120
        assert cut > 0


def test_no_memory_for_an_answer(lab):
    """A command that finds no memory gets an error, and the daemon goes on."""
    lab.start()
    with Client(lab) as client:
        client.ask("status")
        size = int(status_of(lab)["VmSize"].split()[0]) * 1024
        set_limits(lab, **{"as": f"{size}:unlimited"})
        refused = 0
        for _ in range(8):
            # 60 KB that nest nothing, and become many times as much.
            answer = client.ask("port.set", name="vm1", mac=["x"] * 100_000)
            refused += "no memory" in answer["error"]["message"]
        set_limits(lab, **{"as": "unlimited:unlimited"})
        assert client.ask("status")["result"]
    assert lab.daemon.poll() is None
    assert refused, "none was short of memory"


def test_no_memory_for_a_reload(lab):
    """A reload that finds no memory is refused: the configuration before it stays in force and
    traffic flows. With memory the same reload succeeds."""
    lab.config["bulkhead"]["workers"] = 1  # so that a little memory is left for `save`
    lab.start()
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    before = lab.bh("save")
    lab.config["port"]["vm1"]["isolated"] = True
    lab.config["port"] |= {
        f"p{number}": {"device": f"absent{number}", "mac": ["52:54:00:99:00:01"],
                       "segment": f"s{number}", "ip": ["10.99.0.1/32"],
                       "prefixes": [f"10.{100 + item}.0.0/16" for item in range(64)]}
        for number in range(900)}
    lab.write_config()
    with Stream(vm1, vm2), Client(lab) as client:
        client.ask("status")
        size = int(status_of(lab)["VmSize"].split()[0]) * 1024
        set_limits(lab, **{"as": f"{size + (4 << 20)}:unlimited"})
        answer = client.ask("reload")
        assert "no memory" in answer["error"]["message"], answer
        assert lab.bh("save") == before
        os.kill(lab.daemon.pid, signal.SIGHUP)
        wait_until(lambda: "no memory" in lab.log(), what="the log says why")
        assert lab.bh("save") == before
        set_limits(lab, **{"as": "unlimited:unlimited"})
        lab.bh("reload", timeout=60)
        assert lab.port("vm1")["isolated"] and lab.port("p899")["state"] == "waiting"


# --- notices ----------------------------------------------------------------------------------


def test_notices_that_are_lost(lab):
    """While the daemon cannot listen the kernel has more to tell of devices than it keeps. The
    daemon looks at all of them then: nothing that happened meanwhile is missed."""
    lab.start()
    wait_until(lambda: not lab.missing_pins(), what="all have their links")
    vm1, vm2, vm3 = (lab.guests[name] for name in ("vm1", "vm2", "vm3"))
    lab.host.ip("link add noise type bridge")
    os.kill(lab.daemon.pid, signal.SIGSTOP)
    try:
        lab.host.run(["ip", "-batch", "-"], timeout=60,
                     input="link set noise mtu 1400\nlink set noise mtu 1500\n" * 4000)
        lab.host.run(["tc", "qdisc", "del", "dev", "vm1", "clsact"])
        lab.host.ip("link set vm2 mtu 1400", "link set vm3 down")
        vm3.remove_device()
    finally:
        os.kill(lab.daemon.pid, signal.SIGCONT)
    lab.wait_port("vm3", "waiting")
    assert lab.port("vm2")["mtu"] == 1400
    wait_until(lambda: lab.port("vm1")["guard_restored"] == 1, 2, what="clsact is back")
    assert netlink_drops(lab) > 0, "nothing was lost"
    vm3.make_device()
    lab.wait_port("vm3", "up")
    assert vm1.ping(vm3.ip4).lost == 0


# --- exit codes -------------------------------------------------------------------------------


def test_state_that_cannot_be(lab):
    """Only a bad configuration file and bad usage are exit code 2, after which systemd does not
    start it again; what fails behind that is 1."""
    lab.write_config()
    lab.state_path.mkdir()
    code, errors = lab.try_daemon("--config", lab.config_path)
    assert code == 1 and "state" in errors
