"""Every `ssl_mode`, in every protocol, between a mail program and Dovecot."""

import base64
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from perdition.session.overheard import REST_SECONDS
from support.certificates import Pki
from support.clients import SPOKEN, Refused
from support.dovecot import PASSWORD
from support.managesieve import ManageSieve
from support.processes import HOST
from support.program import Options, Start
from support.scripted import ScriptedServer, read_line
from system.conftest import Routes

pytestmark = pytest.mark.system
# The words -> how the client begins, and how the log says that both sides are secured.
MODES = {
    "": ("plaintext", "plaintext"),
    "none": ("plaintext", "plaintext"),
    "ssl_listen": ("ssl", "plaintext"),
    "ssl_outgoing": ("plaintext", "ssl"),
    "ssl_all": ("ssl", "ssl"),
    "tls_listen": ("starttls", "plaintext"),
    "tls_outgoing": ("plaintext", "starttls"),
    "tls_all": ("starttls", "starttls"),
    "tls_listen_force": ("starttls", "plaintext"),
    "tls_outgoing_force": ("plaintext", "starttls"),
    "tls_all_force": ("starttls", "starttls"),
    "ssl_listen,tls_outgoing": ("ssl", "starttls"),
    "ssl_listen,tls_outgoing_force": ("ssl", "starttls"),
    "tls_listen,ssl_outgoing": ("starttls", "ssl"),
    "tls_listen_force,ssl_outgoing": ("starttls", "ssl"),
    "tls_listen,tls_outgoing_force": ("starttls", "starttls"),
    "tls_listen_force,tls_outgoing": ("starttls", "starttls"),
}
LOG_IN = b'AUTHENTICATE "PLAIN" "%b"\r\n' % base64.b64encode(b"\0ann\0" + PASSWORD.encode())
GREETING = b'"SASL" "PLAIN"\r\nOK\r\n'
Begin = Callable[[], tuple[ManageSieve, ssl.SSLSocket]]
PROTOCOLS = pytest.mark.parametrize("protocol", SPOKEN)


@PROTOCOLS
@pytest.mark.parametrize("mode", MODES)
def test_a_user_is_logged_in_and_served(
    start: Start, routes: Routes, files: Options, trusting: ssl.SSLContext, protocol: str, mode: str
) -> None:
    spoken = SPOKEN[protocol]
    client_secure, server_secure = MODES[mode]
    listener = spoken.secure if server_secure == "ssl" else spoken.plain
    words = {"ssl_mode": mode} if mode else {}
    proxy = start(protocol, {**routes(listener), **files, **words})
    context = trusting if client_secure == "ssl" else None
    with closing(spoken.client(proxy.port, context)) as client:
        if client_secure == "starttls":
            client.start_tls(trusting)
        client.log_in("ann-modes", PASSWORD)
        client.use()
    proxy.wait_log(
        f'client-secure={client_secure} authorisation_id=NONE authentication_id="ann-modes" '
        f'server="[^"]+" protocol={protocol} server-secure={server_secure} status="ok"$'
    )


@PROTOCOLS
@pytest.mark.parametrize("mode", ["tls_listen_force", "tls_all_force"])
def test_where_tls_is_forced_a_login_in_the_clear_is_refused_and_taken_after_it(
    start: Start, routes: Routes, files: Options, trusting: ssl.SSLContext, protocol: str, mode: str
) -> None:
    spoken = SPOKEN[protocol]
    proxy = start(protocol, {**routes(spoken.plain), **files, "ssl_mode": mode})
    with closing(spoken.client(proxy.port)) as client:
        with pytest.raises(Refused, match="failed: Login Disabled"):
            client.log_in("ann-forced", PASSWORD)
        client.start_tls(trusting)
        client.log_in("ann-forced", PASSWORD)
        client.use()
    if protocol != "MANAGESIEVE":
        # There it is no log-in: AUTHENTICATE is refused before anything is read of it.
        proxy.wait_log('client-secure=plaintext .* status="failed: [^"]+"$')
    proxy.wait_log('client-secure=starttls .* status="ok"$')


