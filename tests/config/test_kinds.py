"""The kinds: what is a value, what is not, and what is said then."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition.config import kinds
from perdition.config.kinds import BadValue, Kind
from perdition.config.ssl_mode import SslMode
from perdition.identity import AddDomain, State

LOOKUP, LOCAL, REMOTE = State
ALL = frozenset(State)
GOOD: list[tuple[Kind[Any], str, Any]] = [
    (kinds.NUMBER, "", 0),
    (kinds.NUMBER, "0", 0),
    (kinds.NUMBER, "007", 7),
    (kinds.NUMBER, "2147483647", 2147483647),
    (kinds.NUMBER, "0" * 5000 + "1", 1),
    (kinds.AT_LEAST_ONE, "1", 1),
    (kinds.AT_LEAST_TWO, "2", 2),
    (kinds.PORT, "065535", "065535"),
    (kinds.PORT, "imap", "imap"),
    (kinds.OPTIONAL_SECONDS, "", None),
    (kinds.OPTIONAL_SECONDS, "0", 0),
    (kinds.TEXT, "None", "None"),
    (kinds.LIST, "", ()),
    (kinds.LIST, "a", ("a",)),
    (kinds.LIST, "a,b,", ("a", "b")),
    (kinds.LIST, "a,,b", ("a", "", "b")),
    (kinds.LIST, ",", ("",)),
    (kinds.LIST, "a,,", ("a", "")),
    (kinds.LIST, " a, b", (" a", " b")),
    (kinds.ADDRESSES, "192.0.2.1,192.0.2.1/24,2001:db8::/32", None),
    (kinds.NETWORKS, "mail.example.com,192.0.2.1,192.0.2.1/24,2001:db8::/32", None),
    (kinds.ADDRESSES, "192.0.2.1, ::1", ("192.0.2.1", "::1")),
    (kinds.NETWORKS, ".example.com, fe80::1%eth0", (".example.com", "fe80::1%eth0")),
    (kinds.DESTINATIONS, "2001:db8::1;tls=ssl, a;tls=none", ("2001:db8::1;tls=ssl", "a;tls=none")),
    (kinds.QUERY_KEY, r"\u,\D\d,default", (r"\u", r"\D\d", "default")),
    (kinds.QUERY_KEY, r"\U\i\I\p\P\\", (r"\U\i\I\p\P\\",)),
    (kinds.STATE_LIST, "", frozenset()),
    (kinds.STATE_LIST, "ALL", ALL),
    (kinds.STATE_LIST, "server_lookup", {LOOKUP}),
    (kinds.STATE_LIST, "servername_lookup,local_auth", {LOOKUP, LOCAL}),
    (kinds.STATE_LIST, "local_authentication,remote_login", {LOCAL, REMOTE}),
    (kinds.ADD_DOMAIN, "", AddDomain()),
    (kinds.ADD_DOMAIN, "all", AddDomain(ALL, 1)),
    (kinds.ADD_DOMAIN, "all,2", AddDomain(ALL, 2)),
    (kinds.ADD_DOMAIN, "all,", AddDomain(ALL, 0)),
    (kinds.ADD_DOMAIN, "3", AddDomain(frozenset(), 3)),
    (kinds.ADD_DOMAIN, "1,remote_login,2", AddDomain(frozenset({REMOTE}), 2)),
    (kinds.SSL_MODE, "", SslMode.EMPTY),
    (kinds.SSL_MODE, "None", SslMode.NONE),
    (kinds.SSL_MODE, "SSL_listen,tls_outgoing", SslMode.SSL_LISTEN | SslMode.TLS_OUTGOING),
    (kinds.PROTOCOL, "imap4s", "IMAP4S"),
    (kinds.PID_FILE, "", ""),
    (kinds.PID_FILE, "/run/p.pid", "/run/p.pid"),
    (kinds.LOG_PASSWD_KIND, "OK", "ok"),
    (kinds.DELIMITER, "--", "--"),
    (kinds.MIN_VERSION, "TLSv1.3", "tlsv1.3"),
    (kinds.MAX_VERSION, "", ""),
    (kinds.MAX_VERSION, "sslv3", "sslv3"),
    (kinds.CIPHERS, "", ""),
    (kinds.CIPHERS, "HIGH:!aNULL", "HIGH:!aNULL"),
    (kinds.FLAG, "Yes", True),
    (kinds.FLAG, "true", True),
    (kinds.FLAG, "on", True),
    (kinds.FLAG, "no", False),
    (kinds.FLAG, "FALSE", False),
    (kinds.FLAG, "off", False),
]
BAD: list[tuple[Kind[Any], str, str]] = [
    (kinds.NUMBER, "soon", "soon"),
    (kinds.NUMBER, "-1", "-1"),
    (kinds.NUMBER, " 1", " 1"),
    (kinds.NUMBER, "1_0", "1_0"),
    (kinds.NUMBER, "٣", "٣"),
    (kinds.NUMBER, "²", "²"),
    (kinds.NUMBER, "2147483648", "2147483648"),
    (kinds.NUMBER, "9" * 5000, "9" * 5000),
    (kinds.AT_LEAST_ONE, "0", "0"),
    (kinds.AT_LEAST_TWO, "1", "1"),
    (kinds.PORT, "65536", "65536"),
    (kinds.PORT, "9" * 5000, "9" * 5000),
    (kinds.AT_LEAST_TWO, "", ""),
    (kinds.OPTIONAL_SECONDS, "x", "x"),
    (kinds.NETWORKS, "a,192.0.2.0/99", "192.0.2.0/99"),
    (kinds.NETWORKS, "a,,b", ""),
    (kinds.NETWORKS, "a,*.example.com", "*.example.com"),
    (kinds.NETWORKS, "a,mail:143", "mail:143"),
    (kinds.DESTINATIONS, "mail:993;tls=ssl", "mail:993;tls=ssl"),
    (kinds.DESTINATIONS, "a;tls=ssl,*;tls=ssl", "*;tls=ssl"),
    (kinds.ADDRESSES, "192.0.2.1,mail.example.com", "mail.example.com"),
    (kinds.ADDRESSES, "192.0.2.1,,::1", ""),
    (kinds.QUERY_KEY, r"\U,\x", r"\x"),
    (kinds.QUERY_KEY, "a\\", "a\\"),
    (kinds.STATE_LIST, "all,sometimes", "sometimes"),
    (kinds.STATE_LIST, "all,", ""),
    (kinds.ADD_DOMAIN, "all,1x", "1x"),
    (kinds.ADD_DOMAIN, "all,99999999999", "99999999999"),
    (kinds.SSL_MODE, "ssl_listen,sometimes", "sometimes"),
    (kinds.SSL_MODE, "empty", "empty"),
    (kinds.PROTOCOL, "", ""),
    (kinds.PROTOCOL, "SMTP", "SMTP"),
    (kinds.PID_FILE, "run/pid", "run/pid"),
    (kinds.LOG_PASSWD_KIND, "sometimes", "sometimes"),
    (kinds.DELIMITER, "", ""),
    (kinds.MIN_VERSION, "", ""),
    (kinds.MIN_VERSION, "tlsv9", "tlsv9"),
    (kinds.MAX_VERSION, "x", "x"),
    (kinds.CIPHERS, "nonsense", "nonsense"),
    (kinds.CIPHERS, "\udce9", "\udce9"),
    (kinds.FLAG, "maybe", "maybe"),
    (kinds.FLAG, "", ""),
]
MODES = [
    ("ssl_all", "ssl_all"),
    ("ssl_listen,ssl_outgoing", "ssl_all"),
    ("tls_outgoing,ssl_listen", "ssl_listen,tls_outgoing"),
    ("tls_all_force", "tls_all,tls_all_force"),
    ("tls_listen_force", "tls_listen,tls_listen_force"),
    ("ssl_listen,tls_outgoing_force", "ssl_listen,tls_outgoing,tls_outgoing_force"),
    ("none", "none"),
    ("none,tls_outgoing", "tls_outgoing,none"),
]


def case_id(value: Any) -> str | None:
    if isinstance(value, Kind):
        return value.name
    return repr(value)[:30] if isinstance(value, str) else "-"


@pytest.mark.parametrize(("kind", "text", "value"), GOOD, ids=case_id)
def test_text_is_read(kind: Kind[Any], text: str, value: Any) -> None:
    if kind in (kinds.NETWORKS, kinds.ADDRESSES) and value is None:
        value = tuple(text.split(","))
    assert kind.parse(text) == value
    assert type(kind.parse(text)) is type(value) or isinstance(value, set | frozenset)


@pytest.mark.parametrize(("kind", "text", "value"), GOOD, ids=case_id)
def test_what_is_shown_gives_the_value_again(kind: Kind[Any], text: str, value: Any) -> None:
    value = kind.parse(text)
    if isinstance(value, AddDomain) and not value.states:
        value = AddDomain()
    assert kind.parse(kind.show(value)) == value


@pytest.mark.parametrize(("kind", "text", "word"), BAD, ids=case_id)
def test_what_is_no_value_is_refused(kind: Kind[Any], text: str, word: str) -> None:
    with pytest.raises(BadValue) as caught:
        kind.parse(text)
    assert caught.value.word == word
    assert str(caught.value)


ALL_KINDS = {kind.name: kind for kind in vars(kinds).values() if isinstance(kind, Kind)}


@pytest.mark.parametrize("kind", ALL_KINDS.values(), ids=list(ALL_KINDS))
@given(text=st.text() | st.text(st.sampled_from("0123456789,/:.\\Uux")))
def test_no_text_raises_anything_else(kind: Kind[Any], text: str) -> None:
    try:
        value = kind.parse(text)
    except BadValue:
        return
    assert isinstance(kind.show(value), str)


@pytest.mark.parametrize(("text", "shown"), MODES)
def test_a_mode_is_shown_as_in_the_dump_of_2_2(text: str, shown: str) -> None:
    assert kinds.SSL_MODE.show(kinds.SSL_MODE.parse(text)) == shown


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("none", set()),
        ("ssl_all", {"ssl_listen", "ssl_outgoing"}),
        ("tls_all", {"tls_listen", "tls_outgoing"}),
        ("tls_listen_force", {"tls_listen", "tls_listen_force"}),
        ("tls_outgoing_force", {"tls_outgoing", "tls_outgoing_force"}),
        ("ssl_listen,tls_listen", {"ssl_listen", "tls_listen", "is_contradictory"}),
        ("ssl_outgoing,tls_outgoing", {"ssl_outgoing", "tls_outgoing", "is_contradictory"}),
        ("ssl_listen,tls_outgoing", {"ssl_listen", "tls_outgoing"}),
        ("tls_listen,ssl_outgoing", {"tls_listen", "ssl_outgoing"}),
    ],
)
def test_a_mode_says_what_it_means(text: str, claims: set[str]) -> None:
    mode = kinds.SSL_MODE.parse(text)
    names = {name for name, value in vars(SslMode).items() if isinstance(value, property)}
    names &= {"is_contradictory"} | {name for name in names if name.startswith(("ssl_", "tls_"))}
    assert {name for name in names if getattr(mode, name)} == claims
