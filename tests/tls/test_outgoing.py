"""The real server's certificate, and handshakes that come to nothing."""

import contextlib
import shutil
import socket
import ssl
import struct
import sys
import threading
import time

import pytest

from perdition.patience import Patience
from perdition.session.channel import Channel
from perdition.tls import OUTGOING_FAILED, TlsFailed, TlsSetupError, chains
from perdition.tls.outgoing import outgoing
from support.certificates import certificates_pem, hashed_name
from tls.conftest import (
    EXPIRED,
    EXPIRED_AT_ONCE,
    HOST,
    LEAF,
    MISMATCH,
    NEW,
    NOT_YET,
    NOT_YET_AT_ONCE,
    OK,
    OLD,
    ROOT,
    SELF_SIGNED,
    SELF_SIGNED_ROOT,
    UNKNOWN,
    UNKNOWN_ABOVE,
    connect,
    connected,
    in_thread,
    serve,
    server_context,
    start,
    too_long,
)

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


def test_a_root_that_one_server_sends_is_not_trusted_from_another(pki, given):
    to = outgoing(given(ROOT, ca_file=""))
    assert connect(to, server_context(pki.file("leaf, ca"))).startswith(OK)
    assert connect(to, server_context(pki.file("leaf"))) == UNKNOWN


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
        ("leaf", HOST, ["san_only"], MISMATCH + HOST + " as its common name alone, which ssl_san"),
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
        ("x." * 127 + "org", None),
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
        start(to, ours)
    assert failure.value.log_lines == (
        f'Error loading certificate authority: file="/nonexistent" path="{shown}"',
    )


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


def test_peer_without_tls_is_a_protocol_error(given):
    ours, theirs = connected()
    theirs.sendall(b"* OK IMAP4 ready\r\n")
    with theirs, pytest.raises(TlsFailed, match="protocol error: wrong version number"):
        start(outgoing(given()), ours)


def test_peer_that_leaves_is_a_failure(given):
    ours, theirs = connected()
    theirs.close()
    with pytest.raises(TlsFailed):
        start(outgoing(given()), ours)


def test_peer_that_has_reset_the_connection_is_a_failure(listening):
    with socket.create_server((HOST, 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    with pytest.raises(TlsFailed, match="connection lost in the handshake: "):
        start(listening(), ours)


def test_silent_peer_is_left_when_the_wait_is_over(given):
    ours, theirs = connected()
    ours.settimeout(None)
    patience = Patience(ours.fileno(), 0)
    channel = Channel(ours, patience, timeout=5)
    over = threading.Event()

    def look_after():
        while not over.wait(0.01):
            patience.check(time.monotonic() + 5)

    with contextlib.closing(channel), theirs, in_thread(look_after):
        try:
            with pytest.raises(TlsFailed, match="the handshake took too long"):
                channel.start_tls(outgoing(given()), HOST, implicit=True)
        finally:
            over.set()


def test_surprise_in_a_check_closes_the_socket(pki, given, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    to = outgoing(given(OLD, ca_file="ca"))
    monkeypatch.setattr(chains.time, "time", interrupt)
    ours, theirs = connected()
    with (
        theirs,
        in_thread(serve, server_context(pki.file("leaf")), theirs),
        pytest.raises(KeyboardInterrupt),
    ):
        start(to, ours)
