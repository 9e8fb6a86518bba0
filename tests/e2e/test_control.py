"""The control socket, the command line and the configuration: above all what they do with nonsense.

Each bad input has its message, which names the place, the thing and the way out, and its exit code:
1 if it failed at run time, 2 for bad usage or configuration.
"""

import json
import re
import shutil
import signal
import stat
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from frames import new_mac
from lab import BUILD, Client, Lab, Stream, request, wait_until

NOBODY = 65534


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.veth("vm1")
        lab.veth("vm2")
        lab.uplink()
        lab.start()
        yield lab


# --- bad configuration ------------------------------------------------------------------------

PORT = """\
[port.vm1]
device = "vm1"
mac = ["52:54:00:00:00:01"]
ip = ["10.0.0.1/24"]
"""
OTHER = PORT.replace("vm1", "vm2").replace(":01", ":02").replace("0.1/", "0.2/")

# name: (configuration, line of the error, what the message says)
BAD_CONFIGS = {
    "unknown key": (PORT + 'macs = "x"\n', 5, ["vm1", "macs"]),
    "unknown key of bulkhead": ('[bulkhead]\nsockte = "/x"\n' + PORT, 2, ["sockte"]),
    "unknown key of a segment": ('[segment.lan]\nagening = "5s"\n' + PORT, 2, ["lan", "agening"]),
    "unknown table": (PORT + "[prot.vm2]\nx = 1\n", 5, ["prot"]),
    "wrong type, string": (PORT + 'isolated = "yes"\n', 5, ["vm1", "isolated"]),
    "wrong type, number": (PORT.replace('"vm1"', "5"), 2, ["vm1", "device"]),
    "wrong type, list": (PORT.replace('"vm1"', '["vm1"]'), 2, ["vm1", "device"]),
    "wrong type, table": ("[port]\nvm1 = 3\n", 2, ["vm1"]),
    "mac_limit": ('[segment.lan]\nmac_limit = "many"\n', 2, ["lan", "mac_limit"]),
    "mac_limit negative": ("[segment.lan]\nmac_limit = -1\n", 2, ["lan", "mac_limit"]),
    "MAC too short": (PORT.replace(":00:01", ":01"), 3, ["vm1", "52:54:00:00:01"]),
    "MAC no hex": (PORT.replace("52:54", "5g:54"), 3, ["vm1", "5g:54:00:00:00:01"]),
    "MAC of a group": (PORT.replace("52:54", "53:54"), 3, ["vm1", "53:54:00:00:00:01"]),
    "MAC zero": (PORT.replace("52:54:00:00:00:01", "00:00:00:00:00:00"), 3,
                 ["vm1", "00:00:00:00:00:00"]),
    "address": (PORT.replace("10.0.0.1/24", "192.168.50.300"), 4, ["vm1", "192.168.50.300"]),
    "prefix length": (PORT.replace("/24", "/33"), 4, ["vm1", "10.0.0.1/33"]),
    "prefix": (PORT.replace("10.0.0.1/24", "10.0.0.0/24"), 4, ["vm1", "10.0.0.0/24", "prefixes"]),
    "address v6": (PORT.replace("10.0.0.1/24", "2001:db8:::1/64"), 4, ["vm1", "2001:db8:::1/64"]),
    "duration": ('[segment.lan]\nageing = "5 parsecs"\n', 2, ["lan", "ageing", "5 parsecs"]),
    "duration too short": ('[segment.lan]\nageing = "0s"\n', 2, ["lan", "ageing", "1s"]),
    "duration too long": ('[segment.lan]\nageing = "25h"\n', 2, ["lan", "ageing", "24h"]),
    "duration, a number": ("[segment.lan]\nageing = 300\n", 2, ["lan", "ageing"]),
    "MAC twice": (PORT + OTHER.replace(":02", ":01"), None, ["vm1", "vm2", "52:54:00:00:00:01"]),
    "address twice": (PORT + OTHER.replace("0.2/", "0.1/"), None, ["vm1", "vm2", "10.0.0.1"]),
    "device twice": (PORT + OTHER.replace('"vm2"', '"vm1"'), None, ["vm1", "vm2"]),
    "no mac": (PORT.replace("mac = ", "# "), 1, ["vm1", "mac", "trusted"]),
    "no ip": (PORT.replace("ip = ", "# "), 1, ["vm1", "ip", "trusted"]),
    "neither": ('[port.vm1]\ndevice = "vm1"\n', 1, ["vm1", "trusted"]),
    "no device": (PORT.replace("device = ", "# "), 1, ["vm1", "device"]),
    "device name": (PORT.replace('device = "vm1"', 'device = "a-name-of-16-chr"'), 2,
                    ["vm1", "a-name-of-16-chr"]),
    "device path": (PORT.replace('device = "vm1"', 'device = "../x"'), 2, ["vm1", "../x"]),
    "workers": ("[bulkhead]\nworkers = 17\n", 2, ["workers", "1 to 16"]),
    "worker": (PORT + "worker = 3\n", 1, ["worker = 3", "only worker 0", "workers"]),
    "state": ('[bulkhead]\nstate = ""\n', 2, ["state"]),
    "static without port": ('[[fdb]]\nmac = "52:54:00:00:00:09"\n', 1, ["fdb", "port"]),
    "static without mac": ('[[fdb]]\nport = "vm1"\n', 1, ["fdb", "mac"]),
    "static, MAC": ('[[fdb]]\nport = "vm1"\nmac = "any"\n', 3, ["fdb", "mac", "any"]),
    "static on a bound port": (PORT + '[[fdb]]\nport = "vm1"\nmac = "52:54:00:00:00:09"\n', 5,
                               ["52:54:00:00:00:09", "vm1"]),
    "static on no port": ('[[fdb]]\nport = "vm9"\nmac = "52:54:00:00:00:09"\n', 1,
                          ["52:54:00:00:00:09", "vm9"]),
    "static, no table": ("fdb = 3\n", 1, ["fdb"]),
    "poll": ('[bulkhead]\npoll = "sometimes"\n', 2, ["poll", "sometimes", "adaptive"]),
    "log": ('[bulkhead]\nlog = "loud"\n', 2, ["log", "loud"]),
    "vhost": (PORT.replace('device = "vm1"', 'vhost = "/run/vm1.sock"'), 2, ["vm1", "vhost"]),
    "prefixes": (PORT + 'prefixes = ["2001:db8::1/64"]\n', 5, ["vm1", "prefixes"]),
    "limit": (PORT + "limit = { broadcast = true }\n", 5, ["vm1", "limit"]),
    "enforce": (PORT + 'enforce = "no"\n', 5, ["vm1", "enforce"]),
    "no TOML": ("[port.vm1\n", 1, []),
    "no TOML, a value": ("[port.vm1]\ndevice = vm1\n", 2, []),
    "key twice": (PORT + 'device = "vm1"\n', 5, ["device"]),
    "no UTF-8": (b'[port.vm1]\ndevice = "\xff\xfe"\n', 2, []),
}


