"""Control groups: the kernel's own account of what a process tree has used.

Only the unified hierarchy (v2) is used, and only its cpu.stat, which needs no controller.
"""

import contextlib
import os
import subprocess
import time
from itertools import count
from pathlib import Path

_serial = count(1)
_TRIES = 100
_PAUSE = 0.02


class Cgroup:
    """A control group, for the processes that start_command() starts."""

    def __init__(self, parent: Path) -> None:
        self._path = parent / f"mail-bench-{os.getpid()}-{next(_serial)}"
        self._path.mkdir()

    def start_command(self, command: list[str]) -> list[str]:
        """The command that starts another one in the group."""
        enter = 'echo 0 >"$0" && exec "$@"'
        return ["/bin/sh", "-c", enter, str(self._path / "cgroup.procs"), *command]

    def pids(self) -> list[int]:
        """Its processes."""
        return [int(pid) for pid in (self._path / "cgroup.procs").read_text().split()]

    def cpu_seconds(self) -> float:
        """What its processes have used, ended ones included."""
        for line in (self._path / "cpu.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "usage_usec":
                return int(value) / 1e6
        raise OSError(f"{self._path}/cpu.stat has no usage_usec")

    def remove(self) -> None:
        """Remove it; its processes have to have ended, which may take the kernel a moment."""
        for _ in range(_TRIES):
            with contextlib.suppress(OSError):
                self._path.rmdir()
                return
            time.sleep(_PAUSE)


def _own_place() -> Path | None:
    """The directory of the group that we are in."""
    own = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    names = [line[3:] for line in own if line.startswith("0::")]
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        if names and right.startswith("cgroup2 "):
            return Path(left.split()[4]) / names[0].lstrip("/")
    return None


def find_place() -> Path | None:
    """Where we may make groups and use them; None where that is not possible."""
    try:
        place = _own_place()
        if place is None:
            return None
        group = Cgroup(place)
    except OSError:
        return None
    try:
        started = subprocess.run(group.start_command(["true"]), stderr=subprocess.DEVNULL)
        group.cpu_seconds()
    except OSError:
        return None
    finally:
        group.remove()
    return place if started.returncode == 0 else None
