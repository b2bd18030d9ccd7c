"""The pid file: who may take it, and who not."""

import os
from pathlib import Path

import pytest

from perdition.logs import INFO, Log
from perdition.server.pidfile import PidFile, PidFileFailed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pid"


def take(path: Path) -> str:
    """Take it; what the log has then."""
    log = path.with_name("log")
    PidFile(str(path), None, Log("perdition", str(log), INFO))
    return log.read_text()


def test_it_has_our_number(path: Path) -> None:
    assert take(path) == ""
    assert path.read_text() == str(os.getpid())


# In a container we have the number of the one that was killed.
@pytest.mark.parametrize(
    "number",
    [str(os.getpid()), f"{os.getpid()}\n", "4294967296", "9" * 5000],
    ids=["ours", "our line", "too large", "too long"],
)
def test_the_number_of_no_other_process_is_stale(path: Path, number: str) -> None:
    path.write_text(number)
    assert take(path).endswith(f": Removed stale pid-file [{path}]\n")
    assert path.read_text() == str(os.getpid())


def test_the_number_of_another_process_is_not(path: Path) -> None:
    path.write_text(str(os.getppid()))
    with pytest.raises(PidFileFailed, match="is running already"):
        take(path)
    assert path.read_text() == str(os.getppid())


@pytest.mark.parametrize("text", ["", "perdition", "-1", "0", "00"])
def test_a_file_without_a_number_is_left_alone(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(PidFileFailed, match="without a process id"):
        take(path)
    assert path.read_text() == text
