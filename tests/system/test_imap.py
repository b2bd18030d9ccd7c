"""IMAP: what mail programs do, before two real servers."""

import contextlib
import imaplib
import os
import re

import pytest

from support.dovecot import PASSWORD, Dovecot
from support.processes import HOST
from support.program import Perdition, Start
from system.conftest import Routes

pytestmark = pytest.mark.system
SECONDS = 30
MESSAGE = b"From: bee@example.org\r\nSubject: honey\r\n\r\nThere is some.\r\n"


@pytest.fixture
def proxy(start: Start, routes: Routes) -> Perdition:
    return start("IMAP4", routes("imap"))


def log_in(proxy: Perdition, user: str) -> imaplib.IMAP4:
    imap = imaplib.IMAP4(HOST, proxy.port, SECONDS)
    assert imap.login(user, PASSWORD)[1][0].endswith(b"] You are so in")
    return imap


def test_each_user_is_sent_home(proxy: Perdition, dovecots: tuple[Dovecot, Dovecot]) -> None:
    for user, home in zip(("home-ann", "tom-home"), dovecots, strict=True):
        home.deliver(user, MESSAGE)
        with log_in(proxy, user) as imap:
            assert imap.select() == ("OK", [b"1"])
            kind, data = imap.fetch("1", "(BODY[])")
            assert kind == "OK"
            assert isinstance(data[0], tuple)
            assert data[0][1] == MESSAGE
        proxy.wait_log(
            rf'authentication_id="{user}" server="{HOST}:{home.ports["imap"]}" protocol=IMAP4 '
            'server-secure=plaintext status="ok"$'
        )
        proxy.wait_log(rf'Closing session: \S+ authorisation_id=NONE authentication_id="{user}"')


def test_the_capabilities_after_the_login_are_the_real_servers(proxy: Perdition) -> None:
    with imaplib.IMAP4(HOST, proxy.port, SECONDS) as imap:
        ours = "IMAP4 IMAP4REV1 LITERAL- SASL-IR AUTH=PLAIN AUTH=LOGIN"
        assert " ".join(imap.capabilities) == ours
        told = imap.login("ann-caps", PASSWORD)[1][0]
        assert re.match(rb"\[CAPABILITY IMAP4rev1 .*\bIDLE\b.*\] You are so in", told)
        assert b"IDLE" in imap.capability()[1][0]


def test_five_megabytes_go_there_and_back(proxy: Perdition) -> None:
    body = b"".join(os.urandom(35).hex().encode() + b"\r\n" for _ in range(72_000))
    message = b"Subject: much\r\n\r\n" + body
    assert len(message) > 5_000_000
    with log_in(proxy, "ann-much") as imap:
        assert imap.append("INBOX", "", "", message)[0] == "OK"
        imap.select()
        data = imap.fetch("1", "(BODY.PEEK[])")[1]
        assert isinstance(data[0], tuple)
        assert data[0][1] == message


def test_idle_tells_of_a_message_that_arrives(proxy: Perdition, dovecot: Dovecot) -> None:
    with log_in(proxy, "ann-idle") as imap:
        imap.select()
        imap.send(b"i1 IDLE\r\n")
        assert imap.readline().startswith(b"+ ")
        dovecot.deliver("ann-idle", MESSAGE)
        line = imap.readline()
        while line.startswith(b"* OK"):  # Dovecot's "Still here"
            line = imap.readline()
        assert line == b"* 1 EXISTS\r\n"
        imap.send(b"DONE\r\n")
        while not line.startswith(b"i1"):
            line = imap.readline()
        assert line.startswith(b"i1 OK")


def test_after_a_wrong_password_the_right_one_is_taken(proxy: Perdition) -> None:
    with imaplib.IMAP4(HOST, proxy.port, SECONDS) as imap:
        with pytest.raises(imaplib.IMAP4.error, match=r"\[AUTHENTICATIONFAILED\] failed: "):
            imap.login("ann-twice", "wrong")
        assert imap.login("ann-twice", PASSWORD)[0] == "OK"
        assert imap.select()[0] == "OK"
    proxy.wait_log('authentication_id="ann-twice".* status="failed: Re-Authentication Failure"$')
    proxy.wait_log('authentication_id="ann-twice".* status="ok"$')


def test_the_real_servers_own_answer_is_passed_on_if_wished(start: Start, routes: Routes) -> None:
    proxy = start("IMAP4", {**routes("imap"), "server_resp_line": True})
    with imaplib.IMAP4(HOST, proxy.port, SECONDS) as imap:
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            imap.login("ann-answer", "wrong")
        assert imap.login("ann-answer", PASSWORD)[1][0].endswith(b"Logged in")


@pytest.mark.parametrize("literal", ["{%d}", "{%d+}"])
def test_a_login_may_come_in_literals(proxy: Perdition, literal: str) -> None:
    with proxy.connect() as sock, sock.makefile("rb") as answers:
        answers.readline()
        first, second = (literal % len(each) for each in ("ann-literal", PASSWORD))
        for piece in (f"l1 LOGIN {first}\r\n", f"ann-literal {second}\r\n"):
            sock.sendall(piece.encode())
            if "+" not in literal:
                assert answers.readline() == b"+ OK ready for additional input\r\n"
        sock.sendall(PASSWORD.encode() + b"\r\n")
        assert next(answers).startswith(b"l1 OK [CAPABILITY ")
        sock.sendall(b"l2 NOOP\r\n")
        assert answers.readline().startswith(b"l2 OK")


def test_what_comes_in_one_packet_with_the_login_reaches_the_real_server(proxy: Perdition) -> None:
    with proxy.connect() as sock, sock.makefile("rb") as answers:
        sock.sendall(f"p1 LOGIN ann-eager {PASSWORD}\r\np2 SELECT INBOX\r\n".encode())
        seen = []
        for line in answers:
            seen.append(line)
            if line.startswith(b"p2"):
                break
        assert any(line.startswith(b"p1 OK [CAPABILITY ") for line in seen)
        assert b"* 0 EXISTS\r\n" in seen


def test_sessions_do_not_meet(proxy: Perdition, dovecots: tuple[Dovecot, Dovecot]) -> None:
    users = [f"{letter}-crowd{number}" for number in range(10) for letter in "an"]
    for user in users:
        home = dovecots[user.startswith("n")]
        home.deliver(user, f"Subject: for {user}\r\n\r\n".encode() + MESSAGE * 500)
    with contextlib.ExitStack() as stack:
        sessions = {user: stack.enter_context(log_in(proxy, user)) for user in users}
        for imap in sessions.values():
            imap.select()
            imap.send(b"f1 FETCH 1 (BODY.PEEK[HEADER] BODY.PEEK[TEXT])\r\n")
        for user, imap in sessions.items():
            received = b""
            while not (line := imap.readline()).startswith(b"f1"):
                received += line
            assert f"Subject: for {user}\r\n".encode() in received
            assert received.count(b"Subject: for") == 1
            assert received.count(MESSAGE) == 500
