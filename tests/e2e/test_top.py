"""`bulkhead top`: on a terminal, into a pipe and as JSON; what it asks of the daemon, and what it
does while there is none.

    vm1, vm2 (bound guests), uplink (trusted)
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from contextlib import contextmanager

import pytest

from frames import new_mac
from lab import BUILD, Lab, wait_until

ENTER, LEAVE, HOME = "\033[?1049h", "\033[?1049l", "\033[H"


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.veth("vm1")
        lab.veth("vm2")
        lab.uplink()
        lab.start()
        yield lab


def top_words(lab, *words, json=False):
    options = ["--socket", str(lab.socket_path), *(["--json"] if json else [])]
    return [str(BUILD / "bulkhead"), *options, "top", *words]


def rows(text):
    """{port: words of its line} of a block or screen."""
    lines = text.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("PORT "))
    return {line.split()[0]: line.split() for line in lines[head + 1:] if line.strip()}


class Terminal:
    """`bulkhead top` on a pseudo-terminal; a screen is what is drawn from one home to the next."""

    def __init__(self, lab, *words, lines=24, columns=80):
        self.master, self.slave = pty.openpty()
        self.resize(lines, columns)
        self.before = termios.tcgetattr(self.slave)
        self.text, self.looked_at = "", 0

        def be_in_front():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(top_words(lab, *words), stdin=self.slave,
                                        stdout=self.slave, stderr=self.slave,
                                        start_new_session=True, preexec_fn=be_in_front)
        lab.processes.append(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, lines, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys):
        os.write(self.master, keys.encode())

    def read(self):
        while select.select([self.master], [], [], 0.02)[0]:
            self.text += os.read(self.master, 65536).decode()
        return self.text

    def screens(self):
        """As they were drawn, each whole."""
        parts = self.read().split(HOME)[1:]
        whole = [part.split("\033[J")[0] for part in parts if "\033[J" in part]
        return [re.sub(r"\033\[K|\r", "", part) for part in whole]

    def wait_screen(self, shows, what, timeout=5):
        """The next screen that is so."""

        def found():
            for screen in self.screens()[self.looked_at:]:
                self.looked_at += 1
                if shows(screen):
                    return screen
            return None

        return wait_until(found, timeout, what=f"{what}; last: {self.screens()[-1:]}")

    def ended(self):
        """The exit code; the terminal is as it was."""
        code = self.process.wait(5)
        assert self.read().count(ENTER) == self.text.count(LEAVE) > 0
        assert self.text.rindex(LEAVE) > self.text.rindex(ENTER)
        assert self.text.count("\033[?25l") == self.text.count("\033[?25h")
        assert termios.tcgetattr(self.slave) == self.before
        return code


# --- in a pipe --------------------------------------------------------------------------------


@contextmanager
def flood(sender, to, rate=500, **options):
    """Frames while the body runs, from 0.3 s before it."""
    process = sender.flood_start(to.mac, "--rate", rate, "--src-ip", sender.ip4, "--dst-ip", to.ip4,
                                 seconds=30, **options)
    time.sleep(0.3)
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def test_blocks(lab):
    """Not on a terminal it prints a plain block a refresh: rates, drops and the leading reason."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    with flood(vm1, vm2, 1000), flood(vm2, vm1, 500, src_mac=new_mac()):
        text = subprocess.run(top_words(lab, "--count", "2"), capture_output=True, text=True,
                              timeout=10, check=True).stdout
    assert "\033" not in text and "\r" not in text
    blocks = text.strip("\n").split("\n\n")
    assert len(blocks) == 2, text
    for block in blocks:
        assert re.match(r"\d\d:\d\d:\d\d bulkhead \S+, up 0:\d\d:\d\d; ports 3 up; "
                        r"cpu .*bulkhead/0 \d+%", block), block
        assert re.search(r"^total: in \S+ frames/s, \S+bit/s; out .*; dropped \S+/s$", block, re.M)
        port = rows(block)
        assert port["vm1"][1:3] == ["default", "up"]
        assert 800 <= number(port["vm1"][3]) <= 1200 and number(port["vm1"][7]) < 20, block
        assert 800 <= number(port["vm2"][5]) <= 1200, block
        assert 400 <= number(port["vm2"][7]) <= 600 and port["vm2"][8] == "spoofed_mac", block
        bits = number(port["vm1"][4]) / number(port["vm1"][3]) / 8
        assert 50 < bits < 80, block  # bytes a frame


