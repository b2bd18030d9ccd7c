"""Kinds of option values: how each is read from text, checked, and shown."""

import contextlib
import functools
import ipaddress
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from perdition.certificates import USER_FIELDS
from perdition.config.ssl_mode import WORDS as SSL_MODES
from perdition.config.ssl_mode import SslMode as SslMode  # noqa: PLC0414 - part of this vocabulary
from perdition.config.ssl_mode import show_ssl_mode
from perdition.identity import AddDomain, State, check_key_format
from perdition.net import may_be_port
from perdition.parameters import MOST_PORT, BadParameters, check_pattern, parse_rule
from perdition.protocols.sasl import MECHANISMS
from perdition.tls import PROTO_VERSIONS

T = TypeVar("T")
MOST = 2**31 - 1
DIGITS = frozenset("0123456789")
STATES = {
    "servername_lookup": {State.SERVERNAME_LOOKUP},
    "server_lookup": {State.SERVERNAME_LOOKUP},
    "local_authentication": {State.LOCAL_AUTHENTICATION},
    "local_auth": {State.LOCAL_AUTHENTICATION},
    "remote_login": {State.REMOTE_LOGIN},
    "all": set(State),
}
PROTOCOLS = ("POP3", "IMAP4", "POP3S", "IMAP4S", "MANAGESIEVE")
LOG_PASSWD = ("never", "fail", "ok", "always")
MAP_FAILURE = ("temporary", "default_server")
ROUTE_BY = ("authorisation", "authentication")
COMPAT = ("2.2",)
CLIENT_IDENTITY = ("none", "proxy_v1", "proxy_v2", "id", "xclient")
TRUTH = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


class BadValue(ValueError):
    """A text is not of its kind; word is the part of it that is not."""

    def __init__(self, why: str, word: str) -> None:
        super().__init__(why)
        self.word = word


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How values of an option are written.

    Attributes:
        name: of the kind, for the check of configuration files.
        parse: from a text to a value; raises BadValue.
        show: from a value to a text that gives it.
        complaint: what 2.2 says of a bad value; empty where it says nothing.
        is_shown_usage: whether a bad value in a file is answered with the usage text too.
        accumulates: whether a repeated option adds to what was given, else the last one wins. A
            value is then a list.
        words: the values that there are, or those in a list; none where any text may be one.
    """

    name: str
    parse: Callable[[str], T]
    show: Callable[[T], str]
    complaint: str = ""
    is_shown_usage: bool = False
    accumulates: bool = False
    words: tuple[str, ...] = ()


def one_of(words: Any) -> str:
    """Say which words are right."""
    return f"must be one of {', '.join(words)}"


def parse_text(text: str) -> str:
    """Take a text as it is."""
    return text


def parse_number(text: str) -> int:
    """Read a count or seconds; an empty text is 0, as in 2.2."""
    digits = text.lstrip("0") or "0"
    # The length first: int() refuses thousands of digits in words of its own.
    if not DIGITS.issuperset(text) or len(digits) > len(str(MOST)) or int(digits) > MOST:
        raise BadValue(f"must be a whole number from 0 to {MOST}", text)
    return int(digits)


def parse_at_least(least: int, text: str) -> int:
    """Read a count of that many or more."""
    number = -1
    with contextlib.suppress(BadValue):
        number = parse_number(text)
    if number < least:
        raise BadValue(f"must be a whole number from {least} to {MOST}", text)
    return number


def parse_optional_number(text: str) -> int | None:
    """Read a number; None where there is none."""
    return parse_number(text) if text else None


def parse_list(text: str) -> tuple[str, ...]:
    """Split at commas; an empty item at the end is dropped, as in 2.2."""
    items = text.split(",")
    return tuple(items if items[-1] else items[:-1])


def show_list(items: Sequence[str]) -> str:
    """Write a list; what is behind the last comma is dropped when it is read."""
    text = ",".join(items)
    return f"{text}," if items and not items[-1] else text


def parse_words(text: str) -> tuple[str, ...]:
    """Split at commas, with or without blanks around them."""
    return tuple(item.strip(" ") for item in parse_list(text))


def parse_networks(text: str) -> tuple[str, ...]:
    """Read names, domains, addresses and networks; each must be one that can match."""
    items = parse_words(text)
    for item in items:
        if not item:
            raise BadValue("has an empty item", item)
        try:
            check_pattern(item)
        except BadParameters as error:
            raise BadValue(str(error), item) from None
    return items


def parse_destinations(text: str) -> tuple[str, ...]:
    """Read patterns of real servers with what is said of them."""
    items = parse_words(text)
    for item in items:
        try:
            parse_rule(item)
        except BadParameters as error:
            raise BadValue(str(error), item) from None
    return items


def parse_addresses(text: str) -> tuple[str, ...]:
    """Read addresses and networks; names are none, for whoever answers for them could lie."""
    items = parse_words(text)
    for item in items:
        try:
            ipaddress.ip_network(item, strict=False)
        except ValueError:
            why = f"{item!r} is not an address, nor a network such as 192.0.2.0/24"
            raise BadValue(why, item) from None
    return items


def parse_query_key(text: str) -> tuple[str, ...]:
    """Read formats of keys."""
    items = parse_list(text)
    for item in items:
        try:
            check_key_format(item)
        except ValueError as error:
            why = rf"has an {error}; there are \U \u \D \d \i \I \p \P and \\"
            raise BadValue(why, item) from None
    return items


def parse_states(text: str) -> frozenset[State]:
    """Read the states in which a name is changed."""
    states: set[State] = set()
    for word in text.split(",") if text else ():
        if word.lower() not in STATES:
            raise BadValue(one_of(STATES), word)
        states |= STATES[word.lower()]
    return frozenset(states)


def parse_add_domain(text: str) -> AddDomain:
    """Read states, and how deep the domain begins; an empty item is a depth of 0, as in 2.2."""
    words, depths = split_add_domain(text)
    states = parse_states(",".join(words))
    return AddDomain(states, parse_number(depths[-1]) if depths else 1)


def split_add_domain(text: str) -> tuple[list[str], list[str]]:
    """Part the words that are states from the depths, of which the last one counts."""
    words = text.split(",") if text else []
    depths = [word for word in words if DIGITS.issuperset(word)]
    return [word for word in words if word not in depths], depths


def show_states(states: frozenset[State]) -> str:
    """Write states as the words that give them."""
    if states == frozenset(State):
        return "all"
    return ",".join(state for state in State if state in states)


def show_add_domain(value: AddDomain) -> str:
    """Write states and depth; without a state nothing is added."""
    return f"{show_states(value.states)},{value.depth}" if value.states else ""


def parse_ssl_mode(text: str) -> SslMode:
    """Read the words of ssl_mode."""
    mode = SslMode.EMPTY
    for word in text.split(",") if text else ():
        if word.lower() not in SSL_MODES:
            raise BadValue(one_of(SSL_MODES), word)
        mode |= SSL_MODES[word.lower()]
    return mode


def parse_protocol(text: str) -> str:
    """Read a protocol's name, in any case."""
    if text.upper() not in PROTOCOLS:
        raise BadValue(one_of(PROTOCOLS), text)
    return text.upper()


