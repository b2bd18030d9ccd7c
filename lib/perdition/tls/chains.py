"""Chains of certificates: what is asked of them beyond what OpenSSL checks in the handshake."""

import _ssl
import calendar
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from perdition.tls import OUTGOING_FAILED, CertificateRefused, TlsSetupError

if TYPE_CHECKING:
    from OpenSSL.crypto import X509, X509Store

# From OpenSSL's x509_vfy.h; the ssl module gives them no names.
NO_CHECK_TIME = 0x200000
DEPTH_ZERO_SELF_SIGNED_CERT = 18
SELF_SIGNED_CERT_IN_CHAIN = 19


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

    @property
    def judges_times(self) -> bool:
        """Whether times are left to us: OpenSSL accepts both faults or none."""
        return self.accept_expired or self.accept_not_yet_valid

    def check_depth(self, count: int) -> None:
        """Check how many certificates there are.

        Raises:
            CertificateRefused: too many.
        """
        if count - 1 > self.depth:
            raise CertificateRefused(
                f"chain too long: depth {count - 1}, ssl_cert_verify_depth is {self.depth}"
            )

    def check_times(self, chain: Iterable[Lifetime]) -> None:
        """Check that all are valid now, or what they are not is accepted.

        Raises:
            CertificateRefused: one is not.
        """
        if objection := self.untimely(chain, time.time()):
            raise CertificateRefused(objection)

    def untimely(self, chain: Iterable[Lifetime], now: float) -> str:
        """Say what is wrong with the times of a chain (the peer's own first), "" if nothing."""
        for each in chain:
            if now < each.begins and not self.accept_not_yet_valid:
                return "certificate is not yet valid"
            if now > each.ends and not self.accept_expired:
                return "certificate has expired"
        return ""


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

    def verified(self, shown: Sequence[_ssl.Certificate]) -> list[Lifetime]:
        """Verify all but the times, and give these.

        Raises:
            CertificateRefused: the chain leads to no certificate that is trusted or tolerated.
        """
        from OpenSSL import crypto  # noqa: PLC0415  needed with two rare options only

        chain = [
            crypto.load_certificate(crypto.FILETYPE_ASN1, item.public_bytes(_ssl.ENCODING_DER))
            for item in shown
        ]
        try:
            found = self._chain(self._store, chain)
        except crypto.X509StoreContextError as error:
            if error.errors[0] not in self._tolerated:
                raise CertificateRefused(f"certificate not verified: {error.errors[2]}") from error
            # A store of its own: what one server sent must not be trusted from another.
            store = _store()
            for item, certificate in zip(shown, chain, strict=True):
                info = item.get_info()
                if info["subject"] == info["issuer"]:
                    store.add_cert(certificate)
            try:
                found = self._chain(store, chain)
            except crypto.X509StoreContextError as again:
                raise CertificateRefused(f"certificate not verified: {again.errors[2]}") from again
        return [
            Lifetime(
                seconds((item.get_notBefore() or b"").decode()),
                seconds((item.get_notAfter() or b"").decode()),
            )
            for item in found
        ]

    @staticmethod
    def _chain(store: "X509Store", chain: "list[X509]") -> "list[X509]":
        from OpenSSL import crypto  # noqa: PLC0415  needed with two rare options only

        return crypto.X509StoreContext(store, chain[0], chain[1:]).get_verified_chain()


def presented(tls: ssl.SSLObject) -> list[_ssl.Certificate]:
    """Give the certificates that the peer sent, its own first; perhaps none.

    getpeercert() decodes none that OpenSSL has not verified, and the public methods (since Python
    3.13) decode none at all: this is what is below them, in every version since 3.10.
    """
    chain = tls._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]
    # A client without a certificate shows as None.
    return [certificate for certificate in chain if certificate]


def check_verified(policy: Policy, tls: ssl.SSLObject) -> None:
    """Check the chain that OpenSSL verified in the handshake.

    There is none without a certificate. Of a resumed session the peer's own certificate is left:
    its chain was good when the session began, for who is refused gets no session.

    Raises:
        CertificateRefused: the policy does not allow it.
    """
    chain = tls._sslobj.get_verified_chain()  # type: ignore[attr-defined]
    if chain:
        policy.check_depth(len(chain))
        if policy.judges_times:
            policy.check_times(lifetime(certificate.get_info()) for certificate in chain)
    elif info := tls.getpeercert():
        policy.check_times([lifetime(info)])


def lifetime(info: Mapping[str, Any]) -> Lifetime:
    """When a certificate is valid, as `ssl.SSLSocket.getpeercert` gives it."""
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


def seconds(time_of_asn1: str) -> float:
    """Read ASN.1's form of a time, YYYYMMDDhhmmssZ.

    Raises:
        ValueError: it is none.
    """
    return calendar.timegm(time.strptime(time_of_asn1, "%Y%m%d%H%M%SZ"))
