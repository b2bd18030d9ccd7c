"""Numbers that all workers can see: how many connections each of them has."""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

SIZE = 8
# Workers at a time, with those that live on beside the ones that have followed them.
MOST = 8192
# A worker is ahead of others with so many times the mean, and some more: connections that come and
# go are no matter.
AHEAD, SOME = 1.05, 16


class Slots:
    """One number a worker, in memory that all of them share; each writes its own only.

    The lock is one of files: it goes with the process that holds it.
    """

    def __init__(self) -> None:
        """No worker has a number yet."""
        self._descriptor = os.memfd_create("connections")
        size = (1 + 2 * MOST) * SIZE
        os.ftruncate(self._descriptor, size)
        numbers = memoryview(mmap.mmap(self._descriptor, size)).cast("Q")
        # The first one says how many of the others are, or were, in use; the last ones say who
        # accepts connections.
        self._used, self._numbers, self._accepting = (
            *(numbers[:1], numbers[1 : 1 + MOST]),
            numbers[1 + MOST :],
        )
        self._taken: set[int] = set()

    def fileno(self) -> int:
        """The descriptor of the lock."""
        return self._descriptor

    def take(self) -> "Slot":
        """A new worker's number; it is 0. For the master."""
        place = next((each for each in range(MOST) if each not in self._taken), MOST - 1)
        self._taken.add(place)
        self._used[0] = max(self._used[0], place + 1)
        return Slot(self, place)

    def give_back(self, slot: "Slot") -> None:
        """That worker has ended, and its connections with it. For the master."""
        slot.set(0)
        slot.accepts(False)
        self._taken.discard(slot.place)

    def number(self, place: int) -> memoryview:
        """That of one worker."""
        return self._numbers[place : place + 1]

    def accepting(self, place: int) -> memoryview:
        """Whether that worker accepts connections, 1 or 0."""
        return self._accepting[place : place + 1]

    def shares(self) -> list[int]:
        """The numbers of all workers that accept connections."""
        used = self._used[0]
        pairs = zip(self._numbers[:used].tolist(), self._accepting[:used].tolist(), strict=True)
        return [number for number, accepts in pairs if accepts]

    def total(self) -> int:
        return sum(self._numbers[: self._used[0]])

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the other workers from looking and adding; within one, another lock must do so."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


class Slot:
    """A worker's number."""

    def __init__(self, slots: Slots, place: int) -> None:
        self._slots = slots
        self.place = place
        self._number = slots.number(place)
        self._accepting = slots.accepting(place)

    def set(self, number: int) -> None:
        self._number[0] = number

    def accepts(self, does: bool) -> None:
        """Say whether the worker accepts connections."""
        self._accepting[0] = does

    @property
    def is_ahead(self) -> bool:
        """Whether the worker has more than its share of the connections."""
        number = self._number[0]
        if number <= SOME:
            # As is nearly always so where they come and go: no need to look at the others.
            return False
        shares = self._slots.shares()
        return number * len(shares) > sum(shares) * AHEAD + SOME * len(shares)

    def raise_to(self, number: int, limit: int) -> bool:
        """Set it to one more than before, if all together are not over the limit (0: none) then."""
        if not limit:
            self.set(number)
            return True
        with self._slots.locked():
            if self._slots.total() >= limit:
                return False
            self.set(number)
            return True
