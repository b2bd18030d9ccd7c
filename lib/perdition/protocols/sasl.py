"""SASL mechanisms, as the server of them (RFC 4422).

Of some the client's messages hold name and password: PLAIN (RFC 4616), LOGIN. The others are
between the client and the real server; here the user's name is read in the first message of
OAUTHBEARER (RFC 7628), XOAUTH2, and SCRAM (RFC 5802, RFC 7677). EXTERNAL (RFC 4422 appendix A)
takes the client's certificate.
"""

import base64
import binascii
import functools
import re
import stringprep
import unicodedata
from collections.abc import Callable, Container, Generator

from perdition.protocols import (
    Challenge,
    Exchange,
    Login,
    ProtocolError,
    Talk,
    Terms,
    decode,
    encode,
)

# A mechanism: it yields what it asks, is sent the answers, and returns the log-in.
Dialogue = Generator[bytes, bytes, Login]

# gs2-header = gs2-cbind-flag "," [ "a=" saslname ] "," - "p" would bind to our own TLS
GS2_HEADER = re.compile(rb"([ny]),(?:a=([^,\x00]+))?,")
# A saslname is any characters but "," and "=", for which these stand.
ESCAPES = {b"=2C": b",", b"=3D": b"="}
SASLNAME = re.compile(rb"(?:[^,=\x00]|=2C|=3D)+")
# client-first-message-bare = username "," nonce ["," extensions], username = "n=" saslname
SCRAM_BARE = re.compile(rb"n=([^,\x00]+),r=[\x21-\x2b\x2d-\x7e]+(?:,[A-Za-z]=[^,\x00]+)*")
# kvsep *kvpair kvsep, kvpair = key "=" value kvsep (RFC 7628, 3.1); one of them has the token
BEARER_PAIRS = re.compile(rb"\x01(?:[A-Za-z]+=[^\x00\x01]*\x01)+\x01")
BEARER_AUTH = re.compile(rb"\x01auth=[^\x01]+\x01")
# What Google and Microsoft describe.
XOAUTH2 = re.compile(rb"user=([^\x00\x01]+)(\x01auth=[^\x00\x01]+\x01\x01)")

# Characters of a user's name. RFC 4616 section 2 asks for 255 octets; a line holds a name
# that becomes a million characters, and takes a second.
NAME_LIMIT = 1024
# Tokens of 64 KiB, in base64, and what stands around them.
TOKEN_LINE_LIMIT = 98304
OAUTH = frozenset({"OAUTHBEARER", "XOAUTH2"})
SCRAM = frozenset({"SCRAM-SHA-1", "SCRAM-SHA-256"})
# Those that the proxy cannot end itself.
RELAYED = OAUTH | SCRAM
MECHANISMS = ("PLAIN", "LOGIN", "EXTERNAL", *sorted(OAUTH), *sorted(SCRAM))


class BadResponse(Exception):
    """The client's response cannot be taken; the text says why (protocols.md section 4.2)."""


class Cancelled(Exception):
    """The client has broken the exchange off."""


@functools.lru_cache(maxsize=64)
def line_limit(mechanisms: tuple[str, ...], usual: int) -> int:
    """How long a line of the client may be, in octets, where these mechanisms are offered."""
    return TOKEN_LINE_LIMIT if OAUTH.intersection(mechanisms) else usual


def usable(terms: Terms, is_certified: bool) -> tuple[str, ...]:
    """The mechanisms to announce: EXTERNAL to those alone who have a certificate."""
    return tuple(each for each in terms.mechanisms if each != "EXTERNAL" or is_certified)


def take(
    mechanism: bytes,
    offered: tuple[str, ...],
    initial: bytes | None,
    challenge: Callable[[bytes], Talk[bytes | None]],
    certified: str | None = None,
) -> Talk[Login]:
    """Play the server of a mechanism.

    Args:
        mechanism: its name, as the client has it.
        offered: the names of those that it may use.
        initial: the answer to the first challenge, where the client gave it unasked.
        challenge: asks the client.
        certified: the user whom the client's certificate is for.

    Raises:
        BadResponse: there is no such mechanism, or it cannot be taken what the client says.
        Cancelled: the client has had enough.
    """
    dialogue = begin(check(mechanism, offered, certified), certified or "")
    asked = next(dialogue)
    while True:
        response = initial if initial is not None else (yield from challenge(asked))
        initial = None
        if response is None:
            raise Cancelled
        try:
            asked = dialogue.send(response)
        except StopIteration as finished:
            login: Login = finished.value
            return login


