"""python: a function of the operator's own."""

import importlib
import importlib.util
import operator
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from perdition.maps import Answer, MapFailed, MapSettings, Query, may_come_from_key
from perdition.maps.foreign import as_destination, out_of_order
from perdition.net import ServerItem
from perdition.protocols import decode, encode
from perdition.threads import Threads, TookTooLong


class PythonFunction:
    """A function that is called with a user's name.

    It is called by several threads at the same time, as many as `map_connections` says, which are
    started when they are needed and kept.
    """

    by_key_alone = True

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Load the function.

        Args:
            option: ``MODULE:FUNCTION`` or ``/PATH/FILE.py:FUNCTION``.
            settings: what all maps are told.

        Raises:
            MapFailed: it cannot be loaded.
        """
        self._name = f"python: {option}"
        self._function = load(option)
        self._seconds = settings.timeout or None
        self._threads = Threads(settings.connections, "map")

    def lookup(self, query: Query, /) -> bytes | Answer | None:
        """What the function says of a user.

        Raises:
            MapFailed: it raises an exception, takes too long, or returns nonsense.
        """
        try:
            found = self._threads.call(lambda: self._call(decode(query.key)), self._seconds)
        except TookTooLong as error:
            raise MapFailed(f"{self._name}: {error}") from error
        return None if isinstance(found, bytes) and may_come_from_key(found, query.key) else found

    def _call(self, user: str) -> bytes | Answer | None:
        """What a thread does."""
        with out_of_order(self._name):
            return as_found(self._function(user))

    def close(self) -> None:
        self._threads.close()


def as_found(value: object) -> bytes | Answer | None:
    """What the function has returned, as maps say it.

    Raises:
        MapFailed: it is none of what it may be.
    """
    match value:
        case None | bytes():
            return value
        case str():
            return encode(value)
        case ServerItem():
            return Answer([as_destination(value)])
    raise MapFailed(
        f"returned {type(value).__name__}, and not str, bytes, None or a ServerItem of three str"
    )


def load(option: str) -> Callable[[str], object]:
    """The function that an option names.

    Raises:
        MapFailed: there is none.
    """
    place, _, name = option.rpartition(":")
    if not place or not name:
        raise MapFailed(
            f"map_library_opt: {option!r} is neither MODULE:FUNCTION nor /PATH/FILE.py:FUNCTION"
        )
    with out_of_order(f"python: {option}"):
        module = run_file(Path(place)) if "/" in place else importlib.import_module(place)
        function: Any = operator.attrgetter(name)(module)
    if not callable(function):
        raise MapFailed(f"python: {option}: is {type(function).__name__}, and cannot be called")
    return function  # type: ignore[no-any-return]


class Uncompiled(SourceFileLoader):
    """Loads a file that has no compiled copy beside it.

    None is written into /etc, and none is used that is older than the file.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def run_file(path: Path) -> ModuleType:
    """The module that a file makes, new each time: it is read again at HUP.

    Its directory is not searched for modules that it imports.

    Raises:
        Exception: what goes wrong in it.
    """
    if not path.is_absolute():
        raise MapFailed("the name of a file begins with /")
    # By this name no other module looks for it.
    name = f"perdition_map_{path.stem}"
    loader = Uncompiled(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None  # noqa: S101 - there is a loader
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look there for the module that they are in.
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise
    return module
