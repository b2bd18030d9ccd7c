"""``--lookup``, as an operator uses it."""

import contextlib
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from support.processes import open_to_all

TOOK = re.compile(r" \(\d+\.\d\d ms\)$")
PROGRAM = Path(__file__).resolve().parents[2] / "perdition.py"
POPMAP = """\
^ann@: mail1:110,[2001:db8::1]:143
^ann$: mail1:110,[2001:db8::1]:143
^bob$: anna@mail2
^bad$: 'mail 1'
^caf\xe9$: mail3
^empty$: bob@
"""


@pytest.fixture
def popmap(tmp_path: Path) -> Path:
    # The workers' user is to read it.
    open_to_all(tmp_path)
    path = tmp_path / "popmap.re"
    path.write_text(POPMAP, encoding="utf-8")
    return path


def lookup(
    popmap: Path, users: str, *options: str, status: int = 0, given: bytes = b""
) -> list[str]:
    """The lines that it prints, without times."""
    done = subprocess.run(
        [
            *(sys.executable, PROGRAM, "-f", "", "--no_lookup", "-P", "IMAP4"),
            *("-M", "posix_regex", "-m", popmap, "--lookup", users, *options),
        ],
        input=given,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    return [TOOK.sub("", line) for line in done.stdout.decode().splitlines()]


def test_each_key_and_each_destination_has_a_line(popmap: Path) -> None:
    assert lookup(popmap, "ann,bob") == [
        "ann",
        '  key "ann": found "mail1:110,[2001:db8::1]:143"',
        '  server mail1 port 110 user "ann" TLS none',
        '  server 2001:db8::1 port 143 user "ann" TLS none',
        "bob",
        '  key "bob": found "anna@mail2"',
        '  server mail2 port 143 user "bob" TLS none',
    ]


def test_names_change_as_in_a_log_in(popmap: Path) -> None:
    options = ["-U", "--query_key", r"\U,\u", "--strip_domain", "remote_login"]
    assert lookup(popmap, "bob@x", *options) == [
        "bob@x",
        '  key "bob@x": not found',
        '  key "bob": found "anna@mail2"',
        '  server mail2 port 143 user "anna" TLS none',
    ]


def test_who_is_not_in_the_map_goes_to_the_default_server(popmap: Path) -> None:
    lines = lookup(popmap, "zoe", "--outgoing_server", "main", "--ssl_mode", "tls_outgoing_force")
    assert lines[1:] == [
        '  key "zoe": not found',
        '  server main port 143 user "zoe" TLS by STARTTLS, required',
    ]
    assert lookup(popmap, "empty")[2:] == [
        "  no server: the map has none, and outgoing_server is not set"
    ]


def test_what_is_said_of_a_server_is_shown(popmap: Path) -> None:
    rule = "mail2;tls=starttls;name=imap.example.com;client=id"
    more = ["--outgoing_destinations", rule, "--ssl_mode", "ssl_outgoing"]
    assert lookup(popmap, "bob", *more)[2:] == [
        '  server mail2 port 143 user "bob" TLS by STARTTLS, required '
        "name imap.example.com client id"
    ]
    pin = f"pin=sha256:{'ab' * 32}"
    more = ["--outgoing_server", f"main;tls=ssl;{pin}"]
    assert lookup(popmap, "zoe", *more)[2:] == [
        f'  server main port 143 user "zoe" TLS from the first octet on {pin.replace("=", " ")}'
    ]


def test_a_network_counts_for_a_name_that_leads_into_it(popmap: Path) -> None:
    rules = "127.0.0.0/8;tls=ssl,::1;tls=ssl,mail2;tls=starttls"
    for server, tls in (
        ("localhost", "from the first octet on"),
        ("mail2", "by STARTTLS, where it is offered"),
        ("192.0.2.1", "none"),
    ):
        more = ["--outgoing_destinations", rules, "--outgoing_server", server]
        assert lookup(popmap, "zoe", *more)[2:] == [
            f'  server {server} port 143 user "zoe" TLS {tls}'
        ]


def test_authorities_that_cannot_be_read_are_said(popmap: Path) -> None:
    popmap.write_text(f"^ann$: mail1;ca={popmap}.none\n")
    lines = lookup(popmap, "ann", status=255)
    assert lines[-1] == (
        f"  out of order: ca={popmap}.none: there is no such file: check its name: a log-in would fail"
    )


def test_a_map_out_of_order_is_not_a_user_who_is_not_there(popmap: Path) -> None:
    assert lookup(popmap, "bad", status=255)[1:] == [
        '  key "bad": found "mail 1"',
        "  out of order: not the name of a host: mail 1",
        "  a log-in would be told to try again later (map_failure temporary)",
    ]
    options = ["--map_failure", "default_server", "--outgoing_server", "main"]
    lines = lookup(popmap, "bad", *options, status=255)
    assert lines[-1] == '  server main port 143 user "bad" TLS none'
    missing = ["-M", "gdbm", "-m", "/no/such/file"]
    lines = lookup(popmap, "ann", *missing, status=255)
    assert lines[1] == '  key "ann": out of order: /no/such/file: No such file or directory'


def test_a_map_that_is_not_there_is_an_error(popmap: Path) -> None:
    assert lookup(popmap, "ann", "-M", "nothing", status=255) == []


def test_users_come_from_standard_input(popmap: Path) -> None:
    lines = lookup(popmap, "-", given="bob\n\ncaf\xe9\r\nann@x,y".encode())
    assert [line for line in lines if not line.startswith(" ")] == ["bob", "caf\xe9", "ann@x,y"]
    assert [line for line in lines if "not found" in line] == []


def test_names_that_no_log_in_may_have_are_not_looked_up(popmap: Path) -> None:
    given = b"a\0b\n" + b"x" * 1025 + b"\n"
    said = lookup(popmap, "-", given=given)
    assert said[1::2] == ["  a log-in with such a name is refused"] * 2


def test_octets_that_are_no_text_are_shown_as_such(popmap: Path) -> None:
    lines = lookup(popmap, "-", "--outgoing_server", "main", given=b"\xe9\x1b[2J\n")
    assert lines[:2] == ["\\351\\033[2J", '  key "\\351\\033[2J": not found']


def test_a_long_list_shows_how_far_it_has_come(popmap: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    names = popmap.with_name("names")
    names.write_bytes(b"ann\n" * 500)
    shown = popmap.with_name("shown")
    command = [sys.executable, PROGRAM, "-f", "", "-M", "posix_regex", "-m", popmap]
    with names.open("rb") as given, shown.open("wb") as output:
        running = subprocess.Popen(
            [*command, "--lookup", "-"], stdin=given, stdout=output, stderr=theirs
        )
    os.close(theirs)
    told = b""
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 1 << 16):
            told += piece
    os.close(ours)
    assert running.wait(60) == 0
    assert shown.read_bytes().count(b"server mail1") == 500
    assert b"500/500" in told


@pytest.mark.parametrize("users", ["", ",", ",,"])
def test_no_user_is_a_fault_and_does_not_start_the_proxy(popmap: Path, users: str) -> None:
    assert lookup(popmap, users, status=255) == []


def test_a_disk_that_is_full_is_said_in_a_line(popmap: Path) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [sys.executable, PROGRAM, "-f", "", "-M", "posix_regex", "-m", popmap, "--lookup=ann"],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    assert done.returncode == 255
    assert done.stderr.endswith(b"perdition: --lookup: No space left on device\n")
