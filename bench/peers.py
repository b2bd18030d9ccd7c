"""Who is compared: the proxies, how each is started, and the templates of their configuration.

Words in @ signs are replaced in commands and templates: see words().
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import HERE, HOST, OURS, ROOT
from bench.scenarios import Protocol, Tls

TEMPLATES = HERE / "peers"
WORKERS = 2
_WORD = re.compile(r"@(\w+)@")
_SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/bin"
_PERDITION_ARGUMENTS = (
    f"--no_daemon --no_lookup --protocol @perdition_protocol@ --outgoing_server {HOST} "
    f"--outgoing_port @backend_port@ --listen_port @port@ --bind_address {HOST} "
    "--connection_limit 0 --pid_file '' -F @log@/proxy.log @perdition_tls@"
)
_NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_mail_module.so")
# What is said differently with each kind of TLS.
_TLS_WORDS: dict[Tls, dict[str, str]] = {
    "none": {
        "perdition_tls": "",
        "nginx_ssl": "",
        "nginx_starttls": "off",
        "dovecot_ssl": "no",
        "dovecot_plain_port": "@port@",
        "dovecot_tls_port": "0",
        "haproxy_ssl": "",
    },
    "tls": {
        "perdition_tls": "--ssl_mode ssl_listen --ssl_cert_file @cert@ --ssl_key_file @key@",
        "nginx_ssl": "ssl",
        "nginx_starttls": "off",
        "dovecot_ssl": "yes",
        "dovecot_plain_port": "0",
        "dovecot_tls_port": "@port@",
        "haproxy_ssl": "ssl crt @pem@",
    },
    "starttls": {
        "perdition_tls": "--ssl_mode tls_listen --ssl_cert_file @cert@ --ssl_key_file @key@",
        "nginx_ssl": "",
        "nginx_starttls": "on",
        "dovecot_ssl": "yes",
        "dovecot_plain_port": "@port@",
        "dovecot_tls_port": "0",
        "haproxy_ssl": "",
    },
}


@dataclass(frozen=True, slots=True)
class Peer:
    """A proxy.

    Attributes:
        name: as in results and on the command line.
        title: in words.
        command: how it is started, in the foreground.
        template: of its configuration file, which is put beside the command's @dir@.
        package: Debian's; its version is told.
        lacks: kinds of TLS that it has not got.
    """

    name: str
    title: str
    command: str
    template: str = ""
    package: str = ""
    lacks: frozenset[Tls] = field(default_factory=frozenset)

    def program(self) -> str | None:
        """Where its program is, if it is installed."""
        name = shlex.split(self.command)[0]
        # This program may be installed under the original's name.
        return shutil.which(name, path=_SYSTEM_PATH) or shutil.which(name)

    def start_command(self, words: Mapping[str, str]) -> list[str]:
        """Write its configuration, and say how it is started."""
        if self.template:
            text = (TEMPLATES / self.template).read_text(encoding="utf-8")
            target = Path(words["dir"]) / self.template.removesuffix(".in")
            target.write_text(fill(text, words), encoding="utf-8")
        program, *arguments = shlex.split(fill(self.command, words))
        return [self.program() or program, *arguments]

    def version(self) -> str:
        """Its version, as Debian calls it."""
        if not self.package:
            return ""
        command = ["dpkg-query", "-W", "-f=${Version}", self.package]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return "unknown"


def this_program(name: str = OURS, checkout: Path = ROOT, python: str = sys.executable) -> Peer:
    """This program, of some checkout, run by some Python."""
    script = shlex.quote(str(checkout / "perdition.py"))
    command = f"{shlex.quote(python)} {script} {_PERDITION_ARGUMENTS} --workers @workers@"
    title = "this program" if checkout == ROOT else f"this program, {checkout}"
    return Peer(name, title, command)


OTHERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(
            "nginx",
            "nginx, mail module",
            "nginx -p @dir@ -e @log@/nginx.log -c @dir@/nginx.conf",
            "nginx.conf.in",
            "nginx-light",
        ),
        Peer(
            "dovecot",
            "Dovecot as a proxy",
            "dovecot -F -c @dir@/dovecot.conf",
            "dovecot.conf.in",
            "dovecot-core",
        ),
        Peer(
            "perdition",
            "the original, Perdition 2.2",
            f"perdition {_PERDITION_ARGUMENTS} --ssl_ca_file @cert@",
            package="perdition",
        ),
        Peer(
            "haproxy",
            "haproxy, TCP only",
            "haproxy -db -f @dir@/haproxy.cfg",
            "haproxy.cfg.in",
            "haproxy",
            frozenset({"starttls"}),
        ),
    )
}


def fill(text: str, words: Mapping[str, str]) -> str:
    """Replace @word@ by what it stands for, which may have words in it.

    Raises:
        KeyError: it stands for nothing.
    """
    while _WORD.search(text):
        text = _WORD.sub(lambda found: words[found[1]], text)
    return text


def words(
    protocol: Protocol, tls: Tls, ports: tuple[int, int, int], directory: Path, certificates: Path
) -> dict[str, str]:
    """What the words stand for.

    Args:
        protocol: of the client and the real server.
        tls: of the client's side.
        ports: to listen on, the real server's, and one to spare.
        directory: of this proxy; its subdirectory log may be written to by everybody.
        certificates: where cert.pem, key.pem and both.pem are.
    """
    port, backend_port, spare_port = map(str, ports)
    perdition = {"imap": "IMAP4", "pop3": "POP3"}[protocol] + ("S" if tls == "tls" else "")
    module = f"load_module {_NGINX_MODULE};" if _NGINX_MODULE.exists() else ""
    return {
        "port": port,
        "backend_port": backend_port,
        "spare_port": spare_port,
        "dir": str(directory),
        "log": str(directory / "log"),
        "cert": str(certificates / "cert.pem"),
        "key": str(certificates / "key.pem"),
        "pem": str(certificates / "both.pem"),
        "protocol": protocol,
        "perdition_protocol": perdition,
        "nginx_module": module,
        "workers": str(WORKERS),
        **_TLS_WORDS[tls],
    }
