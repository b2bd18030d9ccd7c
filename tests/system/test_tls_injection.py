"""What comes in the clear in one packet with STARTTLS does not count as if it came under TLS."""

import contextlib
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from support.certificates import Pki
from support.clients import SPOKEN, Refused
from support.dovecot import PASSWORD
from support.processes import HOST
from support.program import Options, Start
from system.conftest import Routes

pytestmark = pytest.mark.system


class Injection(NamedTuple):
    """A client's packet, and then what it asks under TLS.

    Attributes:
        packet: STARTTLS and one more command.
        ready: the last line before TLS.
        asked: a command under TLS.
        answers: all lines that are to come.
    """

    packet: bytes
    ready: bytes
    asked: bytes
    answers: list[bytes]


FROM_CLIENTS = {
    "IMAP4": Injection(
        b"a1 STARTTLS\r\na2 NOOP\r\n",
        b"a1 OK Begin TLS negotiation now\r\n",
        b"a3 NOOP\r\n",
        [b"a3 OK NOOP\r\n"],
    ),
    "POP3": Injection(
        b"STLS\r\nUSER injected\r\n",
        b"+OK Begin TLS negotiation, mate\r\n",
        b"USER ann\r\n",
        [b"+OK USER ann set, mate\r\n"],
    ),
    "MANAGESIEVE": Injection(
        b'STARTTLS\r\nNOOP "injected"\r\n',
        b'OK "Begin TLS negotiation, mate"\r\n',
        b'NOOP "asked"\r\n',
        [b'OK "TLS negotiation completed', b'OK (TAG "asked")'],
    ),
}


@pytest.mark.parametrize("protocol", SPOKEN)
def test_a_clients_command_in_one_packet_with_starttls_has_no_effect(
    start: Start, routes: Routes, files: Options, trusting: ssl.SSLContext, protocol: str
) -> None:
    injection = FROM_CLIENTS[protocol]
    options = {**routes(SPOKEN[protocol].plain), **files, "ssl_mode": "tls_listen_force"}
    proxy = start(protocol, options)
    with proxy.connect() as sock:
        with sock.makefile("rb") as answers:
            # Nothing but the greeting and this answer comes before our part of the handshake.
            sock.sendall(injection.packet)
            assert injection.ready in iter(answers.readline, b"")
        with (
            trusting.wrap_socket(sock, server_hostname=HOST) as tls,
            tls.makefile("rb") as answers,
        ):
            tls.sendall(injection.asked)
            for expected in injection.answers:
                line = answers.readline()
                while line.startswith(b'"'):  # ManageSieve's capabilities
                    line = answers.readline()
                assert line.startswith(expected)


# What a real server says in the clear after its answer to STARTTLS: all of a log-in that succeeds.
FROM_SERVERS = {
    "IMAP4": b"* CAPABILITY IMAP4rev1\r\nflim09 OK injected\r\n"
    b"+ injected\r\n+ injected\r\nflim0a OK injected\r\n",
    "POP3": b"+OK injected\r\n+OK injected\r\n",
    "MANAGESIEVE": b'"SASL" "PLAIN"\r\nOK injected\r\nOK injected\r\n',
}
CAPABILITIES = {
    "IMAP4": b"* CAPABILITY IMAP4rev1 STARTTLS\r\n",
    "POP3": b"STLS\r\n.\r\n",
    "MANAGESIEVE": b'"SASL" "PLAIN"\r\n"STARTTLS"\r\n',
}


class InjectingServer(socketserver.ThreadingTCPServer):
    """A real server that offers TLS, injects, and lets nobody in.

    Attributes:
        seen: the commands that came under TLS, without their tags.
    """

    daemon_threads = True
    block_on_close = False

    class RequestHandlerClass(socketserver.StreamRequestHandler):
        server: "InjectingServer"

        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.serve()

        def serve(self) -> None:
            protocol = self.server.protocol
            sieve = CAPABILITIES["MANAGESIEVE"] if protocol == "MANAGESIEVE" else b""
            self.wfile.write(sieve + {"IMAP4": b"* OK", "POP3": b"+OK"}.get(protocol, b"OK"))
            self.wfile.write(b" ready\r\n")
            for line in self.rfile:
                tag = line.split()[0] + b" OK" if protocol == "IMAP4" else b"+OK"
                tag = b"OK" if sieve else tag
                if b"STARTTLS" in line or b"STLS" in line:
                    self.request.sendall(tag + b" begin\r\n" + FROM_SERVERS[protocol])
                    break
                before = protocol == "IMAP4"
                told = CAPABILITIES[protocol]
                self.wfile.write(told * before + tag + b" done\r\n" + told * (not before))
            with self.server.context.wrap_socket(self.request, server_side=True) as tls:
                self.refuse(tls, sieve)

        def refuse(self, tls: ssl.SSLSocket, greeting: bytes) -> None:
            """Say no to all but the question for capabilities."""
            if greeting:
                tls.sendall(greeting + b"OK ready\r\n")
            for line in tls.makefile("rb"):
                tag, _, command = line.partition(b" ")
                is_imap = self.server.protocol == "IMAP4"
                self.server.seen.append(command if is_imap else line)
                if b"CAPABILITY" in line:
                    tls.sendall(CAPABILITIES["IMAP4"] + tag + b" OK done\r\n")
                elif is_imap:
                    tls.sendall(tag + b" NO refused\r\n")
                else:
                    tls.sendall(b"NO refused\r\n" if greeting else b"-ERR refused\r\n")

    def __init__(self, protocol: str, pem: str) -> None:
        super().__init__((HOST, 0), self.RequestHandlerClass)
        self.protocol = protocol
        self.seen: list[bytes] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)
        threading.Thread(target=self.serve_forever, daemon=True).start()


@contextlib.contextmanager
def injecting(protocol: str, pem: str) -> Iterator[InjectingServer]:
    with InjectingServer(protocol, pem) as server:
        yield server
        server.shutdown()


@pytest.mark.parametrize("protocol", SPOKEN)
def test_what_a_real_server_says_in_one_packet_with_its_answer_to_starttls_has_no_effect(
    start: Start, files: Options, pki: Pki, protocol: str
) -> None:
    with injecting(protocol, pki.file("for names")) as server:
        to = f"{HOST}:{server.server_address[1]}"
        options = {**files, "outgoing_server": to, "ssl_mode": "tls_outgoing_force"}
        proxy = start(protocol, options)
        with (
            closing(SPOKEN[protocol].client(proxy.port)) as client,
            pytest.raises(Refused, match="failed: Re-Authentication Failure"),
        ):
            client.log_in("ann-injected", PASSWORD)
        assert server.seen
        proxy.wait_log('server-secure=starttls status="failed: Re-Authentication Failure"$')
