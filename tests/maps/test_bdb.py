"""bdb: what is its own; what it has in common with other files is in test_files.py."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdition.maps import MapFailed, MapSettings, Query
from perdition.maps.bdb import Bdb
from perdition.maps.libdb import library
from perdition.tools import makebdb
from support.popmaps import LIBRARIES
from support.processes import require, wait_until

SECONDS = 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "popmap.bdb.db"


class Watched:
    """A map in a file with Ann, while the original's makebdb makes it anew, and waits for entries.

    Attributes:
        told: what the map has told.
    """

    def __init__(self, path: Path) -> None:
        program = require("makebdb")
        makebdb.make(str(path), [b"ann:old\n"])
        then = time.time_ns() - 10**12
        os.utime(path, ns=(then, then))
        self.told: list[str] = []
        self.map = Bdb(str(path), MapSettings(tell=self.told.append))
        assert self.ask(b"ann") == b"old"
        self._writer = subprocess.Popen([program, str(path)], stdin=subprocess.PIPE)
        assert self._writer.stdin is not None
        self._stdin = self._writer.stdin

    def ask(self, key: bytes) -> bytes | None:
        return ask(self.map, key)

    def write(self, lines: bytes) -> None:
        """Give makebdb more entries."""
        self._stdin.write(lines)
        self._stdin.flush()

    def finish(self) -> None:
        """Wait until makebdb has ended."""
        self._stdin.close()
        assert self._writer.wait(SECONDS) == 0

    def close(self) -> None:
        self._stdin.close()
        self._writer.kill()
        self._writer.wait()
        self.map.close()


@pytest.fixture
def watched(path: Path) -> Iterator[Watched]:
    made = Watched(path)
    yield made
    made.close()


def ask(opened: Bdb, key: bytes) -> bytes | None:
    return opened.lookup(Query(key))


def test_while_the_originals_makebdb_waits_for_entries_the_old_ones_are_found(
    path: Path, watched: Watched
) -> None:
    # Nothing is wrong with the database that it has made: it has no entries.
    told = f"{path}: has no entries: what it held before stays in use"
    wait_until(lambda: watched.ask(b"ann") == b"old" and told in watched.told, SECONDS, "told")
    assert [watched.ask(b"ann") for _ in range(5)] == [b"old"] * 5
    assert watched.told.count(told) == 1
    watched.write(b"ann:new\nbob:two\n")
    watched.finish()
    wait_until(lambda: watched.ask(b"ann") == b"new", SECONDS, "the new entry is found")
    assert watched.ask(b"bob") == b"two"


def test_while_the_originals_makebdb_writes_pages_the_old_entries_are_found(
    path: Path, watched: Watched
) -> None:
    for part in range(20):
        names = (b"user%d.%d" % (part, number) for number in range(1000))
        watched.write(b"".join(b"%b:mail.example.com\n" % name for name in names))
        assert watched.ask(b"ann") == b"old"
        # As if nobody had written for long: what is there is looked at.
        then = time.time_ns() - 10**11 + part
        os.utime(path, ns=(then, then))
        assert watched.ask(b"ann") == b"old"
    watched.finish()
    wait_until(lambda: watched.ask(b"user19.999"), SECONDS, "the new entries are found")
    assert watched.ask(b"ann") is None


def test_an_empty_database_is_one_if_nothing_was_there_before(path: Path) -> None:
    makebdb.make(str(path), [])
    opened = Bdb(str(path), MapSettings())
    assert ask(opened, b"ann") is None
    makebdb.make(str(path), [b"ann:one\n"])
    assert ask(opened, b"ann") == b"one"
    opened.close()


def test_a_btree_is_read_as_well(path: Path) -> None:
    db = library()
    file = db.DB()
    file.open(str(path), dbtype=db.DB_BTREE, flags=db.DB_CREATE)
    for number in range(2000):
        file.put(b"user%d" % number, b"mail%d" % number)
    file.close()
    opened = Bdb(str(path), MapSettings())
    assert [ask(opened, key) for key in (b"user1234", b"user")] == [b"mail1234", None]
    opened.close()


def test_a_queue_is_none_of_ours(path: Path) -> None:
    db = library()
    file = db.DB()
    file.set_re_len(10)
    file.open(str(path), dbtype=db.DB_QUEUE, flags=db.DB_CREATE)
    file.append(b"one")
    file.close()
    with pytest.raises(MapFailed, match="neither a hash nor a btree"):
        Bdb(str(path), MapSettings()).lookup(Query(b"ann"))


def test_a_damaged_file_harms_nobody_and_the_library_keeps_silent(path: Path) -> None:
    makebdb.make(str(path), [b"user%d:mail\n" % number for number in range(2000)])
    whole = path.read_bytes()
    dice = random.Random(1)
    damaged = path.with_name("damaged")
    damaged.mkdir()
    for number in range(100):
        octets = bytearray(whole)
        for _ in range(10):
            octets[dice.randrange(len(octets))] = dice.randrange(256)
        (damaged / str(number)).write_bytes(octets)
    # What the library prints comes when the process ends.
    program = (
        "import pathlib, sys\n"
        "from perdition.maps import MapFailed, MapSettings, Query\n"
        "from perdition.maps.bdb import Bdb\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    opened = Bdb(str(path), MapSettings())\n"
        "    for number in range(200):\n"
        "        try:\n"
        "            opened.lookup(Query(b'user%d' % number))\n"
        "        except MapFailed:\n"
        "            pass\n"
        "    opened.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(damaged)],
        env=os.environ | {"PYTHONPATH": LIBRARIES},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
