"""The programs that make tables of popmaps, and that the maps find what is in them."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdition.maps import Answer, MapSettings, Query
from perdition.maps.choice import open_map
from perdition.net import ServerItem
from perdition.tools import questions
from support.database_server import ADMIN_PASSWORD, DatabaseServer
from support.mariadb import MariaDb
from support.odbc import define, driver
from support.postgresql import PostgreSql
from support.processes import HOST

# Of the new account, and hard to paste.
SECRET = "se'sa`me\"4%s"
LIB = str(Path(questions.__file__).parents[2])


def run(tool: str, answers: list[str], status: int = 0, **environment: str) -> str:
    """Run a program; what it says."""
    done = subprocess.run(
        [sys.executable, "-m", f"perdition.tools.{tool}_makedb"],
        input="".join(f"{each}\n" for each in answers),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": LIB} | environment,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert ADMIN_PASSWORD not in done.stdout + done.stderr
    return done.stdout + done.stderr


def found(library: str, option: str) -> object:
    with contextlib.closing(open_map(library, option, MapSettings(timeout=5))) as opened:
        return opened.lookup(Query(b"ann"))


@pytest.fixture(scope="module")
def mariadb() -> Iterator[DatabaseServer]:
    with MariaDb() as server:
        yield server


@pytest.fixture(scope="module")
def postgresql() -> Iterator[DatabaseServer]:
    with PostgreSql() as server:
        yield server


@pytest.mark.parametrize(("database", "table"), [("", ""), ("other_db", "odd `name%")])
def test_a_database_in_mysql(mariadb: DatabaseServer, database: str, table: str) -> None:
    host = f"{HOST}:{mariadb.port}"
    answers = [host, ADMIN_PASSWORD, database, table, "maps", SECRET, SECRET, "%", "y"]
    said = run("mysql", answers)
    names = database or "dbPerdition", table or "tblPerdition"
    assert f"map_library_opt {host}:{names[0]}:{names[1]}:maps:PASSWORD" in said
    quoted = names[1].replace("`", "``")
    mariadb.execute(f"INSERT INTO {names[0]}.`{quoted}` VALUES ('ann', 'mail1', '143')")
    option = f"{host}:{names[0]}:{names[1]}:maps:{SECRET}"
    if not table:
        assert found("mysql", option) == Answer([ServerItem("", "mail1", "143")])
    # Once more, and what was there is gone.
    run("mysql", answers)
    assert mariadb.execute(f"SELECT count(*) FROM {names[0]}.`{quoted}`") == [(0,)]


def test_a_database_in_postgresql(postgresql: DatabaseServer) -> None:
    answers = ["", "", "maps", "", SECRET, SECRET, HOST, "y"]
    environment = {
        "PGPORT": str(postgresql.port),
        "PGPASSWORD": ADMIN_PASSWORD,
        "PGUSER": "postgres",
    }
    for _ in range(2):
        said = run("postgresql", answers, **environment)
        assert f"map_library_opt {HOST}::dbperdition:tblperdition:maps:PASSWORD" in said
    with contextlib.closing(postgresql.connect(database="dbperdition")) as connection:
        connection.execute("INSERT INTO tblPerdition VALUES ('ann', 'mail1', '143')")
    option = f"{HOST}:{postgresql.port}:dbperdition:tblPerdition:maps:{SECRET}"
    assert found("postgresql", option) == Answer([ServerItem("", "mail1", "143")])


def test_a_table_behind_odbc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODBCSYSINI", "")
    monkeypatch.setenv("ODBCINI", "")
    file = driver("libsqlite3odbc.so", "libsqliteodbc")
    define(tmp_path, {"dbPerdition": {"Driver": file, "Database": str(tmp_path / "popmap")}})
    for _ in range(2):
        said = run("odbc", ["y", "", "", "", SECRET, "y"])
        assert "map_library_opt ::dbPerdition:tblPerdition:perdition:PASSWORD" in said
    assert found("odbc", "::dbPerdition") is None


@pytest.mark.parametrize("tool", ["mysql", "postgresql"])
def test_what_cannot_be_reached_is_said(tool: str) -> None:
    answers = {
        "mysql": ["127.0.0.1:1", ADMIN_PASSWORD],
        "postgresql": ["", "", "maps", "", SECRET, SECRET, HOST, "y"],
    }[tool]
    assert "Error: " in run(tool, answers, status=1, PGPORT="1", PGUSER="postgres")


def test_nothing_is_done_that_is_not_wanted(mariadb: DatabaseServer) -> None:
    host = f"{HOST}:{mariadb.port}"
    before = [host, ADMIN_PASSWORD, "not_wanted", "", "maps"]
    assert "Nothing has been done" in run("mysql", [*before, SECRET, SECRET, "", "n"], status=1)
    assert "do not match" in run("mysql", [*before, SECRET, "x"], status=1)
    assert "is empty" in run("mysql", [*before, ""], status=1)
    assert "Nothing has been done" in run("odbc", ["n"], status=1)
    assert mariadb.execute("SHOW DATABASES LIKE 'not_wanted'") == []
