"""makebdb: what it says; that it works is in test_popmap.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.popmaps import ENTRIES, LIBRARIES, Files, popmap
from support.processes import require

THERE = b"makebdb: BDB0067 DB_KEYEXIST: Key/data pair already exists (key: ann)\n"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, "makebdb")


@pytest.mark.parametrize("who", ["ours", "originals"])
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"ann:1\nno colon\nbob:2\n", b"makebdb: invalid input on line: 2 \n"),
        (b"ann:1\n\n \t \nann:3\nbob:2\n", THERE),
    ],
)
def test_a_line_that_is_wrong_is_complained_of_and_left_out(
    files: Files, text: bytes, complaint: bytes, who: str
) -> None:
    done = getattr(files, who)(str(files.path), text=text)
    assert done.stderr == complaint
    assert files.shown() == {b"ann": b"1", b"bob": b"2"}


@pytest.mark.parametrize("who", ["ours", "originals"])
def test_empty_keys_and_values_are_stored(files: Files, who: str) -> None:
    done = getattr(files, who)(str(files.path), text=b":one\nbob:\n")
    assert done.stderr == b""
    assert files.shown() == {b"": b"one", b"bob": b""}
    assert (files.lookup(b""), files.lookup(b"bob")) == (b"one", b"")


@pytest.mark.parametrize("who", ["ours", "originals"])
def test_an_empty_file_has_nothing_to_show(files: Files, who: str) -> None:
    files.ours(str(files.path))
    done = getattr(files, who)("-u", str(files.path))
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.parametrize("who", ["ours", "originals"])
def test_what_cannot_be_opened_is_a_failure(files: Files, tmp_path: Path, who: str) -> None:
    run = getattr(files, who)
    no_file = b"No such file or directory\n"
    nowhere = str(tmp_path / "nothing" / "db")
    assert run(nowhere, text=b"ann:1\n", status=255).stderr == b"makebdb_new: DB->open: " + no_file
    shown = run("-u", str(files.path), status=255)
    assert shown.stderr == b"makebdb_undo: DB->open: " + no_file
    shown = run("-u", str(tmp_path), status=255)
    assert shown.stderr.splitlines()[-1] == b"makebdb_undo: DB->open: Is a directory"


@pytest.mark.parametrize("who", ["ours", "originals"])
@pytest.mark.parametrize("octets", [b"", b"ann:mail\n" * 1000])
def test_what_is_no_berkeley_db_cannot_be_shown(files: Files, octets: bytes, who: str) -> None:
    files.path.write_bytes(octets)
    done = getattr(files, who)("-u", str(files.path), status=255)
    assert done.stderr.splitlines()[-1] == b"makebdb_undo: DB->open: Invalid argument"


def test_db_dump_shows_a_hash(files: Files) -> None:
    files.ours(str(files.path), text=popmap(ENTRIES))
    dumped = subprocess.run(
        [require("db_dump"), "-p", str(files.path)], capture_output=True, check=True
    ).stdout.splitlines()
    assert b"type=hash" in dumped
    assert b" mail1.example.com:143" in dumped


def test_without_the_library_it_says_what_to_install(files: Files) -> None:
    program = (
        "import sys\n"
        "sys.modules['berkeleydb'] = sys.modules['bsddb3'] = None\n"
        "from perdition.tools import makebdb\n"
        "sys.exit(makebdb.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(files.path)],
        input=b"ann:1\n",
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONPATH": LIBRARIES},
    )
    assert done.returncode == 255
    assert done.stderr.endswith(b": install Debian's python3-bsddb3 or PyPI's berkeleydb\n")
    assert list(files.path.parent.iterdir()) == []
