"""TLS: contexts made from the options, and handshakes with what is asked of the peer.

`listening_context` and `outgoing` are for the master: called as root and before it forks, so that
they can read keys and all workers share one key for session tickets. Every file is read then and
not again. 2.2 read the certificate authorities for every connection, as the unprivileged user.
"""

import _ssl
import calendar
import contextlib
import os
import re
import socket
import ssl
import sys
import termios
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from perdition import certificates

if TYPE_CHECKING:
    from OpenSSL.crypto import X509, X509Store

    from perdition.config.options import Options

LISTENING_FAILED = "Fatal error establishing SSL context for listening"
OUTGOING_FAILED = "Fatal error establishing SSL context for outgoing connections"
# The words of ssl_*_proto_version. No library has SSLv3 any more: the lowest there is.
VERSIONS = {
    "sslv3": ssl.TLSVersion.MINIMUM_SUPPORTED,
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}
PASSPHRASE_LIMIT = 1023
# RFC 1123 section 2.1, and the underscore that names in private networks have.
HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")
# From OpenSSL's x509_vfy.h; the ssl module gives them no names.
NO_CHECK_TIME = 0x200000
DEPTH_ZERO_SELF_SIGNED_CERT = 18
SELF_SIGNED_CERT_IN_CHAIN = 19
# What load_cert_chain() says -> what is wrong with the certificate, with the key.
BAD_CERTIFICATE = {
    "EE_KEY_TOO_SMALL": "its key is too small for OpenSSL: make a key of 2048 bits or more "
    "(openssl genrsa 2048) and a new certificate for it",
    "CA_KEY_TOO_SMALL": "the key of a certificate authority in the chain is too small for OpenSSL: "
    "get a certificate from another one",
    "CA_MD_TOO_WEAK": "its signature is too weak for OpenSSL (MD5 or SHA-1): have it signed anew "
    "with SHA-256",
}
MISMATCH = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}


class TlsSetupError(Exception):
    """The options or the files they name make no TLS context.

    The text is one line for the operator; `log_lines` are the lines of 2.2 for the log.
    """

    def __init__(self, message: str, *log_lines: str):
        super().__init__(message)
        self.log_lines = log_lines


class TlsFailed(Exception):
    """A connection got no TLS that satisfies the options.

    The text says which check failed; `log_lines` are lines of 2.2 that come before the caller's.
    """

    def __init__(self, reason: str, *log_lines: str):
        super().__init__(reason)
        self.reason = reason
        self.log_lines = log_lines


