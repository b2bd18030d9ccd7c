"""Which process has how many of a port's connections."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

_ESTABLISHED = "01"


def parse_inodes(table: str, port: int) -> set[str]:
    """The sockets of established connections to a port, from the text of /proc/net/tcp."""
    inodes = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        local, state, inode = fields[1], fields[3], fields[9]
        if state == _ESTABLISHED and int(local.partition(":")[2], 16) == port:
            inodes.add(inode)
    return inodes


def connections_by_process(pids: Iterable[int], port: int) -> dict[int, int]:
    """How many connections that came in at a port each process has open."""
    inodes = parse_inodes(Path("/proc/net/tcp").read_text(encoding="ascii"), port)
    names = {f"socket:[{inode}]" for inode in inodes}
    counts = {}
    for pid in pids:
        counts[pid] = 0
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                counts[pid] += str(descriptor.readlink()) in names
    return counts
