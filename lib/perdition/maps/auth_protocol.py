"""What a service is asked, and what it says: nginx's ngx_mail_auth_http_module.

The request is nginx's, header by header. The service sees the password, and may give another one
for the real server.
"""

import re
from collections.abc import Sequence
from typing import Protocol

from perdition.maps import Answer, MapFailed, Query, Refusal, check_item, shown
from perdition.maps.servers import ServerFailed
from perdition.net import ServerItem
from perdition.protocols import decode

# What nginx escapes: NGX_ESCAPE_MAIL_AUTH in its ngx_string.c.
ESCAPED = re.compile(rb"[\x00-\x20%]")
# As Auth-Protocol; the log's names of POP3S and IMAP4S have an S at their end.
PROTOCOLS = {"IMAP4": "imap", "POP3": "pop3", "MANAGESIEVE": "sieve"}
GOOD = range(200, 300)
# With one of these a service may refuse as well.
CLIENT_ERRORS = range(400, 500)
NO_PASSWORD = re.compile(rb"[\x00\r\n]")


class Fields(Protocol):
    """The headers of an answer."""

    def getlist(self, key: str, /) -> Sequence[str]:
        """The values of all headers of a name, octets as characters of Latin-1."""


def as_field(octets: bytes) -> str:
    """Octets as the libraries want them in a header: each a character of Latin-1."""
    return octets.decode("latin-1")


def request_fields(query: Query) -> dict[str, str]:
    """The headers that tell the service of a log-in, in nginx's order."""
    protocol = query.protocol
    fields = {
        "Auth-Method": "plain",
        "Auth-User": as_field(escape(query.key)),
        "Auth-Pass": as_field(escape(query.password)),
        "Auth-Protocol": PROTOCOLS.get(protocol.removesuffix("S"), protocol.lower()),
        "Auth-Login-Attempt": str(query.attempt),
    }
    if query.ends.client:
        fields["Client-IP"] = query.ends.client
    if query.secure != "plaintext":
        fields["Auth-SSL"] = "on"
    return fields


def escape(octets: bytes) -> bytes:
    """A name or password as nginx has it in a header."""
    return ESCAPED.sub(lambda found: b"%%%02X" % found[0][0], octets)


def read_answer(status: int, fields: Fields) -> Answer | Refusal:
    """What the service says.

    nginx does not look at the status. Here a refusal may come with one of 400 to 499 as well;
    otherwise one that is not good says that something has gone wrong.

    Raises:
        ServerFailed: the status says that something has gone wrong.
        MapFailed: it says nothing, or nonsense.
    """
    verdicts = values(fields, "Auth-Status")
    refusals = [each for each in verdicts if each != b"OK"]
    if refusals and (status in GOOD or status in CLIENT_ERRORS):
        return Refusal(shown(decode(refusals[0])))
    if status not in GOOD:
        raise ServerFailed(f"HTTP status {status}")
    if not verdicts:
        raise MapFailed("the answer has no Auth-Status")
    server, port, user = (last(fields, f"Auth-{name}") for name in ("Server", "Port", "User"))
    if not server:
        raise MapFailed("Auth-Status is OK, but there is no Auth-Server")
    host = decode(server)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if port and not port.isdigit():
        raise MapFailed(f"not a number of a port: {shown(decode(port))}")
    item = ServerItem(decode(user or b""), host, decode(port or b""))
    check_item(item, str(item))
    password = last(fields, "Auth-Pass")
    if password is not None and NO_PASSWORD.search(password):
        raise MapFailed("Auth-Pass has an octet in it that no password has")
    return Answer([item], password)


def values(fields: Fields, name: str) -> list[bytes]:
    """The octets of all headers of a name."""
    return [each.strip(" \t").encode("latin-1") for each in fields.getlist(name)]


def last(fields: Fields, name: str) -> bytes | None:
    """The octets of the last header of a name, as nginx has it; None where there is none."""
    found = values(fields, name)
    return found[-1] if found else None
