"""Putting files below a root so that nothing of the operator's is lost.

What was put there is on record, each with a digest. A file that differs from what is to be put is
replaced only if the record, or that of Debian's package, knows it; else the new one goes beside it.
What dpkg has on its list is there again afterwards: it would take a file that is gone for one that
the operator does not want, and install the package without it.
"""

import hashlib
import os
import re
import stat
import tempfile
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

RECORD = PurePosixPath("/var/lib/perdition/installed")
RECORD_LINE = re.compile(r"([0-9a-f]{64})  (/.+)")
# Before the name of a file of Debian's that was replaced: it is kept beside the record.
REPLACED = "replaced"
# The configuration files of packages, also of those that are removed and not purged, with MD5 sums.
DPKG = PurePosixPath("/var/lib/dpkg/status")
DPKG_LISTS = PurePosixPath("/var/lib/dpkg/info")
CONFFILE = re.compile(r"^ (/\S+) (\S+)", re.MULTILINE)
# Behind the name of a file that was changed, for the one that would have replaced it.
BESIDE = ".perdition-new"
FILE_MODE, FOLDER_MODE = 0o644, 0o755
# The files of Debian's package perdition 2.2-3.2+b1, as it was in Debian 12.
DEBIAN = {
    PurePosixPath("/etc", path): digest
    for path, digest in {
        "default/perdition": "f6d4eee5c7cf64569c01ca7743fe13a3b040af7797283f0468f0dbd266b77a80",
        "init.d/perdition": "4e7f1d5c4fc28f229d4b391d93f0c63ff2ff32f7264d504b2597a4c127becaaa",
        "pam.d/perdition": "afbfda1a8f4167a51d4ac0a0df8ca0241f26a24d1bbf34b6825889da53801b1a",
        "perdition/Makefile.popmap": (
            "078068414e50f3603ea7a5488d265e4502af6ae8b8d6a90104f9ca6ace786e00"
        ),
        "perdition/perdition.conf": (
            "e05bb54f7a5af9ce93ffc03ff1ef9bfc22b7abe3d5fab912e57ea7660a0483bc"
        ),
        "perdition/popmap": "bffd0a6b10a7a8b5d2128844e4fb0c98cb5b19dfc64cc3d531456c2303fcd3f4",
        "perdition/popmap.re": "4e632df49134af356b39ac7c4a882e9aa33ca7250f87fdf775e6cf7d4a2237d9",
    }.items()
}


class Refused(Exception):
    """Something is in the way; the text says what, and what to do."""


class Piece(NamedTuple):
    """What is to be put somewhere.

    Attributes:
        path: where, seen from the root.
        content: of a file; of a link, what it points to.
        mode: of a file.
        is_link: whether it is a symbolic link.
    """

    path: PurePosixPath
    content: bytes
    mode: int = FILE_MODE
    is_link: bool = False

    @property
    def digest(self) -> str:
        """What the record has of it."""
        return digest(self.content, is_link=self.is_link)


class Done(NamedTuple):
    """What became of a piece.

    Attributes:
        what: a word.
        path: which, seen from the root.
        note: more about it.
        changed: whether the root is another than before.
    """

    what: str
    path: PurePosixPath
    note: str = ""
    changed: bool = True


