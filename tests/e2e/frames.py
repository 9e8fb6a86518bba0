"""Frames made by hand, and the sockets that send and see them.

Every frame made here carries a token, random bytes that no other frame has, so that a test can say
"this very frame arrived there and nowhere else" among whatever else the guests' kernels talk about.
"""

import ctypes
import os
import random
import socket
import struct
import time
from contextlib import contextmanager
from dataclasses import dataclass

ETH_P_ALL = 0x0003
IPV4, ARP, RARP, IPV6 = 0x0800, 0x0806, 0x8035, 0x86DD
BROADCAST = "ff:ff:ff:ff:ff:ff"

SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
SO_RCVBUFFORCE = 33
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
CLONE_NEWNET = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)


# --- network namespaces -----------------------------------------------------------------------


def setns(fd):
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def entered(netns_path):
    """This thread, and only this thread, is in the network namespace; sockets opened here stay."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(netns_path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            setns(here)
    finally:
        os.close(here)


# --- making frames ----------------------------------------------------------------------------


def new_token():
    return b"bhe:" + random.randbytes(8)


def new_mac():
    """A random unicast address, locally administered, that no guest of a lab has."""
    return "02:be" + "".join(f":{octet:02x}" for octet in random.randbytes(4))


def mac_bytes(mac):
    return bytes.fromhex(mac.replace(":", ""))


def ethernet(dst, src, ethertype, payload, tags=()):
    """tags: (tpid, tci) pairs, outermost first, in the frame's bytes."""
    shim = b"".join(struct.pack("!HH", tpid, tci) for tpid, tci in tags)
    return mac_bytes(dst) + mac_bytes(src) + shim + struct.pack("!H", ethertype) + payload


def checksum(data):
    """RFC 1071, complemented."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4_udp(src_ip, dst_ip, data):
    """IPv4 and UDP to the discard port, without a UDP checksum (RFC 768 allows that)."""
    udp = struct.pack("!HHHH", 4009, 9, 8 + len(data), 0) + data
    head = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0),
        socket.inet_aton(src_ip),
        socket.inet_aton(dst_ip),
    )
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + udp


def arp_request(src_mac, src_ip, target_ip):
    body = struct.pack("!HHBBH", 1, IPV4, 6, 4, 1)
    body += mac_bytes(src_mac) + socket.inet_aton(src_ip) + bytes(6) + socket.inet_aton(target_ip)
    return ethernet(BROADCAST, src_mac, ARP, body)


def rarp_announcement(src_mac, dst=BROADCAST, sha=None, tha=None, op=3, spa=bytes(4), tpa=bytes(4)):
    """As QEMU's announce_self_create() makes it after a migration: 60 bytes, addresses 0."""
    body = struct.pack("!HHBBH", 1, IPV4, 6, 4, op)
    body += mac_bytes(sha or src_mac) + spa + mac_bytes(tha or src_mac) + tpa
    return ethernet(dst, src_mac, RARP, body).ljust(60, b"\0")


# --- sending and seeing -----------------------------------------------------------------------


@dataclass
class Seen:
    """A frame that arrived: its bytes without the outermost tag, and that tag as (tpid, tci)."""

    data: bytes
    tag: tuple | None

    def __repr__(self):
        return f"<{self.src} > {self.dst}, {len(self.data)} bytes, {self.data[12:].hex()[:40]}…>"

    @property
    def dst(self):
        return self.data[:6].hex(":")

    @property
    def src(self):
        return self.data[6:12].hex(":")

    @property
    def ethertype(self):
        return struct.unpack("!H", self.data[12:14])[0]


class Wire:
    """A raw socket on a device: sends frames, and keeps what arrives until it is asked for.

    The kernel's buffer does the keeping, so nothing is missed between two calls and no thread is
    needed. What the guest's own kernel sends out is not among what is seen, unless asked for.
    """

    def __init__(self, netns_path, device, protocol=ETH_P_ALL, outgoing=False):
        with entered(netns_path):
            # Protocol 0 hears nothing until bind(); without a device there is no bind().
            start = 0 if device else socket.htons(protocol)
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, start)
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
            self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            if not outgoing:
                self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            if device:
                self.socket.bind((device, protocol))
        self.mark = 0

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, frame, hidden_tag=None):
        """hidden_tag (tpid, tci): needs Guest.install_hidden_tags()."""
        mark = 0
        if hidden_tag:
            tpid, tci = hidden_tag
            mark = 0xB1000000 | (0x10000 if tpid == 0x88A8 else 0) | tci
        if mark != self.mark:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("I", mark))
            self.mark = mark
        self.socket.send(frame)

    def receive(self, timeout=0.0):
        """The next frame, or None."""
        self.socket.settimeout(timeout)
        try:
            data, auxiliary, _, _ = self.socket.recvmsg(70_000, 256)
        except (BlockingIOError, TimeoutError):
            return None
        tag = None
        for level, kind, value in auxiliary:
            if level == SOL_PACKET and kind == PACKET_AUXDATA:
                status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", value[:20])
                if status & TP_STATUS_VLAN_VALID:
                    tag = (tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100, tci)
        return Seen(data, tag)

    def drain(self):
        """All frames that have arrived so far."""
        frames = []
        while (seen := self.receive()) is not None:
            frames.append(seen)
        return frames

    def wait_for(self, token, timeout=2.0):
        """The first frame that holds the token; frames before it are thrown away."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            seen = self.receive(left)
            if seen and token in seen.data:
                return seen
        return None


class Watch:
    """Who gets a frame? Raw sockets on several guests, and a proof with every answer that each of
    them would have seen it.

    After the frame, each beacon guest sends a broadcast. A frame from the same port cannot overtake
    it, and a guest that missed the beacon fails the test: "nobody saw it" is never just deafness.
    """

    def __init__(self, guests, beacons):
        """Every guest must be in reach of one of the beacons other than itself."""
        self.guests = {guest.name: guest for guest in guests}
        self.beacons = beacons
        self.wires = {name: guest.wire() for name, guest in self.guests.items()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for wire in self.wires.values():
            wire.close()

    def who_gets(self, sender, frame, match=None, hidden_tag=None, count=1):
        """{name: [Seen, …]} of the guests whose device got the frame, the sender's included."""
        for wire in self.wires.values():
            wire.drain()
        match = match or frame[-12:]
        for _ in range(count):
            self.wires[sender.name].send(frame, hidden_tag)
        return self.collect(match, frame[6:12])

    def collect(self, match, source=None):
        """As who_gets(), for frames that somebody else has just sent."""
        time.sleep(0.02)
        beacon_tokens = {}
        for beacon in self.beacons:
            token = beacon_tokens[beacon.name] = new_token()
            self.wires[beacon.name].send(beacon.frame_to(BROADCAST, token))
        found = {}
        for name, wire in self.wires.items():
            frames = self.until_a_beacon(name, wire, beacon_tokens)
            # An ICMP error quotes the frame, but has another source.
            hits = [seen for seen in frames
                    if match in seen.data and source in (None, seen.data[6:12])]
            if hits:
                found[name] = hits
        return found

    @staticmethod
    def until_a_beacon(name, wire, beacon_tokens):
        others = {token for beacon, token in beacon_tokens.items() if beacon != name}
        frames = []
        deadline = time.monotonic() + 2.0
        while (left := deadline - time.monotonic()) > 0:
            seen = wire.receive(left)
            if seen is None:
                continue
            frames.append(seen)
            if any(token in seen.data for token in others):
                time.sleep(0.01)
                return frames + wire.drain()
        raise AssertionError(f"the observer on {name} is deaf: no beacon arrived")
