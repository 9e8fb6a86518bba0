#!/usr/bin/env python3
"""Holds the includes of every source file against the floors of docs/ARCHITECTURE.md.

dataplane includes nothing of ours; backends and config include dataplane at most; control includes
all. Also: the dataplane calls no system, logs nothing, throws nothing and takes no lock.
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
NOT_IN_DATAPLANE = re.compile(
    r"#include <(sys/|linux/|unistd|spdlog|fmt|mutex|condition_variable|thread|iostream|stdexcept)"
    r"|\bthrow\b|\btry\s*{"
)
INCLUDE = re.compile(r'^\s*#include "(\w+)/', re.MULTILINE)


def faults():
    for room, allowed in MAY_INCLUDE.items():
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix not in (".cpp", ".hpp", ".h", ".c", ".def"):
                continue
            text = path.read_text()
            name = path.relative_to(ROOT)
            for other in INCLUDE.findall(text):
                if other not in allowed:
                    yield f"{name}: {room} may not include {other}"
            if room == "dataplane":
                code = re.sub(r"//.*", "", text)
                for found in NOT_IN_DATAPLANE.finditer(code):
                    yield f"{name}: the dataplane may not use `{found.group(0).strip()}`"


if __name__ == "__main__":
    found = list(faults())
    print("\n".join(found) or "layering: no fault")
    sys.exit(1 if found else 0)
