"""Under systemd: its units, and what it gives to a service and hears of it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perdition.config.options import Options
from perdition.server.master import drain_limit
from perdition.server.systemd import Manager
from support.processes import END_SECONDS, HOST, end, free_port, is_listening, require, wait_until
from support.program import ROOT, START_SECONDS
from support.scripted import read_line

UNITS = ROOT / "init/systemd"
# Less is better: 10 is no protection at all.
MOST_EXPOSED = 3.0
# Becomes a program that is given a descriptor as systemd does it.
GIVE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def units(folder: Path, instance: str) -> list[str]:
    """Copies of the units for an instance, whose program is there."""
    copied = folder / "units"
    shutil.copytree(UNITS, copied)
    program = folder / "perdition"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = []
    for kind in ("service", "socket"):
        unit = copied / f"perdition@{instance}.{kind}"
        text = (copied / f"perdition@.{kind}").read_text()
        unit.write_text(text.replace(f"/usr/sbin/perdition.{'%i'}", str(program)))
        found.append(str(unit))
    return found


def test_the_units_are_good(tmp_path: Path) -> None:
    analyze = require("systemd-analyze")
    for instance in ("imap4", "pop3s"):
        folder = tmp_path / instance
        folder.mkdir()
        done = subprocess.run(
            [analyze, "verify", "--man=no", *units(folder, instance)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_is_shut_in(tmp_path: Path) -> None:
    service = units(tmp_path, "imap4")[0]
    done = subprocess.run(
        [require("systemd-analyze"), "security", "--offline=true", "--no-pager", service],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) <= MOST_EXPOSED


def program(name: str, *options: str) -> list[str]:
    return [sys.executable, str(ROOT / "perdition.py"), "-f", "", "-P", name, "-M", "", *options]


@contextmanager
def started(
    command: list[str], environment: dict[str, str], log: Path, files: tuple[int, ...] = ()
) -> Iterator[int]:
    """Run a program, with these open files; its number."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | environment,
            start_new_session=True,
            pass_fds=files,
        )
    try:
        yield process.pid
    finally:
        end(process, signal.SIGINT)


def test_systemd_hears_when_it_serves_reloads_and_ends(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, free_port() as port:
        # As of an instance of a unit.
        address = tmp_path / "notify@1"
        manager.bind(str(address))
        manager.settimeout(START_SECONDS)
        command = program(
            "POP3", "--no_daemon", "--pid_file", "", "-b", f"{HOST}:{port}", "-F", "-"
        )
        told = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "200000"}
        with started(command, told, tmp_path / "log") as pid:
            assert manager.recv(100) == b"READY=1"
            assert is_listening(port)
            # Twice: it is not for once that it is watched.
            assert manager.recv(100) == manager.recv(100) == b"WATCHDOG=1"
            os.kill(pid, signal.SIGHUP)
            heard = [manager.recv(100)]
            while heard[-1] != b"READY=1":
                heard.append(manager.recv(100))
            assert re.match(
                rb"RELOADING=1\nMONOTONIC_USEC=\d+$",
                next(each for each in heard if each != b"WATCHDOG=1"),
            )
            os.kill(pid, signal.SIGTERM)
            while (last := manager.recv(100)) == b"WATCHDOG=1":
                pass
            assert last == b"STOPPING=1"


def test_a_socket_of_systemds_is_listened_on(tmp_path: Path) -> None:
    with free_port() as port:
        command = [
            *(require("systemd-socket-activate"), "-l", f"{HOST}:{port}"),
            *program("POP3", "--no_daemon", "--pid_file", "", "-F", "-", "-b", f"{HOST}:1"),
        ]
        with started(command, {}, tmp_path / "log"):
            wait_until(lambda: is_listening(port), START_SECONDS, "somebody listens")
            for _ in range(3):
                with socket.create_connection((HOST, port), START_SECONDS) as sock:
                    assert read_line(sock).startswith(b"+OK POP3")