def number(text):
    unit = {"k": 1e3, "M": 1e6, "G": 1e9}.get(text[-1])
    return float(text[:-1]) * unit if unit else float(text)


def test_order(lab):
    """--sort name, drops and rate; what is equal goes by name."""
    with flood(lab.guests["vm2"], lab.guests["vm1"], src_mac=new_mac()):
        for order, first in (("name", "uplink"), ("drops", "vm2"), ("rate", "vm2")):
            words = top_words(lab, "--sort", order, "--count", "1", "--interval", "300ms")
            text = subprocess.run(words, capture_output=True, text=True, timeout=10,
                                  check=True).stdout
            assert next(iter(rows(text))) == first, text


def test_json(lab):
    """--json: an object a line and refresh, rates as numbers."""
    words = top_words(lab, "--count", "2", "--interval", "500ms", json=True)
    with flood(lab.guests["vm1"], lab.guests["vm2"], 1000):
        lines = subprocess.run(words, capture_output=True, text=True, timeout=10,
                               check=True).stdout.splitlines()
    assert len(lines) == 2
    for line in map(json.loads, lines):
        assert 0.4 < line["seconds"] < 0.9 and "bulkhead/0" in line["cpu"]
        ports = {port["name"]: port for port in line["ports"]}
        vm1 = ports["vm1"]
        assert vm1["segment"] == "default" and vm1["state"] == "up" and vm1["reason"] is None
        assert 700 <= vm1["rx_frames_per_second"] <= 1300
        assert vm1["rx_bits_per_second"] > 8 * 60 * 700 and vm1["drops_per_second"] < 20
        assert line["total"]["rx_frames_per_second"] >= vm1["rx_frames_per_second"]
        assert line["total"]["tx_frames_per_second"] >= ports["vm2"]["tx_frames_per_second"] > 700


