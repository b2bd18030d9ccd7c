"""What clients say before they are logged in, and what they are answered, in the words of 2.2."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition import protocols
from perdition.protocols import (
    ClientSide,
    Login,
    ProtocolError,
    Quit,
    Terms,
    TlsWanted,
    Verdict,
    imap4,
    managesieve,
    pop3,
)
from perdition.protocols.sasl import say_plain
from perdition.protocols.wire import LineTooLong, Wire
from support.talking import CAPABILITY, Lacking, octets, play, said

SIDES = {"pop3": pop3.ClientSide, "imap4": imap4.ClientSide, "sieve": managesieve.ClientSide}


def side(name: str, wire: Wire, **more: object) -> ClientSide:
    terms = Terms(CAPABILITY[name], "You are so in", "0123abcd", compat=True)
    if name == "sieve":
        terms = terms._replace(mechanisms=("PLAIN",))
    terms = terms._replace(**more)  # type: ignore[arg-type]
    made: ClientSide = SIDES[name](wire, terms)
    return made


def plain(user: str) -> bytes:
    """A log-in of ManageSieve."""
    message = base64.b64encode(say_plain(Login(user, b"p")))
    return b'AUTHENTICATE "PLAIN" "' + message + b'"\r\n'


# protocol, what the client says, what it is answered, what the session gets
DIALOGUES = [
    ("pop3", b"\r\n", b"<3>-ERR Null command, mate\r\n", None),
    ("pop3", b" QUIT\r\n", b"<3>-ERR Null command, mate\r\n", None),
    ("pop3", b"QUIT x\r\n", b"<3>-ERR Mate, try: QUIT\r\n", None),
    ("pop3", b"quit\r\n", b"+OK QUIT\r\n", Quit()),
    ("pop3", b"CAPA\r\n", b"+OK Capability list follows, mate\r\nUIDL\r\nUSER\r\n.\r\n", None),
    ("pop3", b"USER ann\n", b"+OK USER ann set, mate\r\n", None),
    ("pop3", b"USER ann\0x\r\n", b"<3>-ERR Mate, try: USER <username>\r\n", None),
    (
        "pop3",
        b"USER ann\r\nPASS x\0y\r\n",
        b"+OK USER ann set, mate\r\n<3>-ERR Mate, try: PASS <password>\r\n",
        None,
    ),
    (
        "imap4",
        b"a LOGIN {5+}\r\nann\0x y\r\n",
        b"<3>a BAD Mate, try LOGIN <username> <passwd>\r\n",
        None,
    ),
    ("imap4", b'a LOGIN x "y\0z"\r\n', b"<3>a BAD Mate, try LOGIN <username> <passwd>\r\n", None),
    ("pop3", b"USER a b\r\n", b"<3>-ERR Mate, try: USER <username>\r\n", None),
    ("pop3", b"PASS x\r\n", b"<3>-ERR USER not yet set, mate\r\n", None),
    (
        "pop3",
        b"USER ann\r\nPASS  two words \r\n",
        b"+OK USER ann set, mate\r\n",
        Login("ann", b" two words "),
    ),
    (
        "pop3",
        b"AUTH PLAIN\r\n",
        b"-ERR Mate, the command must be one of CAPA, USER, PASS or QUIT\r\n",
        None,
    ),
    (
        "pop3",
        b"CAPABILITY\r\n",
        b"<3>-ERR Mate, the command is too short, must be one of CAPA, USER, PASS or QUIT\r\n",
        None,
    ),
    (
        "pop3",
        b'USER a"\\b\r\nPASS \r\n',
        b'+OK USER a"\\b set, mate\r\n',
        Login('a"\\b', b""),
    ),
    ("imap4", b"\r\n", b"<3>* BAD Invalid tag, mate\r\n", None),
    ("imap4", b"a1\r\n", b"<3>a1 BAD Missing command, mate\r\n", None),
    ("imap4", b"a1 \r\n", b"<3>a1 BAD Null command, mate\r\n", None),
    ("imap4", b"a1 noop\r\n", b"a1 OK NOOP\r\n", None),
    (
        "imap4",
        b"a AUTHENTICATE X\r\n",
        b"a NO AUTHENTICATE mechanism not supported, mate\r\n",
        None,
    ),
    (
        "imap4",
        b"a AUTHENTICATE \r\n",
        b"a NO AUTHENTICATE mechanism not supported, mate\r\n",
        None,
    ),
    (
        "imap4",
        b"a AUTHENTICATE\r\n",
        b"<3>a BAD Mate, try AUTHENTICATE <mechanism>\r\n",
        None,
    ),
    ("imap4", b"a STARTTLS\r\n", b"<3>a BAD STARTTLS disabled, mate\r\n", None),
    ("imap4", b"a LOGIN u p\r\n", b"", Login("u", b"p")),
    ("imap4", b'a LOGIN "u \\"x\\"" "p\\\\q"\r\n', b"", Login('u "x"', b"p\\q")),
    ("imap4", b'a LOGIN u "\\a"\r\n', b"", Login("u", b"\\a")),
    (
        "imap4",
        b"a LOGIN {1}\r\nu {2}\r\npq\r\n",
        b"+ OK ready for additional input\r\n" * 2,
        Login("u", b"pq"),
    ),
    ("imap4", b"a LOGIN {3+}\r\na\nb {1+}\r\np\r\n", b"", Login("a\nb", b"p")),
    ("imap4", b"a LOGIN u {0+}\r\n\r\n", b"", Login("u", b"")),
    ("imap4", b'a LOGIN {0+}\r\n ""\r\n', b"", Login("", b"")),
    ("imap4", b'a LOGIN {1+}\r\nu "p \\"q"\r\n', b"", Login("u", b'p "q')),
    ("imap4", b'a LOGIN u {5+}\r\n"p\\q"\r\n', b"", Login("u", b'"p\\q"')),
    ("imap4", b'a LOGIN {3+}\r\n"u" p\r\n', b"", Login('"u"', b"p")),
    (
        "imap4",
        b"a LOGIN u {4096+}\r\n" + b"p" * 4096 + b"\r\n",
        b"",
        Login("u", b"p" * 4096),
    ),
    ("imap4", b"a LOGIN u\r\n", b"<3>a BAD Mate, try LOGIN <username> <passwd>\r\n", None),
    # A literal that does not wait is the refused command's, and no command (RFC 7888).
    (
        "imap4",
        b"a FOO {11+}\r\nb LOGOUT\r\n\r\nc FOO {1+}\r\nx {2+}\r\n\r\n\r\nd NOOP\r\n",
        b"<3>a BAD Unrecognised command, mate\r\n<3>c BAD Unrecognised command, mate\r\n"
        b"d OK NOOP\r\n",
        None,
    ),
    (
        "imap4",
        b"a LOGIN u x {10+}\r\nb LOGOUT\r\n\r\n( {1+}\r\nx\r\nc NOOP\r\n",
        b"<3>a BAD Mate, try LOGIN <username> <passwd>\r\n<3>* BAD Invalid tag, mate\r\n"
        b"c OK NOOP\r\n",
        None,
    ),
    ("imap4", b"a LOGIN u {9999}\r\n", b"<3>a BAD Mate, try LOGIN <username> <passwd>\r\n", None),
    ("sieve", b"NOOP\r\n", b'OK "NOOP completed, mate"\r\n', None),
    ("sieve", b'NOOP "a\\"b"\r\n', b'OK (TAG "a\\"b") "NOOP completed, mate"\r\n', None),
    ("sieve", b"NOOP {3+}\r\nabc\r\n", b'OK (TAG "abc") "NOOP completed, mate"\r\n', None),
    (
        "sieve",
        b"NOOP atom\r\n",
        b'<3>NO "Invalid argument, expected NOOP [String], mate"\r\n',
        None,
    ),
    ("sieve", b"LOGOUT\r\n", b'OK "LOGOUT completed, mate"\r\n', Quit()),
    ("sieve", b"FROB\r\n", b'<3>NO "Unknown command, mate"\r\n', None),
    ("sieve", b'AUTHENTICATE "PLAIN" "AHUAcA=="\r\n', b"", Login("u", b"p")),
    ("sieve", b'AUTHENTICATE "PLAIN" {8+}\r\nAHUAcA==\r\n', b"", Login("u", b"p")),
    ("sieve", b'AUTHENTICATE "PLAIN"\r\n"AHUAcA=="\r\n', b'""\r\n', Login("u", b"p")),
    ("sieve", b'AUTHENTICATE "PLAIN" "YQB1AHA="\r\n', b"", Login("u", b"p", "a")),
    (
        "sieve",
        b'AUTHENTICATE "PLAIN" {8+}\r\nAHUAcA== x\r\n',
        b'<3>NO "Invalid AUTHENTICATE \\"PLAIN\\" challenge, mate"\r\n',
        None,
    ),
    (
        "sieve",
        b'AUTHENTICATE "PLAIN" {AHUAcA==\r\n',
        b'<3>NO "Invalid AUTHENTICATE \\"PLAIN\\" challenge, mate"\r\n',
        None,
    ),
    ("sieve", b'AUTHENTICATE "X"\r\n', b'<3>NO "Unknown SASL mechanism, mate"\r\n', None),
    ("sieve", b"AUTHENTICATE PLAIN\r\n", b'<3>NO "Unknown SASL mechanism, mate"\r\n', None),
    (
        "sieve",
        b'AUTHENTICATE "PLAIN" AHUAcA==\r\n',
        b'<3>NO "Invalid AUTHENTICATE \\"PLAIN\\" challenge, mate"\r\n',
        None,
    ),
    (
        "sieve",
        b'AUTHENTICATE "PLAIN"\r\n"*"\r\n',
        b'""\r\n<3>NO "Invalid base64 encoded challenge, mate"\r\n',
        None,
    ),
    (
        "sieve",
        plain("\N{ROMAN NUMERAL NINE}"),
        b"",
        Login("IX", b"p"),
    ),
    (
        "sieve",
        plain("\a"),
        b'<3>NO "Prohibited character in challenge, mate"\r\n',
        None,
    ),
    (
        "sieve",
        plain("\udcff"),
        b'<3>NO "Prohibited character in challenge, mate"\r\n',
        None,
    ),
    (
        "sieve",
        plain("\N{SOFT HYPHEN}"),
        b'<3>NO "Empty authentication id, mate"\r\n',
        None,
    ),
    (
        "sieve",
        b'AUTHENTICATE "PLAIN" "!"\r\n',
        b'<3>NO "Invalid base64 encoded challenge, mate"\r\n',
        None,
    ),
]


@pytest.mark.parametrize(("name", "text", "answer", "result"), DIALOGUES)
@pytest.mark.parametrize("one_by_one", [False, True])
def test_commands_before_the_login(
    name: str, text: bytes, answer: bytes, result: object, one_by_one: bool
) -> None:
    wire = Wire()
    talk = side(name, wire).take_login()
    chunks = octets(text) if one_by_one else [text]
    if result is None:
        with pytest.raises(Lacking):
            play(talk, wire, chunks)
    else:
        assert play(talk, wire, chunks) == result
    assert said(wire) == answer


@pytest.mark.parametrize("name", SIDES)
@given(text=st.binary(max_size=200))
def test_no_input_raises_anything_but_what_is_documented(name: str, text: bytes) -> None:
    wire = Wire()
    try:
        play(side(name, wire, tls_listen=True).take_login(), wire, [text])
    except (Lacking, LineTooLong, ProtocolError):
        return


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("imap4", b"a LOGIN u {99999999+}\r\n", ProtocolError),
        ("imap4", b"a NOOP {99999999+}\r\n", ProtocolError),
        ("imap4", b"a NOOP" + 5 * (b" {1000+}\r\n" + 1000 * b"x") + b"\r\n", ProtocolError),
        ("sieve", b"NOOP {99999999+}\r\n", ProtocolError),
        ("pop3", b"x" * 20000, LineTooLong),
        ("imap4", b"x" * 20000, LineTooLong),
    ],
)
def test_what_has_no_end_ends_the_dialogue(name: str, text: bytes, error: type[Exception]) -> None:
    wire = Wire()
    with pytest.raises(error):
        play(side(name, wire).take_login(), wire, [text])


@pytest.mark.parametrize(
    ("name", "command"), [("pop3", b"STLS"), ("imap4", b"a STARTTLS"), ("sieve", b"STARTTLS")]
)
def test_starttls_is_offered_once(name: str, command: bytes) -> None:
    wire = Wire()
    client = side(name, wire, tls_listen=True)
    assert play(client.take_login(), wire, [command + b"\r\n"]) == TlsWanted()
    wire.take_unsent()
    client.tls_started()
    with pytest.raises(Lacking):
        play(client.take_login(), wire, [command + b"\r\n"])
    assert b"TLS" in said(wire) or name != "pop3"


@pytest.mark.parametrize(
    ("told", "in_tls", "words"),
    [
        ({}, False, b"IMAP4 IMAP4REV1"),
        ({"tls_listen": True}, False, b"IMAP4 IMAP4REV1 STARTTLS"),
        ({"tls_listen": True}, True, b"IMAP4 IMAP4REV1"),
        (
            {"tls_listen": True, "tls_listen_force": True},
            False,
            b"IMAP4 IMAP4REV1 STARTTLS LOGINDISABLED",
        ),
        ({"tls_listen": True, "tls_listen_force": True}, True, b"IMAP4 IMAP4REV1"),
        ({"login_disabled": True}, True, b"IMAP4 IMAP4REV1 LOGINDISABLED"),
        ({"capability": "STARTTLS X"}, False, b"X"),
        ({"capability": "X LOGINDISABLED"}, False, b"X LOGINDISABLED"),
    ],
)
def test_imap_capabilities_follow_the_state(
    told: dict[str, object], in_tls: bool, words: bytes
) -> None:
    wire = Wire()
    client = side("imap4", wire, **told)
    if in_tls:
        client.tls_started()
    client.greet("mail")
    assert said(wire) == b"* OK [CAPABILITY %b] perdition ready on mail 0123abcd\r\n" % words


def test_sieve_hides_its_mechanisms_until_forced_tls_is_up() -> None:
    wire = Wire()
    client = side("sieve", wire, tls_listen=True, tls_listen_force=True)
    client.greet("mail")
    assert b'"SASL" ""\r\n"STARTTLS"\r\n' in said(wire)


VERDICTS = [
    ("pop3", Verdict(True, protocols.OK), b"+OK You are so in\r\n"),
    ("pop3", Verdict(True, protocols.OK, b"+OK mine"), b"+OK mine\r\n"),
    ("pop3", Verdict(False, protocols.REFUSED), b"<3>-ERR failed: Re-Authentication Failure\r\n"),
    ("pop3", Verdict(False, protocols.LOCAL_FAILURE), b"<3>-ERR Authentication failure, mate\r\n"),
    ("imap4", Verdict(True, protocols.OK), b"* OK You are so in\r\n"),
    ("imap4", Verdict(False, protocols.NO_SERVER), b"<3>* NO failed: Could not determine server\r\n"),
    ("imap4", Verdict(False, protocols.LOCAL_FAILURE), b"<3>* NO Authentication failure\r\n"),
    ("sieve", Verdict(True, protocols.OK, b'OK "x"'), b'OK "x"\r\n'),
    ("sieve", Verdict(False, protocols.NO_MECHANISM, delays=2), b'<3><3>NO "failed: SASL mechanism unavailable"\r\n'),
    ("sieve", Verdict(False, protocols.REFUSED, b"NO"), b"<3>NO\r\n"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "verdict", "answer"), VERDICTS)
def test_verdicts_reach_the_client(name: str, verdict: Verdict, answer: bytes) -> None:
    wire = Wire()
    client = side(name, wire, server_resp_line=True)
    (client.accept if verdict.accepted else client.refuse)(verdict)
    assert said(wire) == answer


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("accepted", [True, False])
def test_a_real_servers_own_words_are_kept_from_the_client(name: str, accepted: bool) -> None:
    wire = Wire()
    client = side(name, wire)
    (client.accept if accepted else client.refuse)(Verdict(accepted, protocols.REFUSED, b"mine"))
    assert b"mine" not in said(wire)


@pytest.mark.parametrize(
    ("name", "line"),
    [("pop3", b"-ERR over\r\n"), ("imap4", b"* BYE over\r\n"), ("sieve", b'BYE "over"\r\n')],
)
def test_a_farewell_says_why(name: str, line: bytes) -> None:
    wire = Wire()
    side(name, wire).farewell("over")
    assert said(wire) == line


@pytest.mark.parametrize("piece", [b"x ", b"{0+}\r\n ", b"{2000+}\r\n" + b"x" * 2000 + b" "])
def test_a_sieve_command_without_an_end_ends_the_session(piece: bytes) -> None:
    wire = Wire(b"NOOP " + piece * 100 + b"\r\n")
    with pytest.raises(ProtocolError):
        play(side("sieve", wire).take_login(), wire, [])


def test_a_server_that_accepts_in_the_line_of_a_refusal_is_not_repeated() -> None:
    wire = Wire()
    verdict = Verdict(False, protocols.NOT_CONNECTED, b"+OK in")
    side("pop3", wire, server_resp_line=True).refuse(verdict)
    assert b"-ERR " in said(wire)


def test_literals_of_a_sieve_command_are_not_longer_together_than_one_may_be() -> None:
    literal = b"{3000+}\r\n" + b"x" * 3000
    wire = Wire(b"NOOP " + literal + b" " + literal + b"\r\n")
    with pytest.raises(ProtocolError, match="literal too long"):
        play(side("sieve", wire).take_login(), wire, [])


def test_sieve_says_what_there_is_when_tls_has_started_after_a_greeting() -> None:
    wire = Wire()
    client = side("sieve", wire, tls_listen=True)
    client.tls_started()
    assert said(wire) == b""
    client = side("sieve", wire, tls_listen=True)
    play(client.take_login(), wire, [b"STARTTLS\r\n"])
    said(wire)
    client.tls_started()
    assert said(wire).endswith(b'OK "TLS negotiation completed, mate"\r\n')


@pytest.mark.parametrize("name", SIDES)
def test_challenges_and_last_words_are_not_shown(name: str) -> None:
    wire = Wire()
    client = side(name, wire)
    next(client.challenge(b"challenge"))
    if name == "sieve":
        client.accept(Verdict(True, protocols.OK, b"", success_data=b"challenge"))
    assert wire.shown() == b"********\r\n" * (1 + (name == "sieve"))


def test_a_literal_of_imap_has_4096_octets_at_most() -> None:
    wire = Wire()
    text = b"a LOGIN ann {4097}\r\nb LOGIN ann {4096}\r\n" + b"x" * 4096 + b"\r\n"
    assert play(side("imap4", wire).take_login(), wire, [text]) == Login("ann", b"x" * 4096)
    assert said(wire).startswith(b"<3>a BAD ")


def test_a_literal_that_was_read_is_not_read_over() -> None:
    wire = Wire()
    text = b"a LOGIN {3+}\r\nann\r\nb NOOP\r\n"
    with pytest.raises(Lacking):
        play(side("imap4", wire).take_login(), wire, [text])
    assert said(wire).endswith(b"b OK NOOP\r\n")
