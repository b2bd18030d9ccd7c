"""perditiondb_ldap_makedb, against a real slapd, and that the map finds what it has made."""

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdition.maps import Answer, MapFailed, MapSettings, Query
from perdition.maps.ldap_directory import Ldap
from perdition.net import ServerItem
from perdition.tools import ldap_makedb
from perdition.tools.ldap_makedb import domain_of
from support.processes import free_port
from support.slapd import ADMIN, MAILBOXES, PASSWORD, Slapd

ANSWERS = f"y\n\n{PASSWORD}\n"
COMMAND = [sys.executable, "-m", "perdition.tools.ldap_makedb"]
SECONDS = 30


@pytest.fixture
def slapd() -> Iterator[Slapd]:
    with Slapd("", mailboxes=False) as server:
        yield server


def environment(url: str) -> dict[str, str]:
    path = str(Path(ldap_makedb.__file__).parents[2])
    return os.environ | {"PYTHONPATH": path, "LDAPURI": url}


def run(url: str, answers: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        COMMAND,
        input=answers,
        capture_output=True,
        text=True,
        check=False,
        env=environment(url),
        timeout=SECONDS,
    )
    assert done.returncode == status, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done


def horms(slapd: Slapd) -> object:
    """What the proxy finds."""
    directory = Ldap(
        f"3:{slapd.url}/{MAILBOXES}?username,mailhost,port?one?(uid=%s)", MapSettings()
    )
    try:
        return directory.lookup(Query(b"horms"))
    finally:
        directory.close()


def test_what_it_makes_is_what_the_map_finds(slapd: Slapd) -> None:
    with pytest.raises(MapFailed, match=f"there is no entry {MAILBOXES}$"):
        horms(slapd)
    done = run(slapd.url, ANSWERS)
    assert f"map_library_opt 3:{slapd.url}/{MAILBOXES}?username,mailhost,port?one?(uid=%s)" in (
        done.stdout.splitlines()
    )
    assert horms(slapd) == Answer([ServerItem("horms", "localhost", "110")])


def test_the_name_to_bind_as_can_be_given(slapd: Slapd) -> None:
    run(slapd.url, f"Y\n{ADMIN}\n{PASSWORD}\n")
    assert horms(slapd) is not None


@pytest.mark.parametrize("answers", ["", "\n", "n\n", "yes\n"])
def test_without_the_schema_it_does_nothing(answers: str) -> None:
    said = run("ldap://nothing.invalid", answers).stdout
    assert "copying it to /etc/ldap/schema first" in said
    assert said.endswith("Bailing...\n")


def test_what_the_server_says_against_it_is_told(slapd: Slapd) -> None:
    end = "Error initialising LDAP popmap. Bailing\n"
    done = run(slapd.url, "y\n\nwrong\n", status=1)
    assert done.stderr.endswith(f"\nInvalid credentials\n{end}")
    run(slapd.url, ANSWERS)
    assert run(slapd.url, ANSWERS, status=1).stderr.endswith(f"\nAlready exists\n{end}")


def test_a_server_that_is_down_is_told() -> None:
    with free_port() as port:
        done = run(f"ldap://127.0.0.1:{port}", ANSWERS, status=1)
    assert "Can't contact LDAP server" in done.stderr


def test_a_terminal_does_not_show_the_password(slapd: Slapd) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        process = subprocess.Popen(
            COMMAND,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(slapd.url),
            start_new_session=True,
        )
        os.close(theirs)
        shown = b""
        answers = {b"[y/N]: ": b"y\n", b"]: ": b"\n", b'": ': f"{PASSWORD}\n".encode()}
        for question, answer in answers.items():
            start = len(shown)
            while not shown[start:].endswith(question):
                assert select.select([terminal], [], [], SECONDS)[0], shown
                shown += terminal.read(1024)
            terminal.write(answer)
        while select.select([terminal], [], [], SECONDS)[0]:
            try:
                shown += terminal.read(1024)
            except OSError:
                break
        assert process.wait(SECONDS) == 0, shown
    assert b"Done" in shown
    assert PASSWORD.encode() not in shown
    assert horms(slapd) is not None


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        (ADMIN, "dc=nodomain"),
        ("cn=admin,dc=example,DC=org", "dc=example,DC=org"),
        ("cn=admin,dc=a\\,b,dc=org", "dc=a\\,b,dc=org"),
        ("dc=x,cn=admin,cn=config", "dc=nodomain"),
        ("admin@example.org", "dc=nodomain"),
    ],
)
def test_the_tree_is_in_the_domain_of_who_adds_it(name: str, domain: str) -> None:
    assert domain_of(name) == domain
