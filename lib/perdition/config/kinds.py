"""Kinds of option values: how each is read from text, shown, and checked."""

import enum
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from perdition.identity import AddDomain, State, check_key_format

MOST = 2**31 - 1
STATES = {
    "servername_lookup": {State.SERVERNAME_LOOKUP},
    "server_lookup": {State.SERVERNAME_LOOKUP},
    "local_authentication": {State.LOCAL_AUTHENTICATION},
    "local_auth": {State.LOCAL_AUTHENTICATION},
    "remote_login": {State.REMOTE_LOGIN},
    "all": set(State),
}
PROTOCOLS = ("POP3", "IMAP4", "POP3S", "IMAP4S", "MANAGESIEVE")
PROTO_VERSIONS = {
    "sslv3": ssl.TLSVersion.MINIMUM_SUPPORTED,
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}
LOG_PASSWD = ("never", "fail", "ok", "always")
TRUTH = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


class SslMode(enum.IntFlag):
    """The bits of `ssl_mode` (reference: options.md section 7)."""

    EMPTY = 0
    SSL_LISTEN = 0x01
    SSL_OUTGOING = 0x02
    SSL_ALL = 0x03
    TLS_LISTEN = 0x04
    TLS_OUTGOING = 0x08
    TLS_ALL = 0x0C
    TLS_LISTEN_FORCE = 0x14
    TLS_OUTGOING_FORCE = 0x28
    TLS_ALL_FORCE = 0x3C
    NONE = 0x40

    def has(self, mode: "SslMode") -> bool:
        """Whether all bits of mode are in it."""
        return self & mode == mode

    @property
    def is_contradictory(self) -> bool:
        """Whether one side has both implicit TLS and STARTTLS."""
        return self.has(SslMode.SSL_LISTEN | SslMode.TLS_LISTEN) or self.has(
            SslMode.SSL_OUTGOING | SslMode.TLS_OUTGOING
        )


class BadValue(ValueError):
    """A text is not a value of the kind: the original's message, and what is right."""

    def __init__(self, why: str, message: str = "") -> None:
        super().__init__(why)
        self.message = message


@dataclass(frozen=True, slots=True)
class Kind:
    """How values of an option are written.

    Attributes:
        name: of the kind.
        parse: from the option's name and a text to a value; raises BadValue.
        show: from a value to the text that gives it.
        merge: how a repeated option goes together; None where the last one wins.
    """

    name: str
    parse: Callable[[str, str], Any]
    show: Callable[[Any], str]
    merge: Callable[[Any, Any], Any] | None = None


def parse_number(name: str, text: str) -> int:
    """A count or seconds; an empty text is 0, as in the original."""
    if not all(char in "0123456789" for char in text) or int(text or "0") > MOST:
        raise BadValue(
            f"not a whole number from 0 to {MOST}",
            f"Parameter to {name} must be a positive integer",
        )
    return int(text or "0")


def parse_list(_name: str, text: str) -> tuple[str, ...]:
    """Items between commas; an empty one at the end is none."""
    items = text.split(",")
    return tuple(items[:-1] if not items[-1] else items)


def parse_query_key(name: str, text: str) -> tuple[str, ...]:
    """Formats of keys, each with escapes that there are."""
    for item in (items := parse_list(name, text)):
        try:
            check_key_format(item)
        except ValueError as error:
            raise BadValue(
                f"{error}; there are \\U \\u \\D \\d \\i \\I \\p \\P and \\\\"
            ) from error
    return items


def parse_states(name: str, text: str) -> frozenset[State]:
    """Names of states, in any case."""
    states: set[State] = set()
    for word in text.split(","):
        if word.lower() not in STATES:
            raise BadValue(
                f"a state is one of {', '.join(STATES)}", f"unknown state for {name}: {word}"
            )
        states |= STATES[word.lower()]
    return frozenset(states)


def parse_add_domain(name: str, text: str) -> AddDomain:
    """Names of states, and perhaps a number."""
    words = text.split(",")
    numbers = [word for word in words if all(char in "0123456789" for char in word)]
    states = [word for word in words if word not in numbers]
    found = parse_states(name, ",".join(states)) if states else frozenset()
    return AddDomain(found, parse_number(name, numbers[-1]) if numbers else 1)


def show_states(states: frozenset[State]) -> str:
    """States as the dump has them."""
    if states == frozenset(State):
        return "all"
    return ",".join(state for state in State if state in states)


def show_add_domain(value: AddDomain) -> str:
    """States and depth; empty where there is no state."""
    return f"{show_states(value.states)},{value.depth}" if value.states else ""


def merge_add_domain(one: AddDomain, two: AddDomain) -> AddDomain:
    """States add up, the last depth counts."""
    return AddDomain(one.states | two.states, two.depth)


def parse_ssl_mode(_name: str, text: str) -> SslMode:
    """Names of modes, in any case."""
    mode = SslMode.EMPTY
    for word in text.split(","):
        try:
            if word.upper() == "EMPTY":
                raise KeyError
            mode |= SslMode[word.upper()]
        except KeyError:
            known = ", ".join(each.lower() for each in SslMode.__members__ if each != "EMPTY")
            raise BadValue(f"a mode is one of {known}", f"unknown ssl_mode: {word}") from None
    return mode


