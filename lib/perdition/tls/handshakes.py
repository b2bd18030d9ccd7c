"""Handshakes, and the checks of the peer's certificate that belong to them."""

import _ssl
import contextlib
import functools
import hashlib
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from perdition import certificates
from perdition.tls import TlsFailed
from perdition.tls.chains import Judge, Policy, check_verified, presented
from perdition.tls.der import public_key
from perdition.tls.stream import Stream

# RFC 1123 section 2.1, and the underscore that names in private networks have.
HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
# Longer ones are no names, and OpenSSL does not take them.
NAME_SIZE = 255


@dataclass(frozen=True, slots=True)
class Listening:
    """TLS towards clients.

    Attributes:
        context: of who asks for no name that others are for.
        policy: what is asked of their chains.
        warnings: for the operator to read.
        notes: lines for the log (INFO).
        protocol: what clients that use ALPN have to offer.
        user_field: `ssl_client_cert_user`.
        choose: gives the context of a name, None where it is nobody's; None where there is one.
    """

    context: ssl.SSLContext
    policy: Policy
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    protocol: bytes = b""
    user_field: str = ""
    choose: Callable[[str], ssl.SSLContext | None] | None = None

    def start(self, _name: str = "") -> Stream:
        """TLS with a client, before the handshake."""
        return Stream(self.context, server_side=True, protocol=self.protocol, choose=self.choose)

    def check(self, tls: ssl.SSLObject, _name: str = "") -> None:
        """Check a client's certificate, after the handshake.

        Raises:
            TlsFailed: the options do not allow it.
        """
        if self.context.verify_mode != ssl.CERT_NONE:
            with checking():
                check_verified(self.policy, tls)

    def user(self, tls: ssl.SSLObject) -> str | None:
        """The user that the client's certificate names, None where there is none to be named."""
        if not self.user_field or self.context.verify_mode == ssl.CERT_NONE:
            return None
        try:
            info = tls.getpeercert()
        except (ssl.SSLError, ValueError):
            return None
        return certificates.user_of(info, self.user_field) if info else None


@dataclass(frozen=True, slots=True)
class OutgoingTls:
    """TLS towards real servers.

    `policy` is None where chains are not looked at (ssl_no_cert_verify), `judge` None where
    OpenSSL verifies them in the handshake. `ca_error` is 2.2's log line about the certificate
    authorities when they could not be read: then every connection fails, as it did there. Where
    there are `pins`, SHA-256 of public keys, the server has one of these, and nothing else counts.
    """

    context: ssl.SSLContext
    policy: Policy | None
    judge: Judge | None
    check_name: bool
    san_only: bool
    ca_error: str = ""
    warnings: tuple[str, ...] = ()
    pins: tuple[bytes, ...] = ()

    def start(self, server_name: str) -> Stream:
        """TLS with a real server, before the handshake.

        Args:
            server_name: name or address of the real server, as the map or the options have it.

        Raises:
            TlsFailed: its certificate could not be verified.
        """
        if self.ca_error:
            raise TlsFailed("no certificate authorities to verify with", self.ca_error)
        return Stream(self.context, server_hostname=name_for_sni(server_name))

    def check(self, tls: ssl.SSLObject, server_name: str) -> None:
        """Check what the handshake has not: depth, times, self-signed certificates, the name.

        Raises:
            TlsFailed: the options do not allow the certificate.
        """
        if not (self.policy or self.check_name or self.pins):
            return
        with checking():
            shown = presented(tls)
            if not shown:
                raise TlsFailed("the real server showed no certificate")
            if self.pins:
                key = public_key(shown[0].public_bytes(_ssl.ENCODING_DER))
                found = hashlib.sha256(key)
                if found.digest() not in self.pins:
                    raise TlsFailed(
                        f"pin: the key of the real server is sha256:{found.hexdigest()}"
                    )
                return
            if self.policy and self.judge:
                lifetimes = self.judge.verified(shown)
                self.policy.check_depth(len(lifetimes))
                self.policy.check_times(lifetimes)
            elif self.policy:
                check_verified(self.policy, tls)
            if self.check_name:
                info = shown[0].get_info()
                if not certificates.matches(server_name, info, san_only=self.san_only):
                    certified = ", ".join(certificates.names_of(info))
                    why = ""
                    if self.san_only and not info.get("subjectAltName"):
                        why = " as its common name alone, which ssl_san_only does not look at"
                    raise TlsFailed(
                        f"name mismatch: wanted {server_name}, certificate is for {certified}{why}"
                    )

    def user(self, _tls: ssl.SSLObject) -> None:
        """Real servers are no users."""


@functools.lru_cache(maxsize=1024)
def name_for_sni(server: str) -> str | None:
    """Give the name to send (RFC 6066 section 3): not an address, nor what is no name."""
    try:
        name = server.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        return None
    if len(name) > NAME_SIZE or certificates.as_address(server) or not HOST_NAME.fullmatch(name):
        return None
    return name


@contextlib.contextmanager
def checking() -> Iterator[None]:
    """What cannot be decoded is a failure."""
    try:
        yield
    except (ssl.SSLError, ValueError) as error:
        raise TlsFailed(f"the certificate cannot be decoded: {error}") from error
