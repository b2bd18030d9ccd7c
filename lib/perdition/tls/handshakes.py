"""Handshakes, and the checks of the peer's certificate that belong to them."""

import contextlib
import functools
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from perdition import certificates
from perdition.tls import TlsFailed
from perdition.tls.chains import Judge, Policy, check_verified, presented

# RFC 1123 section 2.1, and the underscore that names in private networks have.
HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Listening:
    """TLS towards clients.

    `warnings` are for the operator to read, `notes` are lines for the log (INFO).
    """

    context: ssl.SSLContext
    policy: Policy
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def start(self, sock: socket.socket, _name: str = "") -> ssl.SSLSocket:
        """Speak TLS on a socket from now on; nothing is said yet.

        Raises:
            TlsFailed: it is not connected any more; it is closed.
        """
        return start(self.context, sock, server_side=True)

    def finish(self, tls: ssl.SSLSocket, _name: str = "") -> None:
        """Do the handshake, within the socket's timeout, and check a client's certificate.

        Raises:
            TlsFailed: no handshake, or a certificate that the options do not allow.
        """
        handshake(tls)
        if self.context.verify_mode != ssl.CERT_NONE:
            with checking():
                check_verified(self.policy, tls)


@dataclass(frozen=True, slots=True)
class OutgoingTls:
    """TLS towards real servers.

    `policy` is None where chains are not looked at (ssl_no_cert_verify), `judge` None where
    OpenSSL verifies them in the handshake. `ca_error` is 2.2's log line about the certificate
    authorities when they could not be read: then every connection fails, as it did there.
    """

    context: ssl.SSLContext
    policy: Policy | None
    judge: Judge | None
    check_name: bool
    san_only: bool
    ca_error: str = ""
    warnings: tuple[str, ...] = ()

    def start(self, sock: socket.socket, server_name: str) -> ssl.SSLSocket:
        """Speak TLS on a socket from now on; nothing is said yet.

        Args:
            sock: a connected socket; it is used up.
            server_name: name or address of the real server, as the map or the options have it.

        Raises:
            TlsFailed: it is not connected any more; it is closed.
        """
        return start(self.context, sock, name_for_sni(server_name))

    def finish(self, tls: ssl.SSLSocket, server_name: str) -> None:
        """Do the handshake, within the socket's timeout, and check the real server's certificate.

        Checked is what the handshake has not: depth, times, self-signed certificates, the name.

        Raises:
            TlsFailed: no handshake, or a certificate that the options do not allow.
        """
        if self.ca_error:
            raise TlsFailed("no certificate authorities to verify with", self.ca_error)
        handshake(tls)
        if not (self.policy or self.check_name):
            return
        with checking():
            shown = presented(tls)
            if not shown:
                raise TlsFailed("the real server showed no certificate")
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
                    raise TlsFailed(
                        f"name mismatch: wanted {server_name}, certificate is for {certified}"
                    )


def describe(tls: ssl.SSLSocket) -> str:
    """Say what is known of a connection, for the debug log."""
    cipher = tls.cipher()
    text = f"{tls.version()} {cipher[0] if cipher else None}"
    try:
        for info in [certificate.get_info() for certificate in presented(tls)[:1]]:
            text += f", subject {distinguished(info['subject'])}"
            text += f", issuer {distinguished(info['issuer'])}"
    except (ssl.SSLError, ValueError):
        text += ", a certificate that cannot be decoded"
    return text


def start(
    context: ssl.SSLContext,
    sock: socket.socket,
    server_hostname: str | None = None,
    *,
    server_side: bool = False,
) -> ssl.SSLSocket:
    """Make a TLS socket of one; nothing is said yet.

    Raises:
        TlsFailed: it is not connected any more; it is closed.
    """
    try:
        # A peer that has gone by now would give a socket that is not TLS, or that nobody closes.
        sock.getpeername()
        return context.wrap_socket(
            sock,
            server_side=server_side,
            server_hostname=server_hostname,
            do_handshake_on_connect=False,
        )
    except OSError as error:
        sock.close()
        raise TlsFailed(f"connection lost in the handshake: {error.strerror}") from error


def handshake(tls: ssl.SSLSocket) -> None:
    """Do a handshake, within the socket's timeout.

    Raises:
        TlsFailed: there is no TLS.
    """
    try:
        tls.do_handshake()
    except ssl.SSLCertVerificationError as error:
        raise TlsFailed(f"certificate not verified: {error.verify_message}") from error
    except TimeoutError as error:
        raise TlsFailed("the handshake took too long") from error
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise TlsFailed(f"protocol error: {reason}") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise TlsFailed(f"connection lost in the handshake: {why}") from error


@functools.lru_cache(maxsize=1024)
def name_for_sni(server: str) -> str | None:
    """Give the name to send (RFC 6066 section 3): not an address, nor what is no name."""
    try:
        name = server.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        return None
    if certificates.as_address(server) or not HOST_NAME.fullmatch(name):
        return None
    return name


def distinguished(name: Sequence[Sequence[tuple[str, str]]]) -> str:
    """Write a name as people read it."""
    return ", ".join(f"{key}={value}" for part in name for key, value in part)


@contextlib.contextmanager
def checking() -> Iterator[None]:
    """What cannot be decoded is a failure."""
    try:
        yield
    except (ssl.SSLError, ValueError) as error:
        raise TlsFailed(f"the certificate cannot be decoded: {error}") from error
