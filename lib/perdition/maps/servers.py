"""The servers of a store: which of them is asked, by how many at a time, and for how long."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Generic, TypeVar

from perdition.maps import MapFailed, MapSettings
from perdition.maps.deadlines import left, limited, share

Server = TypeVar("Server")
T = TypeVar("T")
# One that failed is asked after the others for so long: each look-up would wait for it else.
REST_SECONDS = 10


class ServerFailed(Exception):
    """A server cannot answer now; the text says why."""


class Servers(Generic[Server]):
    """Servers that are asked in order, until one answers.

    `map_connections` threads ask at the same time, so that none of them lacks a connection, and
    others wait. What a look-up may take is divided among the servers that it may have to try.
    """

    def __init__(self, servers: Sequence[Server], settings: MapSettings) -> None:
        """Begin with all of them.

        Args:
            servers: what a question is put to; as a text, without a secret, it names the server.
            settings: of these, `timeout` and `connections`.
        """
        self._servers = servers
        self._timeout = settings.timeout
        self._most = settings.connections
        self._places = threading.Semaphore(settings.connections)
        self._rests: dict[int, float] = {}

    def ask(self, question: Callable[[Server], T]) -> T:
        """Put a question to a server.

        Args:
            question: asks one; it raises ServerFailed for the next one to be asked.

        Raises:
            MapFailed: there was no answer in time, or only failures; or raised by question.
        """
        with limited(self._timeout):
            self._take_place()
            try:
                return self._ask_in_order(question)
            finally:
                self._places.release()

    def _take_place(self) -> None:
        """Wait until there are few enough that ask."""
        with contextlib.suppress(TimeoutError):
            if self._places.acquire(timeout=left()):
                return
        raise MapFailed(
            f"all {self._most} connections to {self} were in use for {self._timeout:g} s"
        )

    def _order(self) -> list[int]:
        """The servers' numbers, those last that rest.

        The first look-up after a rest tries the server, and others leave it alone until that has
        gone well. What is written last counts: there is no lock.
        """
        now = monotonic()
        order = sorted(
            range(len(self._servers)), key=lambda number: self._rests.get(number, now) > now
        )
        if order[0] in self._rests:
            self._rests[order[0]] = now + REST_SECONDS
        return order

    def _ask_in_order(self, question: Callable[[Server], T]) -> T:
        reasons = []
        order = self._order()
        for tried, number in enumerate(order):
            server = self._servers[number]
            try:
                with share(len(order) - tried):
                    answer = question(server)
            except ServerFailed as error:
                reasons.append(f"{server}: {error}")
                self._rests[number] = monotonic() + REST_SECONDS
            else:
                self._rests.pop(number, None)
                return answer
        raise MapFailed("; ".join(reasons))

    def __iter__(self) -> Iterator[Server]:
        return iter(self._servers)

    def __str__(self) -> str:
        return ", ".join(map(str, self._servers))
