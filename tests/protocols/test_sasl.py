"""SASL: what clients say, what real servers say, and in how many round trips."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition import protocols
from perdition.protocols import (
    IN_VAIN,
    Challenge,
    ClientSide,
    Exchange,
    Login,
    ProtocolError,
    Quit,
    Ready,
    ServerSide,
    Terms,
    Verdict,
    imap4_server,
    sasl,
)
from perdition.protocols.sasl import MECHANISMS, BadResponse
from perdition.protocols.wire import LineTooLong, Wire
from support.talking import CAPABILITY, CLIENTS, SERVERS, Lacking, octets, play, said

# How each protocol says that a mechanism is wanted, and a word of it.
COMMAND = {"pop3": b"AUTH %b", "imap4": b"a AUTHENTICATE %b", "sieve": b'AUTHENTICATE "%b"'}
WORD = {"pop3": b"%b", "imap4": b"%b", "sieve": b'"%b"'}
ASKED = {"pop3": b"+ %b\r\n", "imap4": b"+ %b\r\n", "sieve": b'"%b"\r\n'}
BEARER = b"n,a=ann=2Cx,\x01host=h\x01auth=Bearer t0ken\x01\x01"
XOAUTH = b"user=ann\x01auth=Bearer t0ken\x01\x01"
SCRAM_FIRST = b"n,,n=a=3Dn=2Cn,r=fyko+d2lbbFgONRv9qkxdawL"


def b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


def client(name: str, wire: Wire, **more: object) -> ClientSide:
    terms = Terms(CAPABILITY[name], "in", "0123abcd", mechanisms=MECHANISMS, grows=True)
    made: ClientSide = CLIENTS[name](wire, terms._replace(**more))  # type: ignore[arg-type]
    return made


def server(name: str, wire: Wire, **more: object) -> ServerSide:
    terms = Terms("", "", "0123abcd")._replace(**more)  # type: ignore[arg-type]
    made: ServerSide = SERVERS[name](wire, terms, client=Wire(), tags=imap4_server.tags())
    return made


ANN = Login("ann", b"sesame")
LOGINS = [
    ("PLAIN", [b"\0ann\0sesame"], [b""], ANN),
    ("plain", [b"boss\0ann\0sesame"], [b""], Login("ann", b"sesame", "boss")),
    ("LOGIN", [b"ann", b"sesame"], [b"Username:", b"Password:"], ANN),
    ("LOGIN", [b"ann", b""], [b"Username:", b"Password:"], Login("ann", b"")),
    (
        "OAUTHBEARER",
        [BEARER],
        [b""],
        Login("ann,x", b"", exchange=Exchange("OAUTHBEARER", b"n,a=", BEARER[11:])),
    ),
    ("XOAUTH2", [XOAUTH], [b""], Login("ann", b"", exchange=Exchange("XOAUTH2", b"user=", XOAUTH[8:]))),
    (
        "SCRAM-SHA-256",
        [SCRAM_FIRST],
        [b""],
        Login("a=n,n", b"", exchange=Exchange("SCRAM-SHA-256", SCRAM_FIRST)),
    ),
    (
        "SCRAM-SHA-1",
        [b"y,a=b,n=ann,r=x,e=y"],
        [b""],
        Login("ann", b"", "b", Exchange("SCRAM-SHA-1", b"y,a=b,n=ann,r=x,e=y")),
    ),
    ("EXTERNAL", [b""], [b""], Login("carl", b"", is_verified=True)),
    ("EXTERNAL", [b"carl"], [b""], Login("carl", b"", is_verified=True)),
    # For the session to refuse, which logs it.
    ("EXTERNAL", [b"bob"], [b""], Login("carl", b"", "bob", is_refused=True)),
]  # fmt: skip


@pytest.mark.parametrize(("mechanism", "responses", "challenges", "login"), LOGINS)
@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_each_mechanism_in_each_protocol(
    name: str,
    mechanism: str,
    responses: list[bytes],
    challenges: list[bytes],
    login: Login,
    initial: bool,
    one_by_one: bool,
) -> None:
    wire = Wire()
    side = client(name, wire)
    side.tls_started("carl")
    said(wire)
    lines = [COMMAND[name] % mechanism.encode(), *(WORD[name] % b64(each) for each in responses)]
    if initial:
        first = lines.pop(1)
        lines[0] += b" " + (first if name == "sieve" or first else b"=")
        challenges = challenges[1:]
    text = b"\r\n".join([*lines, b""])
    found = play(side.take_login(), wire, octets(text) if one_by_one else [text])
    assert found == login
    assert said(wire) == b"".join(ASKED[name] % b64(each) for each in challenges)


TOO_MUCH = {"pop3": b"-ERR ", "imap4": b"a BAD ", "sieve": b'NO "'}


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize(
    ("mechanism", "message"),
    [
        ("PLAIN", b""),
        ("PLAIN", b"\0ann"),
        ("PLAIN", b"\0\0x"),
        ("PLAIN", b"ann"),
        ("PLAIN", b"\0ann\0x\0y"),
        ("PLAIN", b"\0a\nb\0x"),
        ("PLAIN", b"\0\xff\0x"),
        ("PLAIN", b"\0" + "\u06271".encode() + b"\0x"),
        ("PLAIN", b"\0" + "1\u0627".encode() + b"\0x"),
        ("PLAIN", b"\0" + "\u0627a\u0627".encode() + b"\0x"),
        ("PLAIN", b"\0" + b"a" * 1025 + b"\0x"),
        ("SCRAM-SHA-1", b"n,,n=\xc2\xad,r=x"),
        ("SCRAM-SHA-1", b"n,a=\xc2\xad,n=ann,r=x"),
        ("SCRAM-SHA-1", b"n,,n=" + "\ufdfa".encode() * 1025 + b",r=x"),
        ("OAUTHBEARER", b"n,,\x01auth=Bearer x\x01\x01"),
        ("OAUTHBEARER", b"n,a=ann,\x01host=x\x01\x01"),
        ("OAUTHBEARER", b"n,a=a=2D,\x01auth=Bearer x\x01\x01"),
        ("OAUTHBEARER", b"p=tls-unique,a=ann,\x01auth=Bearer x\x01\x01"),
        ("XOAUTH2", b"user=\x01auth=Bearer x\x01\x01"),
        ("XOAUTH2", b"user=ann\x01auth=Bearer x\x01"),
        ("SCRAM-SHA-1", b"p=tls-unique,,n=ann,r=x"),
        ("SCRAM-SHA-1", b"p,,n=ann,r=x"),
        ("SCRAM-SHA-1", b"n,,m=x,n=ann,r=x"),
        ("SCRAM-SHA-1", b"n,,n=,r=x"),
        ("SCRAM-SHA-256", b"n,,n=ann"),
        ("SCRAM-SHA-256", b""),
    ],
)
def test_a_message_that_cannot_be_taken_is_refused(
    name: str, mechanism: str, message: bytes
) -> None:
    wire = Wire()
    side = client(name, wire)
    side.tls_started("carl")
    said(wire)
    command = COMMAND[name] % mechanism.encode()
    with pytest.raises(Lacking):
        play(side.take_login(), wire, [command + b"\r\n" + WORD[name] % b64(message) + b"\r\n"])
    answer = said(wire)
    assert answer.startswith(ASKED[name] % b"" + b"<3>" + TOO_MUCH[name])
    assert b"sesame" not in answer


@pytest.mark.parametrize(
    "char",
    # RFC 4013 section 2.3: a table each.
    [
        "\0",
        "\x7f",
        "\x85",
        "\u2028",
        "\ue000",
        "\ufffe",
        "\ufffd",
        "\u2ff0",
        "\u200e",
        "\U000e0001",
    ],
)
def test_a_name_has_no_character_that_is_prohibited(char: str) -> None:
    with pytest.raises(BadResponse, match="Prohibited character"):
        sasl.prepare(f"a{char}b")


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("word", [b"*", b"!", b"AAA", b"AAAA====", b"AA AA", b" AAAA", b"AB=="])
def test_a_word_that_is_not_base64_or_an_asterisk_ends_the_exchange(name: str, word: bytes) -> None:
    wire = Wire()
    side = client(name, wire)
    side.greet("mail")
    said(wire)
    quits = (
        b"a LOGOUT\r\n" if name == "imap4" else b"LOGOUT\r\n" if name == "sieve" else b"QUIT\r\n"
    )
    command = COMMAND[name] % b"PLAIN"
    text = command + b"\r\n" + WORD[name] % word + b"\r\n" + quits
    assert play(side.take_login(), wire, [text]) == Quit()
    assert said(wire).startswith(ASKED[name] % b"" + b"<3>" + TOO_MUCH[name])


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize(("user", "password"), [(b"", b"x"), (b"a\0b", b"x"), (b"ann", b"x\0y")])
def test_words_of_login_that_cannot_be_are_refused(name: str, user: bytes, password: bytes) -> None:
    wire = Wire()
    lines = [COMMAND[name] % b"LOGIN", *(WORD[name] % b64(each) for each in (user, password)), b""]
    with pytest.raises(Lacking):
        play(client(name, wire).take_login(), wire, [b"\r\n".join(lines)])
    asked = b"".join(ASKED[name] % b64(each) for each in (b"Username:", b"Password:"))
    assert said(wire).startswith(asked + b"<3>" + TOO_MUCH[name])


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("certified", [None, "carl"])
def test_external_is_for_those_with_a_certificate(name: str, certified: str | None) -> None:
    wire = Wire()
    side = client(name, wire)
    side.tls_started(certified)
    if name != "pop3":
        side.greet("mail")
    with pytest.raises(Lacking):
        play(side.take_login(), wire, [b"CAPA\r\n"] if name == "pop3" else [])
    assert (b"EXTERNAL" in said(wire)) == (certified is not None)
    with pytest.raises(Lacking):
        play(side.take_login(), wire, [COMMAND[name] % b"EXTERNAL" + b"\r\n"])
    answer = said(wire)
    assert (answer == ASKED[name] % b"") == (certified is not None)
    if certified is None:
        # Like one that nobody has.
        with pytest.raises(Lacking):
            play(side.take_login(), wire, [COMMAND[name] % b"X" + b"\r\n"])
        assert said(wire) == answer


ANNOUNCED = [
    ("imap4", {}, b"IMAP4 IMAP4REV1 LITERAL- ID SASL-IR AUTH=PLAIN AUTH=LOGIN]"),
    ("imap4", {"login_disabled": True}, b"IMAP4 IMAP4REV1 LITERAL- ID LOGINDISABLED]"),
    (
        "imap4",
        {"tls_listen": True, "tls_listen_force": True},
        b"IMAP4 IMAP4REV1 LITERAL- ID STARTTLS LOGINDISABLED]",
    ),
    ("imap4", {"grows": False}, b"IMAP4 IMAP4REV1]"),
    ("sieve", {}, b'"SASL" "PLAIN LOGIN"\r\n'),
    ("sieve", {"login_disabled": True}, b'"SASL" ""\r\n'),
    ("sieve", {"tls_listen": True, "tls_listen_force": True}, b'"SASL" ""\r\n'),
    ("sieve", {"grows": False, "capability": '"SASL" "X"'}, b'"SASL" "X"\r\n'),
    ("pop3", {}, b"UIDL\r\nUSER\r\nSASL PLAIN LOGIN\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n.\r\n"),
    ("pop3", {"login_disabled": True}, b"\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n.\r\n"),
    (
        "pop3",
        {"tls_listen": True, "tls_listen_force": True},
        b"\r\nUIDL\r\nSTLS\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n.\r\n",
    ),
    ("pop3", {"grows": False}, b"\r\nUIDL\r\nUSER\r\n.\r\n"),
    # There is a way in without SASL, where the protocol has one.
    ("imap4", {"mechanisms": ()}, b"IMAP4 IMAP4REV1 LITERAL- ID]"),
    ("imap4", {"mechanisms": ("EXTERNAL",)}, b"IMAP4 IMAP4REV1 LITERAL- ID]"),
    ("sieve", {"mechanisms": ("EXTERNAL",)}, b'"SASL" ""\r\n'),
    ("pop3", {"mechanisms": ()}, b"\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n.\r\n"),
    (
        "pop3",
        {"mechanisms": ("EXTERNAL",)},
        b"\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n.\r\n",
    ),
]


@pytest.mark.parametrize(("name", "told", "words"), ANNOUNCED)
def test_the_announcement_is_honest(name: str, told: dict[str, object], words: bytes) -> None:
    wire = Wire()
    side = client(name, wire, **{"mechanisms": ("PLAIN", "LOGIN"), **told})
    if name != "pop3":
        side.greet("mail")
    with pytest.raises(Lacking):
        play(side.take_login(), wire, [b"CAPA\r\n"] if name == "pop3" else [])
    assert words in said(wire)


NO_LOGIN = protocols.LOGIN_DISABLED.encode()


@pytest.mark.parametrize(
    ("name", "in_clear", "disabled"),
    [
        ("pop3", b"-ERR " + NO_LOGIN, b"-ERR " + NO_LOGIN),
        ("imap4", b"a NO [PRIVACYREQUIRED] " + NO_LOGIN, b"a NO " + NO_LOGIN),
        ("sieve", b'NO (ENCRYPT-NEEDED) "' + NO_LOGIN + b'"', b'NO "' + NO_LOGIN + b'"'),
    ],
)
def test_no_password_is_asked_for_where_no_log_in_is_taken(
    name: str, in_clear: bytes, disabled: bytes
) -> None:
    forced = {"tls_listen": True, "tls_listen_force": True}
    for told, answer in (forced, in_clear), ({"login_disabled": True}, disabled):
        wire = Wire()
        side = client(name, wire, **told)
        login = play(side.take_login(), wire, [COMMAND[name] % b"PLAIN" + b"\r\n"])
        assert login == IN_VAIN
        # As the session does, which logs it.
        side.refuse(Verdict(False, protocols.LOGIN_DISABLED))
        assert said(wire) == b"<3>" + answer + b"\r\n"


def test_pop3_lists_its_mechanisms() -> None:
    wire = Wire()
    with pytest.raises(Lacking):
        play(client("pop3", wire, mechanisms=("PLAIN",)).take_login(), wire, [b"AUTH\r\n"])
    assert said(wire) == b"+OK\r\nPLAIN\r\n.\r\n"


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("initial", [False, True])
def test_tokens_of_64_kib_are_taken(name: str, initial: bool) -> None:
    message = b"user=ann\x01auth=Bearer " + b"x" * 65536 + b"\x01\x01"
    wire = Wire()
    token = b64(message)
    word = b"{%d+}\r\n%b" % (len(token), token) if name == "sieve" else token
    text = COMMAND[name] % b"XOAUTH2" + (b" " if initial else b"\r\n") + word + b"\r\n"
    login = play(client(name, wire).take_login(), wire, [text])
    assert isinstance(login, Login)
    assert login.exchange is not None
    assert sasl.say_first(login, login.exchange) == message
    assert "xxxx" not in repr(login)


@pytest.mark.parametrize("initial", [False, True])
def test_a_token_may_be_in_a_quoted_string(initial: bool) -> None:
    """Dovecot takes it, and PEAR's Net_Sieve writes it so."""
    message = b"user=ann\x01auth=Bearer " + b"x" * 65536 + b"\x01\x01"
    text = COMMAND["sieve"] % b"XOAUTH2" + (b" " if initial else b"\r\n")
    wire = Wire()
    login = play(client("sieve", wire).take_login(), wire, [text + b'"%b"\r\n' % b64(message)])
    assert isinstance(login, Login)
    assert login.exchange is not None
    assert sasl.say_first(login, login.exchange) == message


