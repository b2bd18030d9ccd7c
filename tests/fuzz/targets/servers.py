"""What real servers say, and what they are told: by each protocol, with any name and password."""

import base64
import binascii
import contextlib
import re
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from fuzz import framing
from fuzz.target import Choices, Target
from fuzz.targets.clients import SIDES as CLIENTS
from fuzz.targets.clients import told
from perdition.protocols import (
    Challenge,
    Exchange,
    Login,
    ProtocolError,
    Ready,
    ServerSide,
    Terms,
    TlsWanted,
    Verdict,
    decode,
    encode,
    imap4_server,
    managesieve,
    pop3,
    sasl,
)
from perdition.protocols.wire import LineTooLong, Wire
from support.talking import Lacking, play

SIDES = {"pop3": pop3.ServerSide, "imap4": imap4_server.ServerSide, "sieve": managesieve.ServerSide}
TROUBLE = (LineTooLong, ProtocolError, Lacking)
MOST_CHALLENGES = 4
# Of another octet's kind: a control character cannot be in a quoted string, and so on.
CONTROLS = {octet: 0x01 for octet in (*range(0x20), 0x7F) if octet not in b"\0\r\n"}
OTHER = {
    **dict.fromkeys(range(0x20, 0x7F), 0x78),
    **CONTROLS,
    **dict.fromkeys(range(0x80, 256), 0xE9),
}
BETWEEN = b"\xff\xff"


class Script(NamedTuple):
    """What is decided before the real server speaks, and what it says.

    Attributes:
        terms: of the dialogue.
        login: that is tried.
        answers: of the client to challenges.
        negotiation, rest: what the real server says, before the log-in and from then on.
        size: how many octets come at a time.
    """

    terms: Terms
    login: Login
    answers: list[bytes | None]
    negotiation: bytes
    rest: bytes
    size: int


class Ending(NamedTuple):
    """What came of it.

    Attributes:
        outcomes: what the session was told.
        said: to the real server, before leave was taken of it: a refusal ends what was begun.
        leave: what was said then.
        shown: all of it, as the log has it.
        client: what was said to the client.
    """

    outcomes: tuple[object, ...]
    said: bytes
    leave: bytes
    shown: bytes
    client: bytes


def script(data: bytes) -> Script:
    """The script that octets stand for."""
    choices = Choices(data)
    flags = choices.octet()
    bits = [bool(flags & 1 << place) for place in range(8)]
    terms = Terms(
        "",
        "You are in",
        "0123abcd",
        tls_outgoing=bits[0],
        tls_outgoing_force=bits[0] and bits[1],
        server_resp_line=bits[2],
        compat=bits[3],
    )
    size = 1 + choices.octet() % 40
    login = Login(decode(choices.word()), choices.word())
    if bits[4]:
        login = login._replace(authorisation=decode(choices.word()))
    answers: list[bytes | None] = []
    if bits[5]:
        message, after = choices.word(), choices.word() if bits[6] else None
        name = "XOAUTH2" if bits[6] else "SCRAM-SHA-256"
        login = login._replace(password=b"", exchange=Exchange(name, message, after))
        answers = [choices.word(), None if bits[7] else choices.word()]
    negotiation, _between, rest = choices.rest.partition(BETWEEN)
    return Script(terms, login, answers, negotiation, rest, size)


def pieces(octets: bytes, size: int) -> list[bytes]:
    """Octets, so many at a time."""
    return [octets[at : at + size] for at in range(0, len(octets), size)]


def speak(name: str, given: Script, size: int) -> Ending:
    """Have a real server say what stands in the script."""
    wire, client = Wire(), Wire()
    side: ServerSide = SIDES[name](wire, given.terms, client=client, tags=imap4_server.tags())
    outcomes: list[object] = []
    arriving: Iterator[bytes] = iter(())
    try:
        outcome: object = play(side.negotiate(), wire, pieces(given.negotiation, size))
        outcomes.append(outcome)
        wire.take_unread()
        if isinstance(outcome, TlsWanted):
            outcome = Ready()
        if isinstance(outcome, Ready):
            arriving = iter(pieces(given.rest, size))
            for outcome in log_in(side, wire, given, arriving):
                outcomes.append(outcome)
    except TROUBLE as error:
        outcomes.append(type(error))
    words = told(wire)
    if isinstance(outcomes[-1], Verdict) and not outcomes[-1].accepted:
        with contextlib.suppress(*TROUBLE):
            play(side.leave(), wire, arriving)
    leave = told(wire)[len(words) :]
    return Ending(tuple(outcomes), words, leave, wire.shown(), told(client))


def log_in(
    side: ServerSide, wire: Wire, given: Script, arriving: Iterator[bytes]
) -> Iterator[object]:
    """The outcomes of the log-in, with the answers of the client."""
    outcome = play(side.log_in(given.login), wire, arriving)
    for answer in [*given.answers, *[b"x"] * MOST_CHALLENGES]:
        yield outcome
        if not isinstance(outcome, Challenge):
            break
        assert repr(outcome) == repr(Challenge(b""))
        outcome = play(side.respond(answer), wire, arriving)


