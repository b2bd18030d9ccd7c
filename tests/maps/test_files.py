"""Maps in files, of every kind alike: what happens to the file while it is used."""

import errno
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from perdition.maps import MapFailed, MapSettings, Query
from perdition.maps.bdb import Bdb
from perdition.maps.cdb import Cdb
from perdition.maps.files import FileMap
from perdition.maps.gdbm import Gdbm
from perdition.maps.regex import Regex
from perdition.tools import makebdb, makegdbm
from support.popmaps import make_cdb, popmap
from support.processes import require, wait_until

Entries = Mapping[bytes, bytes]
SECONDS = 5
HOSTILE = [
    b"' OR 1=1 --",
    b"*)(uid=*",
    b"%s",
    b"\\",
    b"a\0b",
    b"\0",
    b"",
    b"x" * 10_000,
    b"\xff\xfe",
]


def make_regex(path: Path, entries: Entries) -> None:
    path.write_bytes(b"".join(b"'^%b$': '%b'\n" % entry for entry in entries.items()))


def make_gdbm(path: Path, entries: Entries) -> None:
    makegdbm.make(str(path), popmap(dict(entries)).splitlines(keepends=True))


def make_bdb(path: Path, entries: Entries) -> None:
    makebdb.make(str(path), popmap(dict(entries)).splitlines(keepends=True))


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        map: the map that reads it.
        make: makes a file of entries.
        broken: octets that are no such file.
    """

    map: type[FileMap]
    make: Callable[[Path, Entries], None]
    broken: bytes = b"not what it should be\n" * 300


KINDS = {
    "gdbm": Kind(Gdbm, make_gdbm),
    "bdb": Kind(Bdb, make_bdb),
    "cdb": Kind(Cdb, lambda path, entries: make_cdb(path, dict(entries))),
    "posix_regex": Kind(Regex, make_regex, b"^user(: host\n"),
}
DATABASES = ("gdbm", "bdb", "cdb")


class Popmap:
    """A file, and the map in it.

    Attributes:
        path: of the file.
        told: what the map has told.
    """

    def __init__(self, kind: Kind, directory: Path) -> None:
        self.kind = kind
        self.path = directory / "popmap"
        self.told: list[str] = []
        self._opened: list[FileMap] = []
        self._writes = 0

    def octets(self, entries: Entries) -> bytes:
        """A file with these entries."""
        made = self.path.with_name("made")
        self.kind.make(made, entries)
        octets = made.read_bytes()
        made.unlink()
        return octets

    def rewrite(self, octets: bytes) -> None:
        """Write the file in its place, a while ago."""
        self._writes += 1
        self.path.write_bytes(octets)
        then = time.time_ns() - 10**12 + self._writes
        os.utime(self.path, ns=(then, then))

    def replace(self, octets: bytes) -> None:
        """Put another file in its place, that is written just now."""
        new = self.path.with_name("new")
        new.write_bytes(octets)
        new.replace(self.path)

    def open(self) -> FileMap:
        """The map."""
        opened = self.kind.map(str(self.path), MapSettings(tell=self.told.append))
        self._opened.append(opened)
        return opened

    def close(self) -> None:
        for each in self._opened:
            each.close()


@pytest.fixture(params=KINDS)
def popmap_file(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Popmap]:
    made = Popmap(KINDS[request.param], tmp_path)
    yield made
    made.close()


def ask(opened: FileMap, key: bytes) -> bytes | None:
    return opened.lookup(Query(key))


def test_keys_are_found_or_not(popmap_file: Popmap) -> None:
    popmap_file.rewrite(popmap_file.octets({b"ann": b"one", b"m\xfcller": b"two"}))
    opened = popmap_file.open()
    found = [ask(opened, key) for key in (b"ann", b"m\xfcller", b"bob", b"Ann", b"ann ")]
    assert found == [b"one", b"two", None, None, None]


def test_hostile_keys_are_not_found(popmap_file: Popmap) -> None:
    popmap_file.rewrite(popmap_file.octets({b"ann": b"one"}))
    opened = popmap_file.open()
    assert [ask(opened, key) for key in HOSTILE] == [None] * len(HOSTILE)
    assert ask(opened, b"ann") == b"one"


def test_a_file_that_takes_its_place_is_noticed_at_once(popmap_file: Popmap) -> None:
    popmap_file.replace(popmap_file.octets({b"ann": b"one"}))
    opened = popmap_file.open()
    for value in (b"two", b"three", b"six"):
        ask(opened, b"ann")
        popmap_file.replace(popmap_file.octets({b"ann": value}))
        assert ask(opened, b"ann") == value
    assert popmap_file.told == []


def test_a_file_written_in_its_place_is_noticed_without_a_signal(popmap_file: Popmap) -> None:
    popmap_file.rewrite(popmap_file.octets({b"ann": b"one"}))
    opened = popmap_file.open()
    assert ask(opened, b"ann") == b"one"
    popmap_file.rewrite(popmap_file.octets({b"ann": b"two"}))
    assert ask(opened, b"ann") == b"two"
    popmap_file.path.write_bytes(popmap_file.octets({b"ann": b"six"}))
    wait_until(lambda: ask(opened, b"ann") == b"six", SECONDS, "the new value is found")
    assert popmap_file.told == []


def test_while_a_file_is_being_written_what_it_held_before_is_found(popmap_file: Popmap) -> None:
    popmap_file.rewrite(popmap_file.octets({b"ann": b"one"}))
    opened = popmap_file.open()
    assert ask(opened, b"ann") == b"one"
    octets = popmap_file.octets({b"ann": b"two"})
    with popmap_file.path.open("wb", buffering=0) as file:
        for start in range(0, len(octets), 1 + len(octets) // 20):
            assert ask(opened, b"ann") == b"one"
            file.write(octets[start : start + 1 + len(octets) // 20])
    wait_until(lambda: ask(opened, b"ann") == b"two", SECONDS, "the new value is found")


def test_a_change_within_a_tick_of_the_clock_is_noticed(popmap_file: Popmap) -> None:
    octets = popmap_file.octets({b"ann": b"one"}), popmap_file.octets({b"ann": b"two"})
    assert len(octets[0]) == len(octets[1])
    popmap_file.path.write_bytes(octets[0])
    status = popmap_file.path.stat()
    opened = popmap_file.open()
    assert ask(opened, b"ann") == b"one"
    popmap_file.path.write_bytes(octets[1])
    os.utime(popmap_file.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    wait_until(lambda: ask(opened, b"ann") == b"two", SECONDS, "the new value is found")


class Held:
    """What a file holds: its own octets, for every key."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.is_closed = False

    def lookup(self, _key: bytes) -> bytes:
        assert not self.is_closed
        return self.octets

    def is_empty(self) -> bool:
        return not self.octets

    def close(self) -> None:
        self.is_closed = True