@pytest.mark.parametrize("name", CLIENTS)
def test_more_than_that_ends_the_dialogue(name: str) -> None:
    text = b"x" * 100000
    if name == "sieve":
        text = b'AUTHENTICATE "XOAUTH2" {100000+}\r\n'
    wire = Wire()
    with pytest.raises((LineTooLong, ProtocolError)):
        play(client(name, wire).take_login(), wire, [text])


@pytest.mark.parametrize("mechanism", MECHANISMS)
@given(message=st.binary(max_size=80))
def test_no_message_raises_anything_but_what_is_documented(mechanism: str, message: bytes) -> None:
    dialogue = sasl.begin(mechanism, "carl")
    next(dialogue)
    try:
        dialogue.send(message)
    except StopIteration as finished:
        assert isinstance(finished.value, Login)
    except BadResponse:
        return


@given(name=st.text(st.characters(codec="utf-8", exclude_characters="\0\x01"), min_size=1))
def test_a_name_in_an_oauth_message_can_be_changed(name: str) -> None:
    for take, message in (sasl.take_oauthbearer, BEARER), (sasl.take_xoauth2, XOAUTH):
        login = take(message)._replace(user=name)
        assert login.exchange is not None
        changed = sasl.say_first(login, login.exchange)
        try:
            assert take(changed).user == name
        except BadResponse:
            # SASLprep does not have all characters.
            assert not name.isascii() or not name.isprintable()


