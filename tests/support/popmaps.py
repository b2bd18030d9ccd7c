"""Maps in files: the programs that make them, and what they make."""

import os
import subprocess
import sys
from pathlib import Path

import perdition
from perdition.maps import MapSettings, Query
from perdition.maps.bdb import Bdb
from perdition.maps.gdbm import Gdbm
from support.processes import require

LIBRARIES = str(Path(perdition.__file__).parents[1])
MAPS = {"makegdbm": Gdbm, "makebdb": Bdb}
SECONDS = 60
ENTRIES = {
    b"ann": b"mail1.example.com:143",
    b"bob": b"anna@[::1]:143",
    b"#zoe": b"mail:2",
    b" eve ": b" a:b:c ",
    b"m\xfcller": b"caf\xe9",
    b"carol\r": b"mail3",
}


def run_module(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this project, such as perdition.tools.manuals, and see how it ended."""
    return subprocess.run(
        [sys.executable, "-m", name, *arguments],
        env={**os.environ, "PYTHONPATH": LIBRARIES},
        check=False,
        capture_output=True,
        text=True,
    )


def popmap(entries: dict[bytes, bytes]) -> bytes:
    """The lines for these entries."""
    return b"".join(b"%b:%b\n" % entry for entry in entries.items())


def pairs(shown: bytes) -> dict[bytes, bytes]:
    """The entries that --undo has shown; the original's makegdbm puts NULs after colon and end."""
    lines = shown.replace(b"\0", b"").split(b"\n")
    assert lines.pop() == b""
    return {key: value for key, _colon, value in (line.partition(b":") for line in lines)}


class Files:
    """A directory with a database, and two programs of the same name that make it.

    Attributes:
        tool: makegdbm or makebdb.
        path: of the database.
        command, environment: this project's.
    """

    def __init__(self, directory: Path, tool: str) -> None:
        self.tool = tool
        self.path = directory / "popmap.db"
        self.command = [sys.executable, "-m", f"perdition.tools.{tool}"]
        self.environment = os.environ | {"PYTHONPATH": LIBRARIES}

    def ours(
        self, *arguments: str, text: bytes = b"", status: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run this project's program, which has to end with a status."""
        return run([*self.command, *arguments], text, status, self.environment)

    def started(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start this project's program; nothing comes on its standard input."""
        return subprocess.Popen(
            [*self.command, *arguments],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
        )

    def originals(
        self, *arguments: str, text: bytes = b"", status: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the original's program."""
        return run([require(self.tool), *arguments], text, status, dict(os.environ))

    def lookup(self, key: bytes) -> bytes | None:
        """What the proxy finds in the database."""
        found = MAPS[self.tool](str(self.path), MapSettings())
        try:
            return found.lookup(Query(key))
        finally:
            found.close()

    def shown(self) -> dict[bytes, bytes]:
        """What our program shows of the database."""
        return pairs(self.ours("-u", str(self.path)).stdout)


def run(
    command: list[str], text: bytes, status: int, environment: dict[str, str]
) -> subprocess.CompletedProcess[bytes]:
    """Run a program with that on its standard input."""
    done = subprocess.run(
        command, input=text, capture_output=True, check=False, env=environment, timeout=SECONDS
    )
    assert done.returncode == status, done.stderr
    return done


def make_cdb(path: Path, entries: dict[bytes, bytes]) -> None:
    """Make a constant database with tinycdb."""
    lines = [
        b"+%d,%d:%b->%b\n" % (len(key), len(entries[key]), key, entries[key]) for key in entries
    ]
    run([require("cdb"), "-c", str(path)], b"".join(lines) + b"\n", 0, dict(os.environ))
