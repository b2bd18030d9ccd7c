"""The map sql, with SQLite, which needs no server."""

import contextlib
import re
import sqlite3
import sys
from pathlib import Path

import pytest

from perdition.grammar import scan_settings
from perdition.maps import Answer, Found, MapFailed, MapSettings, Query, servers
from perdition.maps.choice import open_map
from perdition.maps.sql_options import read_access
from perdition.net import ServerItem
from perdition.tools.shipped import shipped
from support.processes import wait_until

ANN = Answer([ServerItem("", "mail1", "143")])
CREATE = "CREATE TABLE {} ({} TEXT, {} TEXT, {} INTEGER)"
KEY = "SELECT servername, port FROM tblPerdition WHERE user = :key"


def fill(path: Path, table: str = "tblPerdition", columns: str = "user servername port") -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(CREATE.format(table, *columns.split()))
        connection.execute(f"INSERT INTO {table} VALUES ('ann', 'mail1', 143)")
        connection.execute(f"INSERT INTO {table} VALUES ('bob', 'rob@mail2', NULL)")
        connection.commit()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "popmap.sqlite"
    fill(found)
    return found


def lookup(option: str, key: str = "ann") -> Found:
    with contextlib.closing(open_map("sql", option, MapSettings(timeout=2))) as opened:
        return opened.lookup(Query(key.encode()))


def test_the_table_has_the_names_of_2_2(path: Path) -> None:
    assert lookup(f"sqlite:///{path}") == ANN
    assert lookup(f"sqlite:///{path}", "bob") == Answer([ServerItem("rob", "mail2", "")])
    assert lookup(f"sqlite:///{path}", "nobody") is None


def test_a_name_chooses_no_servers_by_its_commas(path: Path) -> None:
    option = f"sqlite:///{path} query=SELECT :key || '@mail1'"
    assert lookup(option, "bob") == Answer([ServerItem("bob", "mail1", "")])
    assert lookup(option, "x@evil:1,y") is None
    assert lookup(option, "ann;tls=none") is None
    words = "user_col=:key server_col=:key||'@mail1' port_col="
    assert lookup(f"sqlite:///{path} {words}", "x@evil:1,y") is None


def test_table_and_columns_can_have_other_names(tmp_path: Path) -> None:
    fill(tmp_path / "db", "Users", "[order] [select] [group]")
    words = "table=Users user_col=order server_col=select port_col=group"
    assert lookup(f"sqlite:///{tmp_path}/db {words}") == ANN


def test_a_name_that_is_sql_stays_as_it_is(path: Path) -> None:
    words = "user_col=upper(user) server_col=servername||'.org' table=main.tblPerdition"
    found = Answer([ServerItem("", "mail1.org", "143")])
    assert lookup(f"sqlite:///{path} {words}", "ANN") == found


@pytest.mark.parametrize(
    ("query", "key", "found"),
    [
        (KEY, "ann", ANN),
        (f"{KEY} AND user <> '\\:key'", "ann", ANN),
        ("SELECT servername FROM tblPerdition WHERE user = lower(:key)", "ANN", Answer([ServerItem("", "mail1", "")])),
        ("SELECT 'mail%' || length(:key)", "ann", Answer([ServerItem("", "mail%3", "")])),
        ("SELECT 1, NULL WHERE :key = 'ann'", "ann", Answer([ServerItem("", "1", "")])),
        ("SELECT NULL, 143 WHERE :key <> ''", "ann", b""),
        (f"{KEY} UNION SELECT 'zz', 1 ORDER BY 1", "ann", ANN),
    ],
)  # fmt: skip
def test_a_query_gives_server_and_port_by_position(
    path: Path, query: str, key: str, found: Found
) -> None:
    assert lookup(f"sqlite:///{path} query={query}", key) == found


@pytest.mark.parametrize(
    "key", ["' OR 1=1 --", "x' UNION SELECT 'evil", "%", "\\", "", "a" * 10_000]
)
def test_a_key_is_never_part_of_the_query(path: Path, key: str) -> None:
    assert lookup(f"sqlite:///{path} query={KEY}", key) is None


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("SELECT 1", "there is none"),
        ("SELECT :user", "there is :user"),
        ("SELECT :key, :other", "there is :key, :other"),
    ],
)
def test_a_query_without_key_alone_is_told_at_start(path: Path, query: str, complaint: str) -> None:
    with pytest.raises(MapFailed, match=complaint):
        open_map("sql", f"sqlite:///{path} query={query}", MapSettings())


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("SELEKT :key", "syntax error"),
        ("SELECT missing FROM tblPerdition WHERE user = :key", "no such column: missing"),
        ("DELETE FROM tblPerdition WHERE user = :key", "readonly database"),
    ],
)
def test_a_query_that_fails_is_out_of_order(path: Path, query: str, complaint: str) -> None:
    with pytest.raises(MapFailed, match=f"^sql sqlite {path}: .*{complaint}"):
        lookup(f"sqlite:///{path} query={query}")
    assert lookup(f"sqlite:///{path}") == ANN


