"""The maps in SQL databases, before real servers: the same claims for each of them."""

import contextlib
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from perdition.maps import Answer, Found, MapFailed, MapSettings, Query
from perdition.maps.mysql import Mysql
from perdition.maps.odbc import Odbc
from perdition.maps.postgresql import DRIVER, Postgresql
from perdition.maps.sql import Sql
from perdition.maps.sql_map import SqlMap
from perdition.net import ServerItem
from support import odbc
from support.database_server import PASSWORD, DatabaseServer
from support.mariadb import MariaDb
from support.postgresql import PostgreSql
from support.processes import HOST, wait_until

# Nobody is there, unless a test is.
OTHER = "127.0.0.2"
PLAIN = MapSettings()
SHORT = MapSettings(timeout=1)
QUICK_SECONDS = 5
END_SECONDS = 10
ODD_PASSWORD = "p\u20acss;{w}@/ %41&?#'"
ROWS = {
    "ann": ("mail1.example.com", None),
    "bob": ("mail2", "143"),
    "eve": ("eva@mail3:2143", "143"),
    "two": ("mail1:1, mail2", "110"),
    "padded": ("mail5  ", "25 "),
    "nowhere": (None, "143"),
    "empty": ("", None),
    "nonsense": ("two words", None),
    "no port": ("mail1", "what?"),
    "m\u00fcller": ("mail4", None),
    "O'Hara": ("mail6", None),
    "back\\slash": ("mail7", None),
    "100%s": ("mail8", None),
}


class Flavour(NamedTuple):
    """A map, and the server behind it.

    Attributes:
        store: the class.
        server: what it asks.
        option: makes the option from hosts, account and columns.
    """

    store: Callable[[str, MapSettings], SqlMap]
    server: Any
    option: Callable[..., str]

    @contextlib.contextmanager
    def opened(
        self,
        hosts: Sequence[str] = (HOST,),
        account: tuple[str, str] = ("perdition", PASSWORD),
        settings: MapSettings = PLAIN,
        **columns: str,
    ) -> Iterator[SqlMap]:
        """The map, closed afterwards."""
        option = self.option(hosts, account, **columns)
        with contextlib.closing(self.store(option, settings)) as found:
            yield found