class Lifetime(NamedTuple):
    """When a certificate is valid, in seconds since 1970."""

    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of a chain beyond its signatures.

    `depth` is the greatest number of certificates above the peer's own, the root included.
    """

    depth: int = 9
    accept_expired: bool = False
    accept_not_yet_valid: bool = False

    def objection(self, chain: Sequence[Lifetime], now: float) -> str:
        """Say what is wrong with a chain (the peer's own certificate first), "" if nothing."""
        if len(chain) - 1 > self.depth:
            return f"chain too long: depth {len(chain) - 1}, ssl_cert_verify_depth is {self.depth}"
        for lifetime in chain:
            if now < lifetime.begins and not self.accept_not_yet_valid:
                return "certificate is not yet valid"
            if now > lifetime.ends and not self.accept_expired:
                return "certificate has expired"
        return ""


@dataclass(frozen=True, slots=True)
class Listening:
    """TLS towards clients.

    `warnings` are for the operator to read, `notes` are lines for the log (INFO).
    """

    context: ssl.SSLContext
    policy: Policy
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """Do the handshake, within the socket's timeout, and check a client's certificate.

        Raises:
            TlsFailed: no handshake, or a certificate that the options do not allow. The socket
                is closed.
        """
        tls = _handshake(self.context, sock, server_side=True)
        with _checking(tls):
            # No chain: no certificate, or a resumed session whose chain was checked before.
            _check(self.policy, _verified(tls))
        return tls


@dataclass(frozen=True, slots=True)
class OutgoingTls:
    """TLS towards real servers.

    `policy` is None where chains are not looked at (ssl_no_cert_verify), `judge` None where
    OpenSSL verifies them in the handshake. `ca_error` is 2.2's log line about the certificate
    authorities when they could not be read: then every connection fails, as it did there.
    """

    context: ssl.SSLContext
    policy: Policy | None
    judge: "Judge | None"
    check_name: bool
    san_only: bool
    ca_error: str = ""
    warnings: tuple[str, ...] = ()

    def wrap(self, sock: socket.socket, server_name: str) -> ssl.SSLSocket:
        """Do the handshake, within the socket's timeout, and check the real server's certificate.

        Args:
            sock: a connected socket; it is used up, also on failure.
            server_name: name or address of the real server, as the map or the options have it.

        Raises:
            TlsFailed: no handshake, or a certificate that the options do not allow. The socket
                is closed.
        """
        if self.ca_error:
            sock.close()
            raise TlsFailed("no certificate authorities to verify with", self.ca_error)
        tls = _handshake(self.context, sock, _name_for_sni(server_name))
        self.check_peer(tls, server_name)
        return tls

    def check_peer(self, tls: ssl.SSLSocket, server_name: str) -> None:
        """Check what the handshake has not: depth, times, self-signed certificates, the name.

        Raises:
            TlsFailed: the certificate is not allowed by the options. The socket is closed.
        """
        with _checking(tls):
            presented = _presented(tls)
            if not presented and (self.policy or self.check_name):
                raise TlsFailed("the real server showed no certificate")
            if self.policy:
                verified = self.judge.verified(presented) if self.judge else _verified(tls)
                _check(self.policy, verified)
            if self.check_name:
                info = presented[0].get_info()
                if not certificates.matches(server_name, info, san_only=self.san_only):
                    certified = ", ".join(certificates.names_of(info))
                    raise TlsFailed(
                        f"name mismatch: wanted {server_name}, certificate is for {certified}"
                    )


class Judge:
    """Verifies presented chains where self-signed certificates are accepted.

    The ssl module has no verify callback, so that the handshake cannot let some faults pass: it
    lets all pass, and the chain is verified here, with OpenSSL's verifier by way of pyOpenSSL.
    ssl_cert_accept_self_signed stands for a chain of one certificate that signs itself,
    ssl_ca_accept_self_signed for a chain that the server sends up to a root that signs itself.
    Left out, since pyOpenSSL cannot ask for it: the purpose of the certificate (extended key
    usage). Whoever accepts such certificates has no use for it.
    """

    def __init__(self, trusted: Sequence[tuple[str | None, str | None]], tolerated: frozenset[int]):
        self._store = _store()
        for file, directory in trusted:
            self._store.load_locations(file, directory)
        self._tolerated = tolerated

    def verified(self, presented: Sequence[_ssl.Certificate]) -> list[Lifetime]:
        """Verify all but the times, and give these.

        Raises:
            TlsFailed: the chain leads to no certificate that is trusted or tolerated.
        """
        from OpenSSL import crypto  # noqa: PLC0415  needed with two rare options only

        chain = [
            crypto.load_certificate(crypto.FILETYPE_ASN1, item.public_bytes(_ssl.ENCODING_DER))
            for item in presented
        ]
        try:
            found = self._chain(self._store, chain)
        except crypto.X509StoreContextError as error:
            if error.errors[0] not in self._tolerated:
                raise TlsFailed(f"certificate not verified: {error.errors[2]}") from error
            # A store of its own: what one server sent must not be trusted from another.
            store = _store()
            for item, certificate in zip(presented, chain, strict=True):
                info = item.get_info()
                if info["subject"] == info["issuer"]:
                    store.add_cert(certificate)
            try:
                found = self._chain(store, chain)
            except crypto.X509StoreContextError as again:
                raise TlsFailed(f"certificate not verified: {again.errors[2]}") from again
        return [
            Lifetime(_seconds(item.get_notBefore()), _seconds(item.get_notAfter()))
            for item in found
        ]

    @staticmethod
    def _chain(store: "X509Store", chain: "list[X509]") -> "list[X509]":
        from OpenSSL import crypto  # noqa: PLC0415  needed with two rare options only

        return crypto.X509StoreContext(store, chain[0], chain[1:]).get_verified_chain()


def listening_context(options: "Options") -> Listening:
    """Make the context for clients.

    A certificate of our own that has expired or is not yet valid gives a warning and no error:
    2.2 starts with one, and a site that runs must come up after an upgrade.

    The options that accept self-signed certificates cannot be honoured for clients (see Judge;
    the handshake would have to be over before a client could be refused). Nothing is done with
    a client's certificate, so none is asked for then.

    Raises:
        TlsSetupError: something is wrong with the options or the files.
    """
    context = _context(
        ssl.PROTOCOL_TLS_SERVER,
        (options.ssl_listen_min_proto_version, options.ssl_listen_max_proto_version),
        ("ssl_listen_ciphers", options.ssl_listen_ciphers),
        LISTENING_FAILED,
    )
    if options.ssl_no_cipher_server_preference:
        context.options &= ~ssl.Options.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options |= ssl.Options.OP_CIPHER_SERVER_PREFERENCE
    note, warning = _load_dh(context, options)
    _load_own(context, options)
    # Only now: the files above must meet the level of today, whatever old clients get.
    _allow_old(context, options.ssl_listen_min_proto_version, options.ssl_listen_ciphers)
    try:
        _trust(context, options)
    except OSError as error:
        raise TlsSetupError(
            f"ssl_ca_file {options.ssl_ca_file}: {_why(error)}", _ca_line(options), LISTENING_FAILED
        ) from error
    if chain_file := options.ssl_ca_chain_file:
        try:
            context.load_verify_locations(chain_file)
        except OSError as error:
            raise TlsSetupError(
                f"ssl_ca_chain_file {chain_file}: {_why(error)}", LISTENING_FAILED
            ) from error
    asks = not (
        options.ssl_no_cert_verify
        or options.ssl_no_client_cert_verify
        or options.ssl_cert_accept_self_signed
        or options.ssl_ca_accept_self_signed
    )
    context.verify_mode = ssl.CERT_OPTIONAL if asks else ssl.CERT_NONE
    return Listening(
        context,
        _policy(context, options),
        warnings=tuple(filter(None, (warning, _validity_warning(options.ssl_cert_file)))),
        notes=(note,) if note else (),
    )


def outgoing(options: "Options") -> OutgoingTls:
    """Make what is needed for TLS with real servers.

    Certificate authorities that cannot be read give a warning and no error: 2.2 starts with them,
    and serves those users whose real servers are reached without TLS.

    Raises:
        TlsSetupError: the ciphers are unknown, or pyOpenSSL is needed and missing.
    """
    context = _context(
        ssl.PROTOCOL_TLS_CLIENT,
        (options.ssl_outgoing_min_proto_version, options.ssl_outgoing_max_proto_version),
        ("ssl_outgoing_ciphers", options.ssl_outgoing_ciphers),
        OUTGOING_FAILED,
    )
    _allow_old(context, options.ssl_outgoing_min_proto_version, options.ssl_outgoing_ciphers)
    context.check_hostname = False  # certificates.matches() does it
    policy = judge = None
    ca_error = warning = ""
    if options.ssl_no_cert_verify:
        context.verify_mode = ssl.CERT_NONE
    else:
        policy = _policy(context, options)
        try:
            trusted = _trust(context, options)
        except OSError as error:
            ca_error = _ca_line(options)
            trusted = []
            warning = (
                f"ssl_ca_file {options.ssl_ca_file}: {_why(error)}; until then every TLS "
                "connection to a real server fails"
            )
        if tolerated := _tolerated(options):
            context.verify_mode = ssl.CERT_NONE
            judge = Judge(trusted, tolerated)
    return OutgoingTls(
        context,
        policy,
        judge,
        check_name=not options.ssl_no_cn_verify,
        san_only=options.ssl_san_only,
        ca_error=ca_error,
        warnings=(warning,) if warning else (),
    )


def describe(tls: ssl.SSLSocket) -> str:
    """Say what is known of a connection, for the debug log."""
    cipher = tls.cipher()
    text = f"{tls.version()} {cipher[0] if cipher else None}"
    try:
        for info in [certificate.get_info() for certificate in _presented(tls)[:1]]:
            text += f", subject {_distinguished(info['subject'])}"
            text += f", issuer {_distinguished(info['issuer'])}"
    except (ssl.SSLError, ValueError):
        text += ", a certificate that cannot be decoded"
    return text


def _context(
    protocol: int, versions: tuple[str, str], ciphers: tuple[str, str], log_line: str
) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.options |= ssl.Options.OP_NO_COMPRESSION | ssl.Options.OP_NO_RENEGOTIATION
    lowest, highest = versions
    with warnings.catch_warnings():
        # The module calls TLS 1.0 and 1.1 deprecated; the operator asked for them.
        warnings.simplefilter("ignore", DeprecationWarning)
        if lowest:
            context.minimum_version = VERSIONS[lowest.lower()]
        if highest:
            context.maximum_version = VERSIONS[highest.lower()]
    option, wanted = ciphers
    try:
        # "DEFAULT" is OpenSSL's list, as in 2.2; Python's own is shorter than old clients need.
        context.set_ciphers(wanted or "DEFAULT")
    except ssl.SSLError as error:
        raise TlsSetupError(
            f"{option} {wanted!r}: OpenSSL knows no such ciphers; see: openssl ciphers -v", log_line
        ) from error
    return context


def _allow_old(context: ssl.SSLContext, lowest: str, ciphers: str) -> None:
    """Make TLS 1.0 and 1.1 work where they are asked for: OpenSSL 3 has them at level 0 only."""
    if lowest.lower() in {"sslv3", "tlsv1", "tlsv1.1"} and "@SECLEVEL" not in ciphers:
        context.set_ciphers(f"{ciphers or 'DEFAULT'}:@SECLEVEL=0")


def _policy(context: ssl.SSLContext, options: "Options") -> Policy:
    policy = Policy(
        options.ssl_cert_verify_depth,
        options.ssl_cert_accept_expired,
        options.ssl_cert_accept_not_yet_valid,
    )
    if policy.accept_expired or policy.accept_not_yet_valid:
        # OpenSSL has one flag for both: the one that is not accepted is for Policy to find.
        context.verify_flags = ssl.VerifyFlags(context.verify_flags | NO_CHECK_TIME)
    return policy


def _tolerated(options: "Options") -> frozenset[int]:
    tolerated = set()
    if options.ssl_cert_accept_self_signed:
        tolerated.add(DEPTH_ZERO_SELF_SIGNED_CERT)
    if options.ssl_ca_accept_self_signed:
        tolerated.add(SELF_SIGNED_CERT_IN_CHAIN)
    return frozenset(tolerated)


def _trust(context: ssl.SSLContext, options: "Options") -> list[tuple[str | None, str | None]]:
    """Load the certificate authorities and say from which files and directories.

    OpenSSL looks into ssl_ca_path when it needs a certificate, which would be as the unprivileged
    user: what is there now is read now. It stays a directory too, so that one added later is found.
    """
    trusted: list[tuple[str | None, str | None]] = []
    if options.ssl_ca_file:
        context.load_verify_locations(options.ssl_ca_file)
        trusted.append((options.ssl_ca_file, None))
    if options.ssl_ca_path:
        with contextlib.suppress(OSError):
            for file in sorted(Path(options.ssl_ca_path).iterdir()):
                if HASHED_NAME.fullmatch(file.name):
                    with contextlib.suppress(OSError):
                        context.load_verify_locations(file)
                        trusted.append((str(file), None))
        context.load_verify_locations(capath=options.ssl_ca_path)
        trusted.append((None, options.ssl_ca_path))
    return trusted


def _ca_line(options: "Options") -> str:
    file, path = options.ssl_ca_file or "(null)", options.ssl_ca_path or "(null)"
    return f'Error loading certificate authority: file="{file}" path="{path}"'


def _load_dh(context: ssl.SSLContext, options: "Options") -> tuple[str, str]:
    """Load Diffie-Hellman parameters from their file or, where there are any, the certificate's.

    Returns:
        A note and a warning, or "" for each. 2.2 starts without parameters that are too small.
    """
    file = options.ssl_dh_params_file or options.ssl_cert_file
    opening, reading, loading = (
        f'Error {verb} "{file}"'
        for verb in (
            "opening Diffie-Hellman parameters file",
            "reading Diffie-Hellman parameters from file",
            "loading Diffie-Hellman parameters:",
        )
    )
    try:
        context.load_dh_params(file)
    except ssl.SSLError as error:
        if error.reason == "DH_KEY_TOO_SMALL":
            return "", loading
        if options.ssl_dh_params_file:
            raise TlsSetupError(
                f"ssl_dh_params_file {file}: no Diffie-Hellman parameters in it: make some "
                "(openssl dhparam 2048) or leave the option out",
                reading,
                LISTENING_FAILED,
            ) from error
        return "", ""
    except OSError as error:
        if options.ssl_dh_params_file:
            raise TlsSetupError(
                f"ssl_dh_params_file {file}: {_why(error)}", opening, LISTENING_FAILED
            ) from error
        return "", ""
    return f'Loaded Diffie-Hellman parameters: "{file}"', ""


def _load_own(context: ssl.SSLContext, options: "Options") -> None:
    """Load our certificate, chain and key."""
    cert_file, key_file = options.ssl_cert_file, options.ssl_key_file
    cert_line = f'Error loading certificate chain file "{cert_file}"', LISTENING_FAILED
    key_line = f'Error loading private key file "{key_file}"', LISTENING_FAILED
    try:
        # load_cert_chain() does not say which of the files it did not like.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cert_file)
    except OSError as error:
        raise TlsSetupError(f"ssl_cert_file {cert_file}: {_why(error)}", *cert_line) from error
    try:
        key = Path(key_file).read_bytes()
    except OSError as error:
        raise TlsSetupError(f"ssl_key_file {key_file}: {_why(error)}", *key_line) from error
    if b"PRIVATE KEY-----" not in key:
        raise TlsSetupError(f"ssl_key_file {key_file}: no private key in PEM form in it", *key_line)
    try:
        context.load_cert_chain(cert_file, key_file, lambda: _passphrase(options, key_line))
    except ssl.SSLError as error:
        if error.reason in BAD_CERTIFICATE:
            raise TlsSetupError(
                f"ssl_cert_file {cert_file}: {BAD_CERTIFICATE[error.reason]}", *cert_line
            ) from error
        if error.reason in MISMATCH:
            what = f"does not belong to the certificate in {cert_file}: give both of one pair"
        elif b"ENCRYPTED" in key:
            what = "the pass phrase is wrong (ssl_passphrase_file, ssl_passphrase_fd)"
        else:
            what = f"OpenSSL cannot use the private key in it: {error.reason or 'damaged'}"
        raise TlsSetupError(f"ssl_key_file {key_file}: {what}", *key_line) from error


def _validity_warning(cert_file: str) -> str:
    try:
        # The one way of the standard library to decode a certificate that no peer has shown.
        info = _ssl._test_decode_cert(cert_file)  # type: ignore[attr-defined]
        objection = Policy().objection([_lifetime(info)], time.time())
    except (ssl.SSLError, ValueError) as error:
        return f"ssl_cert_file {cert_file}: cannot be decoded: {error}"
    if not objection:
        return ""
    times = f"from {info['notBefore']} to {info['notAfter']}"
    return f"ssl_cert_file {cert_file}: {objection} (valid {times}): clients will refuse it"


def _passphrase(options: "Options", key_line: tuple[str, ...]) -> bytes:
    """Read the pass phrase; OpenSSL asks for it only when the key is encrypted."""
    try:
        if options.ssl_passphrase_file:
            with Path(options.ssl_passphrase_file).open("rb", buffering=0) as file:
                phrase = _first_line(file.fileno())
        else:
            phrase = _prompt(options.ssl_passphrase_fd, options.ssl_key_file)
    except OSError as error:
        if options.ssl_passphrase_file:
            raise TlsSetupError(
                f"ssl_passphrase_file {options.ssl_passphrase_file}: {_why(error)}",
                LISTENING_FAILED,
            ) from error
        phrase = b""
    if not phrase:
        raise TlsSetupError(
            f"ssl_key_file {options.ssl_key_file}: it is encrypted and there is no pass phrase: "
            "put it into a file for ssl_passphrase_file",
            *key_line,
        )
    return phrase


def _prompt(descriptor: int, key_file: str) -> bytes:
    if not os.isatty(descriptor):
        return _first_line(descriptor)
    before = termios.tcgetattr(descriptor)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSAFLUSH, silent)
    try:
        sys.stderr.write(f"Passphrase for {key_file}: ")
        sys.stderr.flush()
        return _first_line(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
        sys.stderr.write("\n")


def _first_line(descriptor: int) -> bytes:
    data = b""
    while b"\n" not in data and (chunk := os.read(descriptor, PASSPHRASE_LIMIT - len(data))):
        data += chunk
    return data.partition(b"\n")[0].partition(b"\r")[0]


def _why(error: OSError) -> str:
    """Say why a file could not be loaded and what to do about it."""
    match error:
        case ssl.SSLError():
            return "no certificate in PEM form that OpenSSL can read in it"
        case FileNotFoundError():
            return "there is no such file: check its name"
        case PermissionError():
            return f"user {os.geteuid()} may not read it: check its and its folders' permissions"
    return f"cannot be read: {error.strerror}"


def _handshake(
    context: ssl.SSLContext,
    sock: socket.socket,
    server_hostname: str | None = None,
    *,
    server_side: bool = False,
) -> ssl.SSLSocket:
    try:
        # A peer that has gone by now would give a socket that is not TLS, or that nobody closes.
        sock.getpeername()
        tls = context.wrap_socket(
            sock,
            server_side=server_side,
            server_hostname=server_hostname,
            do_handshake_on_connect=False,
        )
        with contextlib.ExitStack() as closing:
            closing.enter_context(tls)
            tls.do_handshake()
            closing.pop_all()
    except ssl.SSLCertVerificationError as error:
        raise TlsFailed(f"certificate not verified: {error.verify_message}") from error
    except TimeoutError as error:
        raise TlsFailed("the handshake took too long") from error
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise TlsFailed(f"protocol error: {reason}") from error
    except OSError as error:
        sock.close()
        raise TlsFailed(f"connection lost in the handshake: {error.strerror}") from error
    return tls


def _name_for_sni(server: str) -> str | None:
    """Give the name to send (RFC 6066 section 3): not an address, nor what is no name."""
    try:
        name = server.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        return None
    if certificates.as_address(server) or not HOST_NAME.fullmatch(name):
        return None
    return name


def _distinguished(name: Sequence[Sequence[tuple[str, str]]]) -> str:
    return ", ".join(f"{key}={value}" for part in name for key, value in part)


@contextlib.contextmanager
def _checking(tls: ssl.SSLSocket) -> Iterator[None]:
    try:
        yield
    except (ssl.SSLError, ValueError) as error:
        tls.close()
        raise TlsFailed(f"the certificate cannot be decoded: {error}") from error
    except BaseException:
        tls.close()
        raise


def _check(policy: Policy, chain: Sequence[Lifetime]) -> None:
    if objection := policy.objection(chain, time.time()):
        raise TlsFailed(objection)


def _presented(tls: ssl.SSLSocket) -> list[_ssl.Certificate]:
    """Give the certificates that the peer sent, its own first; perhaps none.

    getpeercert() decodes none that OpenSSL has not verified, and the public methods (since Python
    3.13) decode none at all: this is what is below them, in every version since 3.10.
    """
    chain = tls._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]
    # A client without a certificate shows as None.
    return [certificate for certificate in chain if certificate]


