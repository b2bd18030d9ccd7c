"""Debian's packages that the benchmark needs, and installing them."""

import os
import shutil
import subprocess
from pathlib import Path

# What shows that a package is there: a program, or a file.
REQUIRED = {
    "gcc": "gcc",
    "libc6-dev": "/usr/include/stdio.h",
    "libssl-dev": "/usr/include/openssl/ssl.h",
    "openssl": "openssl",
}
PEERS = {
    "perdition": "perdition",
    "nginx-light": "nginx",
    "libnginx-mod-mail": "/usr/lib/nginx/modules/ngx_mail_module.so",
    "dovecot-imapd": "/usr/lib/dovecot/imap",
    "dovecot-pop3d": "/usr/lib/dovecot/pop3",
    "haproxy": "haproxy",
}
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin"


def missing(packages: dict[str, str]) -> list[str]:
    """Those that are not there."""
    return [
        name
        for name, mark in packages.items()
        if not (Path(mark).exists() if mark.startswith("/") else shutil.which(mark, path=_PATH))
    ]


def install(names: list[str]) -> bool:
    """Install packages, if we are root and there is apt-get."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    print(
        f"Installing {' '.join(names)} (with apt-get, which may start their services)", flush=True
    )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", *names]):
        done = subprocess.run(
            ["apt-get", *command], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(f"apt-get {command[0]} failed: {done.stderr.strip()[-400:]}")
            return False
    return True


def provide() -> list[str]:
    """See to it that all packages are there.

    Returns:
        Those without which nothing can be measured, and that are not there.
    """
    wanted = missing({**REQUIRED, **PEERS})
    if wanted and not install(wanted):
        print(f"For all of it, install: apt-get install {' '.join(wanted)}", flush=True)
    return missing(REQUIRED)
