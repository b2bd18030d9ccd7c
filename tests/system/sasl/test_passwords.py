"""PLAIN and LOGIN in the three protocols, before a real Dovecot."""

import pytest

from support.dovecot_sasl import (
    LONG_SECRET,
    LONG_USER,
    SECRET,
    UNICODE_SECRET,
    UNICODE_USER,
)
from support.sasl_clients import answers, coded
from system.sasl.conftest import SECRETS, Front, is_told

pytestmark = pytest.mark.system
PLAIN = coded(f"\0ann\0{SECRET}")
LOGIN = coded("ann"), coded(SECRET)
WRONG = {
    "IMAP4": b"NO [AUTHENTICATIONFAILED] failed: Re-Authentication Failure",
    "POP3": b"-ERR [AUTH] failed: Re-Authentication Failure",
    "MANAGESIEVE": b'NO "failed: Re-Authentication Failure"',
}


def refusal(protocol: str, text: str) -> bytes:
    """What a client is told that has said something wrong."""
    text = {"IMAP4": "BAD {}", "POP3": "-ERR {}", "MANAGESIEVE": 'NO "{}"'}[protocol].format(text)
    return text.encode()


def test_plain_with_an_initial_response(front: Front) -> None:
    with front.client() as client:
        assert client.authenticate("PLAIN", initial=PLAIN).accepted
        client.use()


def test_plain_without_an_initial_response(front: Front) -> None:
    with front.client() as client:
        assert client.authenticate("plain", answers(PLAIN)).accepted
        client.use()


def test_login_asks_for_name_and_password(front: Front) -> None:
    asked = []

    def answer(challenge: bytes) -> bytes:
        asked.append(challenge)
        return LOGIN[len(asked) - 1]

    with front.client() as client:
        assert client.authenticate("LOGIN", answer).accepted
        client.use()
    assert asked == [b"Username:", b"Password:"]


def test_login_with_the_name_in_the_initial_response(front: Front) -> None:
    with front.client() as client:
        assert client.authenticate("LOGIN", answers(LOGIN[1]), LOGIN[0]).accepted
        client.use()


def test_a_wrong_password_is_refused_and_the_right_one_taken_after_it(front: Front) -> None:
    with front.client() as client:
        wrong = client.authenticate("PLAIN", initial=coded("\0ann\0wrong"))
        assert wrong.line == WRONG[front.protocol]
        wrong = client.authenticate("LOGIN", answers(LOGIN[0], coded("wrong")))
        assert wrong.line == WRONG[front.protocol]
        wrong = client.authenticate("PLAIN", initial=coded(f"\0nobody\0{SECRET}"))
        assert wrong.line == WRONG[front.protocol]
        assert client.authenticate("PLAIN", initial=PLAIN).accepted
        client.use()


@pytest.mark.parametrize(("mechanism", "before"), [("PLAIN", ()), ("LOGIN", ()), ("LOGIN", LOGIN)])
def test_a_star_cancels(front: Front, mechanism: str, before: tuple[bytes, ...]) -> None:
    with front.client() as client:
        outcome = client.authenticate(mechanism, answers(*before[:1], b"*"))
        assert not outcome.accepted
        if front.protocol != "MANAGESIEVE":
            assert b"cancelled" in outcome.line
        assert client.authenticate("PLAIN", initial=PLAIN).accepted
        client.use()


def test_an_empty_response_is_no_message_of_plain(front: Front) -> None:
    expected = refusal(front.protocol, "Invalid base64 encoded challenge, mate")
    with front.client() as client:
        assert client.authenticate("PLAIN", initial=b"").line == expected
        assert client.authenticate("PLAIN", answers(b"")).line == expected
        empty = client.authenticate("LOGIN", answers(b"", coded("x"))).line
        assert empty == refusal(front.protocol, "Empty authentication id, mate")
        assert client.authenticate("PLAIN", initial=PLAIN).accepted


@pytest.mark.parametrize(
    "line", [b"AGFu", b"AGE===", b"A", b"AGFubgBz!", PLAIN + b"\t", b"AGFubgBB="]
)
def test_what_is_not_in_base64_is_refused(front: Front, line: bytes) -> None:
    with front.client() as client:
        assert not client.authenticate("PLAIN", initial=line).accepted
        assert not client.authenticate("PLAIN", answers(line)).accepted
        assert client.authenticate("PLAIN", initial=PLAIN).accepted


def test_names_and_passwords_that_are_not_ascii_arrive(front: Front) -> None:
    with front.client() as client:
        assert client.authenticate(
            "PLAIN", initial=coded(f"\0{UNICODE_USER}\0{UNICODE_SECRET}")
        ).accepted
        client.use()
    with front.client() as client:
        names = coded(UNICODE_USER), coded(UNICODE_SECRET)
        assert client.authenticate("LOGIN", answers(*names)).accepted
        client.use()
    front.program.wait_log(r'Auth: .*authentication_id="[^"]+rgen".* status="ok"')


def test_names_that_are_not_ascii_arrive_without_sasl(front: Front) -> None:
    if front.protocol == "IMAP4":
        # An atom may not have them, but a literal may: that is what clients send.
        with front.client() as client:
            user, password = UNICODE_USER.encode(), UNICODE_SECRET.encode()
            words = len(user), user, len(password), password
            client.sock.sendall(b"b1 LOGIN {%d+}\r\n%b {%d+}\r\n%b\r\n" % words)
            assert client.sock.recv(4096).startswith(b"b1 OK ")
            client.use()
        return
    with front.client() as client:
        assert client.log_in(UNICODE_USER, UNICODE_SECRET).accepted
        client.use()


def test_an_unknown_mechanism_is_refused(front: Front) -> None:
    with front.client() as client:
        assert not client.authenticate("CRAM-MD5").accepted
        assert not client.authenticate("SCRAM-SHA-256-PLUS").accepted
        assert not client.authenticate("EXTERNAL", initial=b"").accepted
        assert client.authenticate("PLAIN", initial=PLAIN).accepted


def test_a_long_password_goes_where_dovecot_has_room_for_it(front: Front) -> None:
    with front.client() as client:
        message = coded(f"\0{LONG_USER}\0{LONG_SECRET}")
        assert client.authenticate("PLAIN", initial=message).accepted
        client.use()


@pytest.mark.parametrize("before", ["", "a", "an", "ann\0"])
def test_secrets_in_a_log_are_found(before: str) -> None:
    for secret in SECRETS:
        assert is_told(f"Auth: {before}{secret}.") == [secret]
        assert secret in is_told(coded(f"{before}{secret}\1").decode())
