"""The views of the table: ``--help``, the sample file, docs/options.md, and the dump in the log.

``python -m perdition.config.render sample`` (or ``markdown``, ``usage``) writes one of them.
"""

import re
import sys
import textwrap
from collections.abc import Iterator

from perdition import __version__
from perdition.config.kinds import FLAG
from perdition.config.options import DEFAULTS, ROWS, Options
from perdition.config.table import Row

WIDTH = 78
INDENT = "    "
NOTES = (
    "Notes: Flags are off by default. An option whose value is an empty string is not used, "
    "unless noted otherwise. The configuration file takes the same options, without dashes, one "
    "a line."
)
FILE_FORMAT = (
    "A line holds an option, white space, and its value up to the end of the line. # begins a "
    "comment; quotes, or a backslash before a character, take its meaning away, and a backslash at "
    "the end of a line joins it with the next. A flag is on when it stands alone or with yes, true "
    "or on, and off with no, false or off. What is given on the command line goes over what is "
    "given here."
)
SAMPLE_HEAD = (
    "Configuration of perdition. Every option is here, commented out, at its default.",
    "",
    *textwrap.wrap(FILE_FORMAT, 98),
)
MARKDOWN_HEAD = """\
# Options

Made of the table of options by `python -m perdition.config.render markdown`. The names are those
of the command line, with `--` before them, and of the configuration file.
"""
# The most that 2.2 says in a line of the log.
LONGEST = 4095
# The sixth field of what SQL maps are told is a password, and so is this extension of an LDAP URL.
SQL_MAP = re.compile(r"mysql|postgresql|odbc")
SQL_PASSWORD = re.compile(r"^((?:[^:]*:){5})[^:]+")
URL_PASSWORD = re.compile(r"(://[^/@:]*:).*(?=@)")
# Of what the map of HTTP is told, the first header's value and what follows it, and what is asked.
HTTP_MAP = re.compile(r"\bhttp\b|_http\b")
HTTP_SECRETS = re.compile(r"(header=['\"]?[^:\s]*:).*|(https?://[^\s?]*\?)[^\s'\"]+", re.DOTALL)
QUERY_PASSWORD = re.compile(r"([?&;](?:password|passwd|pwd|odbc_connect)=)[^&;\s]+", re.IGNORECASE)
LDAP_PASSWORD = re.compile(r"(X-BINDPW=)[^,?]+", re.IGNORECASE)
DUMPED = """
    add_domain authenticate_in authenticate_timeout bind_address client_server_specification
    config_file connection_limit connection_logging connect_relog debug domain_delimiter
    explicit_domain group imap_capability inetd_mode listen_port log_facility log_passwd
    login_disabled lower_case managesieve_capability map_library map_library_opt no_bind_banner
    no_daemon no_lookup tcp_keepalive nodename ok_line outgoing_port outgoing_server pid_file
    pop_capability protocol server_resp_line strip_domain timeout username username_from_database
    query_key quiet
""".split()  # noqa: SIM905 - a line a name would be long
TLS_DUMPED = """
    ssl_mode ssl_ca_file ssl_ca_path ssl_ca_accept_self_signed ssl_cert_file
    ssl_cert_accept_expired ssl_cert_accept_not_yet_valid ssl_cert_accept_self_signed
    ssl_cert_verify_depth ssl_key_file ssl_listen_ciphers ssl_outgoing_ciphers ssl_no_cert_verify
    ssl_no_client_cert_verify ssl_no_cn_verify ssl_passphrase_fd ssl_passphrase_file
    ssl_listen_min_proto_version ssl_outgoing_min_proto_version ssl_listen_max_proto_version
    ssl_outgoing_max_proto_version ssl_listen_compression ssl_outgoing_compression
    ssl_no_cipher_server_preference
""".split()  # noqa: SIM905 - a line a name would be long
# Where 2.2 calls a field other than the option.
DUMPED_AS = {
    "ssl_cert_accept_not_yet_valid": "ssl_cert_not_yet_valid",
    "ssl_cert_accept_self_signed": "ssl_cert_self_signed",
}


