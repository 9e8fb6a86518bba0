#!/usr/bin/python3
"""Fails when a frame costs more than 5 % more instructions than tests/instructions.json says.

Instructions do not depend on what else the machine does: frame_cost (bench/) under callgrind, less
what its start costs. They do depend on the compiler, Debian 12's. Run by `./dev instructions`;
--record writes the file anew, for a change that is worth what it costs.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "build-bench" / "frame_cost"
RECORD = ROOT / "tests" / "instructions.json"
CASES = {"2 ports, 1 address": (2, 1), "1024 ports, 65536 addresses": (1024, 65536)}
FRAMES_A_ROUND = 64
ROUNDS = 200
GROWTH_MAX = 1.05


def instructions(*arguments):
    words = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", PROGRAM, *arguments]
    process = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                             check=True)
    return int(re.search(r"Collected : (\d+)", process.stderr)[1])


def a_frame(ports, addresses):
    """In the middle of `ROUNDS` rounds, when everything has been touched."""
    start = instructions(ports, addresses, ROUNDS)
    return (instructions(ports, addresses, 2 * ROUNDS) - start) / (ROUNDS * FRAMES_A_ROUND)


def main():
    measured = {name: round(a_frame(*case), 1) for name, case in CASES.items()}
    if sys.argv[1:] == ["--record"]:
        RECORD.write_text(json.dumps(measured, indent=1) + "\n")
    recorded = json.loads(RECORD.read_text())
    for name, count in measured.items():
        print(f"{name}: {count} instructions a frame, recorded {recorded[name]}")
    worse = [name for name in measured if measured[name] > GROWTH_MAX * recorded[name]]
    if worse:
        print(f"instructions: {', '.join(worse)}: more than 5 % over {RECORD.name}; "
              "mend it, or record it with --record and say why", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
