"""python: a function of the operator's own."""

import itertools
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perdition.maps import Answer, Found, MapFailed, MapSettings, Query
from perdition.maps.callable import PythonFunction
from perdition.net import ServerItem

NUMBERS = itertools.count()


class Code:
    """A file of Python, and the map that uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def opened(
        self, text: str, function: str = "find", timeout: float = 5, connections: int = 4
    ) -> PythonFunction:
        self.path.write_text(text)
        return PythonFunction(
            f"{self.path}:{function}", MapSettings(timeout=timeout, connections=connections)
        )

    def lookup(self, text: str, key: bytes = b"ann") -> Found:
        found = self.opened(text)
        try:
            return found.lookup(Query(key))
        finally:
            found.close()


@pytest.fixture
def code(tmp_path: Path) -> Code:
    return Code(tmp_path / f"code{next(NUMBERS)}.py")


def function(expression: str) -> str:
    return f"""
import asyncio
from perdition.net import ServerItem
class Mute(Exception):
    def __str__(self): raise RuntimeError
def find(user):
    return {expression}
"""


RETURNED = [
    ("'mail1:143'", b"mail1:143"),
    ("'bob@mail1, mail2'", b"bob@mail1, mail2"),
    ("b'mail\\xff'", b"mail\xff"),
    ("user + '@mail1'", b"m\xfcller@mail1"),
    ("'ü'", "ü".encode()),
    ("''", b""),
    ("None", None),
    ("ServerItem('bob', '::1', '143')", Answer([ServerItem("bob", "::1", "143")])),
    ("ServerItem('', 'mail1', '')", Answer([ServerItem("", "mail1", "")])),
]


@pytest.mark.parametrize(("expression", "found"), RETURNED)
def test_what_the_function_returns_is_found(code: Code, expression: str, found: Found) -> None:
    assert code.lookup(function(expression), b"m\xfcller") == found


@pytest.mark.parametrize("key", [b"x@evil:1,y", b"ann;tls=none"])
def test_a_name_chooses_no_servers_by_its_commas(code: Code, key: bytes) -> None:
    assert code.lookup(function("user + '@mail1'"), key) is None
    found = code.lookup(function("ServerItem(user, 'mail1', '')"), key)
    assert found == Answer([ServerItem(key.decode(), "mail1", "")])
    assert code.lookup(function("'mail1, mail2'"), b"ann") == b"mail1, mail2"


NONSENSE = [
    ("7", "returned int, and not str"),
    ("True", "returned bool"),
    ("['mail1']", "returned list"),
    ("('', 'mail1', '143')", "returned tuple"),
    ("ServerItem('', 'mail1', 143)", "ServerItem is no ServerItem of three str"),
    ("ServerItem('', 'a b', '')", "not the name of a host: a b"),
    ("'\\ud800'", "UnicodeEncodeError"),
    ("1 / 0", "ZeroDivisionError: division by zero"),
    ("[][1]", "IndexError"),
    ("exit(3)", "SystemExit: 3"),
    ("(_ for _ in ()).throw(asyncio.CancelledError('gone'))", "CancelledError: gone"),
    ("(_ for _ in ()).throw(KeyboardInterrupt)", "KeyboardInterrupt: "),
    ("(_ for _ in ()).throw(Mute)", "Mute: it has no text"),
    ("int('x' * 1000)", r"ValueError: invalid literal .*x\.\.\."),
]


@pytest.mark.parametrize(("expression", "reason"), NONSENSE)
def test_nonsense_and_exceptions_are_out_of_order(code: Code, expression: str, reason: str) -> None:
    with pytest.raises(MapFailed, match=f"^python: {re.escape(str(code.path))}:find: {reason}"):
        code.lookup(function(expression))


@pytest.mark.parametrize(
    "key", [b"", b"' OR 1=1 --", b"*)(uid=*", b"%s", b"\\", b"\0", b"a\r\nb", b"x" * 10_000, b"m\xfc"]
)  # fmt: skip
def test_hostile_keys_are_handed_over_as_they_are(code: Code, key: bytes) -> None:
    assert code.lookup(function("user"), key) == key


def test_a_module_is_imported_and_its_parts_are_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "our_map_module.py").write_text(
        "class Finder:\n    @staticmethod\n    def find(user): return 'mail1'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = PythonFunction("our_map_module:Finder.find", MapSettings())
    assert found.lookup(Query(b"ann")) == b"mail1"
    found.close()
    del sys.modules["our_map_module"]


def test_the_current_directory_is_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.py").write_text(function("'mail1'"))
    monkeypatch.chdir(tmp_path)
    for option in ("here:find", "./here.py:find", "here.py:find"):
        with pytest.raises(MapFailed, match=r"No module named 'here'|begins with /"):
            PythonFunction(option, MapSettings())


LOADED = [
    ("def find(user: return 1", "SyntaxError"),
    ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
    ("raise RuntimeError('reason')", "RuntimeError: reason"),
    ("import sys; sys.exit(0)", "SystemExit: 0"),
    ("def other(user): return 1", "AttributeError: .*'find'"),
    ("find = 7", "is int, and cannot be called"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), LOADED)
def test_what_cannot_be_loaded_fails_at_once(code: Code, text: str, reason: str) -> None:
    with pytest.raises(MapFailed, match=f"^python: {re.escape(str(code.path))}:find: {reason}"):
        code.opened(text)


@pytest.mark.parametrize("option", ["", "module", ":find", "module:", "/etc/file.py"])
def test_a_wrong_option_says_how_it_should_be(option: str) -> None:
    with pytest.raises(MapFailed, match=r"MODULE:FUNCTION nor /PATH/FILE\.py:FUNCTION"):
        PythonFunction(option, MapSettings())


def test_a_missing_file_and_a_missing_module_are_named(tmp_path: Path) -> None:
    with pytest.raises(MapFailed, match="FileNotFoundError"):
        PythonFunction(f"{tmp_path}/none.py:find", MapSettings())
    with pytest.raises(MapFailed, match="No module named 'no_such_module'"):
        PythonFunction("no_such_module:find", MapSettings())


def test_a_file_is_read_anew_and_nothing_is_written_beside_it(code: Code) -> None:
    for number in range(3):
        assert code.lookup(function(f"'mail{number}'")) == b"mail%d" % number
    assert list(code.path.parent.iterdir()) == [code.path]


def test_a_broken_file_leaves_the_one_of_before_in_use(code: Code) -> None:
    text = "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: 'int'\n" + function(
        "__name__"
    )
    found = code.opened(text)
    with pytest.raises(MapFailed):
        code.opened("1 / 0")
    name = found.lookup(Query(b"ann"))
    assert isinstance(name, bytes)
    assert name.decode() in sys.modules
    found.close()


def test_a_file_has_the_name_of_no_other_module(tmp_path: Path) -> None:
    mine = Code(tmp_path / "json.py")
    assert mine.lookup(function("'mail1'")) == b"mail1"
    assert not hasattr(sys.modules["json"], "find")


def test_a_function_that_hangs_is_given_up_and_threads_do_not_pile_up(code: Code) -> None:
    text = "import threading\nrelease = threading.Event()\ndef find(user):\n    release.wait(); return 'x'\n"
    found = code.opened(text, timeout=0.3, connections=2)
    before = threading.active_count()

    def seconds() -> float:
        start = time.monotonic()
        with pytest.raises(MapFailed, match=r"not within 0\.3 s|all 2 threads are at work"):
            found.lookup(Query(b"ann"))
        return time.monotonic() - start

    with ThreadPoolExecutor(20) as callers:
        assert max(callers.map(lambda _: seconds(), range(40))) < 10
    assert threading.active_count() <= before + 2
    sys.modules[f"perdition_map_{code.path.stem}"].release.set()
    assert found.lookup(Query(b"ann")) == b"x"
    found.close()


def test_several_threads_call_it_at_the_same_time_and_no_more_than_allowed(code: Code) -> None:
    text = """
import threading
together = threading.Barrier(4)
def find(user):
    together.wait(10)
    return "mail1"
"""
    found = code.opened(text, timeout=20, connections=4)
    with ThreadPoolExecutor(40) as callers:
        answers = set(callers.map(lambda _: found.lookup(Query(b"ann")), range(400)))
    assert answers == {b"mail1"}
    found.close()


def test_without_a_limit_it_may_take_its_time(code: Code) -> None:
    found = code.opened(function("'mail1'"), timeout=0)
    assert found.lookup(Query(b"ann")) == b"mail1"
    found.close()


def test_opening_starts_no_thread(code: Code) -> None:
    # Those of other tests may end meanwhile.
    before = set(threading.enumerate())
    code.opened(function("'mail1'")).close()
    assert set(threading.enumerate()) <= before


def test_answers_may_be_remembered() -> None:
    assert PythonFunction.by_key_alone
