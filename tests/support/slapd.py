"""slapd as an ordinary process with a directory of its own: nothing of /etc but schemas is read."""

import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self
from urllib.parse import quote

from support.dovecot import ordinary_account
from support.processes import (
    HOST,
    end,
    free_port,
    has_stopped,
    is_listening,
    lacking,
    require,
    wait_until,
)
from support.program import ROOT

SCHEMAS = Path("/etc/ldap/schema")
OURS = ROOT / "conf/perdition/perdition.schema"
SUFFIX = "dc=nodomain"
ADMIN, PASSWORD = f"cn=admin,{SUFFIX}", "swordfish-7Hq4"
START_SECONDS = 20
MAILBOXES = f"ou=mailbox,{SUFFIX}"
TOP = f"""
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
o: nobody
dc: nodomain
"""
TREE = f"""
dn: {MAILBOXES}
objectClass: organizationalUnit
ou: mailbox
"""
CONFIGURATION = """
include {schemas}/core.schema
include {schemas}/cosine.schema
include {ours}
pidfile {home}/pid
{tls}
database ldif
suffix {suffix}
directory {home}/data
rootdn {admin}
rootpw {password}
{more}
"""
TLS = """
TLSCACertificateFile {home}/ca
TLSCertificateFile {home}/pem
TLSCertificateKeyFile {home}/pem
"""


def mailbox(uid: str, **attributes: str) -> str:
    """The LDIF of an entry below MAILBOXES."""
    lines = [
        f"dn: uid={uid},{MAILBOXES}",
        "objectClass: perditionPopmap",
        "objectClass: uidObject",
        f"uid: {uid}",
        *(f"{name}: {value}" for name, value in attributes.items()),
    ]
    return "\n" + "\n".join(lines) + "\n"


class Slapd:
    """A server, while used as a context. It can be stopped and started again.

    Attributes:
        port: where it listens, for StartTLS too.
        tls_port: where TLS comes first; 0 without a certificate.
        socket_url: ``ldapi://`` and the name of its socket.
    """

    def __init__(
        self,
        ldif: str,
        *,
        pem: bytes = b"",
        ca: bytes = b"",
        more: str = "",
        mailboxes: bool = True,
    ) -> None:
        """Prepare it.

        Args:
            ldif: what is in the directory beside SUFFIX.
            pem: its certificate and key; empty for no TLS.
            ca: who signed it.
            more: lines of its configuration.
            mailboxes: whether MAILBOXES is there.
        """
        self._ldif = TOP + (TREE if mailboxes else "") + ldif
        self._pem, self._ca, self._more = pem, ca, more
        self._stack = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._stack:
            self._prepare()
            self.start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"ldap://{HOST}:{self.port}"

    def _prepare(self) -> None:
        self._program = require("slapd")
        if not SCHEMAS.exists():
            lacking(f"{SCHEMAS} is not there")
        # Not pytest's directory: others may not enter that, and names of sockets are short.
        home = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="slapd-")))
        self.port = self._stack.enter_context(free_port())
        self.tls_port = self._stack.enter_context(free_port()) if self._pem else 0
        self.socket_url = f"ldapi://{quote(str(home / 'socket'), safe='')}"
        self._account = ordinary_account()
        self._conf, self._log = home / "conf", home / "log"
        (home / "data").mkdir()
        (home / "pem").write_bytes(self._pem)
        (home / "ca").write_bytes(self._ca)
        self._log.touch()
        self._conf.write_text(
            CONFIGURATION.format(
                schemas=SCHEMAS,
                ours=self._copy_of_schema(home),
                home=home,
                suffix=SUFFIX,
                admin=ADMIN,
                password=PASSWORD,
                more=self._more,
                tls=TLS.format(home=home) if self._pem else "",
            )
        )
        for path in (home, *home.iterdir()):
            os.chown(path, self._account.uid, self._account.gid)
        self._run([self._program, "-T", "add", "-f", str(self._conf)], self._ldif.encode())
        self._stack.callback(self.stop)

    @staticmethod
    def _copy_of_schema(home: Path) -> Path:
        """The schema, where those can read it who cannot read the checkout."""
        copy = home / "perdition.schema"
        copy.write_bytes(OURS.read_bytes())
        return copy

    def _identity(self) -> dict[str, object]:
        if os.geteuid() != 0:
            return {}
        return {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}

    def _run(self, command: list[str], text: bytes) -> None:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            check=False,
            **self._identity(),  # type: ignore[call-overload]
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        urls = [self.url, self.socket_url]
        if self.tls_port:
            urls.append(f"ldaps://{HOST}:{self.tls_port}")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-h", " ".join(urls), "-f", str(self._conf), "-d", "256"],
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._identity(),  # type: ignore[call-overload]
            )
        wait_until(self._is_ready, START_SECONDS, "slapd listens")

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"slapd has ended: {self.log()}"
        return "slapd starting" in self.log() and is_listening(self.port)

    def stop(self) -> None:
        """Kill it, without a word to its clients."""
        if self._process is not None:
            self.kill(signal.SIGCONT)
            end(self._process, signal.SIGKILL)
            self._process = None
            self._log.write_bytes(b"")

    def kill(self, number: int) -> None:
        """Send it a signal; wait until it has stopped where it is to."""
        assert self._process is not None
        pid = self._process.pid
        self._process.send_signal(number)
        if number == signal.SIGSTOP:
            wait_until(lambda: has_stopped(pid), START_SECONDS, "slapd has stopped")

    def log(self) -> str:
        """What it has logged since it was started."""
        return self._log.read_text(errors="replace")
