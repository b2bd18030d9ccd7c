"""ldap: servers that are down, silent, not the ones they should be; and TLS."""

import contextlib
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from perdition.maps import (
    Answer,
    MapFailed,
    MapSettings,
    Query,
    deadlines,
    ldap_server,
    servers,
)
from perdition.maps import Found as MapFound
from perdition.maps.ldap_connection import Found, Search
from perdition.maps.ldap_directory import Ldap
from perdition.maps.ldap_url import Directory, Server, read_option
from perdition.net import ServerItem
from support.certificates import Pki, certificates_pem
from support.processes import HOST, free_port
from support.slapd import ADMIN, MAILBOXES, PASSWORD, SUFFIX, Slapd, mailbox

REST = f"{MAILBOXES}?username,mailhost,port?one?(uid=%s)"
WITH_PASSWORD = f"{REST}?BINDNAME={ADMIN.replace(',', '%2c')},X-BINDPW={PASSWORD}"
# What a look-up may take, and what the machine may take beside that.
SECONDS, SLACK = 1, 8
# LDAP messages (RFC 4511): "yes" to StartTLS, number 1, and to the bind, number 2.
TLS_GRANTED = bytes.fromhex("300c02010178070a010004000400")
BOUND = bytes.fromhex("300c02010261070a010004000400")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def slapds(pki: Pki) -> Iterator[tuple[Slapd, Slapd]]:
    pem, ca = Path(pki.file("for names")).read_bytes(), certificates_pem(pki.ca)
    with (
        Slapd(mailbox("ann", mailhost="first"), pem=pem, ca=ca) as first,
        Slapd(mailbox("ann", mailhost="second")) as second,
    ):
        yield first, second


@pytest.fixture
def first(slapds: tuple[Slapd, Slapd]) -> Slapd:
    return slapds[0]


@pytest.fixture
def second(slapds: tuple[Slapd, Slapd]) -> Slapd:
    return slapds[1]


@contextlib.contextmanager
def opened(option: str, seconds: float = SECONDS, connections: int = 8) -> Iterator[Ldap]:
    directory = Ldap(option, MapSettings("@", seconds, connections))
    try:
        yield directory
    finally:
        directory.close()


@contextlib.contextmanager
def stopped(server: Slapd) -> Iterator[None]:
    server.kill(signal.SIGSTOP)
    try:
        yield
    finally:
        server.kill(signal.SIGCONT)


@contextlib.contextmanager
def silent(backlog: int = 64) -> Iterator[int]:
    """A port that takes connections and says nothing; with a backlog of 0 it does not take any."""
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.bind((HOST, 0))
        sock.listen(backlog)
        if not backlog:
            for _ in range(4):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(sock.getsockname())
        yield sock.getsockname()[1]