def server(name: str, data: bytes) -> None:
    """However its octets arrive, and whatever name and password have in them.

    The real server is said the commands that there are, in their order, with the name and the
    password that there are; and the log has nothing of the password.
    """
    given = script(data)
    whole = speak(name, given, 1 << 20)
    assert speak(name, given, given.size) == whole
    # A server may end LOGIN before it was given the literals of it; then comes another command.
    words = re.sub(rb"(\{\d+\}\r\n)flim.. CAPABILITY\r\n\Z", rb"\1", whole.said)
    COMMANDS[name](framing.lines(words, literals=name != "pop3"), given)
    assert re.fullmatch(rb"(?:(?:flim.. )?LOGOUT\r\n|QUIT\r\n)?", whole.leave)
    for line in framing.lines(whole.client, literals=True):
        assert name == "imap4"
        assert line.pieces[0].startswith(b"* ")
    other = speak(name, given._replace(login=without_secrets(given.login)), 1 << 20)
    assert other.shown == whole.shown
    for outcome in whole.outcomes:
        if isinstance(outcome, Verdict):
            tell(name, given.terms, outcome)


def without_secrets(login: Login) -> Login:
    """A log-in with another password, which can be said in the same way."""
    password = bytes(OTHER.get(octet, octet) for octet in login.password)
    exchange = login.exchange
    if exchange is not None:
        # Whether channel binding is wanted decides what is done, and is no secret.
        flag, secret = exchange.before[:2], exchange.before[2:]
        exchange = exchange._replace(before=flag + bytes(len(secret)))
    return login._replace(password=password, exchange=exchange)


def tell(name: str, terms: Terms, verdict: Verdict) -> None:
    """What the client is told of a verdict is one line, or as many as literals make of it."""
    wire = Wire()
    side = CLIENTS[name](wire, terms)
    (side.accept if verdict.accepted else side.refuse)(verdict)
    assert all(each.is_whole for each in framing.lines(told(wire), literals=name != "pop3"))


def check_pop3(said: list[framing.Line], given: Script) -> None:
    """CAPA, STLS; USER and PASS, or CAPA in the place of that; AUTH and its words."""
    user = encode(given.login.user)
    words = [line.pieces[0] for line in said]
    after_auth = False
    for at, line in enumerate(words):
        if line in (b"CAPA", b"STLS"):
            continue
        if line.startswith(b"AUTH "):
            check_message(line.split(b" ", 2)[2:], given)
            after_auth = True
        elif after_auth and is_response(line):
            continue
        elif line == b"USER " + user:
            assert words[at + 1 : at + 2] in ([], [b"CAPA"], [b"PASS " + given.login.password])
        else:
            assert line == b"PASS " + given.login.password
            assert words[at - 1] == b"USER " + user


def check_imap4(said: list[framing.Line], given: Script) -> None:
    """Commands with the tags in their order; two literals of LOGIN; words of AUTHENTICATE."""
    tags = imap4_server.tags()
    user, password = encode(given.login.user), given.login.password
    after_auth = False
    for line in said:
        if after_auth and is_response(line.pieces[0]):
            continue
        tag, _, rest = line.pieces[0].partition(b" ")
        assert tag == next(tags)
        if rest.startswith(b"AUTHENTICATE "):
            check_message(rest.split(b" ")[2:], given)
            after_auth = True
        elif rest.startswith(b'LOGIN "'):
            words = [QUOTED.sub(rb"\1", each[1:-1]) for each in STRING.findall(rest)]
            assert words == [user, password]
            assert STRING.sub(b"", rest) == b"LOGIN  "
        elif rest.startswith(b"LOGIN "):
            assert re.fullmatch(rb"LOGIN \{%d\+?\}" % len(user), rest)
            assert line.literals in ((b"",), (user,), (user, b""), (user, password))
            assert not any(each.strip(b"+{} 0123456789") for each in line.pieces[1:])
        else:
            assert rest in (b"CAPABILITY", b"STARTTLS")


def check_sieve(said: list[framing.Line], given: Script) -> None:
    """STARTTLS; AUTHENTICATE with a string, and strings after it."""
    after_auth = False
    for line in said:
        first = line.pieces[0]
        if first == b"STARTTLS":
            continue
        if found := re.fullmatch(rb'AUTHENTICATE "[A-Z0-9-]+" (.*)', first):
            check_message([unquoted(found[1], line)], given)
            after_auth = True
        else:
            assert after_auth
            assert is_response(unquoted(first, line))


def unquoted(text: bytes, line: framing.Line) -> bytes:
    """The octets of a string in base64."""
    if line.literals:
        return line.literals[0]
    assert re.fullmatch(rb'"[^"\\]*"', text)
    return text[1:-1]


def is_response(line: bytes) -> bool:
    """Whether it is a word of an exchange."""
    try:
        return line in (b"*", b"=") or base64.b64decode(line, validate=True) is not None
    except binascii.Error:
        return False


