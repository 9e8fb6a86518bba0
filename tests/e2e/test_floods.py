"""Broadcasts that are each within their sender's limit, and add up: what many ports flood at once
costs unicast nothing, in their segment or in another, and who floods little is heard all the same.

    g0 .. g49, quiet, left, right (segment default)      far, away (segment other)
"""

import re
import time

import pytest

from frames import BROADCAST
from lab import Lab, Ping

pytestmark = pytest.mark.alone
SENDERS = 50
RATE = 480  # broadcasts a second of each: the limit of a guest is 500
PINGS = 400
LOSS_MAX = 0.01
MEAN_MS_MAX = 4


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        for number in range(SENDERS):
            lab.veth(f"g{number}")
        for name in ("quiet", "left", "right"):
            lab.veth(name)
        for name in ("far", "away"):
            lab.veth(name, segment="other")
        lab.config["segment"] = {"other": {}}
        lab.start(timeout=30)
        for left, right in PAIRS.values():
            assert lab.guests[left].ping(lab.guests[right].ip4, count=2).lost == 0
        yield lab


PAIRS = {"same segment": ("left", "right"), "another segment": ("far", "away")}


def floods(lab, seconds):
    """Of all senders at once, as processes."""
    return [guest.flood_start(BROADCAST, "--rate", RATE, "--src-ip", guest.ip4, "--dst-ip",
                              "255.255.255.255", seconds=seconds)
            for guest in (lab.guests[f"g{number}"] for number in range(SENDERS))]


def ended(processes):
    return sum(int(process.communicate(timeout=20)[0].split()[1]) for process in processes)


def milliseconds(output):
    """Of a ping: the mean."""
    return float(re.search(r"= [\d.]+/([\d.]+)/", output)[1])


def test_pairs_beside_many_that_flood(lab):
    """Fifty guests send 480 broadcasts a second each: 1.2 million copies. A pair in their segment
    and one in another lose none of their pings beyond noise, and wait no longer for them (all that
    a worker can copy made that 16 ms)."""
    senders = floods(lab, seconds=4)
    time.sleep(1.5)
    started = {kind: lab.guests[left].ping_start(lab.guests[right].ip4, count=PINGS, interval=0.005)
               for kind, (left, right) in PAIRS.items()}
    outputs = {kind: process.communicate(timeout=30)[0] for kind, process in started.items()}
    assert ended(senders) > 0.8 * SENDERS * RATE * 4
    for kind, output in outputs.items():
        result = Ping(output)
        assert result.sent == PINGS and result.loss <= LOSS_MAX, f"{kind}: {result}"
        assert milliseconds(output) < MEAN_MS_MAX, f"{kind}: {output}"
    lab.ledger()


def test_who_floods_little_is_heard(lab):
    """Beside them one that sends two broadcasts a second is heard each time, and they have equal
    parts of what is left."""
    quiet, right = lab.guests["quiet"], lab.guests["right"]
    time.sleep(3)  # what was flooded before is forgotten
    before = lab.stats()
    with right.wire() as wire:
        senders = floods(lab, seconds=6)
        time.sleep(1.5)
        sent = quiet.flood(BROADCAST, "--rate", 2, "--src-ip", quiet.ip4, "--dst-ip",
                           "255.255.255.255", "--size", 123, seconds=4)
        ended(senders)
        heard = len([seen for seen in wire.drain() if len(seen.data) == 123])
    assert heard == sent >= 7
    after = lab.stats()
    passed = [after[name]["ingress"]["flooded"] - before[name]["ingress"]["flooded"]
              for name in (f"g{number}" for number in range(SENDERS))]
    assert max(passed) < 2 * min(passed), passed
    assert lab.drops("g0")["rate_limited"] > 6 * RATE / 2 and not lab.drops("quiet"), passed
    lab.ledger()
