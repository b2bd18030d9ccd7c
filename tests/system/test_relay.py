"""The relay of the running program: we are client and real server."""

import contextlib
import hashlib
import random
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from support.certificates import Pki
from support.processes import HOST, memory, most_memory, wait_until
from support.program import NONE, Options, Perdition, Start
from support.scripted import (
    SECONDS,
    ScriptedServer,
    Sock,
    read,
    read_all,
    read_line,
    reset,
)

pytestmark = pytest.mark.system
LOGIN = b"USER ann\r\nPASS sesame\r\n"
MEBI = 1 << 20
MUCH = 200 * MEBI
# What a worker may need more while somebody does not read: the buffers of one session.
BUFFERS = 2 * MEBI
# What the kernel keeps of a connection for whoever does not read.
KERNEL = 32 * MEBI
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
PIECE = random.Random(1).randbytes(MEBI)


class Session(NamedTuple):
    """A session that is logged in.

    Attributes:
        client, server: our ends.
        worker: the process that relays it.
    """

    client: Sock
    server: Sock
    worker: int


class Stage:
    """The program, and a real server behind it."""

    def __init__(
        self, proxy: Perdition, server: ScriptedServer, trusting: ssl.SSLContext | None
    ) -> None:
        self.proxy = proxy
        self.server = server
        self._trusting = trusting
        self._stack = contextlib.ExitStack()

    def close(self) -> None:
        self._stack.close()

    def connect(self) -> tuple[Sock, int]:
        """A client that has been greeted, and its worker."""
        sock = self.proxy.connect()
        sock.settimeout(SECONDS)
        self._stack.callback(sock.close)
        worker = self.proxy.worker_of(sock)
        if self._trusting is not None:
            sock = self._trusting.wrap_socket(sock, server_hostname=HOST)
            self._stack.callback(sock.close)
        assert read_line(sock).startswith(b"+OK POP3")
        return sock, worker

    def session(self) -> Session:
        """A new session."""
        client, worker = self.connect()
        client.sendall(LOGIN)
        server = self.server.accept_pop3()
        assert read_line(client).startswith(b"+OK USER")
        assert read_line(client) == b"+OK You are so in\r\n"
        return Session(client, server, worker)


Stages = Callable[..., Stage]


@pytest.fixture
def stages(start: Start, pki: Pki, trusting: ssl.SSLContext, files: Options) -> Iterator[Stages]:
    with contextlib.ExitStack() as stack:

        def stage(mode: str = "none", options: Options = NONE) -> Stage:
            context = None
            if "ssl_outgoing" in mode:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(pki.file("for names"))
            server = stack.enter_context(ScriptedServer(context))
            told: Options = {
                "workers": 1,
                "ssl_mode": mode,
                "outgoing_server": f"{HOST}:{server.port}",
                **(files if mode != "none" else NONE),
                **options,
            }
            proxy = start("POP3", told)
            made = Stage(proxy, server, trusting if "ssl_listen" in mode else None)
            stack.callback(made.close)
            return made

        yield stage


each_mode = pytest.mark.parametrize(
    "mode", ["none", "ssl_listen", "ssl_outgoing", "ssl_listen,ssl_outgoing"]
)


class Sender:
    """Sends the same piece again and again, in a thread; knows how far it has got."""

    def __init__(self, sock: Sock, size: int) -> None:
        self.sent = 0
        self._sock = sock
        self._size = size
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while self.sent < self._size:
                self.sent += self._sock.send(PIECE[self.sent % MEBI :])

    def join(self) -> None:
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def wait_stuck(self) -> None:
        """Wait until it cannot send any more."""
        seen: list[int] = []

        def stuck() -> bool:
            seen.append(self.sent)
            return len(seen) > 25 and seen[-25] == self.sent

        wait_until(stuck, SECONDS, "the sender is stuck")


