"""What the options mean for sessions: made once, before the workers are forked."""

import functools
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from perdition import net
from perdition.backends import Backends, SharedTurn
from perdition.config.kinds import SslMode
from perdition.config.options import Options
from perdition.config.render import dump
from perdition.identity import NameRules
from perdition.logs import DEBUG, ERROR, INFO, Log
from perdition.maps import Map, MapSettings
from perdition.maps.cache import Cached
from perdition.maps.choice import open_map
from perdition.protocols import Terms
from perdition.session.finding import Finder
from perdition.session.service import DIALOGUES, Authenticate, Service
from perdition.tls.handshakes import Listening, OutgoingTls

CAPABILITY = {"POP3": "pop_capability", "IMAP4": "imap_capability"}


def node_name() -> str:
    """The name of this machine."""
    return os.uname().nodename


def log_level(options: Options) -> int:
    """The least important level that is logged; debug goes over quiet."""
    if options.debug:
        return DEBUG
    return ERROR if options.quiet else INFO


def token(options: Options) -> str:
    """Eight hexadecimal digits that stand for this configuration, to know ourselves by."""
    text = "\n".join(dump(options, node_name()))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Names:
    """Names of our own addresses, each looked up once."""

    options: Options

    def banner(self, address: str) -> str:
        """What the greeting calls us (reference: protocols.md section 1.5)."""
        if self.options.no_bind_banner or not address:
            return node_name()
        return address if self.options.no_lookup else self.host(address)

    @staticmethod
    @functools.lru_cache(maxsize=256)
    def host(address: str) -> str:
        return net.host_name(address)


def configured_map(options: Options, option: str, tell: Callable[[str], None]) -> Map:
    """The map that the options name.

    Args:
        options: the options in force.
        option: `map_library_opt`, with a whole path.
        tell: is told of trouble that does not keep the map from answering.

    Raises:
        MapFailed: it cannot be used.
    """
    settings = MapSettings(
        options.domain_delimiter, options.map_timeout, options.map_connections, tell
    )
    opened = open_map(options.map_library, option, settings)
    found, not_found = options.map_cache_found, options.map_cache_not_found
    stale = options.map_cache_stale
    if not (found or not_found or stale):
        return opened
    return Cached(opened, found=found, not_found=not_found, stale=stale)


def make_service(
    options: Options,
    log: Log,
    find: Map,
    turn: SharedTurn,
    listening: Listening | None,
    outgoing: OutgoingTls | None,
    authenticate: Authenticate | None = None,
) -> Service:
    """All that a session is given."""
    base = options.protocol.removesuffix("S")
    mode = options.effective_ssl_mode
    names = Names(options)
    delimiter = options.domain_delimiter
    rules = NameRules(
        delimiter,
        options.strip_domain,
        options.add_domain,
        options.lower_case,
        options.explicit_domain,
    )
    return Service(
        protocol=options.protocol,
        dialogues=DIALOGUES[base],
        terms=Terms(
            getattr(options, CAPABILITY.get(base, "managesieve_capability")),
            options.ok_line,
            token(options),
            mode.tls_listen,
            mode.tls_listen_force,
            mode.tls_outgoing,
            mode.tls_outgoing_force,
            options.login_disabled,
            options.server_resp_line,
        ),
        log=log,
        rules=rules,
        finder=Finder(options, rules, find, log),
        backends=Backends(
            tuple(
                net.parse_item(each, delimiter, options.outgoing_port)._replace(user="")
                for each in options.outgoing_server
            ),
            options.outgoing_port,
            turn,
            options.connect_timeout,
            options.tcp_keepalive,
        ),
        authenticate=authenticate,
        listen_tls=listening,
        outgoing_tls=outgoing,
        ssl_listen=mode.ssl_listen,
        ssl_outgoing=mode.ssl_outgoing,
        header_from=net.Networks(options.proxy_protocol_from),
        trusted=net.Networks(options.trusted_networks),
        is_logged=options.debug and options.connection_logging,
        banner=names.banner,
        host=names.host,
        options=options,
    )


def listens_with_tls(options: Options) -> bool:
    """Whether TLS is spoken with clients."""
    mode = options.effective_ssl_mode
    return bool(mode & (SslMode.SSL_LISTEN | SslMode.TLS_LISTEN))


def goes_out_with_tls(options: Options) -> bool:
    """Whether TLS is spoken with real servers."""
    mode = options.effective_ssl_mode
    return bool(mode & (SslMode.SSL_OUTGOING | SslMode.TLS_OUTGOING))
