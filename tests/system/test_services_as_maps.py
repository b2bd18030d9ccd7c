"""Maps that ask a service: of HTTP, Redis, and a function of Python."""

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.auth_service import AuthService, Request, Response, allowed, refused
from support.clients import Pop, Refused
from support.dovecot import PASSWORD
from support.processes import HOST, wait_until
from support.program import Options, Perdition, Start
from support.redis_server import RedisServer
from support.scripted import ScriptedServer, read_line

pytestmark = pytest.mark.system
SECONDS = 30
SECRET = "geheim-7Zq"
LOOK_UP_FAILED = r"-ERR \[SYS/TEMP\] failed: Map out of order"


class RealServer:
    """A real server that lets everybody in.

    Attributes:
        port: where it listens.
        logins: name and password of everybody.
    """

    def __init__(self) -> None:
        self._server = ScriptedServer()
        self.port = self._server.port
        self.logins: list[tuple[bytes, bytes]] = []

    def _talk(self, sock: socket.socket) -> None:
        sock.sendall(b"+OK ready\r\n")
        user = read_line(sock)
        sock.sendall(b"+OK\r\n")
        self.logins.append((user, read_line(sock)))
        sock.sendall(b"+OK in\r\n")
        sock.recv(1)

    @contextlib.contextmanager
    def serving(self) -> Iterator["RealServer"]:
        with self._server, self._server.serving(self._talk):
            yield self


@pytest.fixture
def real() -> Iterator[RealServer]:
    with RealServer().serving() as server:
        yield server


def options(library: str, option: str) -> Options:
    return {
        "map_library": library,
        "map_library_opt": option,
        "map_timeout": 5,
        "outgoing_server": f"{HOST}:1",
        "username_from_database": True,
        "debug": True,
        "connection_logging": True,
    }


def log_in(proxy: Perdition, user: str) -> None:
    with contextlib.closing(Pop(proxy.port)) as client:
        client.log_in(user, PASSWORD)


def test_a_service_of_http_lets_in_refuses_and_is_down(start: Start, real: RealServer) -> None:
    def judge(request: Request) -> Response:
        if request["Auth-User"] != "ann":
            return refused("Invalid login or password")
        return allowed(real.port, ("Auth-User", "carol"), ("Auth-Pass", SECRET))

    with AuthService(judge) as service:
        url = f"http://us:{SECRET}@{HOST}:{service.port}/auth?key={SECRET}"
        proxy = start("POP3", options("http", f"{url} header=X-Key:{SECRET}"))
        log_in(proxy, "ann")
        assert real.logins == [(b"USER carol\r\n", f"PASS {SECRET}\r\n".encode())]
        proxy.wait_log(r'authentication_id="carol" server="127\.0\.0\.1:\d+" .* status="ok"$')
        with pytest.raises(Refused, match=r"-ERR \[AUTH\] failed: Re-Authentication Failure"):
            log_in(proxy, "bob")
        proxy.wait_log("map: Invalid login or password: ")
        proxy.wait_log(
            r'Auth: .* authentication_id="bob" server="\(null\):\(null\)" .* '
            'status="failed: Re-Authentication Failure"$'
        )
        first, second = service.requests
        assert first.line == f"GET /auth?key={SECRET} HTTP/1.1"
        assert (first["Auth-Pass"], first["Auth-Protocol"]) == (PASSWORD, "pop3")
        assert (first["Client-IP"], first["Auth-Login-Attempt"]) == (HOST, "1")
        assert second["X-Key"] == SECRET
    with pytest.raises(Refused, match=LOOK_UP_FAILED):
        log_in(proxy, "ann")
    proxy.wait_log(rf"map: http: http://{HOST}:{service.port}: Connection refused$")
    assert len(real.logins) == 1
    assert "map_library_opt=" in proxy.log()
    assert SECRET not in proxy.log()


def test_a_second_attempt_is_said_to_be_one(start: Start, real: RealServer) -> None:
    with AuthService(lambda _: refused("No")) as service:
        proxy = start("IMAP4", options("http", f"http://{HOST}:{service.port}/"))
        with proxy.connect() as sock:
            read_line(sock)
            for number in (b"1", b"2"):
                sock.sendall(b"%b LOGIN ann x\r\n" % number)
                assert read_line(sock).startswith(b"%b NO [AUTHENTICATIONFAILED] " % number)
        assert [each["Auth-Login-Attempt"] for each in service.requests] == ["1", "2"]
        assert {each["Auth-Protocol"] for each in service.requests} == {"imap"}
    assert not real.logins


def test_redis_finds_does_not_find_and_is_down(start: Start, real: RealServer) -> None:
    with RedisServer(password=SECRET) as server:
        server.client.set("perdition:ann", f"carol@{HOST}:{real.port}")
        option = f"redis://:{SECRET}@{HOST}:{server.port} key=perdition:%s"
        proxy = start("POP3", options("redis", option))
        log_in(proxy, "ann")
        assert real.logins == [(b"USER carol\r\n", f"PASS {PASSWORD}\r\n".encode())]
        with pytest.raises(Refused, match=r"-ERR \[SYS/TEMP\] failed"):
            log_in(proxy, "bob")
        proxy.wait_log(r'authentication_id="bob" server="127\.0\.0\.1:1" ')
        server.kill()
        with pytest.raises(Refused, match=LOOK_UP_FAILED):
            log_in(proxy, "ann")
        server.start()
        server.client.set("perdition:ann", f"{HOST}:{real.port}")
        log_in(proxy, "ann")
    assert SECRET not in proxy.log()


def test_a_function_finds_and_fails_and_is_read_again_at_hup(
    start: Start, real: RealServer, tmp_path: Path
) -> None:
    file = tmp_path / "our_map.py"
    file.write_text(f"def find(user):\n    return {{'ann': '{HOST}:{real.port}'}}[user]\n")
    proxy = start("POP3", options("python", f"{file}:find"))
    log_in(proxy, "ann")
    assert real.logins == [(b"USER ann\r\n", f"PASS {PASSWORD}\r\n".encode())]
    with pytest.raises(Refused, match=LOOK_UP_FAILED):
        log_in(proxy, "bob")
    proxy.wait_log(rf"map: python: {file}:find: KeyError: 'bob'$")
    file.write_text(f"def find(user):\n    return 'bob@{HOST}:{real.port}'\n")
    before = proxy.workers()
    proxy.kill(signal.SIGHUP)
    wait_until(lambda: not set(before) & set(proxy.workers()), SECONDS, "there are new workers")
    log_in(proxy, "zoe")
    assert real.logins[-1][0] == b"USER bob\r\n"
