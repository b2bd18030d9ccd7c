"""Several certificates on one listener: which of them a client gets, by the name it asks for."""

import ssl
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from perdition import certificates
from perdition.tls import LISTENING_FAILED, TlsSetupError
from perdition.tls.der import CERTIFICATE, RSA, BadDer, kind_of_key
from perdition.tls.files import PRIVATE_KEY, Pair, decoded, why

OPTION = "ssl_sni_certs"
PATTERN = "*.pem"
KEY_SUFFIX = ".key"
# What certbot and others like it have in a directory for each name.
WITH_CHAIN, ITS_KEY = "fullchain.pem", "privkey.pem"


class Own(NamedTuple):
    """A certificate of ours.

    Attributes:
        pair: its files.
        names: what it is for, in lower case; a star stands for one label.
        kind: of its key: RSA, ECDSA, ...
    """

    pair: Pair
    names: frozenset[str]
    kind: bytes


class Choice(NamedTuple):
    """Who gets which certificates: of each kind of key one.

    Attributes:
        default: for who asks for no name, or one that is nobody's.
        by_name: for the others.
        warnings: of certificates that nobody gets.
    """

    default: tuple[Own, ...]
    by_name: Mapping[str, tuple[Own, ...]]
    warnings: tuple[str, ...]


def files(paths: Iterable[str]) -> list[Pair]:
    """The certificates that `ssl_sni_certs` names; of a directory all with that ending.

    The key stands in the same file, or in one beside it whose name ends in .key. In a directory
    with fullchain.pem it is that one alone, and privkey.pem has its key.

    Raises:
        TlsSetupError: there is none.
    """
    found = []
    for path in map(Path, paths):
        names = [path]
        if path.is_dir():
            whole = path / WITH_CHAIN
            names = [whole] if whole.exists() else sorted(path.glob(PATTERN))
        if not names:
            raise TlsSetupError(f"{OPTION} {path}: no {PATTERN} in this directory")
        for file in names:
            try:
                has_key = PRIVATE_KEY in file.read_bytes()
            except OSError as error:
                raise failed(file, why(error)) from error
            key = file
            if not has_key:
                is_whole = file.name == WITH_CHAIN
                key = file.with_name(ITS_KEY) if is_whole else file.with_suffix(KEY_SUFFIX)
            found.append(Pair(OPTION, str(file), OPTION, str(key)))
    return found


def own(pair: Pair) -> Own:
    """Read who a certificate is for.

    Raises:
        TlsSetupError: it cannot be read.
    """
    try:
        octets = Path(pair.cert_file).read_bytes()
        found = CERTIFICATE.search(octets)
        if found is None:
            raise failed(pair.cert_file, why(ssl.SSLError()), pair.cert_option)
        kind = kind_of_key(ssl.PEM_cert_to_DER_cert(wrapped(found[1])))
        names = certificates.host_names(decoded(pair.cert_file))
    except BadDer as error:
        raise failed(pair.cert_file, f"cannot be decoded: {error}", pair.cert_option) from error
    except (ssl.SSLError, ValueError) as error:
        raise failed(pair.cert_file, f"cannot be decoded: {error}", pair.cert_option) from error
    except OSError as error:
        raise failed(pair.cert_file, why(error), pair.cert_option) from error
    return Own(pair, frozenset(name.rstrip(".").lower() for name in names), kind)


def wrapped(base64: bytes) -> str:
    """What stands in a PEM block, as the ssl module wants it."""
    return f"{ssl.PEM_HEADER}\n{base64.decode('ascii', 'replace').strip()}\n{ssl.PEM_FOOTER}\n"


def choose(first: Own, others: Sequence[Own]) -> Choice:
    """Decide who gets which certificates.

    Args:
        first: of ssl_cert_file; of certificates with the same names and kinds of keys the first
            one counts.
        others: of ssl_sni_certs.

    Raises:
        TlsSetupError: one of these has no name.
    """
    by_name: dict[str, dict[bytes, Own]] = {}
    used: set[Own] = set()
    for each in (first, *others):
        if not each.names and each is not first:
            raise failed(each.pair.cert_file, "is for no name: it has neither a DNS name nor a CN")
        for name in each.names:
            if by_name.setdefault(name, {}).setdefault(each.kind, each) is each:
                used.add(each)
    for name, kinds in by_name.items():
        # Clients that know RSA alone get that of the star. Other kinds would be chosen before a
        # name's own RSA.
        star = by_name.get(star_for(name), {})
        if RSA in star:
            kinds.setdefault(RSA, star[RSA])
    default = {first.kind: first}
    for each in others:
        if first.names and first.names <= each.names:
            default.setdefault(each.kind, each)
    warnings = tuple(
        f"{OPTION} {each.pair.cert_file}: not used: another certificate of this kind is for "
        + ", ".join(sorted(each.names))
        for each in others
        if each not in used
    )
    return Choice(
        tuple(default.values()),
        {name: tuple(kinds.values()) for name, kinds in by_name.items()},
        warnings,
    )


def star_for(name: str) -> str:
    """The name with a star for its first label that covers another one; itself if there is none."""
    _first, _dot, rest = name.partition(".")
    return f"*.{rest}" if "." in rest else name


class ByName:
    """Gives the context of the name that a client asks for.

    It is no `ssl.SSLContext.sni_callback`: with one, names that are no text would be printed on
    standard error with a traceback, by whoever connects.
    """

    def __init__(self, contexts: Mapping[str, ssl.SSLContext]) -> None:
        self._contexts = contexts

    def __call__(self, name: str) -> ssl.SSLContext | None:
        """The context of a name: its own, else that of a star for its first label; else None."""
        name = name.lower().rstrip(".")
        found = self._contexts.get(name)
        if found is None:
            found = self._contexts.get(star_for(name))
        return found


def failed(file: object, reason: str, option: str = OPTION) -> TlsSetupError:
    """What is wrong with a certificate."""
    line = f'Error loading certificate chain file "{file}"'
    return TlsSetupError(f"{option} {file}: {reason}", line, LISTENING_FAILED)
