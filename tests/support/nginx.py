"""nginx as a mail proxy: what it asks of its authentication service is what we ask."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path

from support.dovecot import ordinary_account
from support.processes import HOST, end, free_port, is_listening, lacking, require, wait_until
from support.running import Running

START_SECONDS = 10
MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules")
LISTENERS = {
    "imap": "protocol imap; imap_auth plain login;",
    "pop3": "protocol pop3; pop3_auth plain;",
    "imaps": "protocol imap; ssl_certificate {home}/pem; ssl_certificate_key {home}/pem;",
}
CONFIGURATION = """
{load}
daemon off;
master_process off;
pid {home}/pid;
error_log {home}/log;
events {{
}}
mail {{
  auth_http http://{host}:{auth}{path};
  auth_http_header X-Auth-Key "a key";
  proxy_pass_error_message on;
{servers}
}}
"""


class Nginx(Running):
    """An nginx, while used as a context.

    Attributes:
        ports: where it listens, by the names of LISTENERS.
    """

    def __init__(self, auth: int, path: str, pem: bytes) -> None:
        """Prepare one.

        Args:
            auth: the port of its authentication service.
            path: of the service's URL.
            pem: its certificate and key.
        """
        self._auth, self._path, self._pem = auth, path, pem
        super().__init__()
        self.ports: dict[str, int] = {}

    def _start(self) -> None:
        program = require("nginx")
        home = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="nginx-")))
        self.ports = {name: self._stack.enter_context(free_port()) for name in LISTENERS}
        (home / "pem").write_bytes(self._pem)
        servers = [
            f"  server {{ listen {HOST}:{port}{' ssl' * (name == 'imaps')};"
            f" {LISTENERS[name].format(home=home)} }}"
            for name, port in self.ports.items()
        ]
        (home / "conf").write_text(
            CONFIGURATION.format(
                load=mail_module(program),
                home=home,
                host=HOST,
                auth=self._auth,
                path=self._path,
                servers="\n".join(servers),
            )
        )
        account = ordinary_account()
        for path in (home, *home.iterdir()):
            os.chown(path, account.uid, account.gid)
        is_root = os.geteuid() == 0
        with (home / "stderr").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(home / "conf"), "-p", str(home), "-e", str(home / "log")],
                stderr=log,
                start_new_session=True,
                user=account.uid if is_root else None,
                group=account.gid if is_root else None,
                extra_groups=[] if is_root else None,
            )
        self._stack.callback(end, self._process, signal.SIGTERM)

        def listens() -> bool:
            assert self._process.poll() is None, (home / "stderr").read_text()
            return all(is_listening(port) for port in self.ports.values())

        wait_until(listens, START_SECONDS, "nginx listens")


def mail_module(program: str) -> str:
    """What makes an nginx a mail proxy; nothing where it is one."""
    told = subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stderr
    if "--with-mail" in told and "--with-mail=dynamic" not in told:
        return ""
    for folder in MODULES:
        module = Path(folder) / "ngx_mail_module.so"
        if module.exists():
            return f"load_module {module};"
    return lacking("nginx has no mail module: install libnginx-mod-mail")
