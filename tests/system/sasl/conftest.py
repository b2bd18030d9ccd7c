"""A Dovecot that knows every mechanism, and the program before it, which logs all that it may."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.certificates import Pki
from support.dovecot import Dovecot
from support.dovecot_sasl import LONG_SECRET, MASTER_SECRET, SECRET, UNICODE_SECRET, knowing
from support.processes import HOST
from support.program import Options, Perdition
from support.sasl_clients import CLIENTS, SaslClient, coded
from support.token_service import TokenService

LISTENERS = {"IMAP4": "imap", "POP3": "pop3", "MANAGESIEVE": "sieve"}
# Nothing of these may be in a log, as it is or in base64.
TOKENS = {"token-of-ann-7Hq": "ann", "token-of-bob-2Zp": "bob", "t" * 6000: "ann"}
SECRETS = (SECRET, LONG_SECRET, MASTER_SECRET, UNICODE_SECRET, *TOKENS)
ALL = "PLAIN,LOGIN,OAUTHBEARER,XOAUTH2,SCRAM-SHA-1,SCRAM-SHA-256"
LOUD: Options = {"debug": True, "connection_logging": True}


class Front(NamedTuple):
    """The program before a real server.

    Attributes:
        protocol: what both speak.
        program: the program.
        dovecot: the real server.
    """

    protocol: str
    program: Perdition
    dovecot: Dovecot

    def client(self) -> SaslClient:
        """A client of the program."""
        return CLIENTS[self.protocol](self.program.port)


def is_told(log: str) -> list[str]:
    """The secrets that stand in a log, also where base64 has them in the middle of a message."""
    forms = {
        form: secret
        for secret in SECRETS
        for form in (secret, *(coded("." * shift + secret)[4:-4].decode() for shift in range(3)))
    }
    return [secret for form, secret in forms.items() if form in log]


@pytest.fixture(scope="session")
def tokens() -> Iterator[TokenService]:
    with TokenService(TOKENS) as service:
        yield service


@pytest.fixture(scope="session")
def knower(pki: Pki, tokens: TokenService) -> Iterator[Dovecot]:
    """The Dovecot that knows every mechanism."""
    pem = Path(pki.file("for names")).read_bytes()
    with Dovecot(
        pem, settings=knowing(tokens.url, ("ann", "bob", "o=c,ean", "ann lee"))
    ) as dovecot:
        yield dovecot


@pytest.fixture(params=LISTENERS, scope="module")
def front(
    request: pytest.FixtureRequest, knower: Dovecot, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    """In each protocol; that no secret is in the log is seen at the end."""
    protocol: str = request.param
    server = f"{HOST}:{knower.ports[LISTENERS[protocol]]}"
    options: Options = {**LOUD, "outgoing_server": server, "sasl_mechanisms": ALL}
    with contextlib.ExitStack() as stack:
        program = Perdition(tmp_path_factory.mktemp(protocol), protocol, options)
        stack.enter_context(program)
        yield Front(protocol, program, knower)
        log = program.log()
    assert not is_told(log)


@pytest.fixture(params=["", "*"], ids=["authzid", "separator"])
def master(request: pytest.FixtureRequest, tmp_path: Path) -> Options:
    """The options that name the master user, in both ways that Dovecot has."""
    file = tmp_path / "master"
    file.write_text(f"{MASTER_SECRET}\n")
    return {
        "outgoing_master_user": "admin",
        "outgoing_master_password_file": str(file),
        "outgoing_master_separator": request.param,
    }