def test_scram_goes_as_it_came() -> None:
    login = sasl.take_scram("SCRAM-SHA-1", SCRAM_FIRST)._replace(user="bob")
    assert login.exchange is not None
    assert sasl.say_first(login, login.exchange) == SCRAM_FIRST


@pytest.mark.parametrize("word", [b"=", b"AB==", b"AAB=", b"AA", b"AAAA\r"])
def test_what_nobody_writes_in_base64_is_none(word: bytes) -> None:
    with pytest.raises(BadResponse):
        sasl.decode_base64(word)


def test_lines_are_as_long_as_ever_where_nobody_has_a_token() -> None:
    assert sasl.line_limit(("PLAIN", "SCRAM-SHA-1"), 16384) == 16384


@given(st.binary(max_size=100))
def test_base64_is_what_rfc_4648_writes(octets: bytes) -> None:
    assert sasl.decode_base64(b64(octets)) == octets
    try:
        assert b64(sasl.decode_base64(octets)) == octets
    except BadResponse:
        return


def answered(
    name: str, login: Login, lines: list[bytes], **more: object
) -> tuple[object, list[bytes]]:
    """Let a server answer word by word: what comes of it, and what is said before each answer.

    The first line is the greeting; each of the others is one round trip.
    """
    wire = Wire()
    side = server(name, wire, **more)
    assert play(side.negotiate(), wire, [lines[0]]) == Ready()
    talk, spoken = side.log_in(login), []
    for line in [*lines[1:], None]:
        try:
            next(talk)
        except StopIteration as finished:
            assert line is None, "the server says more than it is asked for"
            return finished.value, spoken
        spoken.append(said(wire))
        assert line is not None, spoken
        wire.feed(line)
    raise AssertionError


