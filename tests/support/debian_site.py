"""A site with Perdition 2.2 on a Debian machine, and our packages to take its place."""

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from support.debian_machine import ORIGINALS, Machine
from support.dovecot import PASSWORD
from support.processes import HOST, is_listening, wait_until
from support.scripted import read_line

SECONDS = 60
SCRIPT = "/etc/init.d/perdition"
NAMES = {"IMAP4": "perdition.imap4", "POP3": "perdition.pop3"}
# What a client says, and how the last line of the answer begins.
IMAP = (
    ("", "* OK"),
    ("a CAPABILITY", "a OK"),
    ("b LOGIN ann wrong", "b NO"),
    (f"c LOGIN ann {PASSWORD}", "c OK"),
    ("d EXAMINE INBOX", "d OK"),
    ("e FETCH 1 BODY[]", "e OK"),
    ("f LOGOUT", "f OK"),
)
POP3 = (
    ("", "+OK"),
    ("CAPA", "."),
    ("USER bob", "+OK"),
    ("PASS wrong", "-ERR"),
    ("USER bob", "+OK"),
    (f"PASS {PASSWORD}", "+OK"),
    ("STAT", "+OK"),
    ("RETR 1", "."),
    ("QUIT", "+OK"),
)
SAYS = {"IMAP4": IMAP, "POP3": POP3}
POPMAP = "/etc/perdition/popmap"
CONF = "/etc/perdition/perdition.conf"
DEFAULT = "/etc/default/perdition"


# How long it took, and what the original calls its tag of a session.
SOMETHING = re.compile(r"[(][0-9.]+ [+].* secs[)]|(?<= )[0-9a-f]{8}$")


class Heard(NamedTuple):
    """What a session was to the client, and in the log; with what is different each time left out."""

    transcript: list[str]
    log: list[str]


class Site(Machine):
    """A machine whose administrator wants IMAP4 and POP3, with users in a GDBM file."""

    def __init__(
        self, base: Path, packages: Path, ports: Mapping[str, int], real: Mapping[str, int]
    ) -> None:
        super().__init__(base)
        self._packages = packages
        self.ports = ports
        self._real = real

    def configure(self) -> None:
        self.write(CONF, "# The site's own\nlog_facility local5\nno_lookup\n")
        self.write(POPMAP, f"ann:{HOST}:{self._real['imap']}\nbob:{HOST}:{self._real['pop3']}\n")
        self.run("make", "--silent", "--directory=/etc/perdition")
        lines = ["# The site's own", "RUN_PERDITION=yes", "POP3S=no", "IMAP4S=no", "MANAGESIEVE=no"]
        lines += [f'{each}_FLAGS="-b {HOST}:{port}"' for each, port in self.ports.items()]
        self.write(DEFAULT, "\n".join(lines) + "\n")

    def install(self) -> str:
        """Install ours as an administrator would who keeps what has been changed."""
        names = []
        for path in self._packages.glob("perdition*.deb"):
            if path.name.startswith(("perdition_", "perdition-ldap_")):
                names.append(f"/tmp/{path.name}")
                self.path(names[-1]).write_bytes(path.read_bytes())
        assert len(names) == 2
        return self._dpkg_install(*names)

    def install_original(self) -> str:
        """Install the original again, and nothing of it but the program."""
        (deb,) = self.path(ORIGINALS).iterdir()
        return self._dpkg_install(f"{ORIGINALS}/{deb.name}")

    def _dpkg_install(self, *names: str) -> str:
        return self.run("dpkg", "--force-confdef", "--force-confold", "--install", *names)

    def do(self, verb: str, status: int = 0) -> str:
        """Call the init script; the original returns before it listens, so we wait for that."""
        told = self.run(SCRIPT, verb, status=status)
        if verb in {"start", "restart"}:
            self.wait_serving()
        return told

    def wait_serving(self) -> None:
        wait_until(lambda: all(map(self.serves, NAMES)), SECONDS, "both protocols are served")

    def serves(self, protocol: str) -> bool:
        return is_listening(self.ports[protocol])

    def serves_nothing(self) -> bool:
        return not any(map(self.serves, NAMES))

    def pid_file(self, protocol: str) -> str:
        name = NAMES[protocol]
        return f"/run/{name}/{name}.pid"

    def pid(self, protocol: str) -> str:
        """The number of its daemon, on that machine."""
        return self.path(self.pid_file(protocol)).read_text()

    def executable(self, protocol: str) -> str:
        return self.run("readlink", f"/proc/{self.pid(protocol)}/exe").strip()

    def heard(self, protocol: str) -> Heard:
        """Hold a session."""
        self.logged()
        transcript = []
        with socket.create_connection((HOST, self.ports[protocol]), SECONDS) as sock:
            ours = sock.getsockname()[1]
            for command, last in SAYS[protocol]:
                if command:
                    sock.sendall(f"{command}\r\n".encode())
                    transcript.append(f"C: {command}")
                line = ""
                while not line.startswith(last):
                    line = read_line(sock).decode().removesuffix("\r\n")
                    transcript.append(f"S: {SOMETHING.sub('...', line)}")
            assert sock.recv(1) == b""
        log: list[str] = []

        def is_closed() -> bool:
            log.extend(self.logged())
            return any(": Clos" in line for line in log)

        wait_until(is_closed, SECONDS, "the end of the session is logged")
        found = [re.fullmatch(r"(<\d+>)[A-Z].{14} (\S+)\[\d+\]: (.*)\n?\0?", each) for each in log]
        lines = ["{} {} {}".format(*each.groups()) for each in found if each]
        assert len(lines) == len(log), log
        # A daemon serves before it says that it listens.
        lines = [each for each in lines if "Listening with" not in each]
        # Dovecot says how long it took in more or fewer octets.
        lines = [re.sub(r"(?<= sent=)\d+$", "...", each) for each in lines]
        return Heard(transcript, [each.replace(f":{ours}", ":PORT") for each in lines])

    def files(self) -> dict[str, str]:
        """The files there are, with what tells that they have changed; not those of dpkg itself."""
        left_out = ["/proc", "/dev", "/tmp", "/var/lib/dpkg", "/var/log", "/var/cache"]
        pruned = " -o ".join(f"-path {each}" for each in left_out)
        told = self.run(
            "sh", "-c", f"find / -xdev \\( {pruned} \\) -prune -o -printf '%p\\t%y %m %U %G %l\\n'"
        )
        return dict(line.split("\t") for line in told.splitlines())