class Changing(FileMap):
    """A file that somebody writes while it is read."""

    DEFAULT = ""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), MapSettings())
        self.readings: list[Held] = []
        self.while_read: Callable[[], object] = lambda: None

    def read(self) -> Held:
        self.readings.append(Held(self.path.read_bytes()))
        self.while_read()
        return self.readings[-1]


def test_what_was_read_while_somebody_wrote_is_not_used(tmp_path: Path) -> None:
    path, new = tmp_path / "map", tmp_path / "new"
    path.write_bytes(b"one")
    opened = Changing(path)
    assert ask(opened, b"ann") == b"one"
    new.write_bytes(b"ha")
    new.replace(path)
    opened.while_read = lambda: path.write_bytes(b"half and all of it")
    assert ask(opened, b"ann") == b"one"
    assert opened.readings[1].octets == b"ha"
    assert opened.readings[1].is_closed
    opened.while_read = lambda: None
    assert ask(opened, b"ann") == b"half and all of it"
    assert [each.is_closed for each in opened.readings] == [True, True, False]


def test_a_file_that_could_not_be_read_is_read_again_though_it_has_not_changed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "map"
    path.write_bytes(b"one")
    opened = Changing(path)

    def fail() -> None:
        raise OSError(errno.EIO, "Input/output error")

    opened.while_read = fail
    with pytest.raises(MapFailed, match="Input/output error"):
        ask(opened, b"ann")
    opened.while_read = lambda: None
    assert ask(opened, b"ann") == b"one"


def test_what_is_not_used_is_closed(tmp_path: Path) -> None:
    path, new = tmp_path / "map", tmp_path / "new"
    path.write_bytes(b"one")
    opened = Changing(path)
    for octets, found in ((b"", b"one"), (b"two", b"two")):
        assert ask(opened, b"ann") == b"one"
        new.write_bytes(octets)
        new.replace(path)
        assert ask(opened, b"ann") == found
    assert [each.is_closed for each in opened.readings] == [True, True, False]