IMAP = b"* OK [CAPABILITY IMAP4rev1 %b] hi\r\n"
INSIDE = b"OK [CAPABILITY IMAP4rev1 IDLE] in\r\n"
SIEVE = b'"SASL" "PLAIN SCRAM-SHA-1"\r\nOK\r\n'
PLAIN = b64(b"\0ann\0sesame")
UTF8 = Login("jürgen", "żółć".encode())
UTF8_PLAIN = b64(sasl.say_plain(UTF8))
LONG = Login("ann", b"x" * 600)
LONG_PLAIN = b64(sasl.say_plain(LONG))
TWO_WORDS = Login("ann lee", b"sesame")
ODD, CONTROL = Login('a "n', rb"\%{3}"), Login("ann", b"\tx")
TRIPS = [
    # Servers have little room for LOGIN and for PASS.
    ("imap4", LONG, [IMAP % b"LITERAL+ AUTH=PLAIN SASL-IR", b"flim07 " + INSIDE], [b"flim07 AUTHENTICATE PLAIN %b\r\n" % LONG_PLAIN]),
    ("pop3", LONG, [b"+OK\r\n", b"+OK\r\nSASL PLAIN\r\n.\r\n", b"+ \r\n", b"+OK\r\n"], [b"CAPA\r\n", b"AUTH PLAIN\r\n", LONG_PLAIN + b"\r\n"]),
    ("pop3", LONG, [b"+OK\r\n", b"+OK\r\nSASL PLAIN\r\n.\r\n", b"+ go ahead\r\n", b"+OK\r\n"], [b"CAPA\r\n", b"AUTH PLAIN\r\n", LONG_PLAIN + b"\r\n"]),
    ("imap4", UTF8, [IMAP % b"AUTH=PLAIN", b"+ go ahead\r\n", b"flim07 " + INSIDE], [b"flim07 AUTHENTICATE PLAIN\r\n", UTF8_PLAIN + b"\r\n"]),
    ("pop3", LONG, [b"+OK\r\n", b"-ERR\r\n", b"+OK\r\n", b"+OK\r\n"], [b"CAPA\r\n", b"USER ann\r\n", b"PASS " + LONG.password + b"\r\n"]),
    ("imap4", ANN, [IMAP % b"LITERAL+", b"flim07 " + INSIDE], [b"flim07 LOGIN {3+}\r\nann {6+}\r\nsesame\r\n"]),
    ("imap4", ANN, [IMAP % b"LITERAL+ AUTH=PLAIN SASL-IR", b"flim07 " + INSIDE], [b"flim07 LOGIN {3+}\r\nann {6+}\r\nsesame\r\n"]),
    ("imap4", ANN, [IMAP % b"AUTH=PLAIN SASL-IR", b"flim07 " + INSIDE], [b"flim07 AUTHENTICATE PLAIN %b\r\n" % PLAIN]),
    ("imap4", ANN, [IMAP % b"AUTH=PLAIN", b"flim07 " + INSIDE], [b'flim07 LOGIN "ann" "sesame"\r\n']),
    ("imap4", ODD, [IMAP % b"X", b"flim07 " + INSIDE], [b'flim07 LOGIN "a \\"n" "\\\\%{3}"\r\n']),
    ("imap4", CONTROL, [IMAP % b"AUTH=PLAIN", b"+ \r\n", b"flim07 " + INSIDE], [b"flim07 AUTHENTICATE PLAIN\r\n", b64(sasl.say_plain(CONTROL)) + b"\r\n"]),
    ("imap4", CONTROL, [IMAP % b"X", b"+\r\n", b"+\r\n", b"flim07 " + INSIDE], [b"flim07 LOGIN {3}\r\n", b"ann {2}\r\n", b"\tx\r\n"]),
    ("imap4", UTF8, [IMAP % b"LITERAL+ AUTH=PLAIN SASL-IR", b"flim07 " + INSIDE], [b"flim07 AUTHENTICATE PLAIN %b\r\n" % UTF8_PLAIN]),
    ("imap4", UTF8, [IMAP % b"LITERAL+ AUTH=PLAIN", b"+ \r\n", b"flim07 " + INSIDE], [b"flim07 AUTHENTICATE PLAIN\r\n", UTF8_PLAIN + b"\r\n"]),
    ("imap4", UTF8, [IMAP % b"LITERAL+", b"flim07 " + INSIDE], ["flim07 LOGIN {7+}\r\njürgen {8+}\r\nżółć\r\n".encode()]),
    ("imap4", ANN, [IMAP % b"LOGINDISABLED AUTH=PLAIN SASL-IR", b"flim07 " + INSIDE], [b"flim07 AUTHENTICATE PLAIN %b\r\n" % PLAIN]),
    # What is there for a client that is logged in is asked for, where nobody has said it.
    ("imap4", ANN, [IMAP % b"LITERAL+", b"flim07 OK in\r\n", b"* CAPABILITY IMAP4rev1 IDLE\r\nflim08 OK\r\n"], [b"flim07 LOGIN {3+}\r\nann {6+}\r\nsesame\r\n", b"flim08 CAPABILITY\r\n"]),
    ("pop3", ANN, [b"+OK\r\n", b"+OK\r\n", b"+OK\r\n"], [b"USER ann\r\n", b"PASS sesame\r\n"]),
    ("pop3", UTF8, [b"+OK\r\n", b"+OK\r\nSASL PLAIN\r\n.\r\n", b"+OK\r\n"], [b"CAPA\r\n", b"AUTH PLAIN %b\r\n" % UTF8_PLAIN]),
    ("pop3", UTF8, [b"+OK\r\n", b"-ERR\r\n", b"+OK\r\n", b"+OK\r\n"], [b"CAPA\r\n", "USER jürgen\r\n".encode(), "PASS żółć\r\n".encode()]),
    # USER has one word.
    ("pop3", TWO_WORDS, [b"+OK\r\n", b"+OK\r\nUSER\r\nSASL PLAIN\r\n.\r\n", b"+OK\r\n"], [b"CAPA\r\n", b"AUTH PLAIN %b\r\n" % b64(b"\0ann lee\0sesame")]),
    ("pop3", TWO_WORDS, [b"+OK\r\n", b"+OK\r\nUSER\r\n.\r\n", b"+OK\r\n", b"+OK\r\n"], [b"CAPA\r\n", b"USER ann lee\r\n", b"PASS sesame\r\n"]),
    ("pop3", ANN._replace(password=b"a b"), [b"+OK\r\n", b"+OK\r\n", b"+OK\r\n"], [b"USER ann\r\n", b"PASS a b\r\n"]),
    # A server that has no LOGIN.
    ("imap4", ANN, [IMAP % b"LITERAL+ SASL-IR LOGINDISABLED AUTH=LOGIN", b"+ VXNlcm5hbWU6\r\n", b"+ who knows\r\n", b"flim07 " + INSIDE], [b"flim07 AUTHENTICATE LOGIN\r\n", b64(b"ann") + b"\r\n", b64(b"sesame") + b"\r\n"]),
    ("sieve", ANN, [SIEVE, b"OK\r\n"], [b'AUTHENTICATE "PLAIN" "%b"\r\n' % PLAIN]),
    ("sieve", UTF8, [SIEVE, b"OK\r\n"], [b'AUTHENTICATE "PLAIN" "%b"\r\n' % UTF8_PLAIN]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "login", "lines", "spoken"), TRIPS)
