"""Maps whose code is not ours: whatever goes wrong in them is a map that is out of order."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from perdition.maps import (
    Answer,
    Found,
    MapFailed,
    MapSettings,
    Query,
    Refusal,
    check_item,
    may_come_from_key,
    shown,
)
from perdition.net import ServerItem
from perdition.parameters import Parameters
from perdition.protocols import encode


@contextlib.contextmanager
def out_of_order(name: str, *passed: type[Exception]) -> Iterator[None]:
    """What the body raises is that a map is out of order.

    Code that is not ours may want to end the process, or raise what no `except Exception` sees, as
    asyncio does; it may not. Only who sits before the program may interrupt it: its first thread.

    Args:
        name: of the map, for the message.
        passed: exceptions that are left as they are.

    Raises:
        MapFailed: it has raised something; the text says what.
    """
    try:
        yield
    except passed:
        raise
    except BaseException as error:
        is_first = threading.current_thread() is threading.main_thread()
        if is_first and isinstance(error, KeyboardInterrupt):
            raise
        raise MapFailed(f"{name}: {described(error)}") from error


def described(error: BaseException) -> str:
    """An exception, whatever its own text is worth."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - that is not our code either
        text = "it has no text"
    return text if isinstance(error, MapFailed) else f"{type(error).__name__}: {shown(text)}"


def as_found(value: object) -> Found:
    """What a map of others' has returned.

    Raises:
        MapFailed: no map says that.
    """
    match value:
        case None | bytes() | Refusal(str()):
            return value
        case Answer(destinations, None | bytes()):
            return value._replace(destinations=[as_destination(each) for each in destinations])
    raise MapFailed(
        f"returned {type(value).__name__}, and not bytes, a whole Answer or Refusal, or None"
    )


def as_destination(value: object) -> ServerItem:
    """A destination that code of others' has made.

    Raises:
        MapFailed: it cannot be one.
    """
    match value:
        case ServerItem(str(), str(), str(), None | Parameters()):
            check_item(value, str(value))
            return value
    raise MapFailed(f"{type(value).__name__} is no ServerItem of three str")


class Foreign:
    """A map of others', asked with care."""

    def __init__(
        self,
        name: str,
        store: Callable[[str, MapSettings], Any],
        option: str,
        settings: MapSettings,
    ) -> None:
        """Open it.

        Args:
            name: of the map.
            store: makes it.
            option: `map_library_opt`.
            settings: what else it is told.

        Raises:
            MapFailed: it cannot be used.
        """
        self._name = f"map {name}"
        with out_of_order(self._name, MapFailed):
            opened = store(option, settings)
            self.by_key_alone: bool = bool(opened.by_key_alone)
            self._lookup: Callable[[Query], object] = opened.lookup
            self._close: Callable[[], object] = opened.close

    def lookup(self, query: Query, /) -> Found:
        """What it says of a key.

        Raises:
            MapFailed: it raises something, or says what no map says.
        """
        with out_of_order(self._name, MapFailed):
            said = self._lookup(query)
        with out_of_order(self._name):
            found = as_found(said)
        names = query.key + encode(query.user)
        return None if isinstance(found, bytes) and may_come_from_key(found, names) else found

    def close(self) -> None:
        # A new one is in its place already.
        with contextlib.suppress(MapFailed), out_of_order(self._name, MapFailed):
            self._close()