def test_what_a_file_held_serves_when_it_is_gone_and_that_is_told_once(
    popmap_file: Popmap,
) -> None:
    octets = popmap_file.octets({b"ann": b"one"})
    popmap_file.rewrite(octets)
    opened = popmap_file.open()
    assert ask(opened, b"ann") == b"one"
    popmap_file.path.unlink()
    assert [ask(opened, b"ann") for _ in range(5)] == [b"one"] * 5
    reason = "No such file or directory: what it held before stays in use"
    assert popmap_file.told == [f"{popmap_file.path}: {reason}"]
    popmap_file.rewrite(octets)
    assert ask(opened, b"ann") == b"one"
    popmap_file.path.unlink()
    assert ask(opened, b"ann") == b"one"
    assert len(popmap_file.told) == 2


def test_what_a_file_held_serves_while_it_is_broken_and_that_is_told_once(
    popmap_file: Popmap,
) -> None:
    popmap_file.rewrite(popmap_file.octets({b"ann": b"one"}))
    opened = popmap_file.open()
    assert ask(opened, b"ann") == b"one"
    for _ in range(2):
        popmap_file.rewrite(popmap_file.kind.broken)
        assert [ask(opened, b"ann") for _ in range(5)] == [b"one"] * 5
    (told,) = popmap_file.told
    assert told.startswith(str(popmap_file.path))
    assert told.endswith(": what it held before stays in use")
    popmap_file.rewrite(popmap_file.octets({b"ann": b"two"}))
    assert ask(opened, b"ann") == b"two"
    popmap_file.rewrite(popmap_file.kind.broken)
    assert ask(opened, b"ann") == b"two"
    assert len(popmap_file.told) == 2


