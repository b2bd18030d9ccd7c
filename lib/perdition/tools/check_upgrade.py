"""``--check_upgrade``: what will be different for a site that comes from 2.2.

It reads what 2.2 read: /etc/default/perdition and a configuration file for each service, and the
maps in files. It changes nothing, and asks no server.
"""

import contextlib
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from perdition.config import ConfigError, HelpWanted, VersionWanted
from perdition.config.command_line import load, scan
from perdition.config.files import default_file, settings_in
from perdition.config.kinds import split_add_domain
from perdition.config.old_rules import Difference, differences
from perdition.config.options import Options
from perdition.config.settings import Level, gather
from perdition.grammar import BYTE_ORDER_MARK, GrammarError
from perdition.maps import MapFailed, MapSettings, read_value
from perdition.maps.choice import STORES, map_name, open_map
from perdition.maps.libgdbm import NOLOCK, READER, File, GdbmError
from perdition.maps.posix import Pattern, PatternError
from perdition.maps.regex import entries, text_of
from perdition.protocols import encode

ETC = Path("/etc")
# The variables of /etc/default/perdition, and the programs that they start.
SERVICES = {
    "POP3": "perdition.pop3",
    "POP3S": "perdition.pop3s",
    "IMAP4": "perdition.imap4",
    "IMAP4S": "perdition.imaps",
    "MANAGESIEVE": "perdition.managesieve",
}
# The file is a script for the shell, as which the init script reads it: with these names, and with
# these defaults in the place of what is empty afterwards.
READ_DEFAULT = """
PATH=/sbin:/usr/sbin:/bin:/usr/bin NAME=perdition DAEMON=/usr/sbin/perdition
. "$2" >/dev/null
shift 2
: "${RUN_PERDITION:=no}"
: "${POP3:=yes}" "${POP3S:=yes}" "${IMAP4:=yes}" "${IMAP4S:=yes}" "${MANAGESIEVE:=yes}"
for name; do eval "printf '%s\\0' \\"\\${$name-}\\""; done
"""
INIT_SCRIPT = "/etc/init.d/perdition"
DEFAULT_SECONDS = 10
# 2.2 takes them from the file although the command line has them (options.md section 2).
FILE_WON = ("bind_address", "outgoing_server", "query_key")
# And these it does not take from the file where the command line has the other one.
HIDDEN = {
    "bind_address": ("add_domain", "authenticate_in", "connection_limit"),
    "connection_logging": ("debug",),
    "debug": ("connection_logging",),
    "ssl_listen_ciphers": ("ssl_outgoing_ciphers",),
    "ssl_outgoing_ciphers": ("ssl_listen_ciphers",),
    "ssl_no_cert_verify": ("ssl_no_client_cert_verify",),
    "ssl_no_client_cert_verify": ("ssl_no_cert_verify",),
}
MOST_EXAMPLES = 3
# A wheel does not have it.
FOR_EVERYBODY = (
    "docs/upgrading.md of the project, /usr/share/doc/perdition/upgrading.md.gz of the package"
)
GDBM_DEFAULT, REGEX_DEFAULT = "perdition/popmap.gdbm.db", "perdition/popmap.re"


def run(program: str, arguments: Sequence[str], etc: Path = ETC) -> int:
    """Check a site, and print what there is to say.

    Args:
        program: the name that the program was called by; under that of a service, or with other
            arguments, it is that one alone.
        arguments: of the command line, without this option.
        etc: where the site's files are.

    Returns:
        How many things will be different.
    """
    program = Path(program).name
    services = [(program, list(arguments))]
    count = 0
    if program == "perdition" and not arguments:
        try:
            services = started(etc / "default/perdition") or services
        except ValueError as error:
            print(f"  {error}")
            count = 1
    for name, words in services:
        print(f"{name} {shlex.join(words)}".rstrip())
        for line in service(name, words, etc):
            print(f"  {line}")
            count += 1
    print(f"{count} to look at. What is different for everybody: {FOR_EVERYBODY}")
    return count


