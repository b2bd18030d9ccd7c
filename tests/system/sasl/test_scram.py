"""SCRAM between a client and Dovecot, in the three protocols: no password is seen here."""

import pytest
from scramp import ScramClient, ScramException

from support.dovecot import Dovecot
from support.dovecot_sasl import SECRET
from support.processes import HOST
from support.program import Options, Start
from support.sasl_clients import CLIENTS, Outcome, SaslClient, coded, scram
from system.sasl.conftest import LISTENERS, Front

pytestmark = pytest.mark.system
REFUSED = {
    "IMAP4": b"NO [AUTHENTICATIONFAILED] failed: Re-Authentication Failure",
    "POP3": b"-ERR [AUTH] failed: Re-Authentication Failure",
    "MANAGESIEVE": b'NO "failed: Re-Authentication Failure"',
}


@pytest.fixture(params=["SCRAM-SHA-1", "SCRAM-SHA-256"])
def mechanism(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def log_in(
    client: SaslClient, mechanism: str, user: str = "ann", secret: str = SECRET, *, ir: bool = True
) -> Outcome:
    """Log in; ScramException where the server does not prove that it knows the password."""
    talk = ScramClient([mechanism], user, secret)
    first = coded(talk.get_client_first())
    rest = scram(talk)
    if ir:
        outcome = client.authenticate(mechanism, rest, first)
    else:
        outcome = client.authenticate(
            mechanism, lambda challenge: rest(challenge) if challenge else first
        )
    if outcome.data is not None:
        talk.set_server_final(outcome.data.decode())
    # Only the server's signature, which the client has checked, brings it to its end.
    if outcome.accepted:
        assert talk.stage is not None
        assert talk.stage.name == "set_server_final"
    return outcome


@pytest.mark.parametrize("ir", [True, False])
def test_the_client_is_in_and_has_checked_the_servers_signature(
    front: Front, mechanism: str, ir: bool
) -> None:
    before = front.dovecot.logins("ann", mechanism)
    with front.client() as client:
        assert log_in(client, mechanism, ir=ir).accepted
        client.use()
    front.dovecot.wait_logins(before + 1, "ann", mechanism)
    front.program.wait_log(r'Auth: .*authorisation_id=NONE authentication_id="ann" .*status="ok"')


def test_a_wrong_password_is_refused_and_the_right_one_taken_after_it(
    front: Front, mechanism: str
) -> None:
    with front.client() as client:
        assert log_in(client, mechanism, secret="wrong").line == REFUSED[front.protocol]
        assert log_in(client, mechanism, user="nobody").line == REFUSED[front.protocol]
        assert log_in(client, mechanism).accepted
        client.use()


@pytest.mark.parametrize("line", [b"*", b"no base64"])
def test_a_star_in_the_middle_cancels_at_both(front: Front, mechanism: str, line: bytes) -> None:
    talk = ScramClient([mechanism], "bob", SECRET)
    first = coded(talk.get_client_first())
    with front.client() as client:
        outcome = client.authenticate(mechanism, scram(talk, instead=line), first)
        assert not outcome.accepted
        assert b"ancelled" in outcome.line
        assert log_in(client, mechanism).accepted
        client.use()
    front.program.wait_log('authentication_id="bob".* status="failed: Authentication cancelled"')


def test_a_name_with_the_characters_of_the_message_is_unescaped_for_the_map(
    front: Front, mechanism: str
) -> None:
    """The name is o=c,ean: it goes as o=3Dc=2Cean."""
    with front.client() as client:
        assert log_in(client, mechanism, user="o=c,ean").accepted
        client.use()
    front.program.wait_log('authentication_id="o=c,ean".* status="ok"')


def test_channel_binding_is_refused(front: Front, mechanism: str) -> None:
    with front.client() as client:
        first = coded("p=tls-unique,,n=ann,r=fyko+d2lbbFgONRv9qkxdawL")
        outcome = client.authenticate(mechanism, initial=first)
        assert f"Invalid {mechanism} message".encode() in outcome.line
        assert log_in(client, mechanism).accepted


def test_who_stands_between_cannot_change_the_first_message(front: Front, mechanism: str) -> None:
    """That the client notices is what the test of the signature rests on."""
    talk = ScramClient([mechanism], "ann", SECRET)
    first = talk.get_client_first()
    changed = coded(first.replace("r=", "r=x"))
    with front.client() as client, pytest.raises(ScramException):
        client.authenticate(mechanism, scram(talk), changed)


@pytest.mark.parametrize("protocol", LISTENERS)
def test_the_name_goes_as_it_came_whatever_the_options_do_to_names(
    start: Start, knower: Dovecot, protocol: str
) -> None:
    """The proof is of the message as the client wrote it."""
    server = f"{HOST}:{knower.ports[LISTENERS[protocol]]}"
    options: Options = {"outgoing_server": server, "sasl_mechanisms": "SCRAM-SHA-256"}
    program = start(protocol, {**options, "strip_domain": "remote_login"})
    with CLIENTS[protocol](program.port) as client:
        assert not log_in(client, "SCRAM-SHA-256", user="ann@example.org").accepted
        assert log_in(client, "SCRAM-SHA-256").accepted