@pytest.mark.parametrize("popmap_file", DATABASES, indirect=True)
def test_a_file_that_is_cut_short_is_not_used(popmap_file: Popmap) -> None:
    many = {b"user%d" % number: b"one" for number in range(2000)}
    octets = popmap_file.octets(many)
    popmap_file.rewrite(octets)
    opened = popmap_file.open()
    assert ask(opened, b"user0") == b"one"
    for part in range(20):
        popmap_file.rewrite(octets[: part * len(octets) // 20])
        assert ask(opened, b"user%d" % part) == b"one"
    assert len(popmap_file.told) == len(set(popmap_file.told)) < 6
    popmap_file.rewrite(popmap_file.octets({b"ann": b"two"}))
    assert [ask(opened, key) for key in (b"ann", b"user1")] == [b"two", None]


@pytest.mark.parametrize("popmap_file", DATABASES, indirect=True)
def test_a_file_that_is_missing_or_broken_at_start_is_out_of_order(popmap_file: Popmap) -> None:
    opened = popmap_file.open()
    with pytest.raises(MapFailed, match=r"popmap: No such file or directory$"):
        ask(opened, b"ann")
    popmap_file.rewrite(popmap_file.kind.broken)
    for _ in range(2):
        with pytest.raises(MapFailed, match="popmap: "):
            ask(opened, b"ann")
    assert popmap_file.told == []
    popmap_file.rewrite(popmap_file.octets({b"ann": b"one"}))
    assert ask(opened, b"ann") == b"one"


@pytest.mark.parametrize("popmap_file", ["posix_regex"], indirect=True)
def test_expressions_that_are_missing_or_broken_at_start_end_it(popmap_file: Popmap) -> None:
    with pytest.raises(MapFailed, match="No such file"):
        popmap_file.open()
    popmap_file.rewrite(popmap_file.kind.broken)
    with pytest.raises(MapFailed, match="popmap:1: not a regular expression"):
        popmap_file.open()


@pytest.mark.parametrize("popmap_file", DATABASES, indirect=True)
def test_a_hundred_thousand_entries_are_found(popmap_file: Popmap) -> None:
    many = {b"user%d" % number: b"mail%d:143" % (number % 7) for number in range(100_000)}
    popmap_file.kind.make(popmap_file.path, many)
    opened = popmap_file.open()
    for number in range(0, 100_000, 97):
        assert ask(opened, b"user%d" % number) == b"mail%d:143" % (number % 7)
    assert ask(opened, b"user100000") is None


def test_two_processes_look_up_after_a_fork(popmap_file: Popmap) -> None:
    many = {b"user%d" % number: b"mail%d" % number for number in range(500)}
    popmap_file.rewrite(popmap_file.octets(many))
    opened = popmap_file.open()
    assert ask(opened, b"user1") == b"mail1"

    def all_are_found() -> bool:
        return all(ask(opened, key) == many[key] for _ in range(5) for key in many)

    child = os.fork()
    if child == 0:
        found = False
        try:
            found = all_are_found()
        finally:
            os._exit(0 if found else 1)
    assert all_are_found()
    assert os.waitpid(child, 0)[1] == 0


def test_many_threads_look_up_while_the_file_changes(popmap_file: Popmap) -> None:
    contents = [popmap_file.octets({b"ann": b"one"}), popmap_file.octets({b"ann": b"two"})]
    popmap_file.replace(contents[0])
    opened = popmap_file.open()
    found: list[bytes | None] = []

    def look_up() -> None:
        found.extend([ask(opened, b"ann") for _ in range(50)])

    threads = [threading.Thread(target=look_up) for _ in range(20)]
    for each in threads:
        each.start()
    for number in range(20):
        popmap_file.replace(contents[number % 2])
    for each in threads:
        each.join()
    assert len(found) == 1000
    assert set(found) <= {b"one", b"two"}
    assert popmap_file.told == []


def test_after_it_was_closed_it_is_read_again(popmap_file: Popmap) -> None:
    popmap_file.rewrite(popmap_file.octets({b"ann": b"one"}))
    opened = popmap_file.open()
    assert ask(opened, b"ann") == b"one"
    opened.close()
    assert ask(opened, b"ann") == b"one"


@pytest.mark.parametrize(("tool", "kind"), [("makegdbm", "gdbm"), ("makebdb", "bdb")])
def test_what_the_originals_tools_leave_behind_a_value_is_none_of_it(
    tmp_path: Path, tool: str, kind: str
) -> None:
    path = tmp_path / "popmap"
    # The last line has no newline, and is shorter than the one before.
    lines = b"ann:one\nsomebodyelse:u@a-long-name.example.com:34110\nlast:192.0.2.1:34110"
    subprocess.run([require(tool), str(path)], input=lines, check=True)
    found = KINDS[kind].map(str(path), MapSettings())
    assert ask(found, b"last") == b"192.0.2.1:34110"
    found.close()


def without_entries(kind: str, path: Path) -> None:
    """Put a file that has none into the place of another one."""
    new = path.with_suffix(".new")
    KINDS[kind].make(new, {})
    if kind == "posix_regex":
        new.write_text("# nobody yet\n")
    new.rename(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_without_entries_takes_no_place_of_one_with_some(tmp_path: Path, kind: str) -> None:
    path, told = tmp_path / "map", list[str]()
    KINDS[kind].make(path, {b"ann": b"mail1"})
    opened = KINDS[kind].map(str(path), MapSettings(tell=told.append))
    assert opened.lookup(Query(b"ann")) == b"mail1"
    without_entries(kind, path)
    assert opened.lookup(Query(b"ann")) == b"mail1"
    assert told == [f"{path}: has no entries: what it held before stays in use"]
    opened.close()
    # If it is meant: HUP opens another one.
    opened = KINDS[kind].map(str(path), MapSettings(tell=told.append))
    assert opened.lookup(Query(b"ann")) is None
    opened.close()


def in_a_worker(opened: FileMap, key: bytes) -> bytes:
    """What a worker finds that is forked now."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            opened.begin()
            try:
                found = opened.lookup(Query(key)) or b"not found"
            except MapFailed as error:
                found = str(error).encode()
            os.write(writer, found)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        found = file.read()
    os.waitpid(pid, 0)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_begins_later_uses_no_file_that_the_others_do_not(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "map"
    KINDS[kind].make(path, {b"ann": b"mail1"})
    opened = KINDS[kind].map(str(path), MapSettings())
    assert in_a_worker(opened, b"ann") == b"mail1"
    new = tmp_path / "new"
    KINDS[kind].make(new, {b"ann": b"mail2"})
    new.rename(path)
    assert in_a_worker(opened, b"ann") == b"mail2"
    without_entries(kind, path)
    assert in_a_worker(opened, b"ann") == f"{path}: has no entries".encode()
    opened.close()
