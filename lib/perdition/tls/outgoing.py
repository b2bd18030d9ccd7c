"""TLS contexts for real servers, made from the options."""

import ssl
from typing import TYPE_CHECKING

from perdition.tls import OUTGOING_FAILED, TlsSetupError
from perdition.tls.chains import DEPTH_ZERO_SELF_SIGNED_CERT, SELF_SIGNED_CERT_IN_CHAIN, Judge
from perdition.tls.contexts import allow_old, new_context, policy_of
from perdition.tls.files import ca_line, trust, why
from perdition.tls.handshakes import OutgoingTls

if TYPE_CHECKING:
    from perdition.config.options import Options


def outgoing(options: "Options") -> OutgoingTls:
    """Make what is needed for TLS with real servers.

    Certificate authorities that cannot be read give a warning and no error: 2.2 starts with them,
    and serves those users whose real servers are reached without TLS.

    Raises:
        TlsSetupError: the ciphers are unknown, or pyOpenSSL is needed and missing.
    """
    context = _for_servers(options)
    policy = judge = None
    ca_error = warning = ""
    if options.ssl_no_cert_verify:
        context.verify_mode = ssl.CERT_NONE
    else:
        policy = policy_of(context, options)
        try:
            trusted = trust(context, options)
        except OSError as error:
            ca_error = ca_line(options)
            trusted = []
            warning = (
                f"ssl_ca_file {options.ssl_ca_file}: {why(error)}; until then every TLS "
                "connection to a real server fails"
            )
        if tolerated := _tolerated(options):
            context.verify_mode = ssl.CERT_NONE
            judge = Judge(trusted, tolerated)
    return OutgoingTls(
        context,
        policy,
        judge,
        check_name=not options.ssl_no_cn_verify,
        san_only=options.ssl_san_only,
        ca_error=ca_error,
        warnings=(warning,) if warning else (),
    )


def outgoing_by(options: "Options", ca_file: str) -> OutgoingTls:
    """Make what is needed for TLS with a real server that has an authority of its own, or a pin.

    `ssl_no_cert_verify`, and the options that accept unknown authorities, do not count there.

    Args:
        options: the options in force.
        ca_file: of the authorities that are trusted; empty where a pin is looked at and no chain.

    Raises:
        TlsSetupError: the file cannot be read, or the ciphers are unknown.
    """
    context = _for_servers(options)
    if not ca_file:
        context.verify_mode = ssl.CERT_NONE
        return OutgoingTls(context, None, None, check_name=False, san_only=False)
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:
        raise TlsSetupError(f"ca={ca_file}: {why(error)}", OUTGOING_FAILED) from error
    return OutgoingTls(
        context,
        policy_of(context, options),
        None,
        check_name=not options.ssl_no_cn_verify,
        san_only=options.ssl_san_only,
    )


def _for_servers(options: "Options") -> ssl.SSLContext:
    context = new_context(
        ssl.PROTOCOL_TLS_CLIENT,
        (options.ssl_outgoing_min_proto_version, options.ssl_outgoing_max_proto_version),
        ("ssl_outgoing_ciphers", options.ssl_outgoing_ciphers),
        OUTGOING_FAILED,
    )
    allow_old(context, options.ssl_outgoing_min_proto_version, options.ssl_outgoing_ciphers)
    context.check_hostname = False  # certificates.matches() does it
    return context


def _tolerated(options: "Options") -> frozenset[int]:
    tolerated = set()
    if options.ssl_cert_accept_self_signed:
        tolerated.add(DEPTH_ZERO_SELF_SIGNED_CERT)
    if options.ssl_ca_accept_self_signed:
        tolerated.add(SELF_SIGNED_CERT_IN_CHAIN)
    return frozenset(tolerated)