@pytest.mark.parametrize("kind", BAD_CONFIGS)
def test_bad_configuration(lab, tmp_path, kind):
    """A bad file is refused by the daemon, by --check and by `check`, with the same one line that
    names file, line, column and the thing; exit code 2, and nothing is started."""
    text, line, mentions = BAD_CONFIGS[kind]
    path = tmp_path / "bad.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    said = []
    for words in (["--config", path], ["--config", path, "--check"]):
        code, errors = lab.try_daemon(*words)
        assert code == 2, errors
        said.append(errors.strip().splitlines()[-1])
    result = lab.bh("check", path, check=False)
    assert result.returncode == 2 and not result.stdout
    assert len(result.stderr.splitlines()) == 1, result.stderr
    said.append(result.stderr.strip())
    for message in said:
        place = rf"{re.escape(str(path))}:{line or '[0-9]+'}:[0-9]+: "
        assert re.search(place, message), message
        assert all(word in message for word in mentions), message


def test_good_configuration(lab, tmp_path):
    """The same file without its error passes --check and check; nothing is started."""
    path = tmp_path / "good.toml"
    path.write_text(PORT + OTHER + '[segment.lan]\nageing = "5min"\n')
    code, errors = lab.try_daemon("--config", path, "--check")
    assert code == 0, errors
    assert lab.bh("check", path, check=False).returncode == 0


def test_same_mac_in_two_segments(lab, tmp_path):
    """The same MAC and address may be on two ports of different segments."""
    path = tmp_path / "good.toml"
    path.write_text(PORT + 'segment = "a"\n' + PORT.replace("vm1", "vm2") + 'segment = "b"\n')
    code, errors = lab.try_daemon("--config", path, "--check")
    assert code == 0, errors


def test_configuration_that_cannot_be_read(lab, tmp_path):
    """A file that is not there, or is a directory, is named in the message; exit code 2."""
    for path in (tmp_path / "absent.toml", tmp_path):
        code, errors = lab.try_daemon("--config", path)
        assert code == 2 and str(path) in errors, errors
        result = lab.bh("check", path, check=False)
        assert result.returncode == 2 and str(path) in result.stderr


# --- bad usage --------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["frobnicate"], ["port"], ["port", "frobnicate"],
                                   ["port", "add"], ["port", "add", "x", "--nonsense", "1"],
                                   ["port", "del"], ["fdb", "add"], ["fdb", "add", "--port", "vm1"],
                                   ["explain"], ["explain", "vm1"], ["monitor", "nonsense"],
                                   ["--nonsense", "status"], ["check"], ["save", "a", "b"]],
                         ids=" ".join)
def test_bad_usage(lab, words):
    """Words that are no command have exit code 2 and something to say on stderr."""
    result = lab.bh(*words, check=False)
    assert result.returncode == 2, result
    assert len(result.stderr.splitlines()) == 1 and not result.stdout


