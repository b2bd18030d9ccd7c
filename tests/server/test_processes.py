"""Master and workers: signals, limits, and what happens when one of them dies."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdition.server.logins import FIRST_THREADS, MOST_IDLE
from perdition.server.master import LEAVE_SECONDS
from server.conftest import (
    ROOT,
    Client,
    Program,
    Start,
    children,
    free_port,
    is_running,
    wait_until,
)
from support.scripted import ScriptedServer


@contextlib.contextmanager
def closing(*clients: Client) -> Iterator[None]:
    try:
        yield
    finally:
        for client in clients:
            client.close()


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionResetError:
        return False
    except ConnectionRefusedError:
        return True
    return False


def test_there_are_as_many_workers_as_asked_for(start: Start) -> None:
    program = start("--workers", "3")
    wait_until(lambda: len(program.workers()) == 3, "three workers")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGALRM, signal.SIGXCPU])
def test_term_and_the_like_let_sessions_go_on(start: Start, number: int) -> None:
    program = start()
    client = program.logged_in()
    assert program.pid_path.exists()
    with closing(client):
        program.kill(number)
        assert program.process.wait(60) == 0
        assert refused(program.port)
        assert not program.pid_path.exists()
        assert client.works()
        assert client.ask("QUIT") == b"+OK QUIT\r\n"
    wait_until(lambda: not any(map(is_running, program.workers_seen)), "the workers have left")
    assert f"Exiting on signal {int(number)}" in program.log()
    program.wait_log("Closing session:")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_port_is_free_when_the_master_has_ended(start: Start, number: int) -> None:
    program = start("--workers", "1")
    with closing(program.logged_in()):
        (worker,) = program.workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        program.kill(number)
        assert program.process.wait(60) == 0
        # The worker could not do anything about it.
        with socket.create_server(("127.0.0.1", program.port)):
            assert not refused(program.port)
        assert refused(program.port)
    finally:
        os.kill(worker, signal.SIGCONT)
    wait_until(lambda: not is_running(worker), "the worker has left")


def test_int_ends_sessions_at_once(start: Start) -> None:
    program = start()
    client = program.logged_in()
    with closing(client):
        program.kill(signal.SIGINT)
        assert program.process.wait(60) == 0
        assert client.line() == b""
    wait_until(lambda: not any(map(is_running, program.workers_seen)), "the workers have left")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_to_the_workers_ends_them(start: Start, number: int) -> None:
    program = start("--workers", "1", "--drain_timeout", "3600")
    client = program.logged_in()
    with closing(client):
        (worker,) = program.workers()
        # While there is a master it is no matter of theirs.
        os.kill(worker, signal.SIGINT)
        assert client.works()
        program.kill(signal.SIGTERM)
        program.process.wait(60)
        os.kill(worker, number)
        wait_until(lambda: not is_running(worker), "the worker has left")
        assert client.line() == b""


def test_sessions_are_ended_after_drain_timeout(start: Start) -> None:
    program = start("--drain_timeout", "1", "--workers", "1")
    client = program.logged_in()
    with closing(client, program.connect(), program.connect()):
        program.kill(signal.SIGTERM)
        program.process.wait(60)
        assert client.line() == b""
        program.wait_log("]: Connections that are not logged in are ended: 2\n")


@pytest.mark.parametrize("is_told_twice", [False, True])
def test_a_containers_first_process_waits_for_its_sessions(
    start: Start, is_told_twice: bool
) -> None:
    inside = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no name spaces of processes here")
    outside, port = start(), free_port()
    command = [*outside.command, "-b", f"127.0.0.1:{port}", "--pid_file", ""]
    with subprocess.Popen([*inside, *command, "--drain_timeout", "60"]) as process:
        try:
            wait_until(lambda: not refused(port), "it listens")
            client = Client(port)
            with closing(client):
                client.log_in()
                (first,) = children(process.pid)
                os.kill(first, signal.SIGTERM)
                wait_until(lambda: refused(port), "nobody listens")
                time.sleep(1.5 * LEAVE_SECONDS)
                assert client.works()
                if is_told_twice:
                    os.kill(first, signal.SIGTERM)
                    assert client.line() == b""
                else:
                    assert client.ask("QUIT") == b"+OK QUIT\r\n"
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_workers_leave_when_the_master_is_killed(start: Start) -> None:
    program = start()
    client = program.logged_in()
    with closing(client):
        program.workers()
        program.process.kill()
        program.process.wait()
        wait_until(lambda: refused(program.port), "nobody listens")
        assert client.works()
        client.ask("QUIT")
    wait_until(lambda: not any(map(is_running, program.workers_seen)), "the workers have left")


def test_a_killed_worker_is_replaced_and_the_other_one_untouched(start: Start) -> None:
    program = start("--workers", "2")
    clients = [program.logged_in() for _ in range(12)]
    with closing(*clients):
        program.wait_log("Auth: ", 12)
        victim, _other = program.workers()
        others = [client for client in clients if program.worker_of(client) != victim]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in program.workers() and len(program.workers()) == 2, "two")
        assert all(client.works() for client in others)
        fresh = program.logged_in()
        with closing(fresh):
            assert fresh.works()
        assert all(client.works() for client in others)
    program.wait_log("ended with signal 9: starting another")


def test_hup_reads_the_map_again_and_a_broken_one_changes_nothing(
    start: Start, tmp_path: Path
) -> None:
    popmap = tmp_path / "re"
    popmap.write_text("^ann$: 127.0.0.1:1\n")
    program = start("-M", "posix_regex", "-m", str(popmap))
    client = program.connect()
    with closing(client):
        client.ask("USER ann")
        answer = client.ask("PASS x")
        assert answer == b"-ERR [SYS/TEMP] failed: Could not connect to server\r\n"
    popmap.write_text("^bob$: 127.0.0.1:1\n")
    before = program.workers()
    program.kill(signal.SIGHUP)
    wait_until(lambda: not set(before) & set(program.workers()), "new workers")
    with closing(program.logged_in()):
        pass
    popmap.write_text("^ann(: 127.0.0.1:1\n")
    program.kill(signal.SIGHUP)
    program.wait_log("the one of before stays in use")
    with closing(program.logged_in()):
        pass


def test_no_connection_is_lost_while_workers_change(start: Start) -> None:
    program = start("--workers", "2")
    over = threading.Event()

    def change() -> None:
        while not over.wait(0.1):
            program.kill(signal.SIGHUP)

    changes = threading.Thread(target=change)
    changes.start()
    try:
        for _ in range(400):
            program.connect().close()
    finally:
        over.set()
        changes.join()


def test_hup_cuts_no_session_whatever_the_time_to_drain(start: Start) -> None:
    program = start("--workers", "1", "--drain_timeout", "0")
    client = program.logged_in()
    with closing(client):
        before = program.workers()
        program.kill(signal.SIGHUP)
        wait_until(lambda: len(program.workers()) == 2, "a new worker beside the old one")
        with closing(program.logged_in()):
            assert client.works()
        assert set(before) < set(program.workers())


def listener_of(port: int) -> str:
    """The socket that listens on a port, as /proc has it."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(f":{port:04X}") and words[3] == "0A":
            return f"socket:[{words[9]}]"
    raise AssertionError(f"nobody listens on {port}")


