"""perdition-install: what pip does not put in place, so that a site runs as it did with 2.2.

Configuration, init script and units, manual pages, and links to the programs. Nothing that was
changed is overwritten, and nothing is started or enabled.

Exit status: 0 all is in place, or beside what was changed; 1 it could not be done, and what could
be stands in the lines before; 2 wrong usage.
"""

import argparse
import os
import stat
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from perdition import __version__
from perdition.tools import completion, manuals
from perdition.tools.placing import BESIDE, RECORD, Done, Piece, Place, Refused
from perdition.tools.popmap import complain
from perdition.tools.shipped import shipped

PROGRAM = "perdition-install"
SUCCESS, FAILURE = 0, 1
SERVICES = ("pop3", "pop3s", "imap4", "imap4s", "imaps", "managesieve")
STORES = ("ldap", "mysql", "odbc", "postgresql")
LINKS = {
    "/usr/sbin": (
        *("perdition", *(f"perdition.{service}" for service in SERVICES)),
        *(f"perditiondb_{store}_makedb" for store in STORES),
    ),
    "/usr/bin": ("makebdb", "makegdbm"),
}
SCRIPT_MODE = 0o755
# While one of these is in /etc/perdition its service does not read perdition.conf any more.
SAMPLES_OF_SERVICES = "perdition.*.conf"
# Between /etc, which is the operator's alone, and /usr/lib, where packages have theirs.
UNITS = "/usr/local/lib/systemd/system"
MANUALS = "/usr/local/share/man"
BASH = "/usr/local/share/bash-completion/completions"
ZSH = "/usr/local/share/zsh/site-functions"
# ProtectHome= in the units.
HOMES = ("/home", "/root")
AGAIN = "what stands above is done; mend that and run this again"
NEXT = """\
Nothing was started. With the init script:
    update-rc.d perdition defaults && /etc/init.d/perdition start
or with systemd, for each service:
    systemctl daemon-reload && systemctl enable --now perdition@imap4"""

NEXT_WITHOUT = """\
Nothing was stopped. With the init script:
    update-rc.d perdition remove
or with systemd:
    systemctl daemon-reload"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        The exit status.
    """
    wanted = parser().parse_args(arguments)
    if wanted.root == Path("/") and os.geteuid() != 0 and not wanted.dry_run:
        complain(f"{PROGRAM}: only root may write to /: run it as root, or give --root DIR")
        return FAILURE
    try:
        place = Place(wanted.root, dry=wanted.dry_run)
        try:
            changed = uninstall(place) if wanted.uninstall else install(place)
        finally:
            place.save()
    except Refused as error:
        complain(f"{PROGRAM}: {error}")
        return FAILURE
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        complain(f"{PROGRAM}: {what}: {AGAIN}")
        return FAILURE
    if not changed:
        print("Nothing to do.")
    elif wanted.dry_run:
        print("Nothing was touched: that is what would be done.")
    else:
        print(NEXT_WITHOUT if wanted.uninstall else NEXT)
    return SUCCESS


def parser() -> argparse.ArgumentParser:
    """What the command line may be."""
    made = argparse.ArgumentParser(
        prog=PROGRAM,
        allow_abbrev=False,
        description="Put configuration, init script, systemd units, manual pages and links to the"
        " programs in place. What was changed stays; the new one goes beside it as"
        f" NAME{BESIDE}. Nothing is started.",
        epilog="Exit status: 0 all is in place, or beside what was changed; 1 it could not be"
        " done; 2 wrong usage.",
    )
    made.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="install below DIR"
    )
    made.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and touch nothing"
    )
    made.add_argument(
        "--uninstall",
        action="store_true",
        help=f"remove what was put there ({RECORD}) and not changed since",
    )
    made.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return made


def install(place: Place) -> bool:
    """Put everything in place, with a line for each piece.

    Returns:
        Whether anything was changed.

    Raises:
        OSError: something cannot be put in place.
        Refused: something is in the way.
    """
    first = place.below(PurePosixPath("/usr/sbin/perdition"))
    if first.exists() and not first.is_symlink():
        raise Refused(f"{first} is another program's: apt-get remove perdition first, or move it")
    programs = find_programs()
    for warning in warnings(programs):
        print(f"{'warning':9}  {programs}: {warning}")
    wanted = list(pieces(place))
    wanted += manual_pages()
    wanted += completions()
    # Last, for then there is all that they need.
    for folder, names in LINKS.items():
        for name in names:
            target = seen_from(place.root, programs / name)
            wanted.append(link(f"{folder}/{name}", target))
    done = [tell(place.put(piece)) for piece in wanted]
    return any(done)


