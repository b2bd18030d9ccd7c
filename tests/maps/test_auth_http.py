"""http: a service that is asked as nginx's mail proxy asks it."""

import base64
import contextlib
import re
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perdition.identity import Ends
from perdition.maps import Answer, Found, MapFailed, MapSettings, Query, Refusal
from perdition.maps.auth_http import AuthHttp
from perdition.maps.choice import open_map
from perdition.net import ServerItem
from support.auth_service import AuthService, Request, Response, allowed, refused
from support.certificates import Pki
from support.nginx import Nginx
from support.processes import HOST, free_port, wait_until
from support.scripted import ScriptedServer, read_line

PATH = "/auth/x?y=1"
ENDS = Ends("127.0.0.1", 40000, "127.0.0.1", 143)
PASSWORD = b"sesame-Ab1"
EVERY_OCTET = bytes(range(256))
# nginx tells what no session of ours knows.
NGINX_ALONE = {"Auth-SSL-Protocol", "Auth-SSL-Cipher"}
TIMEOUT = 0.6


def yes(_request: Request) -> Response:
    return allowed(143)


def query(
    key: bytes = b"ann", password: bytes = PASSWORD, protocol: str = "IMAP4", secure: str = "plaintext"
) -> Query:  # fmt: skip
    return Query(key, ENDS, protocol, "Typed", password, 1, secure)


@contextlib.contextmanager
def opened(option: str, timeout: float = 5, connections: int = 8) -> Iterator[AuthHttp]:
    found = AuthHttp(option, MapSettings(timeout=timeout, connections=connections))
    try:
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def served(
    answer: Callable[[Request], Response], timeout: float = 5, connections: int = 8
) -> Iterator[tuple[AuthService, AuthHttp]]:
    """A service, and the map that asks it."""
    with (
        AuthService(answer) as service,
        opened(f"http://{HOST}:{service.port}/", timeout, connections) as found,
    ):
        yield service, found


@contextlib.contextmanager
def played(
    script: Callable[[socket.socket], None],
    url: str = "http://{place}/",
    timeout: float = 5,
    connections: int = 8,
) -> Iterator[AuthHttp]:
    """The map that asks a server whose part the test plays."""
    with (
        ScriptedServer() as server,
        server.serving(script),
        opened(url.format(place=f"{HOST}:{server.port}"), timeout, connections) as found,
    ):
        yield found


def ask(answer: Callable[[Request], Response], of: Query | None = None) -> Found:
    with served(answer) as (_, found):
        return found.lookup(of or query())


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


class Sites:
    """A service, and an nginx that asks it."""

    def __init__(self, service: AuthService, nginx: Nginx, ca: str) -> None:
        self.service, self.nginx, self.ca = service, nginx, ca

    def imap(self, user: bytes, password: bytes, *, tls: bool = False) -> bytes:
        """What nginx tells who logs in."""
        with self._connected("imaps" if tls else "imap", tls) as sock:
            sock.sendall(b"a LOGIN {%d}\r\n" % len(user))
            read_line(sock)
            sock.sendall(user + b" {%d}\r\n" % len(password))
            read_line(sock)
            sock.sendall(password + b"\r\n")
            return read_line(sock)

    def pop3(self, user: bytes, password: bytes) -> bytes:
        with self._connected("pop3", tls=False) as sock:
            sock.sendall(b"USER %b\r\n" % user)
            read_line(sock)
            sock.sendall(b"PASS %b\r\n" % password)
            return read_line(sock)

    @contextlib.contextmanager
    def _connected(self, listener: str, tls: bool) -> Iterator[socket.socket]:
        sock = socket.create_connection((HOST, self.nginx.ports[listener]), 10)
        if tls:
            context = ssl.create_default_context(cafile=self.ca)
            sock = context.wrap_socket(sock, server_hostname=HOST)
        with sock:
            read_line(sock)
            yield sock


@pytest.fixture(scope="module")
def sites(pki: Pki) -> Iterator[Sites]:
    with AuthService(yes) as service:
        pem = Path(pki.file("for names")).read_bytes()
        with Nginx(service.port, PATH, pem) as nginx:
            yield Sites(service, nginx, pki.file("ca"))


