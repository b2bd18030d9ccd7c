"""gdbm: which file it is. What all maps in files share is in test_files.py."""

import os
from pathlib import Path

import pytest

from perdition.maps import MapFailed, MapSettings, Query
from perdition.maps.gdbm import Gdbm
from perdition.tools import makegdbm


def test_where_nobody_has_named_a_file_there_need_not_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = tmp_path / "popmap.gdbm.db"
    monkeypatch.setattr(Gdbm, "DEFAULT", str(default))
    found = Gdbm("", MapSettings())
    assert found.lookup(Query(b"ann")) is None
    default.write_bytes(b"broken")
    with pytest.raises(MapFailed, match=r"popmap\.gdbm\.db: "):
        found.lookup(Query(b"ann"))
    default.unlink()
    assert found.lookup(Query(b"ann")) is None
    default.mkdir()
    with pytest.raises(MapFailed, match="Is a directory"):
        found.lookup(Query(b"ann"))


def test_a_file_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(MapFailed, match="No such file"):
        Gdbm(str(tmp_path / "popmap"), MapSettings()).lookup(Query(b"ann"))


def pages() -> int:
    """How much memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_what_the_library_hands_over_is_given_back(tmp_path: Path) -> None:
    path, megabyte = tmp_path / "popmap", 1 << 20
    makegdbm.make(str(path), [b"ann:" + b"x" * megabyte + b"\n"])
    found = Gdbm(str(path), MapSettings())
    found.lookup(Query(b"ann"))
    before = pages()
    for _ in range(100):
        assert len(found.lookup(Query(b"ann")) or b"") == megabyte
    assert (pages() - before) * os.sysconf("SC_PAGE_SIZE") < 50 * megabyte
    found.close()
