"""A real server of another kind, Cyrus: log-ins of each sort, and the sessions after them."""

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from scramp import ScramClient

from support.certificates import Pki
from support.cyrus import MASTER, SECRET, Cyrus
from support.processes import HOST
from support.program import Options, Perdition, Start
from support.sasl_clients import CLIENTS, Outcome, SaslClient, answers, coded, scram

pytestmark = pytest.mark.system
LISTENERS = {"IMAP4": "imap", "POP3": "pop3", "MANAGESIEVE": "sieve"}
USERS = ("ann", "joe", "bill", "tess")
SCRAM = ("SCRAM-SHA-1", "SCRAM-SHA-256")
EURO_SECRET = "sesame-\N{EURO SIGN}"
MESSAGE = b"From: bee@example.org\r\nSubject: honey\r\n\r\nThere is some.\r\n"
SCRIPT = b'require "fileinto";\r\nif header :contains "subject" "honey" { fileinto "bees"; }\r\n'
CAPABILITIES = rb"OK \[CAPABILITY IMAP4rev1 [^]]* IDLE[^]]*\] You are so in"


@pytest.fixture(scope="module")
def cyrus(pki: Pki) -> Iterator[Cyrus]:
    with Cyrus(Path(pki.file("for names")).read_bytes()) as server:
        for user in USERS:
            server.add(user)
        server.add("euro", EURO_SECRET)
        for user, secret in (*((each, SECRET) for each in USERS), ("euro", EURO_SECRET)):
            # IMAP makes the mailbox, without which ManageSieve lets nobody in.
            with CLIENTS["IMAP4"](server.ports["imap"]) as client:
                assert client.authenticate("PLAIN", initial=coded(f"\0{user}\0{secret}")).accepted
        yield server


def options(cyrus: Cyrus, protocol: str) -> Options:
    return {
        "outgoing_server": HOST,
        "outgoing_port": cyrus.ports[LISTENERS[protocol]],
        "sasl_mechanisms": ",".join(("PLAIN", "LOGIN", *SCRAM)),
    }


@pytest.fixture(params=LISTENERS)
def proxy(start: Start, cyrus: Cyrus, request: pytest.FixtureRequest) -> Perdition:
    return start(request.param, options(cyrus, request.param))


def protocol_of(proxy: Perdition) -> str:
    return str(proxy.options["protocol"])


def connect(proxy: Perdition) -> SaslClient:
    return CLIENTS[protocol_of(proxy)](proxy.port)


def plain(client: SaslClient, message: str, *, initial: bool = True) -> Outcome:
    """Log in by PLAIN, saying it at once or when it is asked for."""
    if initial:
        return client.authenticate("PLAIN", initial=coded(message))
    return client.authenticate("PLAIN", answers(coded(message)))


def shake(
    client: SaslClient,
    mechanism: str,
    secret: str,
    *,
    user: str = "joe",
    initial: bool = True,
    give_up: bool = False,
) -> Outcome:
    """Log in by SCRAM; who is let in has seen that the real server knows the password."""
    conversation = ScramClient([mechanism], user, secret)
    first = coded(conversation.get_client_first())
    rest = scram(conversation, instead=b"*" if give_up else b"")
    if initial:
        outcome = client.authenticate(mechanism, rest, first)
    else:
        outcome = client.authenticate(mechanism, lambda asked: rest(asked) if asked else first)
    if outcome.data is not None:
        conversation.set_server_final(outcome.data.decode())
    if outcome.accepted:
        assert conversation.stage.name == "set_server_final"
    return outcome


def ask(client: SaslClient, command: bytes, end: bytes) -> bytes:
    """Say a line, and return all that comes up to the line that begins like that."""
    with client.sock.makefile("rb") as file:
        client.sock.sendall(command + b"\r\n")
        said = b""
        while line := file.readline():
            said += line
            if line.startswith(end):
                return said
    raise AssertionError(said)


def work(client: SaslClient, protocol: str) -> None:
    """A session with commands that only a real server knows."""
    match protocol:
        case "IMAP4":
            assert b" EXISTS\r\n" in ask(client, b"b1 SELECT INBOX", b"b1 OK")
            append = b"b2 APPEND INBOX {%d+}\r\n%b" % (len(MESSAGE), MESSAGE)
            ask(client, append, b"b2 OK")
            assert MESSAGE in ask(client, b"b3 FETCH * BODY.PEEK[]", b"b3 OK")
        case "POP3":
            assert re.fullmatch(rb"\+OK \d+ \d+\r\n", ask(client, b"STAT", b"+OK"))
        case _:
            ask(client, b'PUTSCRIPT "bees" {%d+}\r\n%b' % (len(SCRIPT), SCRIPT), b"OK")
            assert b'"bees"' in ask(client, b"LISTSCRIPTS", b"OK")
            assert SCRIPT in ask(client, b'GETSCRIPT "bees"', b"OK")


def test_plain_wrong_then_broken_off_then_right(proxy: Perdition) -> None:
    for initial in (True, False):
        with connect(proxy) as client:
            assert not plain(client, "\0ann\0wrong", initial=initial).accepted
            assert not client.authenticate("PLAIN", answers(b"*")).accepted
            assert plain(client, f"\0ann\0{SECRET}", initial=initial).accepted
            work(client, protocol_of(proxy))
    proxy.wait_log('authentication_id="ann".* status="failed: Re-Authentication Failure"$')
    proxy.wait_log('authentication_id="ann".* status="ok"$')