def test_a_file_needs_an_absolute_path_for_the_daemon_is_elsewhere() -> None:
    with pytest.raises(MapFailed, match=r"not an absolute path: popmap\.sqlite: write sqlite:////"):
        open_map("sql", "sqlite:///popmap.sqlite", MapSettings())


def test_a_file_that_is_not_there_is_out_of_order_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(MapFailed, match="unable to open database file"):
        lookup(f"sqlite:///{tmp_path}/nothing")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_out_of_order(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"ann:mail1\n" * 1000)
    with pytest.raises(MapFailed, match="not a database"):
        lookup(f"sqlite:///{tmp_path}/db")


def test_a_file_that_takes_the_place_of_another_is_read(path: Path, tmp_path: Path) -> None:
    with contextlib.closing(open_map("sql", f"sqlite:///{path}", MapSettings())) as opened:
        assert opened.lookup(Query(b"ann")) == ANN
        fill(tmp_path / "new")
        with contextlib.closing(sqlite3.connect(tmp_path / "new")) as connection:
            connection.execute("UPDATE tblPerdition SET servername = 'mail9'")
            connection.commit()
        (tmp_path / "new").replace(path)
        assert opened.lookup(Query(b"ann")) == Answer([ServerItem("", "mail9", "143")])


def test_the_next_url_is_asked_when_the_first_fails(path: Path, tmp_path: Path) -> None:
    assert lookup(f"sqlite:///{tmp_path}/nothing sqlite:///{path}") == ANN


def test_one_that_failed_is_asked_again_after_a_while(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "REST_SECONDS", 0.5)
    late = tmp_path / "late"
    option = f"sqlite:///{late} sqlite:///{path}"
    with contextlib.closing(open_map("sql", option, MapSettings())) as opened:
        assert opened.lookup(Query(b"bob")) == Answer([ServerItem("rob", "mail2", "")])
        fill(tmp_path / "new")
        with contextlib.closing(sqlite3.connect(tmp_path / "new")) as connection:
            connection.execute("DELETE FROM tblPerdition")
            connection.commit()
        (tmp_path / "new").rename(late)
        assert opened.lookup(Query(b"bob")) is not None
        wait_until(lambda: opened.lookup(Query(b"bob")) is None, 10, "the first one is asked")
        path.unlink()
        assert opened.lookup(Query(b"bob")) is None


SECRET = "geheim-5Rz"


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        (f"nosuch://u:{SECRET}@h/d", "URL 1: not the URL of a database"),
        (f"sqlite:////x u:{SECRET}@h", "URL 2: not the URL of a database"),
        (f"mysql+pymysql://u:{SECRET}@h:port/d", "URL 1: not the URL of a database"),
        (f"oracle+oracledb://u:{SECRET}@h/d", "No module named 'oracledb'.* PyPI's oracledb"),
        (f"postgresql+psycopg_async://u:{SECRET}@h/d", "a driver for asyncio"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_at_start_and_not_shown(
    option: str, complaint: str
) -> None:
    with pytest.raises(MapFailed, match=complaint) as caught:
        open_map("sql", option, MapSettings())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "missing", "packages"),
    [
        ("mysql", "pymysql", r"python3-pymysql or PyPI's perdition\[mysql\]"),
        ("postgresql", "psycopg", r"python3-psycopg2 or PyPI's perdition\[postgresql\]"),
        ("odbc", "pyodbc", r"python3-pyodbc or PyPI's perdition\[odbc\]"),
        ("sql", "sqlalchemy.engine", r"python3-sqlalchemy or PyPI's perdition\[sql\]"),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_packages(
    name: str, missing: str, packages: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"perdition.maps.{name}", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MapFailed, match=f"^map {name}: .*: install Debian's .*{packages}"):
        open_map(name, "", MapSettings())


def test_the_examples_with_quotes_mean_what_the_document_says(tmp_path: Path) -> None:
    document = shipped("docs/maps.md").read_text(encoding="utf-8")
    mysql, sql = (
        setting.value or ""
        for setting in scan_settings(
            "\n".join(re.findall(r'^    (map_library_opt ".*")$', document, re.MULTILINE)[:2])
        )
    )
    assert read_access(mysql, "").password == 's#cr"t\\1'
    assert f"is `{read_access(mysql, '').password}`:" in document
    with contextlib.closing(sqlite3.connect(tmp_path / "mail.db")) as connection:
        connection.execute("CREATE TABLE boxes (name TEXT, kind TEXT, host TEXT)")
        connection.execute("INSERT INTO boxes VALUES ('ann', 'pop3', 'mail1')")
        connection.execute("INSERT INTO boxes VALUES ('ann', 'imap', 'mail2')")
        connection.commit()
    option = sql.replace("/srv/mail.db", str(tmp_path / "mail.db"))
    assert lookup(option) == Answer([ServerItem("", "mail2", "")])