class Place:
    """A root, and the record of what was put below it."""

    def __init__(self, root: Path, *, dry: bool = False) -> None:
        """Read the record.

        Args:
            root: a directory.
            dry: only find out what would be done.

        Raises:
            OSError: the record cannot be read.
            Refused: the root is no directory, or the way to the record leads out of it.
        """
        self.root = root.resolve()
        self.dry = dry
        if not self.root.is_dir():
            raise Refused(f"{root} is not a directory: make it first")
        self.record: dict[PurePosixPath, str] = {}
        file = self.below(RECORD)
        if file.is_file() and not file.is_symlink():
            for line in file.read_text(encoding="utf-8").splitlines():
                if found := RECORD_LINE.fullmatch(line):
                    self.record[PurePosixPath(found[2])] = found[1]

    def below(self, path: PurePosixPath) -> Path:
        """Where that is, the links among its folders followed.

        Raises:
            Refused: they lead out of the root.
        """
        place = self.root / path.relative_to("/")
        try:
            folder = place.parent.resolve()
        except RuntimeError as error:
            raise Refused(f"{place.parent}: {error}: remove that link") from error
        if not folder.is_relative_to(self.root):
            raise Refused(f"{place.parent} leads out of {self.root}, to {folder}: remove that link")
        return folder / path.name

    def put(self, piece: Piece) -> Done:
        """Put a piece where it belongs, or beside what the operator has there.

        Raises:
            OSError: it cannot be put there.
            Refused: the way leads out of the root.
        """
        place = self.below(piece.path)
        there = digest_of(place)
        if there == piece.digest:
            self.record[piece.path] = piece.digest
            return Done("unchanged", piece.path, changed=False)
        if there is None:
            self._write(place, piece)
            return Done("new", piece.path)
        if there == self.record.get(piece.path):
            self._write(place, piece)
            return Done("replaced", piece.path)
        if there == DEBIAN.get(piece.path):
            if not self.dry:
                write(self.below(replaced(piece.path)), piece._replace(content=place.read_bytes()))
            self._write(place, piece)
            return Done("replaced", piece.path, "it was Debian's, of 2.2")
        if piece.is_link:
            return Done("kept", piece.path, "it is not from here", changed=False)
        beside = piece._replace(path=piece.path.with_name(piece.path.name + BESIDE))
        told = self._put_beside(beside)
        return Done("kept", piece.path, f"it was changed; {told.note}", told.changed)

    def _put_beside(self, beside: Piece) -> Done:
        """Put the new one there, unless it is there or somebody is at work on that of before."""
        place = self.below(beside.path)
        there = digest_of(place)
        note = f"the new one is {beside.path}"
        if there == beside.digest:
            return Done("unchanged", beside.path, note, changed=False)
        if there is not None and there != self.record.get(beside.path):
            note = f"so was {beside.path}: move it to have the new one there"
            return Done("kept", beside.path, note, changed=False)
        self._write(place, beside)
        return Done("new", beside.path, note)

    def remove(self, path: PurePosixPath) -> Done:
        """Remove what the record has, unless it was changed, and its folder if that was all.

        Raises:
            OSError: it cannot be removed.
            Refused: the way leads out of the root.
        """
        done = self._take_away(path, self.record.pop(path))
        copy = self.below(replaced(path))
        if digest_of(copy) and not self.dry:
            remove(copy)
        return done

    def save(self) -> None:
        """Write the record, if it is another than before.

        Raises:
            OSError: it cannot be written.
            Refused: the way leads out of the root.
        """
        text = "".join(f"{self.record[path]}  {path}\n" for path in sorted(self.record))
        piece = Piece(RECORD, text.encode())
        place = self.below(RECORD)
        there = digest_of(place)
        if self.dry or there == piece.digest:
            return
        if text:
            write(place, piece)
        elif there is not None:
            remove(place)

    @cached_property
    def _conffiles(self) -> dict[PurePosixPath, str]:
        """What dpkg has on its list of configuration files, with the sums that it expects."""
        status = self.below(DPKG)
        text = status.read_text("utf-8", "replace") if status.is_file() else ""
        return {PurePosixPath(path): expected for path, expected in CONFFILE.findall(text)}

    @cached_property
    def _packaged(self) -> set[PurePosixPath]:
        """What packages of this program have put in place, as dpkg has it."""
        lists = self.below(DPKG_LISTS).glob("perdition*.list")
        return {PurePosixPath(line) for each in lists for line in each.read_text().splitlines()}

    def _take_away(self, path: PurePosixPath, known: str) -> Done:
        """Remove a file of ours, or put back what dpkg expects there."""
        place, copy = self.below(path), self.below(replaced(path))
        there = digest_of(place)
        if there is None:
            return Done("gone", path, changed=False)
        if there != known:
            return Done("kept", path, "it was changed", changed=False)
        expected = self._conffiles.get(path)
        if expected is None and path in self._packaged:
            return Done("kept", path, "it is a package's", changed=False)
        if expected is None:
            if not self.dry:
                remove(place)
            return Done("removed", path)
        if not digest_of(copy) or md5(copy.read_bytes()) != expected:
            return Done("kept", path, "dpkg has it on its list", changed=False)
        if not self.dry:
            write(place, Piece(path, copy.read_bytes()))
        return Done("put back", path, "Debian's, of 2.2")

    def _write(self, place: Path, piece: Piece) -> None:
        if not self.dry:
            write(place, piece)
        self.record[piece.path] = piece.digest


def replaced(path: PurePosixPath) -> PurePosixPath:
    """Where a file of Debian's is kept while ours is in its place."""
    return RECORD.with_name(f"{REPLACED}{str(path).replace('/', '-')}")


def md5(content: bytes) -> str:
    """The sum of a file's content by which dpkg knows it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def digest(content: bytes, *, is_link: bool = False) -> str:
    """The SHA-256 digest of a file's content, or of what a link points to."""
    return hashlib.sha256(b"-> " * is_link + content).hexdigest()


def digest_of(place: Path) -> str | None:
    """The digest of what is there: None for nothing, "" for neither a file nor a link."""
    try:
        mode = place.lstat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(mode):
        return digest(os.fsencode(place.readlink()), is_link=True)
    return digest(place.read_bytes()) if stat.S_ISREG(mode) else ""


def write(place: Path, piece: Piece) -> None:
    """Put a piece there, in the place of what is there, whole or not at all.

    A file that is replaced passes its owner and mode on.

    Raises:
        OSError: it cannot be put there; its file name is that of the place.
    """
    try:
        for folder in reversed(place.parents):
            if not folder.is_dir():
                folder.mkdir()
                folder.chmod(FOLDER_MODE)
        with tempfile.TemporaryDirectory(prefix=".perdition-", dir=place.parent) as folder_of_new:
            new = Path(folder_of_new, place.name)
            make(new, piece)
            if not piece.is_link and place.is_file() and not place.is_symlink():
                before = place.stat()
                os.chown(new, before.st_uid, before.st_gid)
                new.chmod(stat.S_IMODE(before.st_mode))
            new.replace(place)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(place)) from error


def make(new: Path, piece: Piece) -> None:
    """Make a file or link where none is."""
    if piece.is_link:
        new.symlink_to(os.fsdecode(piece.content))
        return
    with new.open("wb") as file:
        file.write(piece.content)
        file.flush()
        os.fsync(file.fileno())
    new.chmod(piece.mode)


def remove(place: Path) -> None:
    """Remove a file or link, and its folder if that was all and the folder has our name."""
    place.unlink()
    folder = place.parent
    if folder.name.startswith("perdition") and not any(folder.iterdir()):
        folder.rmdir()