def test_login_in_the_way_of_the_protocol_and_by_the_mechanism(proxy: Perdition) -> None:
    with connect(proxy) as client:
        assert not client.log_in("bill", "wrong").accepted
        assert client.log_in("bill", SECRET).accepted
        work(client, protocol_of(proxy))
    with connect(proxy) as client:
        assert not client.authenticate("LOGIN", answers(coded("bill"), coded("no"))).accepted
        assert client.authenticate("LOGIN", answers(coded("bill"), coded(SECRET))).accepted
        client.use()


def test_scram_wrong_then_broken_off_then_right(proxy: Perdition) -> None:
    for mechanism, initial in zip(SCRAM, (True, False), strict=True):
        with connect(proxy) as client:
            assert mechanism in client.mechanisms()
            assert not shake(client, mechanism, "wrong", initial=initial).accepted
            assert not shake(client, mechanism, SECRET, initial=initial, give_up=True).accepted
            outcome = shake(client, mechanism, SECRET, initial=initial)
            assert outcome.accepted
            # Cyrus has its last word in the answer there, not in a challenge.
            assert (outcome.data is not None) == (protocol_of(proxy) == "MANAGESIEVE")
            work(client, protocol_of(proxy))
    for status in ("failed: Re-Authentication Failure", "failed: Authentication cancelled", "ok"):
        proxy.wait_log(f'authentication_id="joe".* status="{status}"$')


def test_a_password_that_is_not_ascii_arrives(proxy: Perdition) -> None:
    with connect(proxy) as client:
        assert plain(client, f"\0euro\0{EURO_SECRET}").accepted
        client.use()
    with connect(proxy) as client:
        assert shake(client, "SCRAM-SHA-256", EURO_SECRET, user="euro").accepted
        client.use()


def test_who_may_act_for_others_gets_their_mailbox(proxy: Perdition) -> None:
    with connect(proxy) as client:
        assert plain(client, f"tess\0{MASTER}\0{SECRET}").accepted
        work(client, protocol_of(proxy))
    with connect(proxy) as client:
        assert not plain(client, f"tess\0ann\0{SECRET}").accepted
    proxy.wait_log(f'authorisation_id="tess" authentication_id="{MASTER}".* status="ok"$')


@pytest.mark.parametrize("protocol", LISTENERS)
def test_plain_and_scram_with_tls_on_both_sides(
    start: Start, cyrus: Cyrus, pki: Pki, files: Options, trusting: ssl.SSLContext, protocol: str
) -> None:
    ours = pki.file("local names")
    modes = {"ssl_mode": "tls_all_force", "ssl_cert_file": ours, "ssl_key_file": ours}
    proxy = start(protocol, {**options(cyrus, protocol), **files, **modes})
    for mechanism in ("PLAIN", "SCRAM-SHA-256"):
        with connect(proxy) as client:
            assert client.mechanisms() == []
            client.start_tls(trusting)
            assert mechanism in client.mechanisms()
            if mechanism == "PLAIN":
                assert plain(client, f"\0joe\0{SECRET}").accepted
            else:
                assert shake(client, mechanism, SECRET).accepted
            client.use()
    proxy.wait_log('authentication_id="joe".* server-secure=starttls status="ok"$')


UNABLE = {
    "IMAP4": "NO [UNAVAILABLE] failed: SASL mechanism unavailable",
    "POP3": "-ERR [SYS/TEMP] failed: SASL mechanism unavailable",
    "MANAGESIEVE": 'NO (TRYLATER) "failed: SASL mechanism unavailable"',
}


@pytest.mark.parametrize("protocol", LISTENERS)
def test_who_could_bind_the_channel_is_not_told_that_its_password_is_wrong(
    start: Start, cyrus: Cyrus, pki: Pki, protocol: str
) -> None:
    """Under TLS Cyrus announces SCRAM with channel binding, and has to see an attacker in us."""
    modes = {"ssl_mode": "tls_outgoing_force", "ssl_ca_file": pki.file("ca")}
    proxy = start(protocol, {**options(cyrus, protocol), **modes})
    with connect(proxy) as client:
        first = coded("y,,n=joe,r=fyko+d2lbbFgONRv9qkxdawL")
        outcome = client.authenticate("SCRAM-SHA-256", initial=first)
        assert outcome.line.decode() == UNABLE[protocol]
        assert shake(client, "SCRAM-SHA-256", SECRET).accepted
        client.use()


def test_after_each_sort_of_log_in_the_client_is_told_the_capabilities(
    start: Start, cyrus: Cyrus
) -> None:
    proxy = start("IMAP4", options(cyrus, "IMAP4"))
    with connect(proxy) as client:
        assert re.fullmatch(CAPABILITIES, client.log_in("ann", SECRET).line)
    with connect(proxy) as client:
        assert re.fullmatch(CAPABILITIES, plain(client, f"\0ann\0{SECRET}").line)
    with connect(proxy) as client:
        assert re.fullmatch(CAPABILITIES, shake(client, "SCRAM-SHA-1", SECRET).line)
