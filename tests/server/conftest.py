"""The program in processes of its own, before a real server that is ours."""

import contextlib
import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class RealServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A POP3 server that accepts everybody but the password "wrong", and answers +OK to all."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    class RequestHandlerClass(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.wfile.write(b"+OK ready\r\n")
                for line in self.rfile:
                    if line == b"PASS wrong\r\n":
                        self.wfile.write(b"-ERR wrong\r\n")
                        continue
                    self.wfile.write(b"+OK " + line)
                    if line == b"QUIT\r\n":
                        return

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        port: int = self.server_address[1]
        return port


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait for a condition; fail when it does not come true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def children(pid: int) -> list[int]:
    """The worker processes of a master."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(path.parent.name))
    return sorted(found)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Program:
    """perdition in the foreground, with a log file."""

    def __init__(self, directory: Path, server: RealServer, *arguments: str) -> None:
        self.port = free_port()
        self.log_path = directory / "log"
        self.pid_path = directory / "run" / "pid"
        self.command = [
            *(sys.executable, str(ROOT / "perdition.py"), "-f", "", "-M", ""),
            *("-b", f"127.0.0.1:{self.port}", "-s", f"127.0.0.1:{server.port}"),
            *("-F", str(self.log_path), "--no_daemon", "--pid_file", str(self.pid_path)),
            *("--failure_delay", "0", "-u", str(os.getuid()), "-g", str(os.getgid())),
            *arguments,
        ]
        self.workers_seen: set[int] = set()
        self.process = subprocess.Popen(self.command, start_new_session=True)
        self.pid = self.process.pid
        wait_until(self.listens, "the program listens")

    def listens(self) -> bool:
        assert self.process.poll() is None, "the program has ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def workers(self) -> list[int]:
        found = children(self.pid)
        self.workers_seen |= set(found)
        return found

    def log(self) -> str:
        return self.log_path.read_text()

    def wait_log(self, text: str, count: int = 1) -> None:
        wait_until(lambda: self.log().count(text) >= count, f"{text} in the log")

    def connect(self) -> "Client":
        return Client(self.port)

    def logged_in(self) -> "Client":
        client = self.connect()
        client.log_in()
        return client

    def worker_of(self, client: "Client") -> int:
        """The worker that a client's log-in was logged by."""
        port = client.sock.getsockname()[1]
        found = re.search(rf"\[(\d+)\]: Auth: 127\.0\.0\.1:{port}->", self.log())
        assert found
        return int(found[1])

    def kill(self, number: int) -> None:
        self.workers()
        os.kill(self.pid, number)

    def close(self) -> None:
        self.workers()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)
        for pid in self.workers_seen:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


class Client:
    """A POP3 client."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
        self.port: int = self.sock.getsockname()[1]
        self.sock.settimeout(60)
        self.file = self.sock.makefile("rb")
        assert self.line().startswith(b"+OK POP3 perditon ready on ")

    def line(self) -> bytes:
        try:
            return self.file.readline()
        except ConnectionResetError:
            return b""

    def ask(self, text: str) -> bytes:
        with contextlib.suppress(OSError):
            self.sock.sendall(text.encode() + b"\r\n")
        return self.line()

    def log_in(self, password: str = "sesame") -> None:
        assert self.ask("USER ann").startswith(b"+OK")
        assert self.ask(f"PASS {password}") == b"+OK You are so in\r\n"

    def works(self) -> bool:
        return self.ask("NOOP") == b"+OK NOOP\r\n"

    def close(self) -> None:
        self.file.close()
        self.sock.close()


@pytest.fixture
def real_server() -> Iterator[RealServer]:
    server = RealServer()
    yield server
    server.shutdown()
    server.server_close()


Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path, real_server: RealServer) -> Iterator[Start]:
    """Starts the program with arguments; ends it and its workers afterwards."""
    started: list[Program] = []

    def starter(*arguments: str) -> Program:
        started.append(Program(tmp_path, real_server, *arguments))
        return started[-1]

    yield starter
    for program in started:
        program.close()
        # pytest shows it where the test has failed.
        print(program.log())
