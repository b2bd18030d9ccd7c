"""Two Dovecots, and the program before them: users from a to m are on the first one."""

import contextlib
import itertools
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.certificates import Pki
from support.dovecot import Dovecot
from support.processes import HOST
from support.program import NONE, Options, Perdition, Start

Routes = Callable[[str], Options]


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def trusting(pki: Pki) -> ssl.SSLContext:
    """What clients use that know the authority of our certificates; the test's own to change."""
    return ssl.create_default_context(cafile=pki.file("ca"))


@pytest.fixture(scope="session")
def dovecots(pki: Pki) -> Iterator[tuple[Dovecot, Dovecot]]:
    pem = Path(pki.file("for names")).read_bytes()
    with Dovecot(pem) as first, Dovecot(pem) as second:
        yield first, second


@pytest.fixture
def dovecot(dovecots: tuple[Dovecot, Dovecot]) -> Dovecot:
    """The first one."""
    return dovecots[0]


@pytest.fixture
def routes(dovecots: tuple[Dovecot, Dovecot], tmp_path: Path) -> Routes:
    """The options that send each user home, to a listener of that name."""

    def options(listener: str) -> Options:
        first, second = (each.ports[listener] for each in dovecots)
        popmap = tmp_path / f"popmap.{listener}.re"
        popmap.write_text(f"^[a-m].*: {HOST}:{first}\n^[n-z].*: {HOST}:{second}\n")
        return {
            "map_library": "libperditiondb_posix_regex.so.0",
            "map_library_opt": str(popmap),
        }

    return options


@pytest.fixture
def files(pki: Pki) -> Options:
    """Our certificate, and the authority that those of real servers are checked by."""
    ours = pki.file("for names")
    return {
        "ssl_cert_file": ours,
        "ssl_key_file": ours,
        "ssl_ca_file": pki.file("ca"),
        "ssl_ca_path": "",
    }


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    numbers = itertools.count(1)
    with contextlib.ExitStack() as stack:

        def starter(
            protocol: str = "IMAP4",
            options: Options = NONE,
            *,
            conf: str | None = None,
            name: str = "perdition",
            daemon: bool = False,
        ) -> Perdition:
            directory = tmp_path / f"perdition-{next(numbers)}"
            directory.mkdir()
            program = Perdition(directory, protocol, options, conf=conf, name=name, daemon=daemon)
            return stack.enter_context(program)

        yield starter
