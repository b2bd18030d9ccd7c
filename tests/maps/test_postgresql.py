"""What only the map postgresql has; the rest is among the tests with servers."""

import contextlib
from collections.abc import Iterator

import pytest

from perdition.maps import Answer, Found, MapFailed, MapSettings, Query
from perdition.maps.choice import open_map
from perdition.net import ServerItem
from support.postgresql import PostgreSql
from support.processes import HOST

ANN = Answer([ServerItem("", "mail1", "143")])
TABLES = {
    "tblPerdition": '("user" char(16) PRIMARY KEY, "servername" char(255), "port" char(8))',
    '"tblPerdition"': '("User" text, "Server" text, "Port" int)',
    "numbers": '("user" int PRIMARY KEY, servername text, port int)',
    "ids": '("user" uuid PRIMARY KEY, servername text, port int)',
    "octets": '("user" text PRIMARY KEY, servername bytea, port int)',
}
NUMBER = "00000000-0000-0000-0000-000000000007"
USERS = {"numbers": "7", "ids": NUMBER}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with PostgreSql() as server:
        server.execute(
            "CREATE ROLE perdition LOGIN PASSWORD 'perdition' IN ROLE pg_read_all_data",
            "CREATE DATABASE dbperdition",
            "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'",
            "CREATE DATABASE octets TEMPLATE template0 ENCODING 'SQL_ASCII'",
        )
        with contextlib.closing(server.connect("dbperdition")) as connection:
            for table, columns in TABLES.items():
                connection.execute(f"CREATE TABLE {table} {columns}")
                user = USERS.get(table, "ann")
                connection.execute(f"INSERT INTO {table} VALUES ('{user}', 'mail1', 143)")
            connection.execute("CREATE SCHEMA mail")
            connection.execute("CREATE VIEW mail.users AS SELECT * FROM tblPerdition")
        with contextlib.closing(server.connect("latin")) as connection:
            connection.execute(f"CREATE TABLE tblPerdition {TABLES['tblPerdition']}")
            connection.execute("INSERT INTO tblPerdition VALUES ('m\u00fcl', 'mail1', 143)")
        with contextlib.closing(server.connect("octets")) as connection:
            connection.execute(f"CREATE TABLE tblPerdition {TABLES['tblPerdition']}")
            connection.execute("INSERT INTO tblPerdition VALUES ('bad', E'mail\\xfc', 143)")
            connection.execute("INSERT INTO tblPerdition VALUES ('ann', 'mail1', 143)")
        yield server


def lookup(option: str, key: bytes = b"ann") -> Found:
    opened = open_map("libperditiondb_postgresql.so.0", option, MapSettings(timeout=5))
    with contextlib.closing(opened):
        return opened.lookup(Query(key))


@pytest.mark.parametrize("option", ["", "localhost", "127.0.0.1:", "localhost:0:dbperdition"])
def test_without_fields_the_defaults_are_used(
    server: PostgreSql, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", str(server.port))
    assert lookup(option) == ANN


def test_a_host_may_be_the_directory_of_a_socket(server: PostgreSql) -> None:
    assert lookup(f"{server.home}:{server.port}") == ANN


def test_an_empty_host_is_libpqs_own(server: PostgreSql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", str(server.home))
    assert lookup(f":{server.port}") == ANN
    monkeypatch.setenv("PGHOST", "/nowhere")
    with pytest.raises(MapFailed, match=r"^postgresql on this host:\d+: .*/nowhere"):
        lookup(f":{server.port}")


@pytest.mark.parametrize(
    "words",
    [
        "TBLPERDITION:perdition:perdition:ServerName:user:Port",
        "mail.Users",
        '"tblPerdition":perdition:perdition:"Server":User:"Port"',
        "tblPerdition:perdition:perdition:lower(servername):user:trim(port)",
    ],
)
def test_names_without_quotes_have_no_case_but_for_that_of_the_users_column(
    server: PostgreSql, words: str
) -> None:
    assert lookup(f"{HOST}:{server.port}:dbperdition:{words}") == ANN


def test_the_users_column_is_named_exactly(server: PostgreSql) -> None:
    with pytest.raises(MapFailed, match="USER"):
        lookup(f"{HOST}:{server.port}:dbperdition:tblPerdition:perdition:perdition:servername:USER")


@pytest.mark.parametrize(
    ("place", "key", "found"),
    [
        ("dbperdition:numbers", "7", ANN),
        ("dbperdition:numbers", "7x", None),
        ("dbperdition:numbers", "9" * 30, None),
        ("dbperdition:ids", NUMBER, ANN),
        ("dbperdition:ids", "ann", None),
        ("dbperdition:octets", "ann", ANN),
        ("latin", "m\u00fcl", ANN),
        ("latin", "\u20ac", None),
        ("latin", "\U0001f600", None),
        ("octets", "ann", ANN),
        ("octets", "\u20ac", None),
    ],
)
def test_keys_that_a_column_cannot_have_are_not_found(
    server: PostgreSql, place: str, key: str, found: Found
) -> None:
    assert lookup(f"{HOST}:{server.port}:{place}", key.encode()) == found


def test_a_value_that_is_no_text_is_out_of_order(server: PostgreSql) -> None:
    with pytest.raises(MapFailed, match=r"^postgresql 127\.0\.0\.1:\d+: .*0xfc"):
        lookup(f"{HOST}:{server.port}:octets", b"bad")


def test_connections_wait_in_no_transaction(server: PostgreSql) -> None:
    option = f"{HOST}:{server.port}"
    with contextlib.closing(open_map("postgresql", option, MapSettings())) as opened:
        for key in (b"ann", b"nobody"):
            opened.lookup(Query(key))
            query = "SELECT state FROM pg_stat_activity WHERE usename = 'perdition'"
            assert server.execute(query) == [("idle",)]
