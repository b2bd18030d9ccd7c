"""OAUTHBEARER and XOAUTH2 in the three protocols: Dovecot asks a service about the tokens."""

import json
import re
import socket

import pytest

from support.dovecot import Dovecot
from support.processes import HOST
from support.program import Options, Start
from support.sasl_clients import CLIENTS, Answers, SaslClient, answers, coded
from support.scripted import ScriptedServer, read, read_line
from support.token_service import TokenService
from system.sasl.conftest import LISTENERS, LOUD, TOKENS, Front

pytestmark = pytest.mark.system
TOKEN = "token-of-ann-7Hq"
HUGE = "h" * 61_440
# What a client says to the error, before it is told NO (RFC 7628 section 3.2.3; Google).
FINISH = {"OAUTHBEARER": coded("\1"), "XOAUTH2": b""}
REFUSED = {
    "IMAP4": b"NO [AUTHENTICATIONFAILED] failed: Re-Authentication Failure",
    "POP3": b"-ERR [AUTH] failed: Re-Authentication Failure",
    "MANAGESIEVE": b'NO "failed: Re-Authentication Failure"',
}


def message(mechanism: str, token: str, user: str = "ann") -> bytes:
    """The only message of a client that has nothing to complain about."""
    if mechanism == "XOAUTH2":
        return coded(f"user={user}\1auth=Bearer {token}\1\1")
    return coded(f"n,a={user},\1host=mail.example\1port=143\1auth=Bearer {token}\1\1")


def refused(client: SaslClient, mechanism: str, token: str) -> tuple[bytes, bytes]:
    """Log in in vain: the challenge that comes, b"" if none does, and the answer after it."""
    challenges = [b""]

    def answer(challenge: bytes) -> bytes:
        challenges.append(challenge)
        return FINISH[mechanism]

    outcome = client.authenticate(mechanism, answer, message(mechanism, token))
    assert not outcome.accepted
    assert len(challenges) <= 2
    return challenges[-1], outcome.line


