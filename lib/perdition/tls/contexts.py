"""What TLS contexts for both sides have in common."""

import ssl
import warnings
from typing import TYPE_CHECKING

from perdition.tls import PROTO_VERSIONS, TlsSetupError
from perdition.tls.chains import NO_CHECK_TIME, Policy

if TYPE_CHECKING:
    from perdition.config.options import Options


def new_context(
    protocol: int, versions: tuple[str, str], ciphers: tuple[str, str], log_line: str
) -> ssl.SSLContext:
    """Make a context for a side of the proxy.

    Args:
        protocol: of the ssl module.
        versions: the lowest and the highest, as options have them.
        ciphers: the option that names them, and its value.
        log_line: of 2.2, for trouble.

    Raises:
        TlsSetupError: OpenSSL knows no such ciphers.
    """
    context = ssl.SSLContext(protocol)
    context.options |= ssl.Options.OP_NO_COMPRESSION | ssl.Options.OP_NO_RENEGOTIATION
    # Who has said all may still listen, without TLS's word for it as well. Python had this by
    # default up to 3.12; without it OpenSSL 3 says nothing more to such a peer.
    context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    lowest, highest = versions
    with warnings.catch_warnings():
        # The module calls TLS 1.0 and 1.1 deprecated; the operator asked for them.
        warnings.simplefilter("ignore", DeprecationWarning)
        if lowest:
            context.minimum_version = PROTO_VERSIONS[lowest.lower()]
        if highest:
            context.maximum_version = PROTO_VERSIONS[highest.lower()]
    option, wanted = ciphers
    try:
        # "DEFAULT" is OpenSSL's list, as in 2.2; Python's own is shorter than old clients need.
        context.set_ciphers(wanted or "DEFAULT")
    except ssl.SSLError as error:
        raise TlsSetupError(
            f"{option} {wanted!r}: OpenSSL knows no such ciphers; see: openssl ciphers -v", log_line
        ) from error
    return context


def allow_old(context: ssl.SSLContext, lowest: str, ciphers: str) -> None:
    """Make TLS 1.0 and 1.1 work where they are asked for: OpenSSL 3 has them at level 0 only."""
    if lowest.lower() in {"sslv3", "tlsv1", "tlsv1.1"} and "@SECLEVEL" not in ciphers:
        context.set_ciphers(f"{ciphers or 'DEFAULT'}:@SECLEVEL=0")


def policy_of(context: ssl.SSLContext, options: "Options") -> Policy:
    """Say what is asked of chains, and set in the context what OpenSSL does of it."""
    policy = Policy(
        options.ssl_cert_verify_depth,
        options.ssl_cert_accept_expired,
        options.ssl_cert_accept_not_yet_valid,
    )
    if policy.judges_times:
        # OpenSSL has one flag for both: the one that is not accepted is for Policy to find.
        context.verify_flags = ssl.VerifyFlags(context.verify_flags | NO_CHECK_TIME)
    return policy
