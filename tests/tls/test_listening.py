"""Clients and their certificates; versions, ciphers and session tickets."""

import contextlib
import os
import socket
import ssl
import threading
import warnings

import pytest

from perdition.session.channel import PeerGone
from perdition.tls import CertificateRefused, TlsFailed, chains
from perdition.tls.outgoing import outgoing
from tls.conftest import (
    EXPIRED,
    EXPIRED_AT_ONCE,
    LEAF,
    NEW,
    NOT_YET,
    OK,
    OLD,
    ROOT,
    SELF_SIGNED,
    SELF_SIGNED_ROOT,
    TIMEOUT,
    UNKNOWN,
    accept,
    client_context,
    connect,
    connected,
    in_thread,
    say,
    speaking,
    start,
    too_long,
    use,
)


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


def test_authorities_for_clients_may_be_in_the_chain_file(pki, listening):
    on = listening(ca_chain_file="ca")
    assert accept(on, client_context(pki.file("client"))).startswith(OK)


def test_chain_file_completes_the_chain_that_clients_are_sent(pki, given, listening):
    to = outgoing(given(ca_file="ca"))
    files = {"cert_file": "below 1", "key_file": "below 1"}
    assert connect(to, listening(**files).context) == UNKNOWN
    assert connect(to, listening(**files, ca_chain_file="intermediate ca").context).startswith(OK)


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
    # OpenSSL 3.5 goes before it has read what the other side says.
    lost = ("protocol error: ", "connection lost in the handshake: ")
    assert connect(to, on.context).startswith(lost)


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
            with contextlib.suppress(TlsFailed, PeerGone), speaking(on, ours) as channel:
                say(channel, b"*")
                channel.receive()
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
        with speaking(on, ours) as channel:
            say(channel, b"*")
            client.join(TIMEOUT)
        [(session, was_reused)] = seen
        assert was_reused is reused


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
REFUSED = [("client", {"cert_verify_depth": 0}, []), ("expired", {}, [NEW])]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("shown", "options", "flags"), REFUSED)
def test_who_is_refused_after_the_handshake_gets_no_ticket(
    pki, listening, version, shown, options, flags
):
    on = listening(*flags, ca_file="ca", **options)
    context, sessions = client_context(pki.file(shown)), []
    context.maximum_version = version

    def shake(sock):
        with context.wrap_socket(sock, do_handshake_on_connect=False) as client:
            with contextlib.suppress(OSError):
                client.do_handshake()
                client.recv(1)
            sessions.append(client.session)

    ours, theirs = connected()
    with theirs, in_thread(shake, theirs), pytest.raises(CertificateRefused):
        start(on, ours)
    [session] = sessions
    assert session is None or not session.has_ticket


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_comes_with_the_first_words(listening, version):
    context, seen, spoken = client_context(), [], threading.Event()
    context.maximum_version = version
    ours, theirs = connected()

    def shake(sock):
        with context.wrap_socket(sock) as client:
            watched.shutdown(socket.SHUT_WR)
            spoken.wait(TIMEOUT)
            seen.append((client.recv(1), client.session.has_ticket))

    with (
        theirs.dup() as watched,
        in_thread(shake, theirs),
        speaking(listening(), ours) as channel,
    ):
        with pytest.raises(PeerGone):
            channel.receive()
        watched.setblocking(False)
        with pytest.raises(BlockingIOError):
            watched.recv(1)
        say(channel, b"*")
        spoken.set()
    assert seen == [(b"*", True)]


class Kept:
    """TLS with clients, of which what was not sent stays at hand."""

    def __init__(self, tls):
        self.tls, self.check, self.user = tls, tls.check, tls.user

    def start(self, name):
        self.stream = self.tls.start(name)
        return self.stream


@pytest.mark.parametrize(("shown", "options", "flags"), REFUSED)
def test_nor_can_it_come_back_by_the_number_of_its_session(pki, listening, shown, options, flags):
    on = Kept(listening(*flags, ca_file="ca", **options))
    context, session, reused = client_context(pki.file(shown)), None, []
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.Options.OP_NO_TICKET
    for _ in range(2):
        ours, theirs = connected()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(incoming, outgoing, session=session)

        def shake(sock, client=client, incoming=incoming, outgoing=outgoing):
            is_told = True
            while is_told:
                with contextlib.suppress(ssl.SSLWantReadError):
                    client.do_handshake()
                sock.sendall(outgoing.read())
                is_told = incoming.write(sock.recv(65536))

        with theirs, in_thread(shake, theirs), pytest.raises(CertificateRefused):
            start(on, ours)
        # It knows the keys, and needs none of the octets that it is not given.
        incoming.write(on.stream.take())
        client.do_handshake()
        session = client.session
        reused.append(client.session_reused)
    assert session.id
    assert reused == [False, False]


def test_a_certificate_that_expires_ends_its_session(pki, listening, monkeypatch):
    on, context = listening(ca_file="ca"), client_context(pki.file("client"))
    session = None
    for _ in range(2):
        ours, theirs = connected()
        seen = []
        with in_thread(use, context, theirs, seen, session), speaking(on, ours) as channel:
            say(channel, b"*")
        [(session, _)] = seen
    now = chains.time.time() + 3650 * 86400
    monkeypatch.setattr(chains.time, "time", lambda: now)
    ours, theirs = connected()
    with (
        in_thread(use, context, theirs, None, session),
        pytest.raises(CertificateRefused, match=EXPIRED),
    ):
        start(on, ours)
