"""Processes that tests start: what they need, what they are doing, and that they end."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

import pytest

T = TypeVar("T")
HOST = "127.0.0.1"
# Where servers are, on systems whose ordinary users do not look there.
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
LISTENING = "0A"
END_SECONDS = 5
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


def require(program: str) -> str:
    """The path of a program; without it the test is skipped, or fails in CI.

    It is not the one of that name which this project has installed.
    """
    ours = Path(sys.executable).parent.resolve()
    places = f"{os.environ.get('PATH', '')}:{SBIN}".split(":")
    path = shutil.which(
        program, path=":".join(each for each in places if Path(each).resolve() != ours)
    )
    return path or lacking(f"{program} is not installed")


def lacking(what: str) -> NoReturn:
    """Skip the test for want of something; in CI, where nothing may be wanting, it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def wait_until(condition: Callable[[], T | None], seconds: float, what: str) -> T:
    """Wait for a condition, and return what it gave.

    Raises:
        AssertionError: it did not come true in time.
    """
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return value


def have_no_threads() -> None:
    """Let a process, which becomes somebody else than root, have no thread but its first one."""
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))


def open_to_all(folder: Path) -> None:
    """Let other users into a folder below that for temporary files."""
    top = Path(tempfile.gettempdir())
    for each in (folder, *folder.parents):
        if each != top and each.is_relative_to(top):
            each.chmod(0o755)


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port of 127.0.0.1 that the kernel gives to nobody else meanwhile.

    That is so while a socket is bound to it that does not listen. Servers, which set
    SO_REUSEADDR as well, can listen beside it.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, 0))
        yield holder.getsockname()[1]


def is_listening(port: int) -> bool:
    """Whether somebody listens on a port of 127.0.0.1, found out without a connection."""
    with Path("/proc/net/tcp").open(encoding="ascii") as table:
        next(table)
        fields = (line.split() for line in table)
        return any(each[1][-4:] == f"{port:04X}" and each[3] == LISTENING for each in fields)


class Process(NamedTuple):
    """A line of /proc, zombies left out."""

    pid: int
    parent: int
    group: int


def processes() -> Iterator[Process]:
    """All processes there are."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent, group = path.read_text().rpartition(")")[2].split()[:3]
            if state != "Z":
                yield Process(int(path.parent.name), int(parent), int(group))


def children(pid: int) -> list[int]:
    """The processes that one has started."""
    return sorted(each.pid for each in processes() if each.parent == pid)


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not just its exit status."""
    return any(each.pid == pid for each in processes())


def has_stopped(pid: int) -> bool:
    """Whether every thread of a process has taken a SIGSTOP."""
    states = [
        path.read_text().rpartition(")")[2].split()[0]
        for path in Path(f"/proc/{pid}/task").glob("*/stat")
    ]
    return set(states) == {"T"}


def most_memory(pid: int) -> int:
    """The most octets that a process has had in memory so far."""
    return _memory(pid, "VmHWM")


def memory(pid: int) -> int:
    """The octets that a process has in memory."""
    return _memory(pid, "VmRSS")


def _memory(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (kibibytes,) = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(kibibytes) * 1024


def end_group(group: int) -> None:
    """Kill what is left of a process group, and wait until nothing is."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    wait_until(
        lambda: not any(each.group == group for each in processes()),
        END_SECONDS,
        f"process group {group} has ended",
    )


def end(process: subprocess.Popen[bytes], number: int) -> None:
    """Ask a process that leads a group to end, and end what does not."""
    process.send_signal(number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    end_group(process.pid)
    process.wait()
