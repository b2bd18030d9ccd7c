"""User names: what was typed, and the names used in each state.

The reference is options.md sections 9 and 10.
"""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

# The escapes of query_key; "?" stands for the rest.
ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
KNOWN_ESCAPES = frozenset("UuDdiIpP\\")


class State(enum.StrEnum):
    """A point at which a user name is used (reference: options.md section 9)."""

    SERVERNAME_LOOKUP = "servername_lookup"
    LOCAL_AUTHENTICATION = "local_authentication"
    REMOTE_LOGIN = "remote_login"


class AddDomain(NamedTuple):
    """In which states a domain is added, and how many labels of the host's name are left out."""

    states: frozenset[State] = frozenset()
    depth: int = 1


class Ends(NamedTuple):
    """The two ends of the client's connection: address and port of each."""

    client: str
    client_port: int
    local: str
    local_port: int


@dataclass(frozen=True, slots=True)
class NameRules:
    """What the options do to a name on its way.

    Attributes:
        delimiter: between user and domain, of any length but none.
        strip: states in which the domain goes.
        add: states in which a domain is added to a name without one.
        lower: states in which the name goes to lower case, ASCII letters only.
        explicit_domain: the domain to add; empty for that of the address the client reached.
    """

    delimiter: str
    strip: frozenset[State]
    add: AddDomain
    lower: frozenset[State]
    explicit_domain: str

    def name_for(
        self, state: State, name: str, host: Callable[[], str], *, strip: bool = True
    ) -> str:
        """The name to use in a state.

        Args:
            state: the point at which it is used.
            name: the stored name of the log-in.
            host: gives the name of the address that the client reached; asked when needed.
            strip: False keeps the domain whatever the options say.
        """
        if strip and state in self.strip:
            name = self.split(name)[0]
        if state in self.add.states and self.delimiter not in name:
            domain = self.explicit_domain or domain_of(host(), self.add.depth)
            if domain:
                name += self.delimiter + domain
        if state in self.lower:
            name = name.translate(LOWER)
        return name

    def split(self, name: str) -> tuple[str, str]:
        """User and domain: what stands before and after the last delimiter."""
        user, found, domain = name.rpartition(self.delimiter)
        return (user, domain) if found else (name, "")


LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def domain_of(host: str, depth: int) -> str:
    """What is left of a host's name without its first labels; empty where there are too few."""
    labels = host.split(".")
    return ".".join(labels[depth:]) if depth < len(labels) else ""


def check_key_format(text: str) -> None:
    """Check a format of query_key.

    Raises:
        ValueError: it has an escape that there is not; the text says which.
    """
    for escape in ESCAPE.findall(text):
        if escape not in KNOWN_ESCAPES:
            raise ValueError(f"unknown escape \\{escape}" if escape else "\\ at the end")


def key(text: str, name: str, rules: NameRules, ends: Ends) -> str:
    """The key to look up, by a format of query_key (reference: options.md section 10)."""
    user, domain = rules.split(name)
    values = {
        "U": name,
        "u": user,
        "D": rules.delimiter,
        "d": domain,
        "i": ends.client,
        "I": ends.local,
        "p": str(ends.client_port),
        "P": str(ends.local_port),
        "\\": "\\",
    }
    return ESCAPE.sub(lambda found: values[found[1]], text)
