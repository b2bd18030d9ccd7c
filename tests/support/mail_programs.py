"""Mail programs that people use, each run once: what they are told, and what they do with it."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from support.processes import require

SECONDS = 60
# Who the certificates are for.
SERVER = "localhost"


class Run(NamedTuple):
    """A program that has ended.

    Attributes:
        status: its exit status.
        output: what it wrote.
        errors: the same on its standard error.
    """

    status: int
    output: str
    errors: str

    def lines(self, prefix: str) -> list[str]:
        """What it wrote, errors or not, on lines that begin like that."""
        both = (self.output + self.errors).splitlines()
        return [line.removeprefix(prefix) for line in both if line.startswith(prefix)]


class Account(NamedTuple):
    """What a mail program is told about a server.

    Attributes:
        port: of localhost.
        user, password: who logs in.
        tls: "no", "start" for STARTTLS or STLS, "first" where the connection begins with it.
        ca: the file with the authority of the server's certificate.
    """

    port: int
    user: str
    password: str
    tls: str
    ca: str


def run(home: Path, command: Sequence[str], password: str = "") -> Run:
    """Run a program that reads nothing of the user who runs the tests.

    Args:
        home: its home directory.
        command: the program and its arguments.
        password: what it can read from its standard input.
    """
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [require(command[0]), *command[1:]],
        input=f"{password}\n" if password else "",
        capture_output=True,
        text=True,
        errors="replace",
        cwd=home,
        env={**environment, "TERM": "vt100", "FETCHMAILHOME": str(home)},
        timeout=SECONDS,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def curl(home: Path, account: Account, scheme: str, path: str, *more: str) -> Run:
    """Fetch something, with what was said on lines that begin with > and <."""
    scheme += "s" if account.tls == "first" else ""
    user = f"{account.user}:{account.password}" if account.password else account.user
    tls = ["--ssl-reqd"] if account.tls == "start" else []
    url = f"{scheme}://{SERVER}:{account.port}/{path}"
    return run(home, ["curl", "-sSv", *tls, "--cacert", account.ca, "-u", user, *more, url])


def mbsync(home: Path, account: Account, mechanism: str, box: Path) -> Run:
    """Synchronise the INBOX with a maildir, both ways; the commands are on lines with F: >>>."""
    kinds = {"no": "None", "start": "STARTTLS", "first": "IMAPS"}
    (home / "mbsyncrc").write_text(f"""
IMAPStore far
Host {SERVER}
Port {account.port}
User {account.user}
Pass {account.password}
AuthMechs {mechanism}
SSLType {kinds[account.tls]}
CertificateFile {account.ca}

MaildirStore near
Inbox {box}

Channel both
Far :far:
Near :near:
Create Near
SyncState {home}/state-
""")
    return run(home, ["mbsync", "-D", "-c", f"{home}/mbsyncrc", "-a"])


def fetchmail(home: Path, account: Account, protocol: str, auth: str, file: Path) -> Run:
    """Append what there is to a file."""
    check = f"sslcertck sslcertfile {account.ca}"
    kinds = {"no": "sslproto ''", "start": f"sslproto tls1.2+ {check}", "first": f"ssl {check}"}
    configuration = home / "fetchmailrc"
    configuration.write_text(
        f"poll {SERVER} protocol {protocol} port {account.port} auth {auth} timeout 20\n"
        f'user "{account.user}" password "{account.password}" keep fetchall '
        f'{kinds[account.tls]} mda "cat >> {file}"\n'
    )
    configuration.chmod(0o600)
    # Else there is one file for all that root runs, which says that one is running.
    own = ["--pidfile", f"{home}/fetchmail.pid"]
    how = ["-vv", "--nosyslog", "--nodetach"]
    return run(home, ["fetchmail", "-f", str(configuration), *own, *how])


def offlineimap(home: Path, account: Account, mechanisms: str, box: Path) -> Run:
    """Synchronise all mailboxes with maildirs, both ways."""
    (home / "offlineimaprc").write_text(f"""
[general]
accounts = only
metadata = {home}/metadata
socktimeout = 20

[Account only]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {box}

[Repository far]
type = IMAP
remotehost = {SERVER}
remoteport = {account.port}
remoteuser = {account.user}
remotepass = {account.password}
auth_mechanisms = {mechanisms}
starttls = {"yes" if account.tls == "start" else "no"}
ssl = {"yes" if account.tls == "first" else "no"}
sslcacertfile = {account.ca}
""")
    return run(
        home, ["offlineimap", "-c", f"{home}/offlineimaprc", "-o", "-u", "basic", "-d", "imap"]
    )


def neomutt(home: Path, account: Account, scheme: str, authenticators: str, box: Path) -> Run:
    """Copy all messages to a maildir, at a terminal; what was said is in the errors."""
    scheme += "s" if account.tls == "first" else ""
    tls = "no" if account.tls == "no" else "yes"
    path = "INBOX" if scheme.startswith("imap") else ""
    (home / "muttrc").write_text(f"""
set imap_user="{account.user}" imap_pass="{account.password}"
set pop_user="{account.user}" pop_pass="{account.password}"
set imap_authenticators="{authenticators}"
set ssl_starttls={tls} ssl_force_tls={tls} certificate_file="{account.ca}"
set mbox_type=Maildir copy=no delete=no confirmappend=no confirmcreate=no quit=yes
set folder="{home}" record="" header_cache="" wait_key=no sleep_time=0
""")
    keys = f"<tag-pattern>~A<enter><tag-prefix><copy-message>{box}<enter><exit>"
    url = f"{scheme}://{SERVER}:{account.port}/{path}"
    command = f"neomutt -n -F {home}/muttrc -d 2 -l {home}/said -f {url} -e 'push {keys}'"
    require("neomutt")
    done = run(home, ["script", "-qec", command, "/dev/null"])
    return done._replace(errors=(home / "said0").read_text(errors="replace"))


def sieve_connect(home: Path, account: Account, mechanism: str, *more: str) -> Run:
    """Do something with scripts; the commands are on lines that begin with >>>."""
    port = str(account.port)
    where = ["--server", SERVER, "--port", port, "--tlscafile", account.ca]
    who = ["--user", account.user, "--passwordfd", "0", "--authmech", mechanism]
    return run(home, ["sieve-connect", "--debug", *where, *who, *more], account.password)
