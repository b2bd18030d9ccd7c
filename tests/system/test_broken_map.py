"""A map in a file that breaks while the program runs."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from signal import SIGHUP

import pytest

from perdition.tools import makegdbm
from support.clients import Pop
from support.dovecot import PASSWORD, Dovecot
from support.processes import HOST
from support.program import Perdition, Start

pytestmark = pytest.mark.system


@pytest.fixture
def popmap(dovecot: Dovecot) -> Iterator[Path]:
    """A map where the workers may read it."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        lines = [f"ann-broken:{HOST}:{dovecot.ports['pop3']}\n".encode()]
        makegdbm.make(str(path / "popmap.db"), lines)
        yield path / "popmap.db"


def used(proxy: Perdition) -> None:
    with closing(Pop(proxy.port)) as client:
        client.log_in("ann-broken", PASSWORD)
        client.use()


@pytest.mark.parametrize("is_there", [True, False])
def test_what_it_held_before_serves_without_a_look_up_and_after_hup(
    start: Start, popmap: Path, is_there: bool
) -> None:
    options = {"map_library": "gdbm", "map_library_opt": str(popmap), "workers": 1}
    proxy = start("POP3", options)
    # Whoever greets has begun.
    with closing(Pop(proxy.port)):
        pass
    if is_there:
        popmap.write_bytes(b"")
        # Nobody is writing it any more.
        os.utime(popmap, (0, 0))
    else:
        popmap.unlink()
    used(proxy)
    proxy.wait_log(f"map: {popmap}: .*: what it held before stays in use$")
    proxy.kill(SIGHUP)
    proxy.wait_log(f"map: {popmap}: .*: the one of before stays in use$")
    used(proxy)
