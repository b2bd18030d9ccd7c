"""Which map it is: by the name in the options to the module that is loaded for it."""

import importlib
import importlib.metadata
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from perdition.maps import Found, Map, MapFailed, MapSettings, Query
from perdition.maps.cache import Cached
from perdition.maps.files import FileMap
from perdition.maps.foreign import Foreign, out_of_order

# Distributions name the maps that they add in this group of entry points.
GROUP = "perdition.maps"
LIBRARY = re.compile(r"(?:.*/)?libperditiondb_(\w+)\.so[.\d]*")


class Store(NamedTuple):
    """A map that comes with this program.

    Attributes:
        place: module and class.
        debian, pypi: the packages to install where a library is missing.
        is_file: whether its option is the name of a file, or begins with one.
    """

    place: str
    debian: str = ""
    pypi: str = ""
    is_file: bool = False


STORES = {
    "gdbm": Store("gdbm:Gdbm", "libgdbm6", is_file=True),
    "bdb": Store("bdb:Bdb", "python3-bsddb3", "perdition[bdb]", is_file=True),
    "cdb": Store("cdb:Cdb", is_file=True),
    "daemon": Store("daemon:Daemon", is_file=True),
    "http": Store("auth_http:AuthHttp", "python3-urllib3", "perdition[http]"),
    "ldap": Store("ldap_directory:Ldap", "python3-ldap", "perdition[ldap]"),
    "nis": Store("nis:Nis", "libnsl2"),
    "posix_regex": Store("regex:Regex", is_file=True),
    "mysql": Store("mysql:Mysql", "python3-sqlalchemy python3-pymysql", "perdition[mysql]"),
    "postgresql": Store(
        "postgresql:Postgresql",
        "python3-sqlalchemy python3-psycopg2",
        "perdition[postgresql]",
    ),
    "odbc": Store("odbc:Odbc", "python3-sqlalchemy python3-pyodbc", "perdition[odbc]"),
    "python": Store("callable:PythonFunction"),
    "redis": Store("redis_store:Redis", "python3-redis", "perdition[redis]"),
    "sql": Store("sql:Sql", "python3-sqlalchemy", "perdition[sql]"),
}


class NoMap:
    """Where no map is configured: nothing is found."""

    by_key_alone = True

    def lookup(self, _query: Query, /) -> Found:
        return None

    def close(self) -> None:
        return


class Latest:
    """The map of now: sessions that are there already see a new one as well."""

    def __init__(self, opened: Map) -> None:
        self._map = opened
        self.by_key_alone = opened.by_key_alone

    def lookup(self, query: Query, /) -> Found:
        """The value of a key, None where there is none.

        Raises:
            MapFailed: the store is out of order.
        """
        return self._map.lookup(query)

    def read_ahead(self) -> None:
        """In a worker that begins: read a map in a file, which stays in use when that breaks."""
        opened = self._map.find if isinstance(self._map, Cached) else self._map
        if isinstance(opened, FileMap):
            opened.begin()

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


def whole_option(library: str, option: str) -> str:
    """The option of a map, with the whole path where it names a file by a relative one."""
    store = STORES.get(map_name(library))
    return str(Path(option).absolute()) if option and store and store.is_file else option


def open_map(library: str, option: str, settings: MapSettings) -> Map:
    """Open the map that the options name.

    Args:
        library: `map_library`; empty for none.
        option: `map_library_opt`; empty for the map's own default.
        settings: what else it is told.

    Raises:
        MapFailed: there is no such map, or it cannot be used.
    """
    if not library:
        return NoMap()
    name = map_name(library)
    if name in STORES:
        store = find_store(name)
        with out_of_order(f"map {name}", MapFailed):
            return store(option, settings)  # type: ignore[no-any-return]
    return Foreign(name, find_others(name, library), option, settings)


def find_store(name: str) -> Callable[[str, MapSettings], Any]:
    """The class of a map of ours.

    Raises:
        MapFailed: a library that it needs is missing.
    """
    store = STORES[name]
    module, _, class_name = store.place.partition(":")
    try:
        return getattr(importlib.import_module(f"perdition.maps.{module}"), class_name)  # type: ignore[no-any-return]
    except ImportError as error:
        raise MapFailed(
            f"map {name}: {error}: install Debian's {store.debian} or PyPI's {store.pypi}"
        ) from error


def find_others(name: str, library: str) -> Callable[[str, MapSettings], Any]:
    """What makes a map of others'.

    Args:
        name: of the map.
        library: `map_library`, for the message.

    Raises:
        MapFailed: there is none of that name, or it cannot be loaded.
    """
    others = {each.name: each for each in importlib.metadata.entry_points(group=GROUP)}
    if name not in others:
        there = ", ".join(sorted({*STORES, *others}))
        raise MapFailed(f"map_library {library!r}: there is no such map; there are {there}")
    with out_of_order(f"map {name}, of {others[name].value}"):
        return others[name].load()  # type: ignore[no-any-return]