def uninstall(place: Place) -> bool:
    """Remove what was put in place and not changed since, programs first, with a line for each.

    Returns:
        Whether anything was removed.

    Raises:
        OSError: something cannot be removed.
        Refused: something is in the way.
    """
    done = [tell(place.remove(path)) for path in sorted(place.record, reverse=True)]
    return any(done)


def tell(done: Done) -> bool:
    """Print what became of a piece; give whether anything was changed."""
    note = f": {done.note}" if done.note else ""
    print(f"{done.what:9}  {done.path}{note}")
    return done.changed


def find_programs() -> Path:
    """The directory with the programs that pip has made.

    Raises:
        Refused: they are neither beside this one nor where this Python has its programs.
    """
    places = (Path(sys.argv[0]).resolve().parent, Path(sysconfig.get_path("scripts")))
    names = [name for names in LINKS.values() for name in names]
    for folder in places:
        if all((folder / name).is_file() for name in names):
            return folder
    raise Refused(f"not all of the programs are in {places[-1]}: pip install perdition first")


def warnings(programs: Path) -> Iterator[str]:
    """What will keep programs in that directory from running as they should."""
    if not all(each.stat().st_mode & stat.S_IXOTH for each in (programs, *programs.parents)):
        yield "not everybody may go there: the links will work for root alone"
    if any(programs.is_relative_to(home) for home in HOMES):
        yield "the systemd units do not see what is in homes"


def seen_from(root: Path, target: Path) -> str:
    """A path as it is called once the root is /."""
    return f"/{target.relative_to(root)}" if target.is_relative_to(root) else str(target)


def pieces(place: Place) -> Iterator[Piece]:
    """The files that come with the program.

    Raises:
        FileNotFoundError: this installation does not have them.
    """
    yield copy(shipped("conf/default/perdition"), "/etc/default/perdition")
    yield copy(shipped("conf/pam.d/perdition"), "/etc/pam.d/perdition")
    for file in sorted(shipped("conf/perdition").iterdir()):
        if not file.match(SAMPLES_OF_SERVICES):
            yield copy(file, f"/etc/perdition/{file.name}")
    yield link("/etc/perdition/Makefile", "Makefile.popmap")
    if place.below(PurePosixPath("/etc/fail2ban/filter.d")).is_dir():
        for file in sorted(shipped("conf/fail2ban/filter.d").iterdir()):
            yield copy(file, f"/etc/fail2ban/filter.d/{file.name}")
    yield copy(shipped("init/perdition"), "/etc/init.d/perdition", SCRIPT_MODE)
    units = shipped("init/systemd")
    for file in sorted(units.rglob("*")):
        if file.is_file():
            yield copy(file, f"{UNITS}/{file.relative_to(units)}")


def manual_pages() -> Iterator[Piece]:
    """The manual pages, which are made of the options and the documents."""
    with tempfile.TemporaryDirectory() as folder:
        for page in manuals.write(Path(folder)):
            target = f"{MANUALS}/man{page.suffix[1:]}/{page.name}"
            if page.is_symlink():
                yield link(target, os.fspath(page.readlink()))
            else:
                yield copy(page, target)


def completions() -> Iterator[Piece]:
    """What shells complete the command line with: bash looks for a file a command."""
    yield Piece(PurePosixPath(BASH, "perdition"), completion.bash().encode())
    for service in SERVICES:
        yield link(f"{BASH}/perdition.{service}", "perdition")
    yield Piece(PurePosixPath(ZSH, "_perdition"), completion.zsh().encode())


def copy(file: Path, target: str, mode: int = 0o644) -> Piece:
    """A piece that is a file's copy."""
    return Piece(PurePosixPath(target), file.read_bytes(), mode)


def link(path: str, target: str) -> Piece:
    """A piece that is a symbolic link."""
    return Piece(PurePosixPath(path), os.fsencode(target), is_link=True)


if __name__ == "__main__":
    sys.exit(main())
