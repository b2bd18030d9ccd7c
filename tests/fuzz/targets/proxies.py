"""What proxies say of their clients: PROXY headers, XCLIENT, lists of ID; and networks."""

import contextlib
import ipaddress
from collections.abc import Callable
from functools import partial

from fuzz import framing
from fuzz.target import Choices, Target
from perdition.identity import Ends
from perdition.net import Networks
from perdition.protocols import (
    ClientSide,
    Login,
    ProtocolError,
    Quit,
    ServerSide,
    Talk,
    Terms,
    TlsWanted,
    imap4_server,
    imap_id,
    proxy_header,
)
from perdition.protocols.client_identity import (
    BadIdentity,
    Introduction,
    Told,
    from_pairs,
    from_xclient,
    is_claimed,
    to_pairs,
    to_xclient,
)
from perdition.protocols.proxy_header import Header, More, TlsSeen
from perdition.protocols.wire import LineTooLong, Wire
from support.talking import CAPABILITY, CLIENTS, SERVERS, Lacking, play

TROUBLE = (LineTooLong, ProtocolError, Lacking)
MOST_ANSWERS = 6
ENDS = Ends("192.0.2.1", 1024, "198.51.100.1", 143)


def both_ways(
    begin: Callable[[Wire], Talk[object]], octets: bytes, size: int
) -> tuple[object, bytes]:
    """What a dialogue makes of octets, whole and in pieces, and what it leaves unread."""
    endings = []
    for step in (len(octets) + 1, size):
        wire = Wire()
        arriving = iter([octets[at : at + step] for at in range(0, len(octets), step)])
        try:
            result: object = play(begin(wire), wire, arriving)
        except TROUBLE as error:
            endings.append((type(error), b""))
        else:
            endings.append((result, wire.take_unread() + b"".join(arriving)))
    assert endings[0] == endings[1]
    return endings[0]


def header(data: bytes) -> None:
    """A header ends where it ends, and says the same when it is built again."""
    choices = Choices(data)
    size = 1 + choices.octet() % 40
    octets = choices.rest
    found, rest = both_ways(proxy_header.parse, octets, size)
    if found is Lacking:
        may_begin = proxy_header.may_begin(octets) or proxy_header.SIGNATURE.startswith(octets)
        assert proxy_header.begins(octets) or may_begin
        return
    if not isinstance(found, Header):
        return
    assert proxy_header.begins(octets)
    assert octets.endswith(rest)
    if found.ends is not None:
        assert read(proxy_header.build_v1(found.ends)) == Header(found.ends)
        assert read(proxy_header.build_v2(found.ends, found.more)) == found
        for each in (found.ends.client, found.ends.local):
            assert str(ipaddress.ip_address(each)) == each


def read(octets: bytes) -> Header:
    """A header that was built here, all of it."""
    wire = Wire(octets)
    found = play(proxy_header.parse(wire), wire, [])
    assert wire.take_unread() == b""
    return found


def built_header(data: bytes) -> None:
    """Whatever there is to say of a link, the header that says so is read as that."""
    choices = Choices(data)
    tls = None
    if choices.flag():
        texts = [choices.word(60).decode("utf-8", "surrogateescape") for _ in range(3)]
        tls = TlsSeen(*texts, verified=choices.flag())
    more = More(
        tls,
        choices.word(60).decode("utf-8", "surrogateescape"),
        choices.word(60),
        choices.word(128),
        choices.octet() % 10 if choices.flag() else None,
    )
    assert read(proxy_header.build_v2(ENDS, more)) == Header(ENDS, more)


def told_is_sound(told: Told) -> None:
    """It can be said again in both forms, in a line, and means the same."""
    assert from_pairs(to_pairs(told)) == told
    assert from_xclient(to_xclient(told).partition(b" ")[2]) == told._replace(
        local=None, local_port=None
    )
    line = to_xclient(told) + imap_id.say_list(to_pairs(told))
    assert not set(b"\r\n\0") & set(line)
    for each in (told.client, told.local):
        assert each is None or str(ipaddress.ip_address(each)) == each


def xclient(data: bytes) -> None:
    told_is_sound(from_xclient(data))


def id_list(data: bytes) -> None:
    """What of a list is handed on fits into a line, and no client speaks for a proxy there."""
    choices = Choices(data)
    size = 1 + choices.octet() % 40
    text, _, rest = choices.rest.partition(b"\n")
    with contextlib.suppress(imap_id.BadList):
        pairs, _unread = both_ways(lambda wire: imap_id.take_list(wire, text), rest, size)
        if not isinstance(pairs, tuple):
            return
        handed = imap_id.handed_on(pairs)
        assert not is_claimed(handed)
        line = imap_id.say_list(handed)
        assert not set(b"\r\n\0") & set(line)
        wire = Wire()
        assert play(imap_id.take_list(wire, line), wire, []) == handed
        with contextlib.suppress(BadIdentity):
            told_is_sound(from_pairs(pairs))


