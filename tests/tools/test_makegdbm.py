"""makegdbm: what it says; that it works is in test_popmap.py."""

from pathlib import Path

import pytest

from support.popmaps import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, "makegdbm")


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
    assert files.shown() == {b"ann": b"1", b"bob": b"2"}


def test_a_file_that_cannot_be_made_is_a_failure(files: Files, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nothing" / "db")
    done = files.ours(nowhere, text=b"ann:1\n", status=255)
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
