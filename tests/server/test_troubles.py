"""What must not end the program, and what must end it with a status that says so."""

import contextlib
import fcntl
import os
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdition.logs import INFO, Log
from perdition.server.children import MOST_STILLBORN, Children
from perdition.server.detaching import Launcher
from perdition.server.logins import FIRST_THREADS
from server.conftest import ROOT, Client, Program, Start, free_port, is_running, wait_until
from server.test_processes import closing
from support.processes import NOBODY, as_root, have_no_threads, require

CRASHES = (
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGILL,
    signal.SIGFPE,
    signal.SIGTRAP,
)
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGALRM, signal.SIGVTALRM)


@pytest.mark.parametrize("number", CRASHES, ids=lambda number: number.name)
def test_a_crash_gives_a_status_that_is_not_0(start: Start, number: signal.Signals) -> None:
    program = start("--workers", "1")
    ready(program)
    program.kill(number)
    assert program.process.wait(60) != 0
    assert "Exiting on signal" not in program.log()


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
def test_a_signal_to_end_gives_status_0(start: Start, number: signal.Signals) -> None:
    program = start("--workers", "1")
    ready(program)
    program.kill(number)
    assert program.process.wait(60) == 0
    assert f"Exiting on signal {number.value}\n" in program.log()
    assert not program.pid_path.exists()


@pytest.mark.parametrize(
    "number",
    [signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGURG, signal.SIGPIPE],
    ids=lambda number: number.name,
)
def test_a_signal_that_means_nothing_ends_nothing(start: Start, number: signal.Signals) -> None:
    program = start("--workers", "1")
    client = program.logged_in()
    with closing(client):
        (worker,) = program.workers()
        program.kill(number)
        os.kill(worker, number)
        assert client.works()
        with closing(program.logged_in()):
            pass
        assert program.workers() == [worker]


@contextlib.contextmanager
def without_descriptors(pid: int, limit: int = 3) -> Iterator[None]:
    """Let a process open nothing: only the numbers below that are allowed.

    Those of the standard streams are in use.
    """
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def ready(program: Program) -> int:
    """Wait until the program serves, and give its worker."""
    with closing(program.logged_in()):
        (worker,) = program.workers()
        return worker


def test_a_worker_without_descriptors_goes_on_when_there_are_some_again(start: Start) -> None:
    program = start("--workers", "1")
    client = program.logged_in()
    with closing(client):
        (worker,) = program.workers()
        with contextlib.ExitStack() as stack:
            with without_descriptors(worker):
                # Threads that wait in accept() already have a descriptor for what comes.
                waiting = [
                    stack.enter_context(socket.create_connection(("127.0.0.1", program.port), 10))
                    for _ in range(2 * FIRST_THREADS)
                ]
                program.wait_log("accept: Too many open files")
                assert client.works()
            assert all(each.recv(3) == b"+OK" for each in waiting)
        with closing(program.logged_in()):
            assert client.works()
        assert program.workers() == [worker]


def test_a_login_without_a_descriptor_for_the_real_server_fails_and_may_be_repeated(
    start: Start,
) -> None:
    program = start("--workers", "1")
    worker = ready(program)
    client = program.connect()
    with closing(client):
        with without_descriptors(worker):
            client.ask("USER ann")
            answer = client.ask("PASS sesame")
            assert answer == b"-ERR [SYS/TEMP] failed: Could not connect to server\r\n"
        client.log_in()


def test_sessions_of_a_worker_without_descriptors_go_on_after_hup(start: Start) -> None:
    program = start("--workers", "1")
    worker = ready(program)
    client = program.logged_in()
    numbers = {int(each.name) for each in Path(f"/proc/{worker}/fd").iterdir()}
    with closing(client), without_descriptors(worker, max(numbers) + 1):
        program.kill(signal.SIGHUP)

        def another_serves() -> bool:
            with closing(other := program.connect()):
                other.ask("USER ann")
                return other.ask("PASS sesame") == b"+OK You are so in\r\n"

        wait_until(another_serves, "another worker serves")
        assert client.works()
        assert worker in program.workers()


def test_a_master_that_cannot_start_a_worker_tries_it_again(start: Start) -> None:
    program = start("--workers", "1")
    worker = ready(program)
    with without_descriptors(program.pid):
        os.kill(worker, signal.SIGKILL)
        program.wait_log("Worker 0 cannot be started: Too many open files", 7)
    with closing(program.logged_in()):
        pass
    program.kill(signal.SIGTERM)
    assert program.process.wait(60) == 0


