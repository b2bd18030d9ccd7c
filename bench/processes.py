"""Process trees: what they use, and their end.

CPU time is that of the tree alone, ended processes included, so that it does not depend on what
else the machine does. It is the control group's where we may make one. Otherwise it is read from
/proc, which counts ended processes as far as their parents have waited for them, and threads
that have ended in whole ticks only.
"""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

from bench.cgroups import Cgroup, find_place

TICKS = os.sysconf("SC_CLK_TCK")
END_SECONDS = 3
_PAUSE = 0.02
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


class Stat(NamedTuple):
    """What /proc/PID/stat says of a process; CPU time in ticks, and that of ended children."""

    pid: int
    parent: int
    session: int
    ticks: int
    ended_ticks: int
    is_zombie: bool = False


def parse_stat(text: str) -> Stat:
    """Read the contents of /proc/PID/stat. The name, in brackets, may contain anything."""
    before, _, after = text.rpartition(")")
    fields = after.split()
    pid, parent, session = int(before.split(" ", 1)[0]), int(fields[1]), int(fields[3])
    own, ended = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
    return Stat(pid, parent, session, own, ended, fields[0] == "Z")


def all_stats() -> list[Stat]:
    """All processes of the machine."""
    stats = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with contextlib.suppress(OSError):
                stats.append(parse_stat((directory / "stat").read_text(errors="replace")))
    return stats


def tree_of(root: int, stats: Iterable[Stat]) -> list[Stat]:
    """Those that come from root: its session's, and their descendants."""
    found = {stat.pid: stat for stat in stats if root in (stat.pid, stat.session)}
    children = list(stats)
    size = -1
    while size != len(found):
        size = len(found)
        found.update({stat.pid: stat for stat in children if stat.parent in found})
    return list(found.values())


def cpu_seconds(stat: Stat) -> float:
    """What a process and its ended children have used.

    Where many processes use little each, ticks of 10 ms are too coarse: the scheduler knows
    the nanoseconds of the threads that live.
    """
    precise = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{stat.pid}/task").iterdir():
            precise += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return max(precise / 1e9, stat.ticks / TICKS) + stat.ended_ticks / TICKS


def busy_seconds() -> float:
    """What everybody on this machine has used, in seconds of one CPU."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    user, nice, system, _idle, _wait, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / TICKS


class Accounting:
    """How CPU time is counted on this machine."""

    def __init__(self, *, may_use_cgroups: bool = True) -> None:
        self._place = find_place() if may_use_cgroups else None

    @property
    def name(self) -> str:
        return "/proc" if self._place is None else "control groups"

    def group(self) -> Cgroup | None:
        """A new control group, if that is how."""
        return None if self._place is None else Cgroup(self._place)


class Tree:
    """A process that we start, with all that come from it; used as a context, it is ended."""

    def __init__(self, command: list[str], accounting: Accounting, log: Path, cwd: Path) -> None:
        self._group = accounting.group()
        path = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
        if self._group is not None:
            command = self._group.start_command(command)
        try:
            with log.open("ab") as output:
                self._root = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env={**os.environ, "PATH": path},
                    start_new_session=True,
                )
        except OSError:
            self._remove_group()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._root.pid

    def has_ended(self) -> bool:
        return self._root.poll() is not None

    def pids(self) -> list[int]:
        """Its processes."""
        if self._group is not None:
            return self._group.pids()
        return [stat.pid for stat in tree_of(self.pid, all_stats()) if not stat.is_zombie]

    def cpu_seconds(self) -> float:
        """What it has used until now."""
        if self._group is not None:
            return self._group.cpu_seconds()
        return sum(map(cpu_seconds, tree_of(self.pid, all_stats())))

    def pss_kib(self) -> int:
        """Its memory; pages that several processes share are counted once."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"))
                total += int(found[1]) if found else 0
        return total

    def close(self) -> None:
        """End all its processes, and no others."""
        self._root.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._root.wait(END_SECONDS)
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._end_rest(number)
        if self._root.poll() is None:
            self._root.kill()
        self._root.wait()
        self._remove_group()

    def _remove_group(self) -> None:
        if self._group is not None:
            self._group.remove()

    def _end_rest(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with contextlib.suppress(OSError):
                os.kill(pid, number)
        deadline = time.monotonic() + END_SECONDS
        while self.pids() and time.monotonic() < deadline:
            self._root.poll()
            time.sleep(_PAUSE)
