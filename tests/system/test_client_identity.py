"""Real servers are told who the client is, and log that."""

import contextlib
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from perdition.identity import Ends
from perdition.protocols.proxy_header import More, TlsSeen, build_v1, build_v2
from support.certificates import Pki
from support.clients import SPOKEN, Refused
from support.dovecot import EVERYBODY, PASSWORD, Dovecot
from support.dovecot_settings import Passdb, Settings
from support.processes import HOST, free_port, wait_until
from support.program import Options, Perdition, Start
from support.scripted import SECONDS, ScriptedServer, header_of, read_line

pytestmark = pytest.mark.system
# Dovecot's listeners that begin with a PROXY header, and those that TLS comes first on then.
HEADED = {
    "imap": "imap-login",
    "pop3": "pop3-login",
    "sieve": "managesieve-login",
}
FROM: Options = {"proxy_protocol_from": HOST}


class Behind(NamedTuple):
    """A Dovecot that believes what we say of the client.

    Attributes:
        dovecot: it, with listeners for those who say it after the greeting.
        headed: its ports for those who say it in a PROXY header, the secure ones with an s.
    """

    dovecot: Dovecot
    headed: dict[str, int]

    def wait_log(self, user: str, *texts: str) -> None:
        """Wait until somebody has logged in, and that is logged with these words."""
        wait_until(
            lambda: self.dovecot.login_lines(user, *texts),
            SECONDS,
            f"{user}: {texts} in {self.dovecot.log()}",
        )


@pytest.fixture(scope="module")
def behind(pki: Pki) -> Iterator[Behind]:
    with contextlib.ExitStack() as stack:
        headed = {
            name + suffix: stack.enter_context(free_port())
            for name in HEADED
            for suffix in ("", "s")
        }
        text = f"login_trusted_networks = {HOST}/8\nhaproxy_trusted_networks = {HOST}/8\n"
        for name, service in HEADED.items():
            for suffix, secure in (("", "no"), ("s", "yes")):
                port = headed[name + suffix]
                text += (
                    f"service {service} {{\n  inet_listener headed-{name}{suffix} {{\n"
                    f"    port = {port}\n    ssl = {secure}\n    haproxy = yes\n  }}\n}}\n"
                )
        pem = Path(pki.file("for names")).read_bytes()
        yield Behind(
            stack.enter_context(Dovecot(pem, settings=EVERYBODY._replace(others=text))), headed
        )


