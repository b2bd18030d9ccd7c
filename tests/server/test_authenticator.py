"""The process that asks PAM, where the system does not let us have it."""

import errno
import os
import queue
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdition.logs import INFO, Log
from perdition.pam import Identity
from perdition.patience import Patience
from perdition.protocols import Login
from perdition.server import authenticator
from perdition.server.authenticator import Authenticator
from perdition.session.service import NotKnown
from support.processes import wait_until


def test_a_fork_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", fork)
    path = tmp_path / "log"
    made = Authenticator(Log("perdition", str(path), INFO), "perdition", 0)
    made.start("perdition: authenticator", lambda: None)
    assert "local authentication cannot be started: Resource temporarily" in path.read_text()
    assert made.pid == 0
    assert made.seconds_to_due() is not None
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
    for each in (made._ours, made._theirs):
        each.close()


@pytest.fixture
def unheard(tmp_path: Path) -> Iterator[Authenticator]:
    """One whose process does not listen, being busy."""
    made = Authenticator(Log("perdition", str(tmp_path / "log"), INFO), "perdition", 0)
    yield made
    for each in (made._ours, made._theirs):
        each.close()


def test_who_asks_a_process_that_does_not_listen_gives_up_in_time(unheard: Authenticator) -> None:
    """More ask than there is room for: no wait may be one that nothing ends."""
    patiences = [Patience(-1, 0) for _ in range(400)]
    gave_up: queue.SimpleQueue[str] = queue.SimpleQueue()

    def ask(patience: Patience) -> None:
        try:
            unheard.ask(Login("ann", b"x" * 500), "192.0.2.1", patience)
        except NotKnown as error:
            gave_up.put(str(error))

    threads = [threading.Thread(target=ask, args=(each,), daemon=True) for each in patiences]
    for each in threads:
        each.start()

    def have_given_up() -> bool:
        for patience in patiences:
            patience.cut()
        return gave_up.qsize() == len(patiences)

    wait_until(have_given_up, 60, "all have given up")
    assert [gave_up.get() for _ in patiences] == [authenticator.NO_ANSWER] * len(patiences)


@pytest.mark.parametrize(
    ("answer", "reason"), [(b"a", ""), (b"r", "refused"), (b"rno such user", "no such user")]
)
def test_who_is_refused_without_a_reason_is_refused(
    unheard: Authenticator, answer: bytes, reason: str
) -> None:
    def serve() -> None:
        _request, (descriptor,), *_ = socket.recv_fds(unheard._theirs, 65536, 1)
        with socket.socket(fileno=descriptor) as sock:
            sock.sendall(answer)

    process = threading.Thread(target=serve)
    process.start()
    assert unheard.ask(Login("ann", b"x"), "192.0.2.1", Patience(-1, 0)) == reason
    process.join()


def test_the_process_ends_with_those_who_could_ask(unheard: Authenticator) -> None:
    unheard.start("perdition: authenticator", lambda: None)
    for each in (unheard._ours, unheard._theirs):
        each.close()
    try:
        wait_until(lambda: os.waitpid(unheard.pid, os.WNOHANG)[0], 60, "it has ended")
    except BaseException:
        os.kill(unheard.pid, signal.SIGKILL)
        raise


