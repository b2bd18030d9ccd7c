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
