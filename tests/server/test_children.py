"""The workers as the master sees them; the processes are none."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdition.logs import INFO, Log
from perdition.server.children import LONGEST_PAUSE, MOST_STILLBORN, Children
from perdition.server.worker import LEAVING, READY


class Nursery:
    """Workers that say and do what the test wants.

    Attributes:
        children: what the master has of them.
        ended: those whose end it has not heard of.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.children = Children(Log("perdition", str(log), INFO))
        self.ended: list[int] = []
        self.controls: dict[int, socket.socket] = {}

    def add(self, pid: int, place: int, connections: int = 0) -> None:
        ours, self.controls[pid] = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        slot = self.children.take_slot()
        slot.set(connections)
        self.children.add(pid, place, slot, ours)

    def say(self, pid: int, message: bytes) -> None:
        self.controls[pid].send(message)
        self.children.hear(self.children._living[pid])

    def end(self, pid: int) -> None:
        self.controls.pop(pid).close()
        self.ended.append(pid)
        self.children.bury()

    def wait(self, _pid: int, _how: int) -> tuple[int, int]:
        return (self.ended.pop(), 0) if self.ended else (0, 0)


@pytest.fixture
def nursery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nursery]:
    made = Nursery(tmp_path / "log")
    monkeypatch.setattr(os, "waitpid", made.wait)
    yield made
    made.children.forget()
    for each in made.controls.values():
        each.close()


def test_a_worker_that_leaves_while_its_follower_starts_has_no_other(nursery: Nursery) -> None:
    nursery.add(1, 0)
    nursery.say(1, READY)
    assert nursery.children.expect_followers() == {0}
    nursery.say(1, LEAVING)
    nursery.end(1)
    assert nursery.children.seconds_to_due() is None
    assert nursery.log.read_text() == ""


def test_a_worker_that_dies_while_its_follower_starts_has_no_other(nursery: Nursery) -> None:
    nursery.add(1, 0)
    nursery.say(1, READY)
    nursery.children.expect_followers()
    nursery.end(1)
    assert nursery.children.seconds_to_due() is None
    assert "Worker 0 [1] ended with status 0" in nursery.log.read_text()


def test_a_place_that_waits_for_a_worker_gets_one_with_the_new_map(nursery: Nursery) -> None:
    nursery.add(1, 0)
    nursery.children.put_off(1, nursery.children.take_slot())
    assert nursery.children.expect_followers() == {0, 1}
    assert nursery.children.seconds_to_due() is None


def test_connections_of_a_worker_that_has_died_count_no_more(nursery: Nursery) -> None:
    nursery.add(1, 0, connections=3)
    nursery.add(2, 1, connections=4)
    nursery.end(1)
    assert nursery.children._slots.total() == 4
    assert nursery.children.take_slot().place == 0


def test_a_worker_that_cannot_be_started_leaves_its_slot_to_the_next(nursery: Nursery) -> None:
    nursery.children.put_off(0, nursery.children.take_slot())
    assert nursery.children.take_slot().place == 0


@pytest.mark.parametrize("has_served", [False, True])
def test_there_is_hope_only_where_a_worker_has_served(nursery: Nursery, has_served: bool) -> None:
    if has_served:
        nursery.add(1, 0)
        nursery.say(1, READY)
    for _ in range(MOST_STILLBORN):
        assert not nursery.children.cannot_start
        nursery.children.put_off(1, nursery.children.take_slot())
    assert nursery.children.cannot_start == (not has_served)


def test_who_dies_young_again_and_again_is_waited_for_longer_each_time(nursery: Nursery) -> None:
    for pause in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, LONGEST_PAUSE, LONGEST_PAUSE):
        nursery.add(1, 0)
        before = time.monotonic()
        nursery.children._living[1].started = before
        nursery.end(1)
        ((due, place),) = nursery.children._due
        nursery.children._due.clear()
        assert place == 0
        assert before + pause <= due <= time.monotonic() + pause
