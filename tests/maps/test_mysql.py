"""What only the map mysql has; the rest is among the tests with servers."""

import contextlib
from collections.abc import Iterator

import pytest

from perdition.maps import Answer, Found, MapFailed, MapSettings, Query, mysql
from perdition.maps.choice import open_map
from perdition.net import ServerItem
from support.database_server import PASSWORD
from support.mariadb import MariaDb
from support.processes import HOST

ANN = Answer([ServerItem("", "mail1", "143")])
TABLES = {
    "tblPerdition": "(user varchar(128) PRIMARY KEY, servername varchar(255), port varchar(8))",
    "numbers": "(user int PRIMARY KEY, servername varchar(255), port int)",
    "decimals": "(user decimal(5) PRIMARY KEY, servername varchar(255), port varchar(8))",
    "latin": "(user varchar(9) PRIMARY KEY, servername varchar(255), port int) CHARSET latin1",
    "ascii": "(user varchar(9) PRIMARY KEY, servername varchar(255), port int) CHARSET ascii",
    "old": "(user varchar(9) PRIMARY KEY, servername varchar(255), port int) CHARSET utf8mb3",
    "octets": "(user varbinary(9) PRIMARY KEY, servername varbinary(255), port int)",
    "`odd name`": "(user varchar(9), `the server` varchar(9), `select` int)",
}
ACCOUNT = f"perdition:{PASSWORD}"


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    with MariaDb() as server:
        server.execute("CREATE DATABASE dbPerdition", "USE dbPerdition")
        for table, columns in TABLES.items():
            user = "7" if table in ("numbers", "decimals") else "'m\u00fcl'"
            if table in ("ascii", "tblPerdition", "`odd name`"):
                user = "'ann'"
            server.execute(
                "USE dbPerdition",
                f"CREATE TABLE {table} {columns}",
                f"INSERT INTO {table} VALUES ({user}, 'mail1', 143)",
            )
        server.execute(
            "CREATE USER perdition@localhost IDENTIFIED BY 'perdition'",
            "GRANT SELECT ON dbPerdition.* TO perdition@localhost",
        )
        yield server


def lookup(option: str, key: bytes = b"ann") -> Found:
    opened = open_map("libperditiondb_mysql.so.0", option, MapSettings(timeout=5))
    with contextlib.closing(opened):
        return opened.lookup(Query(key))


@pytest.mark.parametrize("option", ["", "localhost", ":", "localhost:3:dbPerdition"])
def test_localhost_is_the_socket_and_no_option_means_the_defaults(
    mariadb: MariaDb, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYSQL_UNIX_PORT", str(mariadb.socket))
    assert lookup(option) == ANN


def test_localhost_is_an_address_where_there_is_no_socket(
    mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYSQL_UNIX_PORT", str(mariadb.home / "nothing"))
    assert lookup(f"localhost:{mariadb.port}:dbPerdition:tblPerdition:{ACCOUNT}") == ANN


def test_the_socket_is_debians_unless_the_environment_names_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MYSQL_UNIX_PORT", raising=False)
    assert mysql.SOCKET == "/run/mysqld/mysqld.sock"
    assert mysql.socket_path() in (None, mysql.SOCKET)


@pytest.mark.parametrize(
    ("table", "key", "found"),
    [
        ("numbers", "7", ANN),
        ("numbers", "7x", None),
        ("numbers", "07", None),
        ("numbers", "x", None),
        ("decimals", "7", ANN),
        ("decimals", "7x", None),
        ("latin", "m\u00fcl", ANN),
        ("latin", "\u20ac", None),
        ("latin", "\U0001f600", None),
        ("latin", "m\u0436l", None),
        ("ascii", "ann", ANN),
        ("ascii", "m\u00fcl", None),
        ("ascii", "\U0001f600", None),
        ("old", "m\u00fcl", ANN),
        ("old", "\U0001f600", None),
        ("octets", "m\u00fcl", ANN),
        ("octets", "mul", None),
        ("dbPerdition.tblPerdition", "ann", ANN),
    ],
)
def test_columns_of_any_type_are_compared_as_text(
    mariadb: MariaDb, table: str, key: str, found: Found
) -> None:
    option = f"{HOST}:{mariadb.port}:dbPerdition:{table}:{ACCOUNT}"
    assert lookup(option, key.encode()) == found


@pytest.mark.parametrize("column", ["user", "`user`", "numbers.user", "`numbers`.`user`"])
def test_a_column_of_numbers_may_be_named_in_any_way(mariadb: MariaDb, column: str) -> None:
    option = f"{HOST}:{mariadb.port}:dbPerdition:numbers:{ACCOUNT}:servername:{column}:port"
    assert lookup(option, b"7") == ANN
    assert lookup(option, b"7x") is None


@pytest.mark.parametrize(
    ("column", "found"),
    [("port=143 AND user", ANN), ("port=144 AND user", None), ("user+0", ANN), ("port+0", None)],
)
def test_a_condition_may_stand_before_the_column_of_the_user(
    mariadb: MariaDb, column: str, found: Found
) -> None:
    option = f"{HOST}:{mariadb.port}:dbPerdition:numbers:{ACCOUNT}:servername:{column}:port"
    assert lookup(option, b"7") == found


@pytest.mark.parametrize(
    "words",
    [
        "`odd name`:{}:`the server`:user:select",
        "`odd name` t:{}:t.`the server`:t.user:`select`",
        "tblPerdition:{}:concat(servername, ''):user:nullif(port, '%')",
        "tblPerdition JOIN `odd name` USING (user):{}:servername:user:port",
    ],
)
def test_names_may_be_sql_as_in_2_2(mariadb: MariaDb, words: str) -> None:
    assert lookup(f"{HOST}:{mariadb.port}:dbPerdition:{words.format(ACCOUNT)}") == ANN


def test_a_backslash_is_no_escape_where_the_server_says_so(mariadb: MariaDb) -> None:
    (mode,) = mariadb.execute("SELECT @@global.sql_mode")[0]
    mariadb.execute("SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'")
    try:
        option = f"{HOST}:{mariadb.port}:dbPerdition:tblPerdition:{ACCOUNT}"
        assert lookup(option) == ANN
        for key in (b"\\' OR 1=1 #", b"' OR 1=1 #", b"\\"):
            assert lookup(option, key) is None
    finally:
        mariadb.execute(f"SET GLOBAL sql_mode = '{mode}'")


def test_a_database_that_is_not_there_is_named(mariadb: MariaDb) -> None:
    with pytest.raises(MapFailed, match=rf"^mysql {HOST}:{mariadb.port}: .*'nothing'"):
        lookup(f"{HOST}:{mariadb.port}:nothing:tblPerdition:{ACCOUNT}")


def test_a_port_that_is_none_is_told_at_start() -> None:
    with pytest.raises(MapFailed, match="not the number of a port: 'mysql'"):
        open_map("mysql", "localhost:mysql", MapSettings())
