"""`outgoing_master_user`, where clients are looked at here: their password by PAM."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.dovecot import Dovecot
from support.dovecot_sasl import MASTER_SECRET
from support.processes import HOST, lacking
from support.program import Options, Start
from support.sasl_clients import CLIENTS, answers, coded
from system.sasl.conftest import LISTENERS, LOUD, is_told

pytestmark = pytest.mark.system
# Dovecot does not know it.
LOCAL_SECRET = "sesame-pam-5Wc"
CHECK = f"""\
#!/bin/sh
IFS= read -r password
test "$password" = "{LOCAL_SECRET}"
"""


@pytest.fixture
def pam_service(tmp_path: Path) -> Iterator[str]:
    """A service of PAM for which everybody has the same password."""
    if os.geteuid() != 0:
        lacking("only root may write to /etc/pam.d")
    check = tmp_path / "check"
    check.write_text(CHECK)
    check.chmod(0o755)
    file = Path("/etc/pam.d", f"perdition-sasl-{os.getpid()}")
    file.write_text(
        f"auth required pam_exec.so expose_authtok quiet {check}\n"
        "account required pam_exec.so quiet /bin/true\n"
    )
    try:
        yield file.name
    finally:
        file.unlink()


@pytest.mark.parametrize("protocol", LISTENERS)
def test_pam_looks_at_the_password_and_the_master_user_logs_in(
    start: Start, knower: Dovecot, pam_service: str, master: Options, protocol: str
) -> None:
    server = f"{HOST}:{knower.ports[LISTENERS[protocol]]}"
    pam: Options = {"authenticate_in": True, "pam_service": pam_service}
    program = start(protocol, {**LOUD, **pam, **master, "outgoing_server": server})
    before = knower.logins("carol")
    with CLIENTS[protocol](program.port) as client:
        assert set(client.mechanisms()) == {"PLAIN", "LOGIN"}
        wrong = client.authenticate("PLAIN", initial=coded("\0carol\0wrong"))
        assert b"authentication failure" in wrong.line.lower()
        # What opens Dovecot does not open this door.
        assert not client.authenticate("PLAIN", initial=coded(f"\0carol\0{MASTER_SECRET}")).accepted
        assert client.log_in("carol", LOCAL_SECRET).accepted
        client.use()
    with CLIENTS[protocol](program.port) as client:
        names = answers(coded("carol"), coded(LOCAL_SECRET))
        assert client.authenticate("LOGIN", names).accepted
        client.use()
    knower.wait_logins(before + 2, "carol")
    program.wait_log('authorisation_id=NONE authentication_id="carol" .* status="ok"')
    program.stop()
    assert LOCAL_SECRET not in program.log()
    assert not is_told(program.log())


@pytest.mark.parametrize("protocol", LISTENERS)
def test_a_name_with_the_separator_in_it_does_not_lead_into_anothers_mailbox(
    start: Start, knower: Dovecot, pam_service: str, master: Options, protocol: str
) -> None:
    """bob*admin*admin could be read as another one's log-in for bob."""
    server = f"{HOST}:{knower.ports[LISTENERS[protocol]]}"
    pam: Options = {"authenticate_in": True, "pam_service": pam_service}
    program = start(protocol, {**pam, **master, "outgoing_server": server})
    before = knower.logins("bob")
    with CLIENTS[protocol](program.port) as client:
        outcome = client.log_in("bob*admin", LOCAL_SECRET)
    assert knower.logins("bob") == before
    # As an authorisation identity it is a name like any other.
    assert outcome.accepted is (not master["outgoing_master_separator"])


@pytest.mark.parametrize("protocol", LISTENERS)
def test_who_has_been_let_in_here_is_not_let_into_anothers_mailbox(
    start: Start, knower: Dovecot, pam_service: str, master: Options, protocol: str
) -> None:
    """PAM says that it is carol: not that she may act for bob."""
    server = f"{HOST}:{knower.ports[LISTENERS[protocol]]}"
    pam: Options = {"authenticate_in": True, "pam_service": pam_service}
    program = start(protocol, {**pam, **master, "outgoing_server": server})
    before = knower.logins("bob")
    with CLIENTS[protocol](program.port) as client:
        message = coded(f"bob\0carol\0{LOCAL_SECRET}")
        assert not client.authenticate("PLAIN", initial=message).accepted
        message = coded(f"carol\0carol\0{LOCAL_SECRET}")
        assert client.authenticate("PLAIN", initial=message).accepted
        client.use()
    assert knower.logins("bob") == before
    program.wait_log('authorisation_id="bob" authentication_id="carol" .* status="failed: ')
