"""A network of its own with a NIS server and a client that is bound to it.

The ports and files of NIS are the same everywhere: so all of it, the module under test included,
runs in namespaces where nobody else is. For that one has to be root.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import perdition
from support.processes import end, lacking, require
from support.running import Running

INSIDE = Path(__file__).with_name("nis_inside.py")
PROGRAMS = {"rpcbind": "rpcbind", "ypserv": "ypserv", "ypbind": "ypbind", "mount": "mount"}
MAKEDBM = "/usr/lib/yp/makedbm"
NAMESPACES = ("--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child")


class Outcome(Exception):
    """The map was out of order; the text is its message."""


class NisNetwork(Running):
    """The network, while used as a context. What can be asked of it is in `nis_inside`."""

    def __init__(self, domain: str = "", entries: bytes = b"") -> None:
        """Prepare it.

        Args:
            domain: the machine's; empty for none, and then nothing runs there.
            entries: a line ``key value`` each, for the map user_mail_server.
        """
        self._domain, self._entries = domain, entries
        super().__init__()

    def _start(self) -> None:
        if os.geteuid() != 0:
            lacking("NIS needs a network of its own, and that root")
        unshare = require("unshare")
        paths = {name: require(program) for name, program in PROGRAMS.items()}
        if not Path(MAKEDBM).exists():
            lacking(f"{MAKEDBM} is not there")
        allowed = subprocess.run([unshare, *NAMESPACES, "true"], capture_output=True, check=False)
        if allowed.returncode:
            lacking(f"no namespaces: {allowed.stderr.decode()}")
        library = Path(perdition.__file__).parents[1]
        self._process = subprocess.Popen(
            [unshare, *NAMESPACES, sys.executable, str(INSIDE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": f"{library}:{INSIDE.parents[1]}"},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stack.enter_context(self._process.stdin)
        self._stack.enter_context(self._process.stdout)
        self._stack.callback(end, self._process, signal.SIGKILL)
        self._ask(
            "start",
            domain=self._domain,
            entries=self._entries.hex(),
            programs={**paths, "makedbm": MAKEDBM},
        )

    def _ask(self, what: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, arguments]).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the network has ended"
        status, value = json.loads(line)
        if status == "failed":
            raise Outcome(value)
        assert status == "done", value
        return value

    def lookup(self, key: bytes, **settings: Any) -> bytes | None:
        """What the map has for a key.

        Args:
            key: what is looked up.
            settings: see `nis_inside`.

        Raises:
            Outcome: it is out of order.
        """
        value = self._ask("lookup", key=key.hex(), **settings)
        return None if value is None else bytes.fromhex(value)

    def lookup_often(self, threads: int, each: int, pairs: dict[bytes, bytes | None]) -> list[str]:
        """Look keys up in several threads at the same time.

        Returns:
            What was wrong.
        """
        shown = {key.hex(): value and value.hex() for key, value in pairs.items()}
        wrong: list[str] = self._ask("lookup_often", threads=threads, each=each, pairs=shown)
        return wrong

    def kill(self, program: str, number: int) -> None:
        """Send one of the servers a signal."""
        self._ask("kill", program=program, number=number)

    def run(self, program: str) -> None:
        """Start one of the servers, and wait until it serves."""
        self._ask("run", program=program)
