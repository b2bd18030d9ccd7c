"""The few fields of certificates and lists of revoked ones that the ssl module does not give.

What is read has been decoded by OpenSSL before, or comes from a file of the operator's.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# Tags of ASN.1 (X.690): the explicit [0] of a version, INTEGER, the two kinds of times.
VERSION, INTEGER, UTC_TIME, GENERALIZED_TIME = 0xA0, 0x02, 0x17, 0x18
BLOCK = rb"-----BEGIN %s-----\s(.*?)-----END %s-----"
CERTIFICATE = re.compile(BLOCK % (b"(?:X509 )?CERTIFICATE", b"(?:X509 )?CERTIFICATE"), re.DOTALL)
CRL = re.compile(BLOCK % (b"X509 CRL", b"X509 CRL"), re.DOTALL)


class BadDer(ValueError):
    """The octets are not what they should be."""


class Element(NamedTuple):
    """An element: its tag, what is in it, and all of it."""

    tag: int
    content: bytes
    whole: bytes


class Revocations(NamedTuple):
    """What a list of revoked certificates says of itself (RFC 5280 section 5.1).

    Attributes:
        issuer: the name of the authority, as octets.
        ends: when there is to be another one, YYYYMMDDhhmmssZ; empty where it is not said.
    """

    issuer: bytes
    ends: str


def elements(data: bytes) -> Iterator[Element]:
    """The elements that octets are made of.

    Raises:
        BadDer: they are made of something else.
    """
    place = 0
    while place < len(data):
        start, size = place + 2, int.from_bytes(data[place + 1 : place + 2])
        if size & 0x80:
            width = size & 0x7F
            size = int.from_bytes(data[start : start + width])
            start += width
        end = start + size
        if not place + 2 <= start <= end <= len(data):
            raise BadDer("a length that leads nowhere")
        yield Element(data[place], data[start:end], data[place:end])
        place = end


def inside(data: bytes) -> list[Element]:
    """The elements of what is signed in a certificate or list, the optional version left out."""
    try:
        [outer] = elements(data)
        signed = next(elements(outer.content))
        found = list(elements(signed.content))
    except (StopIteration, ValueError) as error:
        raise BadDer("no certificate") from error
    return found[1:] if found and found[0].tag == VERSION else found


def public_key(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate (RFC 5280 section 4.1), whole.

    Raises:
        BadDer: there is none.
    """
    return subject_and_key(certificate)[1]


def subject(certificate: bytes) -> bytes:
    """The name of whom a certificate is for, as octets.

    Raises:
        BadDer: there is none.
    """
    return subject_and_key(certificate)[0]


def subject_and_key(certificate: bytes) -> tuple[bytes, bytes]:
    """Two of the elements of a certificate, whole."""
    try:
        _serial, _signature, _issuer, _validity, name, key, *_ = inside(certificate)
    except ValueError as error:
        raise BadDer("no certificate") from error
    return name.whole, key.whole


# rsaEncryption (RFC 8017 appendix A.1), as `kind_of_key` has it.
RSA = bytes.fromhex("2a864886f70d010101")


def kind_of_key(certificate: bytes) -> bytes:
    """What tells RSA, ECDSA and others from one another: the key's algorithm as octets.

    Raises:
        BadDer: there is none.
    """
    try:
        [key] = elements(public_key(certificate))
        algorithm, *_ = elements(key.content)
        identifier, *_ = elements(algorithm.content)
    except ValueError as error:
        raise BadDer("no public key") from error
    return identifier.content


def revocations(crl: bytes) -> Revocations:
    """What a list of revoked certificates says of itself.

    Raises:
        BadDer: it is none.
    """
    found = inside(crl)
    if found and found[0].tag == INTEGER:
        found = found[1:]
    try:
        _signature, issuer, _this_update, *rest = found
    except ValueError as error:
        raise BadDer("no list of revoked certificates") from error
    ends = ""
    if rest and rest[0].tag in {UTC_TIME, GENERALIZED_TIME}:
        ends = rest[0].content.decode("ascii", "replace")
        if rest[0].tag == UTC_TIME:
            # RFC 5280 section 4.1.2.5.1.
            ends = ("19" if ends >= "5" else "20") + ends
    return Revocations(issuer.whole, ends)
