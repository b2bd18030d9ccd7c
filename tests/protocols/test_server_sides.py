"""What real servers say, and what comes of it, in the words of 2.2."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition import protocols
from perdition.protocols import (
    Login,
    ProtocolError,
    Ready,
    ServerSide,
    Terms,
    TlsWanted,
    Verdict,
    imap4_server,
    managesieve,
    pop3,
)
from perdition.protocols.wire import LineTooLong, Wire
from support.talking import Lacking, octets, play, said

SIDES = {"pop3": pop3.ServerSide, "imap4": imap4_server.ServerSide, "sieve": managesieve.ServerSide}
LOGIN = Login("ann", b"sesame")


def side(name: str, wire: Wire, client: Wire | None = None, **more: object) -> ServerSide:
    terms = Terms("", "", "0123abcd", compat=True)._replace(**more)  # type: ignore[arg-type]
    made: ServerSide = SIDES[name](wire, terms, client=client or Wire(), tags=imap4_server.tags())
    return made


GREETINGS = [
    ("pop3", b"+ok hi\r\n", {}, Ready()),
    ("pop3", b"-ERR busy\r\n", {}, protocols.NEGOTIATION_FAILED),
    ("pop3", b"+OK POP3 perditon ready on x 0123abcd\r\n", {}, protocols.NEGOTIATION_FAILED),
    ("pop3", b"+OK\r\n-ERR what\r\n", {"tls_outgoing": True}, Ready()),
    (
        "pop3",
        b"+OK\r\n-ERR what\r\n",
        {"tls_outgoing": True, "tls_outgoing_force": True},
        protocols.TLS_NOT_PRESENT,
    ),
    ("pop3", b"+OK\r\n+OK\r\nUIDL\r\nstls\r\n.\r\n+OK\r\n", {"tls_outgoing": True}, TlsWanted()),
    (
        "pop3",
        b"+OK\r\n+OK\r\nSTLS\r\n.\r\n-ERR\r\n",
        {"tls_outgoing": True},
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
        {"tls_outgoing": True},
        TlsWanted(),
    ),
    (
        "imap4",
        b"* OK\r\n* CAPABILITY STARTTLS\r\nflim07 OK\r\nflim08 NO\r\n",
        {"tls_outgoing": True},
        protocols.NEGOTIATION_FAILED,
    ),
    ("imap4", b"* OK\r\n* CAPABILITY X\r\nflim07 OK\r\n", {"tls_outgoing": True}, Ready()),
    (
        "imap4",
        b"* OK\r\n* CAPABILITY X\r\nflim07 OK\r\n",
        {"tls_outgoing": True, "tls_outgoing_force": True},
        protocols.NEGOTIATION_FAILED,
    ),
    ("sieve", b'"SASL" "PLAIN"\r\nok\r\n', {}, Ready()),
    ("sieve", b'"X" {2+}\r\nab\r\nOK "hi"\r\n', {}, Ready()),
    ("sieve", b"BYE\r\n", {}, protocols.NEGOTIATION_FAILED),
    ("sieve", b'OK "perdition ready on x 0123abcd"\r\n', {}, protocols.NEGOTIATION_FAILED),
    ("sieve", b'"STARTTLS"\r\nOK\r\nOK\r\n', {"tls_outgoing": True}, TlsWanted()),
    ("sieve", b'"STARTTLS"\r\nOK\r\nNO\r\n', {"tls_outgoing": True}, protocols.NEGOTIATION_FAILED),
    (
        "sieve",
        b"OK\r\n",
        {"tls_outgoing": True, "tls_outgoing_force": True},
        protocols.TLS_NOT_PRESENT,
    ),
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
        # All at once, where the server says that it need not be asked (RFC 7888).
        "imap4",
        b"* CAPABILITY X LITERAL+\r\nflim07 OK\r\nflim08 ok in\r\n",
        b"flim07 CAPABILITY\r\nflim08 LOGIN {3+}\r\nann {6+}\r\nsesame\r\n",
        protocols.OK,
        b"ok in",
    ),
    (
        "imap4",
        b"* CAPABILITY literal-\r\nflim07 OK\r\nflim08 NO out\r\n",
        b"flim07 CAPABILITY\r\nflim08 LOGIN {3+}\r\nann {6+}\r\nsesame\r\n",
        protocols.REFUSED,
        b"NO out",
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
        # Neither an answer to ID, where nothing was told, nor to the log-in.
        ("imap4", b"* CAPABILITY X\r\nflim07 OK\r\n OK\r\n"),
        ("imap4", b"* CAPABILITY X\r\nflim07 OK\r\n\r\n"),
        # More than is to be kept for a client that is not logged in.
        ("imap4", b"* CAPABILITY X\r\nflim07 OK\r\n" + b"* X {9999}\r\n%09999d\r\n" % 0 * 7),
        ("pop3", b"+OK\r\n" + b"X\r\n" * 400),
        ("pop3", b"+OK\r\n" + b"X" * 2000 + b"\r\n.\r\n"),
    ],
)
def test_nonsense_of_a_server_ends_the_dialogue(name: str, text: bytes) -> None:
    wire = Wire()
    # One for which there is only SASL: POP3 has to ask for capabilities then.
    login = LOGIN if name == "imap4" else LOGIN._replace(authorisation="bob")
    with pytest.raises((ProtocolError, LineTooLong)):
        play(side(name, wire).log_in(login), wire, [text])


def test_a_list_of_capabilities_has_an_end() -> None:
    wire = Wire()
    with pytest.raises(ProtocolError):
        play(side("sieve", wire).negotiate(), wire, [b'"X"\r\n' * 100 + b"OK\r\n"])


@pytest.mark.parametrize("answer", [b"flim08 FOO bar\r\n", b"flim08\r\n", b"flim08 NOT so\r\n"])
def test_a_tagged_answer_that_is_none_is_no_refusal(answer: bytes) -> None:
    """But for 2.2: else it would be a wrong password, for fail2ban as well."""
    text = b"* CAPABILITY LITERAL+\r\nflim07 OK\r\n" + answer
    wire = Wire()
    with pytest.raises(ProtocolError):
        play(side("imap4", wire, compat=False).log_in(LOGIN), wire, [text])
    wire = Wire()
    assert play(side("imap4", wire).log_in(LOGIN), wire, [text]).status == protocols.REFUSED


@pytest.mark.parametrize("name", SIDES)
@given(text=st.binary(max_size=200))
def test_no_answer_raises_anything_but_what_is_documented(name: str, text: bytes) -> None:
    wire = Wire()
    server = side(name, wire, tls_outgoing=True)
    try:
        play(server.negotiate(), wire, [text])
        play(server.log_in(LOGIN), wire, [])
    except (Lacking, LineTooLong, ProtocolError):
        return


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize(
    ("answer", "accepted", "told"),
    [
        (b"flim07 OK user u, quota {3}\r\n", True, b""),
        (b"flim07 NO no such user joe{3}\r\n", False, b""),
        (b"flim07 OK [X {3}\r\nabc] in\r\n", True, b""),
        (b"* OK see {3}\r\nflim07 OK in\r\n", True, b"* OK see {3}\r\n"),
        (b"* NO [ALERT] see {3}\r\nflim07 OK in\r\n", True, b"* NO [ALERT] see {3}\r\n"),
    ],
)
def test_a_text_that_ends_like_the_head_of_a_literal_is_none(
    answer: bytes, accepted: bool, told: bytes, compat: bool
) -> None:
    wire, client = Wire(), Wire()
    server = side("imap4", wire, client, compat=compat)
    assert play(server.negotiate(), wire, [b"* OK [CAPABILITY LITERAL+] hi {3}\r\n"]) == Ready()
    asked = b"* CAPABILITY IMAP4rev1\r\nflim08 OK done {2}\r\n"
    assert play(server.log_in(LOGIN), wire, [answer, asked]).accepted == accepted
    assert said(client).endswith(told)


def test_the_end_of_a_literal_and_what_follows_it_are_no_other_literal() -> None:
    wire, client = Wire(), Wire()
    server = side("imap4", wire, client)
    assert play(server.negotiate(), wire, [b"* OK [CAPABILITY LITERAL+] hi\r\n"]) == Ready()
    answer = b"* X {2}\r\na{3}\r\nflim07 OK in\r\n"
    assert play(server.log_in(LOGIN), wire, [answer]).accepted
    assert said(client) == b"* X {2}\r\na{3}\r\n"


SIEVE_LITERALS = [
    b"OK {2}\r\nhi\r\n",
    b'"X" {7}\r\nOK "no"\r\nOK\r\n',
]
SIEVE_ANSWERS = [
    b"OK (SASL {4}\r\nYg==) {2}\r\nin",
    b"NO (TAG {3}\r\na b) {2}\r\nno",
]


@pytest.mark.parametrize("greeting", SIEVE_LITERALS)
@pytest.mark.parametrize("answer", SIEVE_ANSWERS)
def test_a_response_of_managesieve_may_have_several_literals(
    greeting: bytes, answer: bytes
) -> None:
    wire = Wire()
    server = side("sieve", wire)
    assert play(server.negotiate(), wire, octets(b'"SASL" "PLAIN"\r\n' + greeting)) == Ready()
    verdict = play(server.log_in(LOGIN), wire, octets(answer + b"\r\n"))
    assert verdict.line == answer
    assert verdict.accepted is answer.startswith(b"OK")
    assert wire.take_unread() == b""


def test_the_last_answer_of_managesieve_is_read_whole() -> None:
    wire = Wire()
    play(side("sieve", wire).leave(), wire, [b"OK {3}\r\nbye\r\n"])
    assert wire.take_unread() == b""


def greeted(greeting: bytes, **more: object) -> tuple[ServerSide, Wire]:
    """A server that has said its greeting, and announces nothing else."""
    wire = Wire()
    server = side("imap4", wire, **more)
    assert play(server.negotiate(), wire, [greeting]) == Ready()
    return server, wire


def test_what_the_greeting_announces_is_not_asked_for() -> None:
    server, wire = greeted(b"* OK [CAPABILITY IMAP4rev1 LITERAL+] hi\r\n")
    assert play(server.log_in(LOGIN), wire, [b"flim07 OK in\r\n"]).accepted
    assert said(wire) == b"flim07 LOGIN {3+}\r\nann {6+}\r\nsesame\r\n"


def test_a_greeting_can_say_that_there_are_no_logins() -> None:
    server, wire = greeted(b"* ok [capability IMAP4rev1 logindisabled] hi\r\n")
    assert play(server.log_in(LOGIN), wire, []).status == protocols.LOGIN_DISABLED
    assert said(wire) == b""


def test_what_was_announced_before_tls_does_not_count() -> None:
    wire = Wire()
    server = side("imap4", wire, tls_outgoing=True)
    early = b"* OK [CAPABILITY STARTTLS LITERAL+] hi\r\n* CAPABILITY STARTTLS LITERAL+\r\n"
    talk = server.negotiate()
    assert play(talk, wire, [early + b"flim07 OK\r\nflim08 OK\r\n"]) == TlsWanted()
    assert play(server.negotiate(), wire, []) == Ready()
    said(wire)
    with pytest.raises(Lacking):
        play(server.log_in(LOGIN), wire, [])
    assert said(wire) == b"flim09 CAPABILITY\r\n"


def test_literals_are_waited_for_where_they_are_too_long_for_literal_minus() -> None:
    server, wire = greeted(b"* OK [CAPABILITY LITERAL-] hi\r\n")
    login = Login("ann", b"x" * 4097)
    play(server.log_in(login), wire, [b"+\r\n", b"+\r\n", b"flim07 OK\r\n"])
    assert said(wire) == b"flim07 LOGIN {3}\r\nann {4097}\r\n" + login.password + b"\r\n"


def test_a_server_that_waits_for_what_it_need_not_is_not_understood() -> None:
    server, wire = greeted(b"* OK [CAPABILITY LITERAL+] hi\r\n")
    with pytest.raises(ProtocolError):
        play(server.log_in(LOGIN), wire, [b"+ go\r\n"])


def test_tags_count_as_the_original_counts() -> None:
    taken = list(itertools.islice(imap4_server.tags(), 62 * 62))
    assert taken[62 * 62 - 8 :] == [b"flimZZ", *(b"flim0%d" % each for each in range(7))]
    taken = taken[:57]
    assert taken[:4] == [b"flim07", b"flim08", b"flim09", b"flim0a"]
    assert taken[-4:] == [b"flim0Y", b"flim0Z", b"flim10", b"flim11"]


def test_no_password_in_a_repr() -> None:
    for shown in repr(LOGIN), str(LOGIN), f"{LOGIN}", repr([LOGIN]), f"{LOGIN!r:>9}":
        assert "ann" in shown
        assert "sesame" not in shown


@pytest.mark.parametrize("offers", [True, False])
def test_what_an_imap_server_says_before_tls_is_not_for_the_client(offers: bool) -> None:
    wire, client = Wire(), Wire()
    server = side("imap4", wire, client, tls_outgoing=True, compat=False)
    word = b"STARTTLS" if offers else b"X"
    early = [
        b"* OK hi\r\n* OK [ALERT] read this\r\n* CAPABILITY %b\r\nflim07 OK\r\n" % word,
        b"* CAPABILITY FORGED\r\nflim08 OK\r\n",
    ]
    found = play(server.negotiate(), wire, early)
    assert found == (TlsWanted() if offers else Ready())
    assert said(client) == (b"" if offers else b"* OK [ALERT] read this\r\n")
    if offers:
        wire.take_unread()
        secure = b"* CAPABILITY LITERAL+\r\nflim09 OK\r\nflim0a OK in\r\n"
        more = b"* CAPABILITY REAL\r\nflim0b OK\r\n"
        verdict = play(server.log_in(LOGIN), wire, [secure, more])
        assert isinstance(verdict, Verdict)
        assert verdict.capabilities == b"REAL"


def test_what_a_pop3_server_says_unasked_is_no_answer() -> None:
    wire = Wire()
    real = side("pop3", wire)
    assert play(real.negotiate(), wire, [b"+OK hi\r\n+OK\r\n+OK in\r\n"]) == Ready()
    verdict = play(real.log_in(LOGIN), wire, [b"+OK\r\n-ERR wrong\r\n"])
    assert isinstance(verdict, Verdict)
    assert (verdict.accepted, verdict.line) == (False, b"-ERR wrong")
