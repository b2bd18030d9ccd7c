"""The files that TLS needs: our certificate and key, Diffie-Hellman parameters, authorities."""

import _ssl
import contextlib
import os
import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from perdition.tls import LISTENING_FAILED, TlsSetupError, passphrase
from perdition.tls.chains import Policy, lifetime

if TYPE_CHECKING:
    from perdition.config.options import Options

HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")
# What load_cert_chain() says -> what is wrong with the certificate, with the key.
BAD_CERTIFICATE = {
    "EE_KEY_TOO_SMALL": "its key is too small for OpenSSL: make a key of 2048 bits or more "
    "(openssl genrsa 2048) and a new certificate for it",
    "CA_KEY_TOO_SMALL": "the key of a certificate authority in the chain is too small for OpenSSL: "
    "get a certificate from another one",
    "CA_MD_TOO_WEAK": "its signature is too weak for OpenSSL (MD5 or SHA-1): have it signed anew "
    "with SHA-256",
}
PRIVATE_KEY = b"PRIVATE KEY-----"
MISMATCH = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}


class Pair(NamedTuple):
    """A certificate of ours and its key: the files, and the options that name them."""

    cert_option: str
    cert_file: str
    key_option: str
    key_file: str


def trust(context: ssl.SSLContext, options: "Options") -> list[tuple[str | None, str | None]]:
    """Load the certificate authorities and say from which files and directories.

    OpenSSL looks into ssl_ca_path when it needs a certificate, which would be as the unprivileged
    user: what is there now is read now. It stays a directory too, so that one added later is found.
    """
    trusted: list[tuple[str | None, str | None]] = []
    if options.ssl_ca_file:
        context.load_verify_locations(options.ssl_ca_file)
        trusted.append((options.ssl_ca_file, None))
    if options.ssl_ca_path:
        directory = Path(options.ssl_ca_path)
        if not directory.is_absolute():
            # By then we are in another directory, and may not be able to pass through this one.
            directory = directory.resolve()
        with contextlib.suppress(OSError):
            for file in sorted(directory.iterdir()):
                if HASHED_NAME.fullmatch(file.name):
                    with contextlib.suppress(OSError):
                        context.load_verify_locations(file)
                        trusted.append((str(file), None))
        context.load_verify_locations(capath=directory)
        trusted.append((None, str(directory)))
    return trusted


def ca_line(options: "Options") -> str:
    """Give the line of 2.2 for authorities that cannot be read."""
    file, path = options.ssl_ca_file or "(null)", options.ssl_ca_path or "(null)"
    return f'Error loading certificate authority: file="{file}" path="{path}"'


def load_dh(context: ssl.SSLContext, options: "Options") -> tuple[str, str]:
    """Load Diffie-Hellman parameters from their file or, where there are any, the certificate's.

    Returns:
        A note and a warning, or "" for each. 2.2 starts without parameters that are too small.
    """
    file = options.ssl_dh_params_file or options.ssl_cert_file
    opening, reading, loading = (
        f'Error {verb} "{file}"'
        for verb in (
            "opening Diffie-Hellman parameters file",
            "reading Diffie-Hellman parameters from file",
            "loading Diffie-Hellman parameters:",
        )
    )
    try:
        context.load_dh_params(file)
    except ssl.SSLError as error:
        if error.reason == "DH_KEY_TOO_SMALL":
            return "", loading
        if options.ssl_dh_params_file:
            raise TlsSetupError(
                f"ssl_dh_params_file {file}: no Diffie-Hellman parameters in it: make some "
                "(openssl dhparam 2048) or leave the option out",
                reading,
                LISTENING_FAILED,
            ) from error
        return "", ""
    except OSError as error:
        if options.ssl_dh_params_file:
            raise TlsSetupError(
                f"ssl_dh_params_file {file}: {why(error)}", opening, LISTENING_FAILED
            ) from error
        return "", ""
    return f'Loaded Diffie-Hellman parameters: "{file}"', ""


