"""Maps: the stores that say which real server holds a mailbox."""

import importlib
import re
from typing import Protocol

NAMES = {"gdbm": "Gdbm", "posix_regex": "Regex"}
MODULES = {"gdbm": "perdition.maps.gdbm", "posix_regex": "perdition.maps.regex"}
LIBRARY = re.compile(r"(?:.*/)?libperditiondb_(\w+)\.so[.\d]*")


class MapFailed(Exception):
    """The map is out of order: nothing is known about whether it has the key."""


class Map(Protocol):
    """A store of real servers. Several threads use one at the same time."""

    def lookup(self, key: bytes, /) -> bytes | None:
        """The value of a key, None where there is none.

        Raises:
            MapFailed: the store is out of order.
        """

    def close(self) -> None:
        """Let go of what it holds open."""


class NoMap:
    """Where no map is configured: nothing is found."""

    def lookup(self, _key: bytes, /) -> bytes | None:
        return None

    def close(self) -> None:
        return


class Latest:
    """The map of now: sessions that are there already see a new one as well."""

    def __init__(self, opened: Map) -> None:
        self._map = opened

    def lookup(self, key: bytes, /) -> bytes | None:
        """The value of a key, None where there is none.

        Raises:
            MapFailed: the store is out of order.
        """
        return self._map.lookup(key)

    def replace(self, opened: Map) -> None:
        """Use another map from now on."""
        self._map, old = opened, self._map
        old.close()

    def close(self) -> None:
        self._map.close()


def map_name(library: str) -> str:
    """The name of the map that `map_library` means: by itself or as the original's file name."""
    found = LIBRARY.fullmatch(library)
    return found[1] if found else library


def open_map(library: str, option: str) -> Map:
    """Open the map that the options name.

    Args:
        library: `map_library`; empty for none.
        option: `map_library_opt`; empty for the map's own default.

    Raises:
        MapFailed: there is no such map, or it cannot be used.
    """
    if not library:
        return NoMap()
    name = map_name(library)
    if name not in NAMES:
        raise MapFailed(f"map_library {library!r}: there are {', '.join(sorted(NAMES))}")
    module = importlib.import_module(MODULES[name])
    opened: Map = getattr(module, NAMES[name])(option)
    return opened