def check_message(words: list[bytes], given: Script) -> None:
    """The first message, if it was said at once, has the names and the password."""
    for word in words:
        octets = b"" if word == b"=" else base64.b64decode(word, validate=True)
        login = given.login
        if login.exchange is None:
            assert octets == sasl.say_plain(login)
        else:
            assert octets == sasl.say_first(login, login.exchange)


STRING, QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"'), re.compile(rb"\\(.)")
COMMANDS = {"pop3": check_pop3, "imap4": check_imap4, "sieve": check_sieve}
ANN = b"\3\3ann\6sesame"
BREAKING = b"\3\6a\r\nb\0c\x08x\r\nQUIT"
SCRAM = b"\x20\3\3ann\0\x0an,,n=a,r=x\2ab\2cd"
COULD_BIND = SCRAM.replace(b"n,,", b"y,,")
TARGETS = [
    Target(
        "server-pop3",
        partial(server, "pop3"),
        (),
        [
            b"\0" + ANN + b"+OK hi\r\n" + BETWEEN + b"+OK\r\n+OK in\r\n",
            b"\4" + ANN + b"+OK\r\n" + BETWEEN + b"+OK\r\n-ERR [SYS/TEMP] no\r\n+OK\r\n",
            b"\1" + ANN + b"+OK\r\n+OK\r\nSTLS\r\n.\r\n+OK\r\n" + BETWEEN + b"+OK\r\n",
            b"\0" + BREAKING + b"+OK\r\n" + BETWEEN + b"+OK\r\nSASL PLAIN\r\n.\r\n+OK\r\n",
            SCRAM + b"+OK\r\n" + BETWEEN + b"+OK\r\nSASL SCRAM-SHA-256\r\n.\r\n+ YQ==\r\n+OK\r\n",
            COULD_BIND
            + b"+OK\r\n"
            + BETWEEN
            + b"+OK\r\nSASL SCRAM-SHA-256 SCRAM-SHA-256-PLUS\r\n.\r\n",
            b"\0" + ANN + b"+OK\r\n" + BETWEEN + b"-ERR\r\n+OK\r\nSASL PLAIN\r\n.\r\n+OK\r\n",
        ],
    ),
    Target(
        "server-imap4",
        partial(server, "imap4"),
        (),
        [
            b"\0"
            + ANN
            + b"* OK [CAPABILITY IMAP4REV1] hi\r\n"
            + BETWEEN
            + b"+ go\r\n+ go\r\nflim07 OK in\r\nflim07 OK\r\n",
            b"\4"
            + BREAKING
            + b"* OK [CAPABILITY LITERAL+] hi\r\n"
            + BETWEEN
            + b"* BYE {3}\r\nx\r\n y\r\nflim07 NO [ALERT] {2}\r\nab\r\n",
            b"\1"
            + ANN
            + b"* OK\r\n* CAPABILITY STARTTLS\r\nflim07 OK\r\nflim08 OK\r\n"
            + BETWEEN
            + b"* CAPABILITY AUTH=PLAIN SASL-IR\r\nflim09 OK\r\nflim0a OK\r\n",
            b"\0"
            + ANN
            + b"* OK [CAPABILITY X] hi\r\n"
            + BETWEEN
            + b"* X {2}\r\na{3}\r\n+ go\r\n+ go\r\nflim07 OK\r\n",
            b"\0"
            + ANN
            + b"* OK [CAPABILITY LOGINDISABLED AUTH=LOGIN] hi\r\n"
            + BETWEEN
            + b"+ go\r\n+ go\r\nflim07 OK in\r\n",
            SCRAM
            + b"* OK [CAPABILITY AUTH=SCRAM-SHA-256] hi\r\n"
            + BETWEEN
            + b"+ \r\n+ YQ==\r\n+ Yg==\r\nflim07 OK [CAPABILITY X UNAUTHENTICATE] in\r\n",
        ],
    ),
    Target(
        "server-sieve",
        partial(server, "sieve"),
        (),
        [
            b"\0" + ANN + b'"SASL" "PLAIN"\r\nOK "hi"\r\n' + BETWEEN + b'OK "in"\r\n',
            b"\4"
            + ANN
            + b'"SASL" {5}\r\nPLAIN\r\nOK\r\n'
            + BETWEEN
            + b"NO (QUOTA) {2}\r\nab\r\nOK\r\n",
            b"\1" + ANN + b'"STARTTLS"\r\nOK\r\nOK\r\n' + BETWEEN + b'OK "in"\r\n',
            SCRAM
            + b'"SASL" "SCRAM-SHA-256"\r\nOK\r\n'
            + BETWEEN
            + b'"YQ=="\r\n{4}\r\nYg==\r\nOK\r\n',
            b"\4"
            + ANN
            + b'"SASL" "PLAIN"\r\nOK {2}\r\nhi\r\n'
            + BETWEEN
            + b"OK (SASL {4}\r\nYg==) {2}\r\nin\r\n",
        ],
    ),
]
