"""The map odbc, with SQLite's driver; with PostgreSQL's it is among the tests with servers."""

import contextlib
import sqlite3
from pathlib import Path

import pyodbc
import pytest

from perdition.maps import Answer, Found, MapFailed, MapSettings, Query
from perdition.maps.choice import open_map
from perdition.maps.odbc import braced
from perdition.net import ServerItem
from support import odbc

SECRET = "geheim;5{R}z"
ANN = Answer([ServerItem("", "mail1", "143")])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("odbc")
    path = directory / "popmap.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE tblPerdition (user varchar(128) NOT NULL PRIMARY KEY,"
            " servername varchar(255), port varchar(8))"
        )
        rows = [
            ("ann", "mail1", "143"),
            ("bob", "rob@mail2:25", None),
            ("nowhere", None, "143"),
            ("nonsense", "two words", None),
            ("m\u00fcller", "mail4", None),
        ]
        connection.executemany("INSERT INTO tblPerdition VALUES (?, ?, ?)", rows)
        connection.commit()
    driver = odbc.driver("libsqlite3odbc.so", "libsqliteodbc")
    there = {"Driver": driver, "Database": str(path)}
    odbc.define(
        directory,
        {
            "dbPerdition": there,
            "our users": there,
            "empty": {"Driver": driver, "Database": str(directory / "empty")},
            "no driver": {"Driver": "/no/such/driver.so"},
        },
    )
    return path


def lookup(option: str, key: bytes = b"ann") -> Found:
    opened = open_map("libperditiondb_odbc.so.0", option, MapSettings(timeout=5))
    with contextlib.closing(opened):
        return opened.lookup(Query(key))


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(
    ("key", "found"),
    [
        (b"ann", ANN),
        (b"bob", Answer([ServerItem("rob", "mail2", "25")])),
        ("m\u00fcller".encode(), Answer([ServerItem("", "mail4", "")])),
        (b"nowhere", b""),
        (b"nobody", None),
        (b"' OR 1=1 --", None),
        (b"?", None),
        (b"%s", None),
        (b"\\", None),
        (b"ann\0", None),
        (b"m\xfcller", None),
        (b"x" * 10_000, None),
        ("\U0001f600".encode(), None),
    ],
)
def test_without_option_the_data_source_of_2_2_is_asked(key: bytes, found: Found) -> None:
    assert lookup("", key) == found


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(
    "option",
    [
        "any host:any port:dbPerdition",
        "::our users",
        f"::dbPerdition:tblPerdition:u ser:{SECRET}",
        "::dbPerdition:main.tblPerdition",
        '::dbPerdition:"tblPerdition":::"servername":"user":"port"',
        "::dbPerdition:tblPerdition t:::t.servername:t.user:t.port",
        "::empty,dbPerdition",
        "::nothing , dbPerdition",
    ],
)
def test_db_is_the_data_source_and_names_are_as_written(option: str) -> None:
    assert lookup(option) == ANN


@pytest.mark.usefixtures("source")
def test_without_a_port_column_none_is_asked_for() -> None:
    assert lookup("::dbPerdition:tblPerdition:::servername:user::") == Answer(
        [ServerItem("", "mail1", "")]
    )


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(
    ("option", "key", "complaint"),
    [
        ("::nothing", b"ann", r"^odbc nothing: .*Data source name not found"),
        ("::no driver", b"ann", r"^odbc no driver: .*/no/such/driver\.so"),
        ("::empty", b"ann", r"^odbc empty: .*no such table"),
        ("::nothing,empty", b"ann", r"^odbc nothing: .*; odbc empty: "),
        ("::dbPerdition:tblPerdition:::sovername", b"ann", r"sovername"),
        ("", b"nonsense", r"^odbc: not the name of a host: two words"),
        (f"::nothing:t:u:{SECRET}", b"ann", r"^odbc nothing: "),
    ],
)
def test_what_fails_is_out_of_order(option: str, key: bytes, complaint: str) -> None:
    with pytest.raises(MapFailed, match=complaint) as caught:
        lookup(option, key)
    assert SECRET not in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_a_data_source_needs_a_name() -> None:
    with pytest.raises(MapFailed, match="db is empty"):
        open_map("odbc", "h:1::", MapSettings())


@pytest.mark.parametrize(
    ("text", "word"),
    [("plain", "plain"), ("a;b", "{a;b}"), ("a}b", "{a}}b}"), ("a b", "{a b}"), ("", "")],
)
def test_what_is_special_stands_in_braces(text: str, word: str) -> None:
    assert braced(text) == word


def test_the_driver_manager_keeps_no_connections() -> None:
    assert not pyodbc.pooling
