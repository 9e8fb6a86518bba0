"""What commands changed, across restarts and reloads: the state file, and `save`.

    vm1, vm2 and uplink are the file's; late on veth and tapped on a tap are added by command
"""

import subprocess
import time

import pytest

from frames import new_mac
from lab import BUILD, DaemonFailed, HostWatch, Lab, Stream, wait_until

SETTINGS = ("name", "segment", "device", "trusted", "isolated", "transit", "unknown", "mac", "ip",
            "prefixes", "routes", "link_local", "shared", "allow", "limit", "enforce")


def settings(lab):
    """What is configured: of ports, bound and static addresses."""
    ports = [{key: port[key] for key in SETTINGS} for port in lab.bh("port", "show", json=True)]
    return ports, lab.fdb(kind="bound"), lab.fdb(kind="static")


@pytest.fixture
def lab():
    """Not started."""
    with Lab() as lab:
        lab.veth("vm1")
        lab.veth("vm2")
        lab.uplink()
        lab.veth("late")
        lab.tap("tapped")
        yield lab


def start_with_commands(lab):
    """late and tapped by command, with many options; a static address on the file's uplink."""
    late = {name: lab.config["port"].pop(name) for name in ("late", "tapped")}
    lab.start()
    lab.config["port"] |= late
    lab.by_command("late")
    lab.by_command("tapped")
    lab.bh("port", "set", "late", "--routes", "10.99.0.0/16", "--allow", "vrrp", "--limit",
           "broadcast=700", "--limit", "dhcp=none", "--shared", "00:00:5e:00:01:01",
           "--link-local", "any", "--unknown")
    lab.bh("fdb", "add", "52:54:00:99:00:01", "--port", "uplink")


def log_lines(lab, *words):
    return [line for line in lab.log().splitlines() if all(word in line for word in words)]


# --- restarts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_commands_survive_a_restart(lab, way):
    """Ports and static addresses of commands are there again, with all their options, after
    SIGTERM and after kill -9 right behind the answer."""
    start_with_commands(lab)
    before = settings(lab)
    assert {port["name"] for port in before[0]} == {"vm1", "vm2", "uplink", "late", "tapped"}
    for _ in range(3):
        getattr(lab, way)()
        lab.start()
        assert settings(lab) == before
    for turn in range(5):
        lab.bh("port", "set", "late", f"--isolated={'true' if turn % 2 else 'false'}")
        mac = new_mac()
        lab.bh("fdb", "add", mac, "--port", "uplink")
        getattr(lab, way)()
        lab.start()
        assert lab.port("late")["isolated"] == bool(turn % 2) and mac in lab.fdb(kind="static")
        lab.bh("fdb", "del", mac)
    lab.bh("port", "del", "late")
    lab.bh("fdb", "del", "52:54:00:99:00:01")
    getattr(lab, way)()
    lab.start()
    assert lab.port("late") is None and lab.port("tapped") and not lab.fdb(kind="static")
    assert oct(lab.state_path.stat().st_mode & 0o7777) == "0o640"


@pytest.mark.alone
@pytest.mark.parametrize("way", ["stop", "kill"])
def test_guests_do_not_notice(lab, way):
    """Two guests of commands talk through restarts: datagrams are lost only while no daemon runs,
    and it goes on at once, with permanent neighbour entries and so without any ARP."""
    start_with_commands(lab)
    late, tapped = lab.guests["late"], lab.guests["tapped"]
    for left, right in ((late, tapped), (tapped, late)):
        assert left.ping(right.ip4).lost == 0
        left.run(["ip", "neigh", "replace", right.ip4, "lladdr", right.mac, "dev", "eth0", "nud",
                  "permanent"])
    with late.wire() as wire:
        stream = Stream(late, tapped, interval=0.005)
        time.sleep(0.3)
        wire.drain()
        outages = []
        for _ in range(3):
            sent_before = stream.sent
            getattr(lab, way)()
            lab.start(wait_ports=False)
            for name in ("late", "tapped"):
                lab.wait_port(name, "up")
            outages.append((sent_before - 2, stream.sent + 2))
            time.sleep(0.3)
        arp = [seen for seen in wire.drain() if seen.data[12:14] == b"\x08\x06"]
    sent, lost = stream.stop()
    missing = set(range(sent)) - stream.received
    outside = [number for number in missing
               if not any(first <= number <= last for first, last in outages)]
    assert not outside, f"lost while a daemon ran: {outside}; outages: {outages}"
    assert lost < sent and not arp, arp


