"""The program in processes of its own, as an operator runs it.

Another one can be run in its place: PERDITION_PROGRAM=/usr/sbin/{name} is the original, for which
the options that it does not know are left out.
"""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Self

from support.dovecot import PASSWORD
from support.processes import (
    HOST,
    children,
    end,
    end_group,
    free_port,
    is_listening,
    is_running,
    wait_until,
)

ROOT = Path(__file__).resolve().parents[2]
ANOTHER = os.environ.get("PERDITION_PROGRAM")
START_SECONDS = 20
END_SECONDS = 5
LOG_SECONDS = 20
# A flag is there if it is True.
Options = Mapping[str, str | int | bool]
NONE: Options = MappingProxyType({})
NEW_OPTIONS = {
    *("connect_timeout", "drain_timeout", "failure_delay", "login_attempts", "login_threads"),
    *("login_timeout", "workers"),
}


def arguments(options: Options) -> list[str]:
    """A command line's options."""
    words = []
    for name, value in options.items():
        if value is not False and not (ANOTHER and name in NEW_OPTIONS):
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words


def command(directory: Path, name: str, options: Options) -> list[str]:
    """The command that runs the program under a name, which may choose the protocol."""
    if ANOTHER:
        return [*shlex.split(ANOTHER.format(name=name)), *arguments(options)]
    link = directory / name
    if not link.is_symlink():
        link.symlink_to(ROOT / "perdition.py")
    return [sys.executable, str(link), *arguments(options)]


def checked(directory: Path, options: Options) -> subprocess.CompletedProcess[str]:
    """The program, which looks at its configuration and ends."""
    base: Options = {
        **{"config_file": "", "map_library": "", "log_facility": str(directory / "log")},
        "check_config": True,
    }
    return subprocess.run(
        command(directory, "perdition.imap4", {**base, **options}),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


class Perdition:
    """The program while it serves, in the foreground or as a daemon.

    Attributes:
        port: where it listens.
        pid: the master's.
        group: the process group of master and workers.
    """

    def __init__(
        self,
        directory: Path,
        protocol: str = "IMAP4",
        options: Options = NONE,
        *,
        conf: str | None = None,
        name: str = "perdition",
        daemon: bool = False,
    ) -> None:
        """Prepare it.

        Args:
            directory: an empty one, for its files; it is started there.
            protocol: said on the command line unless the name is one that chooses it.
            options: more of them, or other ones; "{port}" in bind_address is the port.
            conf: the text of a configuration file.
            name: what it is called by.
            daemon: whether it is to detach.
        """
        self.directory = directory
        self.name = name
        self.daemon = daemon
        self.log_path = directory / "log"
        self.pid_path = directory / "run" / "pid"
        self.conf_path = directory / "conf"
        if conf is not None:
            self.conf_path.write_text(conf)
        base: dict[str, str | int | bool] = {
            "config_file": "" if conf is None else str(self.conf_path),
            "pid_file": str(self.pid_path),
            "failure_delay": 0,
        }
        if name == "perdition":
            base |= {"protocol": protocol}
        if daemon or conf is None:
            base |= {"log_facility": str(self.log_path) if daemon else "-"}
        if conf is None:
            base |= {"map_library": ""}
        self.options: Options = {**base, "no_daemon": not daemon, **options}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            self.port = self._stack.enter_context(free_port())
            bind = str(self.options.get("bind_address", f"{HOST}:{{port}}"))
            self.command = command(
                self.directory,
                self.name,
                {**self.options, "bind_address": bind.format(port=self.port)},
            )
            self._start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.stop()
        if kind is None:
            assert not re.search("Bug:|Traceback", self.log()), self.log()
            assert PASSWORD not in self.log()

    def _start(self) -> None:
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
            )
        self._stack.callback(end, process, signal.SIGINT)
        self._process = process
        if self.daemon:
            assert process.wait(START_SECONDS) == 0, self.log()
            self.pid = wait_until(self._pid_in_file, START_SECONDS, "a pid file")
            self.group = os.getpgid(self.pid)
            self._stack.callback(end_group, self.group)
        else:
            self.pid = self.group = process.pid
        wait_until(self._listens, START_SECONDS, "the program listens")

    def _pid_in_file(self) -> int:
        """The daemon's; 0 as long as the file has none, or that of the process that started it."""
        text = self.pid_path.read_text() if self.pid_path.exists() else ""
        return int(text) if text and is_running(int(text)) else 0

    def _listens(self) -> bool:
        assert self.daemon or self._process.poll() is None, f"it has ended: {self.log()}"
        return is_listening(self.port)

    def workers(self) -> list[int]:
        """The processes that the master has."""
        return children(self.pid)

    def log(self) -> str:
        """What it has logged, and said otherwise."""
        return self.log_path.read_text()

    def wait_log(self, pattern: str) -> re.Match[str]:
        """Wait for a line in the log."""
        return wait_until(
            lambda: re.search(pattern, self.log(), re.MULTILINE),
            LOG_SECONDS,
            f"{pattern} is logged",
        )

    def worker_of(self, sock: socket.socket) -> int:
        """The process that serves somebody's connection, found in the log."""
        client = ":".join(map(str, sock.getsockname()))
        found = self.wait_log(rf"\[(\d+)\]: Connect:  {re.escape(client)}->")
        return int(found[1])

    def kill(self, number: int) -> None:
        """Send the master a signal."""
        os.kill(self.pid, number)

    def wait_end(self, seconds: float) -> int | None:
        """Wait until the master has ended.

        Returns:
            Its status; None for a daemon, whose parent we are not.
        """
        if self.daemon:
            wait_until(lambda: not is_running(self.pid), seconds, "the master has ended")
            return None
        return self._process.wait(seconds)

    def connect(self) -> socket.socket:
        """A new connection."""
        sock = socket.create_connection((HOST, self.port), START_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def stop(self) -> None:
        """End master and workers at once."""
        if self.daemon:
            with contextlib.suppress(ProcessLookupError):
                self.kill(signal.SIGINT)
            with contextlib.suppress(AssertionError):
                self.wait_end(END_SECONDS)
        self._stack.close()


class Start(Protocol):
    """Starts the program; it ends with the test."""

    def __call__(
        self,
        protocol: str = "IMAP4",
        options: Options = NONE,
        *,
        conf: str | None = None,
        name: str = "perdition",
        daemon: bool = False,
    ) -> Perdition: ...
