"""``--check_upgrade``: what will be different for a site that comes from 2.2.

It reads what 2.2 read: /etc/default/perdition and a configuration file for each service, and the
maps in files. It changes nothing, and asks no server.
"""

import itertools
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from perdition.config import ConfigError
from perdition.config.command_line import load
from perdition.config.files import default_file
from perdition.config.old_rules import differences
from perdition.config.options import Options
from perdition.grammar import GrammarError, scan_words
from perdition.maps import MapFailed, read_value
from perdition.maps.choice import map_name
from perdition.maps.libgdbm import NOLOCK, READER, File, GdbmError
from perdition.maps.posix import Pattern, PatternError

ETC = Path("/etc")
# The variables of /etc/default/perdition, and the programs that they start.
SERVICES = {
    "POP3": "perdition.pop3",
    "POP3S": "perdition.pop3s",
    "IMAP4": "perdition.imap4",
    "IMAP4S": "perdition.imaps",
    "MANAGESIEVE": "perdition.managesieve",
}
VARIABLE = re.compile(r"^\s*(\w+)=(.*)$", re.MULTILINE)
# 2.2 takes them from the file although the command line has them (options.md section 2).
FILE_WON = ("bind_address", "outgoing_server", "query_key")
MOST_EXAMPLES = 3
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
    if program == "perdition" and not arguments:
        services = started(etc / "default/perdition") or services
    count = 0
    for name, words in services:
        print(f"{name} {shlex.join(words)}".rstrip())
        for line in service(name, words, etc):
            print(f"  {line}")
            count += 1
    print(f"{count} to look at. What is different for everybody: docs/upgrading.md")
    return count


def started(default: Path) -> list[tuple[str, list[str]]]:
    """What the init script starts: names and arguments."""
    try:
        text = default.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    values: dict[str, str] = {}
    for name, value in VARIABLE.findall(text):
        words = shlex.split(value, comments=True)
        values[name] = words[0] if words else ""
    if values.get("RUN_PERDITION") != "yes":
        return []
    return [
        (program, f"{values.get('FLAGS', '')} {values.get(f'{name}_FLAGS', '')}".split())
        for name, program in SERVICES.items()
        if values.get(name, "yes") == "yes"
    ]


def service(program: str, arguments: list[str], etc: Path) -> Iterator[str]:
    """What will be different for one service."""
    folder = etc / "perdition"
    path = default_file(program, folder)
    for option, value in itertools.pairwise(arguments):
        if option in ("-f", "--config_file"):
            path = Path(value) if value else None
    in_file: set[str] = set()
    if path is not None:
        try:
            text = path.read_bytes().decode("utf-8", "surrogateescape")
        except OSError as error:
            yield f"{path}: {error.strerror}: 2.2 went on without it; now the start fails"
            return
        for difference in differences(text):
            yield f"{path}:{difference}"
        in_file = {line.split()[0] for line in text.splitlines() if line.split()}
    try:
        loaded = load(program, arguments, folder)
    except ConfigError as error:
        yield f"{error}: it does not start before this is mended"
        return
    yield from loaded.warnings
    for name in FILE_WON:
        if f"--{name}" in arguments and name in in_file:
            yield f"{name}: 2.2 took it from the file; now the command line counts"
    yield from meanings(loaded.options)
    yield from in_maps(loaded.options, etc)


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
    if map_name(options.map_library) and options.outgoing_server and options.map_library_opt:
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
            values = [(key.decode("utf-8", "replace"), value) for key, value in file.items()]
        finally:
            file.close()
    except (OSError, GdbmError) as error:
        yield f"{path}: {error}"
        return
    yield from in_values(path, values, delimiter)


def in_regex(path: Path, delimiter: str) -> Iterator[str]:
    """Lines of a file of regular expressions that mean something else."""
    values = []
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        for number, words in scan_words(text):
            if len(words) < 2:  # noqa: PLR2004 - a pattern and a value
                yield f"{path}:{number}: {words[0]}: a line with one word says nothing, as before"
                continue
            pattern = Pattern(words[0].removesuffix(":").encode("utf-8", "surrogateescape"))
            if pattern.search(b"") is not None and pattern.search(b"x") == pattern.search(b""):
                yield (
                    f"{path}:{number}: {words[0]}: can match nothing: 2.2 then put a character of "
                    "the name before or behind the value; now it does not"
                )
            pattern.close()
            values.append((f"line {number}", words[1].encode("utf-8", "surrogateescape")))
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
