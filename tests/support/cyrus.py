"""Cyrus as an ordinary process: nothing of /etc is read, and root is not needed.

Its users are in a database of Cyrus SASL, which has their passwords in clear: so there is SCRAM.
"""

import os
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from support.dovecot import Account, ordinary_account
from support.processes import HOST, end, free_port, lacking, require, wait_until
from support.running import Running

SECRET = "sesame-cyrus-9Wm"
# Who may act for others.
MASTER = "boss"
REALM = "localhost"
START_SECONDS = 30
# Its packages for IMAP and POP3 are not installed beside those of Dovecot: .ci/run unpacks them.
PLACES = ("/usr/lib/cyrus/bin", "/opt/cyrus-imapd/usr/lib/cyrus/bin", "/usr/libexec/cyrus-imapd")
# The listeners and their programs.
PROGRAMS = {"imap": "imapd", "pop3": "pop3d", "sieve": "timsieved"}
GREETINGS = {"imap": r"[*] OK .*Cyrus", "pop3": r"[+]OK .*Cyrus", "sieve": '"IMPL.*Cyrus'}
IMAPD_CONF = """
configdirectory: {home}/conf
partition-default: {home}/spool
defaultpartition: default
sievedir: {home}/sieve
proc_path: {home}/proc
idlesocket: {home}/idle
notifysocket: {home}/notify
cyrus_user: {user}
cyrus_group: {group}
servername: {realm}
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {home}/sasldb
sasl_mech_list: PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256
allowplaintext: yes
allowstarttls: yes
failedloginpause: 0
proxyservers: {master}
autocreate_quota: 0
tls_server_cert: {home}/pem
tls_server_key: {home}/pem
"""


def cyrus_program(name: str) -> str:
    """The path of one of Cyrus's own programs, which are in no PATH."""
    found = [str(path) for place in PLACES if (path := Path(place) / name).exists()]
    return found[0] if found else lacking(f"Cyrus's {name} is not installed")


def services(home: Path, ports: Mapping[str, int]) -> str:
    """The text of cyrus.conf."""
    lines = [
        f'{name} cmd="{cyrus_program(program)} -C {home}/imapd.conf" '
        f'listen="{HOST}:{ports[name]}" prefork=1'
        for name, program in PROGRAMS.items()
    ]
    return "START {\n}\nSERVICES {\n" + "\n".join(lines) + "\n}\nEVENTS {\n}\n"


class Cyrus(Running):
    """A Cyrus with users of its own, while used as a context.

    Attributes:
        ports: where it listens, by the names of PROGRAMS.
    """

    def __init__(self, pem: bytes) -> None:
        """Prepare one.

        Args:
            pem: its certificate and key.
        """
        self._pem = pem
        super().__init__()
        self.ports: Mapping[str, int] = {}

    def _start(self) -> None:
        master = cyrus_program("master")
        require("saslpasswd2")
        self._account = ordinary_account()
        home = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="cyrus-")))
        self._home = home
        names = {name: self._stack.enter_context(free_port()) for name in PROGRAMS}
        self.ports = MappingProxyType(names)
        for name in ("conf", "spool", "sieve", "proc"):
            (home / name).mkdir()
        (home / "pem").write_bytes(self._pem)
        values = {"home": home, "realm": REALM, "master": MASTER, **self._account._asdict()}
        (home / "imapd.conf").write_text(IMAPD_CONF.format_map(values))
        (home / "cyrus.conf").write_text(services(home, self.ports))
        for path in (home, *home.iterdir()):
            os.chown(path, self._account.uid, self._account.gid)
        self.add(MASTER)
        command = [master, "-C", f"{home}/imapd.conf", "-M", f"{home}/cyrus.conf"]
        with (home / "said").open("ab") as said:
            self._process = subprocess.Popen(
                [*command, "-p", f"{home}/pid", "-D"],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=home,
                start_new_session=True,
                user=self._as(self._account.uid),
                group=self._as(self._account.gid),
                extra_groups=[] if os.geteuid() == 0 else None,
            )
        self._stack.callback(end, self._process, signal.SIGTERM)
        wait_until(self._is_ready, START_SECONDS, "Cyrus takes log-ins")

    @staticmethod
    def _as(number: int) -> int | None:
        """A user or group to change to, for those who may."""
        return number if os.geteuid() == 0 else None

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self._home / "said").read_text()
        try:
            return all(re.match(GREETINGS[name], self._greeting(name)) for name in PROGRAMS)
        except OSError:
            return False

    def _greeting(self, name: str) -> str:
        with socket.create_connection((HOST, self.ports[name]), START_SECONDS) as sock:
            return sock.recv(1024).decode()

    def add(self, user: str, secret: str = SECRET) -> None:
        """Let in a user."""
        account: Account = self._account
        subprocess.run(
            [require("saslpasswd2"), "-p", "-c", "-f", f"{self._home}/sasldb", "-u", REALM, user],
            input=secret.encode(),
            check=True,
            capture_output=True,
            user=self._as(account.uid),
            group=self._as(account.gid),
            extra_groups=[] if os.geteuid() == 0 else None,
        )
