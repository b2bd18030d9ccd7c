"""Results: the outcomes of all measurements, and their medians."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench import Failure, Figures
from bench.bounds import BOUNDS, Bound, Verdict

Outcome = Figures | Failure


def medians(outcomes: Sequence[Outcome]) -> Outcome:
    """The medians of all rounds that came to something; of errors, the sum."""
    good = [outcome for outcome in outcomes if not isinstance(outcome, Failure)]
    if not good:
        return outcomes[-1]
    figures = {key: median(each[key] for each in good if key in each) for key in good[0]}
    figures["errors"] = sum(each.get("errors", 0) for each in good)
    figures["failed_rounds"] = len(outcomes) - len(good)
    return figures


@dataclass(slots=True)
class Results:
    """What was measured.

    Attributes:
        about: the machine, versions, how it was measured.
        outcomes: by work (or check) and proxy, a value a round.
    """

    about: dict[str, Any] = field(default_factory=dict)
    outcomes: dict[str, dict[str, list[Outcome]]] = field(default_factory=dict)

    def add(self, work: str, proxy: str, outcome: Outcome) -> None:
        """Add the outcome of a round."""
        self.outcomes.setdefault(work, {}).setdefault(proxy, []).append(outcome)

    def summary(self, work: str) -> dict[str, Outcome]:
        """Medians of a work, by proxy; where there are none, why."""
        return {proxy: medians(rounds) for proxy, rounds in self.outcomes.get(work, {}).items()}

    def figures(self, work: str) -> dict[str, Figures]:
        """Medians of a work, by proxy."""
        return {
            proxy: outcome
            for proxy, outcome in self.summary(work).items()
            if not isinstance(outcome, Failure)
        }

    def verdicts(self) -> Iterator[tuple[Bound, Verdict]]:
        """All bounds on what was measured."""
        for bound in BOUNDS:
            proxies = self.outcomes.get(bound.work, {})
            if proxies and (bound.peer is None or bound.peer in proxies):
                yield bound, bound.verdict(self.figures(bound.work))

    def as_json(self) -> dict[str, Any]:
        """All of it, for a file."""
        return {
            "about": self.about,
            "medians": {
                work: {proxy: plain(outcome) for proxy, outcome in self.summary(work).items()}
                for work in self.outcomes
            },
            "rounds": {
                work: {proxy: [plain(each) for each in rounds] for proxy, rounds in by.items()}
                for work, by in self.outcomes.items()
            },
            "bounds": [
                {
                    "work": bound.work,
                    "figure": bound.figure,
                    "peer": bound.peer,
                    "limit": bound.limit,
                    "is_aim": bound.is_aim,
                    "value": bound.value(self.figures(bound.work)),
                    "verdict": verdict,
                }
                for bound, verdict in self.verdicts()
            ],
        }


def plain(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON has it."""
    if isinstance(outcome, Failure):
        return {"failure": outcome.reason}
    return {key: round(value, 6) for key, value in outcome.items()}
