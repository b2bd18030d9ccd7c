"""Lines for who does not read them."""

import contextlib
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdition import outlets
from perdition.logs import INFO, Log, LogOpenFailed
from perdition.outlets import Backlog, Stream, Syslog, own_pipe
from support.processes import wait_until

SECONDS = 20


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for each in ends:
        with contextlib.suppress(OSError):
            os.close(each)


def test_lines_that_nobody_reads_are_kept_in_order_up_to_a_bound(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlets, "MOST_LINES", 50)
    source, sink = pipe
    lost: list[int] = []
    backlog = Backlog(Stream(sink), lost.append)
    lines = [b"%d " % number + b"x" * 1000 + b"\n" for number in range(200)]
    for each in lines:
        backlog.put(each)
    read = b""
    os.set_blocking(source, False)

    def is_over() -> bool:
        # What comes last may come after the last look.
        nonlocal read
        is_told = bool(lost)
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(source, 65536):
                read += piece
        return is_told

    wait_until(is_over, SECONDS, "it is told how many are lost")
    found = read.splitlines(keepends=True)
    assert found == lines[: len(found)]
    assert lost == [len(lines) - len(found)]
    assert len(found) >= 50 + 60
    # And on it goes, without a thread.
    backlog.put(b"more\n")
    assert os.read(source, 65536) == b"more\n"
    wait_until(lambda: all(each.name != "log" for each in threading.enumerate()), SECONDS, "ended")


def test_lines_that_no_thread_could_be_had_for_do_not_stay_behind(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Outlet:
        is_full = True

        def offer(self, line: bytes) -> None:
            if self.is_full:
                raise BlockingIOError
            self.send(line)

        def send(self, line: bytes) -> None:
            os.write(pipe[1], line)

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError

    outlet = Outlet()
    backlog = Backlog(outlet, lambda _count: None)
    with monkeypatch.context() as lacking:
        lacking.setattr(threading.Thread, "start", start)
        backlog.put(b"1\n")
    outlet.is_full = False
    backlog.put(b"2\n")
    with open(pipe[0], "rb", closefd=False) as read:
        assert [read.readline() for _ in range(2)] == [b"1\n", b"2\n"]
    wait_until(lambda: all(each.name != "log" for each in threading.enumerate()), SECONDS, "ended")


@pytest.mark.parametrize("is_own", [True, False])
def test_a_line_that_a_pipe_has_no_room_for_is_not_waited_for(
    pipe: tuple[int, int], is_own: bool
) -> None:
    source, sink = pipe
    stream = Stream(own_pipe(sink) if is_own else sink)
    for _ in range(15):
        os.write(sink, b"f" * 4096)
    # There is room for a page.
    with pytest.raises(BlockingIOError):
        stream.offer(b"x" * 4097)
    stream.offer(b"x" * 4096)
    with pytest.raises(BlockingIOError):
        stream.offer(b"x")
    thread = threading.Thread(target=stream.send, args=(b"y" * 10_000,))
    thread.start()
    read = b""
    while len(read) < 16 * 4096 + 10_000:
        read += os.read(source, 65536)
    thread.join(SECONDS)
    assert read == b"f" * 15 * 4096 + b"x" * 4096 + b"y" * 10_000


def test_a_pipe_is_opened_anew_and_what_is_none_is_not(pipe: tuple[int, int]) -> None:
    own = own_pipe(pipe[1])
    assert own != pipe[1]
    assert os.get_blocking(pipe[1])
    assert not os.get_blocking(own)
    os.close(own)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert own_pipe(ours.fileno()) == ours.fileno()


@pytest.fixture
def log_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "log"
    monkeypatch.setattr(outlets, "SYSLOG", str(path))
    return path


def listening(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(path))
    sock.settimeout(SECONDS)
    return sock


def test_a_syslog_that_does_not_read_is_not_waited_for(log_socket: Path) -> None:
    with listening(log_socket) as reader, contextlib.closing(Syslog()) as syslog:
        backlog = Backlog(syslog, lambda _count: None)
        lines = [b"<22>line %d" % number for number in range(2000)]
        for each in lines:
            backlog.put(each)
        assert [reader.recv(100) for _ in lines] == lines


def test_a_syslog_that_is_started_anew_is_found(log_socket: Path) -> None:
    with contextlib.closing(Syslog()) as syslog:
        backlog = Backlog(syslog, lambda _count: None)
        with pytest.raises(FileNotFoundError):
            backlog.put(b"<22>nobody")
        for _ in range(2):
            with listening(log_socket) as reader:
                backlog.put(b"<22>somebody")
                assert reader.recv(100) == b"<22>somebody"


def test_lines_for_syslog_are_those_of_the_c_library(log_socket: Path) -> None:
    with listening(log_socket) as reader:
        log = Log("perdition.pop3", "mail", INFO)
        log.info("J\xfcrgen \udcff\n")
        line = reader.recv(1000).decode("utf-8", "surrogateescape")
        log.let_go()
    found = re.fullmatch(r"<22>\w{3} [ \d]\d [\d:]{8} perdition\.pop3\[(\d+)\]: (.*)", line)
    assert found
    assert found.groups() == (str(os.getpid()), "J\xfcrgen \udcff\\012")


def test_a_pipe_without_a_reader_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    os.mkfifo(path)
    with pytest.raises(LogOpenFailed, match="fopen: No such device"):
        Log("perdition", str(path), INFO)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = Log("perdition", str(path), INFO)
    log.info("Starting")
    assert os.read(reader, 1000).endswith(b": Starting\n")
    assert log.descriptor is not None
    os.close(log.descriptor)
    os.close(reader)