# What is typed: what the message says.
MISTYPED = {
    "prot show": "no command `prot`; did you mean `port`?",
    "port list": "no command `port list`; did you mean `port show`?",
    "port add x --ips 10.0.0.1": "port add: no option `--ips`; did you mean `--ip`?",
    "port show vm11": 'port vm11: there is none; did you mean "vm1"?',
    "port set vm1 --allow dhcp": 'allow: unknown role "dhcp"; did you mean "dhcp-server"?',
    "fdb show --segment defualt": 'segment defualt: there is none; did you mean "default"?',
    "capture --reason spoofed_mca -w x": 'no reason "spoofed_mca"; did you mean "spoofed_mac"?',
    "monitor drops": 'no events "drops"; did you mean "drop"?',
    "monitor --port vmm2": 'port vmm2: there is none; did you mean "vm2"?',
    "explain vm1 --to uplnk --arp": 'neither a port nor an address; did you mean "uplink"?',
    "explain vm1 --dhcp --arp": "one kind of frame at a time",
    "explain vm1 --to vm2 --dhcp": "leave `to` out",
    "explain vm1 --tcp 22": "Say `to` with a port or an address",
    "explain vm1 --to vm2 00": "leave out what makes one",
    "fdb del 52:54": "write it as 52:54:00:9f:5d:c1",
}


@pytest.mark.parametrize("typed", MISTYPED)
def test_mistyped(lab, typed):
    """A wrong word is named, and what it probably stands for, in one line."""
    result = lab.bh(*typed.split(), check=False)
    assert result.returncode in (1, 2) and not result.stdout
    assert MISTYPED[typed] in result.stderr and len(result.stderr.splitlines()) == 1, result


def test_mistyped_methods_and_parameters(lab):
    """The socket names them, too."""
    with Client(lab) as client:
        assert 'did you mean "port.show"' in client.ask("port.shwo")["error"]["message"]
        for parameters, mention in (({"tcp": "x"}, "tcp must be a number from 0 to 65535"),
                                    ({"tcp": 2 ** 64 - 1}, "tcp must be a number"),
                                    ({"arp": 1}, "arp must be true or false"),
                                    ({}, "which frame?")):
            answer = client.ask("explain", port="vm1", **parameters)
            assert mention in answer["error"]["message"], answer
        assert "list of words" in client.ask("monitor", kinds=[5])["error"]["message"]


def test_bad_usage_of_the_daemon(lab):
    """bulkheadd without a configuration or with an unknown option: exit code 2."""
    for words in ([], ["--nonsense"], ["--config"]):
        code, errors = lab.try_daemon(*words)
        assert code == 2 and errors.strip(), errors
    assert "no option `--confg`; did you mean `--config`?" in lab.try_daemon("--confg", "x")[1]
    assert "--config is missing" in lab.try_daemon()[1]


def test_version(lab):
    """--version says a version, and is the same in daemon and client's status."""
    process = subprocess.run([BUILD / "bulkheadd", "--version"], capture_output=True, text=True,
                             timeout=5)
    assert process.returncode == 0
    assert lab.bh("status", json=True)["version"] in process.stdout


# command: (words, exit code, what the message says)
BAD_COMMANDS = {
    "port del of none": (["port", "del", "nope"], 1, ["nope"]),
    "port set of none": (["port", "set", "nope", "--isolated"], 1, ["nope"]),
    "port show of none": (["port", "show", "nope"], 1, ["nope"]),
    "stats of none": (["stats", "nope"], 1, ["nope"]),
    "port add again": (["port", "add", "vm1", "--device", "x", "--mac", "52:54:00:99:00:01",
                        "--ip", "10.9.9.9/24"], 1, ["vm1"]),
    "MAC": (["port", "add", "x", "--device", "x", "--mac", "nonsense", "--ip", "10.9.9.9/24"], 2,
            ["x", "nonsense"]),
    "address": (["port", "add", "x", "--device", "x", "--mac", "52:54:00:99:00:01", "--ip",
                 "10.9.9.999"], 2, ["x", "10.9.9.999"]),
    "no mac": (["port", "add", "x", "--device", "x", "--ip", "10.9.9.9/24"], 2, ["x", "mac"]),
    "neither": (["port", "add", "x", "--device", "x"], 2, ["x", "trusted"]),
    "no device": (["port", "add", "x", "--mac", "52:54:00:99:00:01", "--ip", "10.9.9.9/24"], 2,
                  ["x", "device"]),
    "another's MAC": (["port", "add", "x", "--device", "x", "--mac", "52:54:00:77:00:01", "--ip",
                       "10.9.9.9/24"], 2, ["x", "52:54:00:77:00:01", "vm1"]),
    "another's device": (["port", "add", "x", "--device", "vm1", "--mac", "52:54:00:99:00:01",
                          "--ip", "10.9.9.9/24"], 2, ["x", "vm1"]),
    "another's MAC by set": (["port", "set", "vm2", "--mac", "52:54:00:77:00:01"], 2,
                             ["vm2", "52:54:00:77:00:01", "vm1"]),
    "vhost": (["port", "add", "x", "--vhost", "/x", "--mac", "52:54:00:99:00:01", "--ip",
               "10.9.9.9/24"], 2, ["vhost"]),
    "fdb add, MAC": (["fdb", "add", "nonsense", "--port", "uplink"], 2, ["nonsense"]),
    "fdb add, port": (["fdb", "add", "52:54:00:99:00:01", "--port", "nope"], 1, ["nope"]),
    "fdb add, bound": (["fdb", "add", "52:54:00:77:00:01", "--port", "uplink"], 2,
                       ["52:54:00:77:00:01"]),
    "fdb add, on a bound port": (["fdb", "add", "52:54:00:99:00:01", "--port", "vm1"], 2,
                                 ["52:54:00:99:00:01", "vm1", "MAC list"]),
    "fdb del of none": (["fdb", "del", "52:54:00:99:00:09"], 1, ["52:54:00:99:00:09"]),
    "fdb del, bound": (["fdb", "del", "52:54:00:77:00:01"], 1, ["52:54:00:77:00:01"]),
    "explain, port": (["explain", "nope", "00"], 1, ["nope"]),
    "explain, hex": (["explain", "vm1", "xyz"], 2, ["hexadecimal"]),
    "save, no directory": (["save", "/nonexistent/x.toml"], 1, ["/nonexistent/x.toml"]),
    "save, full": (["save", "/dev/full"], 1, ["/dev/full", "space"]),
}


