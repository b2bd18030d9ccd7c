"""Debian machines with Perdition 2.2, as many as wanted, that are a folder and a few processes.

What is done to one is gone with it: its files lie over those of a base that nobody writes to, in
namespaces of their own. For that one has to be root. The network is ours, so that tests can connect.
"""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from support.processes import END_SECONDS, children, end, lacking, require, wait_until
from support.running import Running

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
# What has the original, and what ours depends on.
INCLUDED = (
    *(
        "perdition",
        "perdition-ldap",
        "make",
        "netbase",
        "python3",
        "python3-bsddb3",
        "python3-configobj",
    ),
    *("python3-daemon", "python3-ldap", "python3-setproctitle", "python3-tqdm"),
)
# Where a machine has the original's packages, to install them again.
ORIGINALS = "/var/cache/perdition"
FETCH = (
    f'mkdir "$1{ORIGINALS}" && cd "$1{ORIGINALS}" && '
    'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get download perdition'
)
INSTALL_SECONDS = 600
COMMAND_SECONDS = 300
NAMESPACES = ("--mount", "--pid", "--fork", "--kill-child")
# Whoever has no parent any more becomes a child of sleep, which forgets those that end.
BOOT = """
set -e
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/merged"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/merged"
mount -t proc proc "$2/merged/proc"
exec env --ignore-signal=CHLD chroot "$2/merged" sleep infinity
"""
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    "DEBIAN_FRONTEND": "noninteractive",
}


def require_machines() -> None:
    """Skip the test where no machine can be made, or fail in CI."""
    if os.geteuid() != 0:
        lacking("a Debian of its own needs root")
    for program in ("mmdebstrap", "nsenter"):
        require(program)
    with tempfile.TemporaryDirectory() as folder:
        allowed = subprocess.run(
            [require("unshare"), *NAMESPACES, "mount", "-t", "tmpfs", "tmpfs", folder],
            capture_output=True,
            check=False,
        )
    if allowed.returncode:
        lacking(f"no namespaces: {allowed.stderr.decode()}")


def install_base(folder: Path) -> None:
    """Install Debian with the original into a folder."""
    done = subprocess.run(
        [
            *(require("mmdebstrap"), "--mode=root", "--variant=essential"),
            *("--dpkgopt=force-unsafe-io", f"--include={','.join(INCLUDED)}"),
            f"--customize-hook={FETCH}",
            *(SUITE, str(folder), MIRROR),
        ],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode:
        lacking(f"Debian cannot be installed: {done.stdout[-2000:]}{done.stderr}")


class Machine(Running):
    """A machine, while used as a context.

    It has no init: scripts are told that this is runlevel 2, and that they may start daemons.
    """

    def __init__(self, base: Path) -> None:
        """Prepare it.

        Args:
            base: what `install_base` has made.
        """
        self._base = base
        super().__init__()
        self._log: queue.SimpleQueue[str] = queue.SimpleQueue()

    def _start(self) -> None:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="machine-"))
        process = subprocess.Popen(
            [require("unshare"), *NAMESPACES, "sh", "-c", BOOT, "sh", str(self._base), folder],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stderr is not None
        self._stack.enter_context(process.stderr)
        self._stack.callback(end, process, signal.SIGKILL)

        def is_up() -> bool:
            if process.poll() is not None:
                assert process.stderr is not None
                lacking(f"no machine: {process.stderr.read().decode()}")
            found = children(process.pid)
            self._pid = found[0] if found else 0
            return bool(found) and self.path("/etc/perdition").exists() and self._is_its_own()

        wait_until(is_up, END_SECONDS * 6, "the machine is up")
        log = self._stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        log.bind(str(self.path("/dev/log")))
        self.path("/dev/log").chmod(0o666)
        reader = threading.Thread(target=self._read_log, args=(log,))
        reader.start()
        self._stack.callback(reader.join)
        self._stack.callback(log.shutdown, socket.SHUT_RD)
        self.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", 0o755)
        self.write("/sbin/runlevel", "#!/bin/sh\necho N 2\n", 0o755)

    def _is_its_own(self) -> bool:
        """Whether its first process has arrived in its root, and what it starts would as well."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self._pid}/comm").read_text() == "sleep\n"
        return False

    def path(self, name: str) -> Path:
        """Where a file of the machine, of that absolute name, is for us."""
        return Path(f"/proc/{self._pid}/root{name}")

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Give it a file."""
        path = self.path(name)
        path.write_text(text)
        path.chmod(mode)

    def run(self, *command: str, status: int = 0) -> str:
        """Run a command in it, as root; what it says.

        Args:
            command: the program and its arguments.
            status: with which it has to end.
        """
        done = subprocess.run(
            [
                *(require("nsenter"), "--target", str(self._pid), "--mount", "--pid", "--root"),
                *("--wd", *command),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == status, f"{command} ended with {done.returncode}: {done.stdout}"
        return done.stdout

    def _read_log(self, log: socket.socket) -> None:
        """Take what is logged at once, as a syslog does: who logs would wait for it."""
        while line := log.recv(65536):
            self._log.put(line.decode())

    def logged(self) -> list[str]:
        """What syslog has been told since this was asked last, in its raw form, a line each."""
        lines = []
        with contextlib.suppress(queue.Empty):
            while True:
                lines.append(self._log.get_nowait())
        return lines
