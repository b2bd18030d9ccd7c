"""makegdbm, and that its files and those of the original are read by both."""

import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from perdition.maps import MapSettings, Query
from perdition.maps.gdbm import Gdbm
from perdition.tools import makegdbm
from support.processes import require

ENTRIES = {
    b"ann": b"mail1.example.com:143",
    b"bob": b"anna@[::1]:143",
    b"#zoe": b"mail:2",
    b" eve ": b" a:b:c ",
    b"m\xfcller": b"caf\xe9",
    b"carol\r": b"mail3",
}
POPMAP = b"".join(b"%b:%b\n" % entry for entry in ENTRIES.items())


class Files:
    """A directory, and the two programs run in it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "popmap.gdbm.db"

    def ours(
        self, *arguments: str, text: bytes = b"", status: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "perdition.tools.makegdbm", *arguments]
        found = os.environ | {"PYTHONPATH": str(Path(makegdbm.__file__).parents[2])}
        return self.run(command, text, status, found)

    def originals(
        self, *arguments: str, text: bytes = b"", status: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        return self.run([require("makegdbm"), *arguments], text, status, dict(os.environ))

    @staticmethod
    def run(
        command: list[str], text: bytes, status: int, environment: dict[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            command, input=text, capture_output=True, check=False, env=environment, timeout=60
        )
        assert done.returncode == status, done.stderr
        return done

    def lookup(self, key: bytes) -> bytes | None:
        """What the proxy finds in the file."""
        found = Gdbm(str(self.path), MapSettings())
        try:
            return found.lookup(Query(key))
        finally:
            found.close()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def pairs(shown: bytes) -> dict[bytes, bytes]:
    """The entries that --undo has shown; the original puts NULs after colon and end."""
    lines = shown.replace(b"\0", b"").split(b"\n")
    assert lines.pop() == b""
    return {key: value for key, _colon, value in (line.partition(b":") for line in lines)}


def test_what_is_made_is_what_is_found_and_shown(files: Files) -> None:
    done = files.ours(str(files.path), text=POPMAP)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert {key: files.lookup(key) for key in ENTRIES} == ENTRIES
    assert files.lookup(b"nobody") is None
    shown = files.ours("-u", str(files.path)).stdout
    assert pairs(shown) == ENTRIES
    assert b"\0" not in shown
    again = files.ours(str(files.path), text=shown)
    assert again.stderr == b""
    assert files.ours("--undo", str(files.path)).stdout == shown


def test_the_original_reads_our_file(files: Files) -> None:
    files.ours(str(files.path), text=POPMAP)
    assert pairs(files.originals("-u", str(files.path)).stdout) == ENTRIES


def test_we_read_the_originals_file(files: Files) -> None:
    files.originals(str(files.path), text=POPMAP)
    assert pairs(files.ours("-u", str(files.path)).stdout) == ENTRIES
    assert {key: files.lookup(key) for key in ENTRIES} == ENTRIES


def test_ten_thousand_entries_go_both_ways(files: Files) -> None:
    many = {b"user%d" % number: b"mail%d:143" % (number % 7) for number in range(10_000)}
    text = b"".join(b"%b:%b\n" % entry for entry in many.items())
    files.ours(str(files.path), text=text)
    shown = files.originals("-u", str(files.path)).stdout
    assert pairs(shown) == many
    files.originals(str(files.path), text=text)
    assert pairs(files.ours("-u", str(files.path)).stdout) == many


def test_the_last_line_needs_no_end(files: Files) -> None:
    files.ours(str(files.path), text=b"ann:one\nbob:two")
    assert pairs(files.ours("-u", str(files.path)).stdout) == {b"ann": b"one", b"bob": b"two"}


def test_lines_of_any_length_are_stored(files: Files) -> None:
    files.ours(str(files.path), text=b"ann:" + b"x" * 100_000 + b"\n")
    assert files.lookup(b"ann") == b"x" * 100_000


COMPLAINTS = [
    (b"ann:1\nno colon\nbob:2\n", b"makegdbm: invalid input on line: 2 \n"),
    (b":1\nann:1\nbob:2\n", b"makegdbm: invalid input on line: 1 \n"),
    (b"ann:1\n\n \t \nbob:\nbob:2\n", b"makegdbm: invalid input on line: 4 \n"),
    (b"ann:1\nann:3\nbob:2\n", b"makegdbm: dupicate key: ann\n"),
]


@pytest.mark.parametrize("who", ["ours", "originals"])
@pytest.mark.parametrize(("text", "complaint"), COMPLAINTS)
def test_a_line_that_is_wrong_is_complained_of_and_left_out(
    files: Files, text: bytes, complaint: bytes, who: str
) -> None:
    done = getattr(files, who)(str(files.path), text=text)
    assert done.stderr == complaint
    assert pairs(files.ours("-u", str(files.path)).stdout) == {b"ann": b"1", b"bob": b"2"}


def test_a_file_that_cannot_be_made_is_a_failure(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nothing" / "db")
    done = Files(tmp_path).ours(nowhere, text=POPMAP, status=255)
    assert done.stderr == b"makegdbm_new: gdbm_open: File open error: No such file or directory\n"


def test_a_file_that_is_not_there_cannot_be_shown(files: Files) -> None:
    done = files.ours("-u", str(files.path), status=255)
    assert done.stderr == b"makegdbm_undo: gdbm_open: File open error: No such file or directory\n"
    assert files.originals("-u", str(files.path), status=255).stderr.startswith(
        b"makegdbm_undo: gdbm_open: "
    )


def test_a_file_that_is_none_of_gdbms_cannot_be_shown(files: Files) -> None:
    files.path.write_bytes(b"ann:mail\n" * 1000)
    done = files.ours("-u", str(files.path), status=255)
    assert done.stderr.startswith(b"makegdbm_undo: gdbm_open: ")


@pytest.mark.parametrize("who", ["ours", "originals"])
def test_an_empty_file_is_said_to_be_so(files: Files, who: str) -> None:
    files.ours(str(files.path))
    done = getattr(files, who)("-u", str(files.path))
    assert (done.stdout, done.stderr) == (b"", b"makegdbm: makegdbm_undo: no first key\n")


USAGE = b"Usage: makegdbm [options] gdbmname\n"


@pytest.mark.parametrize("who", ["ours", "originals"])
def test_usage(files: Files, who: str) -> None:
    run = getattr(files, who)
    for word in ("-h", "--help"):
        done = run(word)
        assert USAGE in done.stdout
        assert done.stderr == b""
    for words in ((), ("one", "two")):
        done = run(*words, status=255)
        assert USAGE in done.stderr
        assert done.stdout == b""


def test_an_unknown_option_is_complained_of(files: Files) -> None:
    done = files.ours(str(files.path), "--frobnicate", text=POPMAP)
    assert done.stderr == b"options: --frobnicate: unknown option\n"
    assert pairs(files.ours("-u", str(files.path)).stdout) == ENTRIES


def test_after_two_dashes_a_name_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = Files(tmp_path)
    files.ours("--", "-u", text=POPMAP)
    assert (tmp_path / "-u").exists()


def test_a_new_file_may_be_read_by_all_and_one_that_is_replaced_keeps_its_mode(
    files: Files,
) -> None:
    before = os.umask(0o022)
    try:
        files.ours(str(files.path), text=POPMAP)
        assert stat.S_IMODE(files.path.stat().st_mode) == 0o644
        files.path.chmod(0o600)
        files.ours(str(files.path), text=POPMAP)
        assert stat.S_IMODE(files.path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_failure_leaves_the_file_of_before_and_no_other(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.ours(str(files.path), text=POPMAP)

    class Broken(io.RawIOBase):
        def __iter__(self) -> "Broken":
            return self

        def __next__(self) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        makegdbm.make(str(files.path), Broken())
    assert list(files.path.parent.iterdir()) == [files.path]
    assert pairs(files.ours("-u", str(files.path)).stdout) == ENTRIES


def test_the_proxy_finds_what_was_there_before_until_the_new_file_is_whole(files: Files) -> None:
    files.ours(str(files.path), text=b"ann:one\n")
    found = Gdbm(str(files.path), MapSettings())
    assert found.lookup(Query(b"ann")) == b"one"
    files.ours(str(files.path), text=b"ann:two\n")
    assert found.lookup(Query(b"ann")) == b"two"
    files.originals(str(files.path), text=b"ann:three\n")
    assert found.lookup(Query(b"ann")) == b"three"
    found.close()