def quoted(text: str) -> str:
    """A literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def fill(server: DatabaseServer, *before: str) -> None:
    """Make the table, with a driver that binds parameters."""
    server.execute(*before)
    with (
        contextlib.closing(server.connect(database="perdition")) as connection,
        contextlib.closing(connection.cursor()) as cursor,
    ):
        for user, (host, port) in ROWS.items():
            cursor.execute("INSERT INTO tblPerdition VALUES (%s, %s, %s)", (user, host, port))


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    with MariaDb() as server:
        fill(
            server,
            "CREATE DATABASE perdition",
            "CREATE TABLE perdition.tblPerdition (user varchar(128) NOT NULL PRIMARY KEY,"
            " servername varchar(255), port varchar(8))",
            f"CREATE USER odd@'%' IDENTIFIED BY {quoted(ODD_PASSWORD)}",
            "GRANT SELECT ON *.* TO odd@'%'",
        )
        yield server


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSql]:
    with PostgreSql() as server:
        server.execute(
            f"CREATE ROLE perdition LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_read_all_data",
            f"CREATE ROLE odd LOGIN PASSWORD {quoted(ODD_PASSWORD)} IN ROLE pg_read_all_data",
            "CREATE DATABASE perdition",
        )
        with contextlib.closing(server.connect(database="perdition")) as connection:
            connection.execute(
                'CREATE TABLE tblPerdition ("user" char(16) NOT NULL PRIMARY KEY,'
                ' "servername" char(255), "port" char(8))'
            )
        fill(server)
        source = {
            "Driver": odbc.driver("psqlodbcw.so", "odbc-postgresql"),
            "Port": str(server.port),
            "Database": "perdition",
        }
        odbc.define(
            tmp_path_factory.mktemp("odbc"),
            {host: {**source, "Servername": host} for host in (HOST, OTHER)},
        )
        yield server


def colons(server: DatabaseServer, hosts: str, database: str) -> Callable[..., str]:
    """Makes a list with colons."""

    def option(given: Sequence[str], account: tuple[str, str], **columns: str) -> str:
        names = ",".join(given)
        words = [hosts.format(names), str(server.port), database.format(names), "tblPerdition"]
        # An empty field at the end is one that is not there.
        return ":".join([*words, *account, *columns.values(), ""])

    return option


def urls(server: DatabaseServer) -> Callable[..., str]:
    """Makes URLs, and words behind them."""

    def option(given: Sequence[str], account: tuple[str, str], **columns: str) -> str:
        who = ":".join(urllib.parse.quote(each, safe="") for each in account)
        places = [f"postgresql+{DRIVER}://{who}@{host}:{server.port}/perdition" for host in given]
        return " ".join([*places, *(f"{name}={column}" for name, column in columns.items())])

    return option


@pytest.fixture(params=["mysql", "postgresql", "odbc", "sql"])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    server = request.getfixturevalue("mariadb" if request.param == "mysql" else "postgresql")
    return {
        "mysql": Flavour(Mysql, server, colons(server, "{}", "perdition")),
        "postgresql": Flavour(Postgresql, server, colons(server, "{}", "perdition")),
        "odbc": Flavour(Odbc, server, colons(server, "localhost", "{}")),
        "sql": Flavour(Sql, server, urls(server)),
    }[request.param]


@pytest.fixture
def opened(flavour: Flavour) -> Iterator[SqlMap]:
    with flavour.opened() as found:
        yield found


def lookup(opened: SqlMap, key: str) -> Found:
    return opened.lookup(Query(key.encode()))


def answer(*items: tuple[str, str, str]) -> Answer:
    return Answer([ServerItem(*item) for item in items])


ANN = answer(("", "mail1.example.com", ""))


def no_connections(flavour: Flavour) -> None:
    """Wait until the server has seen that they are closed."""
    wait_until(lambda: flavour.server.connections() == 0, END_SECONDS, "all are closed")


class Timer:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("ann", ANN),
        ("bob", answer(("", "mail2", "143"))),
        ("eve", answer(("eva", "mail3", "2143"))),
        ("two", answer(("", "mail1", "1"), ("", "mail2", "110"))),
        ("padded", answer(("", "mail5", "25"))),
        ("m\u00fcller", answer(("", "mail4", ""))),
        ("O'Hara", answer(("", "mail6", ""))),
        ("back\\slash", answer(("", "mail7", ""))),
        ("100%s", answer(("", "mail8", ""))),
        ("nobody", None),
    ],
)
def test_a_row_is_found_by_its_user(opened: SqlMap, key: str, found: Found) -> None:
    assert lookup(opened, key) == found


HOSTILE = [
    *("' OR 1=1 --", "' OR '1'='1", '" OR ""="', "*)(uid=*", "%s", "%", "_nn", ":key", "?"),
    *("\\", "ann\\", "\\' OR 1=1 #", "ann'; DROP TABLE tblPerdition; --", "ann\x1a", "\n", ""),
    *("x" * 10_000, "'" * 10_000, "\U0001f600", "\ufeff", "\u20ac"),
]


def test_hostile_keys_are_not_found(opened: SqlMap) -> None:
    for key in HOSTILE:
        assert lookup(opened, key) is None, key
    assert lookup(opened, "ann") == ANN


@pytest.mark.parametrize(
    "key",
    [
        b"m\xfcller",
        b"ann\0",
        b"ann\x1a",
        b"ann\xc2\x85",
        b"a\xe2\x80\x8dnn",
        b"\0",
        b"\xff\xfe",
        b"ann\xc0\xa7",
        b"\xed\xa0\x80",
    ],
)
def test_keys_that_no_column_can_have_are_not_found(opened: SqlMap, key: bytes) -> None:
    assert opened.lookup(Query(key)) is None


def test_a_row_without_server_means_the_default_one_and_none_for_postgresql(
    flavour: Flavour, opened: SqlMap
) -> None:
    expected = None if flavour.store is Postgresql else b""
    assert lookup(opened, "nowhere") == expected
    assert lookup(opened, "empty") == expected


@pytest.mark.parametrize("key", ["nonsense", "no port"])
def test_a_value_that_is_nonsense_is_out_of_order(
    flavour: Flavour, opened: SqlMap, key: str
) -> None:
    with pytest.raises(MapFailed, match=f"^{opened.NAME}: not "):
        lookup(opened, key)


def test_without_a_port_column_none_is_asked_for(flavour: Flavour) -> None:
    with flavour.opened(server_col="servername", user_col="user", port_col="") as opened:
        assert lookup(opened, "bob") == answer(("", "mail2", ""))


def test_columns_may_have_other_names(flavour: Flavour) -> None:
    with flavour.opened(server_col="port", user_col="servername", port_col="") as opened:
        assert lookup(opened, "mail2") == answer(("", "143", ""))


def test_a_missing_column_is_out_of_order_and_named(flavour: Flavour) -> None:
    with (
        flavour.opened(server_col="sovername") as opened,
        pytest.raises(MapFailed, match="sovername"),
    ):
        lookup(opened, "ann")


def test_a_wrong_password_is_out_of_order_and_not_shown(flavour: Flavour) -> None:
    with (
        flavour.opened(account=("perdition", "wrong-3Xy8")) as opened,
        pytest.raises(MapFailed) as caught,
    ):
        lookup(opened, "ann")
    assert HOST in str(caught.value)
    assert "wrong-3Xy8" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_any_characters_may_be_in_a_password(flavour: Flavour) -> None:
    with flavour.opened(account=("odd", ODD_PASSWORD)) as opened:
        assert lookup(opened, "ann") == ANN


def test_nothing_is_connected_or_started_before_the_first_look_up(flavour: Flavour) -> None:
    no_connections(flavour)
    before = threading.active_count()
    with flavour.opened() as opened:
        assert flavour.server.connections() == 0
        assert threading.active_count() <= before
        assert lookup(opened, "ann") == ANN
        assert flavour.server.connections() == 1


def test_connections_are_closed_with_the_map(flavour: Flavour) -> None:
    before = threading.active_count()
    with flavour.opened() as opened:
        lookup(opened, "ann")
    no_connections(flavour)
    wait_until(lambda: threading.active_count() <= before, END_SECONDS, "threads leave")


def test_one_connection_serves_look_ups_that_follow_each_other(
    flavour: Flavour, opened: SqlMap
) -> None:
    no_connections(flavour)
    for _ in range(50):
        assert lookup(opened, "ann") == ANN
    assert flavour.server.connections() == 1


def test_connections_are_bounded_and_nobody_goes_without(flavour: Flavour) -> None:
    seen = set()
    no_connections(flavour)
    with (
        flavour.opened(settings=MapSettings(connections=3)) as opened,
        ThreadPoolExecutor(50) as threads,
    ):
        asked = [threads.submit(lookup, opened, "ann") for _ in range(1000)]
        while not all(each.done() for each in asked):
            seen.add(flavour.server.connections())
        assert all(each.result() == ANN for each in asked)
    assert max(seen) <= 3


def test_a_server_that_is_down_is_out_of_order_at_once(flavour: Flavour) -> None:
    with flavour.opened([OTHER]) as opened:
        timer = Timer()
        with pytest.raises(MapFailed, match=OTHER) as caught:
            lookup(opened, "ann")
        assert timer.seconds < QUICK_SECONDS
    assert PASSWORD not in str(caught.value)


def test_a_server_that_was_started_again_is_not_noticed(flavour: Flavour, opened: SqlMap) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert set(map(str, threads.map(lookup, [opened] * 50, ["ann"] * 50))) == {str(ANN)}
    flavour.server.kill()
    flavour.server.start()
    for _ in range(10):
        assert lookup(opened, "ann") == ANN


def test_a_server_that_is_killed_and_comes_back_works_at_once(
    flavour: Flavour, opened: SqlMap
) -> None:
    assert lookup(opened, "ann") == ANN
    flavour.server.kill()
    for _ in range(3):
        timer = Timer()
        with pytest.raises(MapFailed, match=HOST):
            lookup(opened, "ann")
        assert timer.seconds < QUICK_SECONDS
    flavour.server.start()
    assert lookup(opened, "ann") == ANN


def test_a_server_that_is_stopped_is_out_of_order_in_time(flavour: Flavour) -> None:
    with flavour.opened(settings=SHORT) as opened:
        assert lookup(opened, "ann") == ANN
        with flavour.server.frozen(), ThreadPoolExecutor(12) as threads:
            timer = Timer()
            asked = [threads.submit(lookup, opened, "ann") for _ in range(12)]
            for each in asked:
                assert isinstance(each.exception(), MapFailed)
            assert 0.9 < timer.seconds < 9
        assert lookup(opened, "ann") == ANN


def test_a_server_that_never_answers_is_out_of_order_in_time(flavour: Flavour) -> None:
    with (
        socket.create_server((OTHER, flavour.server.port)),
        flavour.opened([OTHER], settings=SHORT) as opened,
    ):
        timer = Timer()
        with pytest.raises(MapFailed, match=OTHER):
            lookup(opened, "ann")
        assert 0.9 < timer.seconds < 9


def test_the_next_host_is_asked_when_one_is_down(flavour: Flavour) -> None:
    with flavour.opened([OTHER, HOST]) as opened:
        assert lookup(opened, "ann") == ANN
        assert lookup(opened, "nobody") is None


def test_the_next_host_is_asked_in_time_when_one_never_answers(flavour: Flavour) -> None:
    with (
        socket.create_server((OTHER, flavour.server.port)),
        flavour.opened([OTHER, HOST], settings=MapSettings(timeout=6)) as opened,
    ):
        timer = Timer()
        assert lookup(opened, "ann") == ANN
        assert timer.seconds < 5.9
        # From now on, the one that answers comes first.
        timer = Timer()
        assert lookup(opened, "ann") == ANN
        assert timer.seconds < 2.9


def test_all_hosts_are_named_when_none_answers(flavour: Flavour) -> None:
    with (
        socket.create_server((OTHER, flavour.server.port)),
        flavour.opened([OTHER, "127.0.0.3"], settings=SHORT) as opened,
        pytest.raises(MapFailed, match=rf"{OTHER}.*; .*"),
    ):
        lookup(opened, "ann")
