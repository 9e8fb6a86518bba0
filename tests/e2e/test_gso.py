"""The account of what a port hands over is exact, whatever its guest leaves to the kernel to cut:
every kind of segmentation, at every edge, and headers that lie. A frame is counted as the frames
that arrive, or it does not arrive and is counted under a reason.

    evil (tap, hostile owner)  ──▶  nobody
"""

import time

import pytest

from lab import Lab

COUNT = 3  # of each
HEADERS = {"tcp4": 54, "tcp6": 74, "uso4": 42, "uso6": 62, "ufo4": 34, "ufo6": 54}
FRAME_BYTES_MAX = 3520  # on the conduit
LIES = ["extension", "ihl", "fragment", "doff15", "doff0", "protocol", "tag", "ethertype",
        "nochecksum", "headerlength", "checksum"]


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.hostile_tap("evil")
        lab.start()
        yield lab


def send(lab, kind):
    """What the port's ingress has counted of COUNT such frames, at rest."""
    evil = lab.guests["evil"]
    before = lab.stats()["evil"]["ingress"]
    sent = evil.flood(kind, count=COUNT)
    time.sleep(0.02)  # they are on their way, and a loss is settled
    lab.ledger()
    now = lab.stats()["evil"]["ingress"]
    grown = {key: now[key] - before[key] for key in ("handed", "received")}
    grown |= {key: now["before"][key] - before["before"][key] for key in before["before"]}
    return sent, {key: count for key, count in grown.items() if count}


def cut(kind, segment, payload):
    """Frames that one of that kind becomes. IP fragments carry the UDP header as payload."""
    cut_bytes = payload + (8 if kind.startswith("ufo") else 0)
    return -(-cut_bytes // segment)


@pytest.mark.parametrize("segment", [256, 1448, 3400])
@pytest.mark.parametrize("kind", HEADERS)
def test_is_counted_as_it_arrives(lab, kind, segment):
    """What fits exactly, or by a byte more or less, alone or as the last of many."""
    for payload in {segment + 1, 2 * segment - 8, 2 * segment - 7, 2 * segment, 9 * segment + 1}:
        sent, grown = send(lab, f"gso:{kind}:{segment}:{payload}")
        frames = COUNT * cut(kind, segment, payload)
        assert sent == COUNT and grown == {"handed": frames, "received": frames}, payload


@pytest.mark.parametrize("kind", HEADERS)
def test_longest_that_the_conduit_takes(lab, kind):
    """A segment that fills a frame to the conduit's limit arrives, one byte (of a fragment, eight)
    more does not."""
    grain = 8 if kind.startswith("ufo") else 1  # what a fragment's offset counts in
    fragment_header = 8 if kind == "ufo6" else 0
    room = FRAME_BYTES_MAX - HEADERS[kind] - fragment_header
    segment = room // grain * grain
    _, grown = send(lab, f"gso:{kind}:{segment}:{3 * segment - 8}")
    assert grown == {"handed": 3 * COUNT, "received": 3 * COUNT}
    segment += grain
    _, grown = send(lab, f"gso:{kind}:{segment}:{3 * segment - 8}")
    assert grown == {"handed": 3 * COUNT, "too_big": 3 * COUNT}


@pytest.mark.parametrize("kind", HEADERS)
def test_absurd_segments(lab, kind):
    """Segments below 256 bytes do not pass, of no kind."""
    for segment in (1, 255):
        _, grown = send(lab, f"gso:{kind}:{segment}:{2 * segment + 9}")
        assert set(grown) == {"handed", "malformed"}, segment


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("kind", HEADERS)
def test_lies(lab, kind, lie):
    """A frame that is not what it says is cut as it was counted, or does not arrive and is
    counted; the kernel refuses some of them itself."""
    for payload in (300, 2 * 1448 - 8, 9 * 1448 - 3):
        sent, grown = send(lab, f"gso:{kind}:1448:{payload}:{lie}")
        arrived, handed = grown.get("received", 0), grown.get("handed", 0)
        assert handed >= sent and arrived in (0, handed), (payload, sent, grown)