def test_the_best_way_in_has_the_fewest_round_trips(
    name: str, login: Login, lines: list[bytes], spoken: list[bytes]
) -> None:
    verdict, found = answered(name, login, lines)
    assert found == spoken
    assert isinstance(verdict, Verdict)
    assert verdict.accepted
    if name == "imap4":
        assert verdict.capabilities.upper() == b"IMAP4REV1 IDLE"


@pytest.mark.parametrize(
    ("capa", "then"),
    [
        (b"+OK\r\nSASL LOGIN PLAIN\r\n.\r\n", b"AUTH PLAIN %b\r\n" % b64(b"\0ann\0sesame")),
        (b"+OK\r\nUSER \r\nSASL PLAIN\r\n.\r\n", b""),
        (b"+OK\r\nSASL CRAM-MD5\r\n.\r\n", b""),
        (b"-ERR what\r\n", b""),
    ],
)
def test_a_server_without_user_is_told_by_plain_where_it_has_said_so(
    capa: bytes, then: bytes
) -> None:
    wire = Wire()
    side = server("pop3", wire, tls_outgoing=True)
    play(side.negotiate(), wire, [b"+OK hi\r\n", capa])
    assert said(wire) == b"CAPA\r\n"
    verdict = play(side.log_in(ANN), wire, [b"-ERR [IN-USE] no\r\n", b"+OK in\r\n"])
    assert isinstance(verdict, Verdict)
    assert said(wire) == b"USER ann\r\n" + then
    assert verdict.accepted is bool(then)
    if not then:
        assert verdict.code == b"IN-USE"


