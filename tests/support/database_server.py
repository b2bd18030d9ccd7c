"""What servers of databases have in common: a directory, a port, and that tests kill them."""

import abc
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.dovecot import ordinary_account
from support.processes import children, end, free_port, is_running, wait_until
from support.running import Running

START_SECONDS = 30
END_SECONDS = 10
# Of the account that looks up; no message may have it in it.
PASSWORD = "sesame-7Rk1"
# Of the account that may do all.
ADMIN_PASSWORD = "sesame-9Tw4"


class DatabaseServer(Running):
    """A server, while used as a context; started by an ordinary user, for it refuses root.

    Attributes:
        home: its directory.
        port: where it listens, on 127.0.0.1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.home = Path()
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def _start(self) -> None:
        # Not pytest's directory: others may not enter that, and names of sockets are short.
        self.home = Path(tempfile.mkdtemp(prefix="database-"))
        self._stack.callback(shutil.rmtree, self.home, ignore_errors=True)
        self.account = ordinary_account()
        os.chown(self.home, self.account.uid, self.account.gid)
        self.port = self._stack.enter_context(free_port())
        self.prepare()
        self._stack.callback(self.stop)
        self.start()

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make what is to be served."""

    @abc.abstractmethod
    def command(self) -> Sequence[str]:
        """What starts the server in the foreground."""

    @abc.abstractmethod
    def connect(self, database: str = "", user: str = "", password: str = ADMIN_PASSWORD) -> Any:
        """A connection of the driver; that of an administrator, unless another user is named."""

    def run(self, *command: str, text: str = "") -> None:
        """Run a program as the server's user.

        Raises:
            AssertionError: it has failed.
        """
        done = subprocess.run(
            command,
            check=False,
            input=text,
            capture_output=True,
            text=True,
            cwd=self.home,
            **self.identity(),
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def identity(self) -> dict[str, Any]:
        """Arguments for subprocess."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                start_new_session=True,
                **self.identity(),
            )
        wait_until(self._answers, START_SECONDS, "the server answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "log").read_text()
        try:
            self.connect().close()
        except Exception:  # noqa: BLE001 - whatever the driver has for it
            return False
        return True

    def kill(self) -> None:
        """End it without any leave-taking."""
        if self.process is not None:
            helpers = children(self.process.pid)
            end(self.process, signal.SIGKILL)
            wait_until(lambda: not any(map(is_running, helpers)), END_SECONDS, "its helpers end")
            self.process = None

    def stop(self) -> None:
        """End it."""
        self.signal(signal.SIGCONT)
        self.kill()

    def signal(self, number: int) -> None:
        """Send a signal to all its processes."""
        if self.process is not None:
            for pid in (self.process.pid, *children(self.process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    @contextlib.contextmanager
    def frozen(self) -> Any:
        """It accepts connections, for the kernel does that, but says nothing."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as an administrator; returns what the last one gives."""
        rows: list[tuple[Any, ...]] = []
        with contextlib.closing(self.connect()) as connection:
            for statement in statements:
                with contextlib.closing(connection.cursor()) as cursor:
                    cursor.execute(statement)
                    rows = list(cursor.fetchall()) if cursor.description else []
        return rows
