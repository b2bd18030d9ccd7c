"""What is announced, as clients see it, in each state of the link."""

import ssl

import pytest

from support.dovecot import Dovecot
from support.dovecot_sasl import SECRET
from support.processes import HOST
from support.program import Options, Start
from support.sasl_clients import CLIENTS, SaslClient, answers, coded
from system.sasl.conftest import LISTENERS

pytestmark = pytest.mark.system
PLAIN = coded(f"\0ann\0{SECRET}")
BOTH = ["PLAIN", "LOGIN"]
TLS_WORD = {"IMAP4": b"STARTTLS", "POP3": b"STLS", "MANAGESIEVE": b'"STARTTLS"'}


def state(client: SaslClient) -> tuple[bool, list[str]]:
    """Whether TLS is offered, and the mechanisms that are."""
    words = client.capabilities()
    return any(each in words for each in TLS_WORD.values()), client.mechanisms()


@pytest.fixture(params=LISTENERS)
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def server(knower: Dovecot, protocol: str) -> Options:
    return {"outgoing_server": f"{HOST}:{knower.ports[LISTENERS[protocol]]}"}


def test_by_default_there_are_plain_and_login_and_both_work(
    start: Start, protocol: str, server: Options
) -> None:
    program = start(protocol, server)
    with CLIENTS[protocol](program.port) as client:
        assert state(client) == (False, BOTH)
        words = client.capabilities()
        match protocol:
            case "IMAP4":
                expected = b"IMAP4 IMAP4REV1 LITERAL- ID SASL-IR AUTH=PLAIN AUTH=LOGIN"
                assert b" ".join(words) == expected
                assert client.greeting[0].startswith(b"* OK [CAPABILITY %b] " % expected)
            case "POP3":
                assert words == [
                    b"UIDL",
                    b"USER",
                    b"SASL PLAIN LOGIN",
                    b"RESP-CODES",
                    b"AUTH-RESP-CODE",
                ]
            case _:
                assert client.greeting[:-1] == words
                assert b'"SASL" "PLAIN LOGIN"' in words
    for mechanism, lines in (("PLAIN", [PLAIN]), ("LOGIN", [coded("ann"), coded(SECRET)])):
        with CLIENTS[protocol](program.port) as client:
            assert client.authenticate(mechanism, answers(*lines)).accepted
            client.use()


def test_tls_is_offered_and_the_mechanisms_too(
    start: Start, protocol: str, server: Options, files: Options, trusting: ssl.SSLContext
) -> None:
    program = start(protocol, {**server, **files, "ssl_mode": "tls_listen"})
    with CLIENTS[protocol](program.port) as client:
        assert state(client) == (True, BOTH)
        client.start_tls(trusting)
        assert state(client) == (False, BOTH)
        assert client.authenticate("PLAIN", initial=PLAIN).accepted
        client.use()


def test_no_mechanism_before_tls_that_has_to_start(
    start: Start, protocol: str, server: Options, files: Options, trusting: ssl.SSLContext
) -> None:
    program = start(protocol, {**server, **files, "ssl_mode": "tls_listen,tls_listen_force"})
    with CLIENTS[protocol](program.port) as client:
        assert state(client) == (True, [])
        words = client.capabilities()
        if protocol == "IMAP4":
            assert b"LOGINDISABLED" in words
            assert b"SASL-IR" not in words
            assert b"LOGINDISABLED" in client.greeting[0]
        if protocol == "POP3":
            assert b"USER" not in words
        if protocol == "MANAGESIEVE":
            assert b'"SASL" ""' in words
        client.start_tls(trusting)
        assert state(client) == (False, BOTH)
        words = client.capabilities()
        assert b"LOGINDISABLED" not in words
        if protocol == "MANAGESIEVE":
            assert client.greeting[:-1] == words
        assert client.authenticate("PLAIN", initial=PLAIN).accepted
        client.use()


IN_CLEAR = {
    "IMAP4": b"NO [PRIVACYREQUIRED] failed: Login Disabled",
    "POP3": b"-ERR failed: Login Disabled",
    "MANAGESIEVE": b'NO (ENCRYPT-NEEDED) "failed: Login Disabled"',
}