def client(name: str, data: bytes) -> None:
    """A proxy that is trusted, or one that is not, says who its client is, before a log-in."""
    choices = Choices(data)
    is_trusted, size = choices.flag(), 1 + choices.octet() % 40
    octets = choices.rest
    endings = []
    for step in (len(octets) + 1, size):
        wire = Wire()
        side: ClientSide = CLIENTS[name](wire, Terms(CAPABILITY[name], "in", "0123abcd"))
        side.is_trusted = is_trusted
        side.greet("host.example")
        arriving = iter([octets[at : at + step] for at in range(0, len(octets), step)])
        results: list[object] = []
        with contextlib.suppress(*TROUBLE):
            for _ in range(MOST_ANSWERS):
                results.append(play(side.take_login(), wire, arriving))
                if isinstance(results[-1], Told) and is_trusted:
                    told_is_sound(results[-1])
                if results[-1] == Told() or isinstance(results[-1], Quit | Login | TlsWanted):
                    break
        said = b"".join(each + b"\r\n" for each in wire.unsent if each is not None)
        framing.lines(said, literals=name != "pop3")
        assert not is_claimed(side.pairs) or is_trusted
        endings.append((results, said, side.pairs))
    assert endings[0] == endings[1]


def server(name: str, data: bytes) -> None:
    """What a real server is told of a client and its program is in lines of its own."""
    choices = Choices(data)
    told = Told("192.0.2.1", 1024, "2001:db8::1", 143, "session", 3) if choices.flag() else None
    pairs = imap_id.handed_on(((choices.word(), choices.word()), (choices.word(), None)))
    greeting, _, rest = choices.rest.partition(b"\xff\xff")
    wire, heard = Wire(), Wire()
    side: ServerSide = SERVERS[name](
        wire,
        Terms("", "", "0123abcd"),
        client=heard,
        tags=imap4_server.tags(),
        introduction=Introduction(told, pairs),
    )
    with contextlib.suppress(*TROUBLE):
        play(side.negotiate(), wire, [greeting])
        wire.take_unread()
        play(side.log_in(Login("ann", b"sesame")), wire, [rest])
    said = [each for each in wire.unsent if each is not None]
    assert not any(set(b"\r\n\0") & set(each) for each in said)
    assert sum(each.startswith(b"XCLIENT ") or b" ID (" in each for each in said) <= 1


def network(data: bytes) -> None:
    texts = data.decode("utf-8", "surrogateescape").split(" ")
    assert isinstance(texts[0] in Networks(texts[1:]), bool)


V2 = proxy_header.build_v2(ENDS, More(TlsSeen("TLSv1.3", "x", "cn", True), "sni", b"imap", b"u", 3))
BAD = (BadIdentity,)
TARGETS = [
    Target(
        "proxy-header",
        header,
        (),
        [
            b"\0" + proxy_header.build_v1(ENDS) + b"a LOGIN\r\n",
            b"\3PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
            b"\1PROXY UNKNOWN whatever\r\n",
            b"\0" + V2 + b"x",
            b"\2" + proxy_header.build_v2(Ends("", 0, "", 0)),
            b"\2\r\n\r\n",
        ],
    ),
    Target("proxy-header-built", built_header, (), [b"\1\1a\2bc\3def\1\3sni\4imap\1u\3\1"]),
    Target("xclient", xclient, BAD, [b"ADDR=192.0.2.1 PORT=1 SESSION=x TTL=3", b"ADDR=IPV6:::1"]),
    Target(
        "id-list",
        id_list,
        (),
        [
            b'\0("name" "x" "x-originating-ip" "192.0.2.1" "os" NIL)',
            b"\1({4}\nname {3+}\r\na b)\r\n",
            b"\0NIL",
        ],
    ),
    Target(
        "networks", network, (ValueError,), [b"192.0.2.1 192.0.2.0/24 ::1", b"fe80::1%x fe80::/10"]
    ),
    *(
        Target(
            f"introduced-{name}",
            partial(client, name),
            (),
            [
                b"\1\0XCLIENT ADDR=192.0.2.1 PORT=1\r\nQUIT\r\n",
                b'\1\1a ID ("name" "x" "x-originating-ip" "::1")\r\nb LOGOUT\r\n',
                b'\0\2a ID ("name" "x")\r\nb ID ("x-proxy-ttl" "1")\r\n',
            ],
        )
        for name in CLIENTS
    ),
    *(
        Target(
            f"introducing-{name}",
            partial(server, name),
            (),
            [
                b"\1\4name\1x\2os+OK [XCLIENT] hi\r\n\xff\xff+OK\r\n+OK\r\n+OK\r\n",
                b"\1\4name\1x\2os* OK [CAPABILITY ID LITERAL+] hi\r\n\xff\xffflim07 OK\r\nflim08 OK\r\n",
                b'\1\0\0\0"XCLIENT"\r\n"SASL" "PLAIN"\r\nOK\r\n\xff\xffOK\r\nOK\r\n',
            ],
        )
        for name in SERVERS
    ),
]
