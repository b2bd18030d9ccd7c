"""Lists of revoked certificates, for those that clients show."""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

from perdition import certificates
from perdition.tls import LISTENING_FAILED, TlsSetupError
from perdition.tls.chains import seconds
from perdition.tls.der import CRL, BadDer, Revocations, revocations, subject
from perdition.tls.files import why
from perdition.tls.sni import wrapped

OPTION = "ssl_crl_file"


def load(context: ssl.SSLContext, file: str) -> None:
    """Have clients' certificates looked up in the lists of a file.

    The list of the authority that signed the certificate itself has to be there and in time;
    those of authorities above it are not asked for.

    Raises:
        TlsSetupError: the file cannot be read, or has no list.
    """
    try:
        context.load_verify_locations(file)
    except OSError as error:
        reason = "nothing in PEM form in it" if isinstance(error, ssl.SSLError) else why(error)
        raise TlsSetupError(f"{OPTION} {file}: {reason}", LISTENING_FAILED) from error
    if not context.cert_store_stats()["crl"]:
        raise TlsSetupError(
            f"{OPTION} {file}: no list of revoked certificates (X509 CRL) in it", LISTENING_FAILED
        )
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def warnings(context: ssl.SSLContext, file: str) -> Iterator[str]:
    """Say of which authorities no client will be let in."""
    found: dict[bytes, list[Revocations]] = {}
    try:
        for block in CRL.finditer(Path(file).read_bytes()):
            each = revocations(ssl.PEM_cert_to_DER_cert(wrapped(block[1])))
            found.setdefault(each.issuer, []).append(each)
    except (BadDer, ValueError, OSError) as error:
        yield f"{OPTION} {file}: cannot be decoded: {error}"
        return
    now = time.time()
    for certificate, info in zip(
        context.get_ca_certs(binary_form=True), context.get_ca_certs(), strict=True
    ):
        name = ", ".join(certificates.common_names(info)) or "an authority without a name"
        lists = found.get(subject(certificate), ())
        if not lists:
            yield (
                f"{OPTION} {file}: it has no list of {name}: clients with certificates of this "
                "authority are refused"
            )
        elif all(each.ends and seconds(each.ends) < now for each in lists):
            yield (
                f"{OPTION} {file}: the list of {name} has expired: clients with certificates of "
                "this authority are refused"
            )
