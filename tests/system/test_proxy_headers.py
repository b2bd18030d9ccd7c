"""Load balancers before us say in a PROXY header who the client is."""

import contextlib
import re
import socket
import ssl
import struct
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdition.identity import Ends
from perdition.patience import SILENT_SECONDS
from perdition.protocols.proxy_header import More, TlsSeen, build_v1, build_v2
from perdition.tls.hello import NO_APPLICATION_PROTOCOL
from perdition.tools.shipped import shipped
from support.certificates import Pki
from support.dovecot import PASSWORD, Dovecot
from support.haproxy import Haproxy
from support.processes import HOST, require
from support.program import Options, Perdition, Start
from support.scripted import SECONDS, ScriptedServer, header_of, read_all, read_line
from system.conftest import Routes

pytestmark = pytest.mark.system
CLIENT = Ends("192.0.2.7", 4711, "192.0.2.143", 143)
CLIENT_6 = Ends("2001:db8::7", 4711, "2001:db8::143", 143)
FROM: Options = {"proxy_protocol_from": "127.0.0.0/8"}
GREETINGS = {"IMAP4": b"* OK ", "POP3": b"+OK ", "MANAGESIEVE": b'"IMPL'}
HEADERS = [build_v1(CLIENT), build_v2(CLIENT)]
NAMES = ["v1", "v2"]
both = pytest.mark.parametrize("header", HEADERS, ids=NAMES)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as made:
        yield made


def log_in(sock: socket.socket, server: ScriptedServer) -> None:
    """A session of POP3, to its end."""
    assert read_line(sock).startswith(b"+OK POP3 perditon ready on ")
    sock.sendall(b"USER ann\r\nPASS sesame\r\n")
    assert read_line(sock) == b"+OK USER ann set, mate\r\n"
    with server.accept_pop3():
        assert read_line(sock) == b"+OK You are so in\r\n"
        sock.close()


def begin_tls(context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """TLS of a client, whose ClientHello is in the last one."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return tls, incoming, outgoing


@pytest.mark.parametrize(
    ("header", "peers"),
    [
        (build_v1(CLIENT), "192.0.2.7:4711->192.0.2.143:143"),
        (build_v2(CLIENT), "192.0.2.7:4711->192.0.2.143:143"),
        (build_v1(CLIENT_6), "2001:db8::7:4711->2001:db8::143:143"),
        (
            build_v2(CLIENT_6, More(TlsSeen("TLSv1.3"), "mail.example.org")),
            "2001:db8::7:4711->2001:db8::143:143",
        ),
    ],
)
def test_log_lines_show_the_real_client(
    start: Start, server: ScriptedServer, header: bytes, peers: str
) -> None:
    program = start("POP3", {**FROM, "outgoing_server": f"{HOST}:{server.port}"})
    with program.connect() as sock:
        for at in range(len(header)):
            sock.sendall(header[at : at + 1])
        log_in(sock, server)
    program.wait_log(f"Connect:  {peers}$")
    program.wait_log(f'Auth: {peers} .*"ok"$')
    program.wait_log(f"Closing session: {peers} ")
    assert HOST not in "".join(
        line.split(" server=")[0] for line in program.log().splitlines() if "->" in line
    )


def check_header(kind: str, ends: Ends) -> bytes:
    """The header of a health check; haproxy's version 1 names its own connection."""
    if kind == "own":
        return b"PROXY TCP4 %b %b %d %d\r\n" % (
            *(ends.client.encode(), ends.local.encode()),
            *(ends.client_port, ends.local_port),
        )
    return b"PROXY UNKNOWN\r\n" if kind == "v1" else build_v2(Ends("", 0, "", 0))


@pytest.mark.parametrize("kind", [*NAMES, "own"])
def test_nobody_is_banned_for_a_health_check(start: Start, kind: str) -> None:
    program = start("POP3", FROM)
    with program.connect() as sock:
        sock.sendall(check_header(kind, Ends(*sock.getsockname(), *sock.getpeername())))
        assert read_line(sock).startswith(b"+OK ")
        host, port = sock.getsockname()
    program.wait_log(f"Closing NULL session: {host}:{port}->")
    assert "Fatal Error reading authentication information" not in program.log()


@pytest.mark.parametrize("kind", [*NAMES, "own"])
def test_a_health_check_that_does_not_hear_the_greeting_is_no_failure(
    start: Start, kind: str
) -> None:
    program = start("POP3", {**FROM, "quiet": True})
    for _ in range(20):
        with program.connect() as sock:
            # A reset: as haproxy ends what it has only looked at.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(check_header(kind, Ends(*sock.getsockname(), *sock.getpeername())))
    with program.connect() as sock:
        sock.sendall(b"PROXY UNKNOWN\r\n")
        assert read_line(sock).startswith(b"+OK ")
    assert "Fatal" not in program.log()


def test_nobody_is_banned_for_a_health_check_that_stays_or_says_much(start: Start) -> None:
    program = start("POP3", {**FROM, "authenticate_timeout": "1"})
    for said in b"", b"x" * 20000:
        with program.connect() as sock:
            sock.sendall(b"PROXY UNKNOWN\r\n" + said)
            read_all(sock)
            host, port = sock.getsockname()
        program.wait_log(f"Closing NULL session: {host}:{port}->")
    assert "Fatal" not in program.log()


def test_a_health_check_without_tls_is_no_failure(start: Start, files: Options) -> None:
    program = start("IMAP4S", {**FROM, **files, "ssl_mode": "ssl_listen"})
    with program.connect() as sock:
        sock.sendall(b"PROXY UNKNOWN\r\n")
        host, port = sock.getsockname()
    program.wait_log(f"Closing NULL session: {host}:{port}->")
    assert "Fatal" not in program.log()


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", build_v2(Ends("", 0, "", 0))], ids=NAMES)
def test_without_a_client_in_the_header_the_connection_counts(start: Start, header: bytes) -> None:
    program = start("POP3", FROM)
    with program.connect() as sock:
        sock.sendall(header)
        read_line(sock)
        program.wait_log(f"Connect:  {HOST}:{sock.getsockname()[1]}->{HOST}:{program.port}$")


@both
def test_the_header_comes_before_tls(
    start: Start, files: Options, trusting: ssl.SSLContext, header: bytes
) -> None:
    program = start("IMAP4S", {**FROM, **files, "ssl_mode": "ssl_listen"})
    tls, incoming, outgoing = begin_tls(trusting)
    with program.connect() as sock:
        # In one packet with the beginning of the handshake.
        sock.sendall(header + outgoing.read())
        while True:
            try:
                line = tls.read(4096)
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(4096))
            else:
                break
        assert line.startswith(b"* OK ")
    program.wait_log("Connect:  192.0.2.7:4711->192.0.2.143:143$")


