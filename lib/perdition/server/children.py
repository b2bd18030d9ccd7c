"""The workers, as the master sees them: who there is, who has died, who is to be started again."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from perdition.logs import Log
from perdition.server.slots import Slot, Slots
from perdition.server.worker import LEAVING, READY, RETIRE

# A worker that ends sooner than this is not started again at once.
YOUNG_SECONDS = 1.0
LONGEST_PAUSE = 10.0
# So many workers in a row that never served make the start a failure.
MOST_STILLBORN = 5


@dataclass(slots=True)
class Child:
    """A worker.

    Attributes:
        place: its number among the workers.
        slot: the number of its connections.
        control: what it is told goes over this.
        retired: it was told to leave, and is not to be started again.
        has_follower: another one is to take its place, and it is told to leave then.
        served: it has said that it serves.
        is_silent: it has ended, and says nothing more.
    """

    place: int
    slot: Slot
    control: socket.socket
    started: float = field(default_factory=time.monotonic)
    retired: bool = False
    has_follower: bool = False
    served: bool = False
    is_silent: bool = False


class Children:
    """All workers that live, and the places that wait for another one.

    Attributes:
        have_served: one of them has said that it serves.
    """

    def __init__(self, log: Log) -> None:
        """None yet; what happens to them goes to the log."""
        self._log = log
        self._slots = Slots()
        self._living: dict[int, Child] = {}
        self._due: list[tuple[float, int]] = []
        self._stillborn = 0
        self.have_served = False
        # How often in a row the worker of a place has died young.
        self._died_young: dict[int, int] = {}

    def fileno(self) -> int:
        """The descriptor that their numbers of connections need."""
        return self._slots.fileno()

    def __len__(self) -> int:
        return len(self._living)

    @property
    def cannot_start(self) -> bool:
        """Whether so many have ended without having served that there is no hope.

        Where some have served before, what they lack now may be there again in a while.
        """
        return self._stillborn >= MOST_STILLBORN and not self.have_served

    def take_slot(self) -> Slot:
        """A number of connections, for a worker that is about to be started."""
        return self._slots.take()

    def add(self, pid: int, place: int, slot: Slot, control: socket.socket) -> None:
        """A worker was started."""
        self._living[pid] = Child(place, slot, control)

    def forget(self) -> None:
        """Leave them to the master: in a forked child."""
        for child in self._living.values():
            child.control.close()

    def speakers(self) -> dict[int, Child]:
        """Those that may say something, by the descriptor that tells."""
        return {each.control.fileno(): each for each in self._living.values() if not each.is_silent}

    def hear(self, child: Child) -> None:
        """One of these has said something, or has ended."""
        said = b""
        # It may have died with words of ours unread: that is an error here.
        with contextlib.suppress(OSError):
            said = child.control.recv(64, socket.MSG_DONTWAIT)
        if said == READY:
            child.served = self.have_served = True
            self._retire_before(child)
        elif said == LEAVING and child.has_follower:
            child.retired = True
        elif said == LEAVING and not child.retired:
            # Somebody else has told it to; until it has ended it takes no connection.
            child.retired = True
            self._log.notice(f"Worker {child.place} was told to leave: starting another")
            self._due.append((time.monotonic(), child.place))
        elif not said:
            child.is_silent = True

    def bury(self) -> set[int]:
        """Take notice of those that have ended; the places of some are due then.

        Returns:
            The numbers of ended processes that are none of them.
        """
        others: set[int] = set()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return others
            if not pid:
                return others
            child = self._living.pop(pid, None)
            if child is None:
                others.add(pid)
                continue
            while not child.is_silent:
                self.hear(child)
            child.control.close()
            self._slots.give_back(child.slot)
            if not child.retired:
                self._note_death(child, pid, os.waitstatus_to_exitcode(status))

    def _note_death(self, child: Child, pid: int, code: int) -> None:
        """One has ended that was not told to."""
        how = f"signal {-code}" if code < 0 else f"status {code}"
        self._log.error(f"Worker {child.place} [{pid}] ended with {how}: starting another")
        if child.has_follower:
            return
        now = time.monotonic()
        pause = 0.0
        times = self._died_young.pop(child.place, 0)
        self._stillborn += not child.served
        if now - child.started < YOUNG_SECONDS:
            self._died_young[child.place] = times + 1
            pause = min(0.1 * 2**times, LONGEST_PAUSE)
        self._due.append((now + pause, child.place))

    def put_off(self, place: int, slot: Slot) -> None:
        """A worker could not be started: its place is due in a while."""
        self._slots.give_back(slot)
        self._stillborn += 1
        self._due.append((time.monotonic() + YOUNG_SECONDS, place))

    def seconds_to_due(self) -> float | None:
        """How long until the first place is due, None where none is."""
        if not self._due:
            return None
        return max(min(moment for moment, _ in self._due) - time.monotonic(), 0)

    def take_due(self) -> Iterator[int]:
        """The places whose pause is over."""
        now = time.monotonic()
        for each in [each for each in self._due if each[0] <= now]:
            self._due.remove(each)
            yield each[1]

    def retire(self, message: bytes) -> None:
        """Tell all to leave, with that message; nobody takes their places."""
        self._due.clear()
        for child in self._living.values():
            self._retire(child, message)

    def expect_followers(self) -> set[int]:
        """Have others take the places of all: each leaves when its follower serves.

        Returns:
            The places.
        """
        places = {child.place for child in self._living.values()}
        places |= {place for _moment, place in self._due}
        self._due.clear()
        for child in self._living.values():
            child.has_follower = True
        return places

    def _retire_before(self, follower: Child) -> None:
        """One serves: those before it in its place leave."""
        for child in self._living.values():
            if child is follower:
                return
            if child.place == follower.place and not child.retired:
                self._retire(child, RETIRE)

    @staticmethod
    def _retire(child: Child, message: bytes) -> None:
        child.retired = True
        with contextlib.suppress(OSError):
            child.control.send(message)

    def send_descriptor(self, message: bytes, descriptor: int) -> None:
        """Give all of them an open file."""
        for child in self._living.values():
            with contextlib.suppress(OSError):
                socket.send_fds(child.control, [message], [descriptor])