def test_reader_goes(lab):
    """Who reads the pipe may go: an end like another."""
    process = lab.spawn(top_words(lab, "--interval", "100ms"), stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(5) == 0 and process.stderr.read() == ""


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_a_pipe(lab, by):
    process = lab.spawn(top_words(lab), stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.send_signal(by)
    assert process.wait(3) == 0


@pytest.mark.parametrize("words, mention", [
    (["--interval", "2x"], "--interval"), (["--interval", "10ms"], "from 100ms to 1h"),
    (["--interval", "2h"], "from 100ms to 1h"), (["--interval", "often"], "500ms, 2s"),
    (["--count", "0"], "--count"), (["--sort", "colour"], "rate, drops or name"), (["vm1"], "vm1"),
])
def test_usage(lab, words, mention):
    result = lab.bh("top", *words, check=False)
    assert result.returncode == 2 and mention in result.stderr, result
    assert len(result.stderr.splitlines()) == 1 and not result.stdout


def test_no_daemon_at_the_start(tmp_path):
    """There is nothing to wait for yet: an error like every other command's."""
    result = subprocess.run([BUILD / "bulkhead", "--socket", tmp_path / "none", "top"],
                            capture_output=True, text=True, timeout=5)
    assert result.returncode == 1 and "is bulkheadd running?" in result.stderr


# --- on a terminal ----------------------------------------------------------------------------


def test_screen(lab):
    """It has the screen for itself, draws ports at once and then their rates, and q ends it."""
    with Terminal(lab, "--interval", "200ms") as terminal:
        first = terminal.wait_screen(lambda _: True, "a screen")
        assert rows(first)["vm1"][3:8] == ["-"] * 5
        later = terminal.wait_screen(lambda screen: rows(screen)["vm1"][3] != "-", "rates")
        assert set(rows(later)) == {"vm1", "vm2", "uplink"}
        assert "\033[2J" not in terminal.text  # no erasing, so no flicker
        terminal.press("x")  # means nothing
        terminal.press("q")
        assert terminal.ended() == 0


@pytest.mark.parametrize("end", ["Ctrl-C", "SIGTERM", "SIGHUP", "count"])
def test_screen_is_given_back(lab, end):
    words = ["--count", "2"] if end == "count" else []
    with Terminal(lab, "--interval", "200ms", *words) as terminal:
        terminal.wait_screen(lambda _: True, "a screen")
        if end == "Ctrl-C":
            terminal.press("\x03")
        elif end != "count":
            terminal.process.send_signal(getattr(signal, end))
        assert terminal.ended() == 0


def test_suspended(lab):
    """Ctrl-Z gives the screen back until it goes on."""
    with Terminal(lab, "--interval", "200ms") as terminal:
        terminal.wait_screen(lambda _: True, "a screen")
        terminal.press("\x1a")

        def state():
            with open(f"/proc/{terminal.process.pid}/stat") as stat:
                return stat.read().rsplit(")")[1].split()[0]

        wait_until(lambda: state() == "T", what="it is stopped")
        assert terminal.read().endswith(LEAVE)
        assert termios.tcgetattr(terminal.slave) == terminal.before
        terminal.looked_at = len(terminal.screens())
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait_screen(lambda _: True, "a screen again")
        terminal.press("q")
        assert terminal.ended() == 0


def test_keys_choose_the_order(lab):
    """n, d and r, without waiting for the next refresh."""
    with (flood(lab.guests["vm2"], lab.guests["vm1"], src_mac=new_mac()),
          Terminal(lab, "--interval", "1s", "--sort", "name") as terminal):
        screen = terminal.wait_screen(lambda text: rows(text)["vm2"][7] not in "-0", "drops")
        assert next(iter(rows(screen))) == "uplink"
        for key, first in (("d", "vm2"), ("n", "uplink"), ("r", "vm2")):
            terminal.press(key)
            terminal.wait_screen(lambda text: next(iter(rows(text))) == first, f"order {key}", 0.9)
        terminal.press("q")
        assert terminal.ended() == 0


def test_size(lab):
    """Nothing is wider or longer than the terminal, which may change at any time."""
    with Terminal(lab, "--interval", "10s", lines=5, columns=50) as terminal:
        screen = terminal.wait_screen(lambda _: True, "a screen")
        assert len(screen.split("\n")) == 5 and max(map(len, screen.split("\n"))) <= 50
        assert screen.split("\n")[-1].startswith("2 more: ")
        terminal.resize(24, 100)  # by SIGWINCH, at once
        screen = terminal.wait_screen(lambda text: "uplink" in text, "a screen of the new size", 2)
        assert len(rows(screen)) == 3 and "more:" not in screen
        terminal.press("q")
        assert terminal.ended() == 0


# --- the daemon goes and comes ----------------------------------------------------------------


def test_daemon_restarts():
    """It waits and says so, on a terminal and in JSON; then it counts anew with the next daemon."""
    with Lab() as lab:
        lab.veth("vm1")
        lab.start()
        as_json = lab.spawn(top_words(lab, "--interval", "200ms", json=True),
                            stdout=subprocess.PIPE, text=True)

        def line_with(key):
            return next(entry for entry in map(json.loads, as_json.stdout) if key in entry)

        with Terminal(lab, "--interval", "200ms") as terminal:
            terminal.wait_screen(lambda text: "vm1" in text, "the port")
            assert line_with("ports")["ports"][0]["name"] == "vm1"
            for end in (lab.stop, lab.kill):
                end()
                terminal.wait_screen(lambda text: "waiting for bulkheadd" in text, "it waits")
                assert str(lab.socket_path) in line_with("waiting")["waiting"]
                lab.start()
                terminal.wait_screen(lambda text: re.search("^vm1 .* up ", text, re.M), "vm1")
                assert line_with("ports")["ports"][0]["rx_frames_per_second"] is None
                assert line_with("ports")["ports"][0]["rx_frames_per_second"] is not None
            os.kill(lab.daemon.pid, signal.SIGSTOP)  # hangs: no answer
            time.sleep(0.5)
            terminal.press("q")
            assert terminal.ended() == 0
            os.kill(lab.daemon.pid, signal.SIGCONT)
        as_json.kill()


def test_port_is_made_anew(lab):
    """A port that is deleted and added again has its counters back at zero: no rate is negative or
    absurd."""
    late = lab.veth("late", index=77)
    lab.port_add("late")
    late.ping(lab.guests["vm1"].ip4, count=100, interval=0.002)
    process = lab.spawn(top_words(lab, "--interval", "200ms", "--count", "12", json=True),
                        stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    words = lab.port_words("late")
    for _ in range(3):
        lab.bh("port", "del", "late")
        lab.bh("port", "add", "late", *words)
    lab.wait_port("late", "up")
    seen = 0
    for line in map(json.loads, process.stdout):
        for port in line["ports"]:
            seen += port["name"] == "late"
            assert 0 <= port["rx_frames_per_second"] < 1000, port
            assert 0 <= port["tx_frames_per_second"] < 1000, port
    assert seen and process.wait(5) == 0
    lab.bh("port", "del", "late")
    del lab.config["port"]["late"]


# --- what it costs ----------------------------------------------------------------------------


class Eavesdropper:
    """A socket between client and daemon: the methods that are asked for."""

    def __init__(self, lab):
        self.path = lab.directory / "between.sock"
        self.lab, self.methods = lab, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        client, _ = self.listener.accept()
        with client, socket.socket(socket.AF_UNIX) as daemon:
            daemon.connect(str(self.lab.socket_path))
            ends = {client: daemon, daemon: client}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    if end is client:
                        self.methods += [json.loads(line)["method"] for line in data.splitlines()]
                    ends[end].sendall(data)


def test_1024_ports():
    """Of 1,024 ports, as many are shown as there is room for; a refresh is one request, and costs
    the daemon little."""
    with Lab() as lab:
        for number in range(1024):
            high, low = number >> 8, number & 255
            lab.config["port"][f"p{number}"] = {"device": f"none{number}", "ip": "any",
                                                "mac": [f"52:54:00:66:{high:02x}:{low:02x}"]}
        lab.start(wait_ports=False)
        between = Eavesdropper(lab)
        words = ["--socket", str(between.path), "top", "--count", "10", "--interval", "100ms"]
        before = cpu_seconds(lab.daemon.pid)
        started = time.monotonic()
        text = subprocess.run([BUILD / "bulkhead", *words], capture_output=True, text=True,
                              timeout=30, check=True).stdout
        used = cpu_seconds(lab.daemon.pid) - before
        print(f"{used / 11 * 1000:.1f} ms of the daemon's a refresh, "
              f"{time.monotonic() - started:.2f} s in all")
        assert between.methods == ["status"] + ["stats"] * 11
        assert len(rows(text.strip("\n").split("\n\n")[-1])) >= 1024
        assert used / 11 < 0.1
        with Terminal(lab, "--sort", "name") as terminal:
            screen = terminal.wait_screen(lambda _: True, "a screen")
            assert screen.split("\n")[-1].startswith("1004 more: ")
            terminal.press("q")
            assert terminal.ended() == 0
        lab.config["port"].clear()


def cpu_seconds(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as schedstat:
            total += int(schedstat.read().split()[0])
    return total / 1e9
