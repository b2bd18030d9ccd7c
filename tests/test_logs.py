"""Log lines, whole, and what keeps them apart from what peers sent."""

import os
import re
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition import logs
from perdition.logs import Log, Who
from perdition.protocols import decode

PEERS = "10.0.0.7:4000->10.0.0.1:143"
SERVER = "mail:143"


def test_the_line_of_a_connection_has_two_blanks() -> None:
    assert logs.connected(PEERS) == "Connect:  10.0.0.7:4000->10.0.0.1:143"


AUTH = [
    (
        Who(PEERS, None, "ann"),
        None,
        f"Auth: {PEERS} client-secure=ssl authorisation_id=NONE "
        'authentication_id="ann" server="mail:143" protocol=IMAP4 server-secure=plaintext '
        'status="ok"',
    ),
    (
        Who(PEERS, "bob", "ann"),
        b'se"s\x00me',
        f'Auth: {PEERS} client-secure=ssl authorisation_id="bob" '
        'authentication_id="ann" passwd="se\\042s\\000me" server="mail:143" protocol=IMAP4 '
        'server-secure=plaintext status="ok"',
    ),
]


def test_ends_that_are_not_known_leave_no_blank_behind() -> None:
    ids = 'authorisation_id=NONE authentication_id="(null)"'
    line = logs.auth_line(Who(""), SERVER, "POP3", ("ssl", "ssl"), "ok")
    assert line.startswith(f"Auth: client-secure=ssl {ids} server=")
    assert logs.closing(Who(""), 2, 3) == f"Closing session: {ids} received=2 sent=3"
    assert logs.closing_null(Who("")) == f"Closing NULL session: {ids}"
    assert logs.forbidden(Who("")) == f"UNAUTHENTICATE is not let through: {ids}"
    assert logs.too_many_failures("") == f"Too many failed log-ins: {ids}"
    assert logs.client_gone("").endswith(" from client: Exiting child")
    assert logs.client_silent("").endswith(" from client: Exiting child")
    assert logs.client_deaf("") == "Fatal error writing to client .Exiting child."


@pytest.mark.parametrize(("who", "password", "line"), AUTH)
def test_the_line_of_a_login_is_that_of_2_2(who: Who, password: bytes | None, line: str) -> None:
    made = logs.auth_line(who, SERVER, "IMAP4", ("ssl", "plaintext"), "ok", password)
    assert made == line


def test_the_lines_of_an_end_are_those_of_2_2() -> None:
    assert logs.closing(Who(PEERS, None, "ann"), 21, 33) == (
        f"Closing session: {PEERS} authorisation_id=NONE authentication_id="
        '"ann" received=21 sent=33'
    )
    assert logs.closing_null(Who(PEERS)) == (
        f'Closing NULL session: {PEERS} authorisation_id=NONE authentication_id="(null)"'
    )
    assert logs.client_gone(PEERS) == (
        f"Fatal Error reading authentication information from client {PEERS}: Exiting child"
    )
    assert logs.client_deaf(PEERS) == f"Fatal error writing to client  {PEERS}.Exiting child."
    assert logs.client_silent(PEERS) == (
        "Fatal Error: Timeout reading authentication information from client "
        f"{PEERS}: Exiting child"
    )


FORGED = [
    (b"a\r\nAuth: b", "a\\015\\012Auth: b"),
    (b'a" status="ok', "a\\042 status=\\042ok"),
    (b"\x1b[31m\x7f\0", "\\033[31m\\177\\000"),
    # CSI as a character of C1, and as an octet that is no UTF-8.
    ("\x9b31m".encode(), "\\302\\23331m"),
    (b"\x9b31m", "\\23331m"),
    ("m\u00fcller".encode(), "m\u00fcller"),
    (b"m\xfcller", "m\udcfcller"),
]


@pytest.mark.parametrize(("name", "shown"), FORGED)
def test_a_name_can_forge_nothing(name: bytes, shown: str) -> None:
    assert logs.escape(decode(name)) == shown
    who = Who(PEERS, None, decode(name))
    line = logs.auth_line(who, f"{decode(name)}:1", "POP3", ("ssl", "ssl"), "ok")
    assert f'authentication_id="{shown}" server="{shown}:1"' in line


