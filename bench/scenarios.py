"""What is measured: a table of works, each an amount of load of one kind."""

from dataclasses import dataclass
from typing import Literal

Mode = Literal["login", "bulk", "upload", "echo", "idle"]
Protocol = Literal["imap", "pop3"]
Tls = Literal["none", "tls", "starttls"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A column of a table: a figure by its name in results, and how it is shown."""

    key: str
    heading: str
    places: int


@dataclass(frozen=True, slots=True)
class Kind:
    """What the works of one mode have in common.

    Attributes:
        cost: what a unit of work costs; ratios are made of this one.
        others: what is shown beside it.
    """

    cost: Figure
    others: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of load.

    Attributes:
        name: as it is called in results and on the command line.
        title: in words.
        mode: of the load generator.
        clients: how many at a time.
        scale: how long it runs, as a part of the time of a measurement.
        is_core: whether it is measured if nothing else is said.
        is_quick: whether it is part of the short form, too.
    """

    name: str
    title: str
    mode: Mode
    clients: int
    protocol: Protocol = "imap"
    tls: Tls = "none"
    scale: float = 1.0
    is_core: bool = True
    is_quick: bool = False


P50_MS = Figure("p50_ms", "p50 ms", 2)
P99_MS = Figure("p99_ms", "p99 ms", 2)
_RELAY = Kind(
    Figure("cpu_s_gb", "CPU s/GB", 3), (Figure("mb_s", "MB/s", 0), Figure("p50_ms", "p50 ms", 1))
)
KINDS: dict[Mode, Kind] = {
    "login": Kind(
        Figure("cpu_ms", "CPU ms/log-in", 3), (Figure("rate", "log-ins/s", 0), P50_MS, P99_MS)
    ),
    "bulk": _RELAY,
    "upload": _RELAY,
    "echo": Kind(
        Figure("cpu_us", "CPU µs/round trip", 1),
        (Figure("rate", "round trips/s", 0), P50_MS, P99_MS),
    ),
    "idle": Kind(
        Figure("pss_kib", "PSS KiB/session", 1),
        (Figure("pss_mib", "PSS MiB in all", 1), Figure("alive", "alive", 0)),
    ),
}

WORKS: dict[str, Work] = {
    work.name: work
    for work in (
        Work("imap-login", "log-in, plain", "login", 32, is_quick=True),
        Work("pop3-login", "log-in, plain, POP3", "login", 32, "pop3", is_quick=True),
        Work("imap-login-tls", "log-in, TLS", "login", 64, tls="tls", is_quick=True),
        Work("imap-login-1", "log-in, plain, a lone client", "login", 1, scale=0.6),
        Work(
            "imap-login-tls-1",
            "log-in, TLS, a lone client",
            "login",
            1,
            tls="tls",
            scale=0.6,
            is_quick=True,
        ),
        Work("imap-bulk", "large messages, plain", "bulk", 4, is_quick=True),
        Work("imap-bulk-tls", "large messages, TLS", "bulk", 4, tls="tls", is_quick=True),
        Work("echo-1", "round trip, plain, a lone session", "echo", 1, scale=0.6),
        Work("echo-1-tls", "round trip, TLS, a lone session", "echo", 1, tls="tls", scale=0.6),
        Work("echo-32", "round trip, plain", "echo", 32, scale=0.6, is_quick=True),
        Work("echo-32-tls", "round trip, TLS", "echo", 32, tls="tls", scale=0.6, is_quick=True),
        Work("idle-1000", "memory, plain", "idle", 1000, is_quick=True),
        Work("idle-1000-tls", "memory, TLS", "idle", 1000, tls="tls", is_quick=True),
        Work("pop3-login-tls", "log-in, TLS, POP3", "login", 64, "pop3", "tls", is_core=False),
        Work("imap-login-starttls", "log-in, STARTTLS", "login", 64, tls="starttls", is_core=False),
        Work("pop3-bulk", "large messages, plain, POP3", "bulk", 4, "pop3", is_core=False),
        Work("pop3-bulk-tls", "large messages, TLS, POP3", "bulk", 4, "pop3", "tls", is_core=False),
        Work("imap-upload", "large uploads, plain", "upload", 4, is_core=False),
        Work("imap-upload-tls", "large uploads, TLS", "upload", 4, tls="tls", is_core=False),
        Work("pop3-idle-1000", "memory, plain, POP3", "idle", 1000, "pop3", is_core=False),
        Work("idle-5000", "memory of 5,000, plain", "idle", 5000, is_core=False),
        Work("idle-5000-tls", "memory of 5,000, TLS", "idle", 5000, tls="tls", is_core=False),
    )
}
