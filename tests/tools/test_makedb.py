"""The programs that make a table for a map in a database, and that the maps find what is in it."""

import contextlib
import io
import os
import poplib
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyodbc
import pytest

import support.program
from perdition.maps import Answer, Found, MapSettings, Query
from perdition.maps.choice import open_map
from perdition.net import ServerItem
from perdition.tools import (
    ldap_makedb,
    makedb,
    manuals,
    mysql_makedb,
    odbc_makedb,
    postgresql_makedb,
)
from support import odbc
from support.database_server import ADMIN_PASSWORD
from support.man import rendered, words
from support.mariadb import MariaDb
from support.postgresql import PostgreSql
from support.processes import HOST, lacking, require
from support.program import Perdition
from support.scripted import ScriptedServer, read_line

SECRET = "geheim-5Rz'\"\\%s`$(id)"
ANN = Answer([ServerItem("", "mail1", "143")])
SECONDS = 30
PROGRAMS = [ldap_makedb, mysql_makedb, odbc_makedb, postgresql_makedb]
PROCEED = "Proceed (May destroy existing data in database) [y/n]? "


class Program(Protocol):
    """One of the programs."""

    __name__: str

    @staticmethod
    def main(arguments: Sequence[str] | None) -> int: ...


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    with MariaDb() as server:
        yield server


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSql]:
    with PostgreSql() as server:
        yield server


@pytest.fixture
def mysql(mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch) -> MariaDb:
    """The server, where clients find it though it has another port than usual."""
    monkeypatch.setenv("MYSQL_TCP_PORT", str(mariadb.port))
    monkeypatch.setenv("MYSQL_UNIX_PORT", str(mariadb.socket))
    return mariadb


@pytest.fixture
def pgsql(postgresql: PostgreSql, monkeypatch: pytest.MonkeyPatch) -> PostgreSql:
    """The server, where clients find it though it has another port than usual."""
    monkeypatch.setenv("PGPORT", str(postgresql.port))
    return postgresql


class Run(Protocol):
    """Runs one of the programs in this process, and returns what it says."""

    def __call__(self, program: Program, answers: Sequence[str], status: int = 0) -> str: ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def runner(program: Program, answers: Sequence[str], status: int = 0) -> str:
        lines = "".join(f"{each}\n" for each in answers)
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        before = signal.getsignal(signal.SIGINT)
        try:
            ended = program.main([])
        finally:
            signal.signal(signal.SIGINT, before)
        said = "".join(capsys.readouterr())
        assert ended == status, said
        assert SECRET not in said
        assert ADMIN_PASSWORD not in said
        return said

    return runner


def lookup(name: str, option: str, key: str = "ann") -> Found:
    with contextlib.closing(open_map(name, option, MapSettings(timeout=5))) as opened:
        return opened.lookup(Query(key.encode()))


def in_order(said: str, *texts: str) -> None:
    """Check that these have been said in that order."""
    found = [said.index(each) for each in texts]
    assert found == sorted(found)


def test_mysql_asks_as_2_2_and_with_its_defaults_the_map_needs_no_option(
    run: Run, mysql: MariaDb
) -> None:
    answers = ["", ADMIN_PASSWORD, "", "", "", "perdition", "perdition", "", "y"]
    in_order(
        run(mysql_makedb, answers),
        "Enter host name [localhost]: ",
        "Enter the password for the MySQL root user: ",
        "Enter database name [dbPerdition]: ",
        "Enter table name [tblPerdition]: ",
        "Enter database user [perdition]: ",
        "Enter a password for the perdition user: ",
        "Enter password again to verify: ",
        "Enter hostname [localhost]: ",
        PROCEED,
        "map_library_opt localhost:0:dbPerdition:tblPerdition:perdition:PASSWORD",
    )
    (row,) = mysql.execute("SHOW CREATE TABLE dbPerdition.tblPerdition")
    assert "PRIMARY KEY (`user`)" in row[1]
    assert "`user` varchar(128) NOT NULL" in row[1]
    assert "KEY `idxtblPerdition_user` (`user`)" in row[1]
    mysql.execute("INSERT INTO dbPerdition.tblPerdition VALUES ('ann', 'mail1', '143')")
    assert lookup("mysql", "") == ANN


def test_mysql_takes_names_and_passwords_of_any_kind_and_makes_them_again(
    run: Run, mysql: MariaDb
) -> None:
    for password in ("first", SECRET):
        names = ["my `db_%s;", "users", "o'b\"rien"]
        run(mysql_makedb, [HOST, ADMIN_PASSWORD, *names, password, password, "%", "Y"])
        mysql.execute("INSERT INTO `my ``db_%s;`.users VALUES ('ann', 'mail1', '143')")
    assert lookup("mysql", f"{HOST}:0:my `db_%s;:users:o'b\"rien:{SECRET}") == ANN
    # The new user has that database only, not one that the name as a pattern means.
    mysql.execute("CREATE DATABASE `my ``dbX%s;`")
    with (
        contextlib.closing(mysql.connect(user="o'b\"rien", password=SECRET)) as connection,
        contextlib.closing(connection.cursor()) as cursor,
    ):
        cursor.execute("SHOW DATABASES")
        names = [name for (name,) in cursor.fetchall()]
    assert sorted(names) == ["information_schema", "my `db_%s;"]


