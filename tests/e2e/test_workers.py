"""Several workers in one daemon: who serves which port, and that nothing is lost, late or overtaken
between them. (What every other file here tests, `./dev ci` runs with two workers too.)

    vm1, vm3 (veth) on worker 0     vm2, vm4 (veth), vm5 (tap) on worker 1     uplink
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from frames import new_mac
from lab import Lab, Stream, ping_result, wait_until

PLACES = {"vm1": 0, "vm2": 1, "vm3": 0, "vm4": 1, "vm5": 1}


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.config["bulkhead"] |= {"workers": 2, "cpus": [0, os.cpu_count() - 1]}
        for name, worker in PLACES.items():
            lab.add_guest(name, "tap" if name == "vm5" else "veth", worker=worker)
        lab.uplink()
        lab.start()
        yield lab


def test_each_port_has_its_worker(lab):
    """A port is where the configuration says; one that says nothing, where there is less to do."""
    for name, worker in PLACES.items():
        assert lab.port(name)["worker"] == worker
    assert lab.port("uplink")["worker"] == 0
    status = lab.bh("status", json=True)
    assert status["workers"] == 2 and len(set(status["conduits"])) == 2
    tasks = {(task / "comm").read_text().strip(): int(task.name)
             for task in Path(f"/proc/{lab.daemon.pid}/task").iterdir()}
    assert set(tasks) == {"bulkheadd", "bulkhead/0", "bulkhead/1"}
    assert os.sched_getaffinity(tasks["bulkhead/0"]) == {0}
    assert os.sched_getaffinity(tasks["bulkhead/1"]) == {os.cpu_count() - 1}


def test_ports_spread_by_themselves():
    """Of ports that say nothing each worker gets as many."""
    with Lab() as spread:
        spread.config["bulkhead"]["workers"] = 3
        for number in range(1, 7):
            spread.veth(f"vm{number}")
        spread.start()
        workers = [spread.port(f"vm{number}")["worker"] for number in range(1, 7)]
        assert sorted(workers) == [0, 0, 1, 1, 2, 2]


def test_ports_that_claim_share_a_worker():
    """With link_local = "any" all of a segment are where the first is, also if one becomes so."""
    with Lab() as lab:
        lab.config["bulkhead"]["workers"] = 2
        for name in ("vm1", "vm2", "vm3"):
            lab.veth(name, link_local="any" if name != "vm3" else None)
        lab.start()
        home = lab.port("vm1")["worker"]
        assert lab.port("vm2")["worker"] == home != lab.port("vm3")["worker"]
        lab.bh("port", "set", "vm3", "--link-local", "any")
        assert lab.port("vm3")["worker"] == home
        lab.wait_port("vm3", "up")
        assert lab.guests["vm1"].ping(lab.guests["vm3"].ip4).lost == 0


def test_a_port_moves_to_another_worker(lab):
    """`port set --worker` takes the port there; others lose nothing meanwhile."""
    vm3, vm4 = lab.guests["vm3"], lab.guests["vm4"]
    with Stream(lab.guests["vm1"], lab.guests["vm2"]) as others:
        for worker in (1, 0, 1, 0):
            lab.bh("port", "set", "vm3", "--worker", worker)
            assert lab.port("vm3")["worker"] == worker
            lab.wait_port("vm3", "up")
            assert vm3.ping(vm4.ip4).lost == 0
            assert vm3.ping(lab.guests["vm1"].ip4).lost == 0
        sent, lost = others.stop()
    assert lost == 0 and sent > 50
    said = lab.bh("port", "set", "vm3", "--worker", 2, check=False)
    assert said.returncode == 2 and "there are workers 0 to 1" in said.stderr


def test_number_of_workers_needs_a_restart(lab):
    """A reload with another number is refused, and nothing changes."""
    lab.config["bulkhead"]["workers"] = 3
    try:
        lab.write_config()
        said = lab.bh("reload", check=False)
        assert said.returncode == 2 and "workers cannot change while bulkheadd runs" in said.stderr
    finally:
        lab.config["bulkhead"]["workers"] = 2
        lab.write_config()
    assert lab.bh("status", json=True)["workers"] == 2


def test_nothing_of_a_flow_is_overtaken(lab):
    """UDP from a guest of one worker to one of the other, both ways, veth and tap: in order."""
    for left, right in (("vm1", "vm2"), ("vm4", "vm3"), ("vm1", "vm5")):
        server = lab.guests[right].popen(["iperf3", "-s", "-1", "-J"], stdout=subprocess.DEVNULL)
        wait_until(lambda: ":5201" in lab.guests[right].run(["ss", "-Hltn"]).stdout,
                   what="iperf3 listens")
        said = json.loads(lab.guests[left].run(
            ["iperf3", "-c", lab.guests[right].ip4, "-u", "-b", "40M", "-l", "200", "-t", "1", "-J",
             "--get-server-output"], timeout=30).stdout)
        server.wait(10)
        total = said["server_output_json"]["end"]["streams"][0]["udp"]
        assert total["packets"] > 5000 and total["out_of_order"] == 0, total


@pytest.mark.alone
def test_uneven_load(lab):
    """All traffic on one worker: a pair on the other one does not notice, nor do pings across."""
    vm1, vm3 = lab.guests["vm1"], lab.guests["vm3"]
    pairs = ((lab.guests["vm2"], lab.guests["vm4"]), (lab.guests["vm4"], vm3))
    for left, right in pairs:
        assert left.ping(right.ip4).lost == 0
    flood = vm1.flood_start(vm3.mac, "--src-ip", vm1.ip4, seconds=4)
    started = [left.ping_start(right.ip4, count=400, interval=0.005) for left, right in pairs]
    results = [ping_result(process) for process in started]
    flood.kill()
    flood.communicate()
    assert results[0].lost == 0, results
    assert results[1].loss <= 0.01, results
    lab.ledger()


def test_learned_addresses_are_known_to_all(lab):
    """What one worker's port teaches is listed once, and every worker's guests reach it."""
    mac = new_mac()
    uplink = lab.guests["uplink"]
    uplink.run(["ip", "link", "add", "mv0", "link", "eth0", "address", mac, "type", "macvlan",
                "mode", "bridge"])
    uplink.netns.sysctl({"net/ipv6/conf/mv0/disable_ipv6": 1})  # it would speak by itself, as in MLD
    try:
        uplink.run(["ip", "address", "add", "10.77.250.1/16", "dev", "mv0"])
        uplink.run(["ip", "link", "set", "mv0", "up"])
        for name in PLACES:
            assert lab.guests[name].ping("10.77.250.1").lost == 0
        rows = [row for row in lab.bh("fdb", "show", json=True) if row["mac"] == mac]
        assert [row["port"] for row in rows] == ["uplink"]
        assert lab.bh("fdb", "flush", json=True)["flushed"] >= 1
        assert mac not in lab.fdb()
        assert lab.guests["vm2"].ping("10.77.250.1").lost == 0
    finally:
        uplink.run(["ip", "link", "del", "mv0"])
