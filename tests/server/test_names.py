"""The names of our own addresses."""

import socket
import time

import pytest

from perdition.config.options import Options
from perdition.net import NameUnknown
from perdition.server.service import MOST_NAMES, Names


def test_a_name_that_the_resolver_fails_at_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[str | OSError] = [socket.gaierror(socket.EAI_AGAIN, "try again"), "mail", "no"]

    def getnameinfo(*_arguments: object) -> tuple[str, str]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer, "0"

    monkeypatch.setattr(socket, "getnameinfo", getnameinfo)
    names = Names(Options())
    assert names.banner("192.0.2.1") == "192.0.2.1"
    # Not at once, for that would make each client wait.
    with pytest.raises(NameUnknown, match="a moment ago"):
        names.host("192.0.2.1")
    monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + 3600)
    assert names.host("192.0.2.1") == names.banner("192.0.2.1") == "mail"


def test_names_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def getnameinfo(address: tuple[str, int], _flags: int) -> tuple[str, str]:
        asked.append(address[0])
        return f"host-{address[0]}", "0"

    monkeypatch.setattr(socket, "getnameinfo", getnameinfo)
    names = Names(Options())
    for number in range(MOST_NAMES):
        names.host(f"192.0.2.{number}")
    assert names.host("192.0.2.0") == "host-192.0.2.0"
    assert len(asked) == MOST_NAMES
    # One more than there is room for: all are asked for again.
    names.host("198.51.100.1")
    names.host("192.0.2.0")
    assert asked[MOST_NAMES:] == ["198.51.100.1", "192.0.2.0"]
