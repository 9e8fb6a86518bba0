#!/usr/bin/env python3
"""Holds the includes of every source file against the floors of docs/ARCHITECTURE.md.

dataplane includes nothing of ours; backends and config include dataplane at most; control includes
all. The rooms of a floor know the headers that lie on the floor itself, and those of the rooms that
ROOMS names. Also: the dataplane calls no system, logs nothing, throws nothing and takes no lock.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAY_INCLUDE = {
    "dataplane": {"dataplane"},
    "config": {"config", "dataplane"},
    "backends": {"backends", "dataplane"},
    "control": {"control", "config", "backends", "dataplane"},
}
# What a room may include of the other rooms on its floor.
ROOMS = {
    "backends": {
        "device": {"shortcut"},  # whose part of the ports' programs is in the guard's
        "shortcut": set(),
        "conduit": {"device"},
        "nic": {"device"},
        "memory": set(),
    },
    "control": {
        "bridge": set(),
        "observe": {"bridge"},
        "rpc": {"bridge", "observe"},
        "client": {"observe"},
    },
}
NOT_IN_DATAPLANE = re.compile(
    r"#include <(sys/|linux/|unistd|spdlog|fmt|mutex|condition_variable|thread|iostream|stdexcept)"
    r"|\bthrow\b|\btry\s*{"
)
INCLUDE = re.compile(r'^\s*#include "(\w+)/(?:(\w+)/)?', re.MULTILINE)


def room_faults(floor, path, text):
    """What a file in a room includes of rooms that its own does not know."""
    name = path.relative_to(ROOT)
    if len(name.parts) < 3:
        return  # on the floor itself
    room = name.parts[1]
    if room not in ROOMS.get(floor, {}):
        yield f"{name}: {room} is no room of {floor}; name it in ROOMS"
        return
    for other_floor, other in INCLUDE.findall(text):
        if other_floor == floor and other not in {"", room} | ROOMS[floor][room]:
            yield f"{name}: {floor}/{room} may not include {floor}/{other}"


def faults():
    for floor, allowed in MAY_INCLUDE.items():
        for path in sorted((ROOT / floor).rglob("*")):
            if path.suffix not in (".cpp", ".hpp", ".h", ".c", ".def"):
                continue
            text = path.read_text()
            name = path.relative_to(ROOT)
            for other, _ in INCLUDE.findall(text):
                if other not in allowed:
                    yield f"{name}: {floor} may not include {other}"
            yield from room_faults(floor, path, text)
            if floor == "dataplane":
                code = re.sub(r"//.*", "", text)
                for found in NOT_IN_DATAPLANE.finditer(code):
                    yield f"{name}: the dataplane may not use `{found.group(0).strip()}`"


if __name__ == "__main__":
    found = list(faults())
    print("\n".join(found) or "layering: no fault")
    sys.exit(1 if found else 0)
