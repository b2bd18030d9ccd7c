"""makegdbm and makebdb alike, and that their files and the originals' are read by both."""

import io
import os
import shlex
import signal
import stat
import sys
from pathlib import Path

import pytest

from perdition.maps import MapSettings, Query
from perdition.tools import makebdb, makegdbm
from perdition.tools.popmap import replacing
from support.popmaps import ENTRIES, LIBRARIES, MAPS, Files, pairs, popmap, run
from support.processes import require, wait_until

MAKE = {"makegdbm": makegdbm.make, "makebdb": makebdb.make}
POPMAP = popmap(ENTRIES)


@pytest.fixture(params=MAPS)
def files(tmp_path: Path, request: pytest.FixtureRequest) -> Files:
    return Files(tmp_path, request.param)


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
    assert files.shown() == ENTRIES
    assert {key: files.lookup(key) for key in ENTRIES} == ENTRIES


def test_ten_thousand_entries_go_both_ways(files: Files) -> None:
    many = {b"user%d" % number: b"mail%d:143" % (number % 7) for number in range(10_000)}
    files.ours(str(files.path), text=popmap(many))
    assert pairs(files.originals("-u", str(files.path)).stdout) == many
    files.originals(str(files.path), text=popmap(many))
    assert files.shown() == many


def test_the_last_line_needs_no_end(files: Files) -> None:
    files.ours(str(files.path), text=b"ann:one\nbob:two")
    assert files.shown() == {b"ann": b"one", b"bob": b"two"}


def test_lines_of_any_length_are_stored(files: Files) -> None:
    files.ours(str(files.path), text=b"ann:" + b"x" * 100_000 + b"\n")
    assert files.lookup(b"ann") == b"x" * 100_000


@pytest.mark.parametrize("who", ["ours", "originals"])
def test_usage(files: Files, who: str) -> None:
    usage = f"Usage: {files.tool} [options] {files.tool.removeprefix('make')}name\n".encode()
    run = getattr(files, who)
    for word in ("-h", "--help"):
        done = run(word)
        assert usage in done.stdout
        assert done.stderr == b""
    for words in ((), ("one", "two")):
        done = run(*words, status=255)
        assert usage in done.stderr
        assert done.stdout == b""


def test_an_unknown_option_is_complained_of(files: Files) -> None:
    done = files.ours(str(files.path), "--frobnicate", text=POPMAP)
    assert done.stderr == b"options: --frobnicate: unknown option\n"
    assert files.shown() == ENTRIES


def test_after_two_dashes_a_name_is_a_name(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files.ours("--", "-u", text=POPMAP)
    assert (tmp_path / "-u").exists()
    # One is a name by itself.
    files.ours("-", text=POPMAP)
    assert (tmp_path / "-").exists()


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


def test_a_failure_leaves_the_file_of_before_and_no_other(files: Files) -> None:
    files.ours(str(files.path), text=POPMAP)

    class Broken(io.RawIOBase):
        def __iter__(self) -> "Broken":
            return self

        def __next__(self) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        MAKE[files.tool](str(files.path), Broken())
    assert list(files.path.parent.iterdir()) == [files.path]
    assert files.shown() == ENTRIES


def test_what_is_no_file_stays_what_it_is(files: Files) -> None:
    # For /dev/null, which is that too.
    os.mkfifo(files.path)
    assert b"not a file" in files.ours(str(files.path), text=POPMAP, status=255).stderr
    assert stat.S_ISFIFO(files.path.stat().st_mode)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_the_file_of_before_and_no_other(
    files: Files, number: signal.Signals
) -> None:
    files.ours(str(files.path), text=POPMAP)
    with files.started(str(files.path)) as process:
        folder = files.path.parent
        wait_until(lambda: len(list(folder.iterdir())) > 1, 20, "a new file is begun")
        process.send_signal(number)
        assert process.wait(20) == 128 + number
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert list(folder.iterdir()) == [files.path]
    assert files.shown() == ENTRIES


def test_a_closed_standard_input_is_complained_of(files: Files) -> None:
    command = f"{shlex.join(files.command)} {files.path} <&-"
    done = run(["sh", "-c", command], b"", 255, files.environment)
    assert b"Bad file descriptor" in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_proxy_finds_what_was_there_before_until_the_new_file_is_whole(files: Files) -> None:
    files.ours(str(files.path), text=b"ann:one\n")
    found = MAPS[files.tool](str(files.path), MapSettings())
    assert found.lookup(Query(b"ann")) == b"one"
    files.ours(str(files.path), text=b"ann:two\n")
    assert found.lookup(Query(b"ann")) == b"two"
    files.originals(str(files.path), text=b"ann:three\n")
    # The original writes the file in its place.
    assert (
        wait_until(
            lambda: (value := found.lookup(Query(b"ann"))) != b"two" and value, 5, "the new value"
        )
        == b"three"
    )
    found.close()


def test_the_makefile_makes_both(tmp_path: Path) -> None:
    (tmp_path / "popmap").write_bytes(POPMAP)
    for tool in MAPS:
        program = tmp_path / tool
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m perdition.tools.{tool} "$@"\n')
        program.chmod(0o755)
    makefile = Path(__file__).parents[2] / "conf/perdition/Makefile.popmap"
    command = [require("make"), "-s", "-C", str(tmp_path), "-f", str(makefile)]
    run([*command, f"BINDIR={tmp_path}"], b"", 0, os.environ | {"PYTHONPATH": LIBRARIES})
    for tool, name in (("makegdbm", "popmap.gdbm.db"), ("makebdb", "popmap.bdb.db")):
        found = MAPS[tool](str(tmp_path / name), MapSettings())
        assert {key: found.lookup(Query(key)) for key in ENTRIES} == ENTRIES
        found.close()


def test_a_name_that_leads_in_a_circle_is_no_file(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="Too many levels of symbolic links"), replacing(str(loop)):
        pass
