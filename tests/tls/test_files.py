"""Our own files: certificate, key, parameters, pass phrase."""

import contextlib
import io
import os
import pty
import re
import shutil
import ssl
import sys
import tempfile
import termios
from pathlib import Path

import pytest

from perdition.tls import LISTENING_FAILED, OUTGOING_FAILED, TlsSetupError
from perdition.tls.files import Passphrase
from perdition.tls.listening import listening_context
from perdition.tls.outgoing import outgoing
from support.certificates import PASSPHRASE
from tls.conftest import (
    KEY,
    MISSING,
    Settings,
    connect,
)

CHAIN = 'Error loading certificate chain file "{}"'
DH_OPEN = 'Error opening Diffie-Hellman parameters file "{}"'
DH_READ = 'Error reading Diffie-Hellman parameters from file "{}"'
CA = 'Error loading certificate authority: file="{}" path="(null)"'


def is_taken(pair: str) -> bool:
    """Whether OpenSSL finds nothing wrong with a certificate of ours."""
    with contextlib.suppress(ssl.SSLError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair)
        return True
    return False


@pytest.mark.parametrize(
    ("option", "name", "message", "log_line"),
    [
        ("cert_file", "/nonexistent", MISSING, CHAIN),
        ("cert_file", "/", "cannot be read: Is a directory", CHAIN),
        ("cert_file", "/etc/passwd", "no certificate in PEM form", CHAIN),
        ("cert_file", "rsa 1024", "its key is too small.*2048 bits", CHAIN),
        ("cert_file", "sha-1", "its signature is too weak.*SHA-256", CHAIN),
        ("key_file", "/nonexistent", MISSING, KEY),
        ("key_file", "/", "cannot be read: Is a directory", KEY),
        ("key_file", "ca", "no private key in PEM form", KEY),
        ("key_file", "client", "does not belong to the certificate in /", KEY),
        ("key_file", "rsa", "does not belong to the certificate in /", KEY),
        ("ca_file", "/nonexistent", MISSING, CA),
        ("ca_file", "/etc/passwd", "no certificate in PEM form", CA),
        ("dh_params_file", "/nonexistent", MISSING, DH_OPEN),
        ("dh_params_file", "leaf", "no Diffie-Hellman parameters in it", DH_READ),
    ],
)
def test_start_names_the_file_and_what_is_wrong_with_it(
    given, listening, option, name, message, log_line
):
    path = getattr(given(**{option: name}), f"ssl_{option}")
    if name == "sha-1" and is_taken(path):
        pytest.skip("OpenSSL leaves the judgement of our signature to the peer")
    with pytest.raises(TlsSetupError, match=f"^ssl_{option} {path}: .*{message}") as failure:
        listening(**{option: name})
    assert failure.value.log_lines == (log_line.format(path), LISTENING_FAILED)
    assert "\n" not in str(failure.value)


def test_missing_chain_file_is_named(listening):
    with pytest.raises(TlsSetupError, match=f"^ssl_ca_chain_file /nonexistent: {MISSING}") as error:
        listening(ca_chain_file="/nonexistent")
    assert error.value.log_lines == (LISTENING_FAILED,)


def test_damaged_key_is_named(listening, tmp_path):
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(TlsSetupError, match="OpenSSL cannot use the private key in it: damaged"):
        listening(key_file=str(key))


