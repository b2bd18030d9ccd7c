"""haproxy as a load balancer before us, which says in a PROXY header who its client is."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path

from support.dovecot import ordinary_account
from support.processes import HOST, end, free_port, is_listening, require, wait_until
from support.running import Running

START_SECONDS = 10
CONFIGURATION = """
defaults
  mode tcp
  timeout connect 30s
  timeout client 30s
  timeout server 30s
listen plain
  bind {host}:{plain}
  server one {host}:{to} {how}
listen tls
  bind {host}:{tls} ssl crt {home}/pem
  server one {host}:{to} {how}
"""


class Haproxy(Running):
    """A haproxy, while used as a context.

    Attributes:
        plain, tls: the ports where it listens without and with TLS.
    """

    def __init__(self, to: int, how: str, pem: bytes) -> None:
        """Prepare one.

        Args:
            to: the port that it goes to.
            how: "send-proxy", or what else there is of that kind.
            pem: its certificate and key.
        """
        self._to, self._how, self._pem = to, how, pem
        super().__init__()
        self.plain = self.tls = 0

    def _start(self) -> None:
        program = require("haproxy")
        home = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="haproxy-")))
        self.plain, self.tls = (self._stack.enter_context(free_port()) for _ in range(2))
        (home / "pem").write_bytes(self._pem)
        (home / "conf").write_text(
            CONFIGURATION.format(
                **{"host": HOST, "plain": self.plain, "tls": self.tls, "home": home},
                **{"to": self._to, "how": self._how},
            )
        )
        account = ordinary_account()
        for path in (home, *home.iterdir()):
            os.chown(path, account.uid, account.gid)
        is_root = os.geteuid() == 0
        with (home / "log").open("ab") as log:
            process = subprocess.Popen(
                [program, "-db", "-f", str(home / "conf")],
                # It goes back to where it was started, which may be in root's own folder.
                cwd=home,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=account.uid if is_root else None,
                group=account.gid if is_root else None,
                extra_groups=[] if is_root else None,
            )
        self._stack.callback(end, process, signal.SIGTERM)

        def listens() -> bool:
            assert process.poll() is None, (home / "log").read_text()
            return is_listening(self.plain) and is_listening(self.tls)

        wait_until(listens, START_SECONDS, "haproxy listens")
