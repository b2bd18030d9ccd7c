"""Dovecot as an ordinary process: nothing of /etc is read, and root is not needed.

Whoever has the password is a user, so that each test can have a mailbox of its own.
"""

import grp
import imaplib
import os
import pwd
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import NamedTuple

from support.dovecot_settings import LISTENERS, VERSIONS, Passdb, Settings, written
from support.processes import HOST, end, free_port, lacking, require, wait_until
from support.running import Running

PASSWORD = "sesame-6Qx2"
START_SECONDS = 30
# Whoever has the password is let in.
EVERYBODY = Settings((Passdb({"password": PASSWORD}),))


class Account(NamedTuple):
    """Who a process runs as."""

    user: str
    group: str
    uid: int
    gid: int


def ordinary_account() -> Account:
    """Ourselves; somebody without rights, if we are root."""
    entry = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    return Account(entry.pw_name, grp.getgrgid(entry.pw_gid).gr_name, entry.pw_uid, entry.pw_gid)


def version(program: str) -> tuple[int, int]:
    """The version of a Dovecot, as far as its configuration depends on it."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    found = re.match(r"(\d+)\.(\d+)", told.stdout)
    assert found is not None, told.stdout
    return int(found[1]), int(found[2])


class Dovecot(Running):
    """A Dovecot with mailboxes of its own, while used as a context.

    Attributes:
        ports: where it listens, by the names of LISTENERS.
        version: its version, as far as its configuration depends on it.
    """

    def __init__(
        self,
        pem: bytes,
        named: Mapping[str, bytes] = MappingProxyType({}),
        settings: Settings = EVERYBODY,
    ) -> None:
        """Prepare one.

        Args:
            pem: its certificate and key.
            named: other ones, for clients that ask for a name (SNI).
            settings: what else is wanted of it.
        """
        self._pem = pem
        self._named = named
        self._settings = settings
        super().__init__()
        self.ports: Mapping[str, int] = {}
        self.version = (0, 0)

    def _start(self) -> None:
        program = require("dovecot")
        self.version = version(program)
        if self.version not in VERSIONS:
            lacking(f"Dovecot {self.version}: there is no configuration for it")
        account = ordinary_account()
        # Not pytest's directory: others may not enter that, and names of sockets are short.
        home = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="dovecot-")))
        self._log = home / "log"
        self._log.touch()
        names = {name: self._stack.enter_context(free_port()) for name in LISTENERS}
        self.ports = MappingProxyType(names)
        (home / "pem").write_bytes(self._pem)
        for name, pem in self._named.items():
            (home / f"pem.{name}").write_bytes(pem)
        for name, text in written(self.version, self._settings, self.ports, self._named).items():
            filled = Template(text).safe_substitute(account._asdict(), home=home)
            (home / name).write_text(filled)
        for path in (home, *home.iterdir()):
            os.chown(path, account.uid, account.gid)
        is_root = os.geteuid() == 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-F", "-c", str(home / "conf")],
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=account.uid if is_root else None,
                group=account.gid if is_root else None,
                extra_groups=[] if is_root else None,
            )
        self._stack.callback(end, self._process, signal.SIGTERM)
        wait_until(self._is_ready, START_SECONDS, "Dovecot takes log-ins")

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            if "Unknown protocol" in self.log():
                lacking("Dovecot has not got IMAP, POP3 and ManageSieve")
            raise AssertionError(f"Dovecot has ended: {self.log()}")
        try:
            greetings = [self._greeting(name) for name in ("imap", "pop3", "sieve")]
        except OSError:
            return False
        return all(map(re.match, ("[*] OK .*CAPABILITY", "[+]OK", '"IMP'), greetings))

    def _greeting(self, name: str) -> str:
        with socket.create_connection((HOST, self.ports[name]), START_SECONDS) as sock:
            return sock.recv(1024).decode()

    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text()

    def login_lines(self, user: str, *texts: str) -> list[str]:
        """What it has logged of somebody's log-ins, as far as it has these words."""
        # Login is 2.3's word, Logged in that of 2.4.
        said = re.compile(rf"Info: (Login|Logged in): user=<{re.escape(user)}>")
        lines = self.log().splitlines()
        return [each for each in lines if said.search(each) and all(text in each for text in texts)]

    def logins(self, user: str, method: str = "") -> int:
        """How often somebody has been let in, as far as it has been logged."""
        return len(self.login_lines(user, f"user=<{user}>, method={method}"))

    def wait_logins(self, count: int, user: str, method: str = "") -> None:
        """Wait until somebody has been let in so often."""
        wait_until(
            lambda: self.logins(user, method) >= count,
            START_SECONDS,
            f"Dovecot has logged {count} log-ins of {user} by {method or 'whatever'}",
        )

    def imap(self, user: str) -> imaplib.IMAP4:
        """Somebody's connection to it, not by way of the proxy."""
        imap = imaplib.IMAP4(HOST, self.ports["imap"], START_SECONDS)
        imap.login(user, PASSWORD)
        return imap

    def deliver(self, user: str, *messages: bytes) -> None:
        """Put messages into somebody's mailbox."""
        with self.imap(user) as imap:
            for message in messages:
                assert imap.append("INBOX", "", "", message)[0] == "OK"
