"""Contexts from options and real handshakes, with certificates of every kind."""

import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass

import pytest

from perdition.patience import Patience
from perdition.protocols.wire import Wire
from perdition.session.channel import Channel
from perdition.tls import TlsFailed
from perdition.tls.chains import presented
from perdition.tls.listening import listening_context
from support.certificates import Pki

HOST = "127.0.0.1"
TIMEOUT = 10
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
MISSING = "there is no such file: check its name"
KEY = 'Error loading private key file "{}"'


def too_long(depth, limit):
    return f"chain too long: depth {depth}, ssl_cert_verify_depth is {limit}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options that TLS looks at; the files are names for `Pki.file`, made paths by `given`."""

    protocol: str = "IMAP4"
    ssl_ca_accept_self_signed: bool = False
    ssl_ca_chain_file: str = ""
    ssl_ca_file: str = ""
    ssl_ca_path: str = ""
    ssl_cert_accept_expired: bool = False
    ssl_cert_accept_not_yet_valid: bool = False
    ssl_cert_accept_self_signed: bool = False
    ssl_cert_file: str = ""
    ssl_cert_verify_depth: int = 9
    ssl_client_cert_user: str = ""
    ssl_crl_file: str = ""
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
    ssl_sni_certs: tuple[str, ...] = ()


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
        protocol = values.pop("protocol", "IMAP4")
        named = {f"ssl_{option}": value for option, value in values.items()}
        return Settings(protocol=protocol, **named)

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


def use(context, sock, seen=None, session=None):
    """A client: the handshake, what the server says, the end."""
    with context.wrap_socket(sock, session=session) as client:
        if client.recv(1) and seen is not None:
            seen.append((client.session, client.session_reused))


def server_context(path, *, ciphers="", highest=None, lowest=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if lowest:
        context.minimum_version = lowest
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


@contextlib.contextmanager
def speaking(tls, sock, name=HOST):
    """A channel with TLS on a socket."""
    channel = Channel(sock, Patience(sock.fileno(), 0), timeout=0)
    try:
        channel.start_tls(tls, name, implicit=True)
        yield channel
    finally:
        channel.close()


def start(tls, sock):
    """Start TLS; nothing more."""
    with speaking(tls, sock):
        return


def say(channel, text):
    """Say a line."""
    wire = Wire()
    wire.say(text)
    channel.flush(wire)


def describe(tls):
    """Say what is known of a connection."""
    text = f"{tls.version()} {tls.cipher()[0]}"
    # Some certificates cannot be decoded.
    with contextlib.suppress(ssl.SSLError, ValueError):
        for info in [certificate.get_info() for certificate in presented(tls)[:1]]:
            for whose in ("subject", "issuer"):
                named = ", ".join(f"{key}={value}" for part in info[whose] for key, value in part)
                text += f", {whose} {named}"
    return text


def connect(to, context, server_name=HOST):
    """Connect to a real server; say what is known of the connection or why there is none."""
    ours, theirs = connected()
    with theirs, in_thread(serve, context, theirs):
        try:
            with speaking(to, ours, server_name) as channel:
                return describe(channel.stream.tls)
        except TlsFailed as failure:
            return failure.reason


def accept(on, context):
    """Accept a client; say what is known of the connection or why there is none."""
    ours, theirs = connected()
    with theirs, in_thread(use, context, theirs):
        try:
            with speaking(on, ours) as channel:
                say(channel, b"*")
                return describe(channel.stream.tls)
        except TlsFailed as failure:
            return failure.reason
