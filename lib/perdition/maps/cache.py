"""A memory of what a map has said, for a worker."""

import threading
import time
from collections import OrderedDict
from typing import NamedTuple

from perdition.maps import Found, Map, MapFailed, Query, Refusal

MOST_KEYS = 100_000


class Remembered(NamedTuple):
    """What the map said of a key, and the moment when it was asked."""

    found: Found
    asked: float


class Cached:
    """A map that is asked again only when what it said is too old.

    While it is out of order, what it found last serves, unless that is too old even for this. The
    keys used last are kept. A lock guards them; nobody holds it while the map is asked.

    Attributes:
        find: the map.
    """

    by_key_alone = True

    def __init__(
        self, find: Map, *, found: float, not_found: float, stale: float, most: int = MOST_KEYS
    ) -> None:
        """Remember what a map says.

        Args:
            find: the map.
            found: `map_cache_found`: seconds for which what was found is not asked again.
            not_found: `map_cache_not_found`: the same for keys that the map does not have.
            stale: `map_cache_stale`: seconds for which what was found serves while the map is out
                of order.
            most: how many keys are kept.

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
        self._most = most
        self._lock = threading.Lock()
        self._remembered: OrderedDict[bytes, Remembered] = OrderedDict()

    def lookup(self, query: Query, /) -> Found:
        """The value of a key, None where there is none.

        Raises:
            MapFailed: the store is out of order, and nothing serves in its place.
        """
        key, now = query.key, time.monotonic()
        with self._lock:
            known = self._remembered.get(key)
            if known is not None:
                self._remembered.move_to_end(key)
        if known is not None:
            fresh = self._not_found if known.found is None else self._found
            if now - known.asked < fresh:
                return known.found
        try:
            found = self.find.lookup(query)
        except MapFailed:
            if known is None or known.found is None or now - known.asked >= self._stale:
                raise
            return known.found
        self._remember(key, found, now)
        return found

    def _remember(self, key: bytes, found: Found, now: float) -> None:
        with self._lock:
            known = self._remembered.get(key)
            if known is not None and known.asked > now:
                # Somebody has asked later, and heard sooner.
                return
            if isinstance(found, Refusal) or (found is None and not self._not_found):
                self._remembered.pop(key, None)
                return
            self._remembered[key] = Remembered(found, now)
            self._remembered.move_to_end(key)
            if len(self._remembered) > self._most:
                self._remembered.popitem(last=False)

    def close(self) -> None:
        self.find.close()
