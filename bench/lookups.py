"""Look-ups a second in maps of 100,000 users, for one worker (`make bench MAPS=1`).

Cold is a map that is opened for each look-up, with its connection, as 2.2 did it; pooled is one
that four threads use. The servers are those of the tests, started on 127.0.0.1.
"""

import argparse
import contextlib
import importlib
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench import ROOT
from bench.documents import put_between_markers
from perdition.maps import Map, MapSettings, Query
from perdition.maps.choice import open_map

USERS = 100_000
THREADS = 4
SETTINGS = MapSettings()
BEGIN, END = "<!-- lookups: begin -->", "<!-- lookups: end -->"
COLUMNS = "(user varchar(128) NOT NULL PRIMARY KEY, servername varchar(255), port varchar(8))"
HEAD = ["map", "cold: look-ups/s", "pooled: look-ups/s", "pooled: CPU µs a look-up"]


class Place(NamedTuple):
    """A store that is filled: `map_library` and `map_library_opt`."""

    library: str
    option: str


def user(number: int) -> str:
    """The name of a user."""
    return f"user{number}@example.com"


def server(number: int) -> str:
    """The real server of a user."""
    return f"mail{number % 10}.example.com"


def support(module: str) -> Any:
    """A module of the tests, which have the servers."""
    sys.path.insert(0, str(ROOT / "tests"))
    return importlib.import_module(f"support.{module}")


