"""What the program says at its start about keys and certificates."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from support.certificates import PASSPHRASE, Pki
from support.clients import Imap
from support.dovecot import PASSWORD
from support.processes import require
from support.program import Options, Start, command
from system.conftest import Routes

pytestmark = pytest.mark.system
SECONDS = 30
FAILURE = 255


def check(
    directory: Path,
    options: Options,
    *,
    given: bytes = b"",
    fds: Sequence[int] = (),
    as_user: Sequence[str] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Let the program look at its configuration and end.

    Args:
        directory: an empty one.
        options: some more.
        given: its standard input.
        fds: descriptors that it inherits.
        as_user: a command that runs it as somebody else.
    """
    base: Options = {
        "config_file": "",
        "map_library": "",
        "protocol": "IMAP4",
        "ssl_mode": "ssl_listen",
        "log_facility": str(directory / "log"),
        "check_config": True,
    }
    words = [*as_user, *command(directory, "perdition.imap4s", {**base, **options})]
    return subprocess.run(
        words, input=given, capture_output=True, timeout=SECONDS, check=False, pass_fds=fds
    )


def the_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line that a start which failed has said."""
    assert done.returncode == FAILURE
    (line,) = done.stderr.decode().splitlines()
    return line.removeprefix("perdition.imap4s: ")


@pytest.mark.parametrize(
    ("option", "name", "what"),
    [
        ("ssl_cert_file", "nowhere", "there is no such file: check its name"),
        ("ssl_key_file", "nowhere", "there is no such file: check its name"),
        ("ssl_key_file", "ca", "no private key in PEM form in it"),
        (
            *("ssl_key_file", "client"),
            "does not belong to the certificate in {cert}: give both of one pair",
        ),
        (
            *("ssl_key_file", "encrypted key"),
            "it is encrypted and there is no pass phrase: put it into a file for "
            "ssl_passphrase_file",
        ),
    ],
)
def test_a_start_that_fails_says_which_file_is_wrong_and_what_to_do(
    pki: Pki, tmp_path: Path, option: str, name: str, what: str
) -> None:
    leaf = pki.file("leaf")
    path = str(tmp_path / name) if name == "nowhere" else pki.file(name)
    options = {"ssl_cert_file": leaf, "ssl_key_file": leaf, option: path}
    assert the_line(check(tmp_path, options)) == f"{option} {path}: {what.format(cert=leaf)}"


@pytest.mark.parametrize("option", ["ssl_cert_file", "ssl_key_file"])
def test_a_file_that_may_not_be_read_is_named_with_who_may_not(
    pki: Pki, tmp_path: Path, option: str
) -> None:
    path = tmp_path / "closed.pem"
    shutil.copy(pki.file("leaf"), path)
    path.chmod(0)
    # Root without what lets it read everything.
    weak = "-dac_override,-dac_read_search"
    as_user = [require("setpriv"), f"--bounding-set={weak}", f"--inh-caps={weak}"]
    done = check(
        tmp_path,
        {
            "ssl_cert_file": pki.file("leaf"),
            "ssl_key_file": pki.file("leaf"),
            option: str(path),
        },
        as_user=[] if os.geteuid() else as_user,
    )
    assert the_line(done) == (
        f"{option} {path}: user {os.geteuid()} may not read it: check its and its folders' "
        "permissions"
    )


@pytest.mark.parametrize("how", ["file", "fd"])
@pytest.mark.parametrize("phrase", [PASSPHRASE, b"wrong"])
def test_the_pass_phrase_comes_from_a_file_or_a_descriptor(
    pki: Pki, tmp_path: Path, how: str, phrase: bytes
) -> None:
    file = tmp_path / "phrase"
    file.write_bytes(phrase + b"\n")
    key = pki.file("encrypted key")
    options = {"ssl_cert_file": pki.file("leaf"), "ssl_key_file": key}
    if how == "file":
        done = check(tmp_path, {**options, "ssl_passphrase_file": str(file)})
    else:
        with file.open("rb") as opened:
            number = opened.fileno()
            done = check(tmp_path, {**options, "ssl_passphrase_fd": number}, fds=[number])
    if phrase == PASSPHRASE:
        assert (done.returncode, done.stderr) == (0, b"")
    else:
        wrong = "the pass phrase is wrong (ssl_passphrase_file, ssl_passphrase_fd)"
        assert the_line(done) == f"ssl_key_file {key}: {wrong}"
        assert b"wrong\n" not in (tmp_path / "log").read_bytes()


def test_the_pass_phrase_comes_from_standard_input_where_nothing_is_said(
    pki: Pki, tmp_path: Path
) -> None:
    options = {"ssl_cert_file": pki.file("leaf"), "ssl_key_file": pki.file("encrypted key")}
    assert check(tmp_path, options, given=PASSPHRASE + b"\n").returncode == 0


def test_a_certificate_that_has_expired_is_a_warning(
    start: Start, files: Options, pki: Pki
) -> None:
    path = pki.file("expired")
    mine = {"ssl_cert_file": path, "ssl_key_file": path, "ssl_mode": "ssl_listen"}
    proxy = start("IMAP4", {**files, **mine})
    proxy.wait_log(f"ssl_cert_file {path}: certificate has expired .*: clients will refuse it$")


def test_an_encrypted_key_serves(
    start: Start,
    routes: Routes,
    files: Options,
    pki: Pki,
    tmp_path: Path,
) -> None:
    phrase = tmp_path / "phrase"
    phrase.write_bytes(PASSPHRASE)
    mine = {
        "ssl_cert_file": pki.file("leaf"),
        "ssl_key_file": pki.file("encrypted key"),
        "ssl_passphrase_file": str(phrase),
        "ssl_mode": "tls_listen_force",
    }
    proxy = start("IMAP4", {**routes("imap"), **files, **mine})
    context = ssl.create_default_context(cafile=pki.file("ca"))
    context.check_hostname = False
    with closing(Imap(proxy.port)) as client:
        client.start_tls(context)
        client.log_in("ann-encrypted", PASSWORD)
        client.use()