@both
def test_a_client_of_something_else_is_told_so_by_tls(
    start: Start, files: Options, trusting: ssl.SSLContext, header: bytes
) -> None:
    program = start("IMAP4S", {**FROM, **files, "ssl_mode": "ssl_listen"})
    trusting.set_alpn_protocols(["h2"])
    _tls, _incoming, outgoing = begin_tls(trusting)
    with program.connect() as sock:
        sock.sendall(header + outgoing.read())
        assert read_all(sock) == NO_APPLICATION_PROTOCOL


@both
def test_a_second_header_ends_the_connection(start: Start, header: bytes) -> None:
    program = start("POP3", FROM)
    with program.connect() as sock:
        sock.sendall(header + header)
        read_all(sock)
    program.wait_log("PROXY header: 192.0.2.7:4711->.* is not in proxy_protocol_from$")


@both
@pytest.mark.parametrize("protocol", GREETINGS)
@pytest.mark.parametrize("options", [{}, {"proxy_protocol_from": "192.0.2.0/24,2001:db8::1"}])
def test_from_anybody_else_a_header_ends_the_connection(
    start: Start, protocol: str, options: Options, header: bytes
) -> None:
    program = start(protocol, options)
    with program.connect() as sock:
        ours = sock.getsockname()[1]
        while not sock.recv(4096, socket.MSG_PEEK).endswith(b"\r\n"):
            pass
        sock.recv(4096)
        for part in (header[:7], header[7:]):
            sock.sendall(part)
        assert read_all(sock) == b""
    program.wait_log(
        f"PROXY header: {HOST}:{ours}->{HOST}:{program.port} is not in proxy_protocol_from$"
    )
    assert "192.0.2.7" not in program.log()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"QUIT\r\n", ": no PROXY header"),
        (b"\x16\x03\x01", ": no PROXY header"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 x\r\n", ": PROXY header with a bad port"),
        (HEADERS[1][:14] + b"\xff\xff" + HEADERS[1][16:], ": PROXY header too long"),
        (b"PROXY TCP4 1.2.3", ": none came"),
        (b"", ": none came"),
    ],
)
def test_without_a_good_header_the_connection_ends(start: Start, data: bytes, reason: str) -> None:
    program = start("POP3", FROM)
    with program.connect() as sock:
        ours = sock.getsockname()[1]
        sock.sendall(data)
        # What is missing is waited for, but not as long as a log-in.
        sock.settimeout(30)
        assert read_all(sock) == b""
    program.wait_log(f"PROXY header: {HOST}:{ours}->{HOST}:{program.port}{reason}$")
    assert "Connect:" not in program.log()


