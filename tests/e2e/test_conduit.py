"""The conduit is a pair of devices like any other: whoever may, sets it down, changes it, deletes it
or moves it. The daemon notices within a second, mends it, and says so. Guests stay guarded.
"""

import time

import pytest

from lab import HostWatch, Lab, Netns, wait_until

NOTICED_SECONDS_MAX = 3  # one, on a machine that has nothing else to do


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        for name in ("vm1", "vm2", "vm3"):
            lab.veth(name)
        lab.tap("vm4")
        lab.config["bulkhead"]["workers"] = 1
        lab.start()
        yield lab


def conduit(lab):
    return lab.bh("status", json=True)["conduits"][0]


def mended(lab):
    return lab.bh("status", json=True)["conduits_mended"]


def elsewhere(lab):
    """A namespace to move things to."""
    if not hasattr(lab, "elsewhere"):
        lab.elsewhere = Netns(f"{lab.name}-elsewhere")
    return lab.elsewhere.name


# what somebody does: (words, where {c} is the conduit; whether it is another device afterwards)
DEEDS = {
    "down": ("ip link set {c} down", False),
    "other end down": ("ip link set {c}x down", False),
    "MTU": ("ip link set {c} mtu 1500", False),
    "MTU of the other end": ("ip link set {c}x mtu 1400", False),
    "XDP off": ("ip link set {c}x xdp off", False),
    "offloads on": ("ethtool -K {c} tx on gso on txvlan on", False),
    "queue": ("tc qdisc add dev {c} root pfifo limit 1", True),
    "clsact of somebody": ("tc qdisc add dev {c} clsact && tc filter add dev {c} egress "
                           "bpf direct-action object-file {drop} section tc", True),
    "deleted": ("ip link del {c}", True),
    "other end deleted": ("ip link del {c}x", True),
    "moved": ("ip link set {c} netns {elsewhere}", True),
    "other end moved": ("ip link set {c}x netns {elsewhere}", True),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_mended(lab, deed):
    """Noticed and mended, counted, logged, in `status` and in `metrics`; traffic is back, new ports
    come up, no buffer is lost, and nothing reached the host."""
    words, is_another = DEEDS[deed]
    vm1, vm2, vm4 = (lab.guests[name] for name in ("vm1", "vm2", "vm4"))
    assert vm1.ping(vm2.ip4).lost == 0
    before, name = mended(lab), conduit(lab)
    index = lab.host.run(["ip", "-o", "link", "show", name]).stdout.split(":")[0]
    free = lab.bh("status", json=True)["buffers_free"]
    watch = HostWatch(lab)
    lab.host.run(["sh", "-c", words.format(c=name, elsewhere=elsewhere(lab),
                                               drop=lab.bpf_object("foreign"))])
    started = time.monotonic()
    wait_until(lambda: mended(lab) > before, NOTICED_SECONDS_MAX, what="the conduit is mended")
    assert time.monotonic() - started < NOTICED_SECONDS_MAX
    wait_until(lambda: vm1.ping(vm2.ip4, count=1).lost == 0, 3, what="traffic is back")
    assert vm1.ping(vm2.ip4).lost == 0 and vm1.ping(vm4.ip4).lost == 0
    assert vm2.tcp_mbps(vm1, mbytes=4) > 1
    now = conduit(lab)
    after = lab.host.run(["ip", "-o", "link", "show", now]).stdout.split(":")[0]
    assert (after != index) == is_another, lab.log()[-500:]
    assert f"conduit {name}: " in lab.log()
    count = [line for line in lab.bh("metrics").splitlines()
             if line.startswith("bulkhead_conduits_mended_total ")]
    assert int(count[0].split()[1]) == mended(lab)
    lab.bh("port", "del", "vm3")
    lab.port_add("vm3")
    assert vm1.ping(lab.guests["vm3"].ip4).lost == 0
    wait_until(lambda: lab.bh("status", json=True)["buffers_free"] >= free - 8, 5,
               what="the buffers are free again")
    assert not watch.seen()


def test_without_xdp_nothing_gets_out(lab):
    """While the far end of the conduit has no XDP program, what the guests send goes nowhere."""
    vm1, watch = lab.guests["vm1"], HostWatch(lab)
    flood = vm1.flood_start("ff:ff:ff:ff:ff:ff", "--rate", 2000, "--dst-ip", "10.77.255.255",
                            "--src-ip", vm1.ip4, seconds=4)
    for words in ("ip link set {c}x xdp off", "tc qdisc del dev {c}x clsact"):
        before = mended(lab)
        lab.host.run(["sh", "-c", words.format(c=conduit(lab))])
        wait_until(lambda: mended(lab) > before, NOTICED_SECONDS_MAX, what="the conduit is mended")
        assert not watch.seen()
    flood.communicate(timeout=10)


def test_again_and_again(lab):
    """Deleted ten times: as many buffers as before, no descriptor more."""
    pid = lab.daemon.pid

    def descriptors():
        return int(lab.host.run(["sh", "-c", f"ls /proc/{pid}/fd | wc -l"]).stdout)

    free, used = lab.bh("status", json=True)["buffers_free"], descriptors()
    for _ in range(10):
        before = mended(lab)
        lab.host.run(["ip", "link", "del", conduit(lab)])
        wait_until(lambda: mended(lab) > before, NOTICED_SECONDS_MAX, what="it is made anew")
    assert lab.guests["vm1"].ping(lab.guests["vm2"].ip4).lost == 0
    wait_until(lambda: lab.bh("status", json=True)["buffers_free"] >= free - 8, 5,
               what="the buffers are free again")
    assert descriptors() <= used + 2


def test_foreign_device_of_that_name():
    """A device that is merely called so is left alone, at a start and when a conduit is made anew;
    what a killed daemon left is not in the way."""
    with Lab() as lab:
        lab.veth("vm1")
        lab.veth("vm2")
        lab.host.ip("link add bhc0 type veth peer name other", "link add bhc2x type veth peer name other2")
        lab.start()
        first = conduit(lab)
        assert first == "bhc1"
        lab.kill()
        lab.start()
        assert conduit(lab) == first
        before = mended(lab)
        lab.host.ip(f"link del {first}", f"link add {first} mtu 3506 type veth peer name {first}x")
        wait_until(lambda: mended(lab) > before, NOTICED_SECONDS_MAX, what="it is made anew")
        assert conduit(lab) not in (first, "bhc0", "bhc2x")
        wait_until(lambda: lab.guests["vm1"].ping(lab.guests["vm2"].ip4, count=1).lost == 0, 3,
                   what="traffic is back")
        assert lab.stop() == 0
        left = lab.host.run(["ip", "-o", "link", "show"]).stdout
        assert "bhc0@" in left and "bhc2x" in left and f"{first}@" in left and "bhc3" not in left