def test_a_server_that_refuses_a_user_is_not_asked_what_it_has() -> None:
    verdict, spoken = answered("pop3", ANN, [b"+OK\r\n", b"-ERR [IN-USE] no\r\n"])
    assert verdict == Verdict(False, protocols.REFUSED, b"-ERR [IN-USE] no", code=b"IN-USE")
    assert spoken == [b"USER ann\r\n"]


@pytest.mark.parametrize("answer", [b"flim07 NO no\r\n", b"+\r\nflim07 NO no\r\n"])
def test_a_server_may_refuse_login_before_it_has_both_words(answer: bytes) -> None:
    wire = Wire()
    side = server("imap4", wire)
    play(side.negotiate(), wire, [IMAP % b"LOGINDISABLED AUTH=LOGIN"])
    verdict = play(side.log_in(ANN), wire, [answer])
    assert isinstance(verdict, Verdict)
    assert verdict.status == protocols.REFUSED


BOSS = Login("ann", b"sesame", "boss")
BOSS_PLAIN = b64(b"boss\0ann\0sesame")


@pytest.mark.parametrize(
    ("name", "lines", "spoken"),
    [
        ("imap4", [IMAP % b"LITERAL+ AUTH=PLAIN SASL-IR", b"flim07 " + INSIDE], b"flim07 AUTHENTICATE PLAIN %b\r\n"),
        ("pop3", [b"+OK\r\n", b"+OK\r\nSASL LOGIN PLAIN\r\n.\r\n", b"+OK\r\n"], b"AUTH PLAIN %b\r\n"),
        ("sieve", [SIEVE, b"OK\r\n"], b'AUTHENTICATE "PLAIN" "%b"\r\n'),
    ],
)  # fmt: skip
def test_the_authorisation_identity_is_sent_on(
    name: str, lines: list[bytes], spoken: bytes
) -> None:
    verdict, found = answered(name, BOSS, lines)
    assert isinstance(verdict, Verdict)
    assert verdict.accepted
    assert found[-1] == spoken % BOSS_PLAIN


@pytest.mark.parametrize(
    ("name", "login", "lines"),
    [
        ("imap4", BOSS, [IMAP % b"LITERAL+"]),
        ("pop3", BOSS, [b"+OK\r\n", b"-ERR\r\n"]),
        ("pop3", Login("ann", b"a\r\nDELE 1"), [b"+OK\r\n", b"+OK\r\nUSER\r\n.\r\n"]),
        ("imap4", sasl.take_scram("SCRAM-SHA-1", SCRAM_FIRST), [IMAP % b"AUTH=PLAIN"]),
        ("pop3", sasl.take_xoauth2(XOAUTH), [b"+OK\r\n", b"+OK\r\nSASL PLAIN\r\n.\r\n"]),
        ("sieve", sasl.take_xoauth2(XOAUTH), [SIEVE]),
    ],
)
def test_what_a_server_cannot_take_is_not_said_to_it(
    name: str, login: Login, lines: list[bytes]
) -> None:
    verdict, spoken = answered(name, login, lines)
    assert isinstance(verdict, Verdict)
    assert verdict.status == protocols.NO_MECHANISM
    assert spoken in ([], [b"CAPA\r\n"])


GREETED = {
    "imap4": IMAP % b"SASL-IR AUTH=SCRAM-SHA-1",
    "pop3": b"+OK\r\n",
    "sieve": SIEVE,
}
SCRAM_SPOKEN = {
    "imap4": b"flim07 AUTHENTICATE SCRAM-SHA-1 %b\r\n",
    "pop3": b"AUTH SCRAM-SHA-1 %b\r\n",
    "sieve": b'AUTHENTICATE "SCRAM-SHA-1" "%b"\r\n',
}
END = {"imap4": b"flim07 " + INSIDE, "pop3": b"+OK in\r\n", "sieve": b"OK\r\n"}
REFUSAL = {
    "imap4": b"flim07 NO [AUTHENTICATIONFAILED] no\r\n",
    "pop3": b"-ERR [AUTH] no\r\n",
    "sieve": b"NO\r\n",
}


def begun(name: str) -> tuple[ServerSide, Wire]:
    """An exchange, as far as the server's first challenge."""
    wire = Wire()
    side = server(name, wire)
    assert play(side.negotiate(), wire, [GREETED[name]]) == Ready()
    login = sasl.take_scram("SCRAM-SHA-1", SCRAM_FIRST)
    lines = [ASKED[name] % b64(b"r=x,s=y,i=1")]
    if name == "pop3":
        lines.insert(0, b"+OK\r\nSASL SCRAM-SHA-1\r\n.\r\n")
    assert play(side.log_in(login), wire, lines) == Challenge(b"r=x,s=y,i=1")
    assert said(wire).endswith(SCRAM_SPOKEN[name] % b64(SCRAM_FIRST))
    return side, wire