def test_mysql_does_nothing_unless_told_to(run: Run, mysql: MariaDb) -> None:
    mysql.execute("CREATE DATABASE kept", "CREATE TABLE kept.t (a int)")
    answers = [HOST, ADMIN_PASSWORD, "kept", "", "", "p", "p", ""]
    for last in ("n", "", "yes"):
        run(mysql_makedb, [*answers, last])
    assert "No more answers. Bailing" in run(mysql_makedb, answers, 1)
    assert mysql.execute("SHOW TABLES FROM kept") == [("t",)]


@pytest.mark.usefixtures("mysql")
def test_mysql_stops_where_root_cannot_log_in(run: Run) -> None:
    assert "cannot connect as root: Access denied" in run(mysql_makedb, [HOST, "wrong"], 1)
    assert "cannot connect as root: Can't connect" in run(mysql_makedb, ["127.0.0.2", ""], 1)


def test_answers_that_do_not_fit_are_asked_for_again(run: Run, mysql: MariaDb) -> None:
    names = ["a:b", "again", "odd name", "t", "u"]
    passwords = ["", "a:b", "p", "q", "p", "p"]
    answers = [HOST, ADMIN_PASSWORD, *names, *passwords, "it's", HOST, "y"]
    assert run(mysql_makedb, answers).count("try again") == 6
    mysql.execute("INSERT INTO again.t VALUES ('ann', 'mail1', '143')")
    assert lookup("mysql", f"{HOST}:0:again:t:u:p") == ANN


def test_postgresql_asks_as_2_2_and_its_map_finds_what_is_put_in(
    run: Run, pgsql: PostgreSql
) -> None:
    for password in ("first", SECRET):
        answers = ["", "", "", "", password, password, HOST, "y", ADMIN_PASSWORD]
        said = run(postgresql_makedb, answers)
    in_order(
        said,
        "Enter database name [dbPerdition]: ",
        "Enter table name [tblPerdition]: ",
        "Enter database user [perdition]: ",
        "Enter a numeric userid for the perdition user [",
        "Enter a password for the perdition user: ",
        "Enter password again to verify: ",
        "Enter host name [localhost]: ",
        PROCEED,
        "Password: ",
        f"map_library_opt {HOST}::dbPerdition:tblperdition:perdition:PASSWORD",
    )
    account = {"user": "perdition", "password": SECRET}
    with contextlib.closing(pgsql.connect("dbPerdition", **account)) as connection:
        connection.execute("INSERT INTO tblPerdition VALUES ('ann', 'mail1', '143')")
        connection.execute("INSERT INTO tblPerdition VALUES ('bob', 'mail2')")
    option = f"{HOST}::dbPerdition:tblPerdition:perdition:{SECRET}"
    assert lookup("postgresql", option) == ANN
    assert lookup("postgresql", option, "bob") == Answer([ServerItem("", "mail2", "")])


def test_postgresql_takes_names_of_any_kind(run: Run, pgsql: PostgreSql) -> None:
    names = ['my "db";', "Users", "o'b\"rien"]
    passwords = [SECRET, SECRET]
    answers = [*names, "x7", "7", *passwords, str(pgsql.home), "y", ADMIN_PASSWORD]
    run(postgresql_makedb, answers)
    with contextlib.closing(pgsql.connect('my "db";')) as connection:
        connection.execute("INSERT INTO users VALUES ('ann', 'mail1', '143')")
    assert lookup("postgresql", f'{HOST}::my "db";:Users:o\'b"rien:{SECRET}') == ANN


def test_postgresql_does_nothing_unless_told_to(run: Run, pgsql: PostgreSql) -> None:
    before = pgsql.execute("SELECT datname FROM pg_database ORDER BY 1")
    answers = ["kept", "", "", "", "p", "p", HOST]
    run(postgresql_makedb, [*answers, "n"])
    said = run(postgresql_makedb, [*answers, "y", "wrong"], 1)
    assert "cannot connect as postgres: " in said
    run(postgresql_makedb, answers, 1)
    assert pgsql.execute("SELECT datname FROM pg_database ORDER BY 1") == before


