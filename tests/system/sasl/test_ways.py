"""Real servers that take log-ins not quite as others do: the test plays them."""

import socket
from functools import partial

import pytest

from support.dovecot import Dovecot
from support.dovecot_sasl import SECRET
from support.processes import HOST
from support.program import Options, Start
from support.sasl_clients import CLIENTS, coded
from support.scripted import ScriptedServer, read_line
from system.sasl.conftest import LOUD, is_told

pytestmark = pytest.mark.system
PLAIN = coded(f"\0ann\0{SECRET}")
# What is said to the real server, and what that answers; first comes its greeting.
Part = list[tuple[bytes, bytes]]
WITHOUT_USER: Part = [
    (b"", b"+OK hi\r\n"),
    (b"CAPA\r\n", b"+OK\r\nSASL PLAIN\r\n.\r\n"),
    (b"USER ann\r\n", b"-ERR what is that?\r\n"),
    (b"AUTH PLAIN %b\r\n" % PLAIN, b"+OK in\r\n"),
]
LONG = "x" * 300
WITH_WORDS: Part = [
    (b"", b"+OK hi\r\n"),
    (b"CAPA\r\n", b"+OK\r\nUSER\r\nSASL PLAIN\r\n.\r\n"),
    (b"AUTH PLAIN\r\n", b"+ go ahead\r\n"),
    (coded(f"\0ann\0{LONG}") + b"\r\n", b"+OK in\r\n"),
]
WITHOUT_LOGIN: Part = [
    (b"", b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=LOGIN] hi\r\n"),
    (b"flim07 AUTHENTICATE LOGIN\r\n", b"+ VXNlcm5hbWU6\r\n"),
    (coded("ann") + b"\r\n", b"+ UGFzc3dvcmQ6\r\n"),
    (coded(SECRET) + b"\r\n", b"flim07 OK [CAPABILITY IMAP4rev1] in\r\n"),
]


# Who the client is, it does not want to know.
WITH_LITERALS: Part = [
    (b"", b'"SASL" "PLAIN"\r\n"XCLIENT"\r\nOK {2}\r\nhi\r\n'),
    (b"XCLIENT ", b"NO {5}\r\nhello\r\n"),
    (b'AUTHENTICATE "PLAIN" "%b"\r\n' % PLAIN, b'OK "in"\r\n'),
]


def play(part: Part, heard: list[bytes], sock: socket.socket) -> None:
    """Answer what is said."""
    for expected, answer in part:
        if expected:
            heard.append(read_line(sock))
        sock.sendall(answer)
    read_line(sock)


@pytest.mark.parametrize(
    ("protocol", "part", "secret", "more"),
    [
        ("POP3", WITHOUT_USER, SECRET, {"ssl_mode": "tls_outgoing"}),
        ("POP3", WITH_WORDS, LONG, {}),
        ("IMAP4", WITHOUT_LOGIN, SECRET, {}),
        ("MANAGESIEVE", WITH_LITERALS, SECRET, {"outgoing_client_identity": "xclient"}),
    ],
)
def test_there_is_a_way_in(
    start: Start, protocol: str, part: Part, secret: str, more: Options
) -> None:
    heard: list[bytes] = []
    with ScriptedServer() as server, server.serving(partial(play, part, heard)):
        options: Options = {**LOUD, **more, "outgoing_server": f"{HOST}:{server.port}"}
        program = start(protocol, options)
        with CLIENTS[protocol](program.port) as client:
            assert client.log_in("ann", secret).accepted
    for line, (expected, _answer) in zip(heard, part[1:], strict=True):
        assert line.startswith(expected)
    assert not is_told(program.log())
    assert LONG not in program.log()


def test_a_name_in_two_words_goes_through_two_programs(start: Start, knower: Dovecot) -> None:
    """USER would have two arguments then, which the second one refuses."""
    far = start("POP3", {"outgoing_server": f"{HOST}:{knower.ports['pop3']}"})
    near = start("POP3", {"outgoing_server": f"{HOST}:{far.port}"})
    with CLIENTS["POP3"](near.port) as client:
        assert client.authenticate("PLAIN", initial=coded(f"\0ann lee\0{SECRET}")).accepted
        client.use()