def files_of(pid: int) -> set[str]:
    """What a process has open."""
    files = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        # It may have been closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            files.add(str(each.readlink()))
    return files


def session_of_another(program: Program, retired: int) -> Client:
    """A session of another worker: a thread that is in accept() may take one connection more."""
    for count in range(1, FIRST_THREADS + 2):
        client = program.logged_in()
        program.wait_log("Auth: ", 1 + count)
        if program.worker_of(client) != retired:
            return client
        client.ask("QUIT")
        client.close()
        program.wait_log("Closing session: ", count)
    raise AssertionError("the retired worker goes on")


def test_the_limit_counts_sessions_of_retired_workers_too(start: Start) -> None:
    program = start("--workers", "1", "--connection_limit", "2")
    program.wait_log("Fatal Error reading")
    first = program.logged_in()
    with closing(first):
        (before,) = program.workers()
        program.kill(signal.SIGHUP)
        wait_until(lambda: len(program.workers()) == 2, "a new worker beside the old one")
        listener = listener_of(program.port)
        wait_until(lambda: listener not in files_of(before), "the old worker accepts no more")
        second = session_of_another(program, before)
        with closing(second):
            with socket.create_connection(("127.0.0.1", program.port), 5) as third:
                third.settimeout(10)
                assert third.recv(1) == b""
            assert first.works()
            assert second.works()