@contextlib.contextmanager
def saying(octets: bytes, close: bool = False) -> Iterator[int]:
    """A port where these octets are said to all that comes."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = sock.accept()
                stack.enter_context(peer)
                if not close:
                    peer.recv(1024)
                peer.sendall(octets)
                if close:
                    peer.close()

    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.bind((HOST, 0))
        sock.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            sock.shutdown(socket.SHUT_RDWR)
            thread.join()


def lookup(directory: Ldap, key: bytes = b"ann") -> MapFound:
    return directory.lookup(Query(key))


def host(directory: Ldap) -> str:
    found = lookup(directory)
    assert isinstance(found, Answer)
    return found.destinations[0].host


def trouble(directory: Ldap, seconds: float = SECONDS + SLACK) -> str:
    """Why a look-up failed; it had to do so in time, in one line and without the password."""
    start = time.monotonic()
    with pytest.raises(MapFailed) as caught:
        lookup(directory)
    assert time.monotonic() - start < seconds
    text = str(caught.value)
    assert PASSWORD not in text
    assert "\n" not in text
    return text


def test_a_server_that_is_down_at_start_is_noticed_at_a_lookup(first: Slapd) -> None:
    first.stop()
    try:
        with opened(f"{first.url}/{REST}") as directory:
            assert trouble(directory, 0.9) == f"{first.url}: Connection refused"
            first.start()
            assert host(directory) == "first"
    finally:
        first.stop()
        first.start()


def test_a_server_that_was_killed_and_is_back_is_not_missed(first: Slapd) -> None:
    with opened(f"{first.url}/{WITH_PASSWORD}") as directory:
        for _ in range(2):
            assert host(directory) == "first"
            first.stop()
            for _ in range(2):
                assert trouble(directory, 0.9) == f"{first.url}: Connection refused"
            first.start()
        assert host(directory) == "first"
        first.stop()
        first.start()
        assert host(directory) == "first"


@pytest.mark.parametrize("scheme", ["ldap", "ldaps", "ldapi", "StartTLS"])
def test_a_server_that_stops_is_out_of_order_in_time(first: Slapd, pki: Pki, scheme: str) -> None:
    url = {"ldaps": f"ldaps://{HOST}:{first.tls_port}", "ldapi": first.socket_url}
    more = f"X-TLS-CACERT={pki.file('ca')}" + (",StartTLS" if scheme == "StartTLS" else "")
    with opened(f"{url.get(scheme, first.url)}/{REST}?{more}") as directory:
        with stopped(first):
            assert trouble(directory).endswith(": no answer in time")
        assert host(directory) == "first"
        with stopped(first):
            # This time over the connection that there is.
            assert trouble(directory).endswith(": no answer in time")
        assert host(directory) == "first"
        first.kill(signal.SIGSTOP)
    # It is closed, and that has not waited for anybody.
    first.kill(signal.SIGCONT)


@pytest.mark.parametrize("url", ["ldap://{}", "ldaps://{}", "ldap://{}/????StartTLS"])
def test_a_server_that_never_says_anything_is_out_of_order_in_time(url: str) -> None:
    with silent() as port, opened(url.format(f"{HOST}:{port}")) as directory:
        assert trouble(directory).endswith(f"://{HOST}:{port}: no answer in time")


def test_a_server_that_cannot_be_reached_is_out_of_order_in_time() -> None:
    with silent(backlog=0) as port, opened(f"ldap://{HOST}:{port}") as directory:
        assert trouble(directory) == f"ldap://{HOST}:{port}: no answer in time"


def test_waiting_for_a_connection_is_part_of_the_time() -> None:
    with silent() as port, opened(f"ldap://{HOST}:{port}", connections=1) as directory:
        texts: list[str] = []
        threads = [
            threading.Thread(target=lambda: texts.append(trouble(directory))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(texts) == 8
        # Who waited is told so, unless the connection became free at the very end.
        url = f"ldap://{HOST}:{port}"
        busy = f"all 1 connections to {url} were in use for {SECONDS} s"
        late = re.compile(rf"(all 1 .* in use for [\d.]+ s; )?{url}: no answer in time")
        assert all(text == busy or late.fullmatch(text) for text in texts), texts


@pytest.mark.parametrize(
    ("octets", "close", "text"),
    [
        (b"220 mail.example.org ESMTP\r\n" * 9, False, "Can't contact LDAP server"),
        (b"", True, "it has closed the connection|Connection reset by peer"),
        (BOUND, False, "no answer in time"),
    ],
)
def test_a_server_that_speaks_something_else_is_out_of_order(
    octets: bytes, close: bool, text: str
) -> None:
    with saying(octets, close) as port, opened(f"ldap://{HOST}:{port}") as directory:
        assert trouble(directory).partition(f"{port}: ")[2] in text.split("|")


def test_a_name_without_an_address_is_out_of_order() -> None:
    with opened("ldap://nothing.invalid") as directory:
        assert trouble(directory, 30).startswith("ldap://nothing.invalid:389: ")


def test_the_second_server_serves_while_the_first_is_down(first: Slapd, second: Slapd) -> None:
    with free_port() as nobody:
        hosts = f"ldap://{HOST}:{nobody} {HOST}:{second.port}"
        with opened(f"{hosts}/{REST}") as directory:
            assert host(directory) == "second"
            second.stop()
            assert trouble(directory) == (
                f"ldap://{HOST}:{second.port}: Connection refused; "
                f"ldap://{HOST}:{nobody}: Connection refused"
            )
            second.start()
            assert host(directory) == "second"
    with opened(f"ldap://{HOST}:{first.port} {HOST}:{second.port}/{REST}") as directory:
        assert host(directory) == "first"


def test_a_silent_server_is_waited_for_once(first: Slapd) -> None:
    with (
        silent() as port,
        opened(f"ldap://{HOST}:{port} {HOST}:{first.port}/{REST}", 2) as directory,
    ):
        start = time.monotonic()
        assert host(directory) == "first"
        assert 0.9 < time.monotonic() - start < 9
        start = time.monotonic()
        for _ in range(5):
            assert host(directory) == "first"
        # Waited for each time it would be five seconds and more.
        assert time.monotonic() - start < 4.5


def test_the_first_server_serves_again_when_it_is_back(
    first: Slapd, second: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(f"ldap://{HOST}:{first.port} {HOST}:{second.port}/{REST}") as directory:
        assert host(directory) == "first"
        first.stop()
        assert host(directory) == "second"
        first.start()
        assert host(directory) == "second"
        later = time.monotonic() + servers.REST_SECONDS
        monkeypatch.setattr(servers, "monotonic", lambda: later)
        assert host(directory) == "first"


def test_without_a_limit_there_is_an_answer_too(first: Slapd) -> None:
    with opened(f"{first.url}/{REST}", seconds=0) as directory:
        assert host(directory) == "first"
        assert lookup(directory, b"nobody") is None


@pytest.mark.parametrize("how", ["ldaps", "StartTLS"])
def test_tls_with_an_authority_that_is_named(first: Slapd, pki: Pki, how: str) -> None:
    url = f"ldaps://{HOST}:{first.tls_port}" if how == "ldaps" else first.url
    more = f"X-TLS-CACERT={pki.file('ca')}" + (",StartTLS" if how == "StartTLS" else "")
    with opened(f"3:{url}/{WITH_PASSWORD},{more}") as directory:
        before = first.log().count("TLS established")
        assert host(directory) == "first"
        assert host(directory) == "first"
        assert first.log().count("TLS established") == before + 1


@pytest.mark.parametrize("how", ["ldaps", "StartTLS"])
@pytest.mark.parametrize("ca", ["other ca", ""])
def test_the_wrong_authority_is_out_of_order(first: Slapd, pki: Pki, how: str, ca: str) -> None:
    url = f"ldaps://{HOST}:{first.tls_port}" if how == "ldaps" else first.url
    more = f",X-TLS-CACERT={pki.file(ca)}" if ca else ""
    more += ",!StartTLS" if how == "StartTLS" else ""
    with opened(f"{url}/{WITH_PASSWORD}{more}") as directory:
        before = first.log().count(" BIND ")
        assert trouble(directory).startswith(f"{url}: its certificate: self-signed certificate in")
        assert first.log().count(" BIND ") == before


def test_a_certificate_for_another_host_is_out_of_order(first: Slapd, pki: Pki) -> None:
    url = f"ldaps://localhost:{first.tls_port}/{WITH_PASSWORD},X-TLS-CACERT={pki.file('ca')}"
    with opened(url) as directory:
        assert trouble(directory) == (
            f"ldaps://localhost:{first.tls_port}: "
            "its certificate is for mail.example.org, 127.0.0.1, not for localhost"
        )


def test_a_server_without_tls_is_not_told_the_password(second: Slapd) -> None:
    with opened(f"{second.url}/{WITH_PASSWORD},StartTLS") as directory:
        before = second.log().count(" BIND ")
        assert trouble(directory).startswith(f"{second.url}: Protocol error: ")
        assert second.log().count(" BIND ") == before


def test_what_comes_before_tls_is_not_taken_for_what_comes_under_it() -> None:
    with (
        saying(TLS_GRANTED + BOUND) as port,
        opened(f"ldap://{HOST}:{port}/{SUFFIX}????StartTLS") as directory,
    ):
        text = trouble(directory)
    assert text == f"ldap://{HOST}:{port}: it has said more than it was asked before TLS"


class Kept:
    """A connection that does what the test says, and notes how much time it has.

    Attributes:
        troubles: what the next searches raise; None for an answer.
        made: how many there are.
        seconds: that each search had.
    """

    troubles: ClassVar[list[Exception | None]] = []
    made = 0
    seconds: ClassVar[list[float]] = []

    def __init__(self, _server: Server, _directory: Directory) -> None:
        type(self).made += 1

    def search(self, _search: Search) -> Found:
        self.seconds.append(deadlines.left() or 0)
        if trouble := self.troubles.pop(0):
            raise trouble
        return Found([], [])

    def close(self) -> None:
        pass


def test_a_kept_connection_has_as_much_time_as_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldap_server, "Connection", Kept)
    directory = read_option("")
    server = ldap_server.KeptServer(directory.servers[0], directory)
    search = Search("", 0, "(uid=ann)")
    ended, silent = ConnectionResetError("ended"), TimeoutError("timed out")
    Kept.troubles[:] = [None, None, ended, None, silent]
    with deadlines.limited(60):
        for made in (1, 1, 2):
            server.search(search)
            assert Kept.made == made
        # Silence is no end: there would be no time for another one.
        with pytest.raises(servers.ServerFailed, match="no answer in time"):
            server.search(search)
    assert Kept.made == 2
    assert min(Kept.seconds) > 30


def ber(tag: int, content: bytes) -> bytes:
    return bytes([tag, len(content)]) + content


def done(number: int, tag: int) -> bytes:
    return ber(0x30, ber(2, bytes([number])) + ber(tag, b"\x0a\x01\x00\x04\x00\x04\x00"))


def entry(number: int) -> bytes:
    """An entry whose mailhost is mail1."""
    attribute = ber(0x30, ber(4, b"mailhost") + ber(0x31, ber(4, b"mail1")))
    found = ber(0x64, ber(4, b"uid=a,dc=x") + ber(0x30, attribute))
    return ber(0x30, ber(2, bytes([number])) + found)


@contextlib.contextmanager
def cutting(at: int) -> Iterator[int]:
    """A server that says each of its answers in two pieces, the second one later."""

    def serve() -> None:
        peer, _ = sock.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with peer, contextlib.suppress(OSError):
            while request := peer.recv(4096):
                number, operation = request[4], request[5]
                if operation == 0x60:
                    octets = done(number, 0x61)
                elif operation == 0x63:
                    octets = entry(number) + done(number, 0x65)
                else:
                    return
                peer.sendall(octets[:at])
                time.sleep(0.05)
                peer.sendall(octets[at:])

    with socket.socket() as sock:
        sock.bind((HOST, 0))
        sock.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield sock.getsockname()[1]
        sock.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("at", [1, 2, 5, 8, 9, 12])
def test_an_answer_in_two_pieces_is_one(at: int) -> None:
    answers: list[MapFound] = []
    with cutting(at) as port:
        found = Ldap(f"ldap://{HOST}:{port}/dc=x?mailhost?sub?(uid=%s)", MapSettings("@", 20, 1))
        ask = threading.Thread(target=lambda: answers.append(lookup(found, b"a")), daemon=True)
        ask.start()
        ask.join(30)
        assert not ask.is_alive()
        found.close()
    assert answers == [Answer([ServerItem("", "mail1", "")])]
