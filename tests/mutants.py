#!/usr/bin/env python3
"""Shows that every check is tested: with any one of dataplane/checks.def taken out, a test fails.

Builds the unit tests once with BULKHEAD_MUTANTS, where BULKHEAD_REMOVED_CHECK names a check that
passes whatever it finds, and runs them for each. Usage: tests/mutants.py [CHECK...]
"""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-mutants"
# Not about what may pass: without them the code behind would read what is not there.
NOT_REMOVED = {"whole_header"}


def build():
    subprocess.run(["cmake", "-S", ROOT, "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
                    "-DBULKHEAD_MUTANTS=ON"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", BUILD, "--target", "unit_tests"], check=True,
                   stdout=subprocess.DEVNULL)


def survives(check):
    environment = os.environ | {"BULKHEAD_REMOVED_CHECK": check}
    return subprocess.run([BUILD / "unit_tests", "--gtest_brief=1"], env=environment,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def main():
    text = (ROOT / "dataplane" / "checks.def").read_text()
    checks = sys.argv[1:] or re.findall(r"^CHECK\((\w+),", text, re.MULTILINE)
    build()
    if not survives(""):
        print("the tests fail with all checks in place")
        return 1
    survivors = []
    for check in checks:
        if check in NOT_REMOVED:
            print(f"{check}: not removed")
        elif survives(check):
            survivors.append(check)
            print(f"{check}: SURVIVES, no test fails without it")
        else:
            print(f"{check}: caught")
    print(f"{len(checks)} checks, {len(survivors)} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
