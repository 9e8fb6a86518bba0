"""docs/recipes.md: the commands of the recipe that needs nothing but namespaces, as they stand
there, in mount, process and network namespaces of their own.
"""

import os
import re
import subprocess

from lab import BUILD, REPOSITORY

PRELUDE = """
set -e
mount -t tmpfs tmpfs /run
mount -t sysfs sysfs /sys
mount -t bpf bpf /sys/fs/bpf
mkdir /run/bulkhead
echo "[bulkhead]" >/run/bulkhead.toml
ip link set lo up
bulkheadd --config /run/bulkhead.toml 2>/run/log &
until bulkhead status 2>/dev/null; do sleep 0.05; done
"""


def commands(heading):
    """Of the ```sh blocks of a section."""
    text = (REPOSITORY / "docs/recipes.md").read_text()
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)[1]
    return re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S)


def test_plain_namespaces():
    """Guests reach each other, an address that is stolen is of no use, and a guest that is made
    anew is attached by itself."""
    blocks = commands("Plain network namespaces")
    marked = "".join(f"echo '#### {number}'\n{block}" for number, block in enumerate(blocks))
    result = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash"],
        input=PRELUDE + marked + "echo '#### end'\ncat /run/log\n", text=True, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"PATH": f"{BUILD}:{os.environ['PATH']}"})
    said = result.stdout
    assert result.returncode == 0, said
    made, reached, stolen, anew, log = said.split("#### ")[1:]
    assert "port web is down" in made, said
    assert len(re.findall(r"^(?:web|db) .* up ", reached, re.M)) == 2, reached
    assert reached.count("3 received") == 2, reached
    assert "0 received" in stolen and "dropped (spoofed_ip=2)" in stolen, stolen
    assert re.search(r"^db .* waiting ", anew, re.M) and "3 received" in anew, anew
    assert "exposed" not in log, log