def test_the_client_counts_for_what_is_looked_up(
    start: Start, server: ScriptedServer, tmp_path: Path
) -> None:
    popmap = tmp_path / "popmap.re"
    popmap.write_text(f"^ann@192[.]0[.]2[.]7@4711$: {HOST}:{server.port}\n")
    options = {
        "map_library": "libperditiondb_posix_regex.so.0",
        "map_library_opt": str(popmap),
        "query_key": r"\u@\i@\p",
    }
    program = start("POP3", {**FROM, **options})
    with program.connect() as sock:
        sock.sendall(HEADERS[1])
        log_in(sock, server)


def test_who_does_not_use_it_pays_nothing(start: Start) -> None:
    program = start("POP3")
    with program.connect() as sock:
        # Greeted without a word, and without the wait for a header.
        assert read_line(sock).startswith(b"+OK POP3 perditon ready on ")
    program.wait_log("Connect: ")


def test_what_haproxy_says_of_tls_is_handed_on(
    start: Start, server: ScriptedServer, trusting: ssl.SSLContext, pki: Pki
) -> None:
    options: Options = {
        "outgoing_server": f"{HOST}:{server.port}",
        "outgoing_client_identity": "proxy_v2",
    }
    program = start("POP3", {**FROM, **options})
    how = "send-proxy-v2-ssl-cn proxy-v2-options ssl-cipher,authority,crc32c"
    with (
        Haproxy(program.port, how, Path(pki.file("for names")).read_bytes()) as haproxy,
        socket.create_connection((HOST, haproxy.tls), 30) as plain,
        trusting.wrap_socket(plain, server_hostname="mail.example.org") as sock,
    ):
        assert read_line(sock).startswith(b"+OK ")
        sock.sendall(b"USER ann\r\nPASS sesame\r\n")
        there = server.accept()
        header = header_of(there)
        cipher = sock.cipher()
        assert cipher is not None
        assert header.ends == Ends(*sock.getsockname(), HOST, haproxy.tls)
        assert header.more.tls == TlsSeen(sock.version() or "", cipher[0])
        assert header.more.authority == "mail.example.org"


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_haproxy_stands_before_us(
    start: Start, routes: Routes, dovecot: Dovecot, pki: Pki, how: str
) -> None:
    program: Perdition = start("POP3", {**FROM, **routes("pop3")})
    pem = Path(pki.file("for names")).read_bytes()
    del dovecot
    with Haproxy(program.port, how, pem) as haproxy:
        with socket.create_connection((HOST, haproxy.plain), 30, ("127.0.0.7", 0)) as sock:
            assert read_line(sock).startswith(b"+OK ")
            ours = sock.getsockname()[1]
            sock.sendall(b"USER ann-haproxy\r\nPASS %b\r\n" % PASSWORD.encode())
            read_line(sock)
            assert read_line(sock) == b"+OK You are so in\r\n"
        program.wait_log(f'Auth: 127.0.0.7:{ours}->{HOST}:{haproxy.plain} .*"ok"$')


def test_haproxy_takes_the_example_of_the_document(tmp_path: Path) -> None:
    document = shipped("docs/client-identity.md").read_text(encoding="utf-8")
    example = re.search(r"^    # haproxy\n((?:    .+\n)+)", document, re.MULTILINE)
    assert example
    file = tmp_path / "haproxy.cfg"
    file.write_text(textwrap.dedent(example[1]))
    # Warnings, as of time-outs that are missing, count as well.
    done = subprocess.run(
        [require("haproxy"), "-c", "-dW", "-f", file], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_behind_a_load_balancer_whoever_has_the_most_gives_way(start: Start) -> None:
    proxy = start("POP3", {**FROM, "login_threads": 4, "workers": 1})

    def connected(stack: contextlib.ExitStack, host: str) -> socket.socket:
        sock = socket.create_connection((HOST, proxy.port), SECONDS)
        stack.enter_context(sock)
        sock.sendall(build_v1(CLIENT._replace(client=host)))
        assert read_line(sock).startswith(b"+OK ")
        return sock

    with contextlib.ExitStack() as stack:
        first = connected(stack, "192.0.2.1")
        for _ in range(3):
            connected(stack, "192.0.2.2")
        # Only who has been silent for so long gives way.
        time.sleep(1.5 * SILENT_SECONDS)
        connected(stack, "192.0.2.3")
        proxy.wait_log("login_threads: 192.0.2.2:4711->.* gave way$")
        first.sendall(b"QUIT\r\n")
        assert read_line(first) == b"+OK QUIT\r\n"
