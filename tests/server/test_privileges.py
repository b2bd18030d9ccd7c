"""Becoming another user: for good, and with nothing of who has started us."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import NOBODY, as_root

LIB = Path(__file__).resolve().parents[2] / "lib"


@as_root
@pytest.mark.parametrize(("uid", "name"), [(NOBODY, "nobody"), (4711, "")])
def test_the_groups_of_who_started_us_are_left(uid: int, name: str) -> None:
    code = (
        "import os; from perdition.server.privileges import Ids, drop; "
        f"drop(Ids({uid}, {NOBODY}, {name!r})); "
        "print(os.getresuid(), os.getresgid(), set(os.getgroups()) - {os.getgid()})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(LIB)},
        extra_groups=[4712, 4713],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{(uid,) * 3} {(NOBODY,) * 3} set()\n"