def test_learned_addresses_may_go(lab):
    """Talk between a bound guest and one behind the uplink goes on behind a restart: what the
    uplink had taught is learned anew or asked for."""
    start_with_commands(lab)
    late, uplink = lab.guests["late"], lab.guests["uplink"]
    with_uplink = Stream(late, uplink)
    for way in (lab.stop, lab.kill):
        way()
        lab.start()
        before = len(with_uplink.received)
        wait_until(lambda: len(with_uplink.received) > before + 20, what="it goes on")
    with_uplink.stop()


# --- what is the file's -----------------------------------------------------------------------


def test_the_files_ports_are_what_the_file_says(lab):
    """`port set`, `port del` and `fdb` on what the file names last until a reload or restart."""
    lab.config["fdb"] = [{"mac": "52:54:00:99:00:02", "port": "uplink"}]
    start_with_commands(lab)
    before = settings(lab)

    def meddle():
        lab.bh("port", "set", "vm1", "--isolated")
        lab.bh("port", "del", "vm2")
        lab.bh("fdb", "del", "52:54:00:99:00:02")
        assert lab.port("vm1")["isolated"] and lab.port("vm2") is None
        assert set(lab.fdb(kind="static")) == {"52:54:00:99:00:01"}

    meddle()
    lab.reload()
    assert settings(lab) == before
    meddle()
    lab.stop()
    lab.start()
    assert settings(lab) == before


def test_statics_in_a_reload(lab):
    """Static addresses of the file follow the file, those of commands stay; where both name an
    address, the file is right."""
    start_with_commands(lab)
    other = lab.uplink("other")
    lab.config["fdb"] = [{"mac": "52:54:00:99:00:02", "port": "uplink"}]
    lab.reload()
    lab.wait_port("other", "up")
    assert set(lab.fdb(kind="static")) == {"52:54:00:99:00:01", "52:54:00:99:00:02"}
    lab.bh("fdb", "add", "52:54:00:99:00:02", "--port", "other")  # moved by command
    assert lab.fdb()["52:54:00:99:00:02"]["port"] == "other"
    lab.reload()
    assert lab.fdb()["52:54:00:99:00:02"]["port"] == "uplink"
    assert log_lines(lab, "52:54:00:99:00:02", "static on port uplink")
    lab.config["fdb"] = []
    lab.reload()
    assert set(lab.fdb(kind="static")) == {"52:54:00:99:00:01"}
    lab.bh("port", "set", "vm2", "--mac", other.mac)  # nothing to do with them
    assert set(lab.fdb(kind="static")) == {"52:54:00:99:00:01"}
    lab.bh("port", "set", "vm2", "--mac", "52:54:00:99:00:01")  # bound now
    assert not lab.fdb(kind="static") and lab.fdb()["52:54:00:99:00:01"]["kind"] == "bound"
    assert "52:54:00:99:00:01" not in lab.state_path.read_text()


