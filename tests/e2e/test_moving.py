"""docs/moving.md: a Linux bridge with guests, DHCP and the host's own address moves to bulkhead,
back, and over again, by the commands of the page as they stand there, while everybody pings.

    namespace vm1       eth0 ══ veth ══ vm1 ──┐
    namespace vm2       eth0 ─ tap_guest ─ vm2 ┤  "host"
    namespace router    eth0 ══ veth ══ eth1 ──┴ br0: 192.168.50.2, dnsmasq
"""

import re

import pytest

import recipe

pytestmark = pytest.mark.alone  # it measures
PAGE = "moving.md"
AWAY_SECONDS_MAX = 1.5  # of a guest that moves; a veth's guest asks for its neighbours anew
QUICK_SECONDS_MAX = 0.5  # of anybody, in any other step
GUESTS = {"vm1": ("52:54:00:9f:5d:c1", 13, "veth"), "vm2": ("52:54:00:9f:5d:c2", 14, "tap")}
STREAMS = {
    "vm1-router": ("vm1", "192.168.50.1"), "vm1-vm2": ("vm1", "192.168.50.14"),
    "vm2-host": ("vm2", "192.168.50.2"), "router-vm2": ("router", "2001:db8:50::14"),
    "router-host": ("router", "192.168.50.2"), "vm1-host6": ("vm1", "2001:db8:50::2"),
    "vm2-router": ("vm2", "192.168.50.1"),
}

# The host as it was before, and what the shell of the recipe has beyond a real one.
BEFORE = r"""
cat >/run/bin/systemctl <<'END'
#!/bin/sh
[ -e /run/dnsmasq.pid ] && kill "$(cat /run/dnsmasq.pid)" && sleep 0.2
dnsmasq --conf-file=/etc/dnsmasq.d/guests.conf
END
cat >/run/udhcpc <<'END'
#!/bin/sh
[ "$1" = bound ] && ip addr replace "$ip/24" dev eth0 && echo "lease $ip from $serverid"
exit 0
END
cat >/etc/dnsmasq.d/guests.conf <<END
port=0
interface=br0
bind-dynamic
user=root
no-ping
pid-file=/run/dnsmasq.pid
dhcp-range=192.168.50.100,192.168.50.110,1h
dhcp-host=52:54:00:9f:5d:c1,192.168.50.13
dhcp-host=52:54:00:9f:5d:c2,192.168.50.14
END
chmod +x /run/bin/systemctl /run/udhcpc
lease() { ip netns exec "$1" udhcpc -i eth0 -n -q -f -t 5 -T 1 -s /run/udhcpc 2>/dev/null; }
machine() { # NAME DEVICE MAC [tap]
  ip netns add "$1"
  ip netns exec "$1" sysctl -qw net.ipv6.conf.default.accept_dad=0
  if [ "$4" = tap ]; then
    tap_guest --host-netns /proc/self/ns/net --tap "$2" --guest-netns "/run/netns/$1" \
      --guest-dev eth0 --mtu 1500 </run/open >/dev/null &
    until ip -n "$1" link set eth0 address "$3" 2>/dev/null; do sleep 0.1; done
  else
    ip link add "$2" type veth peer name eth0 netns "$1" address "$3"
  fi
  ip link set "$2" master br0 up
  ip -n "$1" link set lo up
  ip -n "$1" link set eth0 up
}
mkfifo /run/open
exec 9<>/run/open
ip link add br0 type bridge
ip link set br0 up
ip addr add 192.168.50.2/24 dev br0
ip addr add 2001:db8:50::2/64 dev br0 nodad
machine router eth1 52:54:00:00:00:01
ip -n router addr add 192.168.50.1/24 dev eth0
ip -n router addr add 2001:db8:50::1/64 dev eth0 nodad
ip route add default via 192.168.50.1 dev br0
systemctl restart dnsmasq
"""


