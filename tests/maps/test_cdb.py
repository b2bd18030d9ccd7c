"""cdb: what is its own; what it has in common with other files is in test_files.py."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from perdition.maps.cdb import INDEX_SIZE, PAIR, TABLES, Records, hash_of
from perdition.maps.files import BrokenFile
from support.popmaps import make_cdb, run
from support.processes import require

MANY = {b"user%d" % number: b"mail%d:143" % number for number in range(50)}


@pytest.fixture(scope="module")
def octets(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("cdb") / "popmap.cdb"
    make_cdb(path, MANY)
    return path.read_bytes()


def test_the_hash_is_the_one_of_the_format() -> None:
    assert [hash_of(key) for key in (b"", b"a")] == [5381, 5381 * 33 ^ ord("a")]


def test_the_first_value_of_a_key_counts(tmp_path: Path) -> None:
    path = tmp_path / "popmap.cdb"
    run([require("cdb"), "-c", "-m", str(path)], b"ann one\nann two\nbob three\n", 0, {})
    records = Records(path.read_bytes())
    assert [records.lookup(key) for key in (b"ann", b"bob", b"eve")] == [b"one", b"three", None]


def test_empty_keys_and_values_are_found(tmp_path: Path) -> None:
    path = tmp_path / "popmap.cdb"
    make_cdb(path, {b"": b"one", b"ann": b""})
    records = Records(path.read_bytes())
    assert (records.lookup(b""), records.lookup(b"ann")) == (b"one", b"")


def test_an_empty_database_is_one(tmp_path: Path) -> None:
    path = tmp_path / "popmap.cdb"
    make_cdb(path, {})
    assert Records(path.read_bytes()).lookup(b"ann") is None


def test_no_part_of_a_file_is_taken_for_the_whole(octets: bytes) -> None:
    for size in range(0, len(octets), 7):
        with pytest.raises(BrokenFile):
            Records(octets[:size])


def test_a_file_whose_index_is_not_written_yet_is_not_used(octets: bytes) -> None:
    with pytest.raises(BrokenFile):
        Records(bytes(INDEX_SIZE) + octets[INDEX_SIZE:])


def test_a_value_that_ends_behind_the_file_is_not_used() -> None:
    """It would be the name of another host."""
    inner = PAIR.pack(0, 100) + b"mail1"
    record = PAIR.pack(0, len(inner)) + inner
    table = INDEX_SIZE + len(record)
    index = [(table, 0)] * TABLES
    index[hash_of(b"") % TABLES] = (table, 1)
    head = b"".join(PAIR.pack(*each) for each in index)
    whole, damaged = (
        Records(head + record + PAIR.pack(hash_of(b""), place))
        for place in (INDEX_SIZE, INDEX_SIZE + PAIR.size)
    )
    assert whole.lookup(b"") == inner
    with pytest.raises(BrokenFile):
        damaged.lookup(b"")


def test_a_table_without_an_empty_slot_is_searched_once() -> None:
    """Every slot is of another record: who waits for an empty one waits forever."""
    record = PAIR.pack(3, 3) + b"bobone"
    tables = INDEX_SIZE + len(record)
    index = PAIR.pack(tables, 2) * TABLES
    slots = PAIR.pack(hash_of(b"ann"), INDEX_SIZE) * 2
    assert Records(index + record + slots).lookup(b"ann") is None


def test_a_slot_that_points_behind_the_end_is_damage() -> None:
    index = PAIR.pack(INDEX_SIZE, 1) * TABLES
    records = Records(index + PAIR.pack(hash_of(b"ann"), 1 << 31))
    with pytest.raises(BrokenFile, match="behind its end"):
        records.lookup(b"ann")


@given(some.data())
def test_damage_is_noticed_or_harms_nobody(octets: bytes, data: some.DataObject) -> None:
    damaged = bytearray(octets)
    places = some.integers(0, len(octets) - 1)
    for place in data.draw(some.lists(places, min_size=1, max_size=8)):
        damaged[place] = data.draw(some.integers(0, 255))
    try:
        records = Records(bytes(damaged))
        for key in (*MANY, b"nobody", b""):
            records.lookup(key)
    except BrokenFile:
        pass
