"""The views of the table: ``--help``, the sample file, the dump, and the list in docs/."""

import re
import sys
import textwrap

from perdition import __version__
from perdition.config.kinds import FLAG, show_add_domain, show_ssl_mode, show_states
from perdition.config.options import DEFAULTS, GENERAL, ROWS, TLS, Options, Row

WIDTH = 78
HEADINGS = (GENERAL, TLS)
HIDDEN = ("server_ok_line",)
NOTES = (
    "Notes: Flags are off by default. An empty text as argument means that the option is not "
    "set. The same options, without dashes, stand one a line in the configuration file. See "
    "docs/options.md."
)
# Field 6 of what the SQL maps are told, and the password in an LDAP URL, are secret.
SECRET_FIELD = re.compile(r"^((?:[^:]*:){5})[^:]+")
SECRET_EXTENSION = re.compile(r"(X-BINDPW=)[^,?]*", re.IGNORECASE)
DUMP = """add_domain authenticate_in authenticate_timeout bind_address client_server_specification
config_file connection_limit connection_logging connect_relog debug domain_delimiter
explicit_domain group imap_capability inetd_mode listen_port log_facility log_passwd
login_disabled lower_case managesieve_capability map_library map_library_opt no_bind_banner
no_daemon no_lookup tcp_keepalive nodename ok_line outgoing_port outgoing_server pid_file
pop_capability protocol server_resp_line strip_domain timeout username username_from_database
query_key quiet""".split()  # noqa: SIM905 - a table
TLS_DUMP = """ssl_mode ssl_ca_file ssl_ca_path ssl_ca_accept_self_signed ssl_cert_file
ssl_cert_accept_expired ssl_cert_not_yet_valid ssl_cert_self_signed ssl_cert_verify_depth
ssl_key_file ssl_listen_ciphers ssl_outgoing_ciphers ssl_no_cert_verify
ssl_no_client_cert_verify ssl_no_cn_verify ssl_passphrase_fd ssl_passphrase_file
ssl_listen_min_proto_version ssl_outgoing_min_proto_version ssl_listen_max_proto_version
ssl_outgoing_max_proto_version ssl_listen_compression ssl_outgoing_compression
ssl_no_cipher_server_preference""".split()  # noqa: SIM905 - a table
DUMPED_AS = {
    "ssl_cert_not_yet_valid": "ssl_cert_accept_not_yet_valid",
    "ssl_cert_self_signed": "ssl_cert_accept_self_signed",
}


def default_shown(name: str, row: Row) -> str:
    """The default of an option, as text that gives it."""
    return row.kind.show(DEFAULTS[name]) if row.shown is None else row.shown


def usage() -> str:
    """What ``--help`` says (reference: options.md section 12)."""
    lines = [
        f"perdition version {__version__}",
        "",
        "perdition is a mail retrieval proxy daemon",
        "",
        "Usage: perdition [options]",
    ]
    for heading in HEADINGS:
        lines += ["", f"{heading}:"]
        for name, row in ROWS.items():
            if row.section == heading and name not in HIDDEN:
                lines += entry(name, row)
    return "\n".join([*lines, "", *textwrap.wrap(NOTES, WIDTH, initial_indent=" ")]) + "\n"


def entry(name: str, row: Row) -> list[str]:
    """An option in ``--help``."""
    letter = f"-{row.short}|" if row.short else ""
    text, argument = row.help, ""
    if row.kind is not FLAG:
        argument = f" {row.metavar}"
        text += f' (default "{default_shown(name, row)}")'
    wrapped = textwrap.wrap(
        text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
    )
    return [f" {letter}--{name}{argument}:", *wrapped]


def in_file(value: str) -> str:
    """A value as a configuration file has it."""
    if value and not re.search(r"[\"'#\\]|^\s|\s$", value):
        return value
    if "'" not in value:
        return f"'{value}'"
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def sample() -> str:
    """A configuration file with every option at its default, commented out."""
    lines = [
        "# Configuration of perdition: every option, at its default.",
        "#",
        "# One option a line: its name, then its value up to the end of the line. A # begins a",
        "# comment; quotes and \\ keep characters from having a meaning. A flag stands alone.",
        "# What is given on the command line goes over what stands here.",
    ]
    for heading in HEADINGS:
        lines += ["", f"# {heading}", "# " + "-" * len(heading)]
        for name, row in ROWS.items():
            if row.section != heading or not row.in_file:
                continue
            lines += ["", *(f"# {each}" for each in textwrap.wrap(row.help, WIDTH))]
            if row.kind is FLAG:
                lines.append(f"#{name}")
            else:
                lines.append(f"#{name} {in_file(row.kind.show(DEFAULTS[name]))}")
    return "\n".join(lines) + "\n"


def markdown() -> str:
    """docs/options.md."""
    lines = [
        "# Options",
        "",
        "Made from the table of options by `python -m perdition.config.render`.",
    ]
    for heading in HEADINGS:
        lines += [
            "",
            f"## {heading}",
            "",
            "| option | letter | value | default | |",
            "|---|---|---|---|---|",
        ]
        for name, row in ROWS.items():
            if row.section == heading:
                default = "" if row.kind is FLAG else f"`{default_shown(name, row)}`"
                cells = (
                    f"`{name}`",
                    row.short,
                    row.metavar or "flag",
                    default.replace("``", ""),
                    row.help,
                )
                lines.append("| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |")
    return "\n".join(lines) + "\n"


def redact(library: str, text: str) -> str:
    """What a map is told, without the password in it."""
    if "ldap" in library:
        return SECRET_EXTENSION.sub(r"\1********", text)
    if any(name in library for name in ("mysql", "postgresql", "odbc")):
        return SECRET_FIELD.sub(r"\1********", text)
    return text


def dump(options: Options, node: str) -> tuple[str, str]:
    """The two lines that debug logs at start (reference: logging.md section 5)."""

    def shown(name: str) -> str:
        if name == "nodename":
            return f'"{node}"'
        value = getattr(options, DUMPED_AS.get(name, name))
        if isinstance(value, bool):
            return f'"{FLAG.show(value)}"' if name.startswith("ssl_") else FLAG.show(value)
        if isinstance(value, int) and name != "ssl_mode":
            return str(value)
        match name:
            case "add_domain":
                text = show_add_domain(value)
            case "strip_domain" | "lower_case":
                text = show_states(value)
            case "ssl_mode":
                text = show_ssl_mode(value)
            case "bind_address" | "outgoing_server" | "query_key":
                text = ",".join(value)
            case "map_library_opt":
                text = redact(options.map_library, value)
            case _:
                text = str(value)
        return f'"{text}"'

    first, second, third = options.masks
    line = ", ".join(f"{name}={shown(name)}" for name in DUMP)
    tls_line = "".join(
        f"{name}={shown(name)}" + (" " if name == "ssl_no_cn_verify" else ", ") for name in TLS_DUMP
    )
    return (
        f"{line} (mask=0x{first:08x} {second:08x})",
        f"{tls_line}(ssl_mask=0x{third:08x}) ",
    )


if __name__ == "__main__":
    sys.stdout.write({"sample": sample, "markdown": markdown, "usage": usage}[sys.argv[1]]())
