"""Certificates of every kind, made when they are first asked for."""

import datetime
import ipaddress
import subprocess
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from OpenSSL import crypto

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PASSPHRASE = b"open sesame"
# A subjectAltName with a dNSName of one octet that is no ASCII.
BROKEN_NAME = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x01\xff")

SIGNS = x509.KeyUsage(
    *(True, False, False, False, False),
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Certified(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key


def certify(
    name: str,
    issuer: Certified | None = None,
    *,
    ca: bool = False,
    names: Sequence[str] = (),
    days: tuple[int, int] = (-10, 10),
    key: Key | None = None,
    extension: x509.ExtensionType | None = None,
) -> Certified:
    """Make a certificate, signed by itself where there is no issuer.

    Args:
        name: the common name.
        issuer: who signs it.
        ca: it may sign others.
        names: names and addresses for subjectAltName.
        days: beginning and end, counted from now.
        key: its key; default a new one.
        extension: one more.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days[0]))
        .not_valid_after(now + datetime.timedelta(days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    # What RFC 5280 asks for: clients of Python from 3.13 on insist on it.
    if issuer:
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.certificate.public_key())
        builder = builder.add_extension(signer, critical=False)
    if ca:
        builder = builder.add_extension(SIGNS, critical=True)
    if names:
        alternatives = x509.SubjectAlternativeName([general(each) for each in names])
        builder = builder.add_extension(alternatives, critical=False)
    if extension:
        builder = builder.add_extension(extension, critical=False)
    return Certified(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def key_pem(key: Key, passphrase: bytes = b"") -> bytes:
    how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def pem(*chain: Certified) -> bytes:
    """The certificates, and the key of the first."""
    return certificates_pem(*chain) + key_pem(chain[0].key)


def certificates_pem(*chain: Certified) -> bytes:
    return b"".join(each.certificate.public_bytes(Encoding.PEM) for each in chain)


def hashed_name(certified: Certified) -> str:
    """The name that OpenSSL looks for in a directory of certificates."""
    return f"{crypto.X509.from_cryptography(certified.certificate).subject_name_hash():08x}.0"


def revoking(issuer: Certified, *certified: Certified, days: tuple[int, int] = (-1, 10)) -> bytes:
    """A list of revoked certificates, in PEM; days as above."""
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now + datetime.timedelta(days[0]))
        .next_update(now + datetime.timedelta(days[1]))
    )
    for each in certified:
        revoked = (
            x509.RevokedCertificateBuilder()
            .serial_number(each.certificate.serial_number)
            .revocation_date(now)
            .build()
        )
        builder = builder.add_revoked_certificate(revoked)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.PEM)


class Pki:
    """A directory of PEM files; most hold a chain and the key of its first certificate."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = certify("CA", ca=True)
        self._recipes: dict[str, Callable[[], bytes]] = {
            "ca": lambda: certificates_pem(self.ca),
            "other ca": lambda: certificates_pem(certify("Other CA", ca=True)),
            "intermediate ca": lambda: certificates_pem(self.intermediate),
            "expired ca": lambda: certificates_pem(self.expired_ca),
            "leaf": lambda: pem(self.leaf),
            "leaf, ca": lambda: pem(self.leaf, self.ca),
            "client": lambda: pem(certify("client", self.ca)),
            "client, ca": lambda: pem(certify("client", self.ca), self.ca),
            "below 1": lambda: pem(self.below_1),
            "below 1, chain": lambda: pem(self.below_1, self.intermediate),
            "below 2, chain": lambda: pem(self.below_2, self.second, self.intermediate),
            "below 2, chain, ca": lambda: pem(
                self.below_2, self.second, self.intermediate, self.ca
            ),
            "expired": lambda: pem(certify("127.0.0.1", self.ca, days=(-10, -5))),
            "not yet": lambda: pem(certify("127.0.0.1", self.ca, days=(5, 10))),
            "self-signed": lambda: pem(certify("127.0.0.1")),
            "self-signed ca": lambda: pem(certify("127.0.0.1", ca=True)),
            "self-signed, expired": lambda: pem(certify("127.0.0.1", days=(-10, -5))),
            "expired ca, leaf": lambda: pem(certify("127.0.0.1", self.expired_ca), self.expired_ca),
            # It says that CA has signed it, and the wrong one did.
            "forged, ca": lambda: pem(
                certify("127.0.0.1", Certified(self.ca.certificate, self.leaf.key)), self.ca
            ),
            "for names": lambda: pem(
                certify("label", self.ca, names=["mail.example.org", "127.0.0.1"])
            ),
            "local names": lambda: pem(
                certify("localhost", self.ca, names=["localhost", "127.0.0.1"])
            ),
            "other name": lambda: pem(certify("mail.example.org", self.ca)),
            "localhost": lambda: pem(certify("localhost", self.ca)),
            "broken name": lambda: pem(certify("127.0.0.1", self.ca, extension=BROKEN_NAME)),
            "encrypted key": lambda: key_pem(self.leaf.key, PASSPHRASE),
            "rsa": lambda: pem(certify("rsa", self.ca, key=rsa.generate_private_key(65537, 2048))),
            "rsa 1024": lambda: pem(
                certify("small", self.ca, key=rsa.generate_private_key(65537, 1024))
            ),
            "sha-1": self._signed_with_sha1,
            "dh": lambda: openssl("dhparam", "-dsaparam", "2048"),
            "small dh": lambda: openssl("dhparam", "-dsaparam", "512"),
        }

    def file(self, name: str) -> str:
        """The path of a file; "" for ""."""
        if not name:
            return ""
        path = self.directory / f"{name}.pem"
        if not path.exists():
            path.write_bytes(self._recipes[name]())
        return str(path)

    @cached_property
    def leaf(self) -> Certified:
        return certify("127.0.0.1", self.ca)

    @cached_property
    def intermediate(self) -> Certified:
        return certify("Intermediate", self.ca, ca=True)

    @cached_property
    def second(self) -> Certified:
        return certify("Second intermediate", self.intermediate, ca=True)

    @cached_property
    def below_1(self) -> Certified:
        return certify("127.0.0.1", self.intermediate)

    @cached_property
    def below_2(self) -> Certified:
        return certify("127.0.0.1", self.second)

    @cached_property
    def expired_ca(self) -> Certified:
        return certify("Expired CA", ca=True, days=(-10, -5))

    def _signed_with_sha1(self) -> bytes:
        ca = self.directory / "signer.pem"
        ca.write_bytes(pem(self.ca))
        key, request = self.directory / "sha-1.key", self.directory / "sha-1.csr"
        key.write_bytes(key_pem(self.leaf.key))
        openssl("req", "-new", "-key", key, "-subj", "/CN=weak", "-out", request)
        signed = openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca, "-sha1")
        return signed + key.read_bytes()


def openssl(*arguments: str | Path) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout
