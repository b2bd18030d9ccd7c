"""``--check_upgrade``, for a site whose files are those of the test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perdition.maps.libgdbm import NEWDB, File
from perdition.tools import check_upgrade

PROGRAM = Path(__file__).resolve().parents[2] / "perdition.py"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "perdition").mkdir()
    (tmp_path / "default").mkdir()
    return tmp_path


def told(etc: Path, capsys: pytest.CaptureFixture[str], *words: str, conf: str = "") -> list[str]:
    """What is said of one service, or of all of them."""
    program, *arguments = words or ["perdition"]
    if conf:
        (etc / "perdition" / "perdition.conf").write_text(conf)
    check_upgrade.run(program, arguments, etc)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == (
        f"{sum(line.startswith('  ') for line in lines)} to look at. "
        "What is different for everybody: docs/upgrading.md of the project, "
        "/usr/share/doc/perdition/upgrading.md.gz of the package"
    )
    return lines[:-1]


def test_all_services_of_the_init_script_are_looked_at(
    etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (etc / "default/perdition").write_text(
        "# POP3S=yes\nRUN_PERDITION=yes # really\nFLAGS='--timeout 40'\nPOP3=no\nPOP3S=no\n"
        'IMAP4S="yes"\nIMAP4S_FLAGS="-t 5 --connection_limit 3"\nMANAGESIEVE=no\n'
    )
    assert told(etc, capsys, conf="outgoing_server main\n") == [
        "perdition.imap4 --timeout 40",
        "perdition.imaps --timeout 40 -t 5 --connection_limit 3",
        "  ssl_listen_min_proto_version: TLS 1.2 at least; 2.2 spoke 1.0 unless told otherwise: for "
        "old peers set it to tlsv1",
        "  ssl_outgoing_min_proto_version: TLS 1.2 at least; 2.2 spoke 1.0 unless told otherwise: "
        "for old peers set it to tlsv1",
        "  connection_limit: 2.2 ended when it was reached; now the surplus connection is closed",
    ]


def test_what_is_empty_is_the_init_scripts_default(
    etc: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    default, conf = etc / "default/perdition", etc / "perdition/perdition.conf"
    monkeypatch.setenv("POP3", "no")
    monkeypatch.setenv("FLAGS", "--quiet")
    default.write_text("RUN_PERDITION=yes\nPOP3=\nPOP3S=no IMAP4S=no MANAGESIEVE=no\n")
    assert told(etc, capsys, conf="map_library ''\n") == ["perdition.pop3", "perdition.imap4"]
    default.write_text("RUN_PERDITION=\nPOP3=yes\n")
    assert told(etc, capsys) == ["perdition"]
    text = f'RUN_PERDITION=yes\nIMAP4S=no MANAGESIEVE=no\nFLAGS="-f {conf.parent}/$NAME.conf"\n'
    default.write_text(
        text + "[ $1 = stop ] || POP3S=no IMAP4=no\n[ $DAEMON = /usr/sbin/perdition ] || POP3=no\n"
    )
    assert told(etc, capsys)[0] == f"perdition.pop3 -f {conf}"


def test_a_site_that_starts_nothing_is_looked_at_by_its_file(
    etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (etc / "default/perdition").write_text("RUN_PERDITION=no\n")
    assert told(etc, capsys, conf="authenticate_timeout 0\n") == [
        "perdition",
        "  authenticate_timeout 0: 2.2 closed at once; now it is no limit",
    ]


def test_what_does_not_start_is_said_with_what_2_2_made_of_it(
    etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told(etc, capsys, "perdition.pop3", conf="timeuot 5\ndebug\n")
    file = etc / "perdition/perdition.conf"
    assert lines[1].startswith(f"  {file}:1: timeuot: unknown option: 2.2 left out the rest")
    assert lines[2].endswith("did you mean timeout?: it does not start before this is mended")


def test_the_file_that_is_named_is_the_one(
    etc: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    lines = told(etc, capsys, "perdition", "-f", str(other), conf="timeuot 5\n")
    assert lines[1] == (
        f"  {other}: No such file or directory: 2.2 went on without it; now the start fails"
    )
    other.write_text("outgoing_server main\n")
    lines = told(etc, capsys, "perdition", "-f", str(other), "--outgoing_server", "second")
    assert lines[1:] == [
        "  outgoing_server: 2.2 took it from the file, main; now the command line counts, second"
    ]


def test_options_that_mean_something_else_are_told(
    etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told(
        etc,
        capsys,
        conf="log_passwd fail\nclient_server_specification\nlog_facility /var/log/perdition\n"
        "ssl_listen_compression\nmap_library /usr/lib/libperditiondb_mysql.so.0\n",
    )
    assert [line.partition(":")[0].strip() for line in lines[1:]] == [
        str(etc / "perdition/perdition.conf"),
        "log_passwd fail",
        "client_server_specification",
        "log_facility /var/log/perdition",
        "map mysql without map_library_opt",
    ]


def test_the_maps_in_files_are_read(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = etc / "perdition"
    file = File(os.open(folder / "popmap.gdbm.db", os.O_RDWR | os.O_CREAT, 0o600), NEWDB)
    for number in range(5):
        file.insert(b"user%d" % number, b"one,two")
    file.insert(b"bad", b"2001:db8::1:143")
    file.close()
    lines = told(etc, capsys, conf="outgoing_server main\n")
    assert "and 2 more: the value has a comma" in lines[1]
    assert "bad: 2001:db8::1:143: write [2001:db8::1]:143" in lines[2]
    assert len(lines) == 3
    regex = folder / "popmap.re"
    regex.write_text("\ufeff^a: one,two\n^: host\nonly\n: host\n")
    lines = told(etc, capsys, conf="map_library posix_regex\noutgoing_server main\n")
    assert [line.removeprefix(f"  {regex}:").partition(":")[0] for line in lines[1:]] == [
        "1",
        "2",
        "3",
        "4",
        " line 1",
    ]


def test_the_program_does_it() -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, "--check_upgrade", "-f", ""],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[0] == "perdition -f ''"


PRECEDENCE = {
    "bind_address": "2.2 took it from the file, 127.0.0.1; now the command line counts, 0.0.0.0",
    "authenticate_in": "2.2 did not take it from the file where bind_address is on the command "
    "line; now it counts",
    "debug": "2.2 did not take it from the file where connection_logging is on the command line; "
    "now it counts",
}


@pytest.mark.parametrize(
    "words", [["-b", "0.0.0.0", "-C"], ["-Cb0.0.0.0"], ["--bind_address=0.0.0.0", "-C"]]
)
@pytest.mark.parametrize("key", ["bind_address", "b"])
def test_options_that_2_2_confused_are_named_however_they_are_written(
    etc: Path, capsys: pytest.CaptureFixture[str], words: list[str], key: str
) -> None:
    conf = f'{key} 127.0.0.1\nauthenticate_in\ndebug\noutgoing_server main\nmap_library ""\n'
    lines = told(etc, capsys, "perdition.pop3", *words, conf=conf)
    assert lines[1:] == [f"  {name}: {text}" for name, text in PRECEDENCE.items()]


@pytest.mark.parametrize(
    ("depth", "told_of"),
    [
        ("3", ["add_domain: 2.2 took the depth from the file, 2; now the command line counts, 3"]),
        (",", ["add_domain: 2.2 took the depth from the file, 2; now the command line counts, 0"]),
        ("2", []),
        ("all", []),
    ],
)
def test_the_depth_that_2_2_took_from_the_file_is_told(
    etc: Path, capsys: pytest.CaptureFixture[str], depth: str, told_of: list[str]
) -> None:
    lines = told(etc, capsys, "perdition", "-A", depth, conf="add_domain all,2\n")
    assert lines[1:] == [f"  {each}" for each in told_of]


def test_who_has_been_root_is_told(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(etc, capsys, "perdition", conf="username ''\n")
    assert lines[1:] == ["  username '': 2.2 kept root's; now it is the default, nobody"]


def test_the_default_file_is_a_script(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    default = etc / "default/perdition"
    default.write_text(
        "export RUN_PERDITION=yes; BASE=--quiet\nPOP3=no POP3S=no IMAP4S=no MANAGESIEVE=no\n"
        'FLAGS="$BASE \\\n -t 5"\n'
    )
    (line,) = told(etc, capsys, conf="outgoing_server main\nmap_library ''\n")
    assert line == "perdition.imap4 --quiet -t 5"
    default.write_text('RUN_PERDITION="yes\n')
    (line, _perdition) = told(etc, capsys)
    ended = f"  {default}: the init script ends with it and starts nothing, as 2.2's did: "
    assert line.startswith(ended)
    assert "nterminated" in line
    for text, why in ("exit 0", "exit status 0"), ("set -e\nfalse", "exit status 1"):
        default.write_text(f"RUN_PERDITION=yes\n{text}\n")
        assert told(etc, capsys)[0] == ended + why


def test_what_breaks_the_grammar_is_told_once(
    etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (_pop3, line) = told(etc, capsys, "perdition.pop3", conf="timeout 5\nok_line a\0b\n")
    assert line == (
        f"  {etc}/perdition/perdition.conf:2: a NUL character: 2.2 took it for the end of the word; "
        "now the start fails: take it out"
    )


def test_a_file_that_is_no_gdbm_is_told_with_what_follows(
    etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = etc / "perdition/popmap.gdbm.db"
    file.write_text("junk" * 1000)
    (_pop3, line) = told(etc, capsys, "perdition.pop3", conf="no_lookup\n")
    assert line == (
        f"  {file}: Bad magic number: the map is out of order: 2.2 went on to outgoing_server; now "
        "map_failure says what a log-in gets"
    )


def test_a_map_that_cannot_be_opened_is_told(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = "map_library mysql\nmap_library_opt a:b:c:d:e:f:g:h:i:j:k\n"
    (_pop3, line) = told(etc, capsys, "perdition.pop3", conf=conf)
    assert line.startswith("  map: map_library_opt: 11 fields")
    assert line.endswith(": it does not start before this is mended")
