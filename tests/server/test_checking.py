"""``--check_config``, as an operator uses it: what it says beside what ends a start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.certificates import Pki
from support.processes import open_to_all

PROGRAM = Path(__file__).resolve().parents[2] / "perdition.py"
# Beside it a line `NAME: good`.
PREFIX = "perdition: warning: "


def checked(*options: object, status: int = 0) -> list[str]:
    """What it says on standard error."""
    done = subprocess.run(
        [sys.executable, PROGRAM, "-f", "", "--no_lookup", "--check_config", *map(str, options)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    assert (done.stdout == "no file: good\n") == (status == 0)
    return done.stderr.splitlines()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is no database."""
    open_to_all(tmp_path)
    path = tmp_path / "popmap"
    path.write_text("ann:mail1\n" * 999)
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("name", ["gdbm", "cdb"])
def test_a_map_whose_file_is_missing_or_broken_is_warned_of(name: str, file: Path) -> None:
    (warning,) = checked("-M", name, "-m", f"{file}.none")
    assert warning.startswith(f"{PREFIX}the map is out of order")
    assert warning.endswith(f"{file}.none: No such file or directory")
    (warning,) = checked("-M", name, "-m", file)
    assert f"{file}: " in warning
    assert not warning.endswith("Success")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes into the workers' user")
def test_a_file_that_the_workers_may_not_read_is_warned_of(file: Path) -> None:
    file.chmod(0o600)
    (warning,) = checked("-M", "cdb", "-m", file)
    assert warning == (
        f"{PREFIX}the map is out of order, read by user nobody: {file}: Permission denied"
    )


def test_a_map_that_nobody_has_named_may_be_missing(file: Path) -> None:
    assert not checked()
    file.write_text("^ann$: mail1\n")
    assert not checked("-M", "posix_regex", "-m", file)
    assert not checked("-M", "")


def test_ports_without_a_number_are_noticed() -> None:
    no_port = "there is no port of that name: /etc/services has them"
    assert checked("-l", "nowhere", status=255) == [f"perdition: listen_port nowhere: {no_port}"]
    assert checked("-p", "nowhere") == [f"{PREFIX}outgoing_port nowhere: {no_port}"]
    assert checked("-s", "localhost:nowhere") == [f"{PREFIX}outgoing_server nowhere: {no_port}"]


@pytest.mark.parametrize("option", ["-l", "-p", "-s", "-b"])
def test_ports_that_are_none_end_the_start(option: str) -> None:
    value = "localhost:99999" if option in ("-s", "-b") else "99999"
    assert "a number up to 65535, or a name" in checked(option, value, status=255)[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
@pytest.mark.parametrize("number", ["4294967295", "9" * 5000, "\N{SUPERSCRIPT TWO}"])
def test_numbers_of_nobody_end_the_start(number: str) -> None:
    assert checked("-u", number, status=255)[-1].endswith("there is no such user")
    assert checked("-g", number, status=255)[-1].endswith("there is no such group")


def test_what_clients_or_tls_to_real_servers_will_miss_is_warned_of(
    tmp_path: Path, file: Path
) -> None:
    pair = Pki(tmp_path).file("expired")
    (ours,) = checked("--ssl_mode", "ssl_listen", "--ssl_cert_file", pair, "--ssl_key_file", pair)
    (theirs,) = checked("--ssl_mode", "ssl_outgoing", "--ssl_ca_file", f"{file}.none")
    assert ours.startswith(f"{PREFIX}ssl_cert_file {pair}: certificate has expired (valid from ")
    assert theirs.startswith(f"{PREFIX}ssl_ca_file {file}.none: there is no such file")


def test_without_its_libraries_it_says_which_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-S", PROGRAM, "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert " has no package configobj: apt-get install python3-configobj" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_of_pam_without_a_file_is_warned_of() -> None:
    (warning,) = checked("--authenticate_in", "--pam_service", "nowhere")
    assert warning.startswith(f"{PREFIX}pam_service nowhere: there is no /etc/pam.d/nowhere")
    (warning,) = checked("--pam_service", "nowhere")
    assert "has no effect" in warning


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes into the workers' user")
def test_expressions_are_the_masters_to_read(file: Path) -> None:
    file.write_text("^ann$: mail1\n")
    file.chmod(0o600)
    assert list(checked("-M", "posix_regex", "-m", file)) == []