def load_own(context: ssl.SSLContext, own: Pair, phrase: Callable[[], bytes] | None = None) -> None:
    """Load a certificate of ours, its chain and its key.

    Args:
        context: which has no certificate with that kind of key.
        own: the files.
        phrase: gives the pass phrase of the key, and is called if it has one; None where it must
            not have one.

    Raises:
        TlsSetupError: they cannot be used.
    """
    cert, key_file = f"{own.cert_option} {own.cert_file}", own.key_file
    key_option = f"{own.key_option} {key_file}"
    cert_line = f'Error loading certificate chain file "{own.cert_file}"', LISTENING_FAILED
    key_line = f'Error loading private key file "{key_file}"', LISTENING_FAILED
    try:
        # load_cert_chain() does not say which of the files it did not like.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(own.cert_file)
    except OSError as error:
        raise TlsSetupError(f"{cert}: {why(error)}", *cert_line) from error
    try:
        key = Path(key_file).read_bytes()
    except OSError as error:
        raise TlsSetupError(f"{key_option}: {why(error)}", *key_line) from error
    if PRIVATE_KEY not in key:
        raise TlsSetupError(f"{key_option}: no private key in PEM form in it", *key_line)
    if phrase is None and b"ENCRYPTED" in key:
        what = "it is encrypted, which only that of ssl_key_file may be"
        raise TlsSetupError(f"{key_option}: {what}", *key_line)
    try:
        context.load_cert_chain(own.cert_file, key_file, phrase)
    except ssl.SSLError as error:
        if error.reason in BAD_CERTIFICATE:
            raise TlsSetupError(f"{cert}: {BAD_CERTIFICATE[error.reason]}", *cert_line) from error
        if error.reason in MISMATCH:
            what = f"does not belong to the certificate in {own.cert_file}: give both of one pair"
        elif b"ENCRYPTED" in key:
            what = "the pass phrase is wrong (ssl_passphrase_file, ssl_passphrase_fd)"
        else:
            what = f"OpenSSL cannot use the private key in it: {error.reason or 'damaged'}"
        raise TlsSetupError(f"{key_option}: {what}", *key_line) from error


def validity_warning(option: str, cert_file: str) -> str:
    """Say that a certificate of ours, from that option, is out of its time; "" if it is not."""
    try:
        info = decoded(cert_file)
        objection = Policy().untimely([lifetime(info)], time.time())
    except (ssl.SSLError, ValueError) as error:
        return f"{option} {cert_file}: cannot be decoded: {error}"
    if not objection:
        return ""
    times = f"from {info['notBefore']} to {info['notAfter']}"
    return f"{option} {cert_file}: {objection} (valid {times}): clients will refuse it"


def decoded(cert_file: str) -> dict[str, Any]:
    """The first certificate of a file, as `ssl.SSLSocket.getpeercert` gives it.

    Raises:
        ssl.SSLError, ValueError: it cannot be decoded.
    """
    # The one way of the standard library to decode a certificate that no peer has shown.
    info: dict[str, Any] = _ssl._test_decode_cert(cert_file)  # type: ignore[attr-defined]
    return info


class Passphrase:
    """Gives the pass phrase of ssl_key_file: it is asked for when it is needed, and once."""

    __slots__ = ("_found", "_may_ask", "_options")

    def __init__(self, options: "Options") -> None:
        self._options = options
        self._found = b""
        self._may_ask = True

    def read_again(self) -> None:
        """A file may have another one by now; nobody else is asked again."""
        if self._options.ssl_passphrase_file:
            self._found = b""
        self._may_ask = False

    def __call__(self) -> bytes:
        """The pass phrase.

        Raises:
            TlsSetupError: there is none.
        """
        if not self._found:
            self._found = self._read()
        return self._found

    def _read(self) -> bytes:
        options = self._options
        try:
            found = passphrase.read(options, may_ask=self._may_ask)
        except OSError as error:
            raise TlsSetupError(
                f"ssl_passphrase_file {options.ssl_passphrase_file}: {why(error)}", LISTENING_FAILED
            ) from error
        if not found:
            raise TlsSetupError(
                f"ssl_key_file {options.ssl_key_file}: it is encrypted and there is no pass "
                "phrase: put it into a file for ssl_passphrase_file",
                f'Error loading private key file "{options.ssl_key_file}"',
                LISTENING_FAILED,
            )
        return found


def why(error: OSError) -> str:
    """Say why a file could not be loaded and what to do about it."""
    match error:
        case ssl.SSLError():
            return "no certificate in PEM form that OpenSSL can read in it"
        case FileNotFoundError():
            return "there is no such file: check its name"
        case PermissionError():
            return f"user {os.geteuid()} may not read it: check its and its folders' permissions"
    return f"cannot be read: {error.strerror}"
