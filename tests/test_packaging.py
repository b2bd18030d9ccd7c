"""What pip gets: sdist and wheel, their metadata, and the programs of a fresh installation."""

import ast
import configparser
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

from perdition import __version__
from perdition.maps.choice import STORES
from perdition.maps.libdb import BINDINGS
from perdition.tools.install import LINKS, PROGRAM
from support.processes import lacking, require
from support.program import ROOT

pytestmark = pytest.mark.system
SECONDS = 120
NOT_SOURCE = (
    *(".git", ".venv*", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info"),
    # What check-manifest makes meanwhile.
    "perdition-[0-9]*",
)
MAPS = {"bdb", "http", "ldap", "mysql", "odbc", "postgresql", "redis", "sql"}
# Chosen when they are imported: the one that pip installs.
CHOSEN = {"bdb": BINDINGS[0], "postgresql": "psycopg"}
PROTOCOLS = ("pop3", "pop3s", "imap4", "imap4s", "imaps", "managesieve")
# Arguments, exit status and something that is said. Those that ask get no answer.
STARTS = {
    "perdition": ("--version", 0, f"perdition {__version__}"),
    **{f"perdition.{name}": ("--version", 0, f"perdition {__version__}") for name in PROTOCOLS},
    PROGRAM: ("--version", 0, f"{PROGRAM} {__version__}"),
    "makegdbm": ("--help", 0, "Usage: makegdbm [options]"),
    "makebdb": ("--help", 0, "Usage: makebdb [options]"),
    "perditiondb_ldap_makedb": ("", 0, "Bailing"),
    "perditiondb_mysql_makedb": ("", 1, "Bailing"),
    "perditiondb_odbc_makedb": ("", 1, "Bailing"),
    "perditiondb_postgresql_makedb": ("", 1, "Bailing"),
}
# Below the root of an installation, and in the checkout.
SAME = {
    "etc/default/perdition": "conf/default/perdition",
    "etc/init.d/perdition": "init/perdition",
    "etc/perdition/perdition.conf": "conf/perdition/perdition.conf",
    "usr/local/lib/systemd/system/perdition@.service": "init/systemd/perdition@.service",
}


class Built(NamedTuple):
    """What is given to an index."""

    sdist: Path
    wheel: Path

    def read(self, name: str) -> str:
        """A file of the wheel's metadata."""
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.read(f"perdition-{__version__}.dist-info/{name}").decode()

    def metadata(self) -> Message:
        return Parser().parsestr(self.read("METADATA"))

    def needed(self, extra: str = "") -> set[str]:
        """The distributions that an extra adds; without one, those that are always needed."""
        lines = self.metadata().get_all("Requires-Dist", ())
        found = set()
        for each in map(Requirement, lines):
            wanted = each.marker is None or (extra and each.marker.evaluate({"extra": extra}))
            if wanted and bool(extra) == bool(each.marker):
                found.add(plain(each.name))
        return found

    def programs(self) -> set[str]:
        parser = configparser.ConfigParser()
        parser.read_string(self.read("entry_points.txt"))
        return set(parser["console_scripts"])


def plain(name: str) -> str:
    """A distribution's name as all its spellings."""
    return re.sub(r"[-_.]+", "-", name).lower()


def tool(module: str, *arguments: str | Path, cwd: Path = ROOT) -> str:
    """Run a tool of this Python; what it says."""
    if importlib.util.find_spec(module) is None:
        lacking(f"{module} is not installed")
    return run([sys.executable, "-m", module, *arguments], cwd)


def run(command: list[str | Path], cwd: Path, status: int = 0) -> str:
    """Run a program that knows nothing of the checkout; what it says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**kept, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source") / "perdition"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    # The wheel is made of what is in the sdist.
    tool("build", "--no-isolation", "--outdir", folder, cwd=source)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="module")
def programs(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment into which the wheel was installed."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin/python"
    tool("pip", "--python", str(python), "install", "--no-deps", "--no-index", built.wheel)
    # What the program needs is taken from here: nothing is fetched.
    (site,) = folder.glob("lib/python*/site-packages")
    others = [each for each in sys.path if Path(each).name == "site-packages"]
    (site / "others.pth").write_text("\n".join(others))
    return folder / "bin"


def test_an_index_would_take_them(built: Built) -> None:
    said = tool("twine", "check", "--strict", built.sdist, built.wheel)
    assert said.count("PASSED") == 2


def test_the_sdist_has_what_the_repository_has() -> None:
    require("git")
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: nothing to compare the sdist with")
    assert "match" in tool("check_manifest", "--no-build-isolation")


def test_the_metadata_says_what_it_is(built: Built) -> None:
    metadata = built.metadata()
    assert metadata["Name"] == "perdition"
    assert metadata["Version"] == __version__
    assert (metadata["License-Expression"] or metadata["License"]) == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text().strip()
    assert {"imap", "pop3", "managesieve", "proxy"} <= set(metadata["Keywords"].split(","))
    extras = set(metadata.get_all("Provides-Extra", ()))
    assert extras == MAPS | {"all", "bench", "demo", "fuzz", "test", "tls"}
    assert {each.pypi.split(" ")[0] for each in STORES.values() if each.pypi} == {
        f"perdition[{extra}]" for extra in MAPS
    }


def test_all_is_all_that_any_map_needs(built: Built) -> None:
    assert built.needed("all") == built.needed("tls").union(*map(built.needed, MAPS))
    assert built.needed("all") <= built.needed("test")


@pytest.mark.parametrize("name", STORES)
def test_an_extra_has_what_its_map_imports(built: Built, name: str) -> None:
    distributions = importlib.metadata.packages_distributions()
    imported = foreign_imports(f"perdition.maps.{STORES[name].place.partition(':')[0]}")
    if name in CHOSEN:
        imported.add(CHOSEN[name].partition(".")[0])
    found = {plain(each) for module in imported for each in distributions[module]}
    assert found == (built.needed(name) if name in MAPS else set())


def foreign_imports(start: str) -> set[str]:
    """The packages of others that a module imports, or those maps' modules that it imports."""
    seen, waiting, foreign = set[str](), [start], set[str]()
    while waiting:
        module = waiting.pop()
        file = ROOT / "lib" / f"{module.replace('.', '/')}.py"
        if module in seen or not module.startswith("perdition.maps.") or not file.exists():
            continue
        seen.add(module)
        for node in ast.walk(ast.parse(file.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
            waiting += names
            foreign |= {each.partition(".")[0] for each in names}
    assert seen
    return foreign - sys.stdlib_module_names - {"perdition"}


def test_the_programs_are_these_and_their_links_are_made(built: Built) -> None:
    assert built.programs() == set(STARTS)
    assert {name for names in LINKS.values() for name in names} == set(STARTS) - {PROGRAM}


@pytest.mark.parametrize("name", STARTS)
def test_every_program_starts(programs: Path, tmp_path: Path, name: str) -> None:
    argument, status, says = STARTS[name]
    assert says in run([programs / name, *argument.split()], tmp_path, status)


def test_what_pip_does_not_put_in_place_comes_from_the_wheel(
    programs: Path, tmp_path: Path
) -> None:
    said = run([programs / PROGRAM, "--root", tmp_path], tmp_path)
    assert "/etc/init.d/perdition" in said
    for theirs, ours in SAME.items():
        assert (tmp_path / theirs).read_bytes() == (ROOT / ours).read_bytes()
    assert run([tmp_path / "usr/sbin/perdition.imap4", "--help"], tmp_path)
    config = tmp_path / "etc/perdition/perdition.conf"
    run([tmp_path / "usr/sbin/perdition.imap4", "--check_config", "-f", config], tmp_path)