@pytest.mark.parametrize("json_words", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("kind", BAD_COMMANDS)
def test_bad_commands(lab, kind, json_words):
    """A command that cannot be is refused with one line on stderr, and nothing has changed."""
    words, code, mentions = BAD_COMMANDS[kind]

    def policy():
        ports = lab.bh("port", "show", json=True)
        kept = ("name", "device", "state", "mac", "ip", "isolated")
        return [{key: port[key] for key in kept} for port in ports], set(lab.fdb(kind="bound"))

    before = policy()
    result = lab.bh(*json_words, *words, check=False)
    assert result.returncode == code, result
    assert len(result.stderr.splitlines()) == 1 and not result.stdout, result
    assert all(word in result.stderr for word in mentions), result.stderr
    assert policy() == before


def test_no_daemon():
    """Without a daemon the client fails with exit code 1 and names the socket."""
    result = subprocess.run([BUILD / "bulkhead", "--socket", "/nonexistent.sock", "status"],
                            capture_output=True, text=True, timeout=5)
    assert result.returncode == 1 and "/nonexistent.sock" in result.stderr
    assert len(result.stderr.splitlines()) == 1 and not result.stdout


# --- the socket's place, and who may use it ---------------------------------------------------


def test_socket_that_cannot_be(tmp_path):
    """A socket path that cannot be made is named, exit code 1, and a file that is there stays."""
    file = tmp_path / "file"
    file.write_text("precious")
    with Lab() as lab:
        lab.veth("vm1")
        lab.write_config()
        for path in (file / "x.sock", file, tmp_path, Path("/proc/bulkhead.sock")):
            code, errors = lab.try_daemon("--config", lab.config_path, "--socket", path)
            assert code == 1 and str(path) in errors, errors
    assert file.read_text() == "precious"


def test_stale_socket():
    """A socket that a killed daemon left behind is no obstacle."""
    with Lab() as lab:
        lab.veth("vm1")
        lab.start()
        lab.kill()
        assert lab.socket_path.exists()
        lab.start()
        assert lab.port("vm1")["state"] == "up"
        assert lab.stop() == 0
        assert not lab.socket_path.exists()


def as_nobody(lab, program, *words):
    """Runs one of ours as a user without any right, from a copy that he can run."""
    directory = lab.directory / "for-nobody"
    directory.mkdir(exist_ok=True)
    copy = shutil.copy(BUILD / program, directory)
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return subprocess.run([*become, copy, *words], capture_output=True, text=True, timeout=10)


def test_no_root(lab):
    """Without root the daemon says that it needs it; exit code 1. Checking a file needs none."""
    config = lab.directory / "no-root.toml"
    config.write_text(f'[bulkhead]\nsocket = "{lab.directory}/no-root.sock"\n' + PORT)
    result = as_nobody(lab, "bulkheadd", "--config", config)
    assert result.returncode == 1, result
    assert re.search(r"root|CAP_", result.stderr), result.stderr
    result = as_nobody(lab, "bulkheadd", "--config", config, "--check")
    assert result.returncode == 0, result


def ask_as_nobody(lab, *words):
    return as_nobody(lab, "bulkhead", "--socket", lab.socket_path, *words)


def test_permissions(lab):
    """The socket is 0660; who is let in by the file's mode alone may still change nothing."""
    mode = stat.S_IMODE(lab.socket_path.stat().st_mode)
    assert mode == 0o660, oct(mode)
    result = ask_as_nobody(lab, "status")
    assert result.returncode == 1 and str(lab.socket_path) in result.stderr
    assert "as root" in result.stderr and "group bulkhead" in result.stderr, result.stderr
    assert "running" not in result.stderr, result.stderr
    lab.socket_path.chmod(0o666)
    try:
        for words in (["port", "del", "vm1"], ["port", "set", "vm1", "--isolated"], ["reload"],
                      ["fdb", "flush"], ["fdb", "add", new_mac(), "--port", "uplink"],
                      ["port", "add", "x", "--device", "x", "--trusted"]):
            result = ask_as_nobody(lab, *words)
            assert result.returncode == 1 and "permi" in result.stderr.lower(), result
        assert lab.port("vm1")["isolated"] is False and lab.port("x") is None
    finally:
        lab.socket_path.chmod(0o660)
    assert lab.bh("port", "set", "vm1", "--isolated=false", check=False).returncode == 0


# --- what commands do -------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [["--allow", ""], ["--allow="]], ids=" ".join)
def test_a_list_is_emptied(lab, empty):
    """An empty word empties a list, as the manual says."""
    lab.bh("port", "set", "vm1", "--allow", "router", "--allow", "vrrp")
    assert lab.port("vm1")["allow"] == ["router", "vrrp"]
    lab.bh("port", "set", "vm1", *empty)
    assert lab.port("vm1")["allow"] == []


def test_flush_of_a_segment():
    """`fdb flush --segment` forgets what was learned there and nothing else. An address that was
    learned and then added is listed once, as static."""
    with Lab() as lab:
        lab.uplink("left", segment="left")
        lab.uplink("right", segment="right")
        lab.start()

        def learned(name):
            lab.guests[name].flood("ff:ff:ff:ff:ff:ff", "--rate", 10, "--count", 1)
            mac = lab.guests[name].mac
            wait_until(lambda: mac in lab.fdb(kind="learned"), what=f"{name} is learned")
            return mac

        left, right = learned("left"), learned("right")
        assert lab.bh("fdb", "flush", "--segment", "left", json=True)["flushed"] >= 1
        assert left not in lab.fdb() and right in lab.fdb()
        assert lab.bh("fdb", "flush", "--segment", "nope", check=False).returncode == 1
        lab.bh("fdb", "add", right, "--port", "right")
        rows = [row for row in lab.bh("fdb", "show", json=True) if row["mac"] == right]
        assert [row["kind"] for row in rows] == ["static"], rows


def test_reload_says_what_changed(lab):
    """`reload` names the ports and segments that it added, removed and changed; the log does, too,
    also for SIGHUP."""
    config = json.loads(json.dumps(lab.config))
    try:
        lab.config["segment"] = {"lan": {"ageing": "5s"}}
        lab.config["port"]["new"] = {"device": "nothere", "trusted": True}
        lab.config["port"]["vm2"]["isolated"] = True
        lab.write_config()
        changes = lab.bh("reload", json=True)
        assert changes["ports"] == {"added": ["new"], "removed": [], "changed": ["vm2"]}
        assert changes["segments"] == {"added": ["lan"], "removed": [], "changed": []}
        lab.config = config
        lab.write_config()
        assert lab.bh("reload") == "ports: removed new, changed vm2; segments: removed lan\n"
        lab.daemon.send_signal(signal.SIGHUP)
        wait_until(lambda: "reloaded" in lab.log() and "nothing changed" in lab.log(),
                   what="the log says so")
    finally:
        lab.config = config
        lab.write_config()
        lab.bh("reload")


def test_explain_makes_the_frame(lab):
    """`explain vm1 --to vm2 --tcp 22` needs no hexadecimal digits."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    for what in (["--tcp", 22], ["--udp", 53], ["--icmp"], ["--arp"], ["--nd"], []):
        for to in ("vm2", vm2.ip6 if what == ["--nd"] else vm2.ip4):
            result = lab.bh("explain", "vm1", "--to", to, *what, json=True)
            assert result["ports"] == ["vm2"], (what, result)
    text = lab.bh("explain", "vm1", "--to", "vm2", "--tcp", 22)
    assert text.startswith(f"{vm1.mac} -> {vm2.mac}, {vm1.ip4} -> {vm2.ip4}, TCP to port 22\n")
    assert lab.bh("explain", "vm1", "--dhcp", json=True)["ports"] == ["uplink"]
    assert lab.bh("explain", "vm1", "--to", "8.8.8.8", "--udp", 53, json=True)["ports"] == [
        "uplink"]
    assert lab.bh("explain", "uplink", "--to", "vm1", "--tcp", 22, json=True)["ports"] == ["vm1"]


def test_monitor_of_a_port(lab):
    """Events have the time; with --port only those that name the port are shown."""
    process = lab.monitor("--port", "vm2", "drop")
    time.sleep(0.3)
    for name in ("vm1", "vm2"):
        lab.guests[name].flood(lab.guests["uplink"].mac, "--rate", 50, "--count", 5,
                               src_mac=new_mac())
    time.sleep(0.3)
    process.kill()
    events = [json.loads(line) for line in process.stdout.read().splitlines()]
    assert events and {event["port"] for event in events} == {"vm2"}
    assert all(abs(event["time_us"] / 1e6 - time.time()) < 60 for event in events)


# --- JSON-RPC ---------------------------------------------------------------------------------


def test_rpc(lab):
    """Methods are the command words joined by a dot, parameters the options' names."""
    with Client(lab) as client:
        answer = client.ask("status", 7)
        assert answer["jsonrpc"] == "2.0" and answer["id"] == 7 and "version" in answer["result"]
        names = {port["name"] for port in client.ask("port.show")["result"]}
        assert names == {"vm1", "vm2", "uplink"}
        assert client.ask("port.show", name="vm1")["result"][0]["name"] == "vm1"
        assert client.ask("port.show", "text-id")["id"] == "text-id"
        assert {"mac", "vlan", "segment", "port", "kind", "age_seconds"} <= set(
            client.ask("fdb.show")["result"][0])
        mac = new_mac()
        assert "result" in client.ask("fdb.add", mac=mac, port="uplink")
        assert lab.fdb()[mac]["kind"] == "static"
        assert "result" in client.ask("fdb.del", mac=mac)
        assert client.ask("save")["result"] == lab.bh("save")
        assert client.ask("save", file="/x")["error"]["code"] == -32602


# what is sent: the error's code
NONSENSE = {
    "no JSON": (b"hello\n", -32700),
    "half an object": (b'{"jsonrpc": "2.0", "id": 1\n', -32700),
    "binary": (bytes(range(128, 256)) + b"\n", -32700),
    "NULs": (bytes(64) + b"\n", -32700),
    "HTTP": (b"GET / HTTP/1.1\r\n", -32700),
    "deep": (b"[" * 200_000 + b"\n", None),
    "deep and closed": (b"[" * 100_000 + b"]" * 100_000 + b"\n", None),
    "deep objects": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"\n", None),
    "a number": (b"42\n", -32600),
    "a string": (b'"status"\n', -32600),
    "an empty list": (b"[]\n", -32600),
    "an empty object": (b"{}\n", -32600),
    "no method": (b'{"jsonrpc": "2.0", "id": 1}\n', -32600),
    "method a number": (b'{"jsonrpc": "2.0", "id": 1, "method": 5}\n', -32600),
    "no such method": (b'{"jsonrpc": "2.0", "id": 1, "method": "nope"}\n', -32601),
    "parameters a number": (b'{"jsonrpc":"2.0","id":1,"method":"status","params":5}\n', None),
    "unknown parameter": (b'{"jsonrpc":"2.0","id":1,"method":"port.show","params":{"x":1}}\n',
                          -32602),
    "wrong type": (b'{"jsonrpc":"2.0","id":1,"method":"port.del","params":{"name":[1]}}\n', -32602),
    "missing parameter": (b'{"jsonrpc":"2.0","id":1,"method":"port.del","params":{}}\n', -32602),
    "no UTF-8": (b'{"jsonrpc": "2.0", "id": 1, "method": "\xff\xfe"}\n', -32700),
    "monitor of nonsense": (b'{"jsonrpc":"2.0","id":1,"method":"monitor","params":'
                            b'{"kinds":["x"]}}\n', None),
    "monitor of a number": (b'{"jsonrpc":"2.0","id":1,"method":"monitor","params":'
                            b'{"kinds":5}}\n', None),
    "monitor of numbers": (b'{"jsonrpc":"2.0","id":1,"method":"monitor","params":'
                           b'{"kinds":[5,{}]}}\n', None),
    "monitor, a list": (b'{"jsonrpc":"2.0","id":1,"method":"monitor","params":["fdb"]}\n', None),
    "explain a number": (b'{"jsonrpc":"2.0","id":1,"method":"explain","params":'
                         b'{"port":"vm1","frame":5}}\n', None),
    "huge mac_max": (b'{"jsonrpc":"2.0","id":1,"method":"port.add","params":{"name":"x","device":'
                     b'"x","trusted":true,"mac_max":18446744073709551616}}\n', None),
    "mac_max of -1": (b'{"jsonrpc":"2.0","id":1,"method":"port.add","params":{"name":"x","device":'
                      b'"x","trusted":true,"mac_max":-1}}\n', None),
    "lists in lists": (b'{"jsonrpc":"2.0","id":1,"method":"port.add","params":{"name":"x","device":'
                       b'"x","mac":[["a"]],"ip":[{}]}}\n', None),
    "name with a newline": (b'{"jsonrpc":"2.0","id":1,"method":"port.add","params":{"name":"x\\ny",'
                            b'"device":"x","trusted":true}}\n', None),
    "no name": (b'{"jsonrpc":"2.0","id":1,"method":"port.add","params":{"name":"","device":"x",'
                b'"trusted":true}}\n', None),
    "huge number": (b'{"jsonrpc": "2.0", "id": 1e999999, "method": "status"}\n', None),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_gets_an_error(lab, kind):
    """A request that is none gets an error with JSON-RPC's code, and nothing else happens."""
    data, code = NONSENSE[kind]
    before = lab.bh("port", "show", json=True)
    with Client(lab) as client:
        client.send(data)
        answer = client.line()
        assert answer and "result" not in answer and answer["error"]["message"]
        assert code is None or answer["error"]["code"] == code, answer
    assert [port["name"] for port in lab.bh("port", "show", json=True)] == [
        port["name"] for port in before]
    with Client(lab) as client:
        assert "result" in client.ask("status")


def test_mutated_requests(lab):
    """Thousands of requests with flipped, doubled and missing bytes: each line that is one gets an
    answer or the connection ends, and the daemon lives."""
    random = Random(1)
    seeds = [request("status"), request("port.show", name="vm1"), request("fdb.show", port="vm1"),
             request("stats", name="nope"), request("monitor", kinds=["fdb", "drop"]),
             request("explain", port="vm1", frame="ffffffffffff5254007700010800" + "00" * 46),
             request("port.set", name="nope", mac=["52:54:00:00:00:01"], mac_max=5),
             request("fdb.add", mac="52:54:00:77:00:01", port="vm1")]
    for _ in range(30):
        with Client(lab) as client:
            lines = b""
            for _ in range(100):
                line = bytearray(random.choice(seeds)[:-1])
                for _ in range(random.randint(1, 4)):
                    at = random.randrange(len(line))
                    if random.random() < 0.5:
                        line[at] = random.choice(b'{}[]",:0159-e\\x\xff\x00 tn')
                    else:
                        line[at:at + random.randint(0, 8)] = line[at:at + random.randint(0, 20)]
                lines += bytes(line).replace(b"\n", b"") + b"\n"
            client.send(lines + request("status", 12345))
            while (answer := client.line()) is not None and answer.get("id") != 12345:
                assert "result" in answer or "error" in answer or answer["method"] == "event"
    assert lab.daemon.poll() is None and lab.bh("status", json=True)


@pytest.mark.parametrize("kind", ["one line", "no end"])
def test_oversized(lab, kind):
    """A request over 1 MiB gets an error, whether it ends or not, and costs little memory."""
    data = b'{"jsonrpc": "2.0", "id": 1, "method": "status", "params": {"x": "'
    with Client(lab) as client:
        try:
            client.send(data + b"x" * ((1 << 20) + 100))
            if kind == "one line":
                client.send(b'"}}\n')
            else:
                for _ in range(64):
                    client.send(b"x" * (1 << 20))
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            pass
        try:
            answer = client.line()
            assert "error" in answer and "MiB" in answer["error"]["message"], answer
        except ConnectionResetError:
            assert kind == "no end"  # we were still writing when it hung up
    assert resident_mbytes(lab) < 300
    assert lab.bh("status", json=True)


def test_almost_oversized(lab):
    """A request of a little less than 1 MiB is answered like any other."""
    with Client(lab) as client:
        answer = client.ask("port.show", name="x" * 1_000_000)
        assert answer["error"]["code"] not in (-32700, -32600)
        assert "result" in client.ask("status")


def test_halves(lab):
    """A request that comes in pieces is answered when it is whole; one that never gets whole is
    forgotten with its connection."""
    with Client(lab) as client:
        for piece in request("port.show"):
            client.send(bytes([piece]))
        assert "result" in client.line()
        whole = request("port.set", name="vm1", isolated=True)
        client.send(whole[:-10])
        assert lab.bh("status", json=True)  # others are not kept waiting
    time.sleep(0.2)
    assert lab.port("vm1")["isolated"] is False


def test_interleaved(lab):
    """Halves of two clients' requests, and many requests in one write, are kept apart."""
    with Client(lab) as left, Client(lab) as right:
        first, second = request("status", 1), request("port.show", 2)
        left.send(first[:20])
        right.send(second[:20])
        left.send(first[20:])
        assert left.line()["id"] == 1
        right.send(second[20:])
        assert right.line()["id"] == 2
        left.send(b"".join(request("status", number) for number in range(50)))
        assert [left.line()["id"] for _ in range(50)] == list(range(50))


def test_a_thousand_commands_a_second(lab):
    """A thousand changes of one port, as fast as they are taken, and commands of another client
    between them: all are answered in order, nobody waits long, and an unrelated pair of guests loses
    nothing."""
    with Stream(lab.guests["vm1"], lab.guests["vm2"]), Client(lab) as hasty, Client(lab) as other:
        lab.bh("port", "add", "late", "--device", "late", "--mac", new_mac(), "--ip", "any")
        waits = []
        for first in range(0, 1000, 50):
            hasty.send(b"".join(request("port.set", number, name="late", isolated=number % 2 == 0)
                                for number in range(first, first + 50)))
            start = time.monotonic()
            assert "result" in other.ask("status")
            waits.append(time.monotonic() - start)
            answers = [hasty.line() for _ in range(50)]
            assert [answer["id"] for answer in answers] == list(range(first, first + 50))
            assert all("result" in answer for answer in answers), answers
        assert max(waits) < 2, waits
        assert lab.port("late")["isolated"] is False
        lab.bh("port", "del", "late")


def test_nonsense_between_good_requests(lab):
    """On one connection a good request behind a bad one is answered."""
    with Client(lab) as client:
        client.send(request("status", 1) + b"nonsense\n" + request("status", 2))
        answers = [client.line() for _ in range(3)]
        assert [answer["id"] for answer in answers] == [1, None, 2]
        assert "error" in answers[1]


def test_100_clients(lab):
    """A hundred clients at once are all answered, while a pair's stream loses nothing."""
    with Stream(lab.guests["vm1"], lab.guests["vm2"]):
        clients = [Client(lab) for _ in range(100)]
        for turn in range(5):
            for number, client in enumerate(clients):
                client.send(request("port.show", number))
            for number, client in enumerate(clients):
                assert client.line()["id"] == number
        for client in clients:
            client.close()


def test_clients_that_hang_up(lab):
    """Clients that ask and go without waiting for the answer do no harm."""
    for _ in range(100):
        client = Client(lab)
        client.send(request("port.show") * 20)
        client.close()
    assert lab.bh("status", json=True)


def resident_mbytes(lab):
    for line in Path(f"/proc/{lab.daemon.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def test_client_that_never_reads(lab):
    """A client that asks for ever and never reads is not served for ever: others are answered at
    once, traffic goes on, and the daemon does not grow."""
    before = resident_mbytes(lab)
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    with Stream(vm1, vm2), Client(lab) as deaf:
        deaf.socket.setblocking(False)
        asked, end = 0, time.monotonic() + 2
        while time.monotonic() < end:
            try:
                asked += deaf.socket.send(request("stats") * 100)
            except BlockingIOError:
                time.sleep(0.01)
            except (BrokenPipeError, ConnectionResetError):
                break  # hung up on: that is one way to deal with him
        assert asked > 0
        start = time.monotonic()
        assert lab.bh("status", json=True)
        assert time.monotonic() - start < 1
    assert resident_mbytes(lab) < before + 50


def test_monitor_that_never_reads(lab):
    """A monitor that is never read holds up neither learning nor the daemon's memory."""
    uplink = lab.guests["uplink"]
    process = lab.monitor("fdb", "drop")
    time.sleep(0.3)
    process.send_signal(signal.SIGSTOP)
    before = resident_mbytes(lab)
    with Stream(lab.guests["vm1"], lab.guests["vm2"]):
        uplink.flood(new_mac(), "--random-src", "--rate", 20_000, "--count", 60_000)
        start = time.monotonic()
        assert lab.bh("status", json=True)
        assert time.monotonic() - start < 1
    assert resident_mbytes(lab) < before + 60
    process.kill()
    lab.bh("fdb", "flush")
    wait_until(lambda: not lab.fdb(kind="learned"), what="the table is empty again")


def test_memory_of_clients_that_never_read(lab):
    """What waited for clients is the kernel's again when they have gone."""
    with ExitStack() as clients:
        for _ in range(6):
            deaf = clients.enter_context(Client(lab))
            deaf.socket.sendall(request("capture"))
        time.sleep(0.3)
        flood = ["--rate", 60_000, "--count", 120_000]
        lab.guests["vm1"].flood(lab.guests["vm2"].mac, *flood, src_mac=new_mac())
        most = resident_mbytes(lab)
    wait_until(lambda: resident_mbytes(lab) < most - 10, what="10 MB less")


def test_memory_of_segments(lab):
    """A limit is no reservation: a segment that may learn 200,000 addresses costs nothing until it
    does; what is learned stays, when it comes and when it goes."""
    with Lab() as lab:
        lab.veth("vm1")
        lab.uplink()
        lab.start()
        assert lab.guests["vm1"].ping(lab.guests["uplink"].ip4).lost == 0
        learned = lab.bh("fdb", "show", "--segment", "default", json=True)
        before = resident_mbytes(lab)
        lab.config["segment"] = {"large": {"mac_limit": 200_000}}
        lab.write_config()
        lab.bh("reload")
        assert resident_mbytes(lab) < before + 4
        del lab.config["segment"]
        lab.write_config()
        lab.bh("reload")
        assert resident_mbytes(lab) < before + 4
        now = lab.bh("fdb", "show", "--segment", "default", json=True)
        assert {entry["mac"] for entry in learned} <= {entry["mac"] for entry in now}


def test_drop_events(lab):
    """`monitor drop` tells of drops, with port and reason."""
    process = lab.monitor("drop")
    vm1, stolen = lab.guests["vm1"], new_mac()
    time.sleep(0.5)
    vm1.flood(lab.guests["vm2"].mac, "--rate", 100, "--count", 100, src_mac=stolen)
    time.sleep(0.3)
    process.kill()
    events = [json.loads(line) for line in process.stdout.read().splitlines()]
    told = [event for event in events if event["event"] == "drop" and event["port"] == "vm1"]
    assert told and told[0]["reason"] == "spoofed_mac" and stolen in told[0].values(), events


# --- shapes -----------------------------------------------------------------------------------


def test_shapes(lab):
    """The JSON of port show, status and stats has the keys that scripts rely on."""
    vm1 = lab.guests["vm1"]
    port = lab.bh("port", "show", "vm1", json=True)[0]
    assert port["name"] == "vm1" and port["device"] == "vm1" and port["segment"] == "default"
    assert port["state"] == "up" and port["trusted"] is False and port["isolated"] is False
    assert port["mac"] == [vm1.mac] and port["ip"] == [f"{vm1.ip4}/16", f"{vm1.ip6}/64"]
    numbers = [port[key] for key in ("rx_frames", "rx_bytes", "tx_frames", "tx_bytes")]
    assert all(isinstance(number, int) for number in numbers) and isinstance(port["drops"], dict)
    assert lab.bh("stats", "vm1", json=True)[0]["name"] == "vm1"
    assert {"version"} <= set(lab.bh("status", json=True))
    for words in (["status"], ["port", "show"], ["fdb", "show"], ["stats"]):
        assert "vm1" in lab.bh(*words) or words == ["status"]


def test_counters_count(lab):
    """Frames and bytes of a known number of frames are what port show and stats say."""
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    lab.ledger()
    before, stats_before = lab.port("vm2"), lab.stats()
    sender = ["--src-ip", vm1.ip4, "--dst-ip", vm2.ip4]
    assert vm1.flood(vm2.mac, "--rate", 2000, "--count", 1000, "--size", 300, *sender) == 1000
    lab.ledger()
    after, stats_after = lab.port("vm2"), lab.stats()
    assert 1000 <= after["tx_frames"] - before["tx_frames"] <= 1010
    assert 300_000 <= after["tx_bytes"] - before["tx_bytes"] <= 301_500
    change = sum(stats_after["vm1"]["ingress"][road] - stats_before["vm1"]["ingress"][road]
                 for road in ("unicast", "shortcut"))
    assert 1000 <= change <= 1010
