"""The table of bounds, and its verdicts."""

import pytest

from bench import OURS
from bench.bounds import BOUNDS, Bound, Verdict, bounds_of, count
from bench.checks import CHECKS
from bench.peers import OTHERS
from bench.scenarios import KINDS, WORKS

RATIO = Bound(work="echo-32", figure="cpu_us", limit=1.5, peer="nginx")
CASES: list[tuple[Bound, dict[str, dict[str, float]], Verdict]] = [
    (RATIO, {OURS: {"cpu_us": 15}, "nginx": {"cpu_us": 10}}, "met"),
    (RATIO, {OURS: {"cpu_us": 16}, "nginx": {"cpu_us": 10}}, "missed"),
    (RATIO, {OURS: {"cpu_us": 16}}, "not measured"),
    (RATIO, {"nginx": {"cpu_us": 10}}, "not measured"),
    (RATIO, {OURS: {"cpu_us": 16}, "nginx": {"cpu_us": 0}}, "not measured"),
    (Bound(work="start", figure="seconds", limit=0.5), {OURS: {"seconds": 0.5}}, "met"),
    (
        Bound(work="start", figure="seconds", limit=0.5, is_open=True),
        {OURS: {"seconds": 0.5}},
        "missed",
    ),
    (Bound(work="start", figure="seconds", limit=0.5), {OURS: {}}, "not measured"),
]


@pytest.mark.parametrize(("bound", "medians", "verdict"), CASES)
def test_a_bound_is_met_or_missed(
    bound: Bound, medians: dict[str, dict[str, float]], verdict: Verdict
) -> None:
    assert bound.verdict(medians) == verdict


@pytest.mark.parametrize("bound", BOUNDS, ids=str)
def test_a_bound_is_on_something_that_is_measured(bound: Bound) -> None:
    if bound.work in CHECKS:
        assert bound.peer is None
        return
    kind = KINDS[WORKS[bound.work].mode]
    assert bound.figure in {each.key for each in (kind.cost, *kind.others)}
    if bound.peer is not None:
        assert bound.peer in OTHERS
        assert bound.figure == kind.cost.key


def test_no_bound_stands_twice() -> None:
    keys = [(each.work, each.figure, each.peer, each.is_aim) for each in BOUNDS]
    assert len(keys) == len(set(keys))


def test_every_check_has_a_bound() -> None:
    assert set(CHECKS) <= {bound.work for bound in BOUNDS}


def test_the_bounds_of_a_work_end_with_the_aim() -> None:
    assert [bound.is_aim for bound in bounds_of("imap-login")] == [False, False, False, True]


def test_verdicts_are_counted() -> None:
    assert count(["met", "missed", "met"]) == {"met": 2, "missed": 1, "not measured": 0}
