"""Numbers that all workers can see: how many connections each of them has."""

import mmap


class Slots:
    """One number a worker, in memory that all of them share; each writes its own only."""

    SIZE = 8

    def __init__(self, count: int) -> None:
        """So many numbers, all 0."""
        self._memory = mmap.mmap(-1, max(count, 1) * self.SIZE)
        self._numbers = memoryview(self._memory).cast("Q")

    def set(self, place: int, number: int) -> None:
        self._numbers[place] = number

    def total(self) -> int:
        return sum(self._numbers)
