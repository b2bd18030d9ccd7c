"""Contexts from options and real handshakes, with certificates of every kind."""

import contextlib
import io
import os
import pty
import re
import shutil
import socket
import ssl
import struct
import sys
import tempfile
import termios
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

from perdition import tls
from perdition.tls import (
    LISTENING_FAILED,
    OUTGOING_FAILED,
    TlsFailed,
    TlsSetupError,
    listening_context,
    outgoing,
)
from support.certificates import PASSPHRASE, Pki, certificates_pem, hashed_name

HOST = "127.0.0.1"
TIMEOUT = 10


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options that TLS looks at; the files are names for `Pki.file`, made paths by `given`."""

    ssl_ca_accept_self_signed: bool = False
    ssl_ca_chain_file: str = ""
    ssl_ca_file: str = ""
    ssl_ca_path: str = ""
    ssl_cert_accept_expired: bool = False
    ssl_cert_accept_not_yet_valid: bool = False
    ssl_cert_accept_self_signed: bool = False
    ssl_cert_file: str = ""
    ssl_cert_verify_depth: int = 9
    ssl_dh_params_file: str = ""
    ssl_key_file: str = ""
    ssl_listen_ciphers: str = ""
    ssl_listen_max_proto_version: str = ""
    ssl_listen_min_proto_version: str = "tlsv1.2"
    ssl_no_cert_verify: bool = False
    ssl_no_cipher_server_preference: bool = False
    ssl_no_client_cert_verify: bool = False
    ssl_no_cn_verify: bool = False
    ssl_outgoing_ciphers: str = ""
    ssl_outgoing_max_proto_version: str = ""
    ssl_outgoing_min_proto_version: str = "tlsv1.2"
    ssl_passphrase_fd: int = 0
    ssl_passphrase_file: str = ""
    ssl_san_only: bool = False


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def given(pki):
    """Settings, from the names of certificates and the options' words without `ssl_`."""

    def settings(*flags, **values):
        for option in ("cert_file", "key_file", "ca_file", "ca_chain_file", "dh_params_file"):
            if option in values and "/" not in values[option]:
                values[option] = pki.file(values[option])
        values |= dict.fromkeys(flags, True)
        return Settings(**{f"ssl_{option}": value for option, value in values.items()})

    return settings


@pytest.fixture
def listening(given):
    """A listening side that has a good certificate, unless told otherwise."""

    def make(*flags, **values):
        return listening_context(
            given(*flags, **{"cert_file": "leaf", "key_file": "leaf"} | values)
        )

    return make


def connected():
    ends = socket.socketpair()
    for end in ends:
        end.settimeout(TIMEOUT)
    return ends


@contextlib.contextmanager
def in_thread(work, *arguments):
    """Run the other side; what it does not like is for the side under test to say."""

    def run():
        with contextlib.suppress(OSError, TlsFailed):
            work(*arguments)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def serve(context, sock):
    """A real server: the handshake, an octet, the end."""
    with context.wrap_socket(sock, server_side=True) as server:
        server.sendall(b"*")
        server.recv(1)


def use(context, sock, seen=None, **arguments):
    """A client: the handshake, what the server says, the end."""
    with context.wrap_socket(sock, **arguments) as client:
        if client.recv(1) and seen is not None:
            seen.append((client.session, client.session_reused))


