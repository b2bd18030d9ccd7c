"""gdbm: which file it is. What all maps in files share is in test_files.py."""

from pathlib import Path

import pytest

from perdition.maps import MapFailed, MapSettings, Query
from perdition.maps.gdbm import Gdbm


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
