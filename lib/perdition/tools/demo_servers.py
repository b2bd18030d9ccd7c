"""The real servers of `make demo`: pymap for IMAP and ManageSieve, a POP3 server of ours."""

import contextlib
import functools
import imaplib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import NamedTuple

from perdition.tools.demo_clients import ManageSieve
from perdition.tools.demo_pop3 import Pop3Server

START_SECONDS = 30
END_SECONDS = 5


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


class Account(NamedTuple):
    """A user, and what lies in the mailbox.

    Attributes:
        home: the name of the real server.
        messages: sender, subject and text of each.
        script: the name of a sieve script.
    """

    user: str
    password: str
    home: str
    messages: Sequence[tuple[str, str, str]]
    script: str

    def mail(self) -> list[bytes]:
        """The messages, as they travel."""
        return [self._message(*each) for each in self.messages]

    def _message(self, sender: str, subject: str, text: str) -> bytes:
        message = EmailMessage(policy=SMTP)
        message["From"] = sender
        message["To"] = f"{self.user}@example.com"
        message["Subject"] = subject
        message.set_content(text)
        return message.as_bytes()


class RealServer(NamedTuple):
    """A mail server that knows one user.

    Attributes:
        ports: where it listens, by protocol: IMAP4, POP3, MANAGESIEVE.
    """

    account: Account
    ports: dict[str, int]


@contextlib.contextmanager
def real_server(account: Account, log: Path) -> Iterator[RealServer]:
    """Run a mail server with somebody's mail in it.

    Raises:
        DemoFailed: it does not start.
    """
    with contextlib.ExitStack() as stack:
        imap, sieve = stack.enter_context(free_port()), stack.enter_context(free_port())
        command = [
            *(sys.executable, "-c", "from pymap.main import main; main()", "--no-tls"),
            *("--host", "127.0.0.1", "--port", str(imap)),
            *("--sieve-host", "127.0.0.1", "--sieve-port", str(sieve)),
            *("dict", "--demo-user", account.user, "--demo-password", account.password),
        ]
        process = stack.enter_context(running(command, log))
        for port in (imap, sieve):
            wait_for(port, process, log)
        fill(account, imap, sieve)
        pop3 = stack.enter_context(Pop3Server(imap))
        threading.Thread(target=functools.partial(pop3.serve_forever, 0.1), daemon=True).start()
        stack.callback(pop3.shutdown)
        yield RealServer(account, {"IMAP4": imap, "POP3": pop3.port, "MANAGESIEVE": sieve})


def fill(account: Account, imap_port: int, sieve_port: int) -> None:
    """Put the mail and the script where they belong."""
    with imaplib.IMAP4("127.0.0.1", imap_port) as imap:
        imap.login(account.user, account.password)
        for message in account.mail():
            imap.append("INBOX", "", imaplib.Time2Internaldate(time.time()), message)
    with ManageSieve(sieve_port) as sieve:
        sieve.log_in(account.user, account.password)
        sieve.put_script(account.script, b"keep;\r\n")


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port of 127.0.0.1 that nobody is given meanwhile, but whoever asks for it by number.

    That is so while a socket is bound to it that does not listen: servers, which set
    SO_REUSEADDR, can listen beside it.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextlib.contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, and end it and what it has started.

    It is in a session of its own: Ctrl-C is for the demo, which then ends all in order.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a program listens.

    Raises:
        DemoFailed: it has ended, or takes too long.
    """
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.05)
    raise DemoFailed(f"nothing listens on port {port}:\n{log.read_text()}")