def test_a_socket_of_systemds_outlives_the_program(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as theirs:
        # What systemd does: descriptor 3, and the number of the process that it is for.
        given = f'exec 3<&{theirs.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        command = [
            *(require("bash"), "-c", given, "bash"),
            *program("POP3", "--no_daemon", "--pid_file", "", "-F", "-", "-b", f"{HOST}:1"),
        ]
        for _ in range(2):
            with (
                started(command, {}, tmp_path / "log", (theirs.fileno(),)),
                socket.create_connection(theirs.getsockname(), START_SECONDS) as sock,
            ):
                assert read_line(sock).startswith(b"+OK POP3")
        # It waits for the next one.
        socket.create_connection(theirs.getsockname(), START_SECONDS).close()


@pytest.mark.parametrize("given", ["3</dev/null", "3<&-"])
def test_what_is_no_socket_of_systemds_is_said_in_a_line(given: str, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    done = subprocess.run(
        [
            *(require("bash"), "-c", f'exec {given}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', "bash"),
            *program("POP3", "--no_daemon", "--pid_file", str(pid_file), "-F", "-"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    assert done.returncode == 255
    (line,) = done.stderr.splitlines()
    assert ": descriptor 3 of the service manager: " in line
    assert not pid_file.exists()


def test_a_connection_of_systemds_is_served(tmp_path: Path) -> None:
    with free_port() as port:
        command = [
            *(require("systemd-socket-activate"), "-l", f"{HOST}:{port}", "--accept", "--inetd"),
            *program("POP3", "--inetd_mode", "-F", str(tmp_path / "log")),
        ]
        with started(command, {}, tmp_path / "output"):
            wait_until(lambda: is_listening(port), START_SECONDS, "somebody listens")
            for _ in range(2):
                with socket.create_connection((HOST, port), START_SECONDS) as sock:
                    ours = sock.getsockname()
                    assert read_line(sock).startswith(b"+OK POP3")
                    sock.sendall(b"QUIT\r\n")
                    assert read_line(sock) == b"+OK QUIT\r\n"
            line = f"Connect:  {HOST}:{ours[1]}->{HOST}:{port} inetd_pid="
            wait_until(lambda: line in (tmp_path / "log").read_text(), END_SECONDS, line)


@pytest.mark.parametrize("kind", ["connection", "unix"])
def test_what_is_no_listener_ends_the_start_with_the_reason(tmp_path: Path, kind: str) -> None:
    command = program("POP3", "--no_daemon", "--pid_file", "", "-F", "-")
    listener = socket.create_server((HOST, 0))
    if kind == "unix":
        listener.close()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
    with listener, socket.socket() as client:
        given = listener
        if kind == "connection":
            client.connect(listener.getsockname())
            given = listener.accept()[0]
        with given:
            done = subprocess.run(
                [sys.executable, "-c", GIVE, str(given.fileno()), *command],
                pass_fds=(given.fileno(),),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
    assert done.returncode == 255
    assert "descriptor 3 of the service manager: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "is_managed", "expected"),
    [
        (Options(), False, None),
        (Options(no_daemon=True), False, 10),
        (Options(no_daemon=True), True, None),
        (Options(no_daemon=True, drain_timeout=0), True, 0),
        (Options(drain_timeout=7), False, 7),
    ],
    ids=["daemon", "foreground", "unit", "unit with a limit", "daemon with a limit"],
)
def test_sessions_outlive_a_unit_as_they_do_a_daemon(
    options: Options, is_managed: bool, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only at a terminal, and in a container, somebody waits for their end."""
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody" if is_managed else "")
    assert drain_limit(options, Manager()) == expected


@pytest.mark.parametrize("told", ["\N{SUPERSCRIPT TWO}", "9" * 5000, "soon"])
def test_what_a_manager_cannot_mean_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    monkeypatch.setenv("WATCHDOG_USEC", told)
    assert Manager().tick is None
