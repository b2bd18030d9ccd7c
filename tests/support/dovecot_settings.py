"""What a test wants of a Dovecot, and its configuration file in the words of the version there is.

Tests say it once. Version 2.4 has other names for much of what 2.3 had, and refuses the old ones:
what is said differently stands here alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from support.processes import HOST

NONE: Mapping[str, str] = MappingProxyType({})
V23 = (2, 3)
V24 = (2, 4)
VERSIONS = (V23, V24)
# The listeners, and the services that have them.
LISTENERS = {
    "imap": "imap-login",
    "imaps": "imap-login",
    "pop3": "pop3-login",
    "pop3s": "pop3-login",
    "sieve": "managesieve-login",
    "sieves": "managesieve-login",
}
# Where TLS comes first. Dovecot knows two of them by their names.
SECURE = {"imaps", "pop3s", "sieves"}
# This has to come first.
FIRST = {
    V23: "",
    V24: "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0",
}
COMMON = f"""
protocols = imap pop3 sieve
base_dir = $home/run
state_dir = $home/state
log_path = $home/log
listen = {HOST}
ssl = yes
default_internal_user = $user
default_internal_group = $group
default_login_user = $user
first_valid_uid = 1
first_valid_gid = 1
auth_failure_delay = 0
mail_max_userip_connections = 0
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""
BY_VERSION = {
    V23: """
disable_plaintext_auth = no
mail_location = sdbox:~/mail
userdb {
  driver = static
  args = uid=$uid gid=$gid home=$home/users/%{user}
}
""",
    V24: """
auth_allow_cleartext = yes
mail_driver = sdbox
mail_path = ~/mail
userdb static {
  fields {
    uid = $uid
    gid = $gid
    home = $home/users/%{user}
  }
}
""",
}
CERTIFICATE = {
    V23: "ssl_cert = <{file}\nssl_key = <{file}",
    V24: "ssl_server_cert_file = {file}\nssl_server_key_file = {file}",
}
# One process for all clients of a service.
SERVES_ALL = {V23: "service_count = 0", V24: "restart_request_count = unlimited"}


class Passdb(NamedTuple):
    """Who is let in.

    Attributes:
        fields: everybody, with these: password and others.
        file: or those of this file, as /etc/passwd has them.
        mechanisms: with these alone.
        users: these alone; those with an exclamation mark not.
        is_master: as the master users.
    """

    fields: Mapping[str, str] = NONE
    file: str = ""
    mechanisms: str = ""
    users: str = ""
    is_master: bool = False


class Settings(NamedTuple):
    """What a test wants of a Dovecot; $home stands for the folder of its files.

    Attributes:
        passdbs: they are asked one after the other.
        tokens: how the tokens of OAuth are looked at: settings of that, without their prefix.
        others: text that all versions understand.
        files: their texts by their names.
    """

    passdbs: tuple[Passdb, ...]
    tokens: Mapping[str, str] = NONE
    others: str = ""
    files: Mapping[str, str] = NONE


def block(head: str, *inside: str) -> str:
    """Settings that belong together; empty ones are left out."""
    text = "\n".join(each for each in inside if each).replace("\n", "\n  ")
    return f"{head} {{\n  {text}\n}}"


def lines(settings: Mapping[str, str], prefix: str = "") -> str:
    """Settings, one a line."""
    return "\n".join(f"{prefix}{name} = {value}" for name, value in settings.items())


def passdb(of: tuple[int, int], number: int, wanted: Passdb) -> str:
    """A passdb in a version's words; 2.4 wants each to have a name."""
    head, more, mechanisms = (
        ("passdb", _args(wanted), "mechanisms")
        if of == V23
        else (f"passdb number{number}", _known(wanted), "mechanisms_filter")
    )
    return block(
        head,
        f"driver = {'passwd-file' if wanted.file else 'static'}",
        more,
        f"{mechanisms} = {wanted.mechanisms}" if wanted.mechanisms else "",
        f"username_filter = {wanted.users}" if wanted.users else "",
        "master = yes" if wanted.is_master else "",
    )


def _args(wanted: Passdb) -> str:
    """What a passdb knows, as 2.3 has it: in one line."""
    if wanted.file:
        return f"args = scheme=PLAIN username_format=%{{user}} {wanted.file}"
    return "args = " + " ".join(f"{name}={value}" for name, value in wanted.fields.items())


def _known(wanted: Passdb) -> str:
    """The same as 2.4 has it; the password is no field."""
    if wanted.file:
        return f"passwd_file_path = {wanted.file}\nauth_username_format = %{{user}}"
    fields = {name: value for name, value in wanted.fields.items() if name != "password"}
    password = wanted.fields.get("password")
    return "\n".join(
        ([f"static_password = {password}"] if password else [])
        + ([block("fields", lines(fields))] if fields else [])
    )


def oauth(of: tuple[int, int], tokens: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """What is said of tokens in a version's words, and in which files: 2.4 wants no passdb."""
    if not tokens:
        return "", {}
    if of == V23:
        text = block(
            "passdb",
            "driver = oauth2",
            "mechanisms = oauthbearer xoauth2",
            "args = $home/oauth2",
        )
        return text, {"oauth2": lines(tokens) + "\n"}
    return lines(tokens, "oauth2_"), {}


def services(of: tuple[int, int], ports: Mapping[str, int]) -> Iterator[str]:
    """Those that listen."""
    for service in dict.fromkeys(LISTENERS.values()):
        listeners = (
            block(
                f"inet_listener {name}",
                f"port = {ports[name]}",
                f"ssl = {'yes' if name in SECURE else 'no'}",
            )
            for name, owner in LISTENERS.items()
            if owner == service
        )
        yield block(
            f"service {service}", "chroot =", SERVES_ALL[of], "process_min_avail = 1", *listeners
        )


def written(
    of: tuple[int, int], wanted: Settings, ports: Mapping[str, int], named: Iterable[str]
) -> dict[str, str]:
    """The texts of a Dovecot's files by their names: "conf" and those that it speaks of.

    Args:
        of: its version.
        wanted: by the test.
        ports: by the names of LISTENERS.
        named: for whom there are certificates, for clients that ask for a name: pem.NAME.

    Returns:
        Texts in which $home, $user, $group, $uid and $gid are to be filled in.
    """
    tokens, files = oauth(of, wanted.tokens)
    conf = [
        FIRST[of],
        COMMON,
        BY_VERSION[of],
        CERTIFICATE[of].format(file="$home/pem"),
        *services(of, ports),
        *(
            block(f"local_name {name}", CERTIFICATE[of].format(file=f"$home/pem.{name}"))
            for name in named
        ),
        tokens,
        *(passdb(of, number, each) for number, each in enumerate(wanted.passdbs)),
        wanted.others,
    ]
    return {**wanted.files, **files, "conf": "\n".join(conf) + "\n"}