def wrap(text: str, indent: str, width: int = WIDTH) -> list[str]:
    """Lines of a text; names with a hyphen in them, of mechanisms and the like, stay whole."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def sections() -> dict[str, dict[str, Row]]:
    """Give the rows under their headings, in the order of the table."""
    found: dict[str, dict[str, Row]] = {}
    for name, row in ROWS.items():
        found.setdefault(row.section, {})[name] = row
    return found


def default_of(name: str) -> str:
    """Write the default of an option as a text that gives it."""
    return str(ROWS[name].kind.show(DEFAULTS[name]))


def usage() -> str:
    """Write what ``--help`` says."""
    lines = [
        f"perdition version {__version__}",
        "",
        "perdition is a mail retrieval proxy daemon",
        "",
        "Usage: perdition [options]",
    ]
    for heading, rows in sections().items():
        lines += ["", f"{heading}:"]
        for name, row in rows.items():
            lines += entry(name, row)
    lines += ["", *textwrap.wrap(NOTES, WIDTH, initial_indent=" ")]
    return "\n".join(lines) + "\n"


def entry(name: str, row: Row) -> list[str]:
    """Write an option as ``--help`` has it."""
    letter = f"-{row.short}|" if row.short else ""
    head, default = f" {letter}--{name}:", []
    if row.kind is not FLAG:
        head = f" {letter}--{name} {row.metavar}:"
        # Not wrapped: two blanks together mean something in it.
        default = [f'{INDENT}(default "{row.shown or default_of(name)}")']
    text = wrap(row.help, INDENT)
    return [head, *text, *default]


def quoted(value: str) -> str:
    """Write a value as a configuration file has it."""
    if re.fullmatch(r"""[^\s"'#\\]([^"'#\\]*[^\s"'#\\])?""", value):
        return value
    return f"'{value}'" if "'" not in value else '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def sample() -> str:
    """Write a configuration file with every option at its default, commented out."""
    lines = [*(f"# {line}".rstrip() for line in SAMPLE_HEAD), ""]
    for heading, rows in sections().items():
        lines += [f"# {heading}", "#" * (len(heading) + 2), ""]
        for name, row in rows.items():
            if row.in_file:
                lines += wrap(row.help, "# ", WIDTH + 2)
                lines += [f"#{name} {quoted(default_of(name))}", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def markdown() -> str:
    """Write docs/options.md."""
    lines = [MARKDOWN_HEAD]
    for heading, rows in sections().items():
        lines += [f"## {heading}", ""]
        for name, row in rows.items():
            letter = f", `-{row.short}`" if row.short else ""
            value = "" if row.kind is FLAG else f" `{row.metavar}`"
            lines += [f"### `{name}`{letter}{value}", "", row.help.replace("\\", "\\\\"), ""]
            if row.kind is not FLAG:
                default = row.shown or default_of(name)
                lines += [f"Default: {f'`{default}`' if default else 'empty'}.", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def redact(library: str, text: str) -> str:
    """Write what a map is told without the password in it."""
    if SQL_MAP.search(library):
        return SQL_PASSWORD.sub(r"\1********", text)
    if HTTP_MAP.search(library):
        text = HTTP_SECRETS.sub(r"\1\2********", text)
    for secret in (URL_PASSWORD, QUERY_PASSWORD, LDAP_PASSWORD):
        text = secret.sub(r"\1********", text)
    return text


def shown(options: Options, name: str) -> str:
    """Write the value of an option as the dump has it, without quotes."""
    text = str(ROWS[name].kind.show(getattr(options, name)))
    if name == "map_library_opt":
        return redact(options.map_library, text)
    if name in ("bind_address", "outgoing_server"):
        return re.sub(r"[\[\]]", "", text)
    return text


def fields(options: Options, node: str) -> Iterator[str]:
    """Write the fields of the first line of the dump."""
    for name in DUMPED:
        if name == "nodename":
            yield f'nodename="{node}"'
        elif isinstance(getattr(options, name), int):
            yield f"{name}={shown(options, name)}"
        else:
            yield f'{name}="{shown(options, name)}"'


def tls_fields(options: Options) -> Iterator[str]:
    """Write the fields of the second line, where flags are quoted and one comma is missing."""
    for name in TLS_DUMPED:
        is_number = ROWS[name].metavar in ("NUMBER", "DEPTH")
        value = shown(options, name) if is_number else f'"{shown(options, name)}"'
        comma = "" if name == "ssl_no_cn_verify" else ","
        yield f"{DUMPED_AS.get(name, name)}={value}{comma} "


def dump(options: Options, node: str) -> tuple[str, str]:
    """Write the two lines that debug logs at start, for a host of that name."""
    first, second, third = options.masks
    line = f"{', '.join(fields(options, node))} (mask=0x{first:08x} {second:08x})"
    return cut(line), cut(f"{''.join(tls_fields(options))}(ssl_mask=0x{third:08x}) ")


def cut(line: str) -> str:
    """Cut a line where 2.2 does."""
    octets = line.encode("utf-8", "surrogateescape")
    return octets[:LONGEST].decode("utf-8", "surrogateescape")


if __name__ == "__main__":
    sys.stdout.write({"sample": sample, "markdown": markdown, "usage": usage}[sys.argv[1]]())