LOGINS = [
    ("imap", b"ann@example.org", b"pass word"),
    ("imap", b"u" + EVERY_OCTET, b"p" + EVERY_OCTET),
    ("imap", b"ann\r\nAuth-Status: OK", b"x\r\n\r\nGET / HTTP/1.0"),
    ("imaps", b"ann", b"100%\xe9"),
    ("pop3", b"b\xf6b", b"a b%20c"),
]


@pytest.mark.parametrize(("listener", "user", "password"), LOGINS)
def test_a_login_is_asked_as_nginx_asks_it(
    sites: Sites, listener: str, user: bytes, password: bytes
) -> None:
    sites.service.answer = lambda _: refused("No")
    if listener == "pop3":
        assert sites.pop3(user, password) == b"-ERR No\r\n"
    else:
        assert sites.imap(user, password, tls=listener == "imaps") == b"a NO No\r\n"
    asked = query(
        user, password, listener.removesuffix("s").upper(), "ssl" if listener == "imaps" else "plaintext"
    )  # fmt: skip
    option = f"http://{HOST}:{sites.service.port}{PATH} header='X-Auth-Key: a key'"
    with opened(option) as found:
        assert found.lookup(asked) == Refusal("No")
    theirs, ours = sites.service.requests[-2:]
    assert theirs.line == f"GET {PATH} HTTP/1.0"
    assert ours.line == f"GET {PATH} HTTP/1.1"
    assert ours.fields == [each for each in theirs.fields if each[0] not in NGINX_ALONE]


# Status and headers, then what nginx makes of it.
ANSWERS: list[tuple[Response, str]] = [
    (allowed(0), "in"),
    (Response([("auth-status", " OK "), ("AUTH-SERVER", HOST), ("Auth-port", "0")]), "in"),
    (allowed(0, ("Auth-User", "carol%20x"), ("Auth-Pass", "p%20q é")), "in"),
    (allowed(0, ("Auth-Pass", "")), "in"),
    (refused("Invalid login or password"), "no"),
    (refused("ok"), "no"),
    (refused(""), "no"),
    (refused("Go away", 403), "no"),
    (Response([*allowed(0).fields, ("Auth-Status", "Not really")]), "no"),
    (Response([("Auth-Status", "OK")]), "error"),
    (allowed(0, host="no address of anything"), "error"),
    (Response([("Auth-Status", "OK"), ("Auth-Server", HOST), ("Auth-Port", "70000")]), "error"),
]


@pytest.mark.parametrize(("answer", "outcome"), ANSWERS)
def test_an_answer_is_taken_as_nginx_takes_it(sites: Sites, answer: Response, outcome: str) -> None:
    logins = []

    def log_in(sock: socket.socket) -> None:
        sock.sendall(b"* OK ready\r\n")
        read_line(sock)
        sock.sendall(b"+ go on\r\n")
        user = read_line(sock).rpartition(b" ")[0]
        sock.sendall(b"+ go on\r\n")
        logins.append((user, read_line(sock).rstrip(b"\r\n")))
        sock.sendall(b"a OK in\r\n")

    with ScriptedServer() as server, server.serving(log_in):
        port = str(server.port)
        fields = [(name, port if value == "0" else value) for name, value in answer.fields]
        sites.service.answer = lambda _: answer._replace(fields=fields)
        told = sites.imap(b"ann", b"typed")
    with opened(f"http://{HOST}:{sites.service.port}/") as found:
        if outcome == "error":
            assert told == b"* BAD internal server error\r\n"
            with pytest.raises(MapFailed):
                found.lookup(query())
            return
        ours = found.lookup(query())
    if isinstance(ours, Refusal):
        assert outcome == "no"
        assert told == b"a NO %b\r\n" % ours.reason.encode()
        return
    assert isinstance(ours, Answer)
    assert (outcome, told) == ("in", b"a OK in\r\n")
    (item,) = ours.destinations
    assert (item.host, item.port) == (HOST, port)
    password = b"typed" if ours.password is None else ours.password
    assert logins == [(item.user.encode() or b"ann", password)]


def test_the_names_and_the_password_of_the_answer_are_octets() -> None:
    octets = bytes(range(0x21, 0x100)).replace(b"\x7f", b"")
    text = octets.decode("latin-1")
    found = ask(
        lambda _: allowed(143, ("Auth-User", text), ("Auth-Pass", text), host="mail.example.org")
    )
    user = octets.decode("utf-8", "surrogateescape")
    assert found == Answer([ServerItem(user, "mail.example.org", "143")], octets)