def _verified(tls: ssl.SSLSocket) -> list[Lifetime]:
    """Give the lifetimes in the chain that OpenSSL verified in the handshake."""
    chain = tls._sslobj.get_verified_chain() or ()  # type: ignore[attr-defined]
    return [_lifetime(certificate.get_info()) for certificate in chain]


def _lifetime(info: Mapping[str, Any]) -> Lifetime:
    return Lifetime(
        ssl.cert_time_to_seconds(info["notBefore"]), ssl.cert_time_to_seconds(info["notAfter"])
    )


def _store() -> "X509Store":
    try:
        from OpenSSL import crypto  # noqa: PLC0415  needed with two rare options only
    except ImportError as error:
        raise TlsSetupError(
            "ssl_cert_accept_self_signed and ssl_ca_accept_self_signed need pyOpenSSL: install "
            "the Debian package python3-openssl or, with pip, pyOpenSSL",
            OUTGOING_FAILED,
        ) from error
    store = crypto.X509Store()
    store.set_flags(NO_CHECK_TIME)
    return store


def _seconds(asn1: bytes | None) -> float:
    """Read pyOpenSSL's form of a time, YYYYMMDDhhmmssZ."""
    return calendar.timegm(time.strptime((asn1 or b"").decode(), "%Y%m%d%H%M%SZ"))
