"""A Redis of the test's own."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import redis

from support.processes import HOST, end, free_port, require, wait_until

START_SECONDS = 20
END_SECONDS = 10


class RedisServer:
    """A Redis with a database in memory, while used as a context.

    Attributes:
        port: where it listens.
        tls_port: where it listens with TLS; 0 for nowhere.
        path: its socket of the Unix domain.
        client: a client of the test's.
    """

    def __init__(self, *, password: str = "", pem: str = "", ca: str = "") -> None:
        """Prepare one.

        Args:
            password: that clients have to give.
            pem: a file with its certificate and key, for TLS.
            ca: a file with the authority.
        """
        self._password, self._pem, self._ca = password, pem, ca
        self._stack = contextlib.ExitStack()
        self.port = self.tls_port = 0
        self.path = ""

    def __enter__(self) -> Self:
        with self._stack:
            home = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="redis-"))
            self.path = f"{home}/socket"
            self.port = self._stack.enter_context(free_port())
            self._command = [
                *(require("redis-server"), "--port", str(self.port), "--bind", HOST),
                *("--unixsocket", self.path, "--dir", home, "--save", "", "--appendonly", "no"),
                *("--logfile", f"{home}/log", "--requirepass", self._password),
            ]
            if self._pem:
                self.tls_port = self._stack.enter_context(free_port())
                self._command += [
                    *("--tls-port", str(self.tls_port), "--tls-auth-clients", "no"),
                    *("--tls-cert-file", self._pem, "--tls-key-file", self._pem),
                    *("--tls-ca-cert-file", self._ca),
                ]
            self.client = redis.Redis(unix_socket_path=self.path, password=self._password or None)
            self._stack.callback(self.client.close)
            self.start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._stack.close()

    def start(self) -> None:
        """Start it, or start it again; there is nothing in it then."""
        log = Path(self.path).parent / "log"
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

        def answers() -> bool:
            assert self._process.poll() is None, log.read_text()
            try:
                return bool(self.client.ping())
            except redis.ConnectionError:
                return False

        wait_until(answers, START_SECONDS, "Redis answers")

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait(END_SECONDS)

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGCONT)
        end(self._process, signal.SIGTERM)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it do nothing meanwhile."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)
