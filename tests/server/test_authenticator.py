"""The process that asks PAM, where the system does not let us have it."""

import errno
import os
import signal
from pathlib import Path

import pytest

from perdition.logs import INFO, Log
from perdition.server.authenticator import Authenticator


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