def test_hup_opens_the_log_again_for_old_workers_too(start: Start) -> None:
    program = start("--workers", "1")
    client = program.logged_in()
    worker = program.worker_of(client)
    with closing(client):
        moved = program.log_path.with_suffix(".1")
        program.log_path.rename(moved)
        program.kill(signal.SIGHUP)
        program_has_log = program.log_path.exists
        wait_until(program_has_log, "a new log")
        program.wait_log("Reopened logger")
        wait_until(lambda: str(moved) not in files_of(worker), "the old worker has the new log")
        client.ask("QUIT")
        assert client.line() == b""
    program.wait_log("Closing session:")
    assert "Closing session:" not in moved.read_text()


def test_the_oldest_connection_without_a_login_gives_way(start: Start) -> None:
    program = start("--workers", "1", "--login_threads", "3")
    program.wait_log("Fatal Error reading")
    clients = [program.connect() for _ in range(5)]
    with closing(*clients):
        assert clients[0].line() == b""
        assert clients[1].line() == b""
        clients[4].log_in()
    # They are not to be banned for it.
    for each in clients[:2]:
        assert f"login_threads: 127.0.0.1:{each.port}->" in program.log()
        assert f"information from client 127.0.0.1:{each.port}->" not in program.log()


def test_the_threads_of_a_burst_leave_again(start: Start) -> None:
    """One that is idle has a descriptor set aside in accept(): log-ins would lack them."""
    program = start("--workers", "1", "--login_threads", "60")
    program.wait_log("Fatal Error reading")
    (worker,) = program.workers()

    def threads() -> int:
        return len(list(Path(f"/proc/{worker}/task").iterdir()))

    with closing(*(program.connect() for _ in range(60))):
        assert threads() >= 60
    # There are some for other things.
    wait_until(lambda: threads() < MOST_IDLE + 8, "the threads leave")
    program.logged_in().close()


def test_clients_that_dribble_keep_nobody_out(start: Start) -> None:
    program = start("--workers", "1", "--login_threads", "50")
    over = threading.Event()

    def dribble() -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", program.port), 60) as sock,
        ):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for octet in itertools.cycle(b"NOOP\r\n"):
                sock.send(bytes([octet]))
                if over.wait(0.003):
                    return

    threads = [threading.Thread(target=dribble) for _ in range(3 * FIRST_THREADS)]
    for each in threads:
        each.start()
    try:
        program.wait_log("]: Connect:  ", FIRST_THREADS)
        program.logged_in().close()
    finally:
        over.set()
        for each in threads:
            each.join()


def test_who_waits_for_a_real_server_does_not_give_way_to_others(start: Start) -> None:
    with ScriptedServer() as server, contextlib.ExitStack() as stack:
        program = start(
            *("--workers", "1", "--login_threads", "2"),
            *("--outgoing_server", f"127.0.0.1:{server.port}"),
        )
        program.wait_log("Fatal Error reading")
        clients = [stack.enter_context(contextlib.closing(program.connect())) for _ in range(2)]
        for client in clients:
            assert client.ask("USER ann").startswith(b"+OK")
            client.sock.sendall(b"PASS sesame\r\n")
        # Nobody greets it, nor asks another one to leave for it.
        other = stack.enter_context(socket.create_connection(("127.0.0.1", program.port), 60))
        program.wait_log("login_threads reached: all wait for real servers or the map")
        for _ in clients:
            server.accept_pop3()
        for client in clients:
            assert client.line() == b"+OK You are so in\r\n"
        assert other.recv(100).startswith(b"+OK POP3 ")
    assert "give way" not in program.log()


def test_sessions_that_are_logged_in_need_no_thread(start: Start) -> None:
    program = start("--workers", "1", "--login_threads", "2")
    program.wait_log("Fatal Error reading")
    clients = [program.logged_in() for _ in range(20)]
    with closing(*clients):
        assert all(client.works() for client in clients)


def test_connection_limit_turns_away_and_goes_on(start: Start) -> None:
    program = start("--connection_limit", "2", "--workers", "2")
    program.wait_log("Fatal Error reading")
    clients = [program.logged_in(), program.logged_in()]
    with closing(*clients):
        with socket.create_connection(("127.0.0.1", program.port), 5) as third:
            third.settimeout(10)
            assert third.recv(1) == b""
        program.wait_log("is turned away")
        assert clients[0].ask("QUIT").startswith(b"+OK")
        assert clients[0].line() == b""
    program.wait_log("Closing session", 1)
    with closing(program.logged_in()):
        pass


