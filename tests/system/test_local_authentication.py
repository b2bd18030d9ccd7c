"""`authenticate_in`, with the real PAM: a service whose module is a program of the test."""

import contextlib
import os
import poplib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import HOST, children, is_running, lacking, wait_until
from support.program import Start
from support.scripted import ScriptedServer, read_line

SECRET = b"sesame-local-4"
# Lets "ann" and "bob@x" in by that password, and writes down what it was told.
CHECK = """\
#!/bin/sh
IFS= read -r password
echo "user=$PAM_USER ruser=$PAM_RUSER rhost=$PAM_RHOST type=$PAM_TYPE" >> {folder}/told
case "$PAM_USER" in
slow) echo $$ > {folder}/slow; exec sleep 600 ;;
esac
test "$password" = "{secret}"
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The name of a service of PAM, and where its module writes."""
    if os.geteuid() != 0:
        lacking("only root may write to /etc/pam.d")
    check = tmp_path / "check"
    check.write_text(CHECK.format(folder=tmp_path, secret=SECRET.decode()))
    check.chmod(0o755)
    name = f"perdition-test-{os.getpid()}"
    file = Path("/etc/pam.d", name)
    file.write_text(
        f"auth required pam_exec.so expose_authtok quiet {check}\naccount required pam_exec.so {{}}\n".replace(
            "{}", "quiet /bin/true"
        )
    )
    try:
        yield name, tmp_path / "told"
    finally:
        file.unlink()


def options(server: ScriptedServer, service: str) -> dict[str, str | int | bool]:
    return {
        "authenticate_in": True,
        "pam_service": service,
        "outgoing_server": f"{HOST}:{server.port}",
        "debug": True,
    }


def authenticator(pid: int) -> int:
    """The process that asks PAM."""
    for child in children(pid):
        # It may have ended meanwhile.
        with contextlib.suppress(OSError):
            if "authenticator" in Path(f"/proc/{child}/cmdline").read_text():
                return child
    return 0


def log_in(port: int, name: str, password: bytes = SECRET) -> bytes:
    """Log in with POP3; what the client is told."""
    with socket.create_connection((HOST, port), 30) as sock:
        read_line(sock)
        sock.sendall(b"USER %b\r\n" % name.encode())
        read_line(sock)
        sock.sendall(b"PASS %b\r\n" % password)
        return read_line(sock)


def accepted(port: int, name: str, server: ScriptedServer) -> bytes:
    """Log in where the real server takes every password; the name that it got."""
    given: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        sock.sendall(b"+OK ready\r\n")
        given.append(read_line(sock))
        sock.sendall(b"+OK\r\n")
        read_line(sock)
        sock.sendall(b"+OK in\r\n")
        read_line(sock)

    with server.serving(serve):
        assert log_in(port, name).startswith(b"+OK")
    return given[0]


def test_who_pam_refuses_does_not_reach_the_real_server(
    start: Start, service: tuple[str, Path]
) -> None:
    name, told = service
    with ScriptedServer() as server:
        program = start("POP3", options(server, name))
        answer = log_in(program.port, "ann", b"wrong")
        assert answer == b"-ERR [AUTH] Authentication failure, mate\r\n"
        line = program.wait_log('Auth: .*authentication_id="ann".*status="(.*)"')
        assert line[1] == "failed: local authentication failure"
        assert accepted(program.port, "ann", server) == b"USER ann\r\n"
        assert told.read_text().splitlines()[-1] == f"user=ann ruser=ann rhost={HOST} type=auth"
        assert SECRET.decode() not in program.log()


def test_names_are_those_for_local_authentication(start: Start, service: tuple[str, Path]) -> None:
    name, told = service
    with ScriptedServer() as server:
        more = {"add_domain": "local_auth", "explicit_domain": "x", "strip_domain": "remote_login"}
        program = start("POP3", {**options(server, name), **more})
        assert accepted(program.port, "bob", server) == b"USER bob\r\n"
        assert "user=bob@x " in told.read_text()


def test_what_takes_too_long_is_no_refusal_and_ends(
    start: Start, service: tuple[str, Path]
) -> None:
    name, told = service
    with ScriptedServer() as server:
        program = start("POP3", {**options(server, name), "authenticate_timeout": 2})
        with socket.create_connection((HOST, program.port), 30) as slow:
            read_line(slow)
            slow.sendall(b"USER slow\r\nPASS x\r\n")
            read_line(slow)
            # Others do not wait for it.
            assert accepted(program.port, "ann", server) == b"USER ann\r\n"
            answer = b"-ERR [SYS/TEMP] failed: local authentication out of order\r\n"
            assert read_line(slow) == answer
        wait_until(lambda: len(children(authenticator(program.pid))) == 0, 30, "PAM's process ends")
    # pam_exec has put it into a session of its own.
    os.kill(int((told.parent / "slow").read_text()), signal.SIGKILL)


def test_a_service_that_is_broken_is_no_refusal(start: Start, service: tuple[str, Path]) -> None:
    name, _told = service
    Path("/etc/pam.d", name).write_text("auth required pam_is_not_there.so\n")
    with ScriptedServer() as server:
        program = start("POP3", options(server, name))
        assert b"[SYS/TEMP]" in log_in(program.port, "ann")
        program.wait_log("local authentication: service .*: Module is unknown")


def test_an_authenticator_that_dies_has_a_follower(start: Start, service: tuple[str, Path]) -> None:
    name, _told = service
    with ScriptedServer() as server:
        program = start("POP3", options(server, name))
        first = authenticator(program.pid)
        os.kill(first, signal.SIGKILL)

        def follower() -> int | None:
            found = authenticator(program.pid)
            return found if found not in (0, first) else None

        second = wait_until(follower, 30, "another authenticator")
        assert accepted(program.port, "ann", server) == b"USER ann\r\n"
        program.stop()
        wait_until(lambda: not is_running(second), 30, "it ends with the program")


def test_a_hundred_clients_at_once_are_let_in(start: Start, service: tuple[str, Path]) -> None:
    name, _told = service

    def serve(sock: socket.socket) -> None:
        sock.sendall(b"+OK ready\r\n")
        for answer in (b"+OK\r\n", b"+OK in\r\n", b"+OK bye\r\n"):
            read_line(sock)
            sock.sendall(answer)

    with ScriptedServer() as server:
        program = start("POP3", options(server, name))
        with server.serving(serve):
            clients = [poplib.POP3(HOST, program.port, 60) for _ in range(100)]
            for client in clients:
                client.user("ann")
            for client in clients:
                assert client.pass_(SECRET.decode()).startswith(b"+OK")
            for client in clients:
                client.quit()