PLUS = {
    "imap4": [IMAP % b"SASL-IR AUTH=SCRAM-SHA-1 AUTH=scram-sha-1-plus"],
    "pop3": [b"+OK\r\n", b"+OK\r\nSASL SCRAM-SHA-1-PLUS SCRAM-SHA-1\r\n.\r\n"],
    "sieve": [b'"SASL" "SCRAM-SHA-1 SCRAM-SHA-1-PLUS"\r\nOK\r\n'],
}


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("flag", [b"y", b"n"])
def test_a_server_that_binds_channels_is_not_told_that_the_client_knows_of_none(
    name: str, flag: bytes
) -> None:
    """It would have to refuse (RFC 5802 section 6); who cannot bind says n, and is let in."""
    login = sasl.take_scram("SCRAM-SHA-1", flag + SCRAM_FIRST[1:])
    challenge = ASKED[name] % b64(b"r=x,s=y,i=1")
    if flag == b"n":
        assert answered(name, login, [*PLUS[name], challenge])[0] == Challenge(b"r=x,s=y,i=1")
        return
    verdict, spoken = answered(name, login, PLUS[name])
    assert isinstance(verdict, Verdict)
    assert verdict.status == protocols.NO_MECHANISM
    assert spoken in ([], [b"CAPA\r\n"])


@pytest.mark.parametrize("name", SERVERS)
def test_an_exchange_goes_on_until_the_server_has_decided(name: str) -> None:
    side, wire = begun(name)
    assert play(side.respond(b"c=biws"), wire, [ASKED[name] % b64(b"v=z")]) == Challenge(b"v=z")
    assert said(wire) == WORD[name] % b64(b"c=biws") + b"\r\n"
    verdict = play(side.respond(b""), wire, [END[name]])
    assert isinstance(verdict, Verdict)
    assert verdict.accepted
    assert said(wire) == WORD[name] % b"" + b"\r\n"


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("response", [None, b"c=bad"])
def test_an_exchange_can_fail_or_be_broken_off(name: str, response: bytes | None) -> None:
    side, wire = begun(name)
    verdict = play(side.respond(response), wire, [REFUSAL[name]])
    assert isinstance(verdict, Verdict)
    assert not verdict.accepted
    word = b"*" if response is None else b64(response)
    assert said(wire) == WORD[name] % word + b"\r\n"


@pytest.mark.parametrize("name", SERVERS)
def test_a_challenge_that_is_not_base64_is_nonsense(name: str) -> None:
    side, wire = begun(name)
    with pytest.raises(ProtocolError):
        play(side.respond(b"x"), wire, [ASKED[name] % b"!"])


def test_the_last_word_can_come_with_the_answer() -> None:
    side, wire = begun("sieve")
    verdict = play(side.respond(b"x"), wire, [b'OK (SASL "%b") "in"\r\n' % b64(b"v=z")])
    assert isinstance(verdict, Verdict)
    assert verdict.success_data == b"v=z"
    client_wire = Wire()
    client("sieve", client_wire).accept(verdict)
    assert said(client_wire) == b'OK (SASL "%b") "in"\r\n' % b64(b"v=z")


def test_long_messages_are_said_when_asked_for() -> None:
    login = sasl.take_xoauth2(b"user=ann\x01auth=Bearer " + b"x" * 2000 + b"\x01\x01")
    assert login.exchange is not None
    first = b64(sasl.say_first(login, login.exchange))
    wire = Wire()
    lines = [b"+OK\r\nSASL XOAUTH2\r\n.\r\n", b"+ \r\n", b"+OK\r\n"]
    side = server("pop3", wire)
    assert play(side.negotiate(), wire, [b"+OK\r\n"]) == Ready()
    play(side.log_in(login), wire, lines)
    assert wire.shown() == b"CAPA\r\nAUTH XOAUTH2\r\n********\r\n"
    assert said(wire) == b"CAPA\r\nAUTH XOAUTH2\r\n" + first + b"\r\n"
    wire = Wire()
    side = server("sieve", wire)
    play(side.negotiate(), wire, [b'"SASL" "XOAUTH2"\r\nOK\r\n'])
    play(side.log_in(login), wire, [b"OK\r\n"])
    assert said(wire) == b'AUTHENTICATE "XOAUTH2" {%d+}\r\n%b\r\n' % (len(first), first)


def test_unauthenticate_is_not_announced() -> None:
    greeting, line = IMAP % b"LITERAL+", b"OK [CAPABILITY IMAP4rev1 UNAUTHENTICATE IDLE] in\r\n"
    verdict, _ = answered("imap4", ANN, [greeting, b"flim07 " + line])
    assert isinstance(verdict, Verdict)
    assert verdict.capabilities == b"IMAP4rev1 IDLE"
    assert verdict.is_revocable
    wire = Wire()
    client("imap4", wire).accept(verdict)
    assert b"UNAUTHENTICATE" not in said(wire)
    verdict, _ = answered("imap4", ANN, [greeting, b"flim07 " + line], server_resp_line=True)
    assert isinstance(verdict, Verdict)
    client("imap4", wire, server_resp_line=True).accept(verdict)
    assert said(wire) == b"* OK [CAPABILITY IMAP4rev1 IDLE] in\r\n"


@pytest.mark.parametrize("server_resp_line", [False, True])
def test_an_imap_client_learns_what_there_is_now(server_resp_line: bool) -> None:
    greeting = IMAP % b"LITERAL+"
    lines = [greeting, b"flim07 OK in\r\n", b"* CAPABILITY IMAP4rev1 IDLE\r\nflim08 OK\r\n"]
    verdict, _ = answered("imap4", ANN, lines)
    assert isinstance(verdict, Verdict)
    wire = Wire()
    client("imap4", wire, server_resp_line=server_resp_line).accept(verdict)
    answer = said(wire)
    if server_resp_line:
        assert answer == b"* CAPABILITY IMAP4rev1 IDLE\r\n* OK in\r\n"
    else:
        assert answer == b"* OK [CAPABILITY IMAP4rev1 IDLE] in\r\n"