def show_ssl_mode(mode: SslMode) -> str:
    """As the original's dump shows it (reference: logging.md section 5)."""
    words = [
        next((word for word, bits in group if mode.has(bits)), "")
        for group in (
            (("ssl_all", SslMode.SSL_ALL),),
            (("tls_all", SslMode.TLS_ALL),),
            (("tls_all_force", SslMode.TLS_ALL_FORCE),),
        )
    ]
    single = [
        ("ssl_listen", SslMode.SSL_LISTEN, words[0]),
        ("ssl_outgoing", SslMode.SSL_OUTGOING, words[0]),
        ("tls_listen", SslMode.TLS_LISTEN, words[1]),
        ("tls_outgoing", SslMode.TLS_OUTGOING, words[1]),
        ("tls_outgoing_force", SslMode.TLS_OUTGOING_FORCE, words[2]),
        ("tls_listen_force", SslMode.TLS_LISTEN_FORCE, words[2]),
        ("none", SslMode.NONE, ""),
    ]
    named = [word for word, bits, covered in single if mode.has(bits) and not covered]
    order = ["ssl_all", "ssl_listen", "ssl_outgoing", "tls_all", "tls_listen", "tls_outgoing"]
    order += ["tls_all_force", "tls_outgoing_force", "tls_listen_force", "none"]
    return ",".join(sorted({*filter(None, words), *named}, key=order.index))


def parse_protocol(_name: str, text: str) -> str:
    """The name of a protocol, in any case."""
    if text.upper() not in PROTOCOLS:
        raise BadValue(
            f"a protocol is one of {', '.join(PROTOCOLS)}", f'Unknown protocol: "{text}"'
        )
    return text.upper()


def parse_pid_file(_name: str, text: str) -> str:
    """An absolute path, or nothing."""
    if text and not text.startswith("/"):
        raise BadValue("not an absolute path", f'Invalid pid file: "{text}"')
    return text


def parse_log_passwd(_name: str, text: str) -> str:
    """One of four words, in any case."""
    if text.lower() not in LOG_PASSWD:
        raise BadValue(f"one of {', '.join(LOG_PASSWD)}", f'Invalid log_passwd mode: "{text}"')
    return text.lower()


def parse_delimiter(_name: str, text: str) -> str:
    """Any text but none."""
    if not text:
        raise BadValue("a delimiter has at least one character")
    return text


def parse_max_version(name: str, text: str) -> str:
    """The name of a version, or nothing."""
    if text and text.lower() not in PROTO_VERSIONS:
        raise BadValue(f"a version is one of {', '.join(PROTO_VERSIONS)}", f"Unknown {name}")
    return text.lower()


def parse_min_version(name: str, text: str) -> str:
    """The name of a version."""
    if not text:
        raise BadValue(f"a version is one of {', '.join(PROTO_VERSIONS)}", f"Unknown {name}")
    return parse_max_version(name, text)


def parse_ciphers(_name: str, text: str) -> str:
    """A list that OpenSSL knows a cipher of."""
    if text:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(text)
        except ssl.SSLError as error:
            raise BadValue("OpenSSL knows no cipher of this list") from error
    return text


def parse_flag(_name: str, text: str) -> bool:
    """A flag's value in a file, where 2.2 takes none (reference: quirks.md D3)."""
    if text.lower() not in TRUTH:
        raise BadValue(f"a flag stands alone, or with one of {', '.join(TRUTH)}")
    return TRUTH[text.lower()]


def parse_optional_number(name: str, text: str) -> int | None:
    """A number, or nothing."""
    return parse_number(name, text) if text else None


def plain(_name: str, text: str) -> str:
    """A text, as it is."""
    return text


def show_list(value: tuple[str, ...]) -> str:
    """Items with commas between them."""
    return ",".join(value)


FLAG = Kind("flag", parse_flag, lambda value: "on" if value else "off")
TEXT = Kind("text", plain, str)
FILE = Kind("file", plain, str)
NUMBER = Kind("number", parse_number, str)
SECONDS = Kind("seconds", parse_number, str)
OPTIONAL_SECONDS = Kind(
    "seconds or nothing", parse_optional_number, lambda value: "" if value is None else str(value)
)
LIST = Kind("list", parse_list, show_list)
QUERY_KEY = Kind("list of formats", parse_query_key, show_list)
STATE_LIST = Kind("list of states", parse_states, show_states, lambda one, two: one | two)
ADD_DOMAIN = Kind("states and depth", parse_add_domain, show_add_domain, merge_add_domain)
SSL_MODE = Kind("list of modes", parse_ssl_mode, show_ssl_mode, lambda one, two: one | two)
PROTOCOL = Kind("protocol", parse_protocol, str)
PID_FILE = Kind("absolute path", parse_pid_file, str)
LOG_PASSWD_KIND = Kind("never, fail, ok or always", parse_log_passwd, str)
DELIMITER = Kind("text", parse_delimiter, str)
MIN_VERSION = Kind("TLS version", parse_min_version, str)
MAX_VERSION = Kind("TLS version", parse_max_version, str)
CIPHERS = Kind("cipher list", parse_ciphers, str)
