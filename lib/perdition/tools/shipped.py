"""The files beside the program that a site uses: conf/, init/, and what manual pages are made of.

A checkout has them at its top. A wheel puts them into share/perdition below the prefix, and
Debian's package into /usr/share/perdition.
"""

import importlib.metadata
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
PACKAGED = Path("/usr/share/perdition")
# The directory that a wheel has them in, and one that is always there.
SHARE = "share/perdition/"
MARK = "conf/perdition/perdition.conf"


def shipped(name: str) -> Path:
    """Find a shipped file or directory.

    Args:
        name: its path below the top of a checkout, such as ``conf/perdition``.

    Raises:
        FileNotFoundError: this installation does not have it.
    """
    for root in (CHECKOUT, wheel(), PACKAGED):
        if root is not None and (root / MARK).is_file() and (root / name).exists():
            return root / name
    raise FileNotFoundError(f"{name} is neither beside {CHECKOUT / 'lib'} nor in {PACKAGED}")


def wheel() -> Path | None:
    """Give the directory in which the wheel's files are, if the program was installed as one."""
    try:
        files = importlib.metadata.files("perdition") or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.as_posix().endswith(SHARE + MARK):
            return Path(str(file.locate())).resolve().parents[2]
    return None