def popmap(folder: Path) -> bytes:
    """The users in a text file, as makegdbm reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    return b"".join(f"{user(each)}:{server(each)}\n".encode() for each in range(USERS))


@contextlib.contextmanager
def made_file(folder: Path, kind: str) -> Iterator[Place]:
    """A GDBM or Berkeley DB file."""
    file = folder / f"popmap.{kind}"
    module = f"perdition.tools.make{kind}"
    subprocess.run([sys.executable, "-m", module, str(file)], input=popmap(folder), check=True)
    yield Place(kind, str(file))


@contextlib.contextmanager
def made_cdb(folder: Path) -> Iterator[Place]:
    """A constant database."""
    file = folder / "popmap.cdb"
    lines = popmap(folder).replace(b":", b" ")
    subprocess.run(["cdb", "-c", "-m", str(file)], input=lines, check=True)
    yield Place("cdb", str(file))


@contextlib.contextmanager
def made_regex(folder: Path) -> Iterator[Place]:
    """A file of expressions, each for one user: a worst case."""
    file = folder / "popmap.re"
    lines = popmap(folder).decode().replace(":", "$: ").splitlines()
    file.write_text("".join(f"^{line}\n" for line in lines), encoding="utf-8")
    yield Place("posix_regex", str(file))


def rows() -> list[tuple[str, str, None]]:
    """The users as the rows of a table."""
    return [(user(each), server(each), None) for each in range(USERS)]


def fill(connection: Any, mark: str, quote: str = "") -> None:
    """Make the table of users in a database."""
    columns = COLUMNS.replace("user ", f"{quote}user{quote} ", 1)
    cursor = connection.cursor()
    cursor.execute(f"CREATE TABLE tblPerdition {columns}")
    insert = f"INSERT INTO tblPerdition VALUES ({mark}, {mark}, {mark})"  # noqa: S608
    cursor.executemany(insert, rows())
    connection.commit()


@contextlib.contextmanager
def made_mysql(_folder: Path) -> Iterator[Place]:
    """A table in MariaDB."""
    module = support("mariadb")
    with module.MariaDb() as database:
        database.execute("CREATE DATABASE dbPerdition")
        with contextlib.closing(database.connect("dbPerdition")) as connection:
            connection.autocommit(False)
            fill(connection, "%s")
        account = f"perdition:{support('database_server').PASSWORD}"
        yield Place("mysql", f"127.0.0.1:{database.port}:dbPerdition:tblPerdition:{account}")


@contextlib.contextmanager
def made_postgresql(_folder: Path) -> Iterator[Place]:
    """A table in PostgreSQL."""
    module = support("postgresql")
    with module.PostgreSql() as database:
        database.execute(
            f"CREATE ROLE perdition LOGIN PASSWORD '{support('database_server').PASSWORD}'",
            "CREATE DATABASE dbperdition",
        )
        with contextlib.closing(database.connect("dbperdition")) as connection:
            connection.autocommit = False
            fill(connection, "%s", '"')
            connection.execute("GRANT SELECT ON tblPerdition TO perdition")
            connection.commit()
        account = f"perdition:{support('database_server').PASSWORD}"
        yield Place("postgresql", f"127.0.0.1:{database.port}:dbperdition:tblPerdition:{account}")


@contextlib.contextmanager
def made_sqlite(folder: Path) -> Iterator[Place]:
    """A file of SQLite, by the map sql."""
    yield Place("sql", f"sqlite:///{sqlite_file(folder)}")


@contextlib.contextmanager
def made_odbc(folder: Path) -> Iterator[Place]:
    """The same file, by ODBC."""
    module = support("odbc")
    driver = module.driver("libsqlite3odbc.so", "libsqliteodbc")
    file = str(sqlite_file(folder))
    module.define(folder, {"dbPerdition": {"Driver": driver, "Database": file}})
    yield Place("odbc", "::dbPerdition")


def sqlite_file(folder: Path) -> Path:
    """A file of SQLite."""
    sqlite3 = importlib.import_module("sqlite3")
    file = folder / "popmap.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        fill(connection, "?")
    return file


MADE: dict[str, Callable[[Path], contextlib.AbstractContextManager[Place]]] = {
    "gdbm": lambda folder: made_file(folder, "gdbm"),
    "bdb": lambda folder: made_file(folder, "bdb"),
    "cdb": made_cdb,
    "posix_regex": made_regex,
    "mysql": made_mysql,
    "postgresql": made_postgresql,
    "sql": made_sqlite,
    "odbc": made_odbc,
}


def ask(opened: Map) -> None:
    """Look up one of the users."""
    number = random.randrange(USERS)  # noqa: S311 - not a secret
    found = opened.lookup(Query(user(number).encode()))
    if found is None or server(number) not in repr(found):
        raise SystemExit(f"{user(number)}: {found!r}")


def cold(place: Place, seconds: float) -> float:
    """Look-ups a second, each with a map of its own."""
    count, begin = 0, time.monotonic()
    while time.monotonic() - begin < seconds or not count:
        opened = open_map(place.library, place.option, SETTINGS)
        ask(opened)
        opened.close()
        count += 1
    return count / (time.monotonic() - begin)


def pooled(place: Place, seconds: float) -> tuple[float, float]:
    """Look-ups a second of several threads with one map, and CPU time of each in microseconds."""
    opened = open_map(place.library, place.option, SETTINGS)
    ask(opened)
    counts = [0] * THREADS
    begin, used = time.monotonic(), time.process_time()

    def work(number: int) -> None:
        while time.monotonic() - begin < seconds:
            ask(opened)
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    took, used = time.monotonic() - begin, time.process_time() - used
    opened.close()
    return sum(counts) / took, used / sum(counts) * 1e6


def measure(name: str, seconds: float) -> list[str]:
    """A row of the table."""
    with (
        tempfile.TemporaryDirectory(prefix="lookups-") as folder,
        MADE[name](Path(folder)) as place,
    ):
        rate, cost = pooled(place, seconds)
        return [name, f"{cold(place, seconds):,.1f}", f"{rate:,.0f}", f"{cost:,.0f}"]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="lookups", description=__doc__)
    parser.add_argument("--maps", default=",".join(MADE), help="these only", metavar="A,B")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each time")
    parser.add_argument("--write-docs", action="store_true", help="update docs/performance.md")
    options = parser.parse_args()
    lines = [HEAD, ["---"] + ["---:"] * (len(HEAD) - 1)]
    for name in options.maps.split(","):
        print(f"{name} ...", file=sys.stderr, flush=True)
        lines.append(measure(name, options.seconds))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    print(table)
    if options.write_docs:
        document = ROOT / "docs/performance.md"
        text = document.read_text(encoding="utf-8")
        document.write_text(put_between_markers(text, table, BEGIN, END), encoding="utf-8")


if __name__ == "__main__":
    main()