def server_context(path, *, ciphers="", highest=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if ciphers:
        context.set_ciphers(ciphers)
    if highest:
        context.maximum_version = highest
    if path:
        context.load_cert_chain(path)
    return context


def client_context(path=""):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if path:
        context.load_cert_chain(path)
    return context


def connect(to, context, server_name=HOST):
    """Connect to a real server; say what is known of the connection or why there is none."""
    ours, theirs = connected()
    with theirs, in_thread(serve, context, theirs):
        try:
            with to.wrap(ours, server_name) as connection:
                return tls.describe(connection)
        except TlsFailed as failure:
            assert ours.fileno() == -1
            return failure.reason


def accept(on, context):
    """Accept a client; say what is known of the connection or why there is none."""
    ours, theirs = connected()
    with theirs, in_thread(use, context, theirs):
        try:
            with on.wrap(ours) as connection:
                connection.sendall(b"*")
                return tls.describe(connection)
        except TlsFailed as failure:
            assert ours.fileno() == -1
            return failure.reason


# --- the real server's certificate -------------------------------------------------------------

OK = "TLSv1.3"
UNKNOWN = "certificate not verified: unable to get local issuer certificate"
UNKNOWN_ABOVE = "certificate not verified: unable to get issuer certificate"
SELF_SIGNED = "certificate not verified: self-signed certificate"
SELF_SIGNED_ROOT = "certificate not verified: self-signed certificate in certificate chain"
EXPIRED_AT_ONCE = "certificate not verified: certificate has expired"
NOT_YET_AT_ONCE = "certificate not verified: certificate is not yet valid"
EXPIRED, NOT_YET = "certificate has expired", "certificate is not yet valid"
MISMATCH = "name mismatch: wanted 127.0.0.1, certificate is for "
LEAF, ROOT = "cert_accept_self_signed", "ca_accept_self_signed"
OLD, NEW = "cert_accept_expired", "cert_accept_not_yet_valid"


def too_long(depth, limit):
    return f"chain too long: depth {depth}, ssl_cert_verify_depth is {limit}"


# Found out with 2.2: (what the server shows, ca_file, depth, flags, outcome).
OUTGOING = [
    ("leaf", "ca", 9, [], OK),
    ("leaf", "", 9, [], UNKNOWN),
    ("leaf", "other ca", 9, [], UNKNOWN),
    ("leaf", "", 9, [LEAF], UNKNOWN),
    ("leaf", "", 9, [ROOT], UNKNOWN),
    ("leaf", "", 9, [LEAF, ROOT], UNKNOWN),
    ("leaf", "ca", 9, [LEAF, ROOT], OK),
    ("leaf", "", 9, ["no_cert_verify"], OK),
    ("leaf", "", 9, ["no_cert_verify", LEAF], OK),
    ("leaf, ca", "", 9, [], SELF_SIGNED_ROOT),
    ("leaf, ca", "", 9, [ROOT], OK),
    ("leaf, ca", "", 9, [LEAF], SELF_SIGNED_ROOT),
    ("leaf, ca", "other ca", 9, [ROOT], OK),
    ("forged, ca", "", 9, [ROOT], "certificate not verified: certificate signature failure"),
    ("below 1", "ca", 9, [], UNKNOWN),
    ("below 1", "ca", 9, [ROOT], UNKNOWN),
    ("below 1, chain", "ca", 9, [], OK),
    ("below 1, chain", "", 9, [ROOT], UNKNOWN),
    ("below 1, chain", "intermediate ca", 9, [], UNKNOWN_ABOVE),
    ("below 1", "intermediate ca", 9, [ROOT], UNKNOWN_ABOVE),
    ("self-signed", "", 9, [], SELF_SIGNED),
    ("self-signed", "", 9, [LEAF], OK),
    ("self-signed", "", 9, [ROOT], SELF_SIGNED),
    ("self-signed", "ca", 9, [LEAF], OK),
    ("self-signed", "self-signed", 9, [], OK),
    ("self-signed ca", "", 9, [LEAF], OK),
    ("self-signed ca", "self-signed ca", 9, [], OK),
    ("self-signed, expired", "", 9, [LEAF], EXPIRED),
    ("self-signed, expired", "", 9, [LEAF, OLD], OK),
    ("self-signed, expired", "self-signed, expired", 9, [OLD], OK),
    ("expired", "ca", 9, [], EXPIRED_AT_ONCE),
    ("expired", "ca", 9, [OLD], OK),
    ("expired", "ca", 9, [NEW], EXPIRED),
    ("expired", "", 9, [OLD], UNKNOWN),
    ("expired", "ca", 9, ["no_cert_verify"], OK),
    ("not yet", "ca", 9, [], NOT_YET_AT_ONCE),
    ("not yet", "ca", 9, [NEW], OK),
    ("not yet", "ca", 9, [OLD], NOT_YET),
    ("expired ca, leaf", "expired ca", 9, [], EXPIRED_AT_ONCE),
    ("expired ca, leaf", "expired ca", 9, [OLD], OK),
    ("expired ca, leaf", "", 9, [ROOT], EXPIRED),
    ("expired ca, leaf", "", 9, [ROOT, OLD], OK),
    ("leaf", "ca", 0, [], too_long(1, 0)),
    ("leaf", "ca", 1, [], OK),
    ("self-signed", "", 0, [LEAF], OK),
    ("below 2, chain", "ca", 2, [], too_long(3, 2)),
    ("below 2, chain", "ca", 3, [], OK),
    ("below 2, chain", "ca", 0, ["no_cert_verify"], OK),
    ("below 2, chain, ca", "", 2, [ROOT], too_long(3, 2)),
    ("below 2, chain, ca", "", 3, [ROOT], OK),
]


@pytest.mark.parametrize(("shown", "ca_file", "depth", "flags", "outcome"), OUTGOING)
def test_real_servers_certificate_is_judged_as_by_2_2(
    pki, given, shown, ca_file, depth, flags, outcome
):
    to = outgoing(given(*flags, ca_file=ca_file, cert_verify_depth=depth))
    result = connect(to, server_context(pki.file(shown)))
    assert result.startswith(outcome) if outcome is OK else result == outcome


@pytest.mark.parametrize(
    ("shown", "server_name", "flags", "outcome"),
    [
        ("for names", "mail.example.org", [], OK),
        ("for names", "Mail.Example.ORG.", [], OK),
        ("for names", HOST, [], OK),
        ("for names", "label", [], "name mismatch: wanted label, certificate is for "),
        ("for names", "a..b", [], "name mismatch: wanted a..b, certificate is for "),
        ("for names", "www\0.org", [], "name mismatch: wanted www\0.org, certificate is for "),
        ("for names", "label", ["no_cn_verify"], OK),
        ("for names", "label", ["no_cert_verify"], "name mismatch: wanted label, "),
        ("for names", "label", ["no_cert_verify", "no_cn_verify"], OK),
        ("for names", HOST, ["no_cert_verify", "san_only"], OK),
        ("leaf", HOST, ["san_only"], MISMATCH + HOST),
        ("broken name", HOST, [], "the certificate cannot be decoded: "),
        ("broken name", HOST, ["no_cert_verify", "no_cn_verify"], OK),
    ],
)
def test_real_servers_name_is_checked(pki, given, shown, server_name, flags, outcome):
    to = outgoing(given(*flags, ca_file="ca"))
    assert connect(to, server_context(pki.file(shown)), server_name).startswith(outcome)


def test_mismatch_says_what_the_certificate_is_for(pki, given):
    to = outgoing(given(ca_file="ca"))
    assert connect(to, server_context(pki.file("for names")), "label") == (
        "name mismatch: wanted label, certificate is for mail.example.org, 127.0.0.1"
    )


@pytest.mark.parametrize(
    ("server_name", "sent"),
    [
        ("Mail.Example.org.", "mail.example.org"),
        ("müller.example.org", "xn--mller-kva.example.org"),
        ("in_house", "in_house"),
        ("127.0.0.1", None),
        ("::1", None),
        ("a b", None),
        ("x" * 64, None),
    ],
)
def test_names_are_sent_as_sni_and_addresses_are_not(pki, given, server_name, sent):
    seen = []
    context = server_context(pki.file("leaf"))
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    assert connect(outgoing(given("no_cert_verify", "no_cn_verify")), context, server_name)
    assert seen == [sent]


def test_authorities_in_a_directory_are_found(pki, given, tmp_path):
    (tmp_path / hashed_name(pki.ca)).write_bytes(certificates_pem(pki.ca))
    (tmp_path / "deadbeef.0").write_text("no certificate")
    (tmp_path / "README").write_text("no certificate")
    context = server_context(pki.file("leaf"))
    for flags in [], [LEAF]:
        assert connect(outgoing(given(*flags, ca_path=str(tmp_path))), context).startswith(OK)


def test_authorities_are_read_at_the_start(pki, given, tmp_path):
    directory = tmp_path / "ca"
    directory.mkdir()
    (directory / hashed_name(pki.ca)).write_bytes(certificates_pem(pki.ca))
    to = outgoing(given(ca_path=str(directory)))
    shutil.rmtree(directory)
    assert connect(to, server_context(pki.file("leaf"))).startswith(OK)


def test_authority_that_is_added_to_the_directory_later_is_found(pki, given, tmp_path):
    to, context = outgoing(given(ca_path=str(tmp_path))), server_context(pki.file("leaf"))
    assert connect(to, context) == UNKNOWN
    (tmp_path / hashed_name(pki.ca)).write_bytes(certificates_pem(pki.ca))
    assert connect(to, context).startswith(OK)


def test_directory_of_authorities_need_not_exist(pki, given):
    to = outgoing(given(ca_file="ca", ca_path="/nonexistent/"))
    assert connect(to, server_context(pki.file("leaf"))).startswith(OK)


@pytest.mark.parametrize("flags", [[], [LEAF]])
@pytest.mark.parametrize(("ca_path", "shown"), [("", "(null)"), ("/nonexistent/", "/nonexistent/")])
def test_unreadable_authorities_fail_each_connection_and_not_the_start(
    given, flags, ca_path, shown
):
    to = outgoing(given(*flags, ca_file="/nonexistent", ca_path=ca_path))
    assert to.warnings == (
        "ssl_ca_file /nonexistent: there is no such file: check its name; "
        "until then every TLS connection to a real server fails",
    )
    ours, theirs = connected()
    with theirs, pytest.raises(TlsFailed, match="no certificate authorities") as failure:
        to.wrap(ours, HOST)
    assert failure.value.log_lines == (
        f'Error loading certificate authority: file="/nonexistent" path="{shown}"',
    )
    assert ours.fileno() == -1


def test_unreadable_authorities_do_not_matter_without_verification(pki, given):
    to = outgoing(given("no_cert_verify", ca_file="/nonexistent"))
    assert to.warnings == ()
    assert connect(to, server_context(pki.file("leaf"))).startswith(OK)


@pytest.mark.parametrize("flag", [LEAF, ROOT])
def test_accepting_self_signed_certificates_needs_pyopenssl(given, monkeypatch, flag):
    monkeypatch.setitem(sys.modules, "OpenSSL", None)
    outgoing(given(OLD, NEW, "no_cn_verify"))
    with pytest.raises(TlsSetupError, match=r"python3-openssl.*pyOpenSSL") as failure:
        outgoing(given(flag))
    assert failure.value.log_lines == (OUTGOING_FAILED,)


@pytest.mark.parametrize(
    ("flags", "outcome"),
    [
        ([], "the real server showed no certificate"),
        (["no_cert_verify"], "the real server showed no certificate"),
        (["no_cn_verify"], "the real server showed no certificate"),
        (["no_cert_verify", "no_cn_verify"], "TLSv1.2 AECDH-AES128-SHA"),
    ],
)
def test_anonymous_server_is_refused_where_anything_is_verified(given, flags, outcome):
    ciphers = "AECDH-AES128-SHA:@SECLEVEL=0"
    context = server_context("", ciphers=ciphers, highest=ssl.TLSVersion.TLSv1_2)
    assert connect(outgoing(given(*flags, outgoing_ciphers=ciphers)), context) == outcome


# --- handshakes that come to nothing ------------------------------------------------------------


def test_peer_without_tls_is_a_protocol_error(given):
    ours, theirs = connected()
    theirs.sendall(b"* OK IMAP4 ready\r\n")
    with theirs, pytest.raises(TlsFailed, match="protocol error: wrong version number"):
        outgoing(given()).wrap(ours, HOST)
    assert ours.fileno() == -1


def test_peer_that_leaves_is_a_failure(given):
    ours, theirs = connected()
    theirs.close()
    with pytest.raises(TlsFailed):
        outgoing(given()).wrap(ours, HOST)
    assert ours.fileno() == -1


def test_peer_that_has_reset_the_connection_is_a_failure(listening):
    with socket.create_server((HOST, 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    with pytest.raises(TlsFailed, match="connection lost in the handshake: "):
        listening().wrap(ours)
    assert ours.fileno() == -1


def test_silent_peer_is_left_after_the_sockets_timeout(given):
    ours, theirs = connected()
    ours.settimeout(0.01)
    with theirs, pytest.raises(TlsFailed, match="the handshake took too long"):
        outgoing(given()).wrap(ours, HOST)
    assert ours.fileno() == -1


def test_surprise_in_a_check_closes_the_socket(pki, given, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    to = outgoing(given(ca_file="ca"))
    monkeypatch.setattr(tls.time, "time", interrupt)
    ours, theirs = connected()
    with (
        theirs,
        in_thread(serve, server_context(pki.file("leaf")), theirs),
        pytest.raises(KeyboardInterrupt),
    ):
        to.wrap(ours, HOST)
    assert ours.fileno() == -1


# --- clients -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "ca_file", "depth", "flags", "outcome"),
    [
        ("", "ca", 9, [], OK),
        ("client", "ca", 9, [], OK),
        ("client", "", 9, [], UNKNOWN),
        ("client", "", 9, ["no_cert_verify"], OK),
        ("client", "", 9, ["no_client_cert_verify"], OK),
        ("self-signed", "ca", 9, [], SELF_SIGNED),
        ("self-signed", "ca", 9, [LEAF], OK),
        ("client, ca", "", 9, [], SELF_SIGNED_ROOT),
        ("client, ca", "", 9, [ROOT], OK),
        ("expired", "ca", 9, [], EXPIRED_AT_ONCE),
        ("expired", "ca", 9, [OLD], OK),
        ("expired", "ca", 9, [NEW], EXPIRED),
        ("not yet", "ca", 9, [NEW], OK),
        ("not yet", "ca", 9, [OLD], NOT_YET),
        ("below 2, chain", "ca", 2, [], too_long(3, 2)),
        ("below 2, chain", "ca", 3, [], OK),
    ],
)
def test_clients_certificate_is_judged_as_by_2_2(
    pki, listening, shown, ca_file, depth, flags, outcome
):
    on = listening(*flags, ca_file=ca_file, cert_verify_depth=depth)
    assert accept(on, client_context(pki.file(shown))).startswith(outcome)


def test_clients_certificate_is_described(pki, listening):
    assert accept(listening(ca_file="ca"), client_context(pki.file("client"))) == (
        "TLSv1.3 TLS_AES_256_GCM_SHA384, subject commonName=client, issuer commonName=CA"
    )


def test_certificate_that_cannot_be_decoded_is_described(pki, given):
    to = outgoing(given("no_cert_verify", "no_cn_verify"))
    assert connect(to, server_context(pki.file("broken name"))).endswith(
        ", a certificate that cannot be decoded"
    )


def test_authorities_for_clients_may_be_in_the_chain_file(pki, listening):
    on = listening(ca_chain_file="ca")
    assert accept(on, client_context(pki.file("client"))).startswith(OK)


def test_chain_file_completes_the_chain_that_clients_are_sent(pki, given, listening):
    to = outgoing(given(ca_file="ca"))
    files = {"cert_file": "below 1", "key_file": "below 1"}
    assert connect(to, listening(**files).context) == UNKNOWN
    assert connect(to, listening(**files, ca_chain_file="intermediate ca").context).startswith(OK)


# --- versions, ciphers, session tickets ------------------------------------------------------------


@pytest.mark.parametrize(
    ("lowest", "highest", "spoken"),
    [
        ("tlsv1", "tlsv1", "TLSv1"),
        ("tlsv1.1", "TLSv1.1", "TLSv1.1"),
        ("sslv3", "tlsv1", "TLSv1"),
        ("tlsv1.2", "tlsv1.2", "TLSv1.2"),
        ("tlsv1.3", "", "TLSv1.3"),
        ("tlsv1", "", "TLSv1.3"),
        ("", "", "TLSv1.3"),
    ],
)
def test_versions_are_spoken_when_asked_for(given, listening, lowest, highest, spoken):
    on = listening(listen_min_proto_version=lowest, listen_max_proto_version=highest)
    to = outgoing(
        given(ca_file="ca", outgoing_min_proto_version=lowest, outgoing_max_proto_version=highest)
    )
    assert connect(to, on.context).split()[0] == spoken


@pytest.mark.parametrize("version", ["tlsv1", "tlsv1.1"])
def test_old_version_is_refused_unless_asked_for(given, listening, version):
    to = outgoing(
        given(ca_file="ca", outgoing_min_proto_version=version, outgoing_max_proto_version=version)
    )
    assert connect(to, listening().context).startswith("protocol error: ")


def test_old_versions_leave_the_level_that_the_operator_chose(given, listening):
    old = {"listen_min_proto_version": "tlsv1", "listen_max_proto_version": "tlsv1"}
    on = listening(**old, listen_ciphers="DEFAULT:@SECLEVEL=2")
    to = outgoing(given(ca_file="ca", outgoing_min_proto_version="tlsv1"))
    assert connect(to, on.context).startswith("protocol error: ")


def test_ciphers_are_the_ones_asked_for(given, listening):
    name = "ECDHE-ECDSA-CHACHA20-POLY1305"
    on = listening(listen_ciphers=name, listen_max_proto_version="tlsv1.2")
    assert connect(outgoing(given(ca_file="ca")), on.context).startswith(f"TLSv1.2 {name},")


@pytest.mark.parametrize("flags", [[], ["no_cipher_server_preference"]])
def test_order_of_ciphers_is_the_servers_unless_told(given, listening, flags):
    first, second = "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"
    on = listening(*flags, listen_ciphers=f"{first}:{second}", listen_max_proto_version="tlsv1.2")
    to = outgoing(given(ca_file="ca", outgoing_ciphers=f"{second}:{first}"))
    assert connect(to, on.context).split()[1].rstrip(",") == (second if flags else first)


@pytest.mark.parametrize("side", ["context", "outgoing"])
def test_neither_compression_nor_renegotiation_is_allowed(given, listening, side):
    context = listening().context if side == "context" else outgoing(given()).context
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_deprecation_of_old_versions_does_not_reach_the_operator(given):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        outgoing(given(outgoing_min_proto_version="tlsv1"))
    assert seen == []


@pytest.mark.parametrize("highest", ["tlsv1.2", "tlsv1.3"])
def test_session_is_resumed_in_another_process(listening, highest):
    on, context = listening(listen_max_proto_version=highest), client_context()
    session = None
    for reused in False, True:
        ours, theirs = connected()
        child = os.fork()
        if not child:
            theirs.close()
            with contextlib.suppress(TlsFailed, OSError), on.wrap(ours) as connection:
                connection.sendall(b"*")
                connection.recv(1)
            os._exit(0)
        ours.close()
        seen = []
        use(context, theirs, seen, session=session)
        assert os.waitpid(child, 0)[1] == 0
        [(session, was_reused)] = seen
        assert was_reused is reused


def test_session_with_a_clients_certificate_is_resumed(pki, listening):
    on, context = listening(ca_file="ca"), client_context(pki.file("client"))
    session = None
    for reused in False, True:
        ours, theirs = connected()
        seen = []
        client = threading.Thread(
            target=use, args=(context, theirs, seen), kwargs={"session": session}
        )
        client.start()
        with on.wrap(ours) as connection:
            connection.sendall(b"*")
            client.join(TIMEOUT)
        [(session, was_reused)] = seen
        assert was_reused is reused


# --- our own files -------------------------------------------------------------------------------

MISSING = "there is no such file: check its name"
CHAIN = 'Error loading certificate chain file "{}"'
KEY = 'Error loading private key file "{}"'
DH_OPEN = 'Error opening Diffie-Hellman parameters file "{}"'
DH_READ = 'Error reading Diffie-Hellman parameters from file "{}"'
CA = 'Error loading certificate authority: file="{}" path="(null)"'


@pytest.mark.parametrize(
    ("option", "name", "message", "log_line"),
    [
        ("cert_file", "/nonexistent", MISSING, CHAIN),
        ("cert_file", "/", "cannot be read: Is a directory", CHAIN),
        ("cert_file", "/etc/passwd", "no certificate in PEM form", CHAIN),
        ("cert_file", "rsa 1024", "its key is too small.*2048 bits", CHAIN),
        ("cert_file", "sha-1", "its signature is too weak.*SHA-256", CHAIN),
        ("key_file", "/nonexistent", MISSING, KEY),
        ("key_file", "/", "cannot be read: Is a directory", KEY),
        ("key_file", "ca", "no private key in PEM form", KEY),
        ("key_file", "client", "does not belong to the certificate in /", KEY),
        ("key_file", "rsa", "does not belong to the certificate in /", KEY),
        ("ca_file", "/nonexistent", MISSING, CA),
        ("ca_file", "/etc/passwd", "no certificate in PEM form", CA),
        ("dh_params_file", "/nonexistent", MISSING, DH_OPEN),
        ("dh_params_file", "leaf", "no Diffie-Hellman parameters in it", DH_READ),
    ],
)
def test_start_names_the_file_and_what_is_wrong_with_it(
    given, listening, option, name, message, log_line
):
    path = getattr(given(**{option: name}), f"ssl_{option}")
    with pytest.raises(TlsSetupError, match=f"^ssl_{option} {path}: .*{message}") as failure:
        listening(**{option: name})
    assert failure.value.log_lines == (log_line.format(path), LISTENING_FAILED)
    assert "\n" not in str(failure.value)


def test_missing_chain_file_is_named(listening):
    with pytest.raises(TlsSetupError, match=f"^ssl_ca_chain_file /nonexistent: {MISSING}") as error:
        listening(ca_chain_file="/nonexistent")
    assert error.value.log_lines == (LISTENING_FAILED,)


def test_damaged_key_is_named(listening, tmp_path):
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(TlsSetupError, match="OpenSSL cannot use the private key in it: damaged"):
        listening(key_file=str(key))


@pytest.fixture
def open_directory():
    """A directory that every user may look into; the ones of `tmp_path` are closed."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.mark.parametrize("option", ["cert_file", "key_file"])
def test_file_that_this_user_may_not_read_is_named(given, pki, open_directory, option):
    files = {"cert_file": open_directory / "cert.pem", "key_file": open_directory / "key.pem"}
    for path in files.values():
        shutil.copy(pki.file("leaf"), path)
        path.chmod(0o644)
    files[option].chmod(0)
    settings = given(**{name: str(path) for name, path in files.items()})
    user = os.geteuid()
    with contextlib.ExitStack() as stack:
        if user == 0:
            os.seteuid(65534)
            stack.callback(os.seteuid, user)
        match = f"ssl_{option} {files[option]}: user {os.geteuid()} may not read it: check"
        with pytest.raises(TlsSetupError, match=match):
            listening_context(settings)


def test_small_key_is_the_operators_to_allow(listening):
    files = {"cert_file": "rsa 1024", "key_file": "rsa 1024"}
    listening(**files, listen_ciphers="DEFAULT:@SECLEVEL=1")


def test_old_versions_do_not_let_a_small_key_in(listening):
    files = {"cert_file": "rsa 1024", "key_file": "rsa 1024"}
    with pytest.raises(TlsSetupError, match="its key is too small"):
        listening(**files, listen_min_proto_version="tlsv1")


def test_unknown_ciphers_towards_clients_are_refused(listening):
    match = "^ssl_listen_ciphers 'rubbish': OpenSSL knows no such ciphers"
    with pytest.raises(TlsSetupError, match=match) as failure:
        listening(listen_ciphers="rubbish")
    assert failure.value.log_lines == (LISTENING_FAILED,)


def test_unknown_ciphers_towards_real_servers_are_refused(given):
    match = "^ssl_outgoing_ciphers 'rubbish': OpenSSL knows no such ciphers"
    with pytest.raises(TlsSetupError, match=match) as failure:
        outgoing(given(outgoing_ciphers="rubbish"))
    assert failure.value.log_lines == (OUTGOING_FAILED,)


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("leaf", None),
        ("expired", r"certificate has expired \(valid from .* to .*\): clients will refuse it"),
        ("not yet", r"certificate is not yet valid \(valid from .*\): clients will refuse it"),
        ("broken name", "cannot be decoded: "),
    ],
)
def test_own_certificate_out_of_its_time_warns_and_does_not_stop_the_start(
    listening, name, warning
):
    on = listening(cert_file=name, key_file=name)
    assert on.notes == ()
    if warning is None:
        assert on.warnings == ()
    else:
        [text] = on.warnings
        assert re.match(f"ssl_cert_file .*: {warning}", text)


def test_dh_parameters_are_loaded_and_noted(given, listening, pki):
    files = {"cert_file": "rsa", "key_file": "rsa", "dh_params_file": "dh"}
    on = listening(**files, listen_max_proto_version="tlsv1.2")
    assert on.notes == (f'Loaded Diffie-Hellman parameters: "{pki.file("dh")}"',)
    to = outgoing(given("no_cn_verify", ca_file="ca", outgoing_ciphers="DHE-RSA-AES128-GCM-SHA256"))
    assert connect(to, on.context).startswith("TLSv1.2 DHE-RSA-AES128-GCM-SHA256,")


def test_dh_parameters_in_the_certificates_file_are_loaded(listening, pki, tmp_path):
    path = tmp_path / "both.pem"
    path.write_bytes(Path(pki.file("leaf")).read_bytes() + Path(pki.file("dh")).read_bytes())
    on = listening(cert_file=str(path))
    assert on.notes == (f'Loaded Diffie-Hellman parameters: "{path}"',)


def test_dh_parameters_that_are_too_small_do_not_stop_the_start(listening, pki):
    on = listening(dh_params_file="small dh")
    assert on.notes == ()
    assert on.warnings == (f'Error loading Diffie-Hellman parameters: "{pki.file("small dh")}"',)


# --- the pass phrase -----------------------------------------------------------------------------


@pytest.fixture
def phrase(tmp_path):
    def write(content):
        path = tmp_path / "phrase"
        path.write_bytes(content)
        return str(path)

    return write


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\r", b"\nmore\n"])
def test_passphrase_is_the_first_line_of_its_file(listening, phrase, ending):
    listening(key_file="encrypted key", passphrase_file=phrase(PASSPHRASE + ending))


def test_passphrase_is_read_from_a_descriptor_up_to_the_line(listening):
    read, write = os.pipe()
    try:
        # Left open: a reader that waits for the end would wait forever.
        os.write(write, PASSPHRASE + b"\n")
        listening(key_file="encrypted key", passphrase_fd=read)
    finally:
        os.close(read)
        os.close(write)


def test_passphrase_is_asked_for_on_a_terminal_without_echo(listening, pki, monkeypatch):
    master, terminal = pty.openpty()
    echo = []

    class Stderr(io.StringIO):
        def write(self, text):
            if text.startswith("Passphrase"):
                echo.append(bool(termios.tcgetattr(terminal)[3] & termios.ECHO))
                os.write(master, PASSPHRASE + b"\n")
            return super().write(text)

    stderr = Stderr()
    monkeypatch.setattr(sys, "stderr", stderr)
    try:
        before = termios.tcgetattr(terminal)
        listening(key_file="encrypted key", passphrase_fd=terminal)
        assert termios.tcgetattr(terminal) == before
    finally:
        os.close(master)
        os.close(terminal)
    assert echo == [False]
    assert stderr.getvalue() == f"Passphrase for {pki.file('encrypted key')}: \n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"wrong\n", "the pass phrase is wrong"),
        (b"\n", "it is encrypted and there is no pass phrase"),
        (b"", "it is encrypted and there is no pass phrase"),
        (b"x" * 5000, "the pass phrase is wrong"),
    ],
)
def test_bad_passphrase_is_named_and_not_shown(listening, pki, phrase, content, message):
    key = pki.file("encrypted key")
    with pytest.raises(TlsSetupError, match=f"^ssl_key_file {key}: {message}") as failure:
        listening(key_file="encrypted key", passphrase_file=phrase(content))
    assert failure.value.log_lines == (KEY.format(key), LISTENING_FAILED)
    assert "wrong\n" not in str(failure.value)


def test_descriptor_that_is_not_open_gives_no_passphrase(listening):
    with pytest.raises(TlsSetupError, match="there is no pass phrase"):
        listening(key_file="encrypted key", passphrase_fd=10_000)


def test_missing_passphrase_file_is_named(listening):
    match = f"^ssl_passphrase_file /nonexistent: {MISSING}"
    with pytest.raises(TlsSetupError, match=match) as failure:
        listening(key_file="encrypted key", passphrase_file="/nonexistent")
    assert failure.value.log_lines == (LISTENING_FAILED,)


def test_passphrase_is_not_read_for_a_key_that_needs_none(listening):
    listening(passphrase_file="/nonexistent")
