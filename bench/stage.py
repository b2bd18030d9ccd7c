"""The stage of a measurement: stub server, proxy and load generator, on 127.0.0.1."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from bench import HOST, BenchError
from bench.loads import BUILD, Load
from bench.peers import Peer, words
from bench.processes import Accounting, Tree
from bench.scenarios import Protocol, Tls

# Below the ports that the system gives to clients.
PORTS = range(20000, 30000)
START_SECONDS = 15
_PAUSE = 0.005
_LOG_TAIL = 300
WARM_UP_TRIES = 10
_WARM_UP = ("--clients", "4", "--count", "64", "--seconds", "3", "--deadline", "30")


def free_ports() -> Iterator[int]:
    """Ports that nobody uses, each once until all have had their turn."""
    while True:
        for port in PORTS:
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind((HOST, port))
                probe.close()
                yield port


def make_certificates(directory: Path) -> None:
    """Make a certificate, ECDSA P-256, that everybody may read."""
    key, certificate = directory / "key.pem", directory / "cert.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    names = ["-subj", "/CN=localhost", "-addext", f"subjectAltName=DNS:localhost,IP:{HOST}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    try:
        command = ["openssl", "req", "-x509", *kind, *names, *files]
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError(f"cannot make a certificate: {error}") from error
    (directory / "both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
    for file in directory.iterdir():
        file.chmod(0o644)


class Theatre:
    """What all stages share: how CPU time is counted, certificates, ports; used as a context."""

    def __init__(self, accounting: Accounting) -> None:
        self.accounting = accounting
        self.ports = free_ports()
        # Names of sockets are short, and other users have to get in.
        self.directory = Path(tempfile.mkdtemp(prefix="bench-"))
        self.directory.chmod(0o755)
        self.certificates = self.directory / "certificates"
        self.certificates.mkdir()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self.__exit__)
            make_certificates(self.certificates)
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


class Stage:
    """A stub server and a proxy before it; used as a context, both are ended.

    Attributes:
        port: where the proxy listens.
        proxy: its processes.
        stub: those of the stub server.
        seconds_to_greeting: from the start of the proxy.
    """

    def __init__(self, theatre: Theatre, peer: Peer, protocol: Protocol, tls: Tls) -> None:
        self._theatre = theatre
        self._peer = peer
        self._protocol: Protocol = protocol
        self._tls: Tls = tls
        self._stack = contextlib.ExitStack()
        self.port = next(theatre.ports)

    def __enter__(self) -> Self:
        with self._stack:
            self._start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="p", dir=self._theatre.directory))
        self._stack.callback(shutil.rmtree, self._directory, ignore_errors=True)
        self._directory.chmod(0o755)
        logs = self._directory / "log"
        logs.mkdir()
        logs.chmod(0o777)
        # For a proxy that opens its log again as another user.
        (logs / "proxy.log").touch()
        (logs / "proxy.log").chmod(0o666)
        stub_ports = {"imap": next(self._theatre.ports), "pop3": next(self._theatre.ports)}
        self.stub = self._tree([str(BUILD / "stub"), *map(str, stub_ports.values())])
        self._wait_for("the stub", stub_ports[self._protocol], self.stub, reads=True)
        ports = self.port, stub_ports[self._protocol], next(self._theatre.ports)
        filled = words(
            self._protocol, self._tls, ports, self._directory, self._theatre.certificates
        )
        started = time.monotonic()
        self.proxy = self._tree(self._peer.start_command(filled))
        self._wait_for(self._peer.name, self.port, self.proxy, reads=self._tls != "tls")
        self.seconds_to_greeting = time.monotonic() - started

    def _tree(self, command: list[str]) -> Tree:
        log = self._directory / "log" / "output"
        return self._stack.enter_context(
            Tree(command, self._theatre.accounting, log, self._directory)
        )

    def _wait_for(self, name: str, port: int, tree: Tree, *, reads: bool) -> None:
        """Wait until somebody accepts, and greets if he speaks first."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if tree.has_ended():
                break
            with (
                contextlib.suppress(OSError),
                socket.create_connection((HOST, port), START_SECONDS) as sock,
            ):
                if not reads or sock.recv(1):
                    return
            time.sleep(_PAUSE)
        raise BenchError(f"{name} does not start: {self.last_words()}")

    def last_words(self) -> str:
        """The ends of the logs."""
        texts = []
        for file in sorted((self._directory / "log").iterdir()):
            with contextlib.suppress(OSError):
                texts.append(file.read_bytes()[-_LOG_TAIL:].decode("latin-1"))
        text = " ".join(" ".join(texts).split())
        return text.replace(str(self._theatre.directory) + os.sep, "")

    def load(self, mode: str, *options: str) -> Load:
        """Start a load generator against the proxy."""
        return Load(mode, self.port, "--protocol", self._protocol, "--tls", self._tls, *options)

    def warm_up(self) -> None:
        """Log in some times: what is made at the first log-in is not measured.

        Raises:
            BenchError: that fails.
        """
        error: Any = ""
        for _ in range(WARM_UP_TRIES):
            with self.load("login", *_WARM_UP) as load:
                load.ready()
                load.go()
                result = load.result(3)
            if result["done"] and not result["errors"]:
                return
            error = result["first_error"]
            time.sleep(20 * _PAUSE)
        raise BenchError(f"log-ins fail: {error}; {self.last_words()}")