@pytest.fixture
def open_directory():
    """A directory that every user may look into; the ones of `tmp_path` are closed."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.mark.parametrize("option", ["cert_file", "key_file"])
def test_file_that_this_user_may_not_read_is_named(given, pki, open_directory, option):
    files = {"cert_file": open_directory / "cert.pem", "key_file": open_directory / "key.pem"}
    for path in files.values():
        shutil.copy(pki.file("leaf"), path)
        path.chmod(0o644)
    files[option].chmod(0)
    settings = given(**{name: str(path) for name, path in files.items()})
    user = os.geteuid()
    with contextlib.ExitStack() as stack:
        if user == 0:
            os.seteuid(65534)
            stack.callback(os.seteuid, user)
        match = f"ssl_{option} {files[option]}: user {os.geteuid()} may not read it: check"
        with pytest.raises(TlsSetupError, match=match):
            listening_context(settings)


def test_small_key_is_the_operators_to_allow(listening):
    files = {"cert_file": "rsa 1024", "key_file": "rsa 1024"}
    listening(**files, listen_ciphers="DEFAULT:@SECLEVEL=1")


def test_old_versions_do_not_let_a_small_key_in(listening):
    files = {"cert_file": "rsa 1024", "key_file": "rsa 1024"}
    with pytest.raises(TlsSetupError, match="its key is too small"):
        listening(**files, listen_min_proto_version="tlsv1")


def test_unknown_ciphers_towards_clients_are_refused(listening):
    match = "^ssl_listen_ciphers 'rubbish': OpenSSL knows no such ciphers"
    with pytest.raises(TlsSetupError, match=match) as failure:
        listening(listen_ciphers="rubbish")
    assert failure.value.log_lines == (LISTENING_FAILED,)


def test_unknown_ciphers_towards_real_servers_are_refused(given):
    match = "^ssl_outgoing_ciphers 'rubbish': OpenSSL knows no such ciphers"
    with pytest.raises(TlsSetupError, match=match) as failure:
        outgoing(given(outgoing_ciphers="rubbish"))
    assert failure.value.log_lines == (OUTGOING_FAILED,)


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("leaf", None),
        ("expired", r"certificate has expired \(valid from .* to .*\): clients will refuse it"),
        ("not yet", r"certificate is not yet valid \(valid from .*\): clients will refuse it"),
        ("broken name", "cannot be decoded: "),
    ],
)
def test_own_certificate_out_of_its_time_warns_and_does_not_stop_the_start(
    listening, name, warning
):
    on = listening(cert_file=name, key_file=name)
    assert on.notes == ()
    if warning is None:
        assert on.warnings == ()
    else:
        [text] = on.warnings
        assert re.match(f"ssl_cert_file .*: {warning}", text)


def test_dh_parameters_are_loaded_and_noted(given, listening, pki):
    files = {"cert_file": "rsa", "key_file": "rsa", "dh_params_file": "dh"}
    on = listening(**files, listen_max_proto_version="tlsv1.2")
    assert on.notes == (f'Loaded Diffie-Hellman parameters: "{pki.file("dh")}"',)
    to = outgoing(given("no_cn_verify", ca_file="ca", outgoing_ciphers="DHE-RSA-AES128-GCM-SHA256"))
    assert connect(to, on.context).startswith("TLSv1.2 DHE-RSA-AES128-GCM-SHA256,")


def test_dh_parameters_in_the_certificates_file_are_loaded(listening, pki, tmp_path):
    path = tmp_path / "both.pem"
    path.write_bytes(Path(pki.file("leaf")).read_bytes() + Path(pki.file("dh")).read_bytes())
    on = listening(cert_file=str(path))
    assert on.notes == (f'Loaded Diffie-Hellman parameters: "{path}"',)


def test_dh_parameters_that_are_too_small_do_not_stop_the_start(listening, pki):
    on = listening(dh_params_file="small dh")
    assert on.notes == ()
    assert on.warnings == (f'Error loading Diffie-Hellman parameters: "{pki.file("small dh")}"',)


@pytest.fixture
def phrase(tmp_path):
    def write(content):
        path = tmp_path / "phrase"
        path.write_bytes(content)
        return str(path)

    return write


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\r", b"\nmore\n"])
def test_passphrase_is_the_first_line_of_its_file(listening, phrase, ending):
    listening(key_file="encrypted key", passphrase_file=phrase(PASSPHRASE + ending))


def test_passphrase_is_read_from_a_descriptor_up_to_the_line(listening):
    read, write = os.pipe()
    try:
        # Left open: a reader that waits for the end would wait forever.
        os.write(write, PASSPHRASE + b"\n")
        listening(key_file="encrypted key", passphrase_fd=read)
    finally:
        os.close(read)
        os.close(write)


def test_another_passphrase_is_read_from_its_file(phrase):
    found = Passphrase(Settings(ssl_passphrase_file=phrase(b"first\n")))
    assert found() == b"first"
    phrase(b"second\n")
    assert found() == b"first"
    found.read_again()
    assert found() == b"second"


def test_passphrase_of_a_descriptor_is_kept_and_never_asked_for_again():
    read, write = os.pipe()
    try:
        os.write(write, b"first\nsecond\n")
        asked, spared = (Passphrase(Settings(ssl_passphrase_fd=read)) for _ in range(2))
        assert asked() == b"first"
        for each in (asked, spared):
            each.read_again()
        assert asked() == b"first"
        with pytest.raises(TlsSetupError, match="there is no pass phrase"):
            spared()
    finally:
        os.close(read)
        os.close(write)


def test_passphrase_is_asked_for_on_a_terminal_without_echo(listening, pki, monkeypatch):
    master, terminal = pty.openpty()
    echo = []

    class Stderr(io.StringIO):
        def write(self, text):
            if text.startswith("Passphrase"):
                echo.append(bool(termios.tcgetattr(terminal)[3] & termios.ECHO))
                os.write(master, PASSPHRASE + b"\n")
            return super().write(text)

    stderr = Stderr()
    monkeypatch.setattr(sys, "stderr", stderr)
    try:
        before = termios.tcgetattr(terminal)
        listening(key_file="encrypted key", passphrase_fd=terminal)
        assert termios.tcgetattr(terminal) == before
    finally:
        os.close(master)
        os.close(terminal)
    assert echo == [False]
    assert stderr.getvalue() == f"Passphrase for {pki.file('encrypted key')}: \n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"wrong\n", "the pass phrase is wrong"),
        (b"\n", "it is encrypted and there is no pass phrase"),
        (b"", "it is encrypted and there is no pass phrase"),
        (b"x" * 5000, "the pass phrase is wrong"),
    ],
)
def test_bad_passphrase_is_named_and_not_shown(listening, pki, phrase, content, message):
    key = pki.file("encrypted key")
    with pytest.raises(TlsSetupError, match=f"^ssl_key_file {key}: {message}") as failure:
        listening(key_file="encrypted key", passphrase_file=phrase(content))
    assert failure.value.log_lines == (KEY.format(key), LISTENING_FAILED)
    assert "wrong\n" not in str(failure.value)


def test_descriptor_that_is_not_open_gives_no_passphrase(listening):
    with pytest.raises(TlsSetupError, match="there is no pass phrase"):
        listening(key_file="encrypted key", passphrase_fd=10_000)


def test_missing_passphrase_file_is_named(listening):
    match = f"^ssl_passphrase_file /nonexistent: {MISSING}"
    with pytest.raises(TlsSetupError, match=match) as failure:
        listening(key_file="encrypted key", passphrase_file="/nonexistent")
    assert failure.value.log_lines == (LISTENING_FAILED,)


def test_passphrase_is_not_read_for_a_key_that_needs_none(listening):
    listening(passphrase_file="/nonexistent")