@given(st.binary())
def test_no_octets_make_two_lines_or_move_a_terminal(
    tmp_path_factory: pytest.TempPathFactory, octets: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "escaped"
    path.unlink(missing_ok=True)
    log = Log("perdition", str(path), logs.INFO)
    log.info(f"somebody forgot to escape {decode(octets)}")
    assert log.descriptor is not None
    os.close(log.descriptor)
    line = path.read_bytes()
    assert line.count(b"\n") == 1
    assert not set(line[:-1]) & {*range(0x20), 0x7F}
    text = line.decode("utf-8", "surrogateescape")
    assert not set(text) & {*map(chr, range(0x80, 0xA0)), *map(chr, range(0xDC80, 0xDCA0))}


def test_nothing_that_nobody_sees_is_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = Log("perdition", str(path), logs.INFO)
    for each in "\xad\u061c\u200b\u2028\u2029\u202e\u2066\ufeff\U000e0041":
        log.info(f"somebody forgot to escape ann{each}bob and m\u00fcller")
        shown = "".join(f"\\{octet:03o}" for octet in each.encode())
        assert logs.escape(f"ann{each}") == f"ann{shown}"
        assert path.read_text().endswith(f"ann{shown}bob and m\u00fcller\n")


def test_a_character_that_no_octets_stand_for_is_shown_too(tmp_path: Path) -> None:
    """An operator's own map may say anything."""
    path = tmp_path / "log"
    log = Log("perdition", str(path), logs.INFO)
    log.info("map: \ud800 \udcff \udfff")
    assert path.read_bytes().endswith(b": map: \\355\\240\\200 \xff \\355\\277\\277\n")


def test_the_traffic_log_escapes_as_2_2() -> None:
    assert logs.show_data(b"a\a\b\t\n\v\f\r\\\"'\x01\xff z") == (
        "a\\a\\b\\t\\n\\v\\f\\r\\\\\\\"\\'\\001\\377 z"
    )


def test_a_level_leaves_out_what_is_less_important(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = Log("perdition", str(path), logs.ERROR)
    log.notice("no")
    log.error("yes")
    assert log.descriptor is not None
    os.close(log.descriptor)
    assert path.read_text().endswith(f" perdition[{os.getpid()}]: yes\n")
    assert path.read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("character", "is_shown_as"),
    [("\x85", "\\302\\205"), ("\U00020000", "\U00020000"), ("\udcff", "\udcff")],
)
def test_the_line_of_a_login_has_its_end_however_long_the_names_are(
    tmp_path: Path, character: str, is_shown_as: str
) -> None:
    path = tmp_path / "log"
    long = character * 20_000
    line = logs.auth_line(
        Who("a:1->b:2", long, f"ann@{long}"),
        long,
        "IMAP4",
        ("ssl", "ssl"),
        "failed: x",
        b"x" * 9999,
    )
    Log("perdition", str(path), logs.DEBUG).notice(line)
    shown = path.read_text(errors="surrogateescape")
    assert shown.endswith('..." protocol=IMAP4 server-secure=ssl status="failed: x"\n')
    found = re.search('authentication_id="ann@(.*?)[.]{3}"', shown)
    assert found is not None
    assert found[1].startswith(is_shown_as * 60)
    assert 960 < len(os.fsencode(found[1])) <= logs.NAME_LIMIT


def test_a_line_after_one_that_was_cut_by_a_full_disk_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = Log("perdition", str(path), logs.DEBUG)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log.notice("first")
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
    try:
        log.notice("second")
        log.notice("lost")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.notice("third")
    log.notice("fourth")
    first, second, third, fourth = path.read_text().splitlines()
    assert len(second) == 10
    assert [each.split("]: ")[-1] for each in (first, third, fourth)] == [
        "first",
        "third",
        "fourth",
    ]


def test_the_log_is_nobody_elses_after_it_was_opened_again(tmp_path: Path) -> None:
    log = Log("perdition", str(tmp_path / "log"), logs.DEBUG)
    assert log.descriptor is not None
    log.reopen()
    assert not os.get_inheritable(log.descriptor)
