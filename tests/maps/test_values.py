"""Values of a map, taken apart."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from perdition.maps import Answer, MapFailed, read_value
from perdition.net import ServerItem
from perdition.parameters import Parameters


def item(host: str, port: str = "", user: str = "") -> ServerItem:
    return ServerItem(user, host, port)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        # The table of the reference, maps.md section 3.
        ("mail1", item("mail1")),
        ("mail1:143", item("mail1", "143")),
        ("bob@mail1", item("mail1", user="bob")),
        ("bob@mail1:143", item("mail1", "143", "bob")),
        ("bob@ex.org@mail1", item("mail1", user="bob@ex.org")),
        ("bob:110", item("bob", "110")),
        ("mail1:", item("mail1")),
        ("bob@", item("", user="bob")),
        (":143", item("", "143")),
        ("[2001:db8::1]:143", item("2001:db8::1", "143")),
        # 2.2 takes the end of the address for a port.
        ("2001:db8::1", item("2001:db8::1")),
        # The other forms.
        ("[2001:db8::1]", item("2001:db8::1")),
        ("bob@[2001:db8::1]:143", item("2001:db8::1", "143", "bob")),
        ("bob@[2001:db8::1]", item("2001:db8::1", user="bob")),
        ("[fe80::1%eth0]:143", item("fe80::1%eth0", "143")),
        ("mail1:imap", item("mail1", "imap")),
        ("mail1:tcpmux-2.x", item("mail1", "tcpmux-2.x")),
        ("mail1:65535", item("mail1", "65535")),
        ("@mail1", item("mail1")),
        ("m\xfcller@mail1", item("mail1", user="m\xfcller")),
        (" mail1 ", item("mail1")),
        (" bob@mail1 ", item("mail1", user=" bob")),
        (" mail1:1;name=mail@x", ServerItem("", "mail1", "1", Parameters(name="mail@x"))),
    ],
)
def test_a_value_is_taken_apart(value: str, found: ServerItem) -> None:
    assert read_value(value.encode(), "@") == Answer([found])


def test_octets_that_are_no_text_stay_what_they_are() -> None:
    ((user, host, *_more),) = read_value(b"m\xfcller@mail1", "@").destinations
    assert (user.encode("utf-8", "surrogateescape"), host) == (b"m\xfcller", "mail1")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("host1,host2", [item("host1"), item("host2")]),
        ("a:1 , bob@b:2", [item("a", "1"), item("b", "2", "bob")]),
        ("[::1]:1,::2", [item("::1", "1"), item("::2")]),
        ("a,,b,", [item("a"), item("b")]),
        ("", []),
        (" , ", []),
        (",".join(["a"] * 16), [item("a")] * 16),
    ],
)
def test_a_list_is_several_destinations_in_order(value: str, found: list[ServerItem]) -> None:
    assert read_value(value.encode(), "@") == Answer(found)


@pytest.mark.parametrize(
    ("delimiter", "value", "found"),
    [
        ("%", "bob%mail1", item("mail1", user="bob")),
        ("%", "bob@mail1", item("bob@mail1")),
        ("--", "a-b--mail1:1", item("mail1", "1", "a-b")),
        # No list, where users have commas.
        (",", "bob,mail1", item("mail1", user="bob")),
        (",", "a,b,mail1", item("mail1", user="a,b")),
    ],
)
def test_other_delimiters(delimiter: str, value: str, found: ServerItem) -> None:
    assert read_value(value.encode(), delimiter) == Answer([found])


def test_who_has_no_port_gets_the_one_that_is_given() -> None:
    found = read_value(b"a,b:1,[::1],c:", "@", "99").destinations
    assert [each.port for each in found] == ["99", "1", "99", "99"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"bob\0@mail1", "not the name of a user"),
        (b"bob\r\nQUIT@mail1", "not the name of a user"),
        (b"mail 1", "not the name of a host"),
        (b"mail\t1", "not the name of a host"),
        (b"mail/1", "not the name of a host"),
        (b"[::1", "not the name of a host"),
        (b"x" * 256, "not the name of a host"),
        (b"mail1:0", "not a port"),
        (b"mail1:65536", "not a port"),
        (b"mail1:-1", "not a port"),
        (b"mail1:14 3", "not a port"),
        ("mail1:\u0661".encode(), "not a port"),
        (b"mail1:" + b"x" * 65, "not a port"),
        (b"::1:143", r"write \[::1\]:143 or \[::1:143\]"),
        (b"mail1,mail2:0", "not a port: mail1,mail2:0"),
        (b",".join([b"a"] * 17), "more than 16 destinations"),
    ],
)
def test_nonsense_is_out_of_order(value: bytes, why: str) -> None:
    with pytest.raises(MapFailed, match=why):
        read_value(value, "@")


def test_the_message_has_no_more_than_the_beginning_of_a_value() -> None:
    for value in b"x" * 10_000, b"a;tls=" + b"x" * 10_000:
        with pytest.raises(MapFailed) as raised:
            read_value(value, "@")
        assert len(str(raised.value)) < 250


PIN = "ab" * 32


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("mail1;tls=ssl", item("mail1")._replace(options=Parameters(tls="ssl"))),
        ("mail1 ; tls=ssl", item("mail1")._replace(options=Parameters(tls="ssl"))),
        (
            "bob@mail1:99;name=imap.example.com;ca=/etc/x@y.pem",
            ServerItem(
                "bob", "mail1", "99", Parameters(name="imap.example.com", ca="/etc/x@y.pem")
            ),
        ),
        (
            f"[::1]:143;pin=sha256:{PIN};client=proxy_v2",
            ServerItem("", "::1", "143", Parameters(pins=(bytes.fromhex(PIN),), client="proxy_v2")),
        ),
        (";tls=ssl", item("")._replace(options=Parameters(tls="ssl"))),
        # A user may have a semicolon, as before.
        ("a;b@mail1", item("mail1", user="a;b")),
    ],
)
def test_parameters_stand_behind_a_destination(value: str, found: ServerItem) -> None:
    assert read_value(value.encode(), "@") == Answer([found])


def test_each_destination_of_a_list_has_its_own_parameters() -> None:
    found = read_value(b"a:1;tls=ssl,b, c;tls=starttls;name=x", "@", "99").destinations
    assert [(each.host, each.port, each.options) for each in found] == [
        ("a", "1", Parameters(tls="ssl")),
        ("b", "99", None),
        ("c", "99", Parameters(tls="starttls", name="x")),
    ]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("mail1;tls=yes", "tls=yes: must be one of none, ssl, starttls, starttls_force: mail1;"),
        ("mail1;tls=", "tls=: must be one of"),
        ("mail1;colour=red", "'colour' is not known; there are tls, name, ca, pin, client: mail1"),
        ("mail1;tls=ssl;", "'' is not known"),
        ("mail1;tls=ssl;tls=none", "tls= is there twice"),
        ("mail1;tls=none;name=x", "tls=none, but name=, ca= and pin= are about TLS"),
        ("mail1;pin=", "pin=: not sha256: and 64"),
        ("mail1;name=a b", "name=a b: not a name"),
        ("mail1;ca=x.pem", "ca=x.pem: not a path that begins with /"),
        (
            "mail1;client=proxy",
            "client=proxy: must be one of none, proxy_v1, proxy_v2, id, xclient",
        ),
        ("mail1;tls", "not the name of a host"),
        ("mail1;", "not the name of a host"),
        ("mail1;TLS=ssl", "not the name of a host"),
    ],
)
def test_parameters_that_are_none_are_out_of_order_and_named(value: str, why: str) -> None:
    with pytest.raises(MapFailed, match=re.escape(why)):
        read_value(value.encode(), "@")


@given(
    some.binary()
    | some.text(alphabet="a1:@[],. %\0\u0661;=").map(str.encode)
    | some.text(alphabet="a;=+,").map(lambda end: f"a;tls=ssl;pin={end}".encode()),
    some.text(some.characters(exclude_categories=("Cs",)), min_size=1, max_size=3),
)
def test_no_octets_raise_anything_but_map_failed(value: bytes, delimiter: str) -> None:
    with contextlib.suppress(MapFailed):
        for user, host, port, *_more in read_value(value, delimiter).destinations:
            assert not set("\0\r\n") & set(user + host + port)
            assert not port.isdigit() or 0 < int(port) < 1 << 16
