"""What comes before TLS, and what is read of certificates; parameters of single real servers."""

from fuzz.target import Choices, Target
from perdition import parameters
from perdition.parameters import BadParameters
from perdition.tls import der
from perdition.tls.der import BadDer
from perdition.tls.hello import (
    ALPN,
    HEADER,
    LONGEST_RECORD,
    Ear,
    Hello,
    NoHello,
    says_nothing_of_protocols,
)


def client_hello(data: bytes) -> None:
    """A ClientHello says the same in any pieces and in any records."""
    choices = Choices(data)
    size = 1 + choices.octet() % 60
    octets = choices.rest
    whole, parts = hear([octets]), hear(choices.pieces(size))
    assert whole == parts
    if isinstance(whole, Hello):
        assert whole.server_name is None or whole.server_name.isprintable()
        assert all(0 < len(each) < 256 for each in whole.protocols)
        assert not (whole.protocols and says_nothing_of_protocols(octets))
        first = int.from_bytes(octets[3:5])
        if len(octets) == HEADER + first and size <= LONGEST_RECORD:
            body = octets[HEADER:]
            records = [body[at : at + size] for at in range(0, len(body), size)]
            cut = b"".join(octets[:3] + len(each).to_bytes(2) + each for each in records)
            assert hear([cut]) == whole


def hear(chunks: list[bytes]) -> Hello | str | None:
    """What is heard: a ClientHello, none, or not yet."""
    ear = Ear()
    for each in chunks:
        try:
            found = ear.hear(each)
        except NoHello:
            return "no hello"
        if found is not None:
            return found
    return None


def certificate(data: bytes) -> None:
    for read in (der.subject, der.public_key, der.kind_of_key):
        try:
            assert read(data) in data
        except BadDer:
            continue
    found = der.revocations(data)
    assert found.issuer in data
    assert b"".join(each.whole for each in der.elements(found.issuer)) == found.issuer


def destination(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    place, rest = parameters.split(text)
    assert len(place) + len(rest) <= len(text)
    found = parameters.parse(rest)
    assert found is None or found.over(None) == found == found.over(found)
    rule = parameters.parse_rule(text)
    parameters.matches("192.0.2.1", rule.pattern)
    parameters.matches("mail.example.com", rule.pattern)


def extension(kind: bytes, content: bytes) -> bytes:
    return kind + len(content).to_bytes(2) + content


def hello(extensions: bytes) -> bytes:
    """A ClientHello in a record."""
    body = b"\3\3" + bytes(32) + b"\0\0\2\x13\1\1\0" + len(extensions).to_bytes(2) + extensions
    message = b"\1" + len(body).to_bytes(3) + body
    return b"\x16\3\1" + len(message).to_bytes(2) + message


IMAP = extension(ALPN, b"\0\5\4imap")
NAME = extension(b"\0\0", b"\0\x12\0\0\x0fmail.example.or")
# SEQUENCE of SEQUENCE of serial, signature, issuer, validity, subject and key.
PART = b"\x30\3\6\1\x2a"
SIGNED = b"\2\1\1" + PART * 4 + b"\x30\7\x30\3\6\1\x2a\3\0"
CERTIFICATE = b"\x30" + bytes([len(SIGNED) + 2]) + b"\x30" + bytes([len(SIGNED)]) + SIGNED
LIST = b"\2\1\1" + PART * 2 + b"\x17\x0d250101000000Z" * 2
CRL = b"\x30" + bytes([len(LIST) + 2]) + b"\x30" + bytes([len(LIST)]) + LIST
PIN = b"sha256:" + b"0a" * 32
TARGETS = [
    Target(
        "client-hello",
        client_hello,
        (),
        [b"\0" + hello(IMAP + NAME), b"\5" + hello(NAME), b"\1\x16\3\1"],
    ),
    Target("certificate", certificate, (BadDer,), [CERTIFICATE, CRL]),
    Target(
        "destination",
        destination,
        (BadParameters,),
        [
            b"ann@host:143;tls=ssl;name=x.example;ca=/etc/x;client=id",
            b"192.0.2.0/24; pin=" + PIN + b"+" + PIN,
            b".example.com;tls=none",
        ],
    ),
]
