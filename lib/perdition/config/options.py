"""Every option, declared once: the fields of `Options` are the table.

The command line, the file, ``--help``, the sample file and docs/options.md are views of it. A new
option is a new field: of `AddedOptions`, or of `TlsOptions`.
"""

import dataclasses
import grp
from dataclasses import dataclass
from typing import Any

from perdition.config.general_options import DEPENDENT
from perdition.config.ssl_mode import SslMode
from perdition.config.table import Row
from perdition.config.tls_options import TlsOptions

# Default ports by name, and by number for no_lookup.
PORTS = {
    "POP3": ("pop3", "110"),
    "POP3S": ("pop3s", "995"),
    "IMAP4": ("imap", "143"),
    "IMAP4S": ("imaps", "993"),
    "MANAGESIEVE": ("sieve", "4190"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(TlsOptions):
    """The options in force. A text that is empty is not set.

    Attributes:
        program: the name that the program was called by.
        masks: the bits of the options on the command line, as the dump shows them.
    """

    program: str = "perdition"
    masks: tuple[int, int, int] = (0, 0, 0)

    @property
    def effective_ssl_mode(self) -> SslMode:
        """The mode in force: POP3S and IMAP4S have TLS on both sides unless told otherwise."""
        if not self.ssl_mode and self.protocol in ("POP3S", "IMAP4S"):
            return SslMode.SSL_ALL
        return self.ssl_mode

    @property
    def is_foreground(self) -> bool:
        """Whether the program stays with its terminal."""
        return self.no_daemon or self.inetd_mode or self.log_facility.startswith(("-", "+"))


ROWS: dict[str, Row] = {
    field.name: field.metadata["option"]
    for field in dataclasses.fields(Options)
    if "option" in field.metadata
}
DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in dataclasses.fields(Options) if field.name in ROWS
}
LETTERS = {row.short: name for name, row in ROWS.items() if row.short}


def default_group() -> str:
    """Name the group that goes with nobody on this host."""
    try:
        return grp.getgrnam("nogroup").gr_name
    except KeyError:
        return "nobody"


def complete(values: dict[str, Any], program: str, protocol: str) -> dict[str, Any]:
    """Add the defaults that depend on the program's name, or on other options.

    Args:
        values: of the options that were given.
        program: the name that the program was called by.
        protocol: what that name implies.
    """
    found = {"protocol": protocol, "pid_file": f"/var/run/{program}/{program}.pid"} | values
    found["username"] = found.get("username") or DEFAULTS["username"]
    found["group"] = found.get("group") or default_group()
    name, number = PORTS[found["protocol"]]
    for port in ("listen_port", "outgoing_port"):
        if found.get(port, "") in ("", DEPENDENT):
            found[port] = number if found.get("no_lookup") else name
    return found