def started(default: Path) -> list[tuple[str, list[str]]]:
    """What the init script starts: names and arguments.

    Raises:
        ValueError: the init script does not come to its end with the file; the text says why.
    """
    if not default.exists():
        return []
    names = ["RUN_PERDITION", "FLAGS"]
    for each in SERVICES:
        names += [each, f"{each}_FLAGS"]
    if not os.access(default, os.R_OK):
        raise ValueError(f"{default}: it cannot be read: ask as root")
    try:
        done = subprocess.run(  # noqa: S603 - as the init script does it
            ["/bin/sh", "-c", READ_DEFAULT, INIT_SCRIPT, "start", str(default.absolute()), *names],
            # The machine's start has nothing in it, whoever asks here.
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEFAULT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"{default}: a shell does not come to its end") from None
    texts = os.fsdecode(done.stdout).split("\0")[:-1]
    if len(texts) != len(names):
        why = os.fsdecode(done.stderr).strip().rpartition("\n")[2]
        raise ValueError(
            f"{default}: the init script ends with it and starts nothing, as 2.2's did: "
            f"{why or f'exit status {done.returncode}'}"
        )
    values = dict(zip(names, texts, strict=True))
    if values["RUN_PERDITION"] != "yes":
        return []
    return [
        (program, f"{values['FLAGS']} {values[f'{name}_FLAGS']}".split())
        for name, program in SERVICES.items()
        if values[name] == "yes"
    ]


def service(program: str, arguments: list[str], etc: Path) -> Iterator[str]:
    """What will be different for one service."""
    folder = etc / "perdition"
    path = default_file(program, folder)
    found: list[Difference] = []
    line: Level = {}
    # What is wrong there is said below.
    with contextlib.suppress(ConfigError, HelpWanted, VersionWanted):
        line = gather(scan(arguments)[0])
    if "config_file" in line:
        path = Path(line["config_file"].text) if line["config_file"].text else None
    if path is not None:
        try:
            text = path.read_bytes().decode("utf-8", "surrogateescape")
        except OSError as error:
            yield f"{path}: {error.strerror}: 2.2 went on without it; now the start fails"
            return
        found = list(differences(text))
        yield from (f"{path}:{difference}" for difference in found)
    try:
        loaded = load(program, arguments, folder)
    except ConfigError as error:
        # Of what breaks the grammar there is nothing more to say.
        if str(error) not in (f"{path}:{each.line}: {each.what}" for each in found):
            yield f"{error}: it does not start before this is mended"
        return
    except (HelpWanted, VersionWanted):
        return
    yield from loaded.warnings
    if path is not None:
        yield from precedence(line, gather(settings_in(path)))
    for name in ("username", "group"):
        if name in loaded.given and not loaded.given[name].text:
            now = getattr(loaded.options, name)
            yield f"{name} '': 2.2 kept root's; now it is the default, {now}"
    yield from meanings(loaded.options)
    yield from in_maps(loaded.options, etc)


def precedence(line: Level, in_file: Level) -> Iterator[str]:
    """Options of the command line that 2.2 confused with others."""
    for name in FILE_WON:
        if name in line and name in in_file:
            yield (
                f"{name}: 2.2 took it from the file, {in_file[name].text}; now the command line "
                f"counts, {line[name].text}"
            )
    if "add_domain" in line and "add_domain" in in_file:
        depths, in_files = (
            split_add_domain(each["add_domain"].text)[1] for each in (line, in_file)
        )
        if depths and in_files and depths[-1] != in_files[-1]:
            yield (
                f"add_domain: 2.2 took the depth from the file, {in_files[-1] or 0}; now the "
                f"command line counts, {depths[-1] or 0}"
            )
    for name, hidden in HIDDEN.items():
        for each in hidden:
            if name in line and each in in_file and each not in line:
                yield (
                    f"{each}: 2.2 did not take it from the file where {name} is on the command "
                    "line; now it counts"
                )


def meanings(options: Options) -> Iterator[str]:
    """Options that mean something else."""
    mode = options.effective_ssl_mode
    for side, speaks in (
        ("listen", mode.ssl_listen or mode.tls_listen),
        ("outgoing", mode.ssl_outgoing or mode.tls_outgoing),
    ):
        lowest = getattr(options, f"ssl_{side}_min_proto_version")
        if speaks and lowest == "tlsv1.2":
            yield (
                f"ssl_{side}_min_proto_version: TLS 1.2 at least; 2.2 spoke 1.0 unless told "
                "otherwise: for old peers set it to tlsv1"
            )
    if options.authenticate_timeout == 0:
        yield "authenticate_timeout 0: 2.2 closed at once; now it is no limit"
    if options.log_passwd == "fail":  # noqa: S105 - when passwords are logged
        yield "log_passwd fail: 2.2 logged those of good log-ins as well; now it does not"
    if options.connection_limit:
        yield (
            "connection_limit: 2.2 ended when it was reached; now the surplus connection is closed"
        )
    if options.client_server_specification and not options.client_server_allow:
        yield (
            "client_server_specification: clients may name any host, as before: "
            "client_server_allow says which"
        )
    if options.log_facility.startswith("/") and not options.is_foreground:
        yield f"log_facility {options.log_facility}: 2.2 ended without a word; now it works"
    if options.authenticate_in and options.protocol == "MANAGESIEVE":
        yield "authenticate_in: 2.2 could not do that in ManageSieve; now it works"
    name = map_name(options.map_library)
    # Where nobody has named a file there may be no map.
    has_map = name and (options.map_library_opt or not (name in STORES and STORES[name].is_file))
    if has_map and options.outgoing_server:
        yield (
            "map: while it is out of order, 2.2 went on to outgoing_server; now the client is told "
            "to try again later: map_failure default_server is as before"
        )


