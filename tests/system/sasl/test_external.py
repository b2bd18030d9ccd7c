"""EXTERNAL: the client's certificate is its log-in, and the master user's is that at Dovecot."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from support.certificates import Certified, Pki, certify, pem
from support.dovecot import Dovecot
from support.dovecot_sasl import SECRET
from support.processes import HOST
from support.program import Options, Perdition, Start
from support.sasl_clients import CLIENTS, answers, coded
from system.sasl.conftest import LISTENERS, LOUD, is_told

pytestmark = pytest.mark.system
EXTERNAL = "PLAIN,EXTERNAL"
# The context of a client that shows a certificate for a name; none for "".
Showing = Callable[[str], ssl.SSLContext]


@pytest.fixture
def showing(pki: Pki, tmp_path: Path) -> Showing:
    def context(name: str, issuer: Certified | None = None) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=pki.file("ca"))
        if name:
            file = tmp_path / "client.pem"
            file.write_bytes(pem(certify(name, issuer or pki.ca)))
            made.load_cert_chain(file)
        return made

    return context


@pytest.fixture(params=LISTENERS)
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def options(knower: Dovecot, files: Options, master: Options, protocol: str) -> Options:
    return {
        **LOUD,
        **files,
        **master,
        "outgoing_server": f"{HOST}:{knower.ports[LISTENERS[protocol]]}",
        "sasl_mechanisms": EXTERNAL,
        "ssl_client_cert_user": "cn",
    }


@pytest.fixture(params=["ssl_listen", "tls_listen"])
def proxy(
    request: pytest.FixtureRequest, start: Start, options: Options, protocol: str
) -> Perdition:
    return start(protocol, {**options, "ssl_mode": request.param})


@pytest.fixture
def starting(start: Start, options: Options, protocol: str) -> Perdition:
    """One of them, where which does not matter."""
    return start(protocol, {**options, "ssl_mode": "ssl_listen"})


def test_the_certificates_user_is_in_its_mailbox(
    proxy: Perdition, protocol: str, knower: Dovecot, showing: Showing
) -> None:
    before = knower.logins("dora", "PLAIN")
    is_implicit = proxy.options["ssl_mode"] == "ssl_listen"
    context = showing("dora")
    with CLIENTS[protocol](proxy.port, context if is_implicit else None) as client:
        if not is_implicit:
            assert client.mechanisms() == ["PLAIN"]
            assert not client.authenticate("EXTERNAL", initial=b"").accepted
            client.start_tls(context)
        assert client.mechanisms() == ["PLAIN", "EXTERNAL"]
        assert client.authenticate("EXTERNAL", initial=b"").accepted
        client.use()
    knower.wait_logins(before + 1, "dora", "PLAIN")
    proxy.wait_log(r'Auth: .*authorisation_id=NONE authentication_id="dora" .* status="ok"')
    proxy.stop()
    assert not is_told(proxy.log())


def test_the_name_may_be_said_and_need_not(
    starting: Perdition, protocol: str, showing: Showing
) -> None:
    context = showing("dora")
    for said in (b"", coded("dora")):
        with CLIENTS[protocol](starting.port, context) as client:
            assert client.authenticate("EXTERNAL", answers(said)).accepted
            client.use()
        with CLIENTS[protocol](starting.port, context) as client:
            assert client.authenticate("EXTERNAL", initial=said).accepted
            client.use()


REFUSED = {
    "IMAP4": b"NO [AUTHORIZATIONFAILED] failed: Re-Authentication Failure",
    "POP3": b"-ERR [AUTH] failed: Re-Authentication Failure",
    "MANAGESIEVE": b'NO "failed: Re-Authentication Failure"',
}


def test_nobody_acts_for_another_one(
    starting: Perdition, protocol: str, knower: Dovecot, showing: Showing
) -> None:
    before = knower.logins("bob")
    with CLIENTS[protocol](starting.port, showing("dora")) as client:
        for name in ("bob", "admin", "dora*admin", "bob\0dora"):
            refused = client.authenticate("EXTERNAL", initial=coded(name))
            assert refused.line == REFUSED[protocol]
        assert not client.authenticate("EXTERNAL", answers(coded("bob"))).accepted
        assert not client.authenticate("EXTERNAL", answers(b"*")).accepted
        assert client.authenticate("EXTERNAL", initial=b"").accepted
    assert knower.logins("bob") == before
    starting.wait_log(
        'authorisation_id="admin" authentication_id="dora" .*'
        ' status="failed: Re-Authentication Failure"$'
    )


def test_who_tries_to_act_for_others_is_closed_like_one_who_guesses(
    start: Start, options: Options, protocol: str, showing: Showing
) -> None:
    program = start(protocol, {**options, "ssl_mode": "ssl_listen", "login_attempts": 2})
    with CLIENTS[protocol](program.port, showing("dora")) as client:
        for _ in range(2):
            assert not client.authenticate("EXTERNAL", initial=coded("bob")).accepted
        program.wait_log("Too many failed log-ins")


def test_without_a_certificate_there_is_no_such_mechanism(
    starting: Perdition, protocol: str, showing: Showing
) -> None:
    with CLIENTS[protocol](starting.port, showing("")) as client:
        assert client.mechanisms() == ["PLAIN"]
        for name in (b"", coded("dora")):
            assert not client.authenticate("EXTERNAL", initial=name).accepted
        assert client.authenticate("PLAIN", initial=coded(f"\0ann\0{SECRET}")).accepted
        client.use()


def test_a_certificate_of_an_authority_that_nobody_knows_is_refused(
    starting: Perdition, protocol: str, pki: Pki, tmp_path: Path
) -> None:
    context = ssl.create_default_context(cafile=pki.file("ca"))
    file = tmp_path / "unknown.pem"
    file.write_bytes(pem(certify("dora", certify("CA", ca=True))))
    context.load_cert_chain(file)
    with (
        pytest.raises((ssl.SSLError, EOFError, ConnectionError)),
        CLIENTS[protocol](starting.port, context) as client,
    ):
        client.authenticate("EXTERNAL", initial=b"")
    starting.wait_log("Fatal error establishing SSL connection to client")


def test_a_name_with_the_separator_in_it_does_not_lead_into_anothers_mailbox(
    starting: Perdition, protocol: str, knower: Dovecot, master: Options, showing: Showing
) -> None:
    before = knower.logins("bob")
    with CLIENTS[protocol](starting.port, showing("bob*admin")) as client:
        outcome = client.authenticate("EXTERNAL", initial=b"")
        assert knower.logins("bob") == before
        # As an authorisation identity it is a name like any other.
        assert outcome.accepted is (not master["outgoing_master_separator"])
    if master["outgoing_master_separator"]:
        starting.wait_log("outgoing_master_separator: '[*]' in the name of a user")


def test_the_password_is_still_a_way_in(
    starting: Perdition, protocol: str, knower: Dovecot, showing: Showing
) -> None:
    """The master user is not for those whom only the real server can let in."""
    with CLIENTS[protocol](starting.port, showing("dora")) as client:
        assert not client.authenticate("PLAIN", initial=coded("\0ann\0wrong")).accepted
        assert not client.authenticate("PLAIN", initial=coded("\0dora\0wrong")).accepted
        assert client.authenticate("PLAIN", initial=coded(f"\0ann\0{SECRET}")).accepted
        client.use()
