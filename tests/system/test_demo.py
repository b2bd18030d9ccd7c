"""`make demo`: what it shows, that what it says can be tried, and that it leaves nothing behind."""

import contextlib
import os
import poplib
import re
import shlex
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from perdition.tools import demo
from perdition.tools.demo_proxies import PROTOCOLS, AuthLog, proxies
from perdition.tools.demo_servers import RealServer, real_server
from support.processes import HOST, processes, require, wait_until

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120
ROW = re.compile(r"  (ann|bob) +(\w+) +(\w+) +(\d+) -> \S+:(\d+) +(.*)")
SERVER = re.compile(r"  real server \w+, for (\w+): (.*)")
SUBJECTS = {
    "ann": "3: Welcome to the north; Lunch on Friday?; Grüße aus Köln",
    "bob": "2: Welcome to the south; Your parcel is on its way",
}
SCRIPTS = {"ann": "1: holidays", "bob": "1: lists"}

pytestmark = pytest.mark.system


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    """What the demo starts finds the package, installed or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "lib"))
        yield


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "perdition.tools.demo", *arguments]


def ports(text: str) -> dict[str, str]:
    """Ports by protocol, from a line like ``IMAP4 143, POP3 110``."""
    return dict(each.split() for each in text.split(", "))


def test_the_check_shows_where_every_log_in_went() -> None:
    run = subprocess.run(
        command("--check"), capture_output=True, encoding="utf-8", timeout=SECONDS, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    rows = ROW.findall(run.stdout)
    assert [row[:2] for row in rows] == [(user, each) for each in PROTOCOLS for user in SUBJECTS]
    homes = {user: ports(text) for user, text in SERVER.findall(run.stdout)}
    for user, protocol, secure, _port, port, mailbox in rows:
        assert port == homes[user][protocol.removesuffix("S")]
        assert secure == ("ssl" if protocol in {"IMAP4S", "POP3S"} else "starttls")
        assert mailbox == (SCRIPTS if protocol == "MANAGESIEVE" else SUBJECTS)[user]
    assert run.stdout.endswith("\nEverything arrived where it should.\n")


class Demo(NamedTuple):
    """A demo that stays.

    Attributes:
        output: the file with what it has said.
        folder: its files.
    """

    process: subprocess.Popen[bytes]
    output: Path
    folder: Path

    def text(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def descendants(self) -> set[int]:
        """All processes that it has started, and those that they have."""
        found, parents = {self.process.pid}, {each.pid: each.parent for each in processes()}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.process.pid}


@pytest.fixture
def staying(tmp_path: Path) -> Iterator[Demo]:
    output, folder = tmp_path / "output", tmp_path / "files"
    folder.mkdir()
    with output.open("wb") as file:
        process = subprocess.Popen(
            command(), stdout=file, stderr=file, env={**os.environ, "TMPDIR": str(folder)}
        )
    try:
        running = Demo(process, output, folder)
        ready = "Ctrl-C ends it all."
        wait_until(lambda: ready in running.text() or process.poll(), SECONDS, ready)
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(SECONDS)


def test_what_it_says_can_be_tried_and_is_shown(staying: Demo) -> None:
    require("curl")
    require("openssl")
    lines = (line.strip() for line in staying.text().splitlines())
    commands = [shlex.split(line) for line in lines if line.startswith(("curl ", "openssl "))]
    answers = [
        subprocess.run([*words, "-sS"], capture_output=True, check=True, timeout=SECONDS).stdout
        for words in commands
        if words[:1] == ["curl"]
    ]
    assert [b"Welcome" in each or each.startswith(b"* SEARCH 1 2") for each in answers] == [
        True
    ] * 3
    (words,) = (each for each in commands if each[:1] == ["openssl"] and "-quiet" in each)
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        for line, answer in (
            (b"a login ann ann-secret\n", b"a OK"),
            (b"b status inbox (messages)\n", b"b OK"),
            (b"c logout\n", b"c OK"),
        ):
            client.stdin.write(line)
            client.stdin.flush()
            assert any(each.startswith(answer) for each in client.stdout)
    shown = staying.text
    tail = wait_until(
        lambda: rest if (rest := shown().partition("ends it all.")[2]).count(" ok\n") == 4 else "",
        SECONDS,
        "a row for each log-in",
    )
    assert [row[0] for row in ROW.findall(tail)] == ["ann", "bob", "bob", "ann"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_that_it_has_started(staying: Demo, number: int) -> None:
    started = staying.descendants()
    assert len(started) >= 2 + 2 * len(PROTOCOLS)
    staying.process.send_signal(number)
    assert staying.process.wait(SECONDS) == 0
    assert staying.text().endswith("\nEnding.\n")
    assert not started & {each.pid for each in processes()}
    assert not list(staying.folder.iterdir())


def test_without_a_real_server_the_check_fails(tmp_path: Path) -> None:
    (tmp_path / "pymap.py").write_text("raise SystemExit('no mail today')\n")
    run = subprocess.run(
        command("--check"),
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT / 'lib'}"},
    )
    assert run.returncode == 1
    assert "no mail today" in run.stdout
    assert run.stdout.endswith("\nNot everything is as it should be.\n")
    assert run.stderr == ""


class Stage(NamedTuple):
    """A real server and the proxies."""

    server: RealServer
    ports: dict[str, int]
    tls: ssl.SSLContext
    log: AuthLog


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("demo")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(real_server(demo.ACCOUNTS[0], folder / "stderr"))
        ports = stack.enter_context(proxies(folder, [server], folder / "log"))
        tls = ssl.create_default_context(cafile=folder / "certificate.pem")
        yield Stage(server, ports, tls, AuthLog(folder / "log"))


def shows_good(stage: Stage, protocol: str, server: RealServer) -> bool:
    return demo.fetch_and_show(server, protocol, stage.ports[protocol], stage.tls, stage.log)


def test_other_mail_than_expected_is_noticed(stage: Stage) -> None:
    assert shows_good(stage, "POP3S", stage.server)
    account = stage.server.account._replace(messages=stage.server.account.messages[:2])
    assert not shows_good(stage, "POP3S", stage.server._replace(account=account))


def test_another_way_than_expected_is_noticed(stage: Stage) -> None:
    elsewhere = dict.fromkeys(stage.server.ports, 1)
    assert not shows_good(stage, "POP3S", stage.server._replace(ports=elsewhere))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_log_in_that_fails_is_shown(
    stage: Stage, protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    account = stage.server.account._replace(password="wrong")
    assert not shows_good(stage, protocol, stage.server._replace(account=account))
    assert f"  ann {protocol}: " in capsys.readouterr().out
    assert stage.log.next(protocol, "ann").status == "failed: Re-Authentication Failure"


@contextlib.contextmanager
def connected(server: RealServer) -> Iterator[poplib.POP3]:
    client = poplib.POP3(HOST, server.ports["POP3"], timeout=SECONDS)
    with contextlib.closing(client):
        yield client


@pytest.fixture
def pop3(stage: Stage) -> Iterator[poplib.POP3]:
    with connected(stage.server) as client:
        yield client


def log_in(client: poplib.POP3, server: RealServer) -> None:
    client.user(server.account.user)
    client.pass_(server.account.password)


def test_the_pop3_server_shows_the_mailbox(stage: Stage, pop3: poplib.POP3) -> None:
    assert pop3.capa() == {"USER": [], "UIDL": [], "TOP": []}
    log_in(pop3, stage.server)
    mail = stage.server.account.mail()
    assert pop3.stat() == (3, sum(map(len, mail)))
    assert pop3.list()[1] == [b"%d %d" % (at, len(each)) for at, each in enumerate(mail, 1)]
    assert pop3.list("2").endswith(b" 2 %d" % len(mail[1]))
    assert [line.split()[0] for line in pop3.uidl()[1]] == [b"1", b"2", b"3"]
    assert pop3.uidl("3").startswith(b"+OK 3 ")
    for number, message in enumerate(mail, 1):
        assert b"\r\n".join((*pop3.retr(number)[1], b"")) == message
    head, _, body = mail[2].partition(b"\r\n\r\n")
    assert pop3.top(3, 1)[1] == [*head.split(b"\r\n"), b"", body.split(b"\r\n")[0]]
    pop3.noop()
    pop3.quit()


def test_the_pop3_server_deletes_at_quit(tmp_path: Path) -> None:
    # One of its own: what is deleted is gone.
    with real_server(demo.ACCOUNTS[0], tmp_path / "stderr") as server:
        with connected(server) as pop3:
            log_in(pop3, server)
            pop3.dele(1)
            with pytest.raises(poplib.error_proto, match="no such message"):
                pop3.retr(1)
            assert pop3.stat()[0] == 2
            pop3.rset()
            assert pop3.stat()[0] == 3
            pop3.dele(3)
            pop3.quit()
        with connected(server) as again:
            log_in(again, server)
            assert again.stat()[0] == 2


@pytest.mark.parametrize("command", ["STAT", "RETR 1", "FROB"])
def test_the_pop3_server_wants_a_log_in_first(pop3: poplib.POP3, command: str) -> None:
    with pytest.raises(poplib.error_proto, match="log in first"):
        pop3._shortcmd(command)


@pytest.mark.parametrize("command", ["FROB", "RETR", "RETR x", "RETR 99", "TOP 1", "USER ann"])
def test_the_pop3_server_refuses_what_is_wrong(
    stage: Stage, pop3: poplib.POP3, command: str
) -> None:
    log_in(pop3, stage.server)
    with pytest.raises(poplib.error_proto, match=r"unknown command|no such message"):
        pop3._shortcmd(command)
