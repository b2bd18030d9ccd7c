"""UNAUTHENTICATE in the running program: we are client and real server."""

import socket
import ssl

import pytest

from support.processes import HOST
from support.program import Options, Perdition, Start
from support.scripted import ScriptedServer, Sock, read_all, read_line

pytestmark = pytest.mark.system
GREETING = {
    "IMAP4": b"* OK [CAPABILITY IMAP4rev1 LITERAL+] ready\r\n",
    "MANAGESIEVE": b'"SASL" "PLAIN"\r\n"UNAUTHENTICATE"\r\nOK "ready"\r\n',
}
LOGIN = {
    "IMAP4": b"a LOGIN ann sesame\r\n",
    "MANAGESIEVE": b'AUTHENTICATE "PLAIN" "AGFubgBzZXNhbWU="\r\n',
}
# Lines of our log-in.
LINES = {"IMAP4": 3, "MANAGESIEVE": 1}
WORD = {"IMAP4": b"b UNAUTHENTICATE\r\n", "MANAGESIEVE": b"UNAUTHENTICATE\r\n"}
BYE = {
    "IMAP4": b"* BYE UNAUTHENTICATE is not let through, mate\r\n",
    "MANAGESIEVE": b'BYE "UNAUTHENTICATE is not let through, mate"\r\n',
}


def log_in(
    proxy: Perdition, protocol: str, server: ScriptedServer, tls: ssl.SSLContext | None
) -> tuple[Sock, Sock]:
    """A client that is logged in, and the real server's end."""
    client = socket.create_connection((HOST, proxy.port), 30)
    if tls is not None:
        client = tls.wrap_socket(client, server_hostname=HOST)
    line = read_line(client)
    while not line.startswith((b"* OK", b"OK")):
        line = read_line(client)
    client.sendall(LOGIN[protocol])
    real = server.accept()
    real.sendall(GREETING[protocol])
    said = [read_line(real) for _ in range(LINES[protocol])]
    tag = said[0].split()[0]
    real.sendall(
        tag + b" OK [CAPABILITY IMAP4rev1 UNAUTHENTICATE] in\r\n"
        if protocol == "IMAP4"
        else b"OK\r\n"
    )
    answer = b""
    while b"OK" not in answer:
        answer = read_line(client)
        assert b"UNAUTHENTICATE" not in answer
    return client, real


@pytest.mark.parametrize("protocol", GREETING)
@pytest.mark.parametrize("is_let_through", [False, True])
@pytest.mark.parametrize("in_tls", [False, True])
@pytest.mark.parametrize("compat", ["", "2.2"])
def test_unauthenticate_is_let_through_if_an_option_says_so(
    start: Start,
    files: Options,
    trusting: ssl.SSLContext,
    protocol: str,
    is_let_through: bool,
    in_tls: bool,
    compat: str,
) -> None:
    with ScriptedServer() as server:
        more: dict[str, str | int | bool] = {
            **{"outgoing_server": f"{HOST}:{server.port}", "unauthenticate": is_let_through},
            "compat": compat,
        }
        if in_tls:
            more |= {**files, "ssl_mode": "ssl_listen"}
        proxy = start(protocol, more)
        client, real = log_in(proxy, protocol, server, trusting if in_tls else None)
        with client:
            client.sendall(b"x NOOP\r\n")
            assert read_line(real) == b"x NOOP\r\n"
            client.sendall(WORD[protocol])
            if is_let_through:
                assert read_line(real) == WORD[protocol]
                return
            assert read_all(client) == BYE[protocol]
            assert read_all(real) == b""
            proxy.wait_log('UNAUTHENTICATE is not let through: .*authentication_id="ann"')
            proxy.wait_log("Closing session: .* received=8 ")
