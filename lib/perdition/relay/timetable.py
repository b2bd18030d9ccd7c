"""When something has to be done about which session."""

import heapq
import math
from collections.abc import Iterable

from perdition.relay.ends import Relayed


class Timetable:
    """Sessions by the second in which something has to be done about them.

    What is waiting is never gone through: a session that ends leaves its second.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, set[Relayed]] = {}
        self._order: list[int] = []

    def put(self, relayed: Relayed, moment: float) -> None:
        """Note that session for a moment."""
        second = int(moment) + 1
        relayed.due = second
        those = self._seconds.get(second)
        if those is None:
            those = self._seconds[second] = set()
            heapq.heappush(self._order, second)
        those.add(relayed)

    def drop(self, relayed: Relayed) -> None:
        """Forget a session."""
        those = self._seconds.get(relayed.due)
        if those is not None:
            those.discard(relayed)

    def next(self) -> float:
        """The moment of the next ones."""
        while self._order and not self._seconds[self._order[0]]:
            del self._seconds[heapq.heappop(self._order)]
        return self._order[0] if self._order else math.inf

    def take(self, now: float) -> Iterable[Relayed]:
        """Take the sessions whose moment has come."""
        due: list[Relayed] = []
        while self._order and self._order[0] <= now:
            due += self._seconds.pop(heapq.heappop(self._order))
        return due