def test_a_worker_that_is_told_to_leave_has_a_follower_at_once(start: Start) -> None:
    program = start("--workers", "1", "--drain_timeout", "600")
    client = program.logged_in()
    with closing(client):
        worker = program.worker_of(client)
        os.kill(worker, signal.SIGTERM)
        wait_until(lambda: len(program.workers()) == 2, "another worker")

        def another_serves() -> bool:
            # A thread that was in accept() may take one connection more.
            other = program.logged_in()
            with closing(other):
                return program.worker_of(other) != worker

        wait_until(another_serves, "another one serves")
        assert client.works()
        assert program.log().count("Worker 0 was told to leave: starting another") == 1
    wait_until(lambda: worker not in program.workers(), "it has left")
    assert len(program.workers()) == 1
    program.kill(signal.SIGTERM)
    assert program.process.wait(60) == 0
    assert (
        "starting another" not in program.log().partition("was told to leave: starting another")[2]
    )


def test_attempts_are_limited(start: Start) -> None:
    program = start("--login_attempts", "2")
    client = program.connect()
    with closing(client):
        for _ in range(2):
            client.ask("USER ann")
            assert client.ask("PASS wrong").startswith(b"-ERR")
        assert client.line() == b""


def test_the_time_for_a_login_is_limited(start: Start) -> None:
    program = start("--login_timeout", "1")
    client = program.connect()
    with closing(client):
        assert client.line() == b""
    program.wait_log("Timeout reading authentication information")


