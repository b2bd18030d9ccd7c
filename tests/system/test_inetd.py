"""Under a real inetd: a process a connection, as `inetd_mode` wants it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import (
    HOST,
    NOBODY,
    as_root,
    end,
    free_port,
    have_no_threads,
    is_listening,
    require,
    wait_until,
)
from support.program import ROOT, START_SECONDS
from support.scripted import ScriptedServer, read_all, read_line

OPTIONS = "-f /dev/null -P POP3 -M= --inetd_mode --failure_delay 0"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as made:
        yield made


@pytest.fixture
def more() -> str:
    """Further options."""
    return ""


@pytest.fixture
def port(tmp_path: Path, server: ScriptedServer, more: str) -> Iterator[int]:
    """Where inetd listens, with the program behind it."""
    inetd = require("inetd")
    options = f"{OPTIONS} {more} -F {tmp_path}/log --outgoing_server {HOST}:{server.port}"
    with free_port() as number, contextlib.ExitStack() as stack:
        conf = tmp_path / "inetd.conf"
        command = f"{sys.executable} {sys.executable} {ROOT}/perdition.py {options}"
        conf.write_text(f"{HOST}:{number} stream tcp nowait root {command}\n")
        process = subprocess.Popen([inetd, "-i", str(conf)], start_new_session=True)
        stack.callback(end, process, signal.SIGTERM)
        wait_until(lambda: is_listening(number), START_SECONDS, "inetd listens")
        yield number


def command(log: Path, server: ScriptedServer) -> list[str]:
    """The program, to be given a connection."""
    options = (*OPTIONS.split(), "-F", str(log), "--outgoing_server", f"{HOST}:{server.port}")
    return [sys.executable, f"{ROOT}/perdition.py", *options]


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection."""
    with socket.create_server((HOST, 0)) as listener:
        sock = socket.create_connection(listener.getsockname(), 30)
        return sock, listener.accept()[0]


def test_pipes_that_were_not_to_block_are_one_as_well(
    tmp_path: Path, server: ScriptedServer
) -> None:
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
    os.set_blocking(their_in, False)
    os.set_blocking(their_out, False)
    with subprocess.Popen(
        command(tmp_path / "log", server), stdin=their_in, stdout=their_out
    ) as process:
        os.close(their_in)
        os.close(their_out)
        with os.fdopen(our_in, "rb") as said, os.fdopen(our_out, "wb", buffering=0) as to_say:
            assert said.readline().startswith(b"+OK POP3 perditon ready on ")
            to_say.write(b"QUIT\r\n")
            assert said.read() == b"+OK QUIT\r\n"
        assert process.wait(30) == 0


def test_pipes_are_a_connection_as_well(tmp_path: Path, server: ScriptedServer) -> None:
    log, pipe = tmp_path / "log", subprocess.PIPE
    data = b"+OK early\r\n" + b"x" * 1_000_000 + b"\r\n"
    with subprocess.Popen(command(log, server), stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"+OK POP3 perditon ready on ")
        process.stdin.write(b"USER ann\r\nPASS sesame\r\n")
        process.stdin.flush()
        there = server.accept_pop3(more=b"")
        process.stdin.write(b"RETR 1\r\n")
        process.stdin.close()
        assert read_line(there) == b"RETR 1\r\n"
        assert there.recv(1) == b""
        there.sendall(data)
        there.close()
        said = process.stdout.read()
        assert process.wait(30) == 0
    assert said == b"+OK USER ann set, mate\r\n+OK You are so in\r\n" + data
    text = log.read_text()
    assert "]: Connect:  inetd_pid=" in text
    assert "]: Auth: client-secure=plaintext " in text
    assert "]: Closing session: authorisation_id=NONE " in text


