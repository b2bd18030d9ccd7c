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
from perdition.patience import Patience
from perdition.protocols import Login
from perdition.server.authenticator import Authenticator, is_awaited
from perdition.session.service import NotKnown


def test_a_fork_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", fork)
    path = tmp_path / "log"
    authenticator = Authenticator(Log("perdition", str(path), INFO), "perdition", 0)
    authenticator.start("perdition: authenticator", lambda: None)
    assert "local authentication cannot be started: Resource temporarily" in path.read_text()
    assert authenticator.pid == 0
    assert authenticator.seconds_to_due() is not None
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
    for each in (authenticator._ours, authenticator._theirs):
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
    for _ in range(600):
        for patience in patiences:
            patience.cut()
        if gave_up.qsize() == len(patiences):
            break
        threading.Event().wait(0.1)
    assert [gave_up.get() for _ in patiences] == ["no answer in time"] * len(patiences)


def test_nobody_asks_pam_for_one_who_has_given_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert is_awaited(theirs)
        ours.shutdown(socket.SHUT_RDWR)
        assert not is_awaited(theirs)
