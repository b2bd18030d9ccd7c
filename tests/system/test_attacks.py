"""Clients that mean no good: each gets an answer or a close, and the worker lives on unmoved."""

import contextlib
import random
import socket

import pytest

from support.processes import HOST, free_port, is_running, most_memory, wait_until
from support.program import Perdition, Start
from support.scripted import SECONDS

pytestmark = pytest.mark.system
PROTOCOLS = ("IMAP4", "POP3", "MANAGESIEVE")
MEBI = 1 << 20
# What a worker may need more than it had, whatever it is sent.
SPARE = 16 * MEBI
NOISE = random.Random(7).randbytes(MEBI)
HARMLESS = {"IMAP4": b"n NOOP\r\n", "POP3": b"CAPA\r\n", "MANAGESIEVE": b"NOOP\r\n"}
ANSWER = {"IMAP4": b"n OK", "POP3": b"+OK Cap", "MANAGESIEVE": b'OK "NOOP'}
LITERALS = {
    "IMAP4": b"a LOGIN {%d+}\r\n",
    "POP3": b"PASS {%d}\r\n",
    "MANAGESIEVE": b'AUTHENTICATE "PLAIN" {%d+}\r\n',
}
# Each ends the connection without a word of the client to that effect.
ENDLESS = {
    "a line of 10 MB": lambda _protocol: b"x" * (10 * MEBI),
    "a line of NULs": lambda _protocol: b"\0" * (10 * MEBI),
    "noise without an end of line": lambda _protocol: NOISE.translate(None, b"\n") * 10,
    "a literal without an end": lambda protocol: LITERALS[protocol] % 10**9 + b"x" * (10 * MEBI),
}


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def started(start: Start, protocol: str, **options: int) -> tuple[Perdition, int]:
    """The program before a real server that is down, and its one worker."""
    with free_port() as dead:
        told = {"workers": 1, "outgoing_server": f"{HOST}:{dead}", **options}
        proxy = start(protocol, told)
    (worker,) = wait_until(proxy.workers, SECONDS, "a worker")
    assert_serves(proxy, protocol)
    return proxy, worker


def until_closed(sock: socket.socket) -> bytes:
    """All that is said until the connection has ended, which it does."""
    sock.settimeout(SECONDS)
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(65536):
            data += piece
    return data


def until_said(sock: socket.socket, text: bytes) -> bytes:
    """All that is said up to a text."""
    sock.settimeout(SECONDS)
    data = b""
    while text not in data:
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return data


def assert_serves(proxy: Perdition, protocol: str) -> None:
    """Somebody else is served."""
    with proxy.connect() as sock:
        sock.sendall(HARMLESS[protocol])
        until_said(sock, ANSWER[protocol])


@pytest.mark.parametrize("attack", ENDLESS)
def test_what_has_no_end_ends_the_connection(start: Start, protocol: str, attack: str) -> None:
    proxy, worker = started(start, protocol)
    before = most_memory(worker)
    for _ in range(3):
        with proxy.connect() as sock:
            with contextlib.suppress(OSError):
                sock.sendall(ENDLESS[attack](protocol))
            until_closed(sock)
    assert_serves(proxy, protocol)
    assert most_memory(worker) < before + SPARE
    assert proxy.workers() == [worker]


def test_noise_in_lines_is_answered(start: Start, protocol: str) -> None:
    proxy, worker = started(start, protocol)
    before = most_memory(worker)
    lines = b"".join(
        NOISE[at : at + 40].translate(None, b"\r\n{") + b"\r\n" for at in range(0, 40_000, 40)
    )
    with proxy.connect() as sock:
        sock.sendall(lines)
        sock.shutdown(socket.SHUT_WR)
        answers = until_closed(sock)
    assert answers.count(b"\r\n") > 500
    assert most_memory(worker) < before + SPARE
    assert_serves(proxy, protocol)
    assert is_running(worker)


def test_thousands_of_commands_at_once_are_answered_in_order(start: Start, protocol: str) -> None:
    proxy, worker = started(start, protocol)
    before = most_memory(worker)
    count = 5000
    with proxy.connect() as sock:
        sock.sendall(HARMLESS[protocol] * count)
        sock.shutdown(socket.SHUT_WR)
        assert until_closed(sock).count(ANSWER[protocol]) == count
    assert most_memory(worker) < before + SPARE


@pytest.mark.parametrize("said", ["nothing", "half a line", "a literal that does not come"])
def test_silence_ends_the_connection(start: Start, protocol: str, said: str) -> None:
    proxy, _worker = started(start, protocol, authenticate_timeout=1)
    beginnings = {
        "nothing": b"",
        "half a line": HARMLESS[protocol][:3],
        "a literal that does not come": LITERALS[protocol] % 10,
    }
    with proxy.connect() as sock:
        sock.sendall(beginnings[said])
        until_closed(sock)
    proxy.wait_log("Timeout reading authentication information from client")
    assert_serves(proxy, protocol)


def test_a_client_that_drips_is_ended_by_the_time_for_all(start: Start, protocol: str) -> None:
    proxy, _worker = started(start, protocol, login_timeout=2)
    with proxy.connect() as sock:
        sock.settimeout(0.2)

        def is_over() -> bool:
            try:
                sock.sendall(b"x")
                return not sock.recv(65536)
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        wait_until(is_over, SECONDS, "the connection has ended")
    assert_serves(proxy, protocol)


def test_a_client_that_reads_nothing_holds_up_nobody(start: Start, protocol: str) -> None:
    proxy, worker = started(start, protocol, authenticate_timeout=1)
    before = most_memory(worker)
    with proxy.connect() as sock:
        sock.settimeout(1)
        # Its answers fill all buffers, and then it cannot send any more either.
        with contextlib.suppress(OSError):
            for _ in range(2000):
                sock.sendall(HARMLESS[protocol] * 1000)
        assert_serves(proxy, protocol)
        proxy.wait_log("authentication information from client|writing to client")
    assert most_memory(worker) < before + SPARE


def test_a_flood_of_connections_is_bounded_and_others_are_served(
    start: Start, protocol: str
) -> None:
    proxy, worker = started(start, protocol, login_threads=8)
    with contextlib.ExitStack() as stack:
        flood = [stack.enter_context(proxy.connect()) for _ in range(60)]
        assert_serves(proxy, protocol)
        assert until_closed(flood[0])
        assert proxy.workers() == [worker]
