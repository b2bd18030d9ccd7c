"""An authorisation identity beside the authentication identity: Dovecot's master users."""

from pathlib import Path

import pytest

from support.dovecot import Dovecot
from support.dovecot_sasl import MASTER_SECRET, SECRET
from support.processes import HOST
from support.program import Perdition, Start
from support.sasl_clients import CLIENTS, coded
from support.scripted import ScriptedServer
from system.sasl.conftest import LISTENERS, LOUD, Front, is_told

pytestmark = pytest.mark.system
AS_BOB = coded(f"bob\0admin\0{MASTER_SECRET}")


def test_a_master_user_is_in_somebodys_mailbox(front: Front) -> None:
    before = front.dovecot.logins("bob", "PLAIN")
    with front.client() as client:
        assert client.authenticate("PLAIN", initial=AS_BOB).accepted
        client.use()
    front.dovecot.wait_logins(before + 1, "bob", "PLAIN")
    front.program.wait_log(
        r'Auth: .*authorisation_id="bob" authentication_id="admin" server="\S+" '
        rf'protocol={front.protocol} .* status="ok"'
    )
    front.program.wait_log(r'Closing session: \S+ authorisation_id="bob" authentication_id="admin"')


def test_who_is_no_master_is_refused(front: Front) -> None:
    with front.client() as client:
        refused = client.authenticate("PLAIN", initial=coded(f"bob\0ann\0{SECRET}"))
        assert not refused.accepted
        refused = client.authenticate("PLAIN", initial=coded("bob\0admin\0wrong"))
        assert not refused.accepted
        assert client.authenticate("PLAIN", initial=AS_BOB).accepted
        client.use()
    front.program.wait_log(
        'authorisation_id="bob" authentication_id="ann" .*Re-Authentication Failure'
    )


def test_ones_own_name_may_be_the_authorisation_identity(front: Front) -> None:
    with front.client() as client:
        assert client.authenticate("PLAIN", initial=coded(f"ann\0ann\0{SECRET}")).accepted
        client.use()


@pytest.mark.parametrize("protocol", LISTENERS)
@pytest.mark.parametrize("identity", ["authorisation", "authentication"])
def test_either_name_can_be_the_one_that_is_looked_up(
    start: Start, knower: Dovecot, tmp_path: Path, protocol: str, identity: str
) -> None:
    """The one that is in the map leads to Dovecot, and the other one nowhere."""
    name = {"authorisation": "bob", "authentication": "admin"}[identity]
    popmap = tmp_path / "popmap.re"
    with ScriptedServer() as nowhere:
        nobody = nowhere.port
    there = f"{HOST}:{knower.ports[LISTENERS[protocol]]}"
    popmap.write_text(f"^{name}$: {there}\n^.*$: {HOST}:{nobody}\n")
    options = {
        **LOUD,
        "route_by": identity,
        "map_library": "posix_regex",
        "map_library_opt": str(popmap),
    }
    program: Perdition = start(protocol, options)
    before = knower.logins("bob", "PLAIN")
    with CLIENTS[protocol](program.port) as client:
        assert client.authenticate("PLAIN", initial=AS_BOB).accepted
        client.use()
    knower.wait_logins(before + 1, "bob", "PLAIN")
    program.wait_log(
        f'authorisation_id="bob" authentication_id="admin" server="{there}" .* status="ok"'
    )
    program.stop()
    assert not is_told(program.log())


@pytest.mark.parametrize("protocol", LISTENERS)
def test_the_domain_goes_from_the_name_that_is_looked_up(
    start: Start, knower: Dovecot, protocol: str
) -> None:
    options = {
        "outgoing_server": f"{HOST}:{knower.ports[LISTENERS[protocol]]}",
        "strip_domain": "remote_login",
    }
    program = start(protocol, options)
    before = knower.logins("bob", "PLAIN")
    with CLIENTS[protocol](program.port) as client:
        message = coded(f"bob@example.org\0admin\0{MASTER_SECRET}")
        assert client.authenticate("PLAIN", initial=message).accepted
    knower.wait_logins(before + 1, "bob", "PLAIN")