def check(mechanism: bytes, offered: tuple[str, ...], certified: str | None) -> str:
    """The name of a mechanism that a client may use.

    Raises:
        BadResponse: it may not.
    """
    name = mechanism.decode("ascii", "replace").upper()
    if name not in offered or (name == "EXTERNAL" and certified is None):
        raise BadResponse("Unknown SASL mechanism, mate")
    return name


def begin(name: str, certified: str) -> Dialogue:
    """The dialogue of a mechanism, which waits for its first `next`."""
    match name:
        case "PLAIN":
            return plain()
        case "LOGIN":
            return login_by_name()
        case "EXTERNAL":
            return external(certified)
        case "OAUTHBEARER":
            return first_message(take_oauthbearer)
        case "XOAUTH2":
            return first_message(take_xoauth2)
        case _:
            return first_message(functools.partial(take_scram, name))


def plain() -> Dialogue:
    """RFC 4616."""
    return take_plain((yield b""))


def login_by_name() -> Dialogue:
    """LOGIN (draft-murchison-sasl-login), with the words of other servers."""
    user = yield b"Username:"
    password = yield b"Password:"
    if not user:
        raise BadResponse("Empty authentication id, mate")
    if b"\0" in user or b"\0" in password:
        raise BadResponse("Prohibited character in challenge, mate")
    return Login(decode(user), password)


def external(certified: str) -> Dialogue:
    """RFC 4422 appendix A: the certificate's user, who may act for himself alone."""
    wanted = decode((yield b""))
    if wanted and wanted != certified:
        # No fault in the grammar: it is logged, and counts, as any log-in that is refused.
        return Login(certified, b"", wanted, is_refused=True)
    return Login(certified, b"", is_verified=True)


def first_message(read: Callable[[bytes], Login]) -> Dialogue:
    """A mechanism whose first message is the client's, and all that we read."""
    return read((yield b""))


def decode_base64(line: bytes) -> bytes:
    """The octets of a response, b"" for an empty one (RFC 4648 section 4, and nothing beside it).

    Raises:
        BadResponse: it is not in base64.
    """
    try:
        octets = base64.b64decode(line, validate=True)
    except binascii.Error:
        octets = b""
    if base64.b64encode(octets) != line:
        raise BadResponse("Invalid base64 encoded challenge, mate")
    return octets


def decode_initial(line: bytes) -> bytes:
    """The same of an initial response, where = is an empty one (RFC 4959, RFC 5034)."""
    return b"" if line == b"=" else decode_base64(line)


def challenge(line: bytes) -> Challenge:
    """What the real server asks.

    Raises:
        ProtocolError: it is not in base64.
    """
    try:
        return Challenge(decode_base64(line))
    except BadResponse as error:
        raise ProtocolError("a challenge that is not in base64") from error


def prepare(name: str) -> str:
    """A name prepared by SASLprep (RFC 4013), as a query: unassigned code points are let through.

    Raises:
        BadResponse: it is not UTF-8, or has characters that are prohibited, or too many.
    """
    if len(name) > NAME_LIMIT:
        raise BadResponse("Name too long, mate")
    if name.isascii() and name.isprintable():
        return name
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in name
        if not stringprep.in_table_b1(char)
    )
    normal = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    prohibited = (
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
    )
    if any(test(char) for char in normal for test in prohibited):
        raise BadResponse("Prohibited character in challenge, mate")
    right_to_left = [stringprep.in_table_d1(char) for char in normal]
    if any(right_to_left) and (
        any(stringprep.in_table_d2(char) for char in normal)
        or not (right_to_left[0] and right_to_left[-1])
    ):
        raise BadResponse("Prohibited character in challenge, mate")
    return normal


def checked(octets: bytes) -> str:
    """A name as it was typed, which `prepare` could be done to: the real server does that itself.

    Raises:
        BadResponse: it could not, or nothing is left.
    """
    name = decode(octets)
    prepared(name)
    return name


def prepared(name: str) -> str:
    """A name prepared, which something is left of.

    Raises:
        BadResponse: it cannot be, or nothing is left.
    """
    found = prepare(name)
    if not found:
        raise BadResponse("Empty authentication id, mate")
    return found


