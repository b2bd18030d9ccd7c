"""What real servers say, and what comes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition import protocols
from perdition.protocols import (
    Login,
    ProtocolError,
    Ready,
    ServerSide,
    TlsWanted,
    Verdict,
    imap4,
    managesieve,
    pop3,
)
from perdition.protocols.wire import LineTooLong, Wire
from support.talking import Lacking, octets, play, said

SIDES = {"pop3": pop3.ServerSide, "imap4": imap4.ServerSide, "sieve": managesieve.ServerSide}
LOGIN = Login("ann", b"sesame")


def side(name: str, wire: Wire, client: Wire | None = None, **more: object) -> ServerSide:
    told: dict[str, object] = {
        "token": "0123abcd",
        "want_tls": False,
        "force_tls": False,
        "client": client or Wire(),
        "tags": imap4.Tags(),
    }
    made: ServerSide = SIDES[name](wire, **(told | more))  # type: ignore[arg-type]
    return made


GREETINGS = [
    ("pop3", b"+ok hi\r\n", {}, Ready()),
    ("pop3", b"-ERR busy\r\n", {}, protocols.NEGOTIATION_FAILED),
    ("pop3", b"+OK POP3 perditon ready on x 0123abcd\r\n", {}, protocols.NEGOTIATION_FAILED),
    ("pop3", b"+OK\r\n-ERR what\r\n", {"want_tls": True}, Ready()),
    (
        "pop3",
        b"+OK\r\n-ERR what\r\n",
        {"want_tls": True, "force_tls": True},
        protocols.TLS_NOT_PRESENT,
    ),
    ("pop3", b"+OK\r\n+OK\r\nUIDL\r\nstls\r\n.\r\n+OK\r\n", {"want_tls": True}, TlsWanted()),
    (
        "pop3",
        b"+OK\r\n+OK\r\nSTLS\r\n.\r\n-ERR\r\n",
        {"want_tls": True},
        protocols.NEGOTIATION_FAILED,
    ),
    ("imap4", b"* ok hi\r\n", {}, Ready()),
    ("imap4", b"* BYE busy\r\n", {}, protocols.NEGOTIATION_FAILED),
    ("imap4", b"* PREAUTH hi\r\n", {}, protocols.NEGOTIATION_FAILED),
    (
        "imap4",
        b"* OK [CAPABILITY X] perdition ready on x 0123abcd\r\n",
        {},
        protocols.NEGOTIATION_FAILED,
    ),
    (
        "imap4",
        b"* OK\r\n* CAPABILITY STARTTLS\r\nflim07 OK\r\nflim08 OK\r\n",
        {"want_tls": True},
        TlsWanted(),
    ),
    (
        "imap4",
        b"* OK\r\n* CAPABILITY STARTTLS\r\nflim07 OK\r\nflim08 NO\r\n",
        {"want_tls": True},
        protocols.NEGOTIATION_FAILED,
    ),
    ("imap4", b"* OK\r\n* CAPABILITY X\r\nflim07 OK\r\n", {"want_tls": True}, Ready()),
    (
        "imap4",
        b"* OK\r\n* CAPABILITY X\r\nflim07 OK\r\n",
        {"want_tls": True, "force_tls": True},
        protocols.NEGOTIATION_FAILED,
    ),
    ("sieve", b'"SASL" "PLAIN"\r\nok\r\n', {}, Ready()),
    ("sieve", b'"X" {2+}\r\nab\r\nOK "hi"\r\n', {}, Ready()),
    ("sieve", b"BYE\r\n", {}, protocols.NEGOTIATION_FAILED),
    ("sieve", b'OK "perdition ready on x 0123abcd"\r\n', {}, protocols.NEGOTIATION_FAILED),
    ("sieve", b'"STARTTLS"\r\nOK\r\nOK\r\n', {"want_tls": True}, TlsWanted()),
    ("sieve", b'"STARTTLS"\r\nOK\r\nNO\r\n', {"want_tls": True}, protocols.NEGOTIATION_FAILED),
    ("sieve", b"OK\r\n", {"want_tls": True, "force_tls": True}, protocols.TLS_NOT_PRESENT),
]


@pytest.mark.parametrize(("name", "text", "told", "result"), GREETINGS)
@pytest.mark.parametrize("one_by_one", [False, True])
def test_greeting_and_tls(
    name: str, text: bytes, told: dict[str, object], result: object, one_by_one: bool
) -> None:
    wire = Wire()
    found = play(side(name, wire, **told).negotiate(), wire, octets(text) if one_by_one else [text])
    assert (found.status if isinstance(found, Verdict) else found) == result


LOGINS = [
    ("pop3", b"+OK\r\n+OK in\r\n", b"USER ann\r\nPASS sesame\r\n", protocols.OK, b"+OK in"),
    ("pop3", b"-ERR who\r\n", b"USER ann\r\n", protocols.REFUSED, b"-ERR who"),
    ("pop3", b"+OK\r\nwhat\r\n", b"USER ann\r\nPASS sesame\r\n", protocols.REFUSED, b"what"),
    (
        "imap4",
        b"* CAPABILITY X\r\nflim07 OK\r\n+\r\n+ go\r\nflim08 ok in\r\n",
        b"flim07 CAPABILITY\r\nflim08 LOGIN {3}\r\nann {6}\r\nsesame\r\n",
        protocols.OK,
        b"ok in",
    ),
    (
        "imap4",
        b"* CAPABILITY LOGINDISABLED\r\nflim07 OK\r\n",
        b"flim07 CAPABILITY\r\n",
        protocols.LOGIN_DISABLED,
        b"",
    ),
    (
        "imap4",
        b"* CAPABILITY X\r\nflim07 OK\r\nflim08 NO never\r\n",
        b"flim07 CAPABILITY\r\nflim08 LOGIN {3}\r\n",
        protocols.REFUSED,
        b"NO never",
    ),
    (
        "sieve",
        b'"SASL" "LOGIN plain"\r\nOK\r\nOK "in"\r\n',
        b'AUTHENTICATE "PLAIN" "AGFubgBzZXNhbWU="\r\n',
        protocols.OK,
        b'OK "in"',
    ),
    (
        "sieve",
        b'"SASL" "PLAIN"\r\nOK\r\nOK {2}\r\nin\r\n',
        b'AUTHENTICATE "PLAIN" "AGFubgBzZXNhbWU="\r\n',
        protocols.OK,
        b"OK {2}\r\nin",
    ),
    ("sieve", b'"SASL" "XPLAIN"\r\nOK\r\n', b"", protocols.NO_MECHANISM, b""),
]


@pytest.mark.parametrize(("name", "text", "spoken", "status", "line"), LOGINS)
def test_log_in(name: str, text: bytes, spoken: bytes, status: str, line: bytes) -> None:
    wire = Wire()
    server = side(name, wire)
    if name == "sieve":
        greeting, found, rest = text.partition(b"\r\nOK\r\n")
        play(server.negotiate(), wire, [greeting + found])
        text = rest
    verdict = play(server.log_in(LOGIN), wire, [text])
    assert (verdict.status, verdict.line) == (status, line)
    assert verdict.accepted == (status == protocols.OK)
    assert said(wire) == spoken


def test_what_an_imap_server_says_of_its_own_accord_goes_to_the_client_whole() -> None:
    wire, client = Wire(), Wire()
    text = (
        b"* OK first\r\n* CAPABILITY X\r\nflim07 OK\r\n+\r\n+\r\n"
        b"* X {4}\r\n\r\n\r\n tail\r\nflim08 OK\r\n"
    )
    assert play(side("imap4", wire, client).log_in(LOGIN), wire, octets(text)).accepted
    assert said(client) == b"* OK first\r\n* X {4}\r\n\r\n\r\n tail\r\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("imap4", b"flim07 OK\r\n"),
        ("imap4", b"* CAPABILITY X\r\nzzz OK\r\n"),
        ("imap4", b"* CAPABILITY X\r\nflim07 OK\r\n+\r\n+\r\n+\r\n"),
        ("imap4", b"* CAPABILITY X\r\nflim07 OK\r\n" + b"* OK\r\n" * 400),
        ("imap4", b"* X {999999999}\r\n"),
    ],
)
def test_nonsense_of_a_server_ends_the_dialogue(name: str, text: bytes) -> None:
    wire = Wire()
    with pytest.raises(ProtocolError):
        play(side(name, wire).log_in(LOGIN), wire, [text])


@pytest.mark.parametrize("name", SIDES)
@given(text=st.binary(max_size=200))
def test_no_answer_raises_anything_but_what_is_documented(name: str, text: bytes) -> None:
    wire = Wire()
    server = side(name, wire, want_tls=True)
    try:
        play(server.negotiate(), wire, [text])
        play(server.log_in(LOGIN), wire, [])
    except (Lacking, LineTooLong, ProtocolError):
        return


def test_tags_count_as_the_original_counts() -> None:
    tags = imap4.Tags()
    taken = [tags.take() for _ in range(57)]
    assert taken[:4] == [b"flim07", b"flim08", b"flim09", b"flim0a"]
    assert taken[-4:] == [b"flim0Y", b"flim0Z", b"flim10", b"flim11"]


def test_no_password_in_a_repr() -> None:
    assert "sesame" not in repr(LOGIN)
