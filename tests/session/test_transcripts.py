"""Every file of tests/transcripts, played to a session: we are client and real server.

``client>`` and ``server>`` say a line, ``client<`` and ``server<`` expect one, ``client.`` and
``server.`` expect the end of the connection, ``close client`` closes it; ``option NAME VALUE``
sets an option, ``map KEY VALUE`` has the map find something, ``log`` expects the end of a line of
the log. Lines that begin with # are for people.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from perdition.config.command_line import load
from perdition.identity import Ends
from perdition.logs import DEBUG, Log
from perdition.maps import MapFailed, Query
from perdition.net import ConnectFailed, ServerItem
from perdition.patience import Patience
from perdition.server.service import make_service
from perdition.server.worker import make_session
from perdition.session.service import Established

FILES = sorted((Path(__file__).resolve().parents[1] / "transcripts").glob("*.txt"))
# The password of all transcripts, as it is said in each protocol.
SECRETS = ("sesame", "c2VzYW1l", "BzZXNhbWU")
ENDS = Ends("10.0.0.7", 4000, "127.0.0.1", 143)


class Found:
    """A map with what the transcript says; a value "broken" is a map that is out of order."""

    by_key_alone = True

    def __init__(self, values: dict[bytes, bytes]) -> None:
        self.values = values

    def lookup(self, query: Query, /) -> bytes | None:
        value = self.values.get(query.key)
        if value == b"broken":
            raise MapFailed("the store is down")
        return value

    def close(self) -> None:
        return


class Servers:
    """The real servers: the test's end of each connection is kept."""

    default_port = "143"
    rules = ()

    def __init__(self) -> None:
        self.connected = threading.Event()
        self.ours: socket.socket | None = None

    def candidates(self, destinations: Sequence[ServerItem]) -> list[ServerItem]:
        named = [each for each in destinations if each.host]
        return [each._replace(port=each.port or self.default_port) for each in named] or [
            ServerItem("", "default", "143")
        ]

    def nameless(self, _destinations: Sequence[ServerItem]) -> ServerItem:
        return self.unknown()

    def unknown(self) -> ServerItem:
        return ServerItem("", "(null)", self.default_port)

    def connect(self, server: ServerItem, _patience: Patience) -> socket.socket:
        if server.host == "down":
            raise ConnectFailed("down")
        if self.ours is not None:
            self.ours.close()
        ours, theirs = socket.socketpair()
        ours.settimeout(10)
        # Only now: the test may close what it finds here.
        self.ours = ours
        self.connected.set()
        return theirs


class Stage:
    """A session in a thread, and the two peers."""

    def __init__(self, log: Path, script: list[str], size: int) -> None:
        options = [f"--{line[1]}" for line in self.words(script, "option") if len(line) == 2]
        for line in self.words(script, "option"):
            if len(line) > 2:
                options += [f"--{line[1]}", " ".join(line[2:])]
        values = {
            line[1].encode(): " ".join(line[2:]).encode() for line in self.words(script, "map")
        }
        loaded = load("perdition", ["-f", "", "-n", "-dC", "--failure_delay", "0", *options])
        self.log = log
        self.size = size
        self.servers = Servers()
        logger = Log("perdition", str(log), DEBUG)
        service = make_service(loaded.options, logger, Found(values), self.servers, None, None)  # type: ignore[arg-type]
        object.__setattr__(service, "backends", self.servers)
        self.token = service.terms.token
        self.client, ours = socket.socketpair()
        self.client.settimeout(10)
        patience = Patience(ours.fileno(), loaded.options.login_timeout)
        self.session = make_session(service, ours, ENDS, patience)
        self.established: Established | None = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.over = threading.Event()
        self.watch = threading.Thread(target=self.look_after, daemon=True)
        self.watch.start()

    @staticmethod
    def words(script: list[str], first: str) -> list[list[str]]:
        return [line.split() for line in script if line.split()[0] == first]

    def run(self) -> None:
        self.established = self.session.run()
        if self.established is None:
            self.session.channel.close()
        else:
            # The relay's first word.
            with contextlib.suppress(OSError):
                self.established.client.sock.sendall(self.established.answer)

    def look_after(self) -> None:
        """What the worker does meanwhile: end waits that are too long."""
        while not self.over.wait(0.02):
            self.session.channel.patience.check(time.monotonic())

    def peer(self, who: str) -> socket.socket:
        if who == "client":
            return self.client
        assert self.servers.connected.wait(10)
        assert self.servers.ours is not None
        return self.servers.ours

    def play(self, line: str) -> None:
        what, _, text = line.partition(" ")
        data = (
            (text.replace("TOKEN", self.token) + "\r\n")
            .encode()
            .decode("unicode_escape")
            .encode("latin-1")
        )
        match what[-1]:
            case ">":
                for at in range(0, len(data), self.size):
                    self.peer(what[:-1]).sendall(data[at : at + self.size])
            case "<":
                peer, got = self.peer(what[:-1]), b""
                while not got.endswith(b"\n") and (octet := peer.recv(1)):
                    got += octet
                assert got == data
            case ".":
                with contextlib.suppress(ConnectionResetError):
                    assert self.peer(what[:-1]).recv(1) == b""
        if what == "close":
            self.peer(text).close()
        if what == "log":
            self.expect_log(text)

    def expect_log(self, text: str) -> None:
        end = threading.Event()
        for _ in range(500):
            if any(line.endswith(text) for line in self.log.read_text().splitlines()):
                return
            end.wait(0.01)
        raise AssertionError(self.log.read_text())

    def close(self) -> None:
        self.client.close()
        for _ in range(100):
            # It may have connected only now.
            if self.servers.ours is not None:
                self.servers.ours.close()
            self.thread.join(0.1)
            if not self.thread.is_alive():
                break
        assert not self.thread.is_alive()
        # Or just before it ended.
        if self.servers.ours is not None:
            self.servers.ours.close()
        if self.established is not None:
            self.established.client.close()
            self.established.server.close()
        self.session.channel.close()
        self.over.set()
        self.watch.join()


@contextlib.contextmanager
def staged(log: Path, script: list[str], size: int) -> Iterator[Stage]:
    stage = Stage(log, script, size)
    try:
        yield stage
    finally:
        stage.close()


def lines_of(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("size", [1, 4096], ids=["octets", "lines"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(path: Path, size: int, tmp_path: Path) -> None:
    script = lines_of(path)
    with staged(tmp_path / "log", script, size) as stage:
        for line in script:
            stage.play(line)
    assert "CLIENT: " in stage.log.read_text()
    assert not [secret for secret in SECRETS if secret in stage.log.read_text()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_peer_that_breaks_off_ends_the_session_and_nothing_else(
    path: Path, tmp_path: Path
) -> None:
    script = lines_of(path)
    for stop in range(0, len(script), 2):
        log = tmp_path / f"log{stop}"
        with staged(log, script, 4096) as stage:
            for line in script[:stop]:
                if not line.startswith("log"):
                    stage.play(line)
        assert "Bug" not in log.read_text()
        assert not [secret for secret in SECRETS if secret in log.read_text()]
