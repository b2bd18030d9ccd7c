"""Which map it is."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from perdition.maps import MapFailed, MapSettings, Query, choice
from perdition.maps.choice import STORES, Latest, NoMap, Store, map_name, open_map, whole_option
from perdition.maps.foreign import Foreign
from support.popmaps import LIBRARIES

DOCUMENT = (Path(__file__).parents[2] / "docs/maps.md").read_text(encoding="utf-8")


@pytest.fixture
def popmap(tmp_path: Path) -> str:
    """A file of regular expressions."""
    file = tmp_path / "re"
    file.write_text("^a: b\n")
    return str(file)


@pytest.mark.parametrize(
    "library",
    [
        "posix_regex",
        "libperditiondb_posix_regex.so",
        "libperditiondb_posix_regex.so.0",
        "/usr/lib/x/libperditiondb_posix_regex.so.0.0.0",
        "lib/libperditiondb_posix_regex.so.12",
    ],
)
def test_maps_are_known_by_name_and_by_the_original_file(popmap: str, library: str) -> None:
    opened = open_map(library, popmap, MapSettings())
    assert opened.lookup(Query(b"a")) == b"b"
    opened.close()


@pytest.mark.parametrize("name", STORES)
def test_each_map_has_a_name_and_a_file_name(name: str) -> None:
    assert map_name(name) == map_name(f"/usr/lib/libperditiondb_{name}.so.0") == name


def test_no_map_finds_nothing() -> None:
    nothing = open_map("", "", MapSettings())
    assert isinstance(nothing, NoMap)
    assert nothing.lookup(Query(b"a")) is None
    nothing.close()


@pytest.mark.parametrize("library", ["nothing", "nothing.so", "libperditiondb_nothing.so.0", "os"])
def test_an_unknown_map_is_told_what_there_is(library: str) -> None:
    there = ", ".join(sorted(STORES))
    with pytest.raises(MapFailed, match=rf"map_library '{library}': .* there are {there}$"):
        open_map(library, "", MapSettings())


def test_relative_names_of_files_count_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(STORES, "other", Store("other:Other"))
    assert whole_option("libperditiondb_gdbm.so.0", "popmap") == f"{tmp_path}/popmap"
    assert whole_option("daemon", "run/sock:1:5") == f"{tmp_path}/run/sock:1:5"
    assert whole_option("gdbm", "") == ""
    assert whole_option("other", "popmap") == "popmap"
    assert whole_option("", "popmap") == "popmap"


def test_sessions_that_are_there_see_a_new_map(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"^a: {name}\n")
    latest = Latest(open_map("posix_regex", str(tmp_path / "one"), MapSettings()))
    assert latest.lookup(Query(b"a")) == b"one"
    latest.replace(open_map("posix_regex", str(tmp_path / "two"), MapSettings()))
    assert latest.lookup(Query(b"a")) == b"two"
    latest.close()


def run(program: str, *more: str, environment: Mapping[str, str] = os.environ) -> str:
    """What a program of Python prints."""
    paths = ":".join([LIBRARIES, *more])
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


OPEN = """
import json, sys
from perdition.maps import MapFailed, MapSettings, Query
from perdition.maps.choice import open_map
blocked, library, option, key = json.loads({0!r})
sys.modules |= dict.fromkeys(blocked)
try:
    opened = open_map(library, option, MapSettings())
    print(opened.lookup(Query(key.encode())))
    opened.close()
except MapFailed as error:
    print(error)
