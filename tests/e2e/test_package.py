"""The Debian package: built, installed, run by a real systemd, removed and purged, in a throw-away
root (throwaway_root.sh). And what needs no package: bash completion and the watchdog.

The tests of the package are one life of one root, in their order.
"""

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from lab import BUILD, REPOSITORY, Lab, end, spawn, wait_until

CONFIG = "/etc/bulkhead/bulkhead.toml"
UNIT = "bulkheadd.service"
UNREGISTERED = 1  # of dpkg -s


class Root:
    """The throw-away root, as a place to run commands in."""

    def __init__(self, package):
        self.cgroup = f"bhe-{os.getpid()}"
        self.process = spawn(["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork",
                              "--kill-child", REPOSITORY / "tests/e2e/throwaway_root.sh", package,
                              self.cgroup], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_until(self.is_up, 30, 0.2, "systemd is up in the throw-away root")

    def is_up(self):
        assert self.process.poll() is None, self.process.stdout.read().decode()
        pid = self.process.pid
        child = Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()
        if not child or Path(f"/proc/{child}/comm").read_text() != "systemd\n":
            return False
        self.enter = ["nsenter", "--target", child, "--all", "--root", "--wd"]
        return self.run("systemctl", "is-system-running", check=False).stdout == "running\n"

    def run(self, *words, check=True, **options):
        result = subprocess.run([*self.enter, *words], capture_output=True, text=True, timeout=30,
                                **options)
        if check and result.returncode != 0:
            raise AssertionError(f"{words}: exit {result.returncode}\n{result.stdout}"
                                 f"{result.stderr}")
        return result

    def read(self, *words):
        return self.run(*words).stdout.strip()

    def has(self, path):
        return self.run("test", "-e", path, check=False).returncode == 0

    def write(self, path, text):
        self.run("tee", path, input=text)

    def journal(self):
        """[(priority, message)] of the service."""
        lines = self.read("journalctl", "-u", UNIT, "-o", "json", "--no-pager").splitlines()
        entries = [json.loads(line) for line in lines]
        return [(int(entry["PRIORITY"]), entry["MESSAGE"]) for entry in entries]

    def close(self):
        self.process.kill()
        end(self.process)
        leave = f"mount -t cgroup2 cgroup2 /mnt && find /mnt/{self.cgroup} -depth -type d -delete"
        wait_until(lambda: subprocess.run(["unshare", "--mount", "sh", "-c", leave],
                                          capture_output=True).returncode == 0,
                   what="the cgroup of the throw-away root is gone")


@pytest.fixture(scope="module")
def root():
    said = subprocess.run(["cpack", "-G", "DEB"], cwd=BUILD, text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert said.returncode == 0, said.stdout
    package = re.search(r"package: (\S+\.deb) generated", said.stdout)[1]
    root = Root(package)
    yield root
    root.close()


@pytest.fixture(scope="module")
def files(root):
    """What the package has brought, directories that others have too aside."""
    paths = root.read("dpkg", "-L", "bulkhead").splitlines()
    return [path for path in paths if "bulkhead" in path]


def test_package_installs(root, files):
    """Programs, unit, configuration, manual pages, the policy, completion and the group are there;
    nothing runs and nothing is enabled."""
    assert root.read("bulkheadd", "--version").startswith("bulkheadd ")
    assert root.read("bulkhead", "--version").startswith("bulkhead ")
    root.run("bulkheadd", "--config", CONFIG, "--check")
    for section, page in ((8, "bulkheadd"), (8, "bulkhead"), (5, "bulkhead.toml")):
        assert any(path.endswith(f"/man{section}/{page}.{section}.gz") for path in files), files
    assert root.read("cat", "/usr/share/doc/bulkhead/ISOLATION.md").startswith("# What is isolated")
    assert any("bash-completion" in path for path in files)
    assert root.read("getent", "group", "bulkhead")
    assert root.read("dpkg-query", "-W", "-f", "${Conffiles}", "bulkhead").startswith(CONFIG)
    assert root.run("systemctl", "is-enabled", UNIT, check=False).stdout == "disabled\n"
    assert root.run("systemctl", "is-active", UNIT, check=False).stdout == "inactive\n"
    assert root.run("systemd-analyze", "verify", UNIT).stderr == ""


def test_service_runs(root):
    """The unit starts and gets ready as hardened as it is, ports come up and stay guarded by pins,
    the control socket is the group's."""
    root.run("ip", "link", "add", "vm1", "type", "veth", "peer", "name", "guest",
             "address", "02:00:00:00:00:01")
    for end in ("vm1", "guest"):
        root.run("ip", "link", "set", end, "up")
    root.run("systemctl", "enable", "--now", UNIT)
    root.run("bulkhead", "port", "add", "vm1", "--device", "vm1", "--mac", "02:00:00:00:00:01",
             "--ip", "any")
    assert json.loads(root.read("bulkhead", "--json", "port", "show"))[0]["state"] == "up"
    pins = ("find", "/sys/fs/bpf/bulkhead", "-name", "*_in")
    wait_until(lambda: len(root.read(*pins).splitlines()) == 1, what="its links, which follow")
    assert root.read("stat", "-c", "%a %U %G", "/run/bulkhead/control.sock") == "660 root bulkhead"
    assert not [text for level, text in root.journal() if level < 6 and "device vm1" not in text]
    root.run("bulkhead", "port", "del", "vm1")


def test_service_reloads(root):
    """systemctl reload makes the ports what the file says, and fails if the file is wrong."""
    root.write(CONFIG, '[port.up]\ndevice = "vm1"\ntrusted = true\n')
    root.run("systemctl", "reload", UNIT)
    assert json.loads(root.read("bulkhead", "--json", "port", "show"))[0]["name"] == "up"
    root.write(CONFIG, '[port.up]\ndevice = "vm1"\n')
    assert root.run("systemctl", "reload", UNIT, check=False).returncode == 1
    assert any("say trusted = true" in text for _, text in root.journal())
    root.write(CONFIG, '[port.up]\ndevice = "vm1"\ntrusted = true\n')


def test_service_logs_with_levels(root):
    """Lines in the journal have the priority of what they say, and neither it nor the time in
    their text."""
    entries = root.journal()
    assert any(level == 6 and text.startswith("ready: ") for level, text in entries), entries
    assert any(level == 4 and "was up before it was attached" in text for level, text in entries)
    assert not any(text.startswith(("<", "20")) for _, text in entries), entries


def test_service_comes_back(root):
    """A daemon that is killed is started again; one with a wrong configuration is not."""
    main = root.read("systemctl", "show", "-p", "MainPID", "--value", UNIT)
    root.run("kill", "-KILL", main)

    def is_back():
        now = root.read("systemctl", "show", "-p", "MainPID", "--value", UNIT)
        return now not in ("0", main) and root.run("bulkhead", "status", check=False).stdout

    wait_until(is_back, 10, 0.1, "the service is back")
    root.write(CONFIG, "[nonsense]\n")
    root.run("systemctl", "restart", UNIT, check=False)
    assert root.read("systemctl", "show", "-p", "Result", "--value", UNIT) == "exit-code"
    assert root.run("systemctl", "is-active", UNIT, check=False).stdout == "failed\n"


def test_upgrade_keeps_the_configuration(root):
    """Installed again, the package leaves a changed configuration and a running service alone."""
    root.write(CONFIG, "# mine\n")
    root.run("systemctl", "reset-failed", UNIT)
    root.run("systemctl", "restart", UNIT)
    root.run("dpkg", "-i", "/bulkhead.deb")
    assert root.read("cat", CONFIG) == "# mine"
    assert root.run("systemctl", "is-active", UNIT, check=False).stdout == "active\n"


def test_removal_and_purge(root, files):
    """Removed, the service is stopped and only the configuration is left; purged, nothing is."""
    root.run("dpkg", "-r", "bulkhead")
    assert root.run("systemctl", "is-active", UNIT, check=False).stdout == "inactive\n"
    assert {path for path in files if root.has(path)} == {"/etc/bulkhead", CONFIG}
    root.run("dpkg", "-P", "bulkhead")
    gone = [*files, "/etc/bulkhead", "/run/bulkhead",
            f"/etc/systemd/system/multi-user.target.wants/{UNIT}"]
    assert not [path for path in gone if root.has(path)]
    assert root.run("getent", "group", "bulkhead", check=False).returncode == 2
    assert root.run("dpkg", "-s", "bulkhead", check=False).returncode == UNREGISTERED


# --- bash completion --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.veth("vm1")
        lab.veth("vm2")
        lab.config["port"]["vm2"]["segment"] = "lan"
        lab.start()
        yield lab


def complete(lab, *words):
    """What the last word may become, the words before it given."""
    words = [str(BUILD / "bulkhead"), "--socket", str(lab.socket_path), *words]
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bulkhead; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    result = subprocess.run(["bash", "-c", script, "bash",
                             REPOSITORY / "packaging/bulkhead.bash", *words],
                            capture_output=True, text=True, timeout=10)
    assert result.stderr == "", result.stderr
    return result.stdout.split()


@pytest.mark.parametrize("words, expected", [
    (["po"], ["port"]),
    (["port", ""], ["add", "set", "del", "show"]),
    (["fdb", "f"], ["flush"]),
    (["port", "set", ""], ["vm1", "vm2"]),
    (["port", "set", "vm1", "--trus"], ["--trusted"]),
    (["--json", "port", "del", "vm2"], ["vm2"]),
    (["port", "del", "vm1", ""], []),
    (["stats", ""], ["vm1", "vm2"]),
    (["explain", ""], ["vm1", "vm2"]),
    (["monitor", "fdb", "d"], ["drop"]),
    (["fdb", "show", "--port", ""], ["vm1", "vm2"]),
    (["fdb", "show", "--segment", ""], ["default", "lan"]),
    (["fdb", "flush", "--segment", "l"], ["lan"]),
    (["monitor", "--port", ""], ["vm1", "vm2"]),
    (["explain", "vm1", "--to", ""], ["vm1", "vm2"]),
    (["explain", "vm1", "--t"], ["--to", "--tcp"]),
    (["capture", "--reason", "spoofed_m"], ["spoofed_mac"]),
    (["port", "add", "new", "--device", "l"], ["lo"]),
    (["port", "add", "new", "--mac", ""], []),
    (["capture", "-"], ["--help", "--port", "--reason", "-w", "--count"]),
    (["to"], ["top"]),
    (["top", "-"], ["--help", "--interval", "--count", "--sort"]),
    (["top", "--sort", ""], ["rate", "drops", "name"]),
    (["top", "--interval", "5"], ["500ms", "5s"]),
    (["top", "--count", "2", ""], []),
    (["--j"], ["--json"]),
])
def test_completion(lab, words, expected):
    assert complete(lab, *words) == expected


def test_completion_of_files(lab, tmp_path):
    (tmp_path / "bridge.toml").touch()
    assert complete(lab, "check", f"{tmp_path}/br") == [f"{tmp_path}/bridge.toml"]
    assert complete(lab, "explain", "vm1", "--pcap", f"{tmp_path}/") == [f"{tmp_path}/bridge.toml"]


# --- the watchdog -----------------------------------------------------------------------------

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17


def ptrace(request, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.ptrace(request, thread, None, None) == 0, os.strerror(ctypes.get_errno())


def test_watchdog(tmp_path):
    """WATCHDOG=1 comes while both threads get on, and stops when the worker alone does not."""
    path = tmp_path / "notify"
    with Lab() as lab, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        lab.veth("vm1")
        lab.write_config()
        notify.bind(str(path))
        notify.settimeout(3)
        daemon = lab.spawn([BUILD / "bulkheadd", "--config", lab.config_path], lab.host.path,
                           env=os.environ | {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "600000"},
                           stderr=subprocess.DEVNULL)

        def fed(seconds):
            count, deadline = 0, time.monotonic() + seconds
            while time.monotonic() < deadline:
                try:
                    count += b"WATCHDOG=1" in notify.recv(4096)
                except TimeoutError:
                    pass
            return count

        wait_until(lambda: b"READY=1" in notify.recv(4096), what="the daemon is ready")
        notify.settimeout(0.05)
        assert 4 <= fed(2) <= 12
        tasks = Path(f"/proc/{daemon.pid}/task")
        worker = next(int(task.name) for task in tasks.iterdir()
                      if (task / "comm").read_text() == "bulkhead/0\n")
        ptrace(PTRACE_SEIZE, worker)
        ptrace(PTRACE_INTERRUPT, worker)
        fed(0.5)
        assert fed(1.5) == 0
        ptrace(PTRACE_DETACH, worker)
        daemon.send_signal(signal.SIGKILL)
