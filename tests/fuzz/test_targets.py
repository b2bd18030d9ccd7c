"""Every parser of octets raises what it says, and nothing else: by a corpus, hypothesis, atheris."""

import contextlib
import importlib.metadata
import importlib.util
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from packaging.requirements import Requirement

from fuzz import fuzzer
from fuzz.framing import lines
from fuzz.target import CORPUS, Target, targets
from support.processes import lacking

TARGETS = targets()
# Of a cheap target, beside the corpus.
RUNS = 4000
# For a machine that is busy with something else.
SECONDS = 300
CORPUS_SIZE = 1 << 20


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_what_has_shown_something_once_shows_nothing_now(target: Target) -> None:
    for seed in target.seeds:
        target(seed)
    for path in target.corpus():
        target(path.read_bytes())


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_some_seed_of_a_target_is_what_it_reads(target: Target) -> None:
    """One that refuses everything would find nothing."""
    for seed in target.seeds:
        with contextlib.suppress(*target.documented):
            target.run(seed)
            return
    pytest.fail("all seeds are refused")


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_no_octets_lead_to_what_is_not_documented(target: Target) -> None:
    known = [*target.seeds, *(path.read_bytes() for path in target.corpus())]

    @settings(
        max_examples=max(10, 60 // target.cost),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(
        some.one_of(
            some.binary(max_size=300),
            some.builds(
                changed, some.sampled_from(known), some.integers(0), some.binary(max_size=9)
            ),
        )
    )
    def check(data: bytes) -> None:
        target(data)

    check()


def changed(data: bytes, place: int, other: bytes) -> bytes:
    """Octets with others in the place of some of them."""
    place %= len(data) + 1
    return data[:place] + other + data[place + len(other) // 2 :]


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_fuzzer_finds_nothing_in_so_many_runs(target: Target, tmp_path: Path) -> None:
    require_atheris()
    found = tmp_path / "found"
    fuzzer.prepare(target, found)
    runs = RUNS // target.cost
    done = fuzzer.run(fuzzer.fuzz(target, [f"-runs={runs}"], found, tmp_path), SECONDS)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-4000:]
    assert f"Done {runs} runs".encode() in done.stderr


def require_atheris() -> None:
    """Skip the test where atheris is missing; in CI it fails if one is to be had (setup.py)."""
    if importlib.util.find_spec("atheris") is not None:
        return
    needed = [Requirement(each) for each in importlib.metadata.requires("perdition") or ()]
    if any(
        each.name == "atheris" and each.marker and each.marker.evaluate({"extra": "fuzz"})
        for each in needed
    ):
        lacking("atheris is not installed: pip install '.[fuzz]'")
    pytest.skip("there is no atheris for this Python")


def test_a_fault_is_found_and_its_octets_are_kept() -> None:
    """What would be found if a parser let another exception out."""
    with pytest.raises(ZeroDivisionError):
        Target("", lambda data: print(1 // len(data)), (ValueError,))(b"")


def test_the_corpus_is_small_and_every_folder_of_it_is_a_targets() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(sizes) < CORPUS_SIZE


@pytest.mark.parametrize("said", [b"a\nb\r\n", b"a\rb\r\n", b"a", b"{1}\r\na\rb\r\n"])
def test_the_judge_sees_lines_that_are_none(said: bytes) -> None:
    with pytest.raises(AssertionError):
        lines(said, literals=True)


def test_the_judge_finds_the_end_of_literals() -> None:
    first, second = lines(b"a {4}\r\nb\r\nc d {0+}\r\n\r\ne\r\n", literals=True)
    assert (first.pieces, first.literals) == ((b"a {4}", b" d {0+}", b""), (b"b\r\nc", b""))
    assert second.pieces == (b"e",)
    (cut,) = lines(b"a {4}\r\nb\r\n", literals=True)
    assert not cut.is_whole