@pytest.mark.parametrize("driver", ["sqlite", "postgresql"])
def test_odbc_makes_a_table_in_a_data_source(
    run: Run, driver: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if driver == "sqlite":
        user, password = "", "any"
        file = odbc.driver("libsqlite3odbc.so", "libsqliteodbc")
        settings = {"Driver": file, "Database": str(tmp_path / "db")}
    else:
        user, password = "postgres", ADMIN_PASSWORD
        settings = {
            "Driver": odbc.driver("psqlodbcw.so", "odbc-postgresql"),
            "Servername": HOST,
            "Port": str(request.getfixturevalue("postgresql").port),
            "Database": "postgres",
        }
    # The driver manager remembers for a while what it has read of a name.
    source = f"makedb {driver}"
    odbc.define(tmp_path, {source: settings})
    for _ in range(2):
        said = run(odbc_makedb, ["y", "", source, "", user, password, "y"])
    in_order(
        said,
        "Has ODBC, a DSN and user been set up? [y/N]: ",
        "Enter host name [localhost]: ",
        "Enter DSN [dbPerdition]: ",
        "Enter table name [tblPerdition]: ",
        "Enter user [perdition]: ",
        "Enter the password for the ",
        PROCEED,
        f"map_library_opt localhost:0:{source}:tblPerdition:",
    )
    words = f"DSN={source};UID={user};PWD={password}"
    with contextlib.closing(pyodbc.connect(words, autocommit=True)) as connection:
        connection.execute("INSERT INTO tblPerdition VALUES ('ann', 'mail1', '143')").close()
    assert lookup("odbc", f"::{source}:tblPerdition:{user}:{password}") == ANN


def test_odbc_does_nothing_unless_told_to(run: Run, tmp_path: Path) -> None:
    odbc.define(tmp_path, {})
    for answers in (["n"], [""], ["y", "", "", "", "", "p", "n"]):
        run(odbc_makedb, answers)
    said = run(odbc_makedb, ["y", "", "no such source", "", "", SECRET, "y"], 1)
    assert "Data source name not found" in said


@pytest.mark.usefixtures("mysql")
def test_a_terminal_does_not_show_passwords() -> None:
    ours, theirs = pty.openpty()
    root = Path(mysql_makedb.__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "perdition.tools.mysql_makedb"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": str(root)},
        start_new_session=True,
    )
    os.close(theirs)
    said = b""
    answers = {b"host name [localhost]: ": HOST, b"MySQL root user: ": ADMIN_PASSWORD}
    # When nobody has the other end any more, reading is an error.
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 4096):
            said += piece
            for question in [each for each in answers if said.endswith(each)]:
                os.write(ours, f"{answers.pop(question)}\n".encode())
            if said.endswith(b"database name [dbPerdition]: "):
                process.kill()
    process.wait(SECONDS)
    os.close(ours)
    assert not answers
    assert HOST.encode() in said
    assert ADMIN_PASSWORD.encode() not in said


def test_the_originals_own_map_reads_our_table(
    run: Run, mysql: MariaDb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries = list(Path("/usr/lib").glob("*/libperditiondb_mysql.so.0"))
    if not libraries:
        lacking("perdition-mysql is not installed")
    monkeypatch.setattr(support.program, "ANOTHER", require("perdition"))
    account = ["reader", "pw-8Ub", "pw-8Ub"]
    run(mysql_makedb, [HOST, ADMIN_PASSWORD, "original", "users", *account, "%", "y"])
    option = f"{HOST}:{mysql.port}:original:users:reader:pw-8Ub"
    with ScriptedServer() as real:
        mysql.execute(f"INSERT INTO original.users VALUES ('ann', '{HOST}', '{real.port}')")
        given = {"map_library": str(libraries[0]), "map_library_opt": option}
        with (
            Perdition(tmp_path, "POP3", given) as proxy,
            contextlib.closing(poplib.POP3(HOST, proxy.port, timeout=SECONDS)) as client,
        ):
            client.user("ann")
            client.sock.sendall(b"PASS secret\r\n")
            sock = real.accept()
            sock.sendall(b"+OK ready\r\n")
            assert read_line(sock) == b"USER ann\r\n"
    assert lookup("mysql", option) == Answer([ServerItem("", HOST, str(real.port))])


@pytest.mark.parametrize("word", ["-h", "--help"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_help_is_what_the_manual_says_and_nothing_is_asked(
    program: Program, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SystemExit) as ended:
        program.main([word])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    name = f"perditiondb_{program.__name__.rpartition('.')[2]}"
    assert said.startswith(f"usage: {name} [-h]\n")
    page = words(rendered(manuals.PAGES[f"man8/{name}.8"]()))
    text = said.partition("\n\n")[2].partition("\n\n")[2]
    assert all(words(each) in page for each in text.partition("\n\noptions:")[0].split("\n\n"))
    assert "exit status is 1" in " ".join(text.split())
    assert words(f"-h, --help {makedb.HELP}") in page


@pytest.mark.parametrize("word", ["--hel", "-x", "dbPerdition"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_any_other_word_ends_it_before_anything_is_asked(
    program: Program, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SystemExit) as ended:
        program.main([word, "y"])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"error: unrecognized arguments: {word}" in said.err
