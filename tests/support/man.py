"""Manual pages as their readers see them."""

import os
import subprocess

from support.processes import require

# As lintian asks man for its warnings, on terminals of 80 columns.
ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}


def rendered(page: str) -> str:
    """The text of a page; groff may not warn of anything."""
    done = subprocess.run(
        [require("groff"), "-man", "-ww", "-Tutf8", "-P-cbou"],
        input=page,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    assert done.stderr == ""
    return done.stdout


def words(text: str) -> str:
    """A text without its white space."""
    return "".join(text.split())
