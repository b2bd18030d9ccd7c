"""POP3: what mail programs do, before two real servers."""

import contextlib
import os
import poplib
from collections.abc import Iterator

import pytest

from support.dovecot import PASSWORD, Dovecot
from support.processes import HOST
from support.program import Perdition, Start
from system.conftest import Routes

pytestmark = pytest.mark.system
SECONDS = 30
LINES = [b"Subject: dots", b"", b".", b"..", b"", b"text"]
MESSAGE = b"\r\n".join(LINES) + b"\r\n"


@pytest.fixture
def proxy(start: Start, routes: Routes) -> Perdition:
    return start("POP3", routes("pop3"))


@contextlib.contextmanager
def connected(proxy: Perdition) -> Iterator[poplib.POP3]:
    with contextlib.closing(poplib.POP3(HOST, proxy.port, SECONDS)) as pop:
        yield pop


@contextlib.contextmanager
def logged_in(proxy: Perdition, user: str) -> Iterator[poplib.POP3]:
    with connected(proxy) as pop:
        assert pop.user(user) == b"+OK USER %b set, mate" % user.encode()
        assert pop.pass_(PASSWORD) == b"+OK You are so in"
        yield pop


def test_each_user_is_sent_home(proxy: Perdition, dovecots: tuple[Dovecot, Dovecot]) -> None:
    for user, home in zip(("pop-zoe", "ann-pop"), reversed(dovecots), strict=True):
        home.deliver(user, MESSAGE)
        with logged_in(proxy, user) as pop:
            assert pop.retr(1)[1] == LINES
            pop.quit()
        proxy.wait_log(
            rf'authentication_id="{user}" server="{HOST}:{home.ports["pop3"]}" protocol=POP3 '
            'server-secure=plaintext status="ok"$'
        )
        proxy.wait_log(rf'Closing session: \S+ authorisation_id=NONE authentication_id="{user}"')


def test_messages_are_listed_retrieved_and_deleted(proxy: Perdition, dovecot: Dovecot) -> None:
    dovecot.deliver("ann-deletes", MESSAGE, MESSAGE + b"second\r\n")
    with logged_in(proxy, "ann-deletes") as pop:
        assert pop.stat()[0] == 2
        second = pop.uidl()[1][1]
        assert pop.top(2, 1)[1] == LINES[:3]
        assert pop.retr(2)[1] == [*LINES, b"second"]
        assert pop.dele(1).startswith(b"+OK")
        assert pop.quit().startswith(b"+OK")
    with logged_in(proxy, "ann-deletes") as pop:
        assert pop.uidl()[1] == [second.replace(b"2 ", b"1 ", 1)]
        pop.quit()


def test_five_megabytes_come_as_they_are(proxy: Perdition, dovecot: Dovecot) -> None:
    lines = [b"Subject: much", b"", *(os.urandom(35).hex().encode() for _ in range(72_000))]
    dovecot.deliver("ann-much-pop", b"\r\n".join(lines) + b"\r\n")
    with logged_in(proxy, "ann-much-pop") as pop:
        assert pop.stat()[1] > 5_000_000
        assert pop.retr(1)[1] == lines
        pop.quit()


def test_after_a_wrong_password_the_right_one_is_taken(proxy: Perdition) -> None:
    with connected(proxy) as pop:
        pop.user("ann-pop-twice")
        with pytest.raises(
            poplib.error_proto, match=r"-ERR \[AUTH\] failed: Re-Authentication Failure"
        ):
            pop.pass_("wrong")
        pop.user("ann-pop-twice")
        assert pop.pass_(PASSWORD) == b"+OK You are so in"
        assert pop.stat() == (0, 0)
        pop.quit()
    proxy.wait_log(
        'authentication_id="ann-pop-twice".* status="failed: Re-Authentication Failure"$'
    )
    proxy.wait_log('authentication_id="ann-pop-twice".* status="ok"$')


def test_capabilities_are_ours_before_the_login_and_the_real_servers_after(
    proxy: Perdition,
) -> None:
    with connected(proxy) as pop:
        assert pop.capa() == {
            "UIDL": [],
            "USER": [],
            "SASL": ["PLAIN", "LOGIN"],
            "RESP-CODES": [],
            "AUTH-RESP-CODE": [],
        }
        pop.user("ann-pop-caps")
        pop.pass_(PASSWORD)
        assert "PIPELINING" in pop.capa()
        pop.quit()


def test_what_comes_in_one_packet_with_the_password_reaches_the_real_server(
    proxy: Perdition,
) -> None:
    with proxy.connect() as sock, sock.makefile("rb") as answers:
        sock.sendall(f"USER ann-pop-eager\r\nPASS {PASSWORD}\r\nSTAT\r\nQUIT\r\n".encode())
        assert [line[:6] for line in answers] == [
            *(b"+OK PO", b"+OK US", b"+OK Yo", b"+OK 0 ", b"+OK Lo")
        ]
