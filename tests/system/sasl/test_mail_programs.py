"""Mail programs that people use, through the program: they get on as with the real server itself."""

import contextlib
import imaplib
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.certificates import Pki
from support.dovecot import Dovecot
from support.dovecot_sasl import SECRET, knowing
from support.mail_programs import (
    Account,
    Run,
    curl,
    fetchmail,
    mbsync,
    neomutt,
    offlineimap,
    sieve_connect,
)
from support.processes import HOST
from support.program import Options, Perdition
from support.token_service import TokenService
from system.sasl.conftest import ALL, LISTENERS, LOUD, is_told

pytestmark = pytest.mark.system
TOKEN = "token-of-ann-7Hq"
USERS = ("ann", "near", "far", "reader", "writer", "old")
MESSAGE = b"From: bee@example.org\r\nSubject: honey\r\n\r\nThere is some.\r\n"
OURS = b"From: ann@example.org\nSubject: toast\n\nWith butter.\n"
SCRIPT = 'require "fileinto";\nif header :contains "subject" "honey" { fileinto "bees"; }\n'
# Gives what a mail program is told: a protocol, how there is TLS, and a user.
Accounts = Callable[..., Account]


class Place:
    """A Dovecot, and the program before it in each protocol and mode: each is started once.

    Attributes:
        dovecot: the real server.
        ca: the file with the authority of all certificates.
    """

    def __init__(self, dovecot: Dovecot, pki: Pki, directory: Path) -> None:
        self.dovecot = dovecot
        self.ca = pki.file("ca")
        self._ours = pki.file("local names")
        self._directory = directory
        self._programs: dict[tuple[str, str, str], Perdition] = {}
        self.stack = contextlib.ExitStack()

    def through(
        self,
        protocol: str,
        tls: str = "no",
        user: str = "ann",
        *,
        mechanisms: str = ALL,
        forced: bool = False,
    ) -> Account:
        """The account by way of the program, which may insist on STARTTLS."""
        mode = "ssl_listen" if tls == "first" else "tls_listen"
        if forced:
            mode = "tls_listen_force"
        key = protocol, mode, mechanisms
        if key not in self._programs:
            home = self._directory / str(len(self._programs))
            home.mkdir()
            options: Options = {
                **LOUD,
                "outgoing_server": HOST,
                "outgoing_port": self.dovecot.ports[LISTENERS[protocol]],
                "sasl_mechanisms": mechanisms,
                "ssl_mode": mode,
                "ssl_cert_file": self._ours,
                "ssl_key_file": self._ours,
            }
            program = Perdition(home, protocol, options)
            self._programs[key] = self.stack.enter_context(program)
        return Account(self._programs[key].port, user, SECRET, tls, self.ca)

    def direct(self, protocol: str, tls: str = "no", user: str = "ann") -> Account:
        """The same account at the real server itself."""
        listener = LISTENERS[protocol] + ("s" if tls == "first" else "")
        return Account(self.dovecot.ports[listener], user, SECRET, tls, self.ca)

    def subjects(self, user: str) -> list[bytes]:
        """What is in a user's mailbox."""
        with imaplib.IMAP4(HOST, self.dovecot.ports["imap"]) as imap:
            imap.login(user, SECRET)
            imap.select(readonly=True)
            fetched = imap.fetch("1:*", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]")[1]
        return [each[1].strip() for each in fetched if isinstance(each, tuple)]

    def end(self) -> None:
        """See that no password or token was logged."""
        logs = [each.log() for each in self._programs.values()]
        self.stack.close()
        assert not any(map(is_told, logs))