@pytest.mark.parametrize("blocks", [True, False])
def test_sockets_of_no_network_are_one(
    tmp_path: Path, server: ScriptedServer, blocks: bool
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(blocks)
        process = subprocess.Popen(command(tmp_path / "log", server), stdin=theirs, stdout=theirs)
        theirs.close()
        assert read_line(ours).startswith(b"+OK POP3 perditon ready on ")
        # It has to wait for the next word.
        time.sleep(0.1)
        ours.sendall(b"QUIT\r\n")
        assert read_line(ours) == b"+OK QUIT\r\n"
        assert process.wait(30) == 0


def test_a_session_that_breaks_off_gives_another_status(
    tmp_path: Path, server: ScriptedServer
) -> None:
    sock, theirs = pair()
    with sock:
        process = subprocess.Popen(command(tmp_path / "log", server), stdin=theirs, stdout=theirs)
        theirs.close()
        read_line(sock)
        sock.sendall(b"USER ann\r\nPASS sesame\r\n")
        read_line(sock)
        server.accept_pop3(more=b"")
        assert read_line(sock) == b"+OK You are so in\r\n"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert process.wait(30) == 255


@pytest.mark.parametrize(
    ("more", "said"), [("--proxy_protocol_from=127.0.0.1", b"QUIT\r\n"), ("--quiet", b"NOOP")]
)
def test_a_session_that_does_not_begin_gives_it_as_well(
    tmp_path: Path, server: ScriptedServer, more: str, said: bytes
) -> None:
    sock, theirs = pair()
    with sock:
        line = [*command(tmp_path / "log", server), more]
        process = subprocess.Popen(line, stdin=theirs, stdout=theirs)
        theirs.close()
        sock.sendall(said)
        sock.shutdown(socket.SHUT_WR)
        assert process.wait(30) == 255


@as_root
def test_a_client_sees_nothing_of_a_process_without_threads(
    tmp_path: Path, server: ScriptedServer
) -> None:
    log = tmp_path / "log"
    program = [*command(log, server), "-u", str(NOBODY), "-g", str(NOBODY)]
    done = subprocess.run(
        program, input=b"", capture_output=True, preexec_fn=have_no_threads, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (255, b"", b"")
    assert "]: inetd_mode: can't start new thread: allow the user" in log.read_text()


def test_each_connection_is_a_session(tmp_path: Path, server: ScriptedServer, port: int) -> None:
    log = tmp_path / "log"
    for number in (1, 2):
        with socket.create_connection((HOST, port), 30) as sock:
            ours = sock.getsockname()[1]
            assert read_line(sock).startswith(b"+OK POP3 perditon ready on ")
            sock.sendall(b"USER ann\r\nPASS sesame\r\n")
            read_line(sock)
            there = server.accept_pop3(more=b"+OK early\r\n")
            assert read_line(sock) == b"+OK You are so in\r\n"
            assert read_line(sock) == b"+OK early\r\n"
            sock.sendall(b"QUIT\r\n")
            assert read_line(there) == b"QUIT\r\n"
            there.sendall(b"+OK bye\r\n")
            there.close()
            assert read_line(sock) == b"+OK bye\r\n"
            assert sock.recv(1) == b""
        wait_until(
            lambda number=number: log.read_text().count("Closing session: ") == number,  # type: ignore[misc]
            30,
            "the session has ended",
        )
    lines = log.read_text()
    assert f"Connect:  {HOST}:{ours}->{HOST}:{port} inetd_pid=" in lines
    assert "Bug" not in lines


def test_a_name_that_is_no_text_is_logged_in(server: ScriptedServer, port: int) -> None:
    with socket.create_connection((HOST, port), 30) as sock:
        read_line(sock)
        sock.sendall(b"USER m\xfcller\r\nPASS sesame\r\n")
        read_line(sock)
        there = server.accept()
        there.sendall(b"+OK ready\r\n")
        assert read_line(there) == b"CAPA\r\n"
        there.sendall(b"-ERR\r\n")
        assert read_line(there) == b"USER m\xfcller\r\n"
        there.sendall(b"+OK\r\n")
        read_line(there)
        there.sendall(b"+OK in\r\n")
        assert read_line(sock) == b"+OK You are so in\r\n"
        sock.sendall(b"NOOP\r\n")
        assert read_line(there) == b"NOOP\r\n"


@pytest.mark.parametrize("more", [f"--proxy_protocol_from {HOST}"])
def test_a_load_balancer_says_who_the_client_is(tmp_path: Path, port: int) -> None:
    log = tmp_path / "log"
    with socket.create_connection((HOST, port), 30) as sock:
        sock.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.110 4711 110\r\n")
        assert read_line(sock).startswith(b"+OK POP3 perditon ready on ")
        sock.sendall(b"QUIT\r\n")
        assert read_all(sock) == b"+OK QUIT\r\n"
    with socket.create_connection((HOST, port), 30) as sock:
        sock.sendall(b"QUIT\r\n")
        assert read_all(sock) == b""
    wait_until(lambda: "no PROXY header" in log.read_text(), 30, "the second one is refused")
    lines = log.read_text()
    assert "Connect:  192.0.2.7:4711->192.0.2.110:110 inetd_pid=" in lines
    assert lines.count("Connect:") == 1
