"""Whether a certificate is for a server (RFC 6125, RFC 9525; reference: protocols.md section 6)."""

import ipaddress
from collections.abc import Mapping
from typing import Any


def common_names(info: Mapping[str, Any]) -> list[str]:
    """The common names of the subject.

    Args:
        info: a certificate as `ssl.SSLSocket.getpeercert` gives it.
    """
    return [value for part in info.get("subject", ()) for key, value in part if key == "commonName"]


def names_of(info: Mapping[str, Any]) -> list[str]:
    """All names and addresses in a certificate, for people to read; not those of directories."""
    names = [value for _kind, value in info.get("subjectAltName", ()) if isinstance(value, str)]
    return names or common_names(info) or ["nobody"]


def host_names(info: Mapping[str, Any]) -> list[str]:
    """The names of servers, perhaps with stars: the DNS names, else the common names."""
    found = [value for kind, value in info.get("subjectAltName", ()) if kind == "DNS"]
    return found or common_names(info)


# Which field of a client's certificate names the user: kind of alternative name, part of subject.
USER_FIELDS = {
    "cn": ("", "commonName"),
    "dns": ("DNS", ""),
    "email": ("email", "emailAddress"),
    "uid": ("", "userId"),
}


def user_of(info: Mapping[str, Any], field: str) -> str | None:
    """The user that a client's certificate names.

    Where the certificate has alternative names of the kind, these count alone.

    Args:
        info: a verified certificate as `ssl.SSLSocket.getpeercert` gives it.
        field: one of USER_FIELDS.

    Returns:
        None where there is no value or more than one, or one that is no name: empty, or with
        control characters.
    """
    kind, part = USER_FIELDS[field]
    found = [value for each, value in info.get("subjectAltName", ()) if each == kind]
    if not found:
        found = [
            value for group in info.get("subject", ()) for each, value in group if each == part
        ]
    if len(found) != 1 or not found[0].isprintable():
        return None
    return found[0].strip(" ") or None


def matches(server: str, info: Mapping[str, Any], *, san_only: bool = False) -> bool:
    """Whether the certificate is for the server.

    Names are compared without case; a star stands for just one label, the first one. The common
    name counts only where the certificate has no alternative name of that kind.

    Args:
        server: the name or address that was connected to.
        info: the certificate as `ssl.SSLSocket.getpeercert` gives it.
        san_only: the common name never counts.
    """
    alternatives = info.get("subjectAltName", ())
    address = as_address(server)
    if address is not None:
        if alternatives:
            return any(
                kind == "IP Address" and as_address(value) == address
                for kind, value in alternatives
            )
        return not san_only and any(as_address(each) == address for each in common_names(info))
    names = [value for kind, value in alternatives if kind == "DNS"]
    if not names and not san_only:
        names = common_names(info)
    try:
        wanted = server.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return False
    # Who is not named has no certificate, not even one with an empty name in it.
    return bool(wanted) and any(name_matches(wanted, name.rstrip(".").lower()) for name in names)


def name_matches(wanted: str, name: str) -> bool:
    """Whether a name of a certificate, perhaps with a star, is the one wanted."""
    if name.startswith("*."):
        _first, dot, rest = wanted.partition(".")
        return bool(dot) and "." in rest and rest == name[2:]
    return wanted == name


def as_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a text is, None where it is none."""
    try:
        return ipaddress.ip_address(text.strip())
    except ValueError:
        return None