def in_maps(options: Options, etc: Path) -> Iterator[str]:
    """What will be different with the map."""
    name, option = map_name(options.map_library), options.map_library_opt
    if name == "mysql" and not option:
        yield "map mysql without map_library_opt: 2.2 never connected; now the defaults count"
    if name == "ldap" and not re.match(r"\d(:|$)", option):
        yield "map ldap: 2.2 spoke version 2 unless told otherwise; now it is 3"
    if name and name != "posix_regex":
        try:
            open_map(options.map_library, option, MapSettings(options.domain_delimiter)).close()
        except MapFailed as error:
            yield f"map: {error}: it does not start before this is mended"
            return
    if name == "gdbm":
        yield from in_gdbm(Path(option or etc / GDBM_DEFAULT), options.domain_delimiter)
    if name == "posix_regex":
        yield from in_regex(Path(option or etc / REGEX_DEFAULT), options.domain_delimiter)


def in_gdbm(path: Path, delimiter: str) -> Iterator[str]:
    """Values of a GDBM file that mean something else."""
    if not path.exists():
        return
    try:
        file = File(os.open(path, os.O_RDONLY), READER | NOLOCK)
        try:
            values = [
                (key.decode("utf-8", "replace"), value.partition(b"\0")[0])
                for key, value in file.items()
            ]
        finally:
            file.close()
    except OSError as error:
        yield f"{path}: {error.strerror}: what is in it was not looked at"
        return
    except GdbmError as error:
        yield (
            f"{path}: {error.why}: the map is out of order: 2.2 went on to outgoing_server; now "
            "map_failure says what a log-in gets"
        )
        return
    yield from in_values(path, values, delimiter)


def in_regex(path: Path, delimiter: str) -> Iterator[str]:
    """Lines of a file of regular expressions that mean something else."""
    values = []
    try:
        text = text_of(path)
        if text.startswith(BYTE_ORDER_MARK):
            yield (
                f"{path}:1: a byte order mark: 2.2 took it for the beginning of the first "
                "expression; now it is passed over"
            )
        for number, expression, value in entries(text):
            if not (expression and value):
                lacks = "value" if expression else "expression"
                yield f"{path}:{number}: {expression}: without {lacks} it says nothing, as before"
                continue
            pattern = Pattern(encode(expression))
            if pattern.search(b"") is not None and pattern.search(b"x") == pattern.search(b""):
                yield (
                    f"{path}:{number}: {expression}: can match nothing: 2.2 then put a character "
                    "of the name before or behind the value; now it does not"
                )
            pattern.close()
            values.append((f"line {number}", encode(value)))
    except PatternError as error:
        yield f"{path}: not a regular expression: {error}: it did not start, and does not"
    except GrammarError as error:
        yield f"{path}:{error.line}: {error.why}: now the start fails"
    except OSError as error:
        yield f"{path}: {error.strerror}: it did not start, and does not"
    yield from in_values(path, values, delimiter)


def in_values(path: Path, values: Sequence[tuple[str, bytes]], delimiter: str) -> Iterator[str]:
    """Values that mean something else."""
    lists = [key for key, value in values if b"," in value and "," not in delimiter]
    if lists:
        yield (
            f"{path}: {examples(lists)}: the value has a comma: 2.2 took it for one name; now they "
            "are destinations that are tried in order"
        )
    bad = {}
    for key, value in values:
        try:
            read_value(value, delimiter)
        except MapFailed as error:
            bad[key] = str(error)
    if bad:
        yield (
            f"{path}: {examples(list(bad))}: {next(iter(bad.values()))}: now a temporary failure"
        )


def examples(names: list[str]) -> str:
    """Some of them, and how many more there are."""
    shown = ", ".join(names[:MOST_EXAMPLES])
    more = len(names) - MOST_EXAMPLES
    return f"{shown} and {more} more" if more > 0 else shown