@pytest.fixture(scope="module")
def place(
    pki: Pki, tokens: TokenService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    pem = Path(pki.file("local names")).read_bytes()
    with Dovecot(pem, settings=knowing(tokens.url, USERS)) as dovecot:
        for user in USERS:
            with imaplib.IMAP4(HOST, dovecot.ports["imap"]) as imap:
                imap.login(user, SECRET)
                assert imap.append("INBOX", "", "", MESSAGE)[0] == "OK"
        place = Place(dovecot, pki, tmp_path_factory.mktemp("programs"))
        with place.stack:
            yield place
            place.end()


def messages(box: Path) -> list[str]:
    """The messages below a folder of maildirs."""
    files = [each for name in ("cur", "new") for each in box.glob(f"**/{name}/*")]
    return [each.read_text() for each in files]


def without_port(lines: list[str]) -> list[str]:
    """What was said, without what has the port in it: the message of OAUTHBEARER."""
    return [line.partition("BEARER ")[0] for line in lines]


CURL = [
    ("AUTHENTICATE PLAIN", []),
    ("AUTHENTICATE PLAIN", ["--sasl-ir"]),
    ("AUTHENTICATE LOGIN", ["--login-options", "AUTH=LOGIN"]),
    ("AUTHENTICATE OAUTHBEARER", ["--oauth2-bearer", TOKEN]),
    ("AUTHENTICATE OAUTHBEARER", ["--oauth2-bearer", TOKEN, "--sasl-ir"]),
]


@pytest.mark.parametrize("tls", ["no", "start", "first"])
def test_curl_says_in_imap_what_it_says_to_the_real_server(
    place: Place, tmp_path: Path, tls: str
) -> None:
    for command, more in CURL:
        reads = curl(tmp_path, place.through("IMAP4", tls), "imap", "INBOX;MAILINDEX=1", *more)
        assert reads.status == 0, reads
        assert reads.output.encode() == MESSAGE.replace(b"\r\n", b"\n")
        said = reads.lines("> ")
        assert any(command in line for line in said), said
        direct = curl(tmp_path, place.direct("IMAP4", tls), "imap", "INBOX;MAILINDEX=1", *more)
        assert without_port(said) == without_port(direct.lines("> "))


@pytest.mark.parametrize("tls", ["no", "start", "first"])
def test_curl_says_in_pop3_what_it_says_to_the_real_server(
    place: Place, tmp_path: Path, tls: str
) -> None:
    for command, more in CURL:
        reads = curl(tmp_path, place.through("POP3", tls), "pop3", "1", *more)
        assert reads.status == 0, reads
        assert reads.output.encode() == MESSAGE.replace(b"\r\n", b"\n")
        said = reads.lines("> ")
        assert any(command.replace("ENTICATE", "") in line for line in said), said


def test_curl_uses_xoauth2_where_there_is_nothing_else(place: Place, tmp_path: Path) -> None:
    for protocol, scheme in (("IMAP4", "imap"), ("POP3", "pop3")):
        account = place.through(protocol, mechanisms="XOAUTH2")
        for more in ([], ["--sasl-ir"]):
            done = curl(tmp_path, account, scheme, "", "--oauth2-bearer", TOKEN, *more)
            assert done.status == 0, done
            assert any("XOAUTH2" in line for line in done.lines("> AUTH") + done.lines("> A00"))


def test_programs_log_in_where_there_is_no_mechanism(place: Place, tmp_path: Path) -> None:
    for protocol, scheme, command in (("IMAP4", "imap", "LOGIN"), ("POP3", "pop3", "USER")):
        account = place.through(protocol, mechanisms="")
        done = curl(tmp_path, account, scheme, "")
        assert done.status == 0, done
        assert any(command in line for line in done.lines("> ")), done
    done = neomutt(tmp_path, account, "pop", "", tmp_path / "box")
    assert done.status == 0, done


@pytest.mark.parametrize("more", [[], ["--oauth2-bearer", "no-such-token"]])
def test_curl_says_that_the_log_in_was_refused(
    place: Place, tmp_path: Path, more: list[str]
) -> None:
    for protocol, scheme in (("IMAP4", "imap"), ("POP3", "pop3")):
        account = place.through(protocol)._replace(password="wrong")
        done = curl(tmp_path, account, scheme, "", *more)
        assert done.status == 67
        assert "Login denied" in done.errors


@pytest.mark.parametrize(
    ("mechanism", "tls"),
    [("PLAIN", "no"), ("LOGIN", "start"), ("SCRAM-SHA-1", "first"), ("SCRAM-SHA-256", "start")],
)
def test_mbsync_brings_messages_here_and_there(
    place: Place, tmp_path: Path, mechanism: str, tls: str
) -> None:
    box = tmp_path / "box"
    for folder in ("new", "cur", "tmp"):
        (box / folder).mkdir(parents=True)
    account = place.through("IMAP4", tls, "near")
    before = place.subjects("near")
    (box / "new" / "1.ours.here").write_bytes(OURS)
    done = mbsync(tmp_path, account, mechanism, box)
    assert done.status == 0, done
    assert len(messages(box)) == len(before) + 1
    assert place.subjects("near") == [*before, b"Subject: toast"]
    command = "LOGIN <user>" if mechanism == "LOGIN" else f"AUTHENTICATE {mechanism}"
    assert any(command in line for line in done.lines("F: >>> "))
    wrong = mbsync(tmp_path, account._replace(password="wrong"), mechanism, box)
    assert wrong.status != 0


@pytest.mark.parametrize("tls", ["no", "start", "first"])
@pytest.mark.parametrize("auth", ["any", "password"])
def test_fetchmail_fetches(place: Place, tmp_path: Path, tls: str, auth: str) -> None:
    for protocol, name in (("IMAP4", "imap"), ("POP3", "pop3")):
        account = place.through(protocol, tls, "reader")
        file = tmp_path / name
        done = fetchmail(tmp_path, account, name, auth, file)
        assert done.status == 0, done
        assert "Subject: honey" in file.read_text()
        wrong = fetchmail(tmp_path, account._replace(password="wrong"), name, auth, file)
        assert "uthorization failure" in wrong.output + wrong.errors


def test_no_program_says_its_password_before_tls_that_is_forced(
    place: Place, tmp_path: Path
) -> None:
    imap, pop3 = (place.through(protocol, forced=True) for protocol in ("IMAP4", "POP3"))
    (tmp_path / "box").mkdir()
    runs = [
        curl(tmp_path, imap, "imap", ""),
        curl(tmp_path, pop3, "pop3", ""),
        mbsync(tmp_path, imap, "PLAIN", tmp_path / "box"),
        mbsync(tmp_path, imap, "LOGIN", tmp_path / "box"),
        fetchmail(tmp_path, imap, "imap", "any", tmp_path / "mail"),
        fetchmail(tmp_path, pop3, "pop3", "any", tmp_path / "mail"),
        offlineimap(tmp_path, imap, "PLAIN, LOGIN", tmp_path / "box"),
        sieve_connect(
            tmp_path, place.through("MANAGESIEVE", "start", forced=True), "PLAIN", "--list"
        ),
    ]
    assert [each.status == 0 for each in runs] == [False] * 7 + [True], runs
    for each in runs[:7]:
        said = each.output + each.errors
        assert SECRET not in said
        assert not re.search(
            r"AUTHENTICATE (PLAIN|LOGIN)|LOGIN (<user>|\"?ann)|PASS \*|> AUTH", said
        )


@pytest.mark.parametrize(
    ("mechanisms", "tls"),
    [("PLAIN", "no"), ("LOGIN", "start"), ("GSSAPI, XOAUTH2, CRAM-MD5, PLAIN, LOGIN", "first")],
)
def test_offlineimap_synchronises(place: Place, tmp_path: Path, mechanisms: str, tls: str) -> None:
    box = tmp_path / "box"
    account = place.through("IMAP4", tls, "far")
    done = offlineimap(tmp_path, account, mechanisms, box)
    assert done.status == 0, done
    assert len(messages(box)) == len(place.subjects("far"))
    (box / "INBOX" / "new" / "1.ours.here").write_bytes(OURS)
    before = place.subjects("far")
    done = offlineimap(tmp_path, account, mechanisms, box)
    assert done.status == 0, done
    assert place.subjects("far") == [*before, b"Subject: toast"]


@pytest.mark.parametrize(
    ("protocol", "authenticators", "tls", "command"),
    [
        ("IMAP4", "", "no", "AUTHENTICATE PLAIN"),
        ("IMAP4", "login", "start", "AUTHENTICATE LOGIN"),
        ("IMAP4", "plain", "first", "AUTHENTICATE PLAIN"),
        ("POP3", "", "no", "AUTH SCRAM-SHA-256"),
        ("POP3", "", "start", "AUTH SCRAM-SHA-256"),
        ("POP3", "", "first", "AUTH SCRAM-SHA-256"),
    ],
)
def test_neomutt_copies_what_is_there(
    place: Place, tmp_path: Path, protocol: str, authenticators: str, tls: str, command: str
) -> None:
    account = place.through(protocol, tls, "writer")
    scheme = {"IMAP4": "imap", "POP3": "pop"}[protocol]
    done = neomutt(tmp_path, account, scheme, authenticators, tmp_path / "box")
    assert done.status == 0, done
    assert command in done.errors
    assert [each for each in messages(tmp_path / "box") if "There is some." in each], done


def test_sieve_connect_says_what_it_says_to_the_real_server(place: Place, tmp_path: Path) -> None:
    script = tmp_path / "bees.sieve"
    script.write_text(SCRIPT)
    upload = ("--localsieve", str(script), "--remotesieve", "bees", "--upload")
    for mechanism, what in itertools.product(("PLAIN", "LOGIN"), (upload, ("--list",))):
        runs: list[Run] = [
            sieve_connect(tmp_path, account, mechanism, *what)
            for account in (place.through("MANAGESIEVE"), place.direct("MANAGESIEVE"))
        ]
        assert [each.status for each in runs] == [0, 0], runs
        said = [each.lines(">>> ") for each in runs]
        assert f'AUTHENTICATE "{mechanism}"' in " ".join(said[0])
        assert said[0] == said[1]
        if what != upload:
            assert '"bees"' in runs[0].output.splitlines()
    account = place.through("MANAGESIEVE")._replace(password="wrong")
    assert sieve_connect(tmp_path, account, "PLAIN", "--list").status != 0
