"""Two Dovecots, and the program before them: users from a to m are on the first one."""

import contextlib
import itertools
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.certificates import Pki
from support.debian_machine import install_base, require_machines
from support.debian_site import NAMES, Site
from support.dovecot import Dovecot
from support.processes import HOST, free_port, lacking, require
from support.program import NONE, ROOT, Options, Perdition, Start

BUILD_SECONDS = 600
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


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where our packages are."""
    for program in ("dpkg-buildpackage", "dh", "pybuild"):
        require(program)
    folder = tmp_path_factory.mktemp("deb")
    done = subprocess.run(
        ["make", "deb", f"DEB_BUILD={folder}/build", f"DIST={folder}/dist"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if "Unmet build dependencies" in done.stderr:
        lacking(done.stderr)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return folder / "dist"


@pytest.fixture(scope="session")
def base() -> Iterator[Path]:
    """A Debian with the original."""
    require_machines()
    # Not one of pytest's, which are kept for a while: it is large.
    with tempfile.TemporaryDirectory(prefix="debian-") as folder:
        install_base(Path(folder) / "base")
        yield Path(folder) / "base"


@pytest.fixture
def site(base: Path, packages: Path, dovecot: Dovecot) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        ports = {each: stack.enter_context(free_port()) for each in NAMES}
        yield stack.enter_context(Site(base, packages, ports, dovecot.ports))
