"""Response codes: those of the program's own refusals, and those that Dovecot gives."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import Pki
from support.dovecot import Dovecot
from support.dovecot_sasl import SECRET
from support.dovecot_settings import V24, Passdb, Settings
from support.processes import HOST, free_port, wait_until
from support.program import Options, Perdition, Start
from support.sasl_clients import CLIENTS, coded
from system.sasl.conftest import LISTENERS

pytestmark = pytest.mark.system
WHY = "failed: Re-Authentication Failure"
# A user that may not log in now, one whose passdb is broken, and others.
SETTINGS = Settings(
    (
        Passdb(
            {"password": SECRET, "nologin": "y", "reason": "Moved_to_another_place"}, users="gone"
        ),
        Passdb(file="$home/pem/is-no-folder-of-%{user}", users="broken"),
        Passdb({"password": SECRET}, users="!gone !broken"),
    ),
    others="mail_max_userip_connections = 1\n",
)


@pytest.fixture(scope="module")
def refuser(pki: Pki) -> Iterator[Dovecot]:
    pem = Path(pki.file("for names")).read_bytes()
    with Dovecot(pem, settings=SETTINGS) as dovecot:
        yield dovecot


@pytest.fixture(params=LISTENERS)
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def server(refuser: Dovecot, protocol: str) -> Options:
    return {"outgoing_server": f"{HOST}:{refuser.ports[LISTENERS[protocol]]}"}


GIVEN = {
    ("gone", "IMAP4"): f"NO [CONTACTADMIN] {WHY}",
    ("gone", "POP3"): f"-ERR [AUTH] {WHY}",
    ("gone", "MANAGESIEVE"): f'NO "{WHY}"',
    ("broken", "IMAP4"): f"NO [UNAVAILABLE] {WHY}",
    ("broken", "POP3"): f"-ERR [SYS/TEMP] {WHY}",
    ("broken", "MANAGESIEVE"): f'NO (TRYLATER) "{WHY}"',
    ("busy", "IMAP4"): f"NO [LIMIT] {WHY}",
    ("busy", "POP3"): f"-ERR [IN-USE] {WHY}",
    ("busy", "MANAGESIEVE"): f'NO "{WHY}"',
}


def is_full(program: Perdition, protocol: str, user: str) -> bool:
    """Whether nobody more can log in."""
    with CLIENTS[protocol](program.port) as client:
        return not client.log_in(user, SECRET).accepted


@pytest.mark.parametrize("user", ["gone", "broken", "busy"])
def test_dovecots_code_is_passed_on(
    start: Start, server: Options, refuser: Dovecot, protocol: str, user: str
) -> None:
    if user == "busy" and protocol != "IMAP4" and refuser.version == V24:
        pytest.skip("Dovecot 2.4 has no code for it in POP3, and no such limit in ManageSieve")
    program = start(protocol, server)
    with CLIENTS[protocol](program.port) as first, CLIENTS[protocol](program.port) as client:
        if user == "busy":
            # One connection is all that there may be.
            assert first.log_in(user, SECRET).accepted
            wait_until(lambda: is_full(program, protocol, user), 30, "Dovecot has counted it")
        assert client.log_in(user, SECRET).line.decode() == GIVEN[user, protocol]
        by_sasl = client.authenticate("PLAIN", initial=coded(f"\0{user}\0{SECRET}"))
        assert by_sasl.line.decode() == GIVEN[user, protocol]
        # The connection is as good as before.
        assert client.log_in("ann", SECRET).accepted
        client.use()


def test_with_server_resp_line_its_text_is_as_well(
    start: Start, server: Options, protocol: str
) -> None:
    program = start(protocol, {**server, "server_resp_line": True})
    with CLIENTS[protocol](program.port) as client:
        assert b"Moved_to_another_place" in client.log_in("gone", SECRET).line


def test_with_compat_there_is_none(start: Start, server: Options, protocol: str) -> None:
    program = start(protocol, {**server, "compat": "2.2"})
    with CLIENTS[protocol](program.port) as client:
        for user in ("gone", "broken", "nobody"):
            line = client.log_in(user, "wrong").line.decode()
            assert line.replace('"', "") in (f"NO {WHY}", f"-ERR {WHY}")


DOWN = {
    "IMAP4": "NO [UNAVAILABLE] failed: Could not connect to server",
    "POP3": "-ERR [SYS/TEMP] failed: Could not connect to server",
    "MANAGESIEVE": 'NO (TRYLATER) "failed: Could not connect to server"',
}


def test_a_real_server_that_is_down_is_not_the_clients_fault(start: Start, protocol: str) -> None:
    with free_port() as nobody:
        program = start(protocol, {"outgoing_server": f"{HOST}:{nobody}"})
        with CLIENTS[protocol](program.port) as client:
            assert client.log_in("ann", SECRET).line.decode() == DOWN[protocol]
            by_sasl = client.authenticate("PLAIN", initial=coded(f"\0ann\0{SECRET}"))
            assert by_sasl.line.decode() == DOWN[protocol]


WRONG = {
    "IMAP4": f"NO [AUTHENTICATIONFAILED] {WHY}",
    "POP3": f"-ERR [AUTH] {WHY}",
    "MANAGESIEVE": f'NO "{WHY}"',
}


def test_a_wrong_password_is(start: Start, server: Options, protocol: str) -> None:
    program = start(protocol, server)
    with CLIENTS[protocol](program.port) as client:
        assert client.log_in("ann", "wrong").line.decode() == WRONG[protocol]


UNABLE = {
    "IMAP4": "NO [UNAVAILABLE] failed: SASL mechanism unavailable",
    "POP3": "-ERR [SYS/TEMP] failed: SASL mechanism unavailable",
    "MANAGESIEVE": 'NO (TRYLATER) "failed: SASL mechanism unavailable"',
}


def test_a_mechanism_that_only_the_real_server_lacks_is_no_wrong_password(
    start: Start, server: Options, protocol: str
) -> None:
    program = start(protocol, {**server, "sasl_mechanisms": "PLAIN,XOAUTH2"})
    with CLIENTS[protocol](program.port) as client:
        message = coded("user=ann\1auth=Bearer x\1\1")
        assert client.authenticate("XOAUTH2", initial=message).line.decode() == UNABLE[protocol]
        assert client.log_in("ann", SECRET).accepted
