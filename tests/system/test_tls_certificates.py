"""Certificates of real servers and clients, server names, and versions of TLS."""

import ssl
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.certificates import Pki
from support.clients import Imap, Pop, Refused
from support.dovecot import PASSWORD, Dovecot
from support.processes import HOST
from support.program import Options, Perdition, Start
from system.conftest import Routes

pytestmark = pytest.mark.system


def refused_or_cut(proxy: Perdition) -> None:
    """A log-in for which the real server cannot be spoken with."""
    with closing(Pop(proxy.port)) as client, pytest.raises((Refused, EOFError)):
        client.log_in("ann-judged", PASSWORD)


# What the real server shows, whom we trust, the check that fails, the option that accepts it.
WRONG = [
    (
        *("leaf", "other ca"),
        "certificate not verified: unable to get local issuer certificate",
        {"ssl_no_cert_verify": True},
    ),
    (
        *("other name", "ca"),
        "name mismatch: wanted 127.0.0.1, certificate is for mail.example.org",
        {"ssl_no_cn_verify": True},
    ),
    (
        *("expired", "ca"),
        "certificate not verified: certificate has expired",
        {"ssl_cert_accept_expired": True},
    ),
    (
        *("not yet", "ca"),
        "certificate not verified: certificate is not yet valid",
        {"ssl_cert_accept_not_yet_valid": True},
    ),
    (
        *("self-signed", "ca"),
        "certificate not verified: self-signed certificate",
        {"ssl_cert_accept_self_signed": True},
    ),
    (
        *("leaf, ca", "other ca"),
        "certificate not verified: self-signed certificate in certificate chain",
        {"ssl_ca_accept_self_signed": True},
    ),
    (
        *("below 2, chain", "ca"),
        "chain too long: depth 3, ssl_cert_verify_depth is 2",
        {"ssl_cert_verify_depth": 3},
    ),
]


@pytest.mark.parametrize(("shown", "authority", "fault", "accepting"), WRONG)
def test_a_wrong_certificate_is_refused_with_its_fault_in_the_log_unless_that_is_accepted(
    start: Start, pki: Pki, shown: str, authority: str, fault: str, accepting: Options
) -> None:
    with Dovecot(Path(pki.file(shown)).read_bytes()) as dovecot:
        server = f"{HOST}:{dovecot.ports['pop3s']}"
        options = {
            "outgoing_server": server,
            "ssl_mode": "ssl_outgoing",
            "ssl_ca_file": pki.file(authority),
            "ssl_ca_path": "",
            "ssl_cert_verify_depth": 2,
        }
        strict = start("POP3", options)
        refused_or_cut(strict)
        strict.wait_log(f"real server {server}: TLS: {fault}: ")
        strict.wait_log('status="failed: Connection Negotiation Failure"$')
        lenient = start("POP3", {**options, **accepting})
        with closing(Pop(lenient.port)) as client:
            client.log_in("ann-judged", PASSWORD)
            client.use()


@pytest.fixture(scope="module")
def named(pki: Pki) -> Iterator[Dovecot]:
    """A real server that shows the right certificate to those only who ask for its name."""
    other, ours = (Path(pki.file(name)).read_bytes() for name in ("leaf", "localhost"))
    with Dovecot(other, {"localhost": ours}) as dovecot:
        yield dovecot


@pytest.mark.parametrize(
    ("mode", "listener"), [("ssl_outgoing", "pop3s"), ("tls_outgoing_force", "pop3")]
)
@pytest.mark.parametrize("name", ["localhost", HOST])
def test_the_real_server_is_told_its_name(
    start: Start, files: Options, named: Dovecot, mode: str, listener: str, name: str
) -> None:
    server = f"{name}:{named.ports[listener]}"
    proxy = start("POP3", {**files, "outgoing_server": server, "ssl_mode": mode})
    with closing(Pop(proxy.port)) as client:
        client.log_in("ann-named", PASSWORD)
        client.use()


Listen = Callable[..., Perdition]


@pytest.fixture
def listen(start: Start, routes: Routes, files: Options) -> Listen:
    """Starts a proxy whose clients begin with TLS."""

    def starter(**options: str | bool) -> Perdition:
        return start("IMAP4", {**routes("imap"), **files, "ssl_mode": "ssl_listen", **options})

    return starter


def speaking(pki: Pki, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks just one version, also an old one."""
    context = ssl.create_default_context(cafile=pki.file("ca"))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = context.maximum_version = version
    return context


def works(proxy: Perdition, context: ssl.SSLContext) -> str | None:
    """Log in and use the session; the version of TLS."""
    with closing(Imap(proxy.port, context)) as client:
        client.log_in("ann-listen", PASSWORD)
        client.use()
        assert isinstance(client.sock, ssl.SSLSocket)
        return client.sock.version()


OLD = [(ssl.TLSVersion.TLSv1, "TLSv1"), (ssl.TLSVersion.TLSv1_1, "TLSv1.1")]
NEW = [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]


def test_versions_from_1_2_on_are_spoken_and_older_ones_refused(listen: Listen, pki: Pki) -> None:
    proxy = listen()
    for version, name in NEW:
        assert works(proxy, speaking(pki, version)) == name
    for version, _name in OLD:
        with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
            Imap(proxy.port, speaking(pki, version))
    proxy.wait_log("Fatal error establishing SSL connection to client$")


def test_old_versions_are_spoken_where_they_are_asked_for(listen: Listen, pki: Pki) -> None:
    proxy = listen(ssl_listen_min_proto_version="tlsv1")
    for version, name in OLD + NEW:
        assert works(proxy, speaking(pki, version)) == name


@pytest.mark.parametrize("name", ["", "client"])
def test_a_client_may_show_a_certificate_and_need_not(listen: Listen, pki: Pki, name: str) -> None:
    context = ssl.create_default_context(cafile=pki.file("ca"))
    if name:
        context.load_cert_chain(pki.file(name))
    assert works(listen(), context)


@pytest.mark.parametrize("version", [version for version, _name in NEW])
def test_a_client_with_a_certificate_of_somebody_else_is_refused_unless_none_is_asked_for(
    listen: Listen, pki: Pki, version: ssl.TLSVersion
) -> None:
    context = speaking(pki, version)
    context.load_cert_chain(pki.file("self-signed"))
    proxy = listen(debug=True)
    # With TLS 1.3 the client's handshake is over before its certificate is looked at.
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Imap(proxy.port, context)
    proxy.wait_log("TLS with .*: certificate not verified: self-signed certificate$")
    assert works(listen(ssl_no_client_cert_verify=True), context)