def test_the_password_of_an_answer_is_not_in_its_text() -> None:
    found = ask(lambda _: allowed(143, ("Auth-Pass", "geheim")))
    assert isinstance(found, Answer)
    assert found.password == b"geheim"
    assert "geheim" not in repr(found)


def test_a_server_may_be_an_address_in_brackets_and_need_no_port() -> None:
    found = ask(lambda _: Response([("Auth-Status", "OK"), ("Auth-Server", "[::1]")]))
    assert found == Answer([ServerItem("", "::1", "")])


NONSENSE = [
    (Response([]), "no Auth-Status"),
    (Response([("Auth-Server", HOST), ("Auth-Port", "143")]), "no Auth-Status"),
    (Response([("Auth-Status", "OK"), ("Auth-Port", "143")]), "no Auth-Server"),
    (allowed(143, host="a b"), "not the name of a host"),
    (allowed(143, host="http://mail/"), "not the name of a host"),
    (
        Response([("Auth-Status", "OK"), ("Auth-Server", HOST), ("Auth-Port", "imap")]),
        "not a number of a port",
    ),
    (allowed(143, ("Auth-User", "a\0b")), "not the name of a user"),
    (allowed(143, ("Auth-Pass", "geheim\0")), "Auth-Pass"),
    (Response([("Location", "/elsewhere")], 302), "HTTP status 302"),
    (refused("OK", 404), "HTTP status 404"),
    (Response([], 401), "HTTP status 401"),
    (refused("Temporary", 503), "HTTP status 503"),
    (allowed(143)._replace(status=500), "HTTP status 500"),
]


@pytest.mark.parametrize(("answer", "reason"), NONSENSE)
def test_an_answer_that_is_none_is_out_of_order(answer: Response, reason: str) -> None:
    with pytest.raises(MapFailed, match=f"^http: http://{HOST}:[0-9]+: .*{reason}") as failure:
        ask(lambda _: answer)
    assert "geheim" not in str(failure.value)


RAW = [
    b"",
    b"hello\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"* OK IMAP4 ready\r\n",
    b"HTTP/1.1 abc\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nAuth-Status: " + b"x" * 70_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nwhat is this\r\nAuth-Server: 127.0.0.1\r\n\r\n",
]


@pytest.mark.parametrize("raw", RAW, ids=range(len(RAW)))
def test_garbage_is_out_of_order_and_not_shown(raw: bytes) -> None:
    def script(sock: socket.socket) -> None:
        while read_line(sock) != b"\r\n":
            pass
        sock.sendall(raw)

    with (
        played(script, "http://{place}/?key=geheim") as found,
        pytest.raises(MapFailed) as failure,
    ):
        found.lookup(query())
    assert not re.search(r"geheim|hello|SSH|ready|sesame", str(failure.value))


def test_what_is_sent_back_to_us_is_not_shown() -> None:
    def echo(sock: socket.socket) -> None:
        sock.sendall(sock.recv(65536))

    with (
        played(echo, "http://u:geheim@{place}/?key=geheim") as found,
        pytest.raises(MapFailed, match="is no answer of HTTP") as failure,
    ):
        found.lookup(query())
    assert "geheim" not in str(failure.value)


def test_a_long_body_does_not_matter_nor_does_one_that_never_ends() -> None:
    with served(lambda _: allowed(143)._replace(body=b"x" * 1_000_000)) as (_, found):
        for _ in range(3):
            assert isinstance(found.lookup(query()), Answer)

    def script(sock: socket.socket) -> None:
        while read_line(sock) != b"\r\n":
            pass
        sock.sendall(b"HTTP/1.1 200 OK\r\nAuth-Status: No\r\nContent-Length: 5\r\n\r\n")
        sock.recv(1)

    with played(script, timeout=TIMEOUT) as found:
        assert found.lookup(query()) == Refusal("No")


HOSTILE = [
    b"",
    b"' OR 1=1 --",
    b"*)(uid=*",
    b"%s",
    b"\\",
    b"\0",
    b"ann\r\nAuth-Pass: other",
    b"x" * 10_000,
    b"m\xfcller",
    "müller".encode(),
]


