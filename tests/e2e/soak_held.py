"""What a daemon holds, and what bulkhead has made around it: test_soak.py compares both at rest."""

import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

from lab import NETNS_ROOT, PIN_ROOT


def kernel_ids(kind):
    """Of all programs, maps or links that there are on this machine, whosever they are."""
    said = subprocess.run(["bpftool", "-j", kind, "list"], capture_output=True, text=True,
                          timeout=20).stdout
    return {(kind, entry["id"]) for entry in json.loads(said) if "id" in entry}


class Daemon:
    """What a running daemon holds."""

    def __init__(self, pid):
        self.proc = Path(f"/proc/{pid}")

    def descriptors(self):
        """{what: how many}; sockets and eventfds without their numbers."""
        kinds = Counter()
        for fd in os.listdir(self.proc / "fd"):
            try:
                kinds[re.sub(r"\d+", "", os.readlink(self.proc / "fd" / fd))] += 1
            except FileNotFoundError:
                pass
        return kinds

    def threads(self):
        return len(os.listdir(self.proc / "task"))

    def memory_kbytes(self):
        """Without what is shared with files: the heap, the stacks, the frames."""
        return int(re.search(r"RssAnon:\s+(\d+)", (self.proc / "status").read_text())[1])

    def kernel_objects(self):
        """BPF programs, maps and links that it has open."""
        found = set()
        for fd in os.listdir(self.proc / "fdinfo"):
            try:
                info = (self.proc / "fdinfo" / fd).read_text()
            except FileNotFoundError:
                continue
            for kind in ("prog", "map", "link"):
                if match := re.search(rf"^{kind}_id:\s+(\d+)", info, re.M):
                    found.add((kind, int(match[1])))
        return found


class Around:
    """What bulkhead has made in the host's namespace."""

    def __init__(self, lab):
        self.lab = lab

    def look(self):
        host = self.lab.host
        pins = PIN_ROOT / str(host.inode)
        names = {str(link["ifindex"]): link["ifname"]
                 for link in json.loads(host.run(["ip", "-json", "link"]).stdout)}
        devices = sorted(names.values())
        return {
            "devices": devices,
            "pins": sorted(re.sub(r"^\d+(?=_)", lambda match: names.get(match[0], match[0]), path.name)
                           for path in pins.rglob("*")),  # of ports without a device by number
            "qdiscs": sorted(re.sub(r" refcnt \d+", "", line)
                             for line in host.run(["tc", "qdisc"]).stdout.splitlines()),
            "filters": sum(host.run(["tc", "filter", "show", "dev", device, side]).stdout.count(
                "direct-action") for device in devices for side in ("ingress", "egress")),
            "namespaces": sorted(name for name in os.listdir(NETNS_ROOT)
                                 if name.startswith(self.lab.name + "-")),
            "files": sorted(path.name for path in self.lab.directory.iterdir()
                            if path.suffix not in (".pcapng", ".o")),
        }
