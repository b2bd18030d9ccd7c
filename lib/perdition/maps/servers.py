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
            waited = self._take_place()
            try:
                return self._ask_in_order(question, waited)
            finally:
                self._places.release()

    def _take_place(self) -> str:
        """Wait until there are few enough that ask.

        Returns:
            Why there is little time left, if that is so.
        """
        with contextlib.suppress(TimeoutError):
            seconds, start = left(), monotonic()
            if self._places.acquire(timeout=seconds):
                waited = monotonic() - start
                is_long = seconds is not None and waited > seconds / 2
                return f"{self._in_use} for {waited:.3g} s" if is_long else ""
        raise MapFailed(f"{self._in_use} for {self._timeout:g} s")

    @property
    def _in_use(self) -> str:
        return f"all {self._most} connections to {self} were in use"

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

    def _ask_in_order(self, question: Callable[[Server], T], hurry: str) -> T:
        """Ask one after the other.

        Args:
            question: asks one.
            hurry: why there is little time; then it is no fault of a server's to fail.
        """
        reasons = [hurry] if hurry else []
        order = self._order()
        for tried, number in enumerate(order):
            server = self._servers[number]
            try:
                with share(len(order) - tried):
                    answer = question(server)
            except ServerFailed as error:
                if not hurry:
                    self._rests[number] = monotonic() + REST_SECONDS
                reasons.append(f"{server}: {error}")
            except BaseException:
                # It has answered.
                self._rests.pop(number, None)
                raise
            else:
                self._rests.pop(number, None)
                return answer
        raise MapFailed("; ".join(reasons))

    def __iter__(self) -> Iterator[Server]:
        return iter(self._servers)

    def __str__(self) -> str:
        return ", ".join(map(str, self._servers))