def test_hostile_keys_arrive_as_they_are() -> None:
    with served(yes) as (service, found):
        for key in HOSTILE:
            assert isinstance(found.lookup(query(key, key)), Answer)
            fields = service.requests[-1].fields
            assert [name for name, _ in fields].count("Auth-Pass") == 1
            for name in ("Auth-User", "Auth-Pass"):
                octets = service.requests[-1][name].encode("latin-1")
                assert re.sub(rb"%(..)", lambda of: bytes.fromhex(of[1].decode()), octets) == key


def test_what_the_operator_wants_is_said_and_the_users_name_is_the_key() -> None:
    with AuthService(yes) as service:
        url = f"http://us%20er:p%40ss@{HOST}:{service.port}/a"
        with opened(
            f"{url} header=X-One:1 'header=X-Two: two words' header=host:auth.example"
        ) as found:
            found.lookup(query(b"key", protocol="MANAGESIEVE", secure="starttls"))
        (request,) = service.requests
    assert request["Authorization"] == "Basic " + base64.b64encode(b"us er:p@ss").decode()
    assert request["X-One"] == "1"
    assert request["X-Two"] == "two words"
    assert request["Host"] == "auth.example"
    assert request["Auth-User"] == "key"
    assert request["Auth-Protocol"] == "sieve"
    assert request["Auth-SSL"] == "on"


def test_where_nobody_is_connected_no_address_is_sent() -> None:
    with served(yes) as (service, found):
        found.lookup(Query(b"ann"))
        assert "Client-IP" not in dict(service.requests[0].fields)


def test_connections_are_kept() -> None:
    with served(yes) as (service, found):
        for _ in range(5):
            found.lookup(query())
        assert len(service.peers) == 1


def test_a_service_of_http_1_0_is_asked_with_a_connection_each() -> None:
    with AuthService(yes, version="HTTP/1.0") as service:
        with opened(f"http://{HOST}:{service.port}/") as found:
            for _ in range(3):
                assert isinstance(found.lookup(query()), Answer)
        assert len(service.peers) == 3


def test_many_threads_have_few_connections() -> None:
    together = threading.Barrier(3)

    def slowly(_request: Request) -> Response:
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(0.05)
        return allowed(143)

    with served(slowly, connections=3) as (service, found):
        with ThreadPoolExecutor(50) as threads:
            answers = list(threads.map(lambda _: found.lookup(query()), range(150)))
        assert len(service.requests) == len(answers) == 150
        assert 1 < len(service.peers) <= 3


def test_a_service_that_is_down_fails_fast_and_one_that_is_back_is_asked() -> None:
    with free_port() as port, opened(f"http://{HOST}:{port}/") as found:
        start = time.monotonic()
        with pytest.raises(MapFailed, match=f"^http: http://{HOST}:{port}: Connection refused$"):
            found.lookup(query())
        for _ in range(3):
            with AuthService(yes, port=port):
                assert isinstance(found.lookup(query()), Answer)
            with pytest.raises(MapFailed, match="Connection refused"):
                found.lookup(query())
        assert time.monotonic() - start < 12


def test_a_connection_that_is_closed_at_the_wrong_moment_is_replaced() -> None:
    def one_answer(sock: socket.socket) -> None:
        while read_line(sock) != b"\r\n":
            pass
        sock.sendall(b"HTTP/1.1 200 OK\r\nAuth-Status: No\r\nContent-Length: 0\r\n\r\n")
        # The next request is read, and not answered.
        read_line(sock)

    with played(one_answer) as found:
        for _ in range(3):
            assert found.lookup(query()) == Refusal("No")


@pytest.mark.parametrize("first", ["102 Processing", "103 Early Hints"])
def test_an_answer_that_follows_a_first_word_is_nobody_elses(first: str) -> None:
    is_told = threading.Event()

    def twice(sock: socket.socket) -> None:
        while read_line(sock) != b"\r\n":
            pass
        sock.sendall(f"HTTP/1.1 {first}\r\n\r\n".encode())
        is_told.wait(10)
        with contextlib.suppress(OSError):
            sock.sendall(b"HTTP/1.1 200 OK\r\nAuth-Status: No\r\nContent-Length: 0\r\n\r\n")
            read_line(sock)

    with played(twice) as found:
        for _ in range(2):
            with pytest.raises(MapFailed, match="HTTP status 10"):
                found.lookup(query())
        is_told.set()


