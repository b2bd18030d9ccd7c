"""What is to be reached: one table, with the verdicts on it.

A bound with a peer is one on the ratio of costs, ours to the peer's; one without is on a figure
of ours. An aim is a bound that is only hoped for.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from bench import OURS, Figures
from bench.scenarios import KINDS, WORKS

Verdict = Literal["met", "missed", "not measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The most that something may be.

    Attributes:
        work: of scenarios.py or checks.py.
        figure: which figure of it.
        limit: what it may be at most; less than that, with is_open.
        peer: whom it is compared with; None for a figure of our own.
        unit: of a figure of our own.
        is_aim: it is hoped for, and not a condition.
    """

    work: str
    figure: str
    limit: float
    peer: str | None = None
    unit: str = ""
    is_open: bool = False
    is_aim: bool = False

    def value(self, medians: Mapping[str, Figures]) -> float | None:
        """What is bounded, if it was measured.

        Args:
            medians: the figures of this work, by proxy.
        """
        ours = medians.get(OURS, {}).get(self.figure)
        if self.peer is None or ours is None:
            return ours
        theirs = medians.get(self.peer, {}).get(self.figure)
        return ours / theirs if theirs else None

    def verdict(self, medians: Mapping[str, Figures]) -> Verdict:
        """Whether the figures of this work keep to it."""
        value = self.value(medians)
        if value is None:
            return "not measured"
        is_met = value < self.limit if self.is_open else value <= self.limit
        return "met" if is_met else "missed"


def _costs(
    work: str, *, nginx: float, dovecot: float, perdition: float, aim: tuple[str, float]
) -> Iterator[Bound]:
    """The bounds of what a work costs, in proportion to what it costs others."""
    figure = KINDS[WORKS[work].mode].cost.key
    for peer, limit in {"nginx": nginx, "dovecot": dovecot, "perdition": perdition}.items():
        yield Bound(work=work, figure=figure, limit=limit, peer=peer)
    yield Bound(work=work, figure=figure, limit=aim[1], peer=aim[0], is_aim=True)


def _below(work: str, figure: str, limit: float, unit: str) -> Bound:
    return Bound(work=work, figure=figure, limit=limit, unit=unit, is_open=True)


def _at_most(work: str, figure: str, limit: float, unit: str) -> Bound:
    return Bound(work=work, figure=figure, limit=limit, unit=unit)


# fmt: off
BOUNDS: tuple[Bound, ...] = (
    *_costs("imap-login",     nginx=1.5,  dovecot=0.65, perdition=0.07, aim=("nginx", 1.0)),
    *_costs("pop3-login",     nginx=1.4,  dovecot=0.75, perdition=0.08, aim=("nginx", 1.0)),
    *_costs("imap-login-tls", nginx=1.4,  dovecot=0.9,  perdition=0.2,  aim=("nginx", 1.1)),
    *_costs("imap-bulk",      nginx=0.55, dovecot=0.5,  perdition=0.2,  aim=("haproxy", 0.7)),
    *_costs("imap-bulk-tls",  nginx=0.5,  dovecot=0.12, perdition=0.25, aim=("haproxy", 0.8)),
    *_costs("echo-32",        nginx=1.3,  dovecot=0.6,  perdition=0.45, aim=("nginx", 1.0)),
    *_costs("echo-32-tls",    nginx=1.4,  dovecot=0.45, perdition=0.45, aim=("nginx", 1.0)),
    *_costs("idle-1000",      nginx=0.5,  dovecot=0.15, perdition=0.03, aim=("haproxy", 1.0)),
    *_costs("idle-1000-tls",  nginx=0.8,  dovecot=0.3,  perdition=0.05, aim=("haproxy", 0.9)),
    _below("imap-login-tls-1", "p50_ms", 3, "ms"),
    # Of checks.py. Where something is to stay the same, the limit leaves room for noise.
    _at_most("spread-40", "uneven_percent", 20, "%"),
    _at_most("spread-1000", "uneven_percent", 20, "%"),
    _below("idle-10000", "cpu_percent", 1, "% of a CPU"),
    _at_most("idle-10000", "dead", 0, "sessions"),
    _below("login-while-relaying", "p99_ms", 50, "ms"),
    _at_most("cost-of-many", "cpu_growth", 1.15, "times"),
    _at_most("cost-of-many", "pss_growth", 1.1, "times"),
    _below("start", "seconds", 0.5, "s"),
    _at_most("growth", "percent", 3, "%"),
)
# fmt: on


def bounds_of(work: str) -> list[Bound]:
    """The bounds on a work, aims last."""
    return sorted((bound for bound in BOUNDS if bound.work == work), key=lambda each: each.is_aim)


def count(verdicts: Iterable[Verdict]) -> dict[Verdict, int]:
    """How many of each."""
    counts: dict[Verdict, int] = {"met": 0, "missed": 0, "not measured": 0}
    for verdict in verdicts:
        counts[verdict] += 1
    return counts