@pytest.fixture
def overhearing(start: Start, files: Options, pki: Pki) -> Iterator[Begin]:
    """Begin a log-in: the client, and a real server under TLS that has accepted it."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pki.file("for names"))
    with ScriptedServer(tls) as server, ExitStack() as stack:
        options = {"outgoing_server": f"{HOST}:{server.port}", "ssl_mode": "ssl_outgoing"}
        proxy = start("MANAGESIEVE", {**files, **options})

        def begin() -> tuple[ManageSieve, ssl.SSLSocket]:
            client = stack.enter_context(ManageSieve(proxy.port))
            client.sock.sendall(LOG_IN)
            real = server.accept()
            assert isinstance(real, ssl.SSLSocket)
            real.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return client, real

        yield begin


def test_a_managesieve_server_has_time_to_end_its_greeting_under_tls(overhearing: Begin) -> None:
    # In a few of a hundred log-ins Dovecot said nothing more, where it had none.
    client, real = overhearing()
    before = time.monotonic()
    real.sendall(GREETING)
    assert read_line(real) == LOG_IN
    assert time.monotonic() - before >= REST_SECONDS
    # The second one is for NOOP, where we are so slow that it has been said.
    real.sendall(b"OK\r\nOK\r\n")
    assert client.response().status == "OK"


def nudged(begin: Begin) -> tuple[ManageSieve, ssl.SSLSocket]:
    """A log-in that is not answered, at the moment when it is followed by something else."""
    client, real = begin()
    real.sendall(GREETING)
    assert [read_line(real) for _ in range(2)] == [LOG_IN, b"NOOP\r\n"]
    return client, real


@pytest.mark.parametrize("knows_noop", [True, False])
def test_a_managesieve_server_that_is_silent_under_tls_is_nudged_once(
    overhearing: Begin, knows_noop: bool
) -> None:
    client, real = nudged(overhearing)
    real.sendall(b"NO (AUTHENTICATIONFAILED)\r\n")
    real.sendall(b'OK "Done"\r\n' if knows_noop else b'NO "What?"\r\n')
    assert read_line(real) == b"LOGOUT\r\n"
    assert client.response().status == "NO"
    client, real = nudged(overhearing)
    real.sendall(b"OK\r\n")
    real.sendall(b'OK "Done"\r\n' if knows_noop else b'NO "What?"\r\n')
    assert client.response().status == "OK"
    client.sock.sendall(b"LISTSCRIPTS\r\n")
    assert read_line(real) == b"LISTSCRIPTS\r\n"
    real.sendall(b'"x"\r\nOK\r\n')
    # Of the other answer it has heard nothing.
    assert client.response().lines == [b'"x"']


@PROTOCOLS
def test_after_a_failed_login_the_link_is_known_to_be_encrypted(
    start: Start, routes: Routes, files: Options, trusting: ssl.SSLContext, protocol: str
) -> None:
    spoken = SPOKEN[protocol]
    options = {**routes(spoken.plain), **files, "ssl_mode": "tls_listen_force"}
    proxy = start(protocol, options)
    with closing(spoken.client(proxy.port)) as client:
        client.start_tls(trusting)
        with pytest.raises(Refused, match="failed: Re-Authentication Failure"):
            client.log_in("ann-again", "wrong")
        client.log_in("ann-again", PASSWORD)
        client.use()
    proxy.wait_log('client-secure=starttls .* status="failed: Re-Authentication Failure"$')
    proxy.wait_log('client-secure=starttls .* status="ok"$')


@PROTOCOLS
@pytest.mark.parametrize("mode", ["none", "ssl_outgoing", "tls_all_force"])
def test_nothing_is_imported_for_a_session(
    start: Start,
    routes: Routes,
    files: Options,
    trusting: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    mode: str,
) -> None:
    # A worker's user may not be able to read the interpreter's files.
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    spoken = SPOKEN[protocol]
    listener = spoken.secure if mode == "ssl_outgoing" else spoken.plain
    more = {"ssl_mode": mode, "ssl_cert_accept_expired": True}
    proxy = start(protocol, {**routes(listener), **files, **more})
    with closing(spoken.client(proxy.port)) as client:
        if mode == "tls_all_force":
            client.start_tls(trusting)
        with pytest.raises(Refused):
            client.log_in("ann-imports", "wrong")
        client.log_in("ann-imports", PASSWORD)
        client.use()
    proxy.wait_log("Closing session: ")
    before, _connect, after = proxy.log().partition("Connect: ")
    assert "import time:" in before
    assert "import time:" not in after
