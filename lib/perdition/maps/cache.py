"""A memory of what a map has said, for a worker."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from perdition.maps import Found, Map, MapFailed, Query, Refusal, read_value, tell_nobody

# Anybody may ask for names that there are not: these are kept apart.
MOST_KEYS, MOST_MISSED = 100_000, 10_000
# A map that took so long to fail is left alone for a while, where something serves in its place.
SLOW_SECONDS, REST_SECONDS = 1, 10
SERVES = "what it said last serves (map_cache_stale)"


class Remembered(NamedTuple):
    """What the map said of a key, and the moment when it was asked."""

    found: Found
    asked: float


class Cached:
    """A map that is asked again only when what it said is too old.

    While it is out of order, what it said last serves, unless that is too old even for this. The
    keys used last are kept. A lock guards them; nobody holds it while the map is asked.

    Attributes:
        find: the map.
    """

    by_key_alone = True

    def __init__(
        self,
        find: Map,
        *,
        found: float,
        not_found: float,
        stale: float,
        delimiter: str = "@",
        tell: Callable[[str], None] = tell_nobody,
        most: int = MOST_KEYS,
        most_missed: int = MOST_MISSED,
    ) -> None:
        """Remember what a map says.

        Args:
            find: the map.
            found: `map_cache_found`: seconds for which what was found is not asked again.
            not_found: `map_cache_not_found`: the same for keys that the map does not have.
            stale: `map_cache_stale`: seconds for which what it said serves while the map is out
                of order.
            delimiter: `domain_delimiter`: nonsense is nothing to remember.
            tell: is told once that the map is out of order while what it said serves.
            most: how many keys are kept that the map has.
            most_missed: how many others.

        Raises:
            MapFailed: the map's answers depend on more than the key.
        """
        if not find.by_key_alone:
            raise MapFailed(
                "what this map says depends on more than the key, and cannot be remembered: "
                "set map_cache_found, map_cache_not_found and map_cache_stale to 0"
            )
        self.find = find
        self._found, self._not_found, self._stale = found, not_found, stale
        self._delimiter = delimiter
        self._tell = tell
        self._most, self._most_missed = most, most_missed
        self._lock = threading.Lock()
        self._has: OrderedDict[bytes, Remembered] = OrderedDict()
        self._has_not: OrderedDict[bytes, Remembered] = OrderedDict()
        # What is written last counts: there is no lock for these.
        self._in_trouble = False
        self._rests_until = 0.0

    def lookup(self, query: Query, /) -> Found:
        """The value of a key, None where there is none.

        Raises:
            MapFailed: the store is out of order, and nothing serves in its place.
        """
        now = time.monotonic()
        known = self._recall(query.key)
        if known is not None:
            age = now - known.asked
            if age < (self._not_found if known.found is None else self._found):
                return known.found
            if age >= self._stale:
                known = None
            elif self._rests(now):
                return known.found
        try:
            found = self.find.lookup(query)
        except MapFailed as error:
            if known is None:
                raise
            self._note_trouble(error, time.monotonic() - now)
            return known.found
        self._in_trouble = False
        self._rests_until = 0.0
        try:
            if isinstance(found, bytes):
                found = read_value(found, self._delimiter)
        except MapFailed as error:
            if known is None:
                raise
            # Of this key alone.
            self._tell(f"{error}: {SERVES}")
            return known.found
        self._remember(query.key, found, now)
        return found

    def _recall(self, key: bytes) -> Remembered | None:
        with self._lock:
            for kept in (self._has, self._has_not):
                if (known := kept.get(key)) is not None:
                    kept.move_to_end(key)
                    return known
        return None

    def _remember(self, key: bytes, found: Found, now: float) -> None:
        with self._lock:
            known = self._has.get(key) or self._has_not.get(key)
            if known is not None and known.asked > now:
                # Somebody has asked later, and heard sooner.
                return
            self._has.pop(key, None)
            self._has_not.pop(key, None)
            kept, most, seconds = self._has, self._most, self._found
            if found is None:
                kept, most, seconds = self._has_not, self._most_missed, self._not_found
            if isinstance(found, Refusal) or not max(seconds, self._stale):
                return
            kept[key] = Remembered(found, now)
            if len(kept) > most:
                kept.popitem(last=False)

    def _rests(self, now: float) -> bool:
        """Whether the map is left alone; the first look-up after that time is to try it again."""
        if now < self._rests_until:
            return True
        if self._rests_until:
            self._rests_until = now + REST_SECONDS
        return False

    def _note_trouble(self, error: MapFailed, seconds: float) -> None:
        """The map has failed, after so many seconds, and what it said before serves."""
        if seconds >= SLOW_SECONDS:
            self._rests_until = time.monotonic() + REST_SECONDS
        if not self._in_trouble:
            self._in_trouble = True
            self._tell(f"{error}: {SERVES}")

    def close(self) -> None:
        self.find.close()
