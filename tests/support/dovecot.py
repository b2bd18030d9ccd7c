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
from types import MappingProxyType
from typing import NamedTuple

from support.processes import HOST, end, free_port, lacking, require, wait_until
from support.running import Running

PASSWORD = "sesame-6Qx2"
START_SECONDS = 30
# The listeners, and the services that have them.
LISTENERS = {
    "imap": "imap-login",
    "imaps": "imap-login",
    "pop3": "pop3-login",
    "pop3s": "pop3-login",
    "sieve": "managesieve-login",
    "sieves": "managesieve-login",
}
# Where TLS comes first. Dovecot knows two of them by their names.
SECURE = {"imaps", "pop3s", "sieves"}
COMMON = """
protocols = imap pop3 sieve
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
listen = 127.0.0.1
ssl = yes
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
auth_failure_delay = 0
mail_max_userip_connections = 0
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""
# What is said differently, by version.
SETTINGS = {
    (2, 3): """
disable_plaintext_auth = no
ssl_cert = <{home}/pem
ssl_key = <{home}/pem
mail_location = sdbox:~/mail
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={home}/users/%u
}}
""",
    (2, 4): """
auth_allow_cleartext = yes
ssl_server_cert_file = {home}/pem
ssl_server_key_file = {home}/pem
mail_driver = sdbox
mail_path = ~/mail
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    home = {home}/users/%{{user}}
  }}
}}
""",
}
# Whoever has the password is let in.
EVERYBODY = {
    (2, 3): f"passdb {{\n  driver = static\n  args = password={PASSWORD}\n}}\n",
    (2, 4): f"passdb static {{\n  password = {PASSWORD}\n}}\n",
}
# Certificates for those who ask for a name.
NAMED = {
    (2, 3): "local_name {name} {{\n  ssl_cert = <{file}\n  ssl_key = <{file}\n}}\n",
    (2, 4): "local_name {name} {{\n  ssl_server_cert_file = {file}\n"
    "  ssl_server_key_file = {file}\n}}\n",
}
# This has to come first.
FIRST = {
    (2, 3): "",
    (2, 4): "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n",
}


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


def configuration(
    of: tuple[int, int], home: Path, account: Account, ports: Mapping[str, int]
) -> str:
    """The text of a configuration file, without the passdbs."""
    values = {**account._asdict(), "home": home}
    text = FIRST[of] + COMMON.format_map(values) + SETTINGS[of].format_map(values)
    for service in dict.fromkeys(LISTENERS.values()):
        text += f"service {service} {{\n  chroot =\n  service_count = 0\n  process_min_avail = 1\n"
        for name in (each for each, owner in LISTENERS.items() if owner == service):
            secure = "yes" if name in SECURE else "no"
            text += (
                f"  inet_listener {name} {{\n    port = {ports[name]}\n    ssl = {secure}\n  }}\n"
            )
        text += "}\n"
    return text


class More(NamedTuple):
    """What a Dovecot has in its configuration for a test.

    Attributes:
        text: for the configuration file, with the passdbs; $home stands for the folder of files.
        files: their texts by their names; $home stands for their folder there as well.
    """

    text: str
    files: Mapping[str, str] = MappingProxyType({})


class Dovecot(Running):
    """A Dovecot with mailboxes of its own, while used as a context.

    Attributes:
        ports: where it listens, by the names of LISTENERS.
    """

    def __init__(
        self,
        pem: bytes,
        named: Mapping[str, bytes] = MappingProxyType({}),
        more: More | None = None,
        settings: str = "",
    ) -> None:
        """Prepare one.

        Args:
            pem: its certificate and key.
            named: other ones, for clients that ask for a name (SNI).
            more: its passdbs, written for Dovecot 2.3; without them whoever has the password is
                a user.
            settings: what stands last in its configuration.
        """
        self._settings = settings
        self._pem = pem
        self._named = named
        self._more = more
        super().__init__()
        self.ports: Mapping[str, int] = {}

    def _start(self) -> None:
        program = require("dovecot")
        of = version(program)
        if of not in SETTINGS:
            lacking(f"Dovecot {of}: there is no configuration for it")
        account = ordinary_account()
        # Not pytest's directory: others may not enter that, and names of sockets are short.
        home = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="dovecot-")))
        self._log = home / "log"
        self._log.touch()
        names = {name: self._stack.enter_context(free_port()) for name in LISTENERS}
        self.ports = MappingProxyType(names)
        (home / "pem").write_bytes(self._pem)
        text = configuration(of, home, account, self.ports)
        for name, pem in self._named.items():
            file = home / f"pem.{name}"
            file.write_bytes(pem)
            text += NAMED[of].format(name=name, file=file)
        if self._more is None:
            text += EVERYBODY[of]
        elif of != (2, 3):
            lacking(f"Dovecot {of}: the passdbs of this test are written for 2.3")
        else:
            text += self._more.text.replace("$home", str(home))
            for name, content in self._more.files.items():
                (home / name).write_text(content.replace("$home", str(home)))
        (home / "conf").write_text(text + self._settings)
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

    def logins(self, user: str, method: str = "") -> int:
        """How often somebody has been let in, as far as it has been logged."""
        return self.log().count(f"Info: Login: user=<{user}>, method={method}")

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
