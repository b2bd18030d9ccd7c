"""nis: a map of NIS, once Yellow Pages (reference: maps.md section 7)."""

from perdition.maps import MapFailed, MapSettings, Query
from perdition.maps.libnsl import NisError, default_domain, library, match
from perdition.protocols import encode
from perdition.threads import Threads, TookTooLong

DEFAULT = "user_mail_server"


class Nis:
    """Looks up in the map of this machine's own domain.

    The library may wait for longer than a look-up may take, about 40 seconds where a server does
    not answer, and nothing can end its waiting. So each call is another thread's, which a look-up
    waits for only as long as it may. There are never more of them than `settings.connections`:
    where all wait for the library, look-ups wait for one of these to end.
    """

    by_key_alone = True

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Use the map named by option.

        Raises:
            MapFailed: the library is missing.
        """
        self._name = option or DEFAULT
        self._seconds = settings.timeout or None
        self._threads = Threads(settings.connections, "nis")
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
        try:
            found = self._threads.call(
                lambda: match(default_domain(), encode(self._name), query.key), self._seconds
            )
        except TookTooLong as error:
            raise MapFailed(f"nis: {self._name}: no answer: {error}") from error
        except (NisError, RuntimeError) as error:
            raise MapFailed(f"nis: {self._name}: {error}") from error
        return None if found is None else found.removesuffix(b"\0")

    def close(self) -> None:
        self._threads.close()