def test_a_password_in_the_clear_is_not_asked_for_and_not_taken(
    start: Start, protocol: str, server: Options, files: Options, knower: Dovecot
) -> None:
    program = start(protocol, {**server, **files, "ssl_mode": "tls_listen,tls_listen_force"})
    before = knower.logins("ann")
    with CLIENTS[protocol](program.port) as client:
        # A challenge would be answered with the password.
        assert client.authenticate("PLAIN").line == IN_CLEAR[protocol]
        assert client.authenticate("LOGIN").line == IN_CLEAR[protocol]
        assert client.log_in("ann", SECRET).line == IN_CLEAR[protocol]
    assert knower.logins("ann") == before


def test_nothing_is_offered_where_nobody_may_log_in(
    start: Start, protocol: str, server: Options
) -> None:
    program = start(protocol, {**server, "login_disabled": True})
    with CLIENTS[protocol](program.port) as client:
        assert state(client) == (False, [])
        assert (b"LOGINDISABLED" in client.capabilities()) is (protocol == "IMAP4")
        # Nor is a password asked for.
        assert not client.authenticate("PLAIN").accepted
        assert not client.authenticate("PLAIN", initial=PLAIN).accepted
        assert not client.log_in("ann", SECRET).accepted


OWN = {
    "IMAP4": ("imap_capability", "IMAP4REV1 X-OURS", b"IMAP4REV1 X-OURS"),
    "POP3": ("pop_capability", "UIDL.X-OURS", b"UIDL X-OURS"),
    "MANAGESIEVE": (
        "managesieve_capability",
        '"IMPLEMENTATION" "ours"  "SASL" "PLAIN"',
        b'"IMPLEMENTATION" "ours" "SASL" "PLAIN"',
    ),
}


def test_a_list_of_the_site_is_said_as_it_is(start: Start, protocol: str, server: Options) -> None:
    option, text, expected = OWN[protocol]
    program = start(protocol, {**server, option: text})
    with CLIENTS[protocol](program.port) as client:
        assert b" ".join(client.capabilities()) == expected
        # Whoever asks for it anyway gets it.
        assert client.authenticate("PLAIN", answers(PLAIN)).accepted
        client.use()


COMPAT = {
    "IMAP4": b"IMAP4 IMAP4REV1",
    "POP3": b"UIDL USER",
    "MANAGESIEVE": b'"IMPLEMENTATION" "perdition" "SIEVE" "comparator-i;octet ',
}


def test_with_compat_the_words_are_those_of_2_2(
    start: Start, protocol: str, server: Options
) -> None:
    program = start(protocol, {**server, "compat": "2.2"})
    with CLIENTS[protocol](program.port) as client:
        assert b" ".join(client.capabilities()).startswith(COMPAT[protocol])
        assert client.mechanisms() == (["PLAIN"] if protocol == "MANAGESIEVE" else [])
        taken = client.authenticate("PLAIN", initial=PLAIN).accepted
        assert taken is (protocol == "MANAGESIEVE")
        if not taken:
            assert client.log_in("ann", SECRET).accepted
        client.use()


def test_only_the_mechanisms_of_the_option_are_there(
    start: Start, protocol: str, server: Options
) -> None:
    program = start(protocol, {**server, "sasl_mechanisms": "SCRAM-SHA-256,XOAUTH2"})
    with CLIENTS[protocol](program.port) as client:
        assert client.mechanisms() == ["SCRAM-SHA-256", "XOAUTH2"]
        assert not client.authenticate("PLAIN", initial=PLAIN).accepted


def test_mechanisms_without_a_password_are_not_offered_with_local_authentication(
    start: Start, protocol: str, server: Options
) -> None:
    more: Options = {"sasl_mechanisms": "PLAIN,SCRAM-SHA-1,XOAUTH2", "authenticate_in": True}
    program = start(protocol, {**server, **more})
    with CLIENTS[protocol](program.port) as client:
        assert client.mechanisms() == ["PLAIN"]


def test_pop3_names_the_mechanisms_when_auth_has_no_argument(start: Start, knower: Dovecot) -> None:
    program = start("POP3", {"outgoing_server": f"{HOST}:{knower.ports['pop3']}"})
    with CLIENTS["POP3"](program.port) as client:
        client.sock.sendall(b"AUTH\r\n")
        file = client.sock.makefile("rb")
        assert [next(file) for _ in range(4)] == [b"+OK\r\n", b"PLAIN\r\n", b"LOGIN\r\n", b".\r\n"]
