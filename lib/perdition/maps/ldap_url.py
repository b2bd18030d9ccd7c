"""What the ldap map is told: version of the protocol and URL (reference: maps.md section 13).

The URL is that of RFC 4516, with more than one host if need be. Key and URL never meet as texts:
the URL is taken apart first, and the key is put, escaped, into the name and the filter in it.
"""

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import ldap
import ldapurl

from perdition.maps import MapFailed
from perdition.maps.deadlines import TlsSocket
from perdition.parameters import MOST_PORT

DEFAULT_URL = "ldap://localhost/ou=mailbox,dc=nodomain?username,mailhost,port?one?(uid=%s)"
ATTRIBUTES = ("username", "mailhost", "port")
ANYTHING = "(objectClass=*)"
FORM = "[2:|3:]ldap://HOST/NAME?ATTRIBUTES?SCOPE?FILTER?EXTENSIONS"
VERSIONS = (2, 3)
# Debian's.
SOCKET = "/run/slapd/ldapi"
PORTS = {"ldap": "389", "ldaps": "636"}
# The names under which libldap itself knows StartTLS in a URL; the last is RFC 4511's.
START_TLS = {"starttls", "x-starttls", "1.3.6.1.4.1.1466.20037"}
# The places of a URL's parts between question marks.
HOST_AND_NAME, SCOPE, FILTER = 0, 2, 3
# RFC 3986 appendix C; libldap takes them.
PREFIX = re.compile(r"\AURL:", re.IGNORECASE)
# What else libldap takes for a scope.
SCOPES = {
    "onelevel": "one",
    "subtree": "sub",
    "subordinate": "subordinates",
    "children": "subordinates",
}
# "%s", "%20s" (the key, with blanks before it up to that width), or "%%", which is none of both.
# "%20servers" is a blank and a word.
PLACE = re.compile(r"%%|%(?!\d\ds[A-Za-z])(\d{0,4})s")
MALFORMED = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Stands on both sides of a place's width: decoding leaves it alone.
MARK = "\0"
NUL = re.compile(r"\0|%00")
HOST = re.compile(r"(\[[0-9A-Za-z:.%]+\]|[^\s:/\[\]]+)(?::(\d{1,5}))?")
# What is harmless in a name (RFC 4514) and in a filter (RFC 4515). Both let every other octet be
# written as a backslash and two digits.
HARMFUL = re.compile(rb"[^0-9A-Za-z@._-]")


class Server(NamedTuple):
    """One of the servers.

    Attributes:
        url: for messages.
        host, port: where it is.
        path: of its socket, for ldapi; then there is no host.
        tls: whether TLS comes first.
    """

    url: str
    host: str = ""
    port: str = ""
    path: str = ""
    tls: bool = False


class Template:
    """A name or a filter with places for the key.

    Attributes:
        has_place: whether there are any.
    """

    def __init__(self, text: str) -> None:
        # Texts and widths take turns.
        self._pieces = text.split(MARK)
        self.has_place = len(self._pieces) > 1

    def fill(self, key: bytes) -> str:
        """The text with a key in all its places."""
        return "".join(
            escape(key.rjust(int(piece or 0))) if number % 2 else piece
            for number, piece in enumerate(self._pieces)
        )


@dataclass(frozen=True)
class Directory:
    """What the option says.

    Attributes:
        servers: to be tried in order.
        version: of the protocol.
        base: the entry at which a search starts.
        scope: how far down it goes, as python-ldap has it.
        filter: what it looks for.
        attributes: by position: user, server, port.
        bind_name, password: whom to bind as; both empty for nobody. The password is not shown.
        start_tls: whether TLS begins within the dialogue.
        tls: how; None without it.
        warnings: what an operator should know.
    """

    servers: tuple[Server, ...]
    version: int
    base: Template
    scope: int
    filter: Template
    attributes: tuple[str, ...]
    bind_name: str
    password: str = field(repr=False)
    start_tls: bool
    tls: ssl.SSLContext | None
    warnings: tuple[str, ...]


class Extensions(NamedTuple):
    """What the end of the URL says; ca_file is empty where it names none."""

    bind_name: str = ""
    password: str = ""
    start_tls: bool = False
    ca_file: str = ""

    def __repr__(self) -> str:
        return f"Extensions(bind_name={self.bind_name!r})"


def read_option(option: str) -> Directory:
    """Take `map_library_opt` apart.

    Raises:
        MapFailed: it is wrong; the text says what, and has no password.
    """
    version, text = read_version(option)
    if text.startswith("<"):
        text = text[1:].removesuffix(">")
    text = PREFIX.sub("", text)
    if NUL.search(text):
        raise MapFailed("ldap: a NUL in the URL")
    try:
        text.encode()
        url = ldapurl.LDAPUrl(marked(text))
    except UnicodeError as error:
        raise MapFailed("ldap: the URL is not UTF-8") from error
    except ValueError as error:
        # The library's own text would show the URL.
        scope = "invalid search scope" if "scope" in str(error) else "not an LDAP URL"
        raise MapFailed(f"ldap: {scope}: map_library_opt has the form {FORM}") from None
    servers = read_servers(url)
    extensions = read_extensions(url)
    base, wanted = Template(url.dn), Template(url.filterstr or ANYTHING)
    check_filter(wanted.fill(b"x"))
    warnings = []
    if version not in {ldap.VERSION3}:
        warnings.append(
            "ldap: version 2 of LDAP, which servers of today refuse: write 3:ldap://..."
        )
    tls = None
    if extensions.start_tls or servers[0].tls:
        if extensions.start_tls and (servers[0].tls or version != ldap.VERSION3):
            raise MapFailed("ldap: StartTLS is for ldap:// and version 3")
        tls = tls_context(extensions.ca_file)
        if tls.verify_mode is ssl.CERT_NONE:
            warnings.append("ldap: TLS_REQCERT in ldap.conf: certificates are not checked")
    return Directory(
        servers,
        version,
        base,
        ldap.SCOPE_BASE if url.scope is None else url.scope,
        wanted,
        tuple(url.attrs or ATTRIBUTES)[: len(ATTRIBUTES)],
        extensions.bind_name,
        extensions.password,
        extensions.start_tls,
        tls,
        tuple(warnings),
    )


