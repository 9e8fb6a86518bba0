"""A thousand ports: how long the daemon takes to start, what it needs, and that a port more disturbs
nobody. (docs/BENCHMARKS.md has the figures; the bounds here are what must hold anywhere.)

    p0 .. p1023 on veth in the host's namespace, the first two with guests behind them
"""

import time
from pathlib import Path

import pytest

from lab import Lab, Stream

pytestmark = pytest.mark.alone
PORTS = 1024
START_SECONDS_MAX = 30
ADD_SECONDS_MAX = 1  # 0.1 on an idle machine
RESIDENT_KB_MAX = 1024 * 1024
IDLE_MAX = 0.01


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.host.sysctl({"net/ipv6/conf/default/disable_ipv6": 1})
        lab.veth("vm1")
        lab.veth("vm2")
        lab.host.run(["ip", "-batch", "-"], timeout=60, input="".join(
            f"link add p{number} type veth peer name q{number}\n"
            f"link set p{number} up\nlink set q{number} up\n" for number in range(PORTS - 1)))
        for number in range(PORTS - 3):
            lab.config["port"][f"p{number}"] = {
                "device": f"p{number}", "ip": [f"10.99.{number >> 8}.{number & 255}/32"],
                "mac": [f"52:54:00:99:{number >> 8:02x}:{number & 255:02x}"]}
        started = time.monotonic()
        lab.start(wait_ports=False, timeout=START_SECONDS_MAX)
        lab.seconds = time.monotonic() - started
        yield lab


def processor_seconds(pid):
    return sum(int((task / "schedstat").read_text().split()[0])
               for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def test_start(lab):
    """All are up when the daemon says that it is ready."""
    assert lab.bh("status", json=True)["ports"] == {"up": PORTS - 1, "down": 0, "waiting": 0}
    assert lab.seconds < START_SECONDS_MAX
    assert lab.guests["vm1"].ping(lab.guests["vm2"].ip4).lost == 0


def test_memory(lab):
    """Everything that is resident, buffers and sockets' rings included."""
    status = Path(f"/proc/{lab.daemon.pid}/status").read_text()
    resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert resident < RESIDENT_KB_MAX


def test_another_port(lab):
    """Adding and deleting the last one: the others lose nothing."""
    name = f"p{PORTS - 3}"
    with Stream(lab.guests["vm1"], lab.guests["vm2"]) as others:
        for _ in range(3):
            started = time.monotonic()
            lab.bh("port", "add", name, "--device", name, "--mac", "52:54:00:99:ff:01", "--ip",
                   "10.99.255.1/32")
            assert time.monotonic() - started < ADD_SECONDS_MAX
            lab.wait_port(name, "up")
            lab.bh("port", "del", name)
        sent, lost = others.stop()
    assert lost == 0 and sent > 20


def test_another_port_while_devices_come_and_go(lab):
    """A list of devices that changes while the kernel reads it out is read out again."""
    name = f"p{PORTS - 3}"
    churn = lab.spawn(["sh", "-c", "while :; do ip link add churn0 type veth; "
                       "ip link del churn0; done"], lab.host.path)
    try:
        for _ in range(20):
            lab.bh("port", "add", name, "--device", name, "--mac", "52:54:00:99:ff:01", "--ip",
                   "10.99.255.1/32")
            lab.bh("port", "del", name)
    finally:
        churn.kill()
        churn.wait()
    lab.host.run(["ip", "link", "del", "churn0"], check=False)
    assert lab.bh("status", json=True)["ports"]["up"] == PORTS - 1


def test_idle(lab):
    """With nothing to do, when the last devices have got their links in tcx."""
    deadline = time.monotonic() + 60
    while True:
        before, started = processor_seconds(lab.daemon.pid), time.monotonic()
        time.sleep(3)
        used = (processor_seconds(lab.daemon.pid) - before) / (time.monotonic() - started)
        if used < IDLE_MAX or time.monotonic() > deadline:
            break
    assert used < IDLE_MAX, f"{used:.2%} of a core"
