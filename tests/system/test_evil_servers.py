"""Real servers that mean no good: the log-in fails within its bound, and the worker lives on."""

import contextlib
import random
from collections.abc import Callable

import pytest

from support.processes import HOST, most_memory, wait_until
from support.program import Start
from support.scripted import SECONDS, ScriptedServer, Sock, read_line

pytestmark = pytest.mark.system
MEBI = 1 << 20
SPARE = 16 * MEBI
NOISE = random.Random(7).randbytes(MEBI)
GREETINGS = {
    "IMAP4": b"* OK ready\r\n",
    "POP3": b"+OK ready\r\n",
    "MANAGESIEVE": b'"SASL" "PLAIN"\r\nOK "ready"\r\n',
}
LOGINS = {
    "IMAP4": b"a LOGIN ann sesame\r\n",
    "POP3": b"USER ann\r\nPASS sesame\r\n",
    "MANAGESIEVE": b'AUTHENTICATE "PLAIN" "AGFubgBzZXNhbWU="\r\n',
}
ACCEPTED = b"You are so in"


def says(*pieces: bytes, times: int = 1) -> Callable[[Sock], None]:
    """Says these, so many times, and then no more."""

    def script(sock: Sock) -> None:
        for _ in range(times):
            for piece in pieces:
                sock.sendall(piece)
        # Whatever it is told, until it is left.
        while sock.recv(65536):
            pass

    return script


def after_greeting(protocol: str, script: Callable[[Sock], None]) -> Callable[[Sock], None]:
    """Greets, and does that when it is told something."""

    def whole(sock: Sock) -> None:
        sock.sendall(GREETINGS[protocol])
        read_line(sock)
        script(sock)

    return whole


SCRIPTS: dict[str, Callable[[str], Callable[[Sock], None]]] = {
    "closes at once": lambda _protocol: lambda _sock: None,
    "says nothing": lambda _protocol: says(),
    "a greeting without an end": lambda _protocol: says(b"* OK " + b"x" * MEBI, times=10),
    "noise": lambda _protocol: says(NOISE, times=10),
    "says nothing after the greeting": lambda protocol: after_greeting(protocol, says()),
    "closes after the greeting": lambda protocol: after_greeting(protocol, lambda _sock: None),
    "lines without an end": lambda protocol: after_greeting(
        protocol, says(b"* OK and more\r\n" * 1000, times=1000)
    ),
    "a literal without an end": lambda protocol: after_greeting(
        protocol, says(b"* X {999999999}\r\n", *[b"x" * MEBI] * 10)
    ),
    "noise after the greeting": lambda protocol: after_greeting(protocol, says(NOISE, times=10)),
}


@pytest.mark.parametrize("protocol", list(LOGINS))
@pytest.mark.parametrize("evil", SCRIPTS)
def test_its_log_in_fails_and_the_worker_lives_on(start: Start, protocol: str, evil: str) -> None:
    with ScriptedServer() as server:
        options = {
            "workers": 1,
            "outgoing_server": f"{HOST}:{server.port}",
            "authenticate_timeout": 2,
        }
        proxy = start(protocol, options)
        (worker,) = wait_until(proxy.workers, SECONDS, "a worker")
        before = most_memory(worker)
        with server.serving(SCRIPTS[evil](protocol)):
            for _ in range(3):
                with proxy.connect() as sock:
                    sock.settimeout(SECONDS)
                    said = b""
                    with contextlib.suppress(ConnectionError):
                        sock.sendall(LOGINS[protocol])
                        while piece := sock.recv(65536):
                            said += piece
                            if b"failed: " in said:
                                break
                    assert ACCEPTED not in said
        assert most_memory(worker) < before + SPARE
        assert proxy.workers() == [worker]
        proxy.wait_log('status="failed: ')
