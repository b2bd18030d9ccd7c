"""nis: a map of NIS, once Yellow Pages (reference: maps.md section 7)."""

import threading
import time

from perdition.maps import MapFailed, MapSettings, Query
from perdition.maps.libnsl import NisError, default_domain, library, match
from perdition.protocols import encode

DEFAULT = "user_mail_server"


class Nis:
    """Looks up in the map of this machine's own domain.

    The library may wait for longer than a look-up may take, about 40 seconds where a server does
    not answer, and nothing can end its waiting. So each call has a thread of its own, which a
    look-up waits for only as long as it may. There are never more of them than
    `settings.connections`: where all wait for the library, look-ups wait for one of these to end.
    """

    by_key_alone = True

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Use the map named by option.

        Raises:
            MapFailed: the library is missing.
        """
        self._name = option or DEFAULT
        self._seconds = settings.timeout or None
        self._free = threading.BoundedSemaphore(settings.connections)
        try:
            library()
        except NisError as error:
            raise MapFailed(f"nis: {error}") from error

    def lookup(self, query: Query, /) -> bytes | None:
        """The value of a key.

        Raises:
            MapFailed: NIS does not answer, or it says something else than that it has the key or
                does not.
        """
        start = time.monotonic()
        if not self._free.acquire(timeout=self._seconds):
            raise self._silent()
        call = Call(self._name, query.key, self._free)
        try:
            call.start()
        except RuntimeError as error:
            self._free.release()
            raise MapFailed(f"nis: {error}") from error
        call.join(None if self._seconds is None else start + self._seconds - time.monotonic())
        if call.error is not None:
            raise MapFailed(f"nis: {self._name}: {call.error}") from call.error
        if not call.has_ended:
            raise self._silent()
        return call.value

    def _silent(self) -> MapFailed:
        return MapFailed(f"nis: {self._name}: no answer within {self._seconds:g} seconds")

    def close(self) -> None:
        return


class Call(threading.Thread):
    """A call of the library.

    Attributes:
        has_ended: whether there is a value, which may be None.
        value: the map's value of the key.
        error: why there is none; None where there is.
    """

    def __init__(self, name: str, key: bytes, free: threading.Semaphore) -> None:
        """Prepare it.

        Args:
            name: of the map.
            key: what to look up.
            free: is released when the call has ended, whatever has come of it.
        """
        super().__init__(name="nis", daemon=True)
        self._map, self._key, self._free = name, key, free
        self.has_ended = False
        self.value: bytes | None = None
        self.error: NisError | None = None

    def run(self) -> None:
        try:
            found = match(default_domain(), encode(self._map), self._key)
            self.value = None if found is None else found.removesuffix(b"\0")
            self.has_ended = True
        except NisError as error:
            self.error = error
        finally:
            self._free.release()
