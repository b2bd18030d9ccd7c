"""The pid file: who may take it, and who not."""

import errno
import fcntl
import os
import stat
import time
from pathlib import Path

import pytest

from perdition.logs import INFO, Log
from perdition.server import pidfile
from perdition.server.pidfile import PidFile, PidFileFailed
from perdition.server.privileges import Ids
from support.processes import as_root


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


def test_others_may_not_read_it_and_not_look_into_its_directory(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        PidFile(str(tmp_path / "run" / "pid"), None, Log("perdition", "/dev/null", INFO))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o770
    assert stat.S_IMODE((tmp_path / "run" / "pid").stat().st_mode) == 0o660


def test_those_whose_it_is_may_read_it_whatever_the_mask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        take(tmp_path / "pid")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "pid").stat().st_mode) == 0o660


@as_root
def test_it_and_its_directory_are_the_users(tmp_path: Path) -> None:
    path = tmp_path / "run" / "pid"
    PidFile(str(path), Ids(4711, 4712, ""), Log("perdition", "/dev/null", INFO))
    for each in (path, path.parent):
        assert (each.stat().st_uid, each.stat().st_gid) == (4711, 4712)


def test_what_others_have_put_in_its_place_is_not_written(tmp_path: Path) -> None:
    path, other = tmp_path / "pid", tmp_path / "other"
    taken = PidFile(str(path), None, Log("perdition", "/dev/null", INFO))
    other.write_text("what was there")
    path.unlink()
    path.symlink_to(other)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        taken.write()
    assert other.read_text() == "what was there"


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


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(PidFileFailed, match="without a process id"):
        take(path)


def test_of_two_starts_one_takes_a_stale_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("4294967296")
    others = []

    def is_anothers(number: str) -> bool:
        assert number == "4294967296"
        with pytest.raises(PidFileFailed, match="another start is under way") as caught:
            take(path)
        others.append(caught)
        return False

    monkeypatch.setattr(pidfile, "_is_anothers", is_anothers)
    take(path)
    assert len(others) == 1
    assert path.read_text() == str(os.getpid())


@pytest.mark.parametrize("runs", [True, False], ids=["runs", "has gone"])
def test_what_another_start_has_just_made_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    path.write_text("4294967296")
    flock = fcntl.flock

    def after_the_other(file: int, how: int) -> None:
        flock(file, how)
        monkeypatch.setattr(fcntl, "flock", flock)
        path.unlink()
        if runs:
            path.write_text(str(os.getppid()))

    monkeypatch.setattr(fcntl, "flock", after_the_other)
    if runs:
        with pytest.raises(PidFileFailed, match=f"process {os.getppid()} is running already"):
            take(path)
        assert path.read_text() == str(os.getppid())
    else:
        take(path)
        assert path.read_text() == str(os.getpid())


def test_a_file_that_cannot_be_written_is_not_left_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "write", write)
        with pytest.raises(PidFileFailed, match=f"^pid_file {path}: No space left on device$"):
            take(path)
    assert not path.exists()
    taken = PidFile(str(path), None, Log("perdition", str(path.with_name("log")), INFO))
    with monkeypatch.context() as full:
        full.setattr(os, "write", write)
        with pytest.raises(OSError, match="No space"):
            taken.write()
    assert path.read_text() == str(os.getpid())


def test_a_file_that_is_being_written_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.touch()
    monkeypatch.setattr(time, "sleep", lambda _seconds: path.write_text(str(os.getppid())))
    with pytest.raises(PidFileFailed, match=f"process {os.getppid()} is running already"):
        take(path)


def test_a_shorter_number_takes_the_place_of_a_longer_one(path: Path) -> None:
    taken = PidFile(str(path), None, Log("perdition", str(path.with_name("log")), INFO))
    path.write_text("9" * 50)
    taken.write()
    assert path.read_text() == str(os.getpid())


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "/dev/null"])
def test_what_never_ends_or_is_nothing_is_no_pid_file(device: str) -> None:
    with pytest.raises(PidFileFailed, match="without a process id"):
        PidFile(device, None, Log("perdition", "/dev/null", INFO))