def read_version(option: str) -> tuple[int, str]:
    """The version of the protocol, and the URL: ``V:URL``, ``URL``, ``V`` or nothing."""
    if len(option) > 1 and option[1] != ":":
        return ldap.VERSION3, option
    if not option:
        return ldap.VERSION3, DEFAULT_URL
    version = option[0]
    if version not in map(str, VERSIONS):
        raise MapFailed(
            f"Requested ldap version ({version}): is out of range. "
            f"Must be a numeric value between {VERSIONS[0]} and {VERSIONS[-1]}"
        )
    return int(version), option[2:] or DEFAULT_URL


def marked(text: str) -> str:
    """The URL with its places for the key marked, and still a URL."""
    parts = text.split("?", 4)
    for number, part in enumerate(parts):
        if number in {HOST_AND_NAME, FILTER}:
            parts[number] = PLACE.sub(mark, part)
        elif number == SCOPE:
            # The library's names have no capitals, and OpenLDAP asks for none.
            parts[number] = SCOPES.get(part.lower(), part.lower())
        elif MALFORMED.search(part):
            raise MapFailed(
                "ldap: the key can stand in the name and in the filter of the URL, nowhere else; "
                "a percent sign is written %25"
            )
    return "?".join(parts)


def mark(place: re.Match[str]) -> str:
    """What stands for a place from now on."""
    return place[0] if place[1] is None else f"{MARK}{place[1]}{MARK}"


def escape(octets: bytes) -> str:
    """Octets as they stand in a value of a name (RFC 4514) or of a filter (RFC 4515)."""
    return HARMFUL.sub(lambda found: b"\\%02x" % found[0][0], octets).decode("ascii")


def read_servers(url: ldapurl.LDAPUrl) -> tuple[Server, ...]:
    """The servers of the URL: one, or several with blanks between.

    A port that is the only one is everybody's, as in ``ldap://one two:390/``.
    """
    if MARK in url.hostport:
        raise MapFailed("ldap: the key cannot stand in the name of a host")
    if url.urlscheme == "ldapi":
        path = url.hostport or SOCKET
        return (Server(f"ldapi://{path}", path=path),)
    found = [HOST.fullmatch(word) for word in url.hostport.split() or ["localhost"]]
    ports = {each[2] for each in found if each and each[2]}
    default = ports.pop() if len(ports) == 1 else PORTS[url.urlscheme]
    servers = []
    for each in found:
        if each is None or not 0 < int(each[2] or default) <= MOST_PORT:
            # Not shown: with a "user:password@" before it, it would have a password.
            raise MapFailed("ldap: not a host, or hosts with blanks between")
        host, port = each[1], each[2] or default
        name = f"{url.urlscheme}://{host}:{port}"
        servers.append(Server(name, host.strip("[]"), port, tls=url.urlscheme == "ldaps"))
    return tuple(servers)


def read_extensions(url: ldapurl.LDAPUrl) -> Extensions:
    """The extensions of the URL; their names have no case (RFC 4516 section 2)."""
    found = Extensions()
    for extension in (url.extensions or {}).values():
        name, value = extension.extype or "", extension.exvalue or ""
        match name.lower():
            case "bindname":
                found = found._replace(bind_name=value)
            case "x-bindpw":
                found = found._replace(password=value)
            case "x-tls-cacert":
                found = found._replace(ca_file=value)
            case other if other in START_TLS:
                # Without it the password would go out for all to read: so it is always critical.
                found = found._replace(start_tls=True)
            case _ if extension.critical:
                raise MapFailed(f"Critical extension, {name} unsupported")
    return found


def check_filter(text: str) -> None:
    """Have the library read a filter. It does so before it finds that there is no server."""
    nobody = ldap.initialize("ldapi://%2Fdev%2Fnull")
    try:
        nobody.search_ext("", ldap.SCOPE_BASE, text)
    except ldap.FILTER_ERROR as error:
        raise MapFailed(f"ldap: not a filter: {text}") from error
    except ldap.LDAPError:
        return


def tls_context(ca_file: str) -> ssl.SSLContext:
    """How TLS is begun.

    Args:
        ca_file: who signs certificates of servers; empty for what ldap.conf says, or the system.

    Raises:
        MapFailed: the certificates cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = TlsSocket
    context.check_hostname = False  # certificates.matches() does it, as for real servers
    if ca_file and not Path(ca_file).is_absolute():
        raise MapFailed(f"ldap: X-TLS-CACERT: not a whole path: {ca_file}")
    if not ca_file and ldap.get_option(ldap.OPT_X_TLS_REQUIRE_CERT) in {
        ldap.OPT_X_TLS_NEVER,
        ldap.OPT_X_TLS_ALLOW,
    }:
        context.verify_mode = ssl.CERT_NONE
        return context
    file = ca_file or ldap.get_option(ldap.OPT_X_TLS_CACERTFILE)
    directory = None if ca_file else ldap.get_option(ldap.OPT_X_TLS_CACERTDIR)
    try:
        if file or directory:
            context.load_verify_locations(file, directory)
        else:
            context.load_default_certs()
    except OSError as error:
        raise MapFailed(f"ldap: {file or directory}: {error.strerror or error}") from error
    return context