"""


def opened_elsewhere(
    library: str,
    option: str,
    *more: str,
    key: str = "a",
    blocked: tuple[str, ...] = (),
    then: str = "",
) -> str:
    """What a map finds, or says, in a process of its own.

    Args:
        library, option: of the map.
        more: where modules are looked for.
        key: what is looked up.
        blocked: modules that cannot be imported.
        then: more of the program.
    """
    return run(OPEN.format(json.dumps([blocked, library, option, key])) + then, *more)


def test_a_map_is_imported_only_when_it_is_chosen(popmap: str) -> None:
    shown = opened_elsewhere(
        "posix_regex",
        popmap,
        then="print(*(name for name in sys.modules if 'perdition.maps' in name))",
    )
    value, modules = shown.splitlines()
    assert value == "b'b'"
    found = {name.removeprefix("perdition.maps.") for name in modules.split()}
    assert found == {"perdition.maps", "cache", "choice", "files", "foreign", "posix", "regex"}


def test_a_missing_library_is_named_with_its_packages() -> None:
    shown = opened_elsewhere("bdb", "/nothing", blocked=("berkeleydb", "bsddb3"))
    assert shown.startswith("map bdb: ")
    assert shown.endswith(": install Debian's python3-bsddb3 or PyPI's berkeleydb\n")


def test_a_library_that_a_maps_module_cannot_import_is_named_with_its_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(STORES, "other", Store("nothing:Other", "python3-other", "other-py"))
    why = r"^map other: .*: install Debian's python3-other or PyPI's other-py$"
    with pytest.raises(MapFailed, match=why):
        open_map("other", "", MapSettings())


def install(directory: Path, name: str, module: str, entry_points: Mapping[str, list[str]]) -> None:
    """Put a distribution of one module where Python finds it, as pip does."""
    info = directory / f"{name.replace('-', '_')}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    lines = [line for group in entry_points for line in (f"[{group}]", *entry_points[group])]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (directory / f"{name.replace('-', '_')}.py").write_text(module)


def test_the_map_in_the_manual_works(tmp_path: Path) -> None:
    section = DOCUMENT.partition("\n## Your own map\n")[2]
    module, setup = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    # As short as it is said to be.
    assert len(re.findall(r"^\s*[^\s\"].*", module, re.MULTILINE)) <= 12
    given: dict[str, object] = {}
    exec(setup, {"setup": lambda **arguments: given.update(arguments)})
    name, points = given["name"], given["entry_points"]
    assert isinstance(name, str)
    assert isinstance(points, dict)
    assert given["py_modules"] == [name.replace("-", "_")]
    install(tmp_path, name, module, points)
    place = str(tmp_path)
    assert opened_elsewhere("digits", "example.com", place, key="ann7") == "b'mail7.example.com'\n"
    assert opened_elsewhere("digits", "example.com", place, key="ann") == "None\n"
    assert opened_elsewhere("digits", "", place).startswith("map digits: map_library_opt has to be")


def test_a_map_of_others_is_among_those_there_are(tmp_path: Path) -> None:
    install(tmp_path, "other", "", {choice.GROUP: ["zother = other:Other"]})
    shown = opened_elsewhere("nothing", "", str(tmp_path))
    assert shown.endswith(", zother\n")


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("", "has no attribute 'Other'"),
        ("import not_there\n", "No module named 'not_there'"),
        ("exit(4)", "SystemExit: 4"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_map_of_others_that_does_not_load_says_why(tmp_path: Path, module: str, why: str) -> None:
    install(tmp_path, "other", module, {choice.GROUP: ["zother = other:Other"]})
    shown = opened_elsewhere("zother", "", str(tmp_path))
    assert shown.startswith("map zother, of other:Other: ")
    assert why in shown


OTHER = """
from perdition.maps import Answer, Refusal
from perdition.net import ServerItem

class Other:
    by_key_alone = True

    def __init__(self, option, settings):
        {0}

    def lookup(self, query):
        {1}

    def close(self):
        1 / 0
"""


@pytest.mark.parametrize(
    ("opening", "looking", "said"),
    [
        ("pass", "return b'mail'", "b'mail'"),
        ("exit(4)", "", "map zother: SystemExit: 4"),
        ("1 / 0", "", "map zother: ZeroDivisionError: division by zero"),
        ("pass", "raise OSError('down')", "map zother: OSError: down"),
        ("pass", "raise GeneratorExit", "map zother: GeneratorExit: "),
        ("pass", "raise Exception(b'x').with_traceback(1)", "map zother: TypeError: "),
        ("pass", "return 'mail'", "map zother: returned str, and not bytes, a whole Answer "),
        ("pass", "return Answer(['mail'])", "map zother: str is no ServerItem of three str"),
        ("pass", "return Answer(None)", "map zother: TypeError: "),
        ("pass", "return Answer([ServerItem('', 'mail', 143)])", "map zother: ServerItem is no "),
        ("pass", "return Answer([ServerItem('', 'a b', '')])", "map zother: not the name of a "),
        ("pass", "return Answer([], 'word')", "map zother: returned Answer, and not bytes, a "),
        ("pass", "return Refusal(b'no')", "map zother: returned Refusal, and not bytes, a "),
        ("pass", "return Refusal('no')", "Refusal(reason='no')"),
        (
            "pass",
            "return Answer([ServerItem('ann', 'mail', '143')], b'word')",
            "Answer([ServerItem(user='ann', host='mail', port='143', ",
        ),
        ("pass", "return bytearray(b'mail')", "map zother: returned bytearray, and not bytes"),
        ("del Other.by_key_alone", "", "map zother: AttributeError: "),
    ],
)
def test_what_goes_wrong_in_a_map_of_others_is_out_of_order(
    tmp_path: Path, opening: str, looking: str, said: str
) -> None:
    text = OTHER.format(opening, looking or "return None")
    install(tmp_path, "other", text, {choice.GROUP: ["zother = other:Other"]})
    assert opened_elsewhere("zother", "", str(tmp_path)).startswith(said)


def test_a_map_of_others_does_not_take_the_place_of_ours(tmp_path: Path, popmap: str) -> None:
    install(tmp_path, "other", "", {choice.GROUP: ["posix_regex = other:Other"]})
    assert opened_elsewhere("posix_regex", popmap, str(tmp_path)) == "b'b'\n"


class Echo:
    """A map of others' that puts the key into the value."""

    by_key_alone = True

    def __init__(self, _option: str, _settings: MapSettings) -> None:
        return

    def lookup(self, query: Query, /) -> bytes:
        return (query.user.encode() or query.key) + b"@mail1"

    def close(self) -> None:
        return


def test_in_a_map_of_others_a_name_chooses_no_servers_by_its_commas() -> None:
    opened = Foreign("echo", Echo, "", MapSettings())
    assert opened.lookup(Query(b"bob")) == b"bob@mail1"
    assert opened.lookup(Query(b"x@evil:1,y")) is None
    assert opened.lookup(Query(b"ann;tls=none")) is None
    # What is looked up need not be the whole name.
    assert opened.lookup(Query(b"example.org", user="x@evil:1,y")) is None