def silent(sock: socket.socket) -> None:
    sock.recv(1)
    sock.recv(65536)
    sock.recv(1)


def an_octet_at_a_time(sock: socket.socket) -> None:
    """Answer, 20 octets a second, until the client has gone."""
    sock.recv(65536)
    for octet in b"HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 127.0.0.1" * 10:
        sock.sendall(bytes([octet]))
        if select.select([sock], [], [], 0.05)[0]:
            return


@pytest.mark.parametrize("script", [silent, an_octet_at_a_time])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_service_that_is_too_slow_is_out_of_order_in_time(
    script: Callable[[socket.socket], None], scheme: str
) -> None:
    with played(script, scheme + "://{place}/", TIMEOUT) as found:
        start = time.monotonic()
        with pytest.raises(MapFailed):
            found.lookup(query())
        assert time.monotonic() - start < TIMEOUT + 8


def test_one_that_answers_an_octet_at_a_time_under_tls_is_out_of_order_in_time(pki: Pki) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.file("for names"))

    def script(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as secured:
            an_octet_at_a_time(secured)

    with played(script, f"https://{{place}}/ ca={pki.file('ca')}", TIMEOUT) as found:
        start = time.monotonic()
        with pytest.raises(MapFailed, match="timed out"):
            found.lookup(query())
        assert time.monotonic() - start < TIMEOUT + 8


def test_those_who_wait_for_a_connection_wait_no_longer_either() -> None:
    def lookup(found: AuthHttp) -> float:
        start = time.monotonic()
        with pytest.raises(MapFailed, match=r"timed out|in use"):
            found.lookup(query())
        return time.monotonic() - start

    with played(silent, timeout=TIMEOUT, connections=2) as found, ThreadPoolExecutor(20) as threads:
        assert max(threads.map(lambda _: lookup(found), range(20))) < TIMEOUT + 0.4


def test_a_late_answer_is_not_taken_for_that_of_the_next_user() -> None:
    gone = threading.Event()

    def late(request: Request) -> Response:
        if request["Auth-User"] == "slow":
            gone.wait(10)
        return allowed(143, ("Auth-User", "is " + request["Auth-User"]))

    with served(late, TIMEOUT, connections=1) as (service, found):
        assert isinstance(found.lookup(query(b"first")), Answer)
        with pytest.raises(MapFailed, match="timed out"):
            found.lookup(query(b"slow"))
        gone.set()
        for _ in range(3):
            assert found.lookup(query(b"bob")) == Answer([ServerItem("is bob", HOST, "143")])
        assert len(service.peers) == 2


def test_services_are_asked_in_order() -> None:
    with free_port() as nobody, AuthService(yes) as first, AuthService(yes) as second:
        down, one, other = (f"http://{HOST}:{port}/" for port in (nobody, first.port, second.port))
        with opened(f"{down} {one} {other}") as found:
            for _ in range(3):
                assert isinstance(found.lookup(query()), Answer)
        assert (len(first.requests), len(second.requests)) == (3, 0)


def test_where_one_has_failed_the_next_one_is_asked() -> None:
    with AuthService(lambda _: Response([], 500)) as broken, AuthService(yes) as good:
        with opened(f"http://{HOST}:{broken.port}/ http://{HOST}:{good.port}/") as found:
            for _ in range(3):
                assert isinstance(found.lookup(query()), Answer)
        # For a while it is asked after the other.
        assert (len(broken.requests), len(good.requests)) == (1, 3)


def test_a_refusal_is_an_answer_and_no_other_service_is_asked() -> None:
    with AuthService(lambda _: refused("No")) as first, AuthService(yes) as second:
        with opened(f"http://{HOST}:{first.port}/ http://{HOST}:{second.port}/") as found:
            assert found.lookup(query()) == Refusal("No")
        assert not second.requests


def test_a_silent_service_leaves_time_for_the_next_one() -> None:
    with (
        AuthService(yes) as second,
        played(silent, f"http://{{place}}/ http://{HOST}:{second.port}/", 4) as found,
    ):
        start = time.monotonic()
        assert isinstance(found.lookup(query()), Answer)
        assert isinstance(found.lookup(query()), Answer)
        assert time.monotonic() - start < 4


def test_where_all_have_failed_it_is_said_why() -> None:
    with free_port() as nobody, AuthService(lambda _: Response([], 500)) as broken:
        first, second = (f"http://{HOST}:{port}" for port in (nobody, broken.port))
        with opened(f"{first} {second}/") as found, pytest.raises(MapFailed) as failure:
            found.lookup(query())
    assert str(failure.value) == f"http: {first}: Connection refused; {second}: HTTP status 500"


@contextlib.contextmanager
def tls_service(pki: Pki, certificate: str) -> Iterator[AuthService]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.file(certificate))
    with AuthService(yes, tls=context) as service:
        yield service


