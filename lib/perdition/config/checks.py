"""What needs more than one option: those that do not go together, and those without effect."""

import re
from collections.abc import Iterator
from typing import Any

from perdition import net
from perdition.config import ConfigError
from perdition.config.options import DEFAULTS, Options
from perdition.config.settings import Given, Level
from perdition.identity import State
from perdition.parameters import BadParameters, split
from perdition.tls import PROTO_VERSIONS

ORDER = list(PROTO_VERSIONS)
SIDES = ("listen", "outgoing")
# What looks as if it did something, and does not without the option behind it, or without TLS.
NEEDS = {
    "client_server_allow": "client_server_specification",
    "explicit_domain": "add_domain",
    "outgoing_master_password_file": "outgoing_master_user",
    "outgoing_master_separator": "outgoing_master_user",
    "pam_service": "authenticate_in",
}
# Of these, names of hosts are made.
IN_HOSTS = re.compile(r"[A-Za-z0-9._-]+")
NEED_TLS = ("ssl_client_cert_user", "ssl_crl_file", "ssl_sni_certs")


def lower_default_minimum(values: dict[str, Any]) -> None:
    """Let a highest version below our default lowest stand, as it could with 2.2's default."""
    for side in SIDES:
        low, high = f"ssl_{side}_min_proto_version", values.get(f"ssl_{side}_max_proto_version")
        if high and low not in values:
            values[low] = min(DEFAULTS[low], high, key=ORDER.index)


def part_users(values: dict[str, Any], given: Level) -> list[str]:
    """Put @ between user and host where 2.2 parts them at the domain_delimiter.

    That is the one that it has read until then. One that is in no host's name parts them here
    wherever it is given.

    Args:
        values: in which that is done.
        given: where they were given, in the order in which they are read.

    Returns:
        What the operator should know of it: it may be the name of a host that is parted.
    """
    delimiter = values.get("domain_delimiter", net.DELIMITER)
    if delimiter == net.DELIMITER:
        return []
    order = list(given)
    is_in_hosts = IN_HOSTS.fullmatch(delimiter) is not None
    found = []
    for name in order:
        is_early = name in order[: order.index("domain_delimiter")]
        if name not in ("bind_address", "outgoing_server") or (is_early and is_in_hosts):
            continue
        items = tuple(net.with_at(item, delimiter) for item in values[name])
        for item, parted in zip(values[name], items, strict=True):
            user, _, host = split(parted)[0].rpartition(net.DELIMITER)
            if item != parted and is_in_hosts:
                found.append(
                    f"{given[name].where}: {name} {item!r}: domain_delimiter {delimiter!r} parts "
                    f"it, as in 2.2: the user {user!r}, who has no effect, and the host {host!r}"
                )
        values[name] = items
    return found


def check(options: Options, given: Level) -> None:
    """Check that options go together.

    Raises:
        ConfigError: they do not.
    """
    if options.ssl_mode.is_contradictory:
        raise ConfigError(
            f"{given['ssl_mode'].where}: ssl_mode {given['ssl_mode'].text!r}: on one side there "
            "can be either ssl_... or tls_..., not both",
            "invalid ssl_mode combination",
        )
    for side in SIDES:
        low, high = f"ssl_{side}_min_proto_version", f"ssl_{side}_max_proto_version"
        most = getattr(options, high)
        if most and ORDER.index(getattr(options, low)) > ORDER.index(most):
            raise conflict(given[low], given[high], f"{low} is greater than {high}")
    descriptor, file = given.get("ssl_passphrase_fd"), given.get("ssl_passphrase_file")
    if descriptor and file and file.text:
        message = "Only one of ssl_passphrase_fd and ssl_passphrase_file may be specified"
        raise conflict(descriptor, file, message)
    if "lookup" in given and not options.lookup:
        # It would start the proxy, where a variable is empty.
        raise ConfigError(f"{given['lookup'].where}: --lookup: no user is named")
    check_master_user(options, given)
    for name in ("ssl_no_cert_verify", "ssl_no_client_cert_verify"):
        if options.ssl_client_cert_user and getattr(options, name):
            message = "a certificate that nobody has verified names no user"
            raise conflict(given["ssl_client_cert_user"], given[name], message)
    try:
        for item in options.outgoing_server:
            net.check_port(net.parse_destination(item, net.DELIMITER))
    except (net.BadItem, BadParameters) as error:
        raise ConfigError(f"{given['outgoing_server'].where}: outgoing_server {error}") from error


