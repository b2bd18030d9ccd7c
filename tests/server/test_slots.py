"""Numbers that workers share."""

import os

from perdition.server.slots import Slots


def test_a_number_that_is_given_back_counts_no_more() -> None:
    slots = Slots()
    one, other = slots.take(), slots.take()
    one.set(3)
    other.set(4)
    assert slots.total() == 7
    slots.give_back(one)
    assert slots.total() == 4
    assert slots.take().place == one.place
    assert slots.total() == 4


def test_a_worker_with_more_than_its_share_is_ahead() -> None:
    slots = Slots()
    one, other, retired = slots.take(), slots.take(), slots.take()
    one.accepts(True)
    other.accepts(True)
    # Who accepts nothing has no share.
    retired.set(5000)
    one.set(510)
    other.set(490)
    assert not one.is_ahead
    one.set(560)
    other.set(440)
    assert one.is_ahead
    assert not other.is_ahead
    slots.give_back(other)
    assert not one.is_ahead


def test_a_few_connections_more_are_no_matter() -> None:
    slots = Slots()
    one, other = slots.take(), slots.take()
    one.accepts(True)
    other.accepts(True)
    one.set(20)
    assert not one.is_ahead


def test_all_together_stay_within_the_limit() -> None:
    slots = Slots()
    one, other = slots.take(), slots.take()
    assert one.raise_to(1, 2)
    assert other.raise_to(1, 2)
    assert not one.raise_to(2, 2)
    assert one.raise_to(2, 0)
    assert slots.total() == 3


def test_processes_that_count_at_the_same_time_stay_within_the_limit() -> None:
    slots, limit = Slots(), 100
    taken = [slots.take() for _ in range(4)]
    pids = []
    for slot in taken:
        pid = os.fork()
        if not pid:
            count = 0
            for _ in range(limit):
                count += slot.raise_to(count + 1, limit)
            os._exit(0)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    assert slots.total() == limit