def test_a_process_that_cannot_be_replaced_stays(
    unheard: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    ended: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(os, "kill", lambda *what: ended.append(what))
    unheard.pid = 4711
    unheard.replace("perdition: authenticator", lambda: None)
    assert unheard.pid == 4711
    assert not ended


def test_nobody_asks_pam_for_one_who_has_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def answer(_service: str, identity: Identity, to: socket.socket, _seconds: int) -> int:
        asked.append(identity.user)
        # What modules run could answer in our place.
        assert not to.get_inheritable()
        return os.getpid()

    monkeypatch.setattr(authenticator, "answer_apart", answer)
    monkeypatch.setattr(authenticator, "bury", lambda _children: None)
    requests, process = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pairs = {user: socket.socketpair() for user in (b"gone", b"ann")}
    with requests, process:
        for user, (ours, theirs) in pairs.items():
            request = authenticator.pack(Identity(user, b"x", b""))
            socket.send_fds(requests, [request], [theirs.fileno()])
            theirs.close()
            if user == b"gone":
                ours.shutdown(socket.SHUT_RDWR)
        requests.shutdown(socket.SHUT_WR)
        authenticator.serve(process, "perdition", 1)
    for ours, _theirs in pairs.values():
        ours.close()
    assert asked == [b"ann"]


@pytest.mark.parametrize(
    "request_",
    [b"", b"\0" * 5, authenticator.pack(Identity(b"ann", b"x", b""))[:-1], b"\0\3\0\1\0\0annxy"],
    ids=["empty", "short head", "cut", "more than it says"],
)
def test_what_is_not_quite_a_request_is_none(request_: bytes) -> None:
    with pytest.raises(ValueError, match=r"short|lengths"):
        authenticator.unpack(request_)


def test_where_many_are_asked_for_one_of_them_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = iter([7])
    monkeypatch.setattr(os, "waitpid", lambda _pid, how: (0 if how else next(ended), 0))
    children = set(range(32))
    authenticator.bury(children)
    assert children == set(range(32)) - {7}


def test_what_is_no_request_keeps_nobody_from_the_next_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(authenticator.pam, "authenticate", lambda *_asked: "")
    requests, process = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours, theirs = socket.socketpair()
    with requests, process, ours:
        for request in (b"nonsense", authenticator.pack(Identity(b"ann", b"x", b""))):
            socket.send_fds(requests, [request], [theirs.fileno()])
        theirs.close()
        requests.shutdown(socket.SHUT_WR)
        authenticator.serve(process, "perdition", 60)
        assert ours.recv(100) == b"a"


def test_who_is_not_root_is_told_that_pam_may_not_be_asked(
    unheard: Authenticator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork() -> int:
        raise OSError

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    unheard.start("perdition: authenticator", lambda: None)
    log = (tmp_path / "log").read_text()
    assert ": Warning: not invoked as root, local authentication may fail\n" in log


def test_who_cannot_be_asked_for_now_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_arguments: object) -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(authenticator, "answer_apart", answer)
    requests, process = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours, theirs = socket.socketpair()
    with requests, process, ours:
        request = authenticator.pack(Identity(b"ann", b"x", b""))
        socket.send_fds(requests, [request], [theirs.fileno()])
        theirs.close()
        requests.shutdown(socket.SHUT_WR)
        authenticator.serve(process, "perdition", 1)
        assert ours.recv(100) == b"fResource temporarily unavailable"


def change_processes(made: Authenticator, test: socket.socket) -> None:
    """In a process without threads, which only a fork may have: say when it is done, and wait."""
    try:
        made.start("perdition: authenticator", lambda: None)
        for _ in range(30):
            old = made.pid
            made.replace("perdition: authenticator", lambda: None)
            os.waitpid(old, 0)
        test.sendall(b"x")
        test.recv(1)
        os.kill(made.pid, signal.SIGTERM)
        os.waitpid(made.pid, 0)
    finally:
        os._exit(0)


def test_nobody_is_forgotten_while_processes_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticator.pam, "authenticate", lambda *_asked: "")
    made = Authenticator(Log("perdition", str(tmp_path / "log"), INFO), "perdition", 60)
    ours, theirs = socket.socketpair()
    forgotten: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                made.ask(Login("ann", b"x"), "192.0.2.1", Patience(-1, 0))
            except NotKnown as error:
                forgotten.append(str(error))

    pid = os.fork()
    if pid == 0:
        ours.close()
        change_processes(made, theirs)
    theirs.close()
    made.be_client()
    askers = [threading.Thread(target=ask) for _ in range(4)]
    for each in askers:
        each.start()
    with ours:
        ours.settimeout(60)
        assert ours.recv(1) == b"x"
        over.set()
        for each in askers:
            each.join()
    os.waitpid(pid, 0)
    made._ours.close()
    assert not forgotten
