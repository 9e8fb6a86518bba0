"""docs/recipes.md: the commands of the recipes that need nothing but namespaces, as they stand
there (recipe.py says where they run).
"""

import re

import recipe

PAGE = "recipes.md"
PING = "ip netns exec {} ping -c 3 -i 0.1 -W 1 {} || true\n"


def blocks(heading):
    return recipe.blocks(PAGE, heading)


def has(said, count):
    return said.count(f"{count} received")


def test_plain_namespaces():
    """Guests reach each other, an address that is stolen is of no use, and a guest that is made
    anew is attached by itself."""
    names = ("made", "reached", "stolen", "anew")
    said = recipe.run(list(zip(names, blocks("Plain network namespaces"), strict=True)))
    assert "port web is down" in said["made"], said
    assert len(re.findall(r"^(?:web|db) .* up ", said["reached"], re.M)) == 2, said["reached"]
    assert has(said["reached"], 3) == 2, said["reached"]
    assert has(said["stolen"], 0) == 1 and "dropped (spoofed_ip=2)" in said["stolen"], said
    assert re.search(r"^db .* waiting ", said["anew"], re.M) and has(said["anew"], 3) == 1, said
    assert "exposed" not in said["log"], said["log"]


# A network behind `gw`, with somebody in it.
BEHIND = """
ip netns add far
ip link add wan netns gw type veth peer name eth0 netns far
ip -n gw addr add 203.0.113.1/24 dev wan
ip -n gw addr add 2001:db8:ff::1/64 dev wan nodad
ip -n gw link set wan up
ip -n far addr add 203.0.113.9/24 dev eth0
ip -n far addr add 2001:db8:ff::9/64 dev eth0 nodad
ip -n far link set eth0 up
ip -n far route add default via 203.0.113.1
ip -n far route add default via 2001:db8:ff::1
sleep 1
"""


def with_router():
    return [("guests", blocks("Plain network namespaces")[0]),
            ("router", blocks("A router guest")[0]), ("behind", BEHIND)]


def test_router_guest():
    """Its guests reach what is behind it. It cannot claim an address of its routes, nor send as
    a neighbour."""
    said = recipe.run(with_router() + [
        ("reached", PING.format("web", "203.0.113.9") + PING.format("web", "2001:db8:ff::9")),
        ("claimed", "ip -n gw addr add 203.0.113.77/32 dev eth0\n"
                    "ip netns exec gw arping -q -c 1 -A -I eth0 203.0.113.77 || true\n"
                    "bulkhead stats gw\n"),
        ("neighbour", "ip -n gw addr add 192.168.50.11/32 dev eth0\n"
                      + PING.format("gw", "-I 192.168.50.11 192.168.50.10")
                      + "bulkhead stats gw\n")])
    assert has(said["reached"], 3) == 2, said
    assert "spoofed_arp=1" in said["claimed"], said["claimed"]
    assert has(said["neighbour"], 0) == 1 and "spoofed_ip=" in said["neighbour"], said["neighbour"]


def test_slaac():
    """The guest makes two addresses of its prefix, one of them by chance, and reaches the router
    and what is behind it from both; an address beyond the prefix reaches nobody."""
    from_each = """
ip -n mail -6 addr show dev eth0 scope global | awk '$1 == "inet6" { print $2 }' >/run/addresses
for address in $(cat /run/addresses); do
  ip netns exec mail ping -c 3 -i 0.1 -W 1 -I ${address%/*} TARGET || true
done
"""
    said = recipe.run(with_router() + [
        ("slaac", blocks("SLAAC with privacy addresses")[0]),
        ("wait", "until [ $(ip -n mail -6 addr show dev eth0 scope global -tentative |"
                 " grep -c inet6) = 2 ]; do sleep 0.1; done\n"),
        ("addresses", "ip -n mail -6 addr show dev eth0 scope global\n"),
        ("router", from_each.replace("TARGET", "2001:db8:51::1")),
        ("far", from_each.replace("TARGET", "2001:db8:ff::9")),
        ("beyond", "ip -n mail addr add 2001:db8:52::5/64 dev eth0 nodad\n"
                   + PING.format("mail", "-I 2001:db8:52::5 2001:db8:51::1")
                   + "bulkhead stats mail\n")])
    assert said["addresses"].count("2001:db8:51:") == 2, said["addresses"]
    assert "temporary" in said["addresses"], said["addresses"]
    assert has(said["router"], 3) == 2 and has(said["far"], 3) == 2, said
    assert has(said["beyond"], 0) == 1 and "spoofed_ip=" in said["beyond"], said["beyond"]


def test_keepalived():
    """The address is where the master is, and moves when that one goes; nothing is dropped."""
    holder = ("until bulkhead fdb show | grep 00:00:5e:00:01:32 | grep -q {}; do sleep 0.2; done\n"
              + PING.format("web", "192.168.50.100"))
    said = recipe.run([
        ("guests", blocks("Plain network namespaces")[0]), ("vrrp", blocks("keepalived")[0]),
        ("first", holder.format("gw1")), ("stats", "bulkhead stats\n"),
        ("second", "ip -n gw1 link set eth0 down\n" + holder.format("gw2"))])
    assert has(said["first"], 3) == 1 and has(said["second"], 3) == 1, said
    assert "spoofed" not in said["stats"] and "rogue" not in said["stats"], said["stats"]
