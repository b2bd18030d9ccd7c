"""What the options mean for sessions: made once, before the workers are forked."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from perdition import net
from perdition.backends import Backends, SharedTurn
from perdition.config.kinds import SslMode
from perdition.config.options import DEFAULTS, Options
from perdition.config.render import dump
from perdition.identity import NameRules
from perdition.logs import DEBUG, ERROR, INFO, Log, no_match
from perdition.maps import Map, MapSettings
from perdition.maps.cache import Cached
from perdition.maps.choice import map_name, open_map
from perdition.parameters import Parameters, parse_rule
from perdition.protocols import Terms, sasl
from perdition.session.finding import Finder
from perdition.session.service import DIALOGUES, Authenticate, MasterUser, Service
from perdition.tls.destinations import Destinations
from perdition.tls.handshakes import Listening

CAPABILITY = {"POP3": "pop_capability", "IMAP4": "imap_capability"}
MOST_PASSWORD = 1024
# Our own addresses; those that a proxy before us names count as such.
MOST_NAMES = 256
# How long the resolver may take for the name of one, and is left alone where it has failed.
NAME_SECONDS, UNKNOWN_SECONDS = 5, 10
# What 2.2 has of SASL.
COMPAT_MECHANISMS = {"MANAGESIEVE": ("PLAIN",)}


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


class Names:
    """Names of our own addresses: each is known from then on, but what the resolver fails at.

    What threads do to the dictionaries is whole: no lock is needed.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._known: dict[str, str] = {}
        # The moments until which it is not asked again.
        self._unknown: dict[str, float] = {}

    def banner(self, address: str) -> str:
        """What the greeting calls us (reference: protocols.md section 1.5)."""
        if self._options.no_bind_banner or not address:
            return node_name()
        if self._options.no_lookup:
            return address
        try:
            return self.host(address)
        except net.NameUnknown:
            return address

    def host(self, address: str) -> str:
        """The name of one of our addresses.

        Raises:
            NameUnknown: the resolver does not say, or did not a moment ago.
        """
        name = self._known.get(address)
        return self._ask(address) if name is None else name

    def _ask(self, address: str) -> str:
        if time.monotonic() < self._unknown.get(address, 0):
            raise net.NameUnknown(f"the resolver did not name {address} a moment ago")
        if len(self._known) + len(self._unknown) >= MOST_NAMES:
            self._known.clear()
            self._unknown.clear()
        try:
            name = net.host_name(address, NAME_SECONDS)
        except net.NameUnknown:
            self._unknown[address] = time.monotonic() + UNKNOWN_SECONDS
            raise
        self._unknown.pop(address, None)
        self._known[address] = name
        return name


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
    return Cached(
        opened,
        found=found,
        not_found=not_found,
        stale=stale,
        delimiter=settings.delimiter,
        tell=tell,
    )


def read_master_user(options: Options) -> MasterUser | None:
    """The user who may log in for others, None where the options name none.

    Raises:
        ValueError: its password cannot be read; the text says why.
    """
    if not options.outgoing_master_user:
        return None
    name = options.outgoing_master_password_file
    try:
        with Path(name).open("rb") as file:
            password = file.readline(MOST_PASSWORD + 1).rstrip(b"\r\n")
    except OSError as error:
        raise ValueError(f"outgoing_master_password_file {name}: {error.strerror}") from error
    if not 0 < len(password) <= MOST_PASSWORD or b"\0" in password:
        raise ValueError(f"outgoing_master_password_file {name}: no password in its first line")
    return MasterUser(options.outgoing_master_user, password, options.outgoing_master_separator)


def make_terms(options: Options) -> Terms:
    """What the dialogues are told."""
    base = options.protocol.removesuffix("S")
    mode = options.effective_ssl_mode
    name = CAPABILITY.get(base, "managesieve_capability")
    capability = getattr(options, name)
    compat = bool(options.compat)
    return Terms(
        capability,
        options.ok_line,
        token(options),
        mode.tls_listen,
        mode.tls_listen_force,
        mode.tls_outgoing,
        mode.tls_outgoing_force,
        options.login_disabled,
        options.server_resp_line,
        COMPAT_MECHANISMS.get(base, ()) if compat else usable_mechanisms(options),
        grows=capability == DEFAULTS[name] and not compat,
        compat=compat,
    )


def usable_mechanisms(options: Options) -> tuple[str, ...]:
    """The mechanisms that the options leave: local authentication needs a password."""
    return tuple(
        each
        for each in options.sasl_mechanisms
        if not (options.authenticate_in and each in sasl.RELAYED)
    )


def tell_misses(options: Options, log: Log) -> Callable[[str], None] | None:
    """What is told of keys that the map does not have: of bdb alone, as in 2.2."""
    if map_name(options.map_library) != "bdb":
        return None
    return lambda key: log.info(no_match(key))


def make_service(
    options: Options,
    log: Log,
    find: Map,
    turn: SharedTurn,
    listening: Listening | None,
    outgoing: Destinations | None,
    authenticate: Authenticate | None = None,
    master_user: MasterUser | None = None,
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
        terms=make_terms(options),
        log=log,
        rules=rules,
        finder=Finder(options, rules, find, log, tell_misses(options, log)),
        backends=Backends(
            tuple(
                net.parse_destination(each, net.DELIMITER, options.outgoing_port)._replace(user="")
                for each in options.outgoing_server
            ),
            options.outgoing_port,
            turn,
            options.connect_timeout,
            options.tcp_keepalive,
            tuple(parse_rule(each) for each in options.outgoing_destinations),
        ),
        authenticate=authenticate,
        master_user=master_user,
        listen_tls=listening,
        outgoing_tls=outgoing,
        ssl_listen=mode.ssl_listen,
        ssl_outgoing=mode.ssl_outgoing,
        header_from=net.networks(options.proxy_protocol_from),
        trusted=net.networks(options.trusted_networks),
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
    """Whether the options ask for TLS with real servers."""
    mode = options.effective_ssl_mode
    return bool(mode & (SslMode.SSL_OUTGOING | SslMode.TLS_OUTGOING)) or any(
        each.tls != "none" and (each.tls or each.wants_tls) for each in known_parameters(options)
    )


def known_parameters(options: Options) -> list[Parameters]:
    """What the options say of single real servers."""
    found = [parse_rule(each).parameters for each in options.outgoing_destinations]
    for text in options.outgoing_server:
        item = net.parse_destination(text, net.DELIMITER)
        if item.options is not None:
            found.append(item.options)
    return found
