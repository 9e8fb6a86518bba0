"""MAC tables and the commands that go through them: however many segments there are, however busy the
worker is.

    129 segments of the default size; one with vm1 vm2 (bound) uplink gone (trusted)
"""

import time
from pathlib import Path

import pytest

from lab import Lab, Stream, end, wait_until

pytestmark = pytest.mark.alone
ANSWER_SECONDS_MAX = 3
RESIDENT_KB_MAX = 1024 * 1024


def resident_kb(lab):
    status = Path(f"/proc/{lab.daemon.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def learned(lab):
    return lab.bh("status", json=True)["fdb_learned"]


@pytest.fixture
def lab():
    with Lab() as lab:
        lab.config["segment"] = {f"s{number}": {} for number in range(128)}
        lab.config["segment"]["default"] = {"ageing": "8s", "mac_limit": 400_000}
        lab.veth("vm1")
        lab.veth("vm2")
        lab.uplink("uplink")
        lab.uplink("gone")
        lab.start()
        yield lab


def flood_both_ways(lab):
    one, other = lab.guests["vm1"], lab.guests["vm2"]
    return [sender.flood_start(to.mac, "--src-ip", sender.ip4, "--dst-ip", to.ip4)
            for sender, to in ((one, other), (other, one))]


def teach(lab, count, *options):
    """A frame from each of so many addresses behind the uplink."""
    to = lab.guests["vm1"]
    lab.guests["uplink"].flood(to.mac, "--random-src", "--dst-ip", to.ip4, "--count", count,
                               *options)


def test_commands_are_answered_beside_a_flood(lab):
    """Each goes through the table; nobody waits for long, and nothing ends."""
    floods = flood_both_ways(lab)
    try:
        time.sleep(0.5)
        teach(lab, 2000)
        wait_until(lambda: learned(lab) > 500, what="addresses that the uplink has taught")
        mac = next(iter(lab.fdb(kind="learned")))
        for words in (("fdb", "del", mac), ("port", "del", "gone"), ("fdb", "flush", "--port", "uplink"),
                      ("fdb", "flush"), ("stats",)):
            before = time.monotonic()
            lab.bh(*words, check=words[:2] != ("fdb", "del"))  # it may have aged meanwhile
            assert time.monotonic() - before < ANSWER_SECONDS_MAX, words
    finally:
        for flood in floods:
            end(flood)
    del lab.config["port"]["gone"], lab.guests["gone"]
    assert lab.daemon.poll() is None


def test_tables_grow_and_shrink_and_nobody_loses_a_frame(lab):
    """A flood of new addresses beside a pair: what is known grows tenfold, and goes again."""
    at_rest = resident_kb(lab)
    with Stream(lab.guests["vm1"], lab.guests["vm2"]):
        teach(lab, 100_000, "--rate", 20_000)
        wait_until(lambda: learned(lab) > 60_000, what="60,000 addresses that are known")
        grown = resident_kb(lab)
        wait_until(lambda: learned(lab) < 1000, timeout=20, what="they have aged")
        wait_until(lambda: resident_kb(lab) < at_rest + 8192, timeout=5,
                   what="the memory is given back")
    assert grown > at_rest + 10_000
    assert grown < at_rest + 200_000
    assert "mac_limit" not in lab.drops("uplink")


def test_a_reload_reserves_nothing(lab):
    """Limits of a thousand million addresses in all."""
    for segment in lab.config["segment"].values():
        segment["mac_limit"] = 1_048_576
    for number in range(1024 - len(lab.config["segment"])):
        lab.config["segment"][f"more{number}"] = {"mac_limit": 1_048_576}
    before = resident_kb(lab)
    lab.reload()
    assert resident_kb(lab) < before + 100_000
    assert lab.guests["vm1"].ping(lab.guests["vm2"].ip4).lost == 0


def test_a_thousand_segments_start_small():
    with Lab() as lab:
        lab.config["segment"] = {f"s{number}": {} for number in range(1023)}
        lab.veth("vm1")
        lab.veth("vm2")
        lab.start()
        assert resident_kb(lab) < RESIDENT_KB_MAX
        assert lab.guests["vm1"].ping(lab.guests["vm2"].ip4).lost == 0