def test_a_service_with_a_good_certificate_is_asked_by_https(pki: Pki) -> None:
    with tls_service(pki, "for names") as service:
        with opened(f"https://{HOST}:{service.port}/ ca={pki.file('ca')}") as found:
            for _ in range(3):
                assert isinstance(found.lookup(query()), Answer)
        assert len(service.peers) == 1


@pytest.mark.parametrize(
    ("certificate", "ca"),
    [("self-signed", "ca"), ("for names", "other ca"), ("for names", ""), ("other name", "ca"), ("expired", "ca")],
)  # fmt: skip
def test_one_with_a_bad_certificate_gets_no_password(pki: Pki, certificate: str, ca: str) -> None:
    with tls_service(pki, certificate) as service:
        option = f"https://{HOST}:{service.port}/" + (f" ca='{pki.file(ca)}'" if ca else "")
        with opened(option) as found, pytest.raises(MapFailed, match="certificate verify failed"):
            found.lookup(query())
        assert not service.requests


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    assert isinstance(ask(yes), Answer)


def test_a_name_of_a_host_and_an_ipv6_address_do_as_well() -> None:
    with AuthService(yes) as service, opened(f"http://localhost:{service.port}") as found:
        assert isinstance(found.lookup(query()), Answer)
        assert service.requests[0].line == "GET / HTTP/1.1"
    with AuthService(yes, host="::1") as service, opened(f"http://[::1]:{service.port}/") as found:
        assert isinstance(found.lookup(query()), Answer)
        assert service.requests[0]["Host"] == "[::1]"
    with (
        opened("http://nobody.invalid/", TIMEOUT) as found,
        pytest.raises(MapFailed, match=r"nobody\.invalid"),
    ):
        found.lookup(query())


OPTIONS = [
    ("", "there is no URL"),
    ("/etc/passwd", "word 1"),
    ("ftp://host/", "word 1"),
    ("http://host/ geheim", "word 2"),
    ("http://host/ header=X-Key: geheim", "word 3"),
    ("http://host/ header=geheim", "header="),
    ("http://host/ 'header=X:a\ngeheim'", "header="),
    ("http://host/ header='geheim", "No closing quotation"),
    ("http://user:geheim", "URL 1"),
    ("http://h/ http://user:ge/heim@host/", "URL 2"),
    ("http:///geheim", "URL 1"),
    ("'http://host/ge\nheim'", "URL 1"),
    ("https://host/ ca=/no/such/file", "/no/such/file: No such file or directory"),
]


@pytest.mark.parametrize(("option", "reason"), OPTIONS)
def test_a_wrong_option_says_what_is_wrong_and_shows_no_secret(option: str, reason: str) -> None:
    with pytest.raises(MapFailed, match=reason) as failure:
        AuthHttp(option, MapSettings())
    assert not re.search("ge.?heim", str(failure.value))


def test_opening_makes_no_connection_and_closing_is_no_end() -> None:
    with AuthService(yes) as service:
        found = AuthHttp(f"http://{HOST}:{service.port}/", MapSettings())
        assert not service.requests
        assert isinstance(found.lookup(query()), Answer)
        found.close()
        assert isinstance(found.lookup(query()), Answer)
        found.close()
        assert len(service.peers) == 2
        wait_until(lambda: not service.connections, 5, "the connections are closed")


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "urllib3", None)
    monkeypatch.delitem(sys.modules, "perdition.maps.auth_http")
    with pytest.raises(MapFailed, match=r"python3-urllib3 or PyPI's perdition\[http\]"):
        open_map("http", "http://host/", MapSettings())


def test_answers_are_not_to_be_remembered() -> None:
    assert not AuthHttp.by_key_alone
