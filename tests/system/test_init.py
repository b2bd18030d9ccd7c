"""The init script, with its paths moved below a folder of the test."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.processes import (
    HOST,
    free_port,
    is_listening,
    is_running,
    lacking,
    open_to_all,
    wait_until,
)
from support.program import ROOT

SERVICES = {
    "POP3": "perdition.pop3",
    "POP3S": "perdition.pop3s",
    "IMAP4": "perdition.imap4",
    "IMAP4S": "perdition.imaps",
    "MANAGESIEVE": "perdition.managesieve",
}
WANTED = ("POP3", "MANAGESIEVE")
VERBS = "start|stop|restart|try-restart|reload|force-reload|status"
USAGE = f"Usage: /etc/init.d/perdition {{{VERBS}}}\n"


class Site:
    """A machine with our init script."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        if not Path("/lib/lsb/init-functions").exists():
            lacking("/lib/lsb/init-functions, of Debian's lsb-base, is not there")
        self.folder = folder
        self.ports = ports
        self.run = folder / "run"
        sbin = folder / "sbin"
        for each in (sbin, self.run, folder / "lib"):
            each.mkdir()
        for name in ("perdition", *SERVICES.values()):
            link = folder / "lib" / name
            link.symlink_to(ROOT / "perdition.py")
            program = sbin / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {link} "$@"\n')
            program.chmod(0o755)
        self.default = folder / "default"
        lines = ["RUN_PERDITION=yes", f'FLAGS="-f /dev/null -F {folder}/log -M= --drain_timeout 0"']
        for service, name in SERVICES.items():
            pid_file = self.pid_file(name)
            lines.append(f"{service}={'yes' if service in WANTED else 'no'}")
            lines.append(
                f'{service}_FLAGS="--pid_file {pid_file} -b {HOST}:{ports.get(service, 1)}"'
            )
        self.default.write_text("\n".join(lines) + "\n")
        script = (ROOT / "init/perdition").read_text()
        for old, new in {
            "DAEMON=/usr/sbin/perdition": f"DAEMON={sbin}/perdition",
            "SBIN=/usr/sbin": f"SBIN={sbin}",
            "RUN=/var/run": f"RUN={self.run}",
            "/etc/default/perdition": str(self.default),
            "/lib/init/vars.sh": str(folder / "vars.sh"),
        }.items():
            assert old in script
            script = script.replace(old, new)
        self.script = folder / "perdition"
        self.script.write_text(script)

    def pid_file(self, name: str) -> Path:
        return self.run / name / f"{name}.pid"

    def pid(self, service: str) -> int:
        return int(self.pid_file(SERVICES[service]).read_text())

    def do(self, verb: str, status: int = 0, **environment: str) -> str:
        """Call the script; what it says."""
        done = subprocess.run(
            ["/bin/sh", self.script, verb],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == status, (done.stdout, done.stderr)
        assert done.stderr == ""
        return done.stdout

    def serves(self, service: str) -> bool:
        return is_listening(self.ports[service])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        ports = {service: stack.enter_context(free_port()) for service in WANTED}
        made = Site(tmp_path, ports)
        try:
            yield made
        finally:
            made.do("stop")


def test_it_starts_what_is_wanted_and_stops_it(site: Site) -> None:
    site.do("start")
    assert all(site.serves(service) for service in WANTED)
    assert len(list(site.run.iterdir())) == len(WANTED)
    first = site.pid("POP3")
    # A second start leaves what runs alone.
    site.do("start")
    assert site.pid("POP3") == first
    site.do("stop")
    assert not any(site.serves(service) for service in WANTED)
    assert not is_running(first)
    site.do("stop")


def test_restart_is_another_daemon_and_reload_is_not(site: Site) -> None:
    site.do("restart")
    first = site.pid("POP3")
    log = site.folder / "log"
    # One signal more while one waits is none.
    for verb, count in ("reload", 2), ("force-reload", 4):
        site.do(verb)
        wait_until(
            lambda count=count: log.read_text().count("Reopened logger") == count,  # type: ignore[misc]
            60,
            f"both have reloaded: {verb}",
        )
    assert site.pid("POP3") == first
    site.do("restart")
    assert site.pid("POP3") != first
    assert site.serves("POP3")


def test_try_restart_starts_only_what_runs(site: Site) -> None:
    assert site.do("try-restart") == ""
    assert not any(site.serves(service) for service in WANTED)
    site.do("start")
    first, other = site.pid("POP3"), site.pid("MANAGESIEVE")
    os.kill(other, signal.SIGTERM)
    wait_until(lambda: not is_running(other), 20, "one of them has ended")
    site.do("try-restart")
    assert site.pid("POP3") != first
    assert site.serves("POP3")
    assert not site.serves("MANAGESIEVE")


def test_status_tells_and_its_own_status_too(site: Site) -> None:
    name = SERVICES["POP3"]
    assert f"{name} is not running\n" in site.do("status", status=3)
    site.do("start")
    assert f"{name} is running, pid {site.pid('POP3')}\n" in site.do("status")
    site.do("stop")
    file = site.pid_file(name)
    file.parent.mkdir(exist_ok=True)
    file.write_text("1")
    assert f"{name} is not running, but there is {file}\n" in site.do("status", status=1)


def test_status_is_not_known_to_who_may_not_look(site: Site) -> None:
    if os.geteuid() != 0:
        lacking("only root can be somebody else")
    open_to_all(site.folder)
    site.do("start")
    name = SERVICES["POP3"]
    folder = site.run / name
    told = f"{name} may be running: {folder} is for root to look into\n"
    for mode in (0o750, 0o755):
        # The file in it is not for everybody either.
        folder.chmod(mode)
        done = subprocess.run(
            ["/bin/sh", site.script, "status"],
            cwd="/",
            user="daemon",
            group="daemon",
            extra_groups=(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (4, "")
        assert told in done.stdout


@pytest.mark.parametrize("text", ["", "1", "nonsense", "99999999", "ours"])
def test_a_pid_file_of_others_harms_nobody(site: Site, text: str) -> None:
    file = site.pid_file(SERVICES["POP3"])
    file.parent.mkdir()
    file.write_text(text.replace("ours", str(os.getpid())))
    # Neither is somebody else's process ended, nor told to reload.
    site.do("stop")
    site.do("reload")
    site.do("start")
    assert site.serves("POP3")
    assert site.pid("POP3") != os.getpid()


def test_what_does_not_start_is_said(site: Site) -> None:
    text = site.default.read_text()
    site.default.write_text(text.replace('POP3_FLAGS="', 'POP3_FLAGS="--ssl_mode nonsense ', 1))
    (site.folder / "vars.sh").write_text("VERBOSE=yes\n")
    done = subprocess.run(
        ["/bin/sh", site.script, "start"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0
    assert re.search(r"Starting Perdition POP3 server.*failed", done.stdout, re.DOTALL)
    assert "nonsense" in done.stderr
    assert site.serves("MANAGESIEVE")


def test_nothing_is_done_unless_it_is_wanted(site: Site) -> None:
    site.default.write_text(site.default.read_text().replace("RUN_PERDITION=yes", ""))
    assert site.do("start") == ""
    assert not any(site.serves(service) for service in WANTED)
    assert site.do("nonsense") == ""


@pytest.mark.parametrize(
    ("old", "new", "environment"),
    [
        ("POP3=yes", "POP3=", {}),
        ("POP3=yes", "", {}),
        ("RUN_PERDITION=yes", "", {"RUN_PERDITION": "yes"}),
        ("POP3=yes", "POP3=yes\nset -e", {}),
        ("-f /dev/null", "-f $(dirname $DAEMON)/../$NAME.conf", {}),
        ("POP3=yes", "POP3=yes\nRUN=yes SBIN=/nowhere SCRIPT=another ONLY=yes", {}),
    ],
)
def test_the_sites_file_means_what_it_meant(
    site: Site, old: str, new: str, environment: dict[str, str]
) -> None:
    (site.folder / "perdition.conf").touch()
    text = site.default.read_text()
    site.default.write_text(re.sub(f"^{old}$" if "=" in old else old, new, text, flags=re.M))
    site.do("start", **environment)
    assert all(site.serves(service) for service in WANTED)
    site.do("stop", **environment)
    assert not any(site.serves(service) for service in WANTED)


def test_other_words_are_not_known(site: Site) -> None:
    assert site.do("nonsense", status=1) == USAGE