def check_master_user(options: Options, given: Level) -> None:
    """Check that somebody is authenticated here before another one's password is used for him.

    Raises:
        ConfigError: nobody is, or there is no such password.
    """
    by_certificate = "EXTERNAL" in options.sasl_mechanisms and not options.compat
    if by_certificate and not options.outgoing_master_user:
        raise ConfigError(
            f"{given['sasl_mechanisms'].where}: EXTERNAL in sasl_mechanisms needs "
            "outgoing_master_user: a certificate is no password for the real server"
        )
    if not options.outgoing_master_user:
        return
    where = given["outgoing_master_user"].where
    if not options.outgoing_master_password_file:
        raise ConfigError(
            f"{where}: outgoing_master_user needs outgoing_master_password_file as well"
        )
    if options.client_server_specification and not options.client_server_allow:
        raise ConfigError(
            f"{where}: outgoing_master_user with client_server_specification needs "
            "client_server_allow: else clients choose who is told the master user's password"
        )
    if not (options.authenticate_in or by_certificate):
        raise ConfigError(
            f"{where}: outgoing_master_user needs authenticate_in, or EXTERNAL in sasl_mechanisms: "
            "else nobody looks at passwords here"
        )


def conflict(one: Given, other: Given, message: str) -> ConfigError:
    """Say that two options do not go together."""
    has_usage = one.is_on_command_line or other.is_on_command_line
    return ConfigError(
        f"{one.where}: {one.name} {one.text!r} does not go with {other.name} {other.text!r} "
        f"({other.where}): {message}",
        message if has_usage else "",
        usage=has_usage,
    )


def master_user_warnings(options: Options, given: Level) -> list[str]:
    """Say where PAM would look at another name than the one whose mailbox the master user opens."""
    named = {
        "strip_domain": options.strip_domain,
        "add_domain": options.add_domain.states,
        "lower_case": options.lower_case,
    }
    return [
        f"{given[name].where}: {name} {given[name].text!r}: with outgoing_master_user it should "
        "have both of local_authentication and remote_login, or neither: PAM looks at one name, "
        "and another one's mailbox is opened"
        for name, states in named.items()
        if (State.LOCAL_AUTHENTICATION in states) != (State.REMOTE_LOGIN in states)
    ]


def without_effect(options: Options, given: Level) -> Iterator[str]:
    """Say which options do nothing, for another one is missing."""
    for name, needed in NEEDS.items():
        if not is_default(options, name) and is_default(options, needed):
            yield f"{given[name].where}: {name}: has no effect without {needed}"
    if options.compat and not is_default(options, "sasl_mechanisms"):
        where = given["sasl_mechanisms"].where
        yield f"{where}: sasl_mechanisms: has no effect with compat {options.compat}"
    mode = options.effective_ssl_mode
    if not (mode.ssl_listen or mode.tls_listen):
        for name in NEED_TLS:
            if not is_default(options, name):
                where = given[name].where
                yield f"{where}: {name}: has no effect without TLS to clients (ssl_mode)"


def is_default(options: Options, name: str) -> bool:
    """Whether an option has the value that it has where nobody gives one."""
    return bool(getattr(options, name) == DEFAULTS[name])


def warnings(options: Options, given: Level) -> list[str]:
    """Say what the operator should know of options that are accepted."""
    found = list(without_effect(options, given))
    for name in (f"ssl_{side}_compression" for side in SIDES):
        if getattr(options, name):
            found.append(
                f"{given[name].where}: {name}: has no effect, for TLS does not compress any more: "
                "what is said could be guessed from how well it is compressed"
            )
    for name in ("ssl_no_cert_verify", "ssl_no_client_cert_verify"):
        if options.ssl_crl_file and getattr(options, name):
            found.append(
                f"{given['ssl_crl_file'].where}: ssl_crl_file: has no effect, for with {name} "
                "clients are not asked for certificates"
            )
    # A backslash that is escaped is one, and no escape.
    if options.query_key and not any("\\" in each.replace(r"\\", "") for each in options.query_key):
        found.append(
            f"{given['query_key'].where}: query_key {given['query_key'].text!r}: is the same key "
            "for every user; in a file, what has backslashes stands in single quotes"
        )
    if options.outgoing_master_user and options.authenticate_in:
        found += master_user_warnings(options, given)
    if "EXTERNAL" in options.sasl_mechanisms and not options.compat:
        missing = "" if options.ssl_client_cert_user else "without ssl_client_cert_user"
        mode = options.effective_ssl_mode
        if not (mode.ssl_listen or mode.tls_listen):
            missing = "without TLS to clients (ssl_mode)"
        if missing:
            found.append(
                f"{given['sasl_mechanisms'].where}: EXTERNAL in sasl_mechanisms: has no effect "
                f"{missing}: no client can show by a certificate who it is"
            )
    for name in (f"ssl_{side}_{end}_proto_version" for side in SIDES for end in ("min", "max")):
        if getattr(options, name) == "sslv3" and name in given:
            found.append(
                f"{given[name].where}: {name} 'sslv3': there is no SSLv3 any more; the lowest "
                "version that OpenSSL has is meant"
            )
    return found