def expected(size: int) -> str:
    """The checksum of what a Sender sends."""
    digest = hashlib.sha256()
    for _ in range(size // MEBI):
        digest.update(PIECE)
    return digest.hexdigest()


def checksum(sock: Sock, size: int) -> str:
    """The checksum of what is read."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(MEBI))
    while size and (count := sock.recv_into(buffer[: min(size, MEBI)])):
        digest.update(buffer[:count])
        size -= count
    assert not size, f"{size} octets are missing"
    return digest.hexdigest()


def exchange(socks: tuple[Sock, Sock], size: int) -> list[str]:
    """Let both send at once, and return the checksums of what they read.

    In one thread: a TLS socket is not for two at a time.
    """
    sent, got = dict.fromkeys(socks, 0), dict.fromkeys(socks, 0)
    digests = {sock: hashlib.sha256() for sock in socks}
    end = time.monotonic() + 2 * SECONDS
    for sock in socks:
        sock.setblocking(False)
    while min(got.values()) < size:
        assert time.monotonic() < end, f"sent {list(sent.values())}, got {list(got.values())}"
        select.select(socks, [sock for sock in socks if sent[sock] < size], [], 1)
        for sock in socks:
            with contextlib.suppress(*WOULD_BLOCK):
                if sent[sock] < size:
                    sent[sock] += sock.send(PIECE[sent[sock] % MEBI :])
            with contextlib.suppress(*WOULD_BLOCK):
                data = sock.recv(MEBI)
                assert data, f"closed after {got[sock]} octets"
                digests[sock].update(data)
                got[sock] += len(data)
    return [digests[sock].hexdigest() for sock in socks]


@pytest.mark.parametrize("mode", ["none", "ssl_listen,ssl_outgoing"])
def test_a_client_that_does_not_read_stops_its_real_server_and_gets_all_later(
    stages: Stages, mode: str
) -> None:
    stage = stages(mode)
    client, server, worker = stage.session()
    other = stage.session()
    before = memory(worker)
    sender = Sender(server, MUCH)
    sender.wait_stuck()
    assert sender.sent < KERNEL
    assert most_memory(worker) < before + BUFFERS
    # Others are served meanwhile, and the client is still heard.
    other.client.sendall(b"NOOP\r\n")
    assert read_line(other.server) == b"NOOP\r\n"
    client.sendall(b"NOOP\r\n")
    assert read_line(server) == b"NOOP\r\n"
    assert checksum(client, MUCH) == expected(MUCH)
    sender.join()
    assert most_memory(worker) < before + BUFFERS
    server.close()
    client.close()
    stage.proxy.wait_log(f"Closing session: .* received=6 sent={MUCH}$")


def test_a_real_server_that_does_not_read_stops_its_client(stages: Stages) -> None:
    stage = stages()
    client, server, worker = stage.session()
    before = memory(worker)
    sender = Sender(client, MUCH)
    sender.wait_stuck()
    assert sender.sent < KERNEL
    assert checksum(server, MUCH) == expected(MUCH)
    sender.join()
    assert most_memory(worker) < before + BUFFERS


@each_mode
def test_both_directions_at_once_lose_nothing(stages: Stages, mode: str) -> None:
    stage = stages(mode)
    client, server, _worker = stage.session()
    size = 32 * MEBI
    assert exchange((client, server), size) == [expected(size)] * 2
    server.close()
    client.close()
    stage.proxy.wait_log(f"Closing session: .* received={size} sent={size}$")


def end_sending(sock: Sock) -> None:
    """Half-close a connection; we read on."""
    if isinstance(sock, ssl.SSLSocket):
        # The peer's close_notify comes when it has ended too.
        sock.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):
            sock.unwrap()
        sock.settimeout(SECONDS)
    else:
        sock.shutdown(socket.SHUT_WR)


@each_mode
def test_a_client_that_has_ended_its_side_gets_the_rest(stages: Stages, mode: str) -> None:
    stage = stages(mode)
    client, server, _worker = stage.session()
    size = 16 * MEBI
    client.sendall(b"RETR 1\r\nQUIT\r\n")
    assert read(server, 14) == b"RETR 1\r\nQUIT\r\n"
    end_sending(client)
    assert server.recv(1) == b""
    sender = Sender(server, size)
    assert checksum(client, size) == expected(size)
    sender.join()
    server.close()
    assert read_all(client) == b""
    stage.proxy.wait_log(f"Closing session: .* received=14 sent={size}$")


# A TLS client of Python's could not read on after it.
@pytest.mark.parametrize("mode", ["none", "ssl_outgoing"])
def test_what_a_real_server_is_sending_arrives_although_its_client_ends_meanwhile(
    stages: Stages, mode: str
) -> None:
    stage = stages(mode)
    client, server, _worker = stage.session()
    size = 16 * MEBI
    sender = Sender(server, size)
    assert read(client, MEBI) == PIECE
    end_sending(client)
    assert checksum(client, size - MEBI) == expected(size - MEBI)
    sender.join()
    assert server.recv(1) == b""


@each_mode
def test_a_real_server_that_has_ended_its_side_gets_the_rest(stages: Stages, mode: str) -> None:
    stage = stages(mode)
    client, server, _worker = stage.session()
    size = 16 * MEBI
    server.sendall(b"+OK bye\r\n")
    end_sending(server)
    assert read_all(client) == b"+OK bye\r\n"
    sender = Sender(client, size)
    assert checksum(server, size) == expected(size)
    sender.join()


def test_a_session_whose_one_side_has_ended_does_not_stay_for_ever(stages: Stages) -> None:
    stage = stages()
    client, server, _worker = stage.session()
    server.close()
    assert read_all(client) == b""
    stage.proxy.wait_log("Closing session: .* received=0 sent=0$")


@each_mode
def test_an_idle_session_is_ended_and_a_busy_one_is_not(stages: Stages, mode: str) -> None:
    stage = stages(mode, {"timeout": 2})
    idle, busy = stage.session(), stage.session()
    answered = 0
    idle.client.setblocking(False)
    ended = False
    while not ended:
        busy.client.sendall(b"NOOP\r\n")
        assert read_line(busy.server) == b"NOOP\r\n"
        answered += 1
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
            ended = idle.client.recv(1) == b""
    assert answered
    assert read_all(idle.server) == b""
    log = stage.proxy.wait_log(r"Timeout piping data\.\n.*Closing session: .* received=0 sent=0$")
    assert "Timeout" not in stage.proxy.log()[log.end() :]


def test_a_managesieve_client_is_told_of_the_timeout(start: Start) -> None:
    with ScriptedServer() as server:
        proxy = start("MANAGESIEVE", {"timeout": 1, "outgoing_server": f"{HOST}:{server.port}"})
        with proxy.connect() as client:
            client.settimeout(SECONDS)
            client.sendall(b'AUTHENTICATE "PLAIN" "AGFubgBzZXNhbWU="\r\n')
            theirs = server.accept()
            theirs.sendall(b'"SASL" "PLAIN"\r\nOK "ready"\r\n')
            assert read_line(theirs).startswith(b"AUTHENTICATE")
            theirs.sendall(b'OK "in"\r\n')
            assert read_all(client).endswith(b'OK "You are so in"\r\nBYE "Timeout"\r\n')
            assert read_all(theirs) == b""
        proxy.wait_log(r"Timeout piping data\.\n.*Closing session: ")


def test_the_login_is_logged_again_and_again(stages: Stages) -> None:
    stage = stages(options={"connect_relog": 1})
    client, server, _worker = stage.session()
    line = stage.proxy.wait_log(r": (Auth: .* status=\"ok\")$")[1]
    wait_until(lambda: stage.proxy.log().count(line) >= 3, SECONDS, "the line comes again")
    client.sendall(b"NOOP\r\n")
    assert read_line(server) == b"NOOP\r\n"


@each_mode
def test_what_comes_early_arrives_in_order(stages: Stages, mode: str) -> None:
    stage = stages(mode)
    client, _worker = stage.connect()
    more = b"".join(b"LIST %d\r\n" % number for number in range(800))
    client.sendall(LOGIN + more)
    server = stage.server.accept_pop3(more=b"+OK early\r\n")
    client.sendall(b"QUIT\r\n")
    server.sendall(b"+OK late\r\n")
    assert read(server, len(more) + 6) == more + b"QUIT\r\n"
    said = b"+OK USER ann set, mate\r\n+OK You are so in\r\n+OK early\r\n+OK late\r\n"
    assert read(client, len(said)) == said
    server.close()
    client.close()
    stage.proxy.wait_log(f"Closing session: .* received={len(more) + 6} sent=21$")


@each_mode
@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_ends_the_session_for_the_other_side_too(
    stages: Stages, mode: str, who: str
) -> None:
    stage = stages(mode)
    session, other = stage.session(), stage.session()
    sender = Sender(session.server, 16 * MEBI)
    assert read(session.client, 1000) == PIECE[:1000]
    if who == "client":
        reset(session.client)
    else:
        sender.wait_stuck()
        reset(session.server)
        assert len(read_all(session.client)) < 16 * MEBI
        session.client.close()
    sender.join()
    stage.proxy.wait_log("Fatal error piping data. Exiting child.|Closing session: ")
    other.client.sendall(b"NOOP\r\n")
    assert read_line(other.server) == b"NOOP\r\n"