def test_file_and_command_disagree(lab):
    """At a start the file is right about ports, addresses and devices that it names now; the log
    names what is left out, the rest is taken in, and the old state is kept aside. The device of a
    port that was left out stays closed."""
    start_with_commands(lab)
    lab.host.ip("addr add 10.77.250.250/32 dev lo")
    lab.stop()
    lab.config["port"]["thief"] = {"device": "absent", "mac": [lab.guests["late"].mac],
                                   "ip": ["10.77.9.9/16"]}
    before = lab.state_path.read_text()
    watch = HostWatch(lab)
    lab.start(wait_ports=False)
    lab.wait_port("tapped", "up")
    assert lab.port("late") is None and lab.port("thief")["state"] == "waiting"
    assert set(lab.fdb(kind="static")) == {"52:54:00:99:00:01"}
    assert log_lines(lab, "warning", str(lab.state_path), "port late", "thief")
    aside = lab.directory / "state.bad"
    assert aside.read_text() == before and "[port.late]" not in lab.state_path.read_text()

    def reaches_the_host():
        lab.guests["late"].ping("10.77.250.250", count=1)
        return bool(watch.seen())

    assert not reaches_the_host()
    lab.stop()
    lab.start(wait_ports=False)
    assert not reaches_the_host() and log_lines(lab, "stays closed")
    lab.stop()
    aside.unlink()
    lab.start(wait_ports=False)
    wait_until(reaches_the_host, what="nobody has the device any more: it is the host's")


def test_the_same_in_file_and_state(lab):
    """A port that the file has come to name as it is is the file's from then on."""
    start_with_commands(lab)
    text = lab.bh("save")
    lab.stop()
    lab.start(text=text)
    assert not log_lines(lab, "left out") and not (lab.directory / "state.bad").exists()
    assert "[port" not in lab.state_path.read_text()
    lab.stop()
    lab.start()
    assert lab.port("late") is None


# --- states that are no good ------------------------------------------------------------------


@pytest.mark.parametrize("text", ["[port.late\n", '[port.late]\ncolour = "red"\n', "\0\xff",
                                  "[bulkhead]\nworkers = 1\n"])
def test_corrupt_state(lab, text):
    """A state that cannot be read is moved aside with a warning that says where it is wrong, and
    the daemon starts without; the devices that it named stay closed."""
    def pins():
        return {path.name for path in lab.pins()}

    start_with_commands(lab)
    wait_until(lambda: len(pins()) == 2 * len(lab.bh("port", "show", json=True)),
               what="all have their links")
    before = pins()
    lab.kill()
    lab.state_path.write_text(text)
    lab.start()
    assert lab.port("late") is None and lab.port("vm1")["state"] == "up"
    assert log_lines(lab, "warning", f"{lab.state_path}:")
    assert (lab.directory / "state.bad").read_text() == text
    assert pins() == before
    lab.config["port"]["late"] = {"device": "late", "mac": [lab.guests["late"].mac],
                                  "ip": [f"{lab.guests['late'].ip4}/16"]}
    lab.port_add("late")
    assert lab.guests["late"].ping(lab.guests["vm1"].ip4).lost == 0


def test_state_that_cannot_be_written(lab):
    """A command that cannot be kept fails with one line that names the file, and changes nothing;
    traffic goes on, and the next one works when it can be kept again."""
    directory = lab.directory / "of-state"
    directory.mkdir()
    state = directory / "state"
    lab.config["bulkhead"]["state"] = str(state)
    start_with_commands(lab)
    assert not lab.state_path.exists()
    before = settings(lab)
    directory.rename(lab.directory / "away")
    with Stream(lab.guests["vm1"], lab.guests["vm2"]):
        for words in (["port", "set", "late", "--isolated"], ["port", "del", "tapped"],
                      ["fdb", "add", new_mac(), "--port", "uplink"],
                      ["fdb", "del", "52:54:00:99:00:01"],
                      ["port", "add", "x", "--device", "x", "--trusted"]):
            result = lab.bh(*words, check=False)
            assert result.returncode == 1, result
            assert len(result.stderr.splitlines()) == 1 and f"state {state}: " in result.stderr
            assert "nothing has changed" in result.stderr
            assert settings(lab) == before
        lab.bh("fdb", "flush")  # nothing to keep
        (lab.directory / "away").rename(directory)
        lab.bh("port", "set", "late", "--isolated")
    lab.kill()
    lab.start()
    assert lab.port("late")["isolated"] is True


@pytest.mark.parametrize("place", ["none/state", ".", "/dev/null"])
def test_state_that_cannot_be(lab, place):
    """A state in no directory, or that is no file, is refused at the start."""
    state = lab.directory / place
    lab.config["bulkhead"]["state"] = str(state)
    with pytest.raises(DaemonFailed) as failure:
        lab.start()
    assert failure.value.returncode == 1 and f"state {state}: " in failure.value.log
    assert not lab.socket_path.exists()


