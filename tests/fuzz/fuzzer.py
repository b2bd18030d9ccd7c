"""Starting the fuzzer: a process for each target, for libFuzzer does not return."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fuzz.target import CORPUS, Target

# Octets: the lengths that lines may have are in the tests of the protocols.
LONGEST = 4096
LIBFUZZER = ("-rss_limit_mb=1024", "-timeout=20", "-seed=1", f"-max_len={LONGEST}")


def prepare(target: Target, found: Path) -> None:
    """Put the seeds of a target into a folder."""
    found.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (found / f"seed-{number}").write_bytes(seed)


def fuzz(target: Target, limits: Sequence[str], found: Path, faults: Path) -> list[str]:
    """The command that fuzzes a target.

    Args:
        target: which one.
        limits: options of libFuzzer that end it.
        found: the folder of what reaches new places; the corpus is read as well.
        faults: the folder where the octets of a fault go.
    """
    folders = [found, *([folder] if (folder := CORPUS / target.name).is_dir() else [])]
    return command(target, [*limits, f"-artifact_prefix={faults}/", *map(str, folders)])


def merge(target: Target, found: Path) -> list[str]:
    """The command that adds to the corpus what was found and reaches more than that."""
    corpus = CORPUS / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    # Each place once, not each number of times that it is reached.
    return command(target, ["-merge=1", "-use_counters=0", str(corpus), str(found)])


def command(target: Target, arguments: Sequence[str]) -> list[str]:
    """The command of a process that is the fuzzer, with arguments of libFuzzer."""
    start = [sys.executable, str(CORPUS.parent / "inside.py"), target.module, target.name]
    return [*start, *LIBFUZZER, *arguments]


def run(words: Sequence[str], seconds: float | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run such a command, and keep what it says."""
    with tempfile.TemporaryDirectory() as scratch:
        return subprocess.run(
            words, capture_output=True, check=False, timeout=seconds, env=using(scratch)
        )


def using(scratch: str) -> dict[str, str]:
    """The environment of such a command: libFuzzer ends it before it can remove its files."""
    return {**os.environ, "TMPDIR": scratch}