def from_here(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Have all connections of this process come from an address of the loopback network."""
    connect = socket.create_connection

    def connecting(where: tuple[str, int], timeout: float = SECONDS, **_: object) -> socket.socket:
        return connect(where, timeout, (address, 0))

    monkeypatch.setattr(socket, "create_connection", connecting)


@pytest.mark.parametrize("how", ["proxy_v1", "proxy_v2"])
@pytest.mark.parametrize("protocol", SPOKEN)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_dovecot_logs_the_client_of_the_header(
    start: Start,
    behind: Behind,
    files: Options,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    how: str,
    secure: bool,
) -> None:
    listener = SPOKEN[protocol].plain + "s" * secure
    options = {
        "outgoing_server": f"{HOST}:{behind.headed[listener]}",
        "outgoing_client_identity": how,
        **({**files, "ssl_mode": "ssl_outgoing"} if secure else {}),
    }
    program = start(protocol, options)
    from_here(monkeypatch, "127.0.0.7")
    user = f"ann-{how}-{listener}"
    client = SPOKEN[protocol].client(program.port)
    client.log_in(user, PASSWORD)
    client.use()
    client.close()
    behind.wait_log(user, "rip=127.0.0.7, ", f"lip={HOST}, ")


def test_a_header_is_handed_on(start: Start, behind: Behind) -> None:
    options = {
        "outgoing_server": f"{HOST}:{behind.headed['pop3']}",
        "outgoing_client_identity": "proxy_v2",
    }
    program = start("POP3", {**options, **FROM})
    with program.connect() as sock:
        sock.sendall(build_v1(Ends("2001:db8::7", 4711, "2001:db8::110", 110)))
        read_line(sock)
        sock.sendall(b"USER ann-handed-on\r\nPASS %b\r\n" % PASSWORD.encode())
        read_line(sock)
        assert read_line(sock) == b"+OK You are so in\r\n"
    behind.wait_log("ann-handed-on", "rip=2001:db8::7, ", "lip=2001:db8::110, ")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as made:
        yield made


def begin(program: Perdition, sock: socket.socket) -> None:
    """Log in, without waiting for the answer."""
    del program
    assert read_line(sock).startswith(b"+OK ")
    sock.sendall(b"USER ann\r\nPASS sesame\r\n")
    read_line(sock)


def test_version_2_says_how_the_client_is_encrypted(
    start: Start, server: ScriptedServer, files: Options, trusting: ssl.SSLContext
) -> None:
    options = {
        **files,
        "ssl_mode": "ssl_listen",
        "outgoing_server": f"{HOST}:{server.port}",
        "outgoing_client_identity": "proxy_v2",
    }
    program = start("POP3", options)
    names = []
    for _ in range(2):
        with trusting.wrap_socket(program.connect(), server_hostname=HOST) as sock:
            begin(program, sock)
            header = header_of(server.accept())
            cipher = sock.cipher()
            assert cipher is not None
            assert header.ends == Ends(*sock.getsockname(), HOST, program.port)
            assert header.more.tls == TlsSeen(sock.version() or "", cipher[0])
            assert header.more.ttl == 4
            program.wait_log(f'Session: .* id="{header.more.unique_id.decode()}" server="')
            names.append(header.more.unique_id)
    assert re.fullmatch(rb"[\w-]{16}", names[0])
    assert names[0] != names[1]


def test_version_2_says_whose_certificate_the_client_has(
    start: Start, server: ScriptedServer, files: Options, pki: Pki
) -> None:
    options = {
        **files,
        "ssl_mode": "tls_listen",
        "outgoing_server": f"{HOST}:{server.port}",
        "outgoing_client_identity": "proxy_v2",
    }
    program = start("POP3", options)
    context = ssl.create_default_context(cafile=pki.file("ca"))
    context.load_cert_chain(pki.file("client"))
    with program.connect() as plain:
        read_line(plain)
        plain.sendall(b"STLS\r\n")
        read_line(plain)
        with context.wrap_socket(plain, server_hostname=HOST) as sock:
            sock.sendall(b"USER ann\r\nPASS sesame\r\n")
            read_line(sock)
            tls = header_of(server.accept()).more.tls
            assert tls is not None
            assert tls[2:] == ("client", True)


@pytest.mark.parametrize("implicit", [True, False], ids=["ssl", "starttls"])
def test_the_header_names_what_the_client_asked_for_in_tls(
    start: Start, files: Options, trusting: ssl.SSLContext, server: ScriptedServer, implicit: bool
) -> None:
    options = {
        "outgoing_server": f"{HOST}:{server.port}",
        "outgoing_client_identity": "proxy_v2",
        "ssl_mode": "ssl_listen" if implicit else "tls_listen",
    }
    program = start("POP3", {**options, **files})
    trusting.set_alpn_protocols(["pop3"])
    with program.connect() as plain:
        if not implicit:
            read_line(plain)
            plain.sendall(b"STLS\r\n")
            read_line(plain)
        with trusting.wrap_socket(plain, server_hostname="mail.example.org") as sock:
            if implicit:
                read_line(sock)
            sock.sendall(b"USER ann\r\nPASS sesame\r\n")
            read_line(sock)
            more = header_of(server.accept()).more
            cipher = sock.cipher()
            assert cipher is not None
            assert more.tls == TlsSeen(sock.version() or "", cipher[0], "", False)
            assert (more.authority, more.alpn) == ("mail.example.org", b"pop3")


def test_each_real_server_is_told_in_its_own_way(start: Start, tmp_path: Path) -> None:
    with ScriptedServer() as first, ScriptedServer() as second, ScriptedServer() as third:
        popmap = tmp_path / "re"
        popmap.write_text(
            f"^ann: {HOST}:{first.port};client=proxy_v1\n^bob: localhost:{second.port}\n"
        )
        options = {
            "map_library": "posix_regex",
            "map_library_opt": str(popmap),
            "outgoing_server": f"{HOST}:{third.port}",
            "outgoing_destinations": "localhost;client=proxy_v2",
        }
        program = start("POP3", options)
        for user, server, version_said in ("ann", first, 1), ("bob", second, 2), ("carl", third, 0):
            with program.connect() as sock:
                ours = sock.getsockname()
                read_line(sock)
                sock.sendall(b"USER %b\r\nPASS sesame\r\n" % user.encode())
                read_line(sock)
                there = server.accept()
                if version_said:
                    header = header_of(there)
                    assert header.ends is not None
                    assert header.ends[:2] == ours
                    assert (header.more.ttl is not None) == (version_said == 2)
                there.sendall(b"+OK ready\r\n")
                assert read_line(there) == b"USER %b\r\n" % user.encode()


def test_what_a_load_balancer_says_is_handed_on_whole(start: Start, server: ScriptedServer) -> None:
    options = {
        "outgoing_server": f"{HOST}:{server.port}",
        "outgoing_client_identity": "proxy_v2",
    }
    program = start("POP3", {**options, **FROM})
    ends = Ends("192.0.2.7", 4711, "2001:db8::110", 110)
    more = More(TlsSeen("TLSv1.3", "x", "ann", True), "mail.example.org", b"pop3", b"\0id\xff", 3)
    with program.connect() as sock:
        sock.sendall(build_v2(ends, more))
        begin(program, sock)
        there = server.accept()
        assert header_of(there).more == More(*(more.tls, more.authority, more.alpn, b"\0id\xff"), 2)


def test_without_the_option_nothing_is_said(start: Start, server: ScriptedServer) -> None:
    program = start("POP3", {"outgoing_server": f"{HOST}:{server.port}"})
    with program.connect() as sock:
        begin(program, sock)
        with server.accept_pop3():
            assert read_line(sock) == b"+OK You are so in\r\n"


def test_a_loop_of_headers_ends(start: Start) -> None:
    with free_port() as there:
        options: Options = {**FROM, "outgoing_client_identity": "proxy_v2"}
        one = start("POP3", {**options, "outgoing_server": f"{HOST}:{there}"})
        bind = f"{HOST}:{{port}},{HOST}:{there}"
        back = {"outgoing_server": f"{HOST}:{one.port}", "bind_address": bind}
        other = start("POP3", {**options, **back})
        with socket.create_connection((HOST, one.port), SECONDS) as sock:
            sock.sendall(build_v1(Ends("192.0.2.7", 4711, "192.0.2.110", 110)))
            begin(one, sock)
            assert read_line(sock).startswith(b"-ERR [SYS/TEMP] failed: ")
        looped = [re.findall("proxy loop: 192.0.2.7:4711->", each.log()) for each in (one, other)]
        assert list(map(len, looped)) == [1, 0]
        assert one.log().count("Connect: ") == 3


@pytest.mark.parametrize("how", ["id", "xclient"])
@pytest.mark.parametrize("protocol", SPOKEN)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "starttls"])
def test_dovecot_logs_the_client_that_it_is_told_of(
    start: Start,
    behind: Behind,
    files: Options,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    how: str,
    secure: bool,
) -> None:
    listener = SPOKEN[protocol].plain
    options = {
        "outgoing_server": f"{HOST}:{behind.dovecot.ports[listener]}",
        "outgoing_client_identity": how,
        **({**files, "ssl_mode": "tls_outgoing_force"} if secure else {}),
    }
    program = start(protocol, options)
    from_here(monkeypatch, "127.0.0.7")
    user = f"ann-{how}-{listener}-{secure}".lower()
    client = SPOKEN[protocol].client(program.port)
    client.log_in(user, PASSWORD)
    client.use()
    client.close()
    # Of the address that the client reached, only ID says anything.
    behind.wait_log(user, "rip=127.0.0.7, ", f"lip={HOST}, ")
    assert "does not let us say" not in program.log()


@pytest.mark.parametrize("protocol", SPOKEN)
def test_a_server_that_takes_nothing_is_logged(
    start: Start, dovecot: Dovecot, protocol: str
) -> None:
    listener = SPOKEN[protocol].plain
    where = f"{HOST}:{dovecot.ports[listener]}"
    program = start(protocol, {"outgoing_server": where, "outgoing_client_identity": "id"})
    client = SPOKEN[protocol].client(program.port)
    client.log_in(f"ann-not-told-{listener}", PASSWORD)
    client.use()
    client.close()
    if protocol != "IMAP4":  # Dovecot has ID for everybody
        program.wait_log(f"real server {where}: it does not let us say who the client is$")


@pytest.mark.parametrize("protocol", SPOKEN)
def test_the_second_of_two_proxies_logs_the_client_of_the_first(
    start: Start, behind: Behind, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    listener = SPOKEN[protocol].plain
    common = {"outgoing_client_identity": "id"}
    there = f"{HOST}:{behind.dovecot.ports[listener]}"
    back = start(protocol, {**common, "outgoing_server": there, "trusted_networks": HOST})
    front = start(protocol, {**common, "outgoing_server": f"{HOST}:{back.port}"})
    from_here(monkeypatch, "127.0.0.7")
    user = f"ann-chain-{listener}"
    client = SPOKEN[protocol].client(front.port)
    ours = client.sock.getsockname()[1]
    client.log_in(user, PASSWORD)
    client.use()
    client.close()
    behind.wait_log(user, "rip=127.0.0.7, ")
    back.wait_log(f'Auth: 127.0.0.7:{ours}->.*"ok"$')
    back.wait_log(f"Closing session: 127.0.0.7:{ours}->")


@pytest.mark.parametrize("protocol", SPOKEN)
def test_a_loop_of_two_proxies_ends(start: Start, protocol: str) -> None:
    with free_port() as there:
        common: Options = {
            "trusted_networks": HOST,
            "outgoing_client_identity": "xclient",
        }
        one = start(protocol, {**common, "outgoing_server": f"{HOST}:{there}"})
        bind = f"{HOST}:{{port}},{HOST}:{there}"
        back = {"outgoing_server": f"{HOST}:{one.port}", "bind_address": bind}
        other = start(protocol, {**common, **back})
        client = SPOKEN[protocol].client(one.port)
        with pytest.raises(Refused):
            client.log_in("ann", PASSWORD)
        client.close()

        def logged(text: str) -> int:
            return (one.log() + other.log()).count(text)

        wait_until(lambda: logged(": Auth: ") == 5, SECONDS, "five log-ins have failed")
        assert logged("proxy loop: ") == 1


@pytest.mark.parametrize("protocol", SPOKEN)
def test_a_dovecot_before_us_is_understood(
    start: Start, pki: Pki, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    listener = SPOKEN[protocol].plain
    options = {
        "trusted_networks": HOST,
        "outgoing_server": f"{HOST}:{server.port}",
    }
    program = start(protocol, options)
    there = {"proxy": "y", "nopassword": "y", "host": HOST, "port": str(program.port)}
    pem = Path(pki.file("for names")).read_bytes()
    with Dovecot(pem, settings=Settings((Passdb(there),))) as before:
        from_here(monkeypatch, "127.0.0.7")
        client = SPOKEN[protocol].client(before.ports[listener])
        ours = client.sock.getsockname()[1]
        with server.serving(lambda sock: None), pytest.raises((Refused, OSError, EOFError)):
            client.log_in("ann-before", "another-7Hd3")
        client.close()
    program.wait_log(f'Auth: 127.0.0.7:{ours}->{HOST}:.* authentication_id="ann-before" ')
