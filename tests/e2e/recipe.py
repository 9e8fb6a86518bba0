"""Runs recipes: the ```sh blocks of a page in docs/, as they stand there, in one shell, in mount,
process and network namespaces of their own with a daemon that has no ports.

/etc is a copy and /run and /var/lib/misc are empty, so that a recipe may write there. `systemctl`
is a stand-in that starts what a recipe restarts.
"""

import os
import re
import subprocess

from lab import BUILD, REPOSITORY, TOOLS

PRELUDE = """
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib/misc
cp -a /etc /run/etc
mount --bind /run/etc /etc
mount -t sysfs sysfs /sys
mount -t bpf bpf /sys/fs/bpf
mkdir -p /run/bulkhead /run/bin /etc/bulkhead /etc/dnsmasq.d
PATH=/run/bin:$PATH
echo "[bulkhead]" >/etc/bulkhead/bulkhead.toml
ip link set lo up
bulkheadd --config /etc/bulkhead/bulkhead.toml 2>/run/log &
until bulkhead status >/dev/null 2>&1; do sleep 0.05; done
"""


def blocks(page, heading):
    """The ```sh blocks of a section of docs/PAGE."""
    text = (REPOSITORY / "docs" / page).read_text()
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)[1]
    found = re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S)
    assert found, f"{page}, {heading}: no commands"
    return found


def run(parts, timeout=60):
    """Runs [(name, commands)] in their order. Returns {name: what was said}, and the daemon's log
    as "log"; fails if a command does."""
    script = PRELUDE + "".join(f"echo '#### {name}'\n{commands}\n" for name, commands in parts)
    result = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash"],
        input=script + "echo '#### log'\ncat /run/log\necho '#### end'\n", text=True,
        timeout=timeout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"PATH": f"{BUILD}:{TOOLS}:{os.environ['PATH']}"})
    said = dict(part.split("\n", 1) for part in result.stdout.split("#### ")[1:])
    assert result.returncode == 0 and "end" in said, result.stdout
    return said
