"""The program with maps in databases, before a real server."""

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from support.clients import Pop, Refused
from support.database_server import PASSWORD as DATABASE_PASSWORD
from support.database_server import DatabaseServer
from support.dovecot import PASSWORD, Dovecot
from support.mariadb import MariaDb
from support.postgresql import PostgreSql
from support.processes import HOST, wait_until
from support.program import Perdition, Start

pytestmark = pytest.mark.system
UNAVAILABLE = r"\[SYS/TEMP\]"
COLUMNS = "varchar(128) PRIMARY KEY, servername varchar(255), port varchar(8)"


def mysql(database: MariaDb, row: str) -> str:
    """Make the table; the map's option."""
    database.execute(
        "CREATE DATABASE dbPerdition",
        f"CREATE TABLE dbPerdition.tblPerdition (user {COLUMNS})",
        f"INSERT INTO dbPerdition.tblPerdition VALUES ({row})",
    )
    return f"{HOST}:{database.port}:dbPerdition:tblPerdition:perdition:{DATABASE_PASSWORD}"


def postgresql(database: PostgreSql, row: str) -> str:
    """Make the table; the map's option."""
    database.execute(
        f"CREATE ROLE perdition LOGIN PASSWORD '{DATABASE_PASSWORD}'",
        f'CREATE TABLE tblPerdition ("user" {COLUMNS})',
        f"INSERT INTO tblPerdition VALUES ({row})",
        "GRANT SELECT ON tblPerdition TO perdition",
    )
    return f"{HOST}:{database.port}:postgres:tblPerdition:perdition:{DATABASE_PASSWORD}"


STORES = {"mysql": (MariaDb, mysql), "postgresql": (PostgreSql, postgresql)}


@pytest.fixture(params=STORES)
def store(
    request: pytest.FixtureRequest, dovecot: Dovecot
) -> Iterator[tuple[str, str, DatabaseServer]]:
    """The name of a map, its option, and its server."""
    kind, fill = STORES[request.param]
    with kind() as database:
        row = f"'ann', 'ann-sql@{HOST}', '{dovecot.ports['pop3']}'"
        yield request.param, fill(database, row), database  # type: ignore[arg-type]


def log_in(proxy: Perdition, user: str) -> None:
    with contextlib.closing(Pop(proxy.port)) as client:
        client.log_in(user, PASSWORD)
        client.use()


def test_a_worker_that_only_has_sessions_keeps_no_connections(
    start: Start, store: tuple[str, str, DatabaseServer]
) -> None:
    name, option, database = store
    proxy = start("POP3", {"map_library": name, "map_library_opt": option})
    with contextlib.closing(Pop(proxy.port)) as client:
        client.log_in("ann", PASSWORD)
        wait_until(lambda: database.connections() == 1, 20, "the map is connected")
        os.kill(proxy.pid, signal.SIGHUP)
        wait_until(lambda: database.connections() == 0, 20, "nobody asks any more")
        client.use()


def test_users_of_a_database_log_in_while_it_is_there(
    start: Start, store: tuple[str, str, DatabaseServer], dovecot: Dovecot
) -> None:
    name, option, database = store
    proxy = start(
        "POP3",
        {
            "map_library": f"/usr/lib/libperditiondb_{name}.so.0",
            "map_library_opt": option,
            "username_from_database": True,
            "debug": True,
        },
    )
    log_in(proxy, "ann")
    proxy.wait_log(f'server="{HOST}:{dovecot.ports["pop3"]}" .*status="ok"$')
    database.kill()
    for _ in range(2):
        with pytest.raises(Refused, match=UNAVAILABLE):
            log_in(proxy, "ann")
    proxy.wait_log(f"map: {name} ")
    database.start()
    log_in(proxy, "ann")
    assert "ann-sql" in dovecot.log()
    with pytest.raises(Refused, match="Could not determine server"):
        log_in(proxy, "x'or'1'='1")
    assert DATABASE_PASSWORD not in proxy.log()
