"""Thousands of sessions on one worker."""

import contextlib
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import HOST, most_memory, wait_until
from support.program import Start

pytestmark = pytest.mark.system
SESSIONS = 3000
# Two connections a session in the worker; one in the test and one in the real server.
DESCRIPTORS = 2 * SESSIONS + 200
SECONDS = 60
SERVER = Path(__file__).resolve().parents[1] / "support/many_sessions.py"


@pytest.fixture
def descriptors() -> Iterator[None]:
    """As many open files as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (resource.RLIM_INFINITY,) and hard < DESCRIPTORS:
        pytest.skip(f"at most {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def real_server(descriptors: None) -> Iterator[int]:
    """The port of a server for all of them."""
    with subprocess.Popen(
        [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield int(process.stdout.readline())
        process.stdin.close()
        process.terminate()


def ask(sock: socket.socket, line: bytes) -> bytes:
    """A command's answer, which is one line."""
    sock.sendall(line + b"\r\n")
    answer = b""
    while not answer.endswith(b"\n"):
        piece = sock.recv(512)
        assert piece, "the connection has ended"
        answer += piece
    return answer


def test_three_thousand_sessions_stay_and_answer(real_server: int, start: Start) -> None:
    options = {"outgoing_server": f"{HOST}:{real_server}", "workers": 1, "quiet": True}
    proxy = start("POP3", options)
    # It listens before it has one.
    (worker,) = wait_until(proxy.workers, SECONDS, "a worker")
    with contextlib.ExitStack() as stack:
        clients = []
        for number in range(SESSIONS):
            sock = stack.enter_context(socket.create_connection((HOST, proxy.port), SECONDS))
            assert sock.recv(512).startswith(b"+OK")
            assert ask(sock, b"USER user%d" % number).startswith(b"+OK USER")
            assert ask(sock, b"PASS x") == b"+OK You are so in\r\n"
            clients.append(sock)
        for sock in clients:
            assert ask(sock, b"NOOP") == b"+OK\r\n"
        assert proxy.workers() == [worker]
        threads = re.search(r"^Threads:\s+(\d+)", Path(f"/proc/{worker}/status").read_text(), re.M)
        assert threads is not None
        # A session that is logged in has no thread.
        assert int(threads[1]) < 64
        assert most_memory(worker) < 150_000_000