def parse_port(text: str) -> str:
    """Read the number or the name of a port."""
    if not may_be_port(text):
        raise BadValue(f"must be a number up to {MOST_PORT}, or a name", text)
    return text


def parse_pid_file(text: str) -> str:
    """Read a path from the root; empty for no file."""
    if text and not text.startswith("/"):
        raise BadValue("must begin with /, or be empty for no file", text)
    return text


def parse_mechanisms(text: str) -> tuple[str, ...]:
    """Read names of SASL mechanisms, with commas or blanks between them; each counts once."""
    names = dict.fromkeys(text.upper().replace(",", " ").split())
    for name in names:
        if name not in MECHANISMS:
            raise BadValue(one_of(MECHANISMS), name)
    return tuple(names)


def parse_optional_word(words: Sequence[str], text: str) -> str:
    """Read one of these words, or nothing."""
    return parse_word(words, text) if text else ""


def parse_word(words: Sequence[str], text: str) -> str:
    """Read one of these words, in any case."""
    if text.lower() not in words:
        raise BadValue(one_of(words), text)
    return text.lower()


def parse_delimiter(text: str) -> str:
    """Read a text that is not empty: nothing would stand between any user and domain."""
    if not text:
        raise BadValue("must have at least one character", text)
    return text


def parse_min_version(text: str) -> str:
    """Read a version of TLS."""
    if text.lower() not in PROTO_VERSIONS:
        raise BadValue(one_of(PROTO_VERSIONS), text)
    return text.lower()


def parse_max_version(text: str) -> str:
    """Read a version of TLS; empty for no limit."""
    return parse_min_version(text) if text else ""


