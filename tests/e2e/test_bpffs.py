"""The BPF file system, where the guard's links and notes are, takes nothing: it is full, read-only
or away. clsact guards alone then, port show and one line of the log say why, and the links are
there as soon as they can be. (A full one fails as a read-only one does.)"""

import pytest

from lab import PIN_ROOT, HostWatch, Lab, wait_until

HOST_IP4 = "10.77.250.250"
OWN_MOUNTS = ["unshare", "--mount", "sh", "-c"]


@pytest.fixture
def lab():
    with Lab() as lab:
        lab.veth("vm1")
        lab.veth("vm2")
        lab.host.ip(f"addr add {HOST_IP4}/32 dev lo")
        yield lab


def with_bpffs(how):
    """Words before a daemon that sees the file system so, and nobody else does."""
    return [*OWN_MOUNTS, "mount --bind /sys/fs/bpf /sys/fs/bpf && "
            f"mount -o remount,bind,{how} /sys/fs/bpf && exec \"$@\"", "sh"]


def remount(lab, how):
    lab.host.run(["nsenter", "--mount", "-t", lab.daemon.pid, "mount", "-o", f"remount,bind,{how}",
                  "/sys/fs/bpf"])


def is_closed(lab, name):
    watch = HostWatch(lab)
    lab.guests[name].ping(HOST_IP4, count=2)
    return not watch.seen()


@pytest.mark.parametrize("way", ["command", "reload"])
def test_pins_fail(lab, way):
    """A port that is added works, by clsact alone, until its links can be pinned."""
    lab.start(under=with_bpffs("rw"))
    wait_until(lambda: not lab.missing_pins(), what="all have their links")
    remount(lab, "ro")
    vm3 = lab.veth("vm3")
    if way == "command":
        lab.port_add("vm3")
    else:
        lab.reload()
        lab.wait_port("vm3", "up")
    why = wait_until(lambda: lab.port("vm3").get("why"), 8, what="port show says why")
    assert "cannot pin in /sys/fs/bpf/bulkhead/" in why and "Read-only file system" in why
    assert "clsact alone guards it" in why
    assert is_closed(lab, "vm3")
    assert vm3.ping(lab.guests["vm1"].ip4).lost == 0
    said = [line for line in lab.log().splitlines() if "Read-only" in line]
    assert len(said) == 1 and " warning port vm3: device vm3: " in said[0], said
    remount(lab, "rw")
    wait_until(lambda: "why" not in lab.port("vm3") and not lab.missing_pins(), 15,
               what="it has its links")
    assert lab.port("vm3")["guard_restored"] == 0  # nobody had taken anything off
    assert lab.stop() == 0
    lab.start()
    assert not [line for line in lab.log().splitlines() if "exposed" in line and "vm3" in line][1:]
    assert vm3.ping(lab.guests["vm1"].ip4).lost == 0


def test_start_without(lab):
    """A start without it says so once; the devices are guarded, and are had again later."""
    lab.start(under=with_bpffs("ro"))
    said = [line for line in lab.log().splitlines() if "/sys/fs/bpf:" in line]
    assert len(said) == 1 and " warning " in said[0] and "Read-only file system" in said[0], said
    assert not (PIN_ROOT / str(lab.host.inode)).exists()
    assert lab.guests["vm1"].ping(lab.guests["vm2"].ip4).lost == 0
    assert is_closed(lab, "vm1")
    lab.kill()
    assert is_closed(lab, "vm1")
    lab.start()
    wait_until(lambda: not lab.missing_pins(), what="all have their links")
    assert lab.guests["vm1"].ping(lab.guests["vm2"].ip4).lost == 0
