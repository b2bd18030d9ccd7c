"""What proxies say of their clients, in ID and XCLIENT."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition.protocols import (
    ClientSide,
    Login,
    ProtocolError,
    Terms,
    Verdict,
    imap4,
    imap4_server,
    managesieve,
    pop3,
)
from perdition.protocols.client_identity import (
    BadIdentity,
    Introduction,
    Pairs,
    Told,
    from_pairs,
    from_xclient,
    is_claimed,
    to_pairs,
    to_xclient,
)
from perdition.protocols.imap_id import BadList, handed_on, say_list, take_list
from perdition.protocols.wire import LineTooLong, Wire
from support.talking import Lacking, octets, play, said

TOLD = Told("192.0.2.7", 4711, "192.0.2.143", 143, "a+/=b", 4)
XCLIENT = b"XCLIENT ADDR=192.0.2.7 PORT=4711 SESSION=a+/=b TTL=4"
PAIRS: Pairs = (
    (b"x-originating-ip", b"192.0.2.7"),
    (b"x-originating-port", b"4711"),
    (b"x-connected-ip", b"192.0.2.143"),
    (b"x-connected-port", b"143"),
    (b"x-session-id", b"a+/=b"),
    (b"x-proxy-ttl", b"4"),
)
ID = b"ID " + say_list(PAIRS)


def test_what_is_said_is_what_dovecot_reads() -> None:
    assert to_pairs(TOLD) == PAIRS
    assert to_xclient(TOLD) == XCLIENT
    assert from_pairs(PAIRS) == TOLD
    assert from_xclient(XCLIENT[8:]) == TOLD._replace(local=None, local_port=None)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (b"", Told()),
        (b"addr=2001:DB8::1 port=0", Told("2001:db8::1", 0)),
        (b"ADDR=IPV6:2001:db8::1", Told("2001:db8::1")),
        (b"ADDR=::ffff:192.0.2.7", Told("192.0.2.7")),
        (b"DESTADDR=192.0.2.1 DESTPORT=110", Told(None, None, "192.0.2.1", 110)),
        (b"HELO=x FORWARD=eA== LOGIN=ann TTL=0 what", Told(ttl=0)),
        (b'SESSION=<with"quotes>', Told()),
        (b'SESSION=with"quotes', Told()),
        (b"SESSION=" + b"x" * 64, Told(session="x" * 64)),
        (b"SESSION=" + b"x" * 65, Told()),
    ],
)
def test_xclient_is_read(arguments: bytes, told: Told) -> None:
    assert from_xclient(arguments) == told


@pytest.mark.parametrize(
    "arguments",
    [
        b"ADDR=",
        b"ADDR=host",
        b"ADDR=fe80::1%lo",
        b"PORT=65536",
        b"PORT=-1",
        b"TTL=x",
        b"TTL=1x",
        b"PORT",
    ],
)
def test_what_cannot_be_is_refused(arguments: bytes) -> None:
    with pytest.raises(BadIdentity):
        from_xclient(arguments)


@pytest.mark.parametrize(
    ("field", "claimed"),
    [(field, True) for field, _value in PAIRS]
    + [(b"X-Originating-IP", True), (b"x-session-ext-id", True), (b"x-forward-any\nthing", True)]
    + [(b"name", False), (b"x-mailer", False)],
)
def test_fields_of_proxies_are_known(field: bytes, claimed: bool) -> None:
    assert is_claimed(((b"name", b"x"), (field, None))) == claimed


def listed(text: bytes) -> Pairs:
    """The list that a client says after ID, whole and octet by octet."""
    outcomes = []
    for chunks in ([text], octets(text)):
        wire = Wire()

        def taking(wire: Wire = wire) -> object:
            line = yield from wire.read_line(16384)
            return (yield from take_list(wire, line))

        outcomes.append(play(taking(), wire, chunks))  # type: ignore[arg-type]
    assert outcomes[0] == outcomes[1]
    return outcomes[0]  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (b"NIL", ()),
        (b"nil", ()),
        (b"()", ()),
        (b'("name" "x")', ((b"name", b"x"),)),
        (b'("name" NIL "os" "y")', ((b"name", None), (b"os", b"y"))),
        (b'("os" "y" "name" nil)', ((b"os", b"y"), (b"name", None))),
        (rb'("a\"b\\" "")', ((rb'a"b' + b"\\", b""),)),
        (b"({4}\r\nname {3+}\r\nx\r\n)", ((b"name", b"x\r\n"),)),
        (b'("' + b"f" * 30 + b'" "' + b"v" * 1024 + b'")', ((b"f" * 30, b"v" * 1024),)),
        (b"(" + b" ".join([b'"a" NIL'] * 30) + b")", ((b"a", None),) * 30),
    ],
)
def test_lists_are_read(text: bytes, pairs: Pairs) -> None:
    assert listed(text + b"\r\n") == pairs


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"name",
        b'"name"',
        b"NILS",
        b"(NIL NIL)",
        b'("name")',
        b'("name" x)',
        b'("name" NILS)',
        b'("name""x")',
        b'("name" "x""os" "y")',
        b'("name" "x"',
        b'("name" "x") ',
        b'("name" "x',
        b'("' + b"f" * 31 + b'" "x")',
        b'("f" "' + b"v" * 1025 + b'")',
        b'("f" {1025}',
        b"(" + b" ".join([b'"a" NIL'] * 31) + b")",
    ],
)
def test_what_is_no_list_is_refused(text: bytes) -> None:
    with pytest.raises(BadList):
        listed(text + b"\r\n")


def test_a_literal_that_is_too_long_ends_the_dialogue() -> None:
    with pytest.raises(ProtocolError):
        listed(b'("f" {1025+}\r\n')


@given(st.binary(max_size=200).map(lambda text: b"(" + text + b"\r\n"))
def test_no_list_raises_anything_but_what_is_documented(text: bytes) -> None:
    wire = Wire(text)
    try:
        line = play(wire.read_line(16384), wire, [])
        play(take_list(wire, line), wire, [])
    except (BadList, ProtocolError, LineTooLong, Lacking):
        return


@given(st.binary(max_size=100))
def test_no_arguments_raise_anything_but_the_documented_error(arguments: bytes) -> None:
    try:
        from_xclient(arguments)
    except BadIdentity:
        return


strings = st.binary(max_size=30)


@given(st.lists(st.tuples(strings, st.none() | st.binary(max_size=300)), max_size=40))
def test_what_is_handed_on_can_be_read(said_by_client: list[tuple[bytes, bytes | None]]) -> None:
    pairs = handed_on(tuple(said_by_client))
    text = say_list(pairs)
    assert b"\n" not in text
    assert listed(text + b"\r\n") == pairs[:30]


def test_what_only_proxies_say_is_not_handed_on() -> None:
    pairs = ((b"name", b"x"), (b"X-anything", b"y"), (b"long", b"v" * 256), (b"os", None))
    assert handed_on((*PAIRS, *pairs)) == ((b"name", b"x"), (b"os", None))


SIDES = {
    "pop3": (pop3.ClientSide, XCLIENT, b"+OK Updated\r\n"),
    "imap4": (imap4.ClientSide, b"a " + ID, b'* ID ("name" "perdition")\r\na OK ID completed\r\n'),
    "sieve": (managesieve.ClientSide, XCLIENT, b'OK "Updated"\r\n'),
}


def client_side(name: str, wire: Wire, *, is_trusted: bool) -> ClientSide:
    side: ClientSide = SIDES[name][0](wire, Terms("X", "", "0123abcd"))  # type: ignore[abstract]
    side.is_trusted = is_trusted
    return side


@pytest.mark.parametrize("name", SIDES)
def test_a_trusted_proxy_says_who_its_client_is(name: str) -> None:
    _side, line, answer = SIDES[name]
    wire = Wire()
    told = play(client_side(name, wire, is_trusted=True).take_login(), wire, [line + b"\r\n"])
    assert isinstance(told, Told)
    assert told.client == "192.0.2.7"
    assert said(wire) == answer


@pytest.mark.parametrize("name", SIDES)
def test_somebody_else_gets_no_answer(name: str) -> None:
    line = SIDES[name][1]
    wire = Wire()
    told = play(client_side(name, wire, is_trusted=False).take_login(), wire, [line + b"\r\n"])
    assert told == Told()
    assert said(wire) == b""


@pytest.mark.parametrize(
    ("name", "line", "answer"),
    [
        ("pop3", b"XCLIENT ADDR=x", b"<3>-ERR Mate, try: XCLIENT ADDR=<address> PORT=<port>\r\n"),
        ("imap4", b"a ID", b"<3>a BAD Mate, try ID NIL or ID (<field> <value>)\r\n"),
        (
            "imap4",
            b'a ID ("x-originating-ip" "x")',
            b"<3>a BAD Mate, try ID NIL or ID (<field> <value>)\r\n",
        ),
        (
            "sieve",
            b"XCLIENT ADDR=x",
            b'<3>NO "Invalid argument, expected XCLIENT ADDR=<address>, mate"\r\n',
        ),
    ],
)
def test_a_proxy_that_says_nonsense_is_told_so(name: str, line: bytes, answer: bytes) -> None:
    wire = Wire()
    side = client_side(name, wire, is_trusted=True)
    with pytest.raises(Lacking):
        play(side.take_login(), wire, [line + b"\r\n"])
    assert said(wire) == answer


def test_trusted_proxies_are_told_that_they_may() -> None:
    for is_trusted in (False, True):
        wire = Wire()
        side = client_side("pop3", wire, is_trusted=is_trusted)
        side.greet("x")
        with pytest.raises(Lacking):
            play(side.take_login(), wire, [b"CAPA\r\n"])
        lines = said(wire)
        assert (b"+OK [XCLIENT] POP3 perditon ready on x 0123abcd\r\n" in lines) == is_trusted
        assert (b"\r\nXCLIENT ADDR PORT SESSION TTL\r\n" in lines) == is_trusted
        side = client_side("sieve", wire, is_trusted=is_trusted)
        side.greet("x")
        assert (b'\r\n"XCLIENT"\r\n' in said(wire)) == is_trusted


def test_what_the_program_says_of_itself_is_kept() -> None:
    wire = Wire()
    side = client_side("imap4", wire, is_trusted=False)
    with pytest.raises(Lacking):
        play(side.take_login(), wire, [b'a ID ("name" "x" "X-Y" "z")\r\n'])
    assert side.pairs == ((b"name", b"x"),)
    side.tls_started()
    assert side.pairs == ()


LOGIN = Login("ann", b"sesame")
INTRODUCTION = Introduction(TOLD, ((b"name", b"x"),))
SAID_ID = b"flim07 " + ID[:-1] + b' "name" "x")\r\n'


@pytest.mark.parametrize(
    ("greeting", "answers", "told", "words"),
    [
        (
            b"+OK [XCLIENT] hi\r\n",
            [b"+OK Updated\r\n+OK\r\n", b"+OK\r\n"],
            True,
            XCLIENT + b"\r\nUSER ann\r\nPASS sesame\r\n",
        ),
        (
            b"+OK [XCLIENT] hi\r\n",
            [b"-ERR no\r\n+OK\r\n", b"+OK\r\n"],
            False,
            XCLIENT + b"\r\nUSER ann\r\nPASS sesame\r\n",
        ),
        (b"+OK hi\r\n", [b"+OK\r\n+OK\r\n"], False, b"USER ann\r\nPASS sesame\r\n"),
        (
            b'"SASL" "PLAIN"\r\n"XCLIENT"\r\nOK\r\n',
            [b'OK "Updated"\r\nOK\r\n'],
            True,
            XCLIENT + b'\r\nAUTHENTICATE "PLAIN" "AGFubgBzZXNhbWU="\r\n',
        ),
        (
            b'"SASL" "PLAIN"\r\n"XCLIENT"\r\nOK\r\n',
            [b"NO {5}\r\nhello\r\nOK\r\n"],
            False,
            XCLIENT + b'\r\nAUTHENTICATE "PLAIN" "AGFubgBzZXNhbWU="\r\n',
        ),
        (
            b'"SASL" "PLAIN"\r\nOK\r\n',
            [b"OK\r\n"],
            False,
            b'AUTHENTICATE "PLAIN" "AGFubgBzZXNhbWU="\r\n',
        ),
        (
            b"* OK [CAPABILITY ID LITERAL+] hi\r\n",
            [b'* ID ("name" "y")\r\nflim07 OK\r\nflim08 OK [CAPABILITY X]\r\n'],
            True,
            SAID_ID + b"flim08 LOGIN {3+}\r\nann {6+}\r\nsesame\r\n",
        ),
        (
            b"* OK [CAPABILITY ID] hi\r\n",
            [b"flim07 NO\r\nflim08 OK [CAPABILITY X]\r\n"],
            False,
            SAID_ID + b'flim08 LOGIN "ann" "sesame"\r\n',
        ),
        (
            b"* OK [CAPABILITY ID AUTH=PLAIN SASL-IR] hi\r\n",
            [b'* ID ("name" "y")\r\nflim07 OK\r\nflim08 OK [CAPABILITY X]\r\n'],
            True,
            SAID_ID + b"flim08 AUTHENTICATE PLAIN AGFubgBzZXNhbWU=\r\n",
        ),
        (
            b"* OK [CAPABILITY LITERAL+] hi\r\n",
            [b"* ID NIL\r\nflim07 OK [CAPABILITY X]\r\n"],
            False,
            b"flim07 LOGIN {3+}\r\nann {6+}\r\nsesame\r\n",
        ),
    ],
)
def test_real_servers_are_told_without_a_round_trip(
    greeting: bytes, answers: list[bytes], told: bool, words: bytes
) -> None:
    make = {b"+": pop3, b'"': managesieve, b"*": imap4_server}[greeting[:1]].ServerSide  # type: ignore[attr-defined]
    wire, client = Wire(), Wire()
    more = {"client": client, "tags": imap4_server.tags(), "introduction": INTRODUCTION}
    side = make(wire, Terms("", "", "0123abcd"), **more)
    play(side.negotiate(), wire, [greeting])
    assert play(side.log_in(LOGIN), wire, answers).accepted
    assert side.was_told == told
    assert said(wire) == words
    # Of what the server says of itself the client hears only what nobody has asked for.
    assert said(client) == (b"* ID NIL\r\n" if b"* ID NIL" in answers[0] else b"")


@pytest.mark.parametrize("user", ["ann", "a" * 300])
def test_xclient_comes_before_auth(user: str) -> None:
    wire = Wire()
    side = pop3.ServerSide(wire, Terms("", "", ""), INTRODUCTION)
    play(side.negotiate(), wire, [b"+OK [XCLIENT] hi\r\n"])
    capabilities, updated = b"+OK\r\nSASL PLAIN\r\n.\r\n", b"+OK Updated\r\n"
    message = base64.b64encode(b"boss\0%b\0sesame" % user.encode())
    is_long = len(user) > 200
    answers = [capabilities, updated + (b"+ \r\n" if is_long else b"+OK\r\n"), b"+OK\r\n"]
    verdict = play(side.log_in(Login(user, b"sesame", "boss")), wire, answers)
    assert isinstance(verdict, Verdict)
    assert verdict.accepted
    assert side.was_told
    command = b"AUTH PLAIN" + (b"\r\n" if is_long else b" ") + message + b"\r\n"
    assert said(wire) == b"CAPA\r\n" + XCLIENT + b"\r\n" + command


def test_nothing_is_said_where_there_is_nothing_to_say() -> None:
    wire = Wire()
    side = imap4_server.ServerSide(wire, Terms("", "", ""), client=Wire(), tags=imap4_server.tags())
    play(side.negotiate(), wire, [b"* OK [CAPABILITY ID LITERAL+] hi\r\n"])
    play(side.log_in(LOGIN), wire, [b"flim07 OK [CAPABILITY X]\r\n"])
    assert b"ID" not in said(wire)


def test_we_know_ourselves_by_the_greeting_for_proxies_too() -> None:
    wire = Wire()
    side = pop3.ServerSide(wire, Terms("", "", "0123abcd"))
    verdict = play(side.negotiate(), wire, [b"+OK [XCLIENT] POP3 perditon ready on x 0123abcd\r\n"])
    assert not getattr(verdict, "accepted", True)