def before():
    script = BEFORE
    for name, (mac, number, kind) in GUESTS.items():
        script += (f"machine {name} {name} {mac} {kind}\nlease {name}\n"
                   f"ip -n {name} addr add 2001:db8:50::{number}/64 dev eth0 nodad\n")
    for name, (place, target) in STREAMS.items():
        script += f"ip netns exec {place} ping -n -D -i 0.01 {target} >/run/ping-{name} &\n"
    return script + "sleep 1\n"


def step(heading, number=None):
    """The commands of a section, or one block of it, and when they began and had settled."""
    found = recipe.blocks(PAGE, heading)
    commands = found[number] if number is not None else "".join(found)
    return (f'echo "began $(date +%s.%N)"\n{commands}\nsleep 2\n'
            'echo "settled $(date +%s.%N)"\n')


def away(answers, said):
    """{stream: the longest time without an answer} while that step ran, in seconds."""
    began, settled = (float(re.search(rf"{word} (\S+)", said)[1]) for word in ("began", "settled"))
    longest = {}
    for name in STREAMS:
        times = [float(time) for time in re.findall(r"^\[(\S+)\] .* ttl=", answers[name], re.M)]
        inside = [began] + [time for time in times if began <= time <= settled] + [settled]
        longest[name] = max(later - sooner for sooner, later in zip(inside, inside[1:]))
    return longest


FORTH = [("2 link", "2. bulkhead beside br0", None),
         ("3 guests", "3. The guests, one by one", None),
         ("4 port", "4. The host's own address", 0), ("4 host", "4. The host's own address", 1),
         ("5 uplink", "5. The uplink", None)]
BACK = ["back uplink", "back host", "back guests", "back link"]
THEFT = """ip -n vm1 addr add 192.168.50.99/24 dev eth0
ip netns exec vm1 ping -c 2 -W 1 -I 192.168.50.99 192.168.50.14 || true
bulkhead stats vm1
"""


def test_moving():
    """Each step is done, undone and done again; nobody is away for longer than the page says; DHCP
    goes on; at the end the bridge is gone and what is not bound is refused."""
    parts = [("before", before()), ("1 who", step("1. Who is who"))]
    parts += [(name, step(heading, number)) for name, heading, number in FORTH]
    parts += [("leases", "lease vm1\nlease vm2\n")]
    parts += [(name, step("Back again", number)) for number, name in enumerate(BACK)]
    parts += [("as before", "bulkhead port show\nbridge link\nlease vm1\n")]
    parts += [(f"{name} again", step(heading, number)) for name, heading, number in FORTH]
    parts += [("6 shadow", step("6. A week in shadow")), ("7 br0 goes", step("7. br0 goes")),
              ("leases again", "lease vm1\nlease vm2\n"), ("after", "bulkhead port show\n"),
              ("theft", THEFT)]
    parts += [(f"ping {name}", f"cat /run/ping-{name}\n") for name in STREAMS]
    said = recipe.run(parts, timeout=95)

    assert "vm1 52:54:00:9f:5d:c1 192.168.50.13" in said["1 who"], said["1 who"]
    answers = {name: said[f"ping {name}"] for name in STREAMS}
    measured = {name: away(answers, said[name]) for name, text in parts if "began $(date" in text}
    for name, longest in measured.items():
        print(f"{name:16}", *(f"{stream} {gap:.2f}" for stream, gap in longest.items()))
    for name, longest in measured.items():
        most = AWAY_SECONDS_MAX if "guests" in name else QUICK_SECONDS_MAX
        assert max(longest.values()) < most, (name, longest, said["log"])
    for name in ("leases", "as before", "leases again"):
        assert "lease 192.168.50.13 from 192.168.50.2" in said[name], (name, said[name])
    assert said["as before"].count("master br0") == 3, said["as before"]
    assert "is not bound" not in said["6 shadow"], said["6 shadow"]
    assert len(re.findall(r"^\w+ .* up ", said["after"], re.M)) == 4, said["after"]
    assert "0 received" in said["theft"] and "spoofed_ip=2" in said["theft"], said["theft"]