@pytest.fixture(params=FINISH)
def mechanism(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_a_good_token_lets_its_user_in(front: Front, tokens: TokenService, mechanism: str) -> None:
    before = tokens.asked
    with front.client() as client:
        assert client.authenticate(mechanism, initial=message(mechanism, TOKEN)).accepted
        client.use()
    with front.client() as client:
        assert client.authenticate(mechanism, answers(message(mechanism, TOKEN))).accepted
        client.use()
    assert tokens.asked >= before + 2
    front.program.wait_log(r'Auth: .*authorisation_id=NONE authentication_id="ann" .*status="ok"')


def test_dovecots_error_reaches_the_client_and_its_answer_dovecot(
    front: Front, mechanism: str
) -> None:
    with front.client() as client:
        error, line = refused(client, mechanism, "token-that-is-bad")
        told = json.loads(error)
        assert told["openid-configuration"].startswith("https://login.example/")
        assert told["status"] == {"OAUTHBEARER": "invalid_token", "XOAUTH2": "401"}[mechanism]
        assert line == REFUSED[front.protocol]
        assert client.authenticate(mechanism, initial=message(mechanism, TOKEN)).accepted
        client.use()
    assert "token-that-is-bad" not in front.program.log()


def test_a_token_of_somebody_else_is_refused(front: Front, mechanism: str) -> None:
    with front.client() as client:
        assert refused(client, mechanism, "token-of-bob-2Zp")[1] == REFUSED[front.protocol]


def test_a_client_may_cancel_instead_of_answering_the_error(front: Front, mechanism: str) -> None:
    with front.client() as client:
        initial = message(mechanism, "token-that-is-bad", "zoe")
        outcome = client.authenticate(mechanism, answers(b"*"), initial)
        assert not outcome.accepted
        assert b"ancelled" in outcome.line
        assert client.authenticate(mechanism, initial=message(mechanism, TOKEN)).accepted
        client.use()
    # For fail2ban: Dovecot had refused the token.
    statuses = re.findall('authentication_id="zoe".* status="(.*)"', front.program.log())
    assert set(statuses) == {"failed: Re-Authentication Failure"}


def test_an_answer_that_dovecot_does_not_take_hides_no_refusal(
    front: Front, mechanism: str
) -> None:
    with front.client() as client:
        initial = message(mechanism, "token-that-is-bad", "eve")
        outcome = client.authenticate(mechanism, answers(coded("x" * 9000)), initial)
        assert not outcome.accepted
    statuses = re.findall('authentication_id="eve".* status="(.*)"', front.program.log())
    assert set(statuses) <= {
        "failed: Re-Authentication Failure",
        "failed: Authentication cancelled",
    }
    assert "failed: Re-Authentication Failure" in statuses or front.protocol == "MANAGESIEVE"


def test_the_longest_token_that_dovecot_takes(front: Front, mechanism: str) -> None:
    """It reads 8192 octets of base64."""
    (token,) = [each for each in TOKENS if len(each) == 6000]
    with front.client() as client:
        assert client.authenticate(mechanism, initial=message(mechanism, token)).accepted
        client.use()
    with front.client() as client:
        assert client.authenticate(mechanism, answers(message(mechanism, token))).accepted
        client.use()


def test_a_token_without_a_user_cannot_be_routed(front: Front) -> None:
    with front.client() as client:
        nameless = coded(f"n,,\1auth=Bearer {TOKEN}\1\1")
        outcome = client.authenticate("OAUTHBEARER", initial=nameless)
        assert b"OAUTHBEARER message without authorization id" in outcome.line
        assert client.authenticate("OAUTHBEARER", initial=message("OAUTHBEARER", TOKEN)).accepted


def serve(protocol: str, mechanism: str, received: list[bytes], sock: socket.socket) -> None:
    """A real server that takes one log-in, however long the token is."""
    match protocol:
        case "IMAP4":
            sock.sendall(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=%b] hi\r\n" % mechanism.encode())
            tag, *_, first = read_line(sock).split()
            sock.sendall(tag + b" OK [CAPABILITY IMAP4rev1] in\r\n")
        case "POP3":
            sock.sendall(b"+OK hi\r\n")
            read_line(sock)
            sock.sendall(b"+OK\r\nSASL %b\r\n.\r\n" % mechanism.encode())
            read_line(sock)
            sock.sendall(b"+ \r\n")
            first = read_line(sock).strip()
            sock.sendall(b"+OK in\r\n")
        case _:
            sock.sendall(b'"SASL" "%b"\r\nOK "hi"\r\n' % mechanism.encode())
            size = int(read_line(sock).split(b"{")[1].split(b"+")[0])
            first = read(sock, size)
            read_line(sock)
            sock.sendall(b'OK "in"\r\n')
    received.append(first)


@pytest.mark.parametrize("protocol", CLIENTS)
@pytest.mark.parametrize("is_asked", [False, True])
def test_a_token_of_60_kilobytes_arrives_where_the_server_has_room(
    start: Start, protocol: str, mechanism: str, is_asked: bool
) -> None:
    received: list[bytes] = []
    with ScriptedServer() as server:
        server_option = {"outgoing_server": f"{HOST}:{server.port}"}
        program = start(protocol, {**LOUD, **server_option, "sasl_mechanisms": mechanism})
        sent = message(mechanism, HUGE)
        reply: Answers = answers(sent)
        with (
            server.serving(lambda sock: serve(protocol, mechanism, received, sock)),
            CLIENTS[protocol](program.port) as client,
        ):
            if is_asked:
                assert client.authenticate(mechanism, reply).accepted
            else:
                assert client.authenticate(mechanism, initial=sent).accepted
        assert received == [sent]
        assert HUGE[:200] not in program.log()
        assert coded(HUGE)[:200].decode() not in program.log()


def test_a_token_that_is_too_long_for_dovecot_ends_the_connection(
    front: Front, mechanism: str
) -> None:
    """Dovecot says nothing to it, and closes; so do we after an answer."""
    with front.client() as client:
        outcome = client.authenticate(mechanism, initial=message(mechanism, HUGE))
        assert not outcome.accepted
        assert any(code in outcome.line for code in (b"UNAVAILABLE", b"SYS/TEMP", b"TRYLATER"))
        with pytest.raises((EOFError, ConnectionResetError)):
            client.log_in("ann", "sesame")
    front.program.wait_log("Fatal error authenticating user. Exiting child.")


def test_a_managesieve_client_may_quote_its_token(
    start: Start, knower: Dovecot, mechanism: str
) -> None:
    """RFC 5804 has 1024 octets in a quoted string; Dovecot takes it as well."""
    (token,) = [each for each in TOKENS if len(each) == 6000]
    sent = b'AUTHENTICATE "%b" "%b"\r\n' % (mechanism.encode(), message(mechanism, token))
    program = start(
        "MANAGESIEVE",
        {"outgoing_server": f"{HOST}:{knower.ports['sieve']}", "sasl_mechanisms": mechanism},
    )
    for port in (knower.ports["sieve"], program.port):
        with CLIENTS["MANAGESIEVE"](port) as client:
            client.sock.sendall(sent)
            assert client.sock.recv(100).startswith(b"OK ")
            client.use()


@pytest.mark.parametrize("protocol", CLIENTS)
def test_the_name_in_the_message_is_the_one_for_the_real_server(
    start: Start, knower: Dovecot, protocol: str, mechanism: str
) -> None:
    server = f"{HOST}:{knower.ports[LISTENERS[protocol]]}"
    options: Options = {"outgoing_server": server, "sasl_mechanisms": mechanism}
    program = start(protocol, {**options, "strip_domain": "remote_login"})
    with CLIENTS[protocol](program.port) as client:
        sent = message(mechanism, TOKEN, "ann@example.org")
        assert client.authenticate(mechanism, initial=sent).accepted
        client.use()
    program.wait_log('authentication_id="ann@example.org" .* status="ok"')
