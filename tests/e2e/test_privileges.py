"""What the daemon may still do while it runs, and with how little it starts."""

import os
import subprocess
from pathlib import Path

import pytest

from lab import BUILD, WORKERS, Lab, wait_until

NET_ADMIN, NET_RAW, IPC_LOCK, BPF = 1 << 12, 1 << 13, 1 << 14, 1 << 39  # linux/capability.h
NOBODY = 65534


@pytest.fixture
def lab():
    with Lab() as lab:
        lab.veth("vm1")
        lab.veth("vm2")
        yield lab


def threads(pid):
    """{name: {key of its status: value}}"""
    tasks = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        tasks[status["Name"]] = status
    return tasks


def test_running_daemon(lab):
    """All threads are confined: the workers, which handle what guests send, have no capability."""
    lab.start()
    tasks = threads(lab.daemon.pid)
    kept_by = {"bulkheadd": NET_ADMIN | NET_RAW | IPC_LOCK | BPF}
    kept_by |= {f"bulkhead/{worker}": 0 for worker in range(WORKERS)}
    assert set(tasks) == set(kept_by)
    for name, kept in kept_by.items():
        for which in ("CapEff", "CapPrm"):
            assert int(tasks[name][which], 16) == kept, (name, which)
        for which in ("CapBnd", "CapInh", "CapAmb"):
            assert int(tasks[name][which], 16) == 0, (name, which)
        assert tasks[name]["NoNewPrivs"] == "1"
        assert tasks[name]["Seccomp"] == "2", "seccomp filter"


def test_without_capabilities(lab):
    """A daemon that lacks capabilities names them and ends."""
    lab.write_config()
    os.chown(lab.directory, NOBODY, NOBODY)
    words = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups",
             BUILD / "bulkheadd", "--config", lab.config_path]
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                            timeout=10)
    assert result.returncode == 1
    assert "lacks the capabilities net_admin, net_raw, bpf, perfmon;" in result.stderr


def test_other_user(lab):
    """Another user than root will do, with five capabilities; the pins take one more."""
    lab.write_config()
    os.chown(lab.directory, NOBODY, NOBODY)
    os.chmod(lab.config_path, 0o644)
    kept = "+net_admin,+net_raw,+bpf,+perfmon,+ipc_lock,+dac_override"
    daemon = lab.spawn(["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups",
                        f"--inh-caps={kept}", f"--ambient-caps={kept}",
                        BUILD / "bulkheadd", "--config", lab.config_path], lab.host.path)
    wait_until(lab.socket_path.exists, what="the control socket is there")
    for name in ("vm1", "vm2"):
        lab.wait_port(name, "up")
    assert threads(daemon.pid)["bulkheadd"]["Uid"].split()[0] == str(NOBODY)
    assert int(threads(daemon.pid)["bulkheadd"]["CapAmb"], 16) == 0
    vm1, vm2 = lab.guests["vm1"], lab.guests["vm2"]
    assert vm1.ping(vm2.ip4).lost == 0
    lab.bh("port", "del", "vm2")
    lab.port_add("vm2")
    assert vm1.ping(vm2.ip4).lost == 0
    daemon.terminate()
    assert daemon.wait(10) == 0