def take_plain(message: bytes) -> Login:
    """The log-in that a PLAIN message carries.

    Raises:
        BadResponse: it is not what RFC 4616 asks for.
    """
    if not message:
        raise BadResponse("Invalid base64 encoded challenge, mate")
    authorisation, *rest = message.split(b"\0")
    if not rest:
        raise BadResponse("Challenge has no authentication id, mate")
    if not rest[0]:
        raise BadResponse("Empty authentication id, mate")
    if len(rest) == 1:
        raise BadResponse("Challenge has no password, mate")
    user, password, *garbage = rest
    if garbage:
        raise BadResponse("Trailing garbage in challenge, mate")
    name, other = decode(user), decode(authorisation)
    return Login(prepared(name), password, prepared(other) if other else None)


def take_oauthbearer(message: bytes) -> Login:
    """The user that an OAUTHBEARER message names (RFC 7628 section 3.1).

    Raises:
        BadResponse: it is not such a message, or names nobody: only the token would tell.
    """
    header = GS2_HEADER.match(message)
    pairs = message[header.end() :] if header else b""
    if header is None or not BEARER_PAIRS.fullmatch(pairs) or not BEARER_AUTH.search(pairs):
        raise BadResponse("Invalid OAUTHBEARER message, mate")
    if header[2] is None:
        raise BadResponse("OAUTHBEARER message without authorization id, mate")
    exchange = Exchange("OAUTHBEARER", header[1] + b",a=", b"," + pairs)
    return Login(checked(unescape(header[2])), b"", exchange=exchange)


def take_xoauth2(message: bytes) -> Login:
    """The user that an XOAUTH2 message names.

    Raises:
        BadResponse: it is not such a message.
    """
    found = XOAUTH2.fullmatch(message)
    if found is None:
        raise BadResponse("Invalid XOAUTH2 message, mate")
    return Login(checked(found[1]), b"", exchange=Exchange("XOAUTH2", b"user=", found[2]))


def take_scram(name: str, message: bytes) -> Login:
    """The user that the first message of SCRAM names (RFC 5802 section 7).

    Raises:
        BadResponse: it is not such a message, or asks for channel binding: that to our TLS cannot
            be one to the real server's.
    """
    header = GS2_HEADER.match(message)
    bare = SCRAM_BARE.fullmatch(message, header.end()) if header else None
    if header is None or bare is None:
        raise BadResponse(f"Invalid {name} message, mate")
    return Login(
        prepared(decode(unescape(bare[1]))),
        b"",
        prepared(decode(unescape(header[2]))) if header[2] else None,
        Exchange(name, message),
    )


def unescape(saslname: bytes) -> bytes:
    """The octets that a saslname stands for.

    Raises:
        BadResponse: it is none.
    """
    if not SASLNAME.fullmatch(saslname):
        raise BadResponse("Invalid name in challenge, mate")
    return re.sub(rb"=2C|=3D", lambda found: ESCAPES[found[0]], saslname)


def say_response(response: bytes | None) -> bytes:
    """A response in base64, or what breaks the exchange off, in IMAP and POP3."""
    return b"*" if response is None else base64.b64encode(response)


def first_of(login: Login) -> tuple[bytes, bytes]:
    """The mechanism that a log-in goes by, and its first message."""
    if login.exchange is None:
        return b"PLAIN", say_plain(login)
    return login.exchange.mechanism.encode(), say_first(login, login.exchange)


def may_succeed(mechanism: bytes, message: bytes, announced: Container[bytes]) -> bool:
    """Whether a real server can let somebody in by a first message.

    "y" says that the client could bind the exchange to TLS, and believes that the server could not.
    A server that can must refuse it (RFC 5802 section 6), for somebody between them seems to hide
    that. We do, and the client would hear that its password is wrong.

    Args:
        mechanism: as the server writes it.
        message: the client's.
        announced: what the server announces.
    """
    is_downgraded = message.startswith(b"y,") and mechanism + b"-PLUS" in announced
    return mechanism in announced and not is_downgraded


def say_plain(login: Login) -> bytes:
    """The PLAIN message for a log-in."""
    parts = encode(login.authorisation or ""), encode(login.user), login.password
    return b"\0".join(parts)


def say_first(login: Login, exchange: Exchange) -> bytes:
    """The first message of an exchange, for the real server.

    SCRAM proves that nobody has changed it, so it goes as it came; OAuth's has the user's name
    that is wanted there.
    """
    if exchange.after is None:
        return exchange.before
    name = encode(login.routing_name)
    if exchange.mechanism == "OAUTHBEARER":
        name = name.replace(b"=", b"=3D").replace(b",", b"=2C")
    return exchange.before + name + exchange.after
