"""posix_regex: a file of regular expressions."""

import os
import re
from pathlib import Path

import pytest

from perdition.maps import MapFailed, MapSettings, Query
from perdition.maps.regex import Regex
from perdition.tools.shipped import shipped


def lookup(tmp_path: Path, text: str, key: str) -> bytes | None:
    file = tmp_path / "popmap.re"
    file.write_text(text, newline="")
    return Regex(str(file), MapSettings()).lookup(Query(key.encode()))


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("^user$: host:143\n", "user", b"host:143"),
        ("^user$: host\n", "users", None),
        ("^us: one\n^user: two\n", "user", b"one"),
        ("bob: host\n", "xbob", b"xhost"),
        ("^bob: host\n", "bobby", b"host"),
        ("(.*)@(.*): $1_$2@mail2:143\n", "bob@x.org", b"bob_x.org@mail2:143"),
        ("^(a)|(b): $1$2\n", "b", b"$1b"),
        ("^a: $0$9$x\n", "a", b"a$9$x"),
        ("'^a\\.b': host\n", "a.b", b"host"),
        ("'^a\\.b': host\n", "axb", None),
        ("^[a-k]: one\n^[^a-k]: two\n", "zoe", b"two"),
        ("^[[:digit:]]+$: one\n", "12", b"one"),
        ("^[]x]+$: one\n", "]x", b"one"),
        ("'^[\\]$': one\n", "\\", b"one"),
        ("^USER: one\n", "user", None),
        ("only\n^a: one more words\n", "a", b"one"),
        ("a:host\n", "a", None),
        ("^ host\n", "bob", b"host"),
        ("a|ab: $0\n", "abc", b"ab"),
        ("'^(a|ab)(c|bcd)$': $1-$2\n", "abcd", b"a-bcd"),
        ("^user): host\n", "user)", b"host"),
        ("'^[[.a.]][[=b=]]$': host\n", "ab", b"host"),
        ("^a$: one\n", "a\0b", None),
        # Without an expression, or without a value, as a generator may write it.
        (": one\n^a: two\n", "a", b"two"),
        ("'' one\n\"\": one\n^a: two\n", "a", b"two"),
        ("^a: ''\n^a: \"\" two\n", "a", None),
        ("'' ^a: one\n", "a", b"one"),
        ("^a # C:\\mail\\\r\n^a: one\r\n", "a", b"one"),
        # A user who would choose other servers, or how they are spoken to.
        ("^(.*)$: $1@host\n", "bob@host;tls=none;name=x", None),
        ("^(.*)$: $1@host\n", "bob@host,eve", None),
        ("@(.*): $0@host\n", "eve,bob@x", None),
        ("^bob: host;tls=ssl,other\n", "bob;tls=none", b"host;tls=ssl,other"),
        ("'^.$': one\n", "\xe9", None),
        ("'^..$': one\n", "\xe9", b"one"),
    ],
)
def test_lookups(tmp_path: Path, text: str, key: str, value: bytes | None) -> None:
    assert lookup(tmp_path, text, key) == value


def test_octets_that_are_no_text_match_and_come_back(tmp_path: Path) -> None:
    file = tmp_path / "re"
    file.write_text("^(.*)$: $1@host\n")
    assert Regex(str(file), MapSettings()).lookup(Query(b"m\xfcller")) == b"m\xfcller@host"


@pytest.mark.parametrize(
    "text", ["^user(: host\n", "us{er: host\n", "a 'b\n", "[[:nothing:]]: host\n"]
)
def test_a_bad_file_says_where(tmp_path: Path, text: str) -> None:
    with pytest.raises(MapFailed, match=r"popmap\.re:1"):
        lookup(tmp_path, text, "user")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(MapFailed, match="/no/such/file"):
        Regex("/no/such/file", MapSettings())


def test_a_file_that_is_half_written_in_its_place_is_not_used(tmp_path: Path) -> None:
    path, told = tmp_path / "popmap.re", list[str]()
    path.write_text("^ann: one\n^bob: host:32101\n")
    opened = Regex(str(path), MapSettings(tell=told.append))
    for text in "", "^bob: host:321", "^ann: one\n^bob: ho":
        path.write_text(text)
        os.utime(path, (0, len(told)))
        assert opened.lookup(Query(b"bob")) == b"host:32101"
    assert told == [
        f"{path}: {reason}: what it held before stays in use"
        for reason in ("has no lines", "its last line has no end")
    ]
    path.write_text("^bob: two\n")
    os.utime(path, (0, 9))
    assert opened.lookup(Query(b"bob")) == b"two"
    # At a start, and at HUP, it is as whoever wrote it wants.
    path.write_text("^bob: three")
    assert Regex(str(path), MapSettings()).lookup(Query(b"bob")) == b"three"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "popmap")
    with pytest.raises(MapFailed, match=r"popmap: not a file$"):
        Regex(str(tmp_path / "popmap"), MapSettings())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("user", b"user2@localhost"),
        ("bob@example.com", b"bob_example.com@localhost"),
        ("bob", b"localhost"),
        ("zoe", b"localhost:110"),
    ],
)
def test_each_example_of_the_shipped_file_is_reached(
    tmp_path: Path, key: str, value: bytes
) -> None:
    text = shipped("conf/perdition/popmap.re").read_text(encoding="utf-8")
    assert lookup(tmp_path, re.sub(r"^#(?=\S)", "", text, flags=re.MULTILINE), key) == value
