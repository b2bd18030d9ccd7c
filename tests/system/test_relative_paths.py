"""Files named from where the program is started, although it changes to / then."""

import imaplib
import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from signal import SIGHUP, SIGTERM

import pytest

from support.certificates import Pki, certificates_pem, hashed_name
from support.clients import Imap, Refused
from support.dovecot import PASSWORD, Dovecot
from support.processes import HOST, wait_until
from support.program import Perdition, Start

pytestmark = pytest.mark.system
SECONDS = 20
MODES = pytest.mark.parametrize("daemon", [False, True], ids=["foreground", "daemon"])


@pytest.fixture
def beside() -> Iterator[Path]:
    """A directory that every user may look into; the ones of `tmp_path` are closed."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def serves(proxy: Perdition, context: ssl.SSLContext) -> bool:
    """Whether somebody who begins with TLS is logged in."""
    # A worker that leaves after HUP cuts off who is not logged in.
    with suppress(Refused, imaplib.IMAP4.abort), closing(Imap(proxy.port, context)) as client:
        client.log_in("ann-relative", PASSWORD)
        client.use()
        return True
    return False


@MODES
def test_files_may_be_named_from_where_the_program_is_started(
    start: Start, dovecot: Dovecot, pki: Pki, tmp_path: Path, trusting: ssl.SSLContext, daemon: bool
) -> None:
    (tmp_path / "popmap").write_text(f"^bee: {HOST}:{dovecot.ports['imaps']}\n")
    (tmp_path / "conf").write_text("ssl_mode ssl_all\n")
    (tmp_path / "ours.pem").write_bytes(Path(pki.file("for names")).read_bytes())
    (tmp_path / "ca.pem").write_bytes(Path(pki.file("ca")).read_bytes())
    proxy = start(
        "IMAP4",
        {
            "config_file": "../conf",
            "map_library": "posix_regex",
            "map_library_opt": "../popmap",
            "ssl_cert_file": "../ours.pem",
            "ssl_key_file": "../ours.pem",
            "ssl_ca_file": "../ca.pem",
            "ssl_ca_path": "",
        },
        daemon=daemon,
    )
    assert proxy.pid_path.read_text() == str(proxy.pid)
    assert not serves(proxy, trusting)
    (tmp_path / "popmap").write_text(f"^ann: {HOST}:{dovecot.ports['imaps']}\n")
    proxy.kill(SIGHUP)
    wait_until(lambda: serves(proxy, trusting), SECONDS, "the new map is used")
    proxy.wait_log("Read certificates again$")
    proxy.kill(SIGTERM)
    proxy.wait_end(SECONDS)
    assert not proxy.pid_path.exists()


@MODES
def test_authorities_in_a_directory_are_read_at_the_start_by_whoever_starts_the_program(
    start: Start, dovecot: Dovecot, pki: Pki, tmp_path: Path, daemon: bool
) -> None:
    directory = tmp_path / "closed"
    directory.mkdir(0o700)
    (directory / hashed_name(pki.ca)).write_bytes(certificates_pem(pki.ca))
    options = {
        "outgoing_server": f"{HOST}:{dovecot.ports['imaps']}",
        "ssl_mode": "ssl_outgoing",
        "ssl_ca_path": "../closed",
    }
    proxy = start("IMAP4", options, daemon=daemon)
    with closing(Imap(proxy.port)) as client:
        client.log_in("ann-closed", PASSWORD)
        client.use()


@MODES
def test_an_authority_that_is_added_later_is_found(
    start: Start, dovecot: Dovecot, pki: Pki, beside: Path, tmp_path: Path, daemon: bool
) -> None:
    options = {
        "outgoing_server": f"{HOST}:{dovecot.ports['imaps']}",
        "ssl_mode": "ssl_outgoing",
        # The program is started in a folder of tmp_path.
        "ssl_ca_path": os.path.relpath(beside, tmp_path / "any"),
    }
    proxy = start("IMAP4", options, daemon=daemon)
    with closing(Imap(proxy.port)) as client, pytest.raises(Refused):
        client.log_in("ann-later", PASSWORD)
    proxy.wait_log("TLS: certificate not verified: unable to get local issuer certificate: ")
    (beside / hashed_name(pki.ca)).write_bytes(certificates_pem(pki.ca))
    with closing(Imap(proxy.port)) as client:
        client.log_in("ann-later", PASSWORD)
        client.use()