def test_nobody_waits_for_a_log_that_is_not_read(start: Start) -> None:
    program = start()
    port = free_port()
    command = [*program.command, "-F", "-", "-b", f"127.0.0.1:{port}", "--pid_file", ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        # The smallest pipe there is.
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        wait_until(lambda: serves(port), "it serves")
        client = Client(port)
        client.log_in()
        with closing(client):
            for _ in range(100):
                with closing(Client(port)):
                    pass
            assert client.works()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert b"Connect: " in process.stdout.read()


def serves(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_daemon_needs_no_standard_streams(start: Start, closed: str, tmp_path: Path) -> None:
    program = start()
    port, pid_path = free_port(), tmp_path / "daemon" / "pid"
    command = [each for each in program.command if each != "--no_daemon"]
    command += ["-b", f"127.0.0.1:{port}", "--pid_file", str(pid_path)]
    done = subprocess.run(["sh", "-c", f"{shlex.join(command)} {closed}"], check=False)
    assert done.returncode == 0
    pid = int(pid_path.read_text())
    with closing(client := Client(port)):
        client.log_in()
    os.kill(pid, signal.SIGINT)
    wait_until(lambda: not is_running(pid), "it has ended")


def status_of(pid: int) -> dict[str, list[str]]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.split() for key, _colon, value in (line.partition(":") for line in lines)}


@as_root
def test_workers_have_nothing_of_who_started_them(start: Start) -> None:
    program = start("--workers", "1", "-u", str(NOBODY), "-g", str(NOBODY))
    worker = ready(program)
    with closing(program.logged_in()):
        status = status_of(worker)
        assert status["Uid"] == status["Gid"] == [str(NOBODY)] * 4
        assert set(status["Groups"]) <= {str(NOBODY)}
        assert status["CapEff"] == status["CapPrm"] == ["0" * 16]


@as_root
@pytest.mark.parametrize("daemon", [False, True], ids=["foreground", "daemon"])
def test_a_master_whose_workers_do_not_start_ends_in_order(
    start: Start, tmp_path: Path, daemon: bool
) -> None:
    log_path, pid_path = tmp_path / "lone log", tmp_path / "lone" / "pid"
    command = [*start().command, "-u", str(NOBODY), "-g", str(NOBODY), "-b", "127.0.0.1:0"]
    command += ["-F", str(log_path), "--pid_file", str(pid_path), "--workers", "1"]
    if daemon:
        command.remove("--no_daemon")
    done = subprocess.run(
        command, preexec_fn=have_no_threads, stderr=subprocess.PIPE, check=False, timeout=60
    )
    assert done.returncode == 255
    assert done.stderr.endswith(b" ended before it could serve: see the log\n") == daemon
    log = log_path.read_text()
    assert log.count("Worker 0: can't start new thread: allow the user") == 5
    assert log.endswith("Workers do not start. Exiting.\n")
    assert pid_path.parent.is_dir()
    assert not pid_path.exists()


@as_root
@pytest.mark.parametrize("capability", ["setuid", "setgid"])
@pytest.mark.parametrize("option", ["--quiet", "--check_config", "--lookup=ann"])
def test_who_may_not_become_the_user_does_not_start(
    start: Start, tmp_path: Path, capability: str, option: str
) -> None:
    log_path = tmp_path / "lone log"
    command = [*start().command, "-u", str(NOBODY), "-g", str(NOBODY), "-b", "127.0.0.1:0"]
    command += ["-F", str(log_path), "--pid_file", str(tmp_path / "lone pid"), option]
    command.remove("--no_daemon")
    without = [require("setpriv"), "--bounding-set", f"-{capability}"]
    done = subprocess.run([*without, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 255
    assert re.search(
        rf": user {NOBODY} and group {NOBODY}: Operation not permitted: root needs CAP",
        done.stderr,
    )
    if option == "--quiet":
        assert "Fatal error setting group and userid. Exiting.\n" in log_path.read_text()


@as_root
@pytest.mark.parametrize("daemon", [False, True], ids=["foreground", "daemon"])
def test_workers_log_into_a_file_that_they_may_not_open(
    start: Start, tmp_path: Path, daemon: bool
) -> None:
    directory = tmp_path / "private"
    directory.mkdir(mode=0o700)
    program = start("--workers", "1", "-u", str(NOBODY), "-g", str(NOBODY))
    log_path, pid_path = directory / "log", tmp_path / "pid"
    command = [*program.command, "-u", str(NOBODY), "-g", str(NOBODY), "-F", str(log_path)]
    command += ["--pid_file", str(pid_path), "--workers", "1"]
    program.process.send_signal(signal.SIGINT)
    program.process.wait(60)
    if daemon:
        command.remove("--no_daemon")
        subprocess.run(command, check=True, capture_output=True)
    else:
        program.process = subprocess.Popen(command, start_new_session=True)
    wait_until(lambda: pid_path.exists() and pid_path.read_text().strip(), "a pid file")
    program.pid = int(pid_path.read_text())
    program.log_path = log_path
    wait_until(lambda: greets(program.port), "the program listens")
    try:
        with closing(program.logged_in()):
            program.wait_log('status="ok"')
        log_path.rename(directory / "log.1")
        program.kill(signal.SIGHUP)
        wait_until(log_path.exists, "a new log")
        program.wait_log("Reloading map library")

        def logs_there() -> bool:
            # The worker of before has the new file a moment after the master.
            program.logged_in().close()
            return 'status="ok"' in program.log()

        wait_until(logs_there, "log-ins in the new log")
    finally:
        os.kill(program.pid, signal.SIGINT)


def greets(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 10).close()
    except ConnectionRefusedError:
        return False
    return True


def test_detaching_closes_what_is_open_and_does_not_try_every_number() -> None:
    # As if the limit were the highest there is: one by one that would take minutes.
    program = """
import os, daemon.daemon
read, write = os.pipe()
daemon.daemon._total_file_descriptor_range = range(0, 2**31 - 1)
daemon.daemon.close_all_open_files(exclude={0, 1, 2})
try:
    os.write(write, b"")
except OSError:
    print("closed")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "closed\n"


@pytest.mark.parametrize("word", ["--help", "--version", "--check_config"])
def test_a_full_disk_is_said_in_a_line(word: str) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - it is no path of ours
        done = subprocess.run(
            [sys.executable, ROOT / "perdition.py", "-f", "", "-M", "", word],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 255
    assert done.stderr == "perdition: standard output: No space left on device\n"


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_is_printed(tmp_path: Path, word: str) -> None:
    done = run(tmp_path, word)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--tcp_keepalive" in done.stdout


def test_a_wrong_option_is_answered_with_the_usage_text(tmp_path: Path) -> None:
    done = run(tmp_path, "--frobnicate")
    assert (done.returncode, done.stdout) == (255, "")
    assert "options: --frobnicate: unknown option" in done.stderr
    assert "--tcp_keepalive" in done.stderr


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "perdition.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        timeout=60,
    )


FAULTY = """
import sys
from pathlib import Path

from perdition import cli
from perdition.relay.loop import Relay

keep_time = Relay._keep_time


def fail(relay, now):
    flag = Path(sys.argv[1])
    if flag.exists():
        flag.unlink()
        raise RuntimeError("a fault of ours")
    return keep_time(relay, now)


Relay._keep_time = fail
sys.exit(cli.main(["perdition", *sys.argv[2:]]))
"""


def test_a_worker_whose_relay_fails_is_replaced(start: Start, tmp_path: Path) -> None:
    """Else it would go on to log clients in, and leave them alone then."""
    program = start()
    program.process.send_signal(signal.SIGINT)
    program.process.wait(60)
    flag = tmp_path / "flag"
    command = [sys.executable, "-c", FAULTY, str(flag), *program.command[2:], "--workers", "1"]
    program.process = subprocess.Popen(command, start_new_session=True)
    program.pid = program.process.pid
    wait_until(program.listens, "the program listens")
    client = program.logged_in()
    with closing(client):
        failed = program.worker_of(client)
        flag.touch()
        program.wait_log("Bug: RuntimeError: ")
        program.wait_log("Worker 0: its relay has failed")
        wait_until(lambda: not is_running(failed), "the worker has ended")
        with contextlib.suppress(OSError):
            assert client.sock.recv(1) == b""
    wait_until(lambda: greets(program.port), "another one serves")
    program.logged_in().close()


LACKING = """
import errno
import os
import sys
from pathlib import Path

from perdition import cli
from perdition.server.logins import LoginThreads

flag, what = Path(sys.argv[1]), sys.argv[2]
fork, prepare = os.fork, LoginThreads.prepare


def no_fork():
    if flag.exists():
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fork()


if what == "processes":
    os.fork = no_fork
else:
    LoginThreads.prepare = lambda threads: not flag.exists() and prepare(threads)
sys.exit(cli.main(["perdition", *sys.argv[3:]]))
"""


@pytest.mark.parametrize(
    ("what", "told"),
    [("processes", "Worker 0 cannot be started: "), ("threads", "Worker 0: no thread for log-ins")],
)
def test_a_worker_leaves_when_its_follower_serves(
    start: Start, tmp_path: Path, what: str, told: str
) -> None:
    """Else nobody would serve, where the system has no place for one more."""
    popmap = tmp_path / "popmap.re"
    popmap.write_text("^nobody$: nowhere\n")
    program = start()
    program.process.send_signal(signal.SIGINT)
    program.process.wait(60)
    flag = tmp_path / "flag"
    command = [sys.executable, "-c", LACKING, str(flag), what, *program.command[2:]]
    command += ["--workers", "1", "-M", "posix_regex", "-m", str(popmap)]
    program.process = subprocess.Popen(command, start_new_session=True)
    program.pid = program.process.pid
    wait_until(program.listens, "the program listens")
    with closing(client := program.logged_in()):
        first = program.worker_of(client)
    flag.touch()
    program.kill(signal.SIGHUP)
    program.wait_log(told, 2)
    with closing(client := program.logged_in()):
        assert program.worker_of(client) == first
    flag.unlink()
    wait_until(lambda: not is_running(first), "it has left")
    with closing(client := program.logged_in()):
        assert program.worker_of(client) != first


def test_no_process_keeps_the_log_of_before(start: Start, tmp_path: Path) -> None:
    program = start("--authenticate_in", "--workers", "1")
    wait_until(lambda: len(program.workers()) == 2, "a worker, and the one that asks PAM")
    old = tmp_path / "log.1"
    program.log_path.rename(old)
    program.kill(signal.SIGHUP)
    wait_until(program.log_path.exists, "a new log")

    def has_left() -> bool:
        pids = [program.pid, *program.workers()]
        return len(pids) == 3 and not any(str(old) in open_files(each) for each in pids)

    wait_until(has_left, "the old log is nobody's")


def open_files(pid: int) -> set[str]:
    """The files that a process has open."""
    found = set()
    with contextlib.suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(each.readlink()))
    return found


@as_root
def test_who_starts_it_may_ignore_how_processes_end(start: Start, tmp_path: Path) -> None:
    command = [*start().command, "-F", str(tmp_path / "log"), "--check_config"]
    ignoring = ["sh", "-c", "trap '' CHLD; exec \"$@\"", "sh"]
    done = subprocess.run([*ignoring, *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


NOT_READY = """
import os, signal, sys
from perdition.server.detaching import Launcher
# As the master does before it detaches.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
test = int(sys.argv[1])
Launcher().detach([test], 0, 255, "")
os.write(test, b"x")
os.read(test, 1)
"""


def test_a_launcher_whose_daemon_is_not_ready_ends_with_a_signal() -> None:
    ours, theirs = socket.socketpair()
    test = theirs.fileno()
    command = [sys.executable, "-c", NOT_READY, str(test)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "lib")}
    with ours, subprocess.Popen(command, env=environment, pass_fds=[test]) as launcher:
        theirs.close()
        assert ours.recv(1) == b"x"
        launcher.terminate()
        assert launcher.wait(60) == -signal.SIGTERM


def test_workers_that_end_without_having_served_are_counted_however_old(tmp_path: Path) -> None:
    children = Children(Log("perdition", str(tmp_path / "log"), INFO))
    for _ in range(MOST_STILLBORN):
        assert not children.cannot_start
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            os._exit(1)
        children.add(pid, 0, children.take_slot(), ours)
        children._living[pid].started -= 60
        theirs.close()
        wait_until(lambda: not children.bury() and not len(children), "it is buried")
    assert children.cannot_start


def test_a_launcher_that_was_killed_does_not_end_the_daemon() -> None:
    launcher = Launcher()
    reader, launcher._descriptor = os.pipe()
    os.close(reader)
    launcher.release()
    assert launcher._descriptor is None
