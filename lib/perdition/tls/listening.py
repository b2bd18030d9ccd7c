"""TLS contexts for clients, made from the options."""

import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from perdition.tls import LISTENING_FAILED, TlsSetupError, crl, sni
from perdition.tls.contexts import allow_old, new_context, policy_of
from perdition.tls.files import (
    Pair,
    Passphrase,
    ca_line,
    load_dh,
    load_own,
    trust,
    validity_warning,
    why,
)
from perdition.tls.handshakes import Listening

if TYPE_CHECKING:
    from perdition.config.options import Options

# The names of the protocols in TLS (IANA's registry of ALPN protocol ids).
ALPN = {
    "IMAP4": "imap",
    "IMAP4S": "imap",
    "POP3": "pop3",
    "POP3S": "pop3",
    "MANAGESIEVE": "managesieve",
}


def listening_context(options: "Options", phrase: Passphrase | None = None) -> Listening:
    """Make the contexts for clients: the one of ssl_cert_file, and those of other names.

    A certificate of our own that has expired or is not yet valid gives a warning and no error:
    2.2 starts with one, and a site that runs must come up after an upgrade.

    The options that accept self-signed certificates cannot be honoured for clients (see Judge;
    the handshake would have to be over before a client could be refused). Nothing is done with
    a client's certificate, so none is asked for then; unless it says who the client is.

    Args:
        options: the options in force.
        phrase: gives the pass phrase of ssl_key_file; None for one that the options have.

    Raises:
        TlsSetupError: something is wrong with the options or the files.
    """
    own = Pair("ssl_cert_file", options.ssl_cert_file, "ssl_key_file", options.ssl_key_file)
    phrase = phrase or Passphrase(options)
    chosen: tuple[Pair, ...] = (own,)
    found: list[str] = []
    by_name: dict[tuple[Pair, ...], list[str]] = {}
    pairs = sni.files(options.ssl_sni_certs)
    if pairs:
        choice = sni.choose(sni.own(own), [sni.own(pair) for pair in pairs])
        chosen = tuple(each.pair for each in choice.default)
        for name, certificates in choice.by_name.items():
            by_name.setdefault(tuple(each.pair for each in certificates), []).append(name)
        found += choice.warnings
    context, note, warning = _for_clients(options, chosen, phrase)
    contexts = {chosen: context}
    for several in by_name:
        if several not in contexts:
            contexts[several], _, _ = _for_clients(options, several, phrase)
    named = {name: contexts[several] for several, names in by_name.items() for name in names}
    found += [validity_warning(each.cert_option, each.cert_file) for each in (own, *pairs)]
    if options.ssl_crl_file:
        found += crl.warnings(context, options.ssl_crl_file)
    return Listening(
        context,
        policy_of(context, options),
        warnings=tuple(filter(None, (warning, *found))),
        notes=(note,) if note else (),
        protocol=ALPN[options.protocol].encode(),
        user_field=options.ssl_client_cert_user,
        choose=sni.ByName(named) if named else None,
    )


def _for_clients(
    options: "Options", own: Sequence[Pair], phrase: Callable[[], bytes]
) -> tuple[ssl.SSLContext, str, str]:
    """Make one context for clients.

    OpenSSL takes certificates, authorities, ciphers and parameters from the context that SNI has
    chosen, and the rest from the first one: all are made in the same way.

    Args:
        options: the options in force.
        own: our certificates, of each kind of key one at most.
        phrase: gives the pass phrase of ssl_key_file.

    Returns:
        The context, and a note and a warning about it, or "" for each.

    Raises:
        TlsSetupError: something is wrong with the options or the files.
    """
    context = new_context(
        ssl.PROTOCOL_TLS_SERVER,
        (options.ssl_listen_min_proto_version, options.ssl_listen_max_proto_version),
        ("ssl_listen_ciphers", options.ssl_listen_ciphers),
        LISTENING_FAILED,
    )
    if options.ssl_no_cipher_server_preference:
        context.options &= ~ssl.Options.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options |= ssl.Options.OP_CIPHER_SERVER_PREFERENCE
    # Two is OpenSSL's number, for browsers: mail programs open one connection after the other.
    context.num_tickets = 1
    context.set_alpn_protocols([ALPN[options.protocol]])
    note, warning = load_dh(context, options)
    for pair in own:
        load_own(context, pair, None if pair.cert_option == sni.OPTION else phrase)
    # Only now: the files above must meet the level of today, whatever old clients get.
    allow_old(context, options.ssl_listen_min_proto_version, options.ssl_listen_ciphers)
    try:
        trust(context, options)
    except OSError as error:
        raise TlsSetupError(
            f"ssl_ca_file {options.ssl_ca_file}: {why(error)}", ca_line(options), LISTENING_FAILED
        ) from error
    if chain_file := options.ssl_ca_chain_file:
        try:
            context.load_verify_locations(chain_file)
        except OSError as error:
            raise TlsSetupError(
                f"ssl_ca_chain_file {chain_file}: {why(error)}", LISTENING_FAILED
            ) from error
    if options.ssl_crl_file:
        crl.load(context, options.ssl_crl_file)
        # Who comes with a ticket is not looked up again.
        context.num_tickets = 0
        context.options |= ssl.Options.OP_NO_TICKET
    context.verify_mode = ssl.CERT_OPTIONAL if _asks(options) else ssl.CERT_NONE
    policy_of(context, options)
    return context, note, warning


def _asks(options: "Options") -> bool:
    """Whether clients are asked for certificates."""
    if options.ssl_no_cert_verify or options.ssl_no_client_cert_verify:
        return False
    accepts = options.ssl_cert_accept_self_signed or options.ssl_ca_accept_self_signed
    return not accepts or bool(options.ssl_client_cert_user or options.ssl_crl_file)