def test_state_is_beside_the_socket(lab):
    """Also where --socket says another: two daemons do not share a state by accident."""
    other = lab.directory / "other"
    other.mkdir()
    lab.write_config()
    lab.spawn([BUILD / "bulkheadd", "--config", lab.config_path, "--socket", other / "x.sock"],
              lab.host.path, stderr=subprocess.DEVNULL)
    wait_until((other / "state").exists, what="the state is beside the socket")
    assert not lab.state_path.exists()


def test_state_does_not_change_while_it_runs(lab):
    """A reload that says another state file is refused."""
    lab.start()
    lab.config["bulkhead"]["state"] = str(lab.directory / "another")
    lab.write_config()
    result = lab.bh("reload", check=False)
    assert result.returncode == 2 and "state cannot change" in result.stderr


def test_device_that_cannot_be_had_any_more(lab):
    """A port of a command whose device somebody took in the meantime does not keep the daemon from
    starting: it waits, says why, and works when the device is free."""
    start_with_commands(lab)
    lab.stop()
    lab.host.ip("link add br9 type bridge", "link set late master br9")
    lab.start()
    late = lab.port("late")
    assert late["state"] == "waiting" and "bridge" in late["why"]
    assert lab.guests["vm1"].ping(lab.guests["tapped"].ip4).lost == 0
    lab.host.ip("link set late nomaster", "link del br9")
    lab.wait_port("late", "up")
    assert lab.guests["vm1"].ping(lab.guests["late"].ip4).lost == 0


# --- save -------------------------------------------------------------------------------------


def test_save(lab, tmp_path):
    """`save` prints or writes the running configuration; a daemon that starts with it, or reloads
    it, has the same, and everything is the file's then."""
    start_with_commands(lab)
    before = settings(lab)
    file = tmp_path / "saved.toml"
    assert lab.bh("save", file) == ""
    text = file.read_text()
    assert lab.bh("save") == text == lab.bh("save", "-") == lab.bh("save", json=True)
    assert lab.bh("save", file, json=True) == {}
    assert text == lab.bh("save", "/dev/stdout")
    assert lab.try_daemon("--config", file, "--check") == (0, "")
    assert lab.bh("check", file) == ""

    late = lab.guests["late"]
    with Stream(late, lab.guests["vm1"]):
        lab.bh("save", lab.config_path)
        lab.bh("reload")
        assert settings(lab) == before and "[port" not in lab.state_path.read_text()
    lab.stop()
    lab.start(text=text)
    assert settings(lab) == before
    assert late.ping(lab.guests["tapped"].ip4).lost == 0


def test_save_keeps_the_file(lab, tmp_path):
    """A file that is there keeps its mode, a link to it stays one; where nothing can be written
    nothing is left."""
    lab.start()
    file, link = tmp_path / "a.toml", tmp_path / "link.toml"
    file.write_text("old")
    file.chmod(0o600)
    link.symlink_to(file)
    lab.bh("save", link)
    assert link.is_symlink() and file.read_text() == lab.bh("save")
    assert oct(file.stat().st_mode & 0o7777) == "0o600"
    lab.bh("save", tmp_path / "new.toml")
    assert oct((tmp_path / "new.toml").stat().st_mode & 0o7777) == "0o644"
    result = lab.bh("save", tmp_path, check=False)
    assert result.returncode == 1 and str(tmp_path) in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"a.toml", "link.toml", "new.toml"}


def test_who_may_only_read_may_save(lab, tmp_path):
    """The text is no secret to those who may see the ports, and nothing is changed by it."""
    lab.start()
    lab.directory.chmod(0o755)
    lab.socket_path.chmod(0o666)
    copy = lab.directory / "client"
    copy.write_bytes((BUILD / "bulkhead").read_bytes())
    copy.chmod(0o755)
    result = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy,
                             "--socket", lab.socket_path, "save"], capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout == lab.bh("save"), result