def parse_ciphers(text: str) -> str:
    """Read a list of ciphers that OpenSSL can make something of."""
    try:
        if text:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(text)
    except (ssl.SSLError, ValueError):
        raise BadValue("has no cipher that OpenSSL knows; see openssl-ciphers(1)", text) from None
    return text


def parse_flag(text: str) -> bool:
    """Read a flag's value, which 2.2 does not know."""
    if text.lower() not in TRUTH:
        raise BadValue(f"a flag stands alone, or with one of {', '.join(TRUTH)}", text)
    return TRUTH[text.lower()]


def show_flag(value: bool) -> str:
    """Write a flag as the dump of 2.2 does."""
    return "on" if value else "off"


def show_optional_number(value: int | None) -> str:
    """Write a number, if there is one."""
    return "" if value is None else str(value)


NOT_A_NUMBER = "Parameter to {key} must be a positive integer"
UNKNOWN_STATE = "unknown state for {name}: {word}"

FLAG = Kind("flag", parse_flag, show_flag, "options: trailing argument: {word}", True)
TEXT = Kind("text", parse_text, str)
FILE = Kind("file", parse_text, str)
PORT = Kind("port", parse_port, str)
NUMBER = Kind("number", parse_number, str, NOT_A_NUMBER)
DESCRIPTOR = Kind("descriptor", parse_number, str)
AT_LEAST_ONE = Kind("at_least_one", functools.partial(parse_at_least, 1), str, NOT_A_NUMBER)
AT_LEAST_TWO = Kind("at_least_two", functools.partial(parse_at_least, 2), str, NOT_A_NUMBER)
SECONDS = Kind("seconds", parse_number, str, NOT_A_NUMBER)
OPTIONAL_SECONDS = Kind(
    "optional_seconds", parse_optional_number, show_optional_number, NOT_A_NUMBER
)
LIST = Kind("list", parse_list, show_list)
DESTINATIONS = Kind("destinations", parse_destinations, show_list)
NETWORKS = Kind("networks", parse_networks, show_list)
ADDRESSES = Kind("addresses", parse_addresses, show_list)
QUERY_KEY = Kind("query_key", parse_query_key, show_list)
STATE_LIST = Kind(
    "states", parse_states, show_states, UNKNOWN_STATE, accumulates=True, words=tuple(STATES)
)
ADD_DOMAIN = Kind(
    "states_and_depth",
    parse_add_domain,
    show_add_domain,
    UNKNOWN_STATE,
    accumulates=True,
    words=tuple(STATES),
)
SSL_MODE = Kind(
    "ssl_modes",
    parse_ssl_mode,
    show_ssl_mode,
    "unknown ssl_mode: {word}",
    accumulates=True,
    words=tuple(SSL_MODES),
)
PROTOCOL = Kind(
    "protocol", parse_protocol, str, 'Unknown protocol: "{word}"', True, words=PROTOCOLS
)
PID_FILE = Kind("pid_file", parse_pid_file, str, 'Invalid pid file: "{word}"', True)
LOG_PASSWD_KIND = Kind(
    "log_passwd",
    functools.partial(parse_word, LOG_PASSWD),
    str,
    'Invalid log_passwd mode: "{word}"',
    True,
    words=LOG_PASSWD,
)
MAP_FAILURE_KIND = Kind(
    "map_failure", functools.partial(parse_word, MAP_FAILURE), str, words=MAP_FAILURE
)
MECHANISM_LIST = Kind("mechanisms", parse_mechanisms, show_list, words=MECHANISMS)
ROUTE_BY_KIND = Kind("route_by", functools.partial(parse_word, ROUTE_BY), str, words=ROUTE_BY)
COMPAT_KIND = Kind("compat", functools.partial(parse_optional_word, COMPAT), str, words=COMPAT)
CERT_FIELD = Kind(
    "cert_field",
    functools.partial(parse_optional_word, tuple(sorted(USER_FIELDS))),
    str,
    words=tuple(sorted(USER_FIELDS)),
)
CLIENT_IDENTITY_KIND = Kind(
    "client_identity",
    functools.partial(parse_word, CLIENT_IDENTITY),
    str,
    words=CLIENT_IDENTITY,
)
DELIMITER = Kind("delimiter", parse_delimiter, str)
MIN_VERSION = Kind(
    "min_version", parse_min_version, str, "Unknown {name}", words=tuple(PROTO_VERSIONS)
)
MAX_VERSION = Kind(
    "max_version", parse_max_version, str, "Unknown {name}", words=tuple(PROTO_VERSIONS)
)
CIPHERS = Kind("ciphers", parse_ciphers, str)