def test_a_delayed_answer_holds_up_nobody(start: Start) -> None:
    program = start("--workers", "1", "--failure_delay", "60")
    slow = [program.connect() for _ in range(10)]
    with closing(*slow):
        for client in slow:
            client.sock.sendall(b"FROB\r\n")
        with closing(program.logged_in()):
            pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-b", "192.0.2.1"], "bind_address 192.0.2.1"),
        (["-b", "143"], "bind_address 143: not an address; a port by itself is for listen_port"),
        (["-b", "::1:143"], "bind_address ::1:143: write [::1]:143 or [::1:143]"),
        (["-b", "143", "--check_config"], "a port by itself is for listen_port"),
        (["-b", "nowhere.invalid", "--check_config"], "bind_address nowhere.invalid"),
        (["-b", "127.0.0.1:0", "--pid_file", "/proc/nothing/pid"], "pid_file /proc/nothing/pid"),
        (["-s", "::1:143"], "outgoing_server ::1:143: write [::1]:143 or [::1:143]"),
        (["--ssl_mode", "ssl_listen", "--ssl_cert_file", "/no/file"], "/no/file"),
        (["-m", "/no/file", "-M", "posix_regex"], "/no/file"),
        (["-F", "nowhere"], "nowhere"),
    ],
)
def test_a_start_that_fails_says_so_before_it_detaches(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    command = [sys.executable, str(ROOT / "perdition.py"), "-f", "", "-M", "", "-l", "0"]
    pid_path = tmp_path / "pid"
    command += ["-F", str(tmp_path / "log"), "--pid_file", str(pid_path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 255
    assert message in done.stderr.splitlines()[-1]
    assert not pid_path.exists()


def test_a_second_start_is_refused_and_a_stale_pid_file_is_not(start: Start) -> None:
    program = start()
    wait_until(program.pid_path.exists, "a pid file")
    again = [*program.command, "-b", "127.0.0.1:0"]
    done = subprocess.run(again, capture_output=True, text=True, check=False)
    assert done.returncode == 255
    assert "is running already" in done.stderr
    assert program.pid_path.read_text() == str(program.pid)
    program.process.kill()
    program.process.wait()
    anew = start()
    anew.wait_log("Removed stale pid-file")
    wait_until(
        lambda: anew.pid_path.exists() and anew.pid_path.read_text() == str(anew.pid), "its pid"
    )


def test_a_client_that_is_not_logged_in_yet_outlives_hup_and_term(start: Start) -> None:
    program = start("--workers", "1")
    client = program.connect()
    with closing(client):
        client.ask("USER ann")
        before = program.workers()
        program.kill(signal.SIGHUP)
        wait_until(lambda: set(program.workers()) - set(before), "a new worker")
        program.kill(signal.SIGTERM)
        assert program.process.wait(60) == 0
        client.log_in()
        assert client.works()


def test_a_daemon_that_logs_to_syslog_serves_whole_sessions(start: Start, tmp_path: Path) -> None:
    # The C library keeps the number of its connection to syslog, which detaching closes.
    mount = 'mount --bind /dev/null "$0/null" && mount --rbind "$0" /dev && exec "$@"'
    inside = ["unshare", "-m", "sh", "-c", mount]
    if subprocess.run([*inside[:2], "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount name spaces here")
    program = start()
    devices, pid_path, port = tmp_path / "dev", tmp_path / "daemon" / "pid", free_port()
    devices.mkdir()
    (devices / "null").touch()
    lines: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(devices / "log"))
        log.settimeout(10)
        command = [each for each in program.command if each != "--no_daemon"]
        command += ["-F", "mail", "-b", f"127.0.0.1:{port}", "--pid_file", str(pid_path)]
        subprocess.run([*inside, str(devices), *command], check=True)
        try:
            with closing(client := Client(port)):
                client.log_in()
                assert client.works()
                client.ask("QUIT")
            while b"Closing session" not in b"".join(lines):
                lines.append(log.recv(4096))
        finally:
            pid = int(pid_path.read_text())
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not is_running(pid), "the daemon has left")
    assert b"Starting" in lines[0]


@contextlib.contextmanager
def inetd(program: Program) -> Iterator[tuple[Client, subprocess.Popen[bytes]]]:
    """The program with a connection as its standard input and output, and its client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client_socket = socket.create_connection(listener.getsockname(), 10)
        ours, _address = listener.accept()
        command = [*program.command, "--inetd_mode"]
        process = subprocess.Popen(command, stdin=ours, stdout=ours)
        ours.close()
    client = Client.__new__(Client)
    client.sock, client.file = client_socket, client_socket.makefile("rb")
    client.sock.settimeout(15)
    try:
        assert client.line().startswith(b"+OK")
        yield client, process
    finally:
        client.close()
        process.kill()
        process.wait(60)


def test_a_session_of_inetd_goes_on_after_hup_and_ends_in_order_with_term(start: Start) -> None:
    program = start()
    with inetd(program) as (client, process):
        process.send_signal(signal.SIGHUP)
        program.wait_log('Reloading map library "" with options "(null)"')
        assert client.ask("USER ann").startswith(b"+OK")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        program.wait_log("Exiting on signal 15")


def test_a_daemon_detaches_and_writes_its_pid(start: Start, tmp_path: Path) -> None:
    program = start()
    pid_path, log_path = tmp_path / "daemon" / "pid", tmp_path / "daemon.log"
    command = [each for each in program.command if each != "--no_daemon"]
    command += ["-b", "127.0.0.1:0", "--pid_file", str(pid_path), "-F", str(log_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # All of it at once: whoever started it need not wait.
    pid = int(pid_path.read_text())
    assert is_running(pid)
    assert "Listening with" in log_path.read_text()
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_running(pid), "the daemon has left")
    assert not pid_path.exists()


def test_garbage_and_endless_lines_get_an_answer_or_a_close(start: Start) -> None:
    program: Program = start("--workers", "1")
    for data in (b"\0" * 10_000_000, os.urandom(200_000) + b"\r\n", b"x" * 10_000_000):
        with socket.create_connection(("127.0.0.1", program.port), 10) as sock:
            sock.settimeout(10)
            with contextlib.suppress(OSError):
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(65536):
                    pass
    (worker,) = program.workers()
    status = Path(f"/proc/{worker}/status").read_text()
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    assert int(peak) < 100_000
    with closing(program.logged_in()):
        pass
    assert "Bug" not in program.log()


def test_workers_stay_on_a_cpu_each_where_all_have_the_same_number(start: Start) -> None:
    cpus = os.sched_getaffinity(0)
    program = start("--workers", str(len(cpus)))
    with closing(program.logged_in()):

        def places() -> list[set[int]]:
            return [os.sched_getaffinity(each) for each in program.workers()]

        # One of them may not be so far yet.
        wait_until(lambda: all(len(each) == 1 for each in places()), "each on one")
        assert set.union(*places()) == cpus


def test_workers_may_be_left_to_the_system(start: Start) -> None:
    cpus = os.sched_getaffinity(0)
    program = start("--workers", str(len(cpus)), "--no_affinity")
    with closing(program.logged_in()):
        assert all(os.sched_getaffinity(each) == cpus for each in program.workers())


def test_workers_that_would_crowd_a_cpu_stay_on_none(start: Start) -> None:
    cpus = os.sched_getaffinity(0)
    program = start("--workers", str(len(cpus) + 1))
    with closing(program.logged_in()):
        places = [os.sched_getaffinity(each) for each in program.workers()]
        assert all(each == cpus for each in places) or len(cpus) == 1
