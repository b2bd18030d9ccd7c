"""What clients say in SASL exchanges."""

import base64
from collections.abc import Generator

from fuzz.target import Choices, Target
from perdition.protocols import Login, encode, sasl
from perdition.protocols.sasl import BadResponse

DONE = (BadResponse,)
SCRAM = b"n,a=boss=2Cx,n=a=3Dn=2Cn,r=fyko+d2lbbFgONRv9qkxdawL,e=x"
BEARER = b"n,a=ann=2Cx,\x01host=h\x01auth=Bearer t0ken\x01\x01"
XOAUTH = b"user=ann\x01auth=Bearer t0ken\x01\x01"


def secrets_stay(login: Login) -> None:
    """Nothing of a password or a token is in what a log-in is shown as."""
    other = login._replace(password=b"another")
    if login.exchange is not None:
        other = other._replace(exchange=login.exchange._replace(before=b"", after=b""))
        assert repr(login.exchange) == repr(other.exchange)
    assert repr(login) == repr(other)


def goes_on(login: Login) -> None:
    """The message for the real server names the same user as the client's did."""
    assert login.exchange is not None
    message = sasl.say_first(login, login.exchange)
    dialogue = sasl.begin(login.exchange.mechanism, "")
    assert finish(dialogue, [message]) == login


def finish(dialogue: sasl.Dialogue, responses: list[bytes]) -> Login:
    """What a mechanism makes of responses."""
    next(dialogue)
    for response in responses:
        try:
            dialogue.send(response)
        except StopIteration as finished:
            login: Login = finished.value
            return login
    raise AssertionError("it asks for more")


def plain(data: bytes) -> None:
    login = sasl.take_plain(data)
    secrets_stay(login)
    assert sasl.take_plain(sasl.say_plain(login)) == login
    assert b"\0" not in encode(login.routing_name) + login.password


def oauthbearer(data: bytes) -> None:
    login = sasl.take_oauthbearer(data)
    secrets_stay(login)
    goes_on(login)
    goes_on(login._replace(user="a=b,c"))


def xoauth2(data: bytes) -> None:
    login = sasl.take_xoauth2(data)
    secrets_stay(login)
    goes_on(login)


def scram(data: bytes) -> None:
    login = sasl.take_scram("SCRAM-SHA-256", data)
    secrets_stay(login)
    goes_on(login)
    assert sasl.say_first(login, login.exchange or Login) == data  # type: ignore[arg-type]


def decode_base64(data: bytes) -> None:
    octets = sasl.decode_base64(data)
    assert base64.b64encode(octets) == data
    assert sasl.decode_initial(data or b"=") == octets


def unescape(data: bytes) -> None:
    name = sasl.unescape(data)
    assert sasl.unescape(name.replace(b"=", b"=3D").replace(b",", b"=2C")) == name


def prepare(data: bytes) -> None:
    name = sasl.prepare(data.decode("utf-8", "surrogateescape"))
    assert name.isprintable() or not name.isascii()
    assert not any(each in name for each in "\0\r\n\x85\u2028\u2029")
    # What comes of it goes to the real server, which prepares it once more.
    name.encode()


def take(data: bytes) -> None:
    """Any mechanism, with any answers, some of which break it off."""
    choices = Choices(data)
    offered = tuple(each for each in sasl.MECHANISMS if choices.flag())
    mechanism, initial = choices.word(), choices.word() if choices.flag() else None
    certified = "carl" if choices.flag() else None

    def challenge(_asked: bytes) -> Generator[None, None, bytes | None]:
        yield
        return choices.word() if choices.rest else None

    talk = sasl.take(mechanism, offered, initial, challenge, certified)
    while True:
        try:
            next(talk)
        except StopIteration as finished:
            secrets_stay(finished.value)
            return


TARGETS = [
    Target("plain", plain, DONE, [b"\0ann\0sesame", b"boss\0ann\0sesame", b"\0\xc3\xa9\0\xff"]),
    Target("oauthbearer", oauthbearer, DONE, [BEARER, b"y,a=b,\x01auth=x\x01\x01"]),
    Target("xoauth2", xoauth2, DONE, [XOAUTH]),
    Target("scram", scram, DONE, [SCRAM, b"n,,n=ann,r=x", b"p=tls-unique,,n=ann,r=x"]),
    Target("base64", decode_base64, DONE, [b"AGFubgBzZXNhbWU=", b"=", b"YQ==", b"YR=="]),
    Target("saslname", unescape, DONE, [b"ann", b"a=2Cb=3Dc", b"a=2c"]),
    Target("saslprep", prepare, DONE, [b"ann", "I\u00adX".encode(), "\u0627\u0031".encode()]),
    Target(
        "sasl",
        take,
        (BadResponse, sasl.Cancelled),
        [b"\1" * 7 + b"\5PLAIN\1\x0b\0ann\0sesame", b"\1" * 7 + b"\5LOGIN\0\0\3ann\6sesame"],
    ),
]