REFUSED = protocols.REFUSED.encode()
CODES = [
    ("imap4", Verdict(False, protocols.REFUSED), b"NO [AUTHENTICATIONFAILED] " + REFUSED),
    ("imap4", Verdict(False, protocols.REFUSED, code=b"EXPIRED"), b"NO [EXPIRED] " + REFUSED),
    ("imap4", Verdict(False, protocols.REFUSED, code=b"Expired"), b"NO [Expired] " + REFUSED),
    ("imap4", Verdict(False, protocols.REFUSED, code=b"XYZ"), b"NO [AUTHENTICATIONFAILED] " + REFUSED),
    ("imap4", Verdict(False, protocols.NOT_CONNECTED), b"NO [UNAVAILABLE] "),
    ("imap4", Verdict(False, protocols.MAP_FAILED, is_temporary=True), b"NO [UNAVAILABLE] "),
    ("imap4", Verdict(False, protocols.LOGIN_DISABLED), b"NO [PRIVACYREQUIRED] "),
    ("imap4", Verdict(False, protocols.CANCELLED), b"BAD "),
    ("pop3", Verdict(False, protocols.REFUSED), b"-ERR [AUTH] " + REFUSED),
    ("pop3", Verdict(False, protocols.REFUSED, code=b"IN-USE"), b"-ERR [IN-USE] " + REFUSED),
    ("pop3", Verdict(False, protocols.REFUSED, code=b"LOGIN-DELAY"), b"-ERR [LOGIN-DELAY] "),
    ("pop3", Verdict(False, protocols.NOT_CONNECTED), b"-ERR [SYS/TEMP] "),
    ("sieve", Verdict(False, protocols.NOT_CONNECTED), b'NO (TRYLATER) "'),
    ("sieve", Verdict(False, protocols.LOGIN_DISABLED), b'NO (ENCRYPT-NEEDED) "'),
    ("sieve", Verdict(False, protocols.REFUSED), b'NO "' + REFUSED),
]  # fmt: skip


@pytest.mark.parametrize(("name", "verdict", "answer"), CODES)
def test_refusals_have_codes(name: str, verdict: Verdict, answer: bytes) -> None:
    wire = Wire()
    client(name, wire, tls_listen=True, tls_listen_force=True).refuse(verdict)
    assert answer in said(wire)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"NO [EXPIRED] x", b"EXPIRED"),
        (b"NO", b""),
        (b"NO x [EXPIRED]", b""),
        (b"-ERR [SYS/TEMP] x", b"SYS/TEMP"),
        (b'NO (TRYLATER) "x"', b"TRYLATER"),
        (b"NO [A\0B] x", b""),
        (b"NO [" + b"A" * 300 + b"] x", b""),
    ],
)
def test_codes_of_servers(line: bytes, code: bytes) -> None:
    assert protocols.codes.code_in(line) == code


@pytest.mark.parametrize("name", GREETED)
def test_responses_are_not_shown(name: str) -> None:
    wire = Wire()
    with contextlib.suppress(StopIteration):
        next(server(name, wire).respond(b"a proof"))
    assert wire.shown() == b"********\r\n"


def test_last_words_are_for_those_who_have_asked_for_them() -> None:
    line = b'OK (SASL "%b") "in"\r\n' % b64(b"last")
    verdict, _ = answered("sieve", ANN, [SIEVE, line])
    assert isinstance(verdict, Verdict)
    assert (verdict.accepted, verdict.success_data) == (True, None)


@pytest.mark.parametrize(
    "words",
    [b"", b"LITERAL+", b"AUTH=PLAIN", b"SASL-IR AUTH=PLAIN", b"LOGINDISABLED AUTH=LOGIN"],
)
@pytest.mark.parametrize("login", [ANN, BOSS, Login("ann", b"sesame\n")])
def test_passwords_for_imap_servers_are_not_shown(words: bytes, login: Login) -> None:
    wire = Wire()
    side = server("imap4", wire)
    assert play(side.negotiate(), wire, [IMAP % words]) == Ready()
    talk, shown = side.log_in(login), b""
    with contextlib.suppress(StopIteration, ProtocolError):
        for _ in range(4):
            next(talk)
            shown += wire.shown()
            wire.take_unsent()
            wire.feed(b"+ \r\n")
    assert b"sesame" not in shown
    assert not any(b64(each) in shown for each in (login.password, sasl.say_plain(login)))


@pytest.mark.parametrize(("name", "answer"), [("pop3", b"-ERR AUTH"), ("imap4", b"a BAD AUTH")])
def test_an_asterisk_breaks_off_alone(name: str, answer: bytes) -> None:
    for word, is_cancelled in ((b"*", True), (b"*x", False)):
        wire = Wire()
        text = COMMAND[name] % b"PLAIN" + b"\r\n" + word + b"\r\n"
        with pytest.raises(Lacking):
            play(client(name, wire).take_login(), wire, [text])
        assert (answer in said(wire)) == is_cancelled


def test_2_2_knows_no_way_around_a_login_that_is_disabled() -> None:
    greeting = IMAP % b"LOGINDISABLED AUTH=LOGIN"
    verdict, spoken = answered("imap4", ANN, [greeting], compat=True)
    assert isinstance(verdict, Verdict)
    assert (verdict.status, spoken) == (protocols.LOGIN_DISABLED, [])
