"""``python -m perdition.tools.completion bash`` (or ``zsh``): write the completion for that shell.

It is made of the table of options, for perdition under all its names, makegdbm and makebdb.
"""

import re
import shlex
import sys
from collections.abc import Iterator
from typing import NamedTuple

from perdition.config.files import PROTOCOLS
from perdition.config.kinds import FLAG
from perdition.config.options import ROWS
from perdition.config.table import Row
from perdition.logs import FACILITIES
from perdition.maps.choice import STORES
from perdition.tools import popmap

NAMES = " ".join(["perdition", *PROTOCOLS])
TOOLS = "makegdbm makebdb"


class Values(NamedTuple):
    """What a shell offers for the value of an option.

    Attributes:
        words: these, or where there are none:
        source: files, directories, or what else a shell knows; it may also go with words.
        is_list: whether there may be several of the words, with commas between.
    """

    words: tuple[str, ...] = ()
    source: str = ""
    is_list: bool = False


# By what stands for the value in the help, and for options of which more is known.
SOURCES = {
    "FILENAME": "file",
    "PATHNAME": "directory",
    "USERNAME": "user",
    "GROUP": "group",
    "PORT_NUMBER|PORT_NAME": "service",
    "PORT_NAME|PORT_NUMBER": "service",
}
KNOWN = {
    "log_facility": Values((*FACILITIES, "-", "+"), "file"),
    "map_library": Values(tuple(STORES), "file"),
    "map_library_opt": Values(source="file"),
    # A list, though one that takes the place of that of before.
    "sasl_mechanisms": Values(ROWS["sasl_mechanisms"].kind.words, is_list=True),
}
BASH_SOURCES = {
    "file": "compopt -o default",
    "directory": "compopt -o dirnames",
    "user": "how=(-u)",
    "group": "how=(-g)",
    "service": "how=(-A service)",
}
ZSH_SOURCES = {
    "": " ",
    "file": "_files",
    "directory": "_files -/",
    "user": "_users",
    "group": "_groups",
    "service": "_ports",
}
BASH = r"""# Completion for bash; made by: python -m perdition.tools.completion bash

_perdition()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} before= how=()
    # An option and its value with a = between are three words.
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    # Files are what is offered by default; their names may need quotes, of which bash knows.
    compopt +o default
    case $prev in
@CASES@
    esac
    mapfile -t COMPREPLY < <(compgen -P "$before" "${how[@]}" -- "${cur#"$before"}")
}

_perdition_popmap()
{
    COMPREPLY=()
    if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "@TOOL_OPTIONS@" -- "${COMP_WORDS[COMP_CWORD]}")
    fi
}

complete -o default -F _perdition @NAMES@
complete -o default -F _perdition_popmap @TOOLS@
"""
BASH_LIST = 'before=${cur%"${cur##*,}"}; compopt -o nospace'
ZSH = r"""#compdef @NAMES@ @TOOLS@
# Completion for zsh; made by: python -m perdition.tools.completion zsh

case $service in
    make*)
        _arguments -s -S \
@TOOL_OPTIONS@ \
            ':database:_files'
        ;;
    *)
        _arguments -s -S \
@OPTIONS@
        ;;
esac
"""
# The first sentence of a help text: not every dot ends one.
SENTENCE = re.compile(r".*?(?=\.(?: |$))")


def main() -> int:
    """Run the program; returns the exit status."""
    shells = {"bash": bash, "zsh": zsh}
    match sys.argv[1:]:
        case [shell] if shell in shells:
            print(shells[shell](), end="")
            return popmap.SUCCESS
    popmap.complain(f"Usage: python -m perdition.tools.completion {'|'.join(shells)}")
    return popmap.FAILURE


def values(name: str) -> Values:
    """What is offered for the value of an option."""
    row = ROWS[name]
    known = Values(row.kind.words, SOURCES.get(row.metavar, ""), row.kind.accumulates)
    return KNOWN.get(name, known)


def written(name: str, row: Row) -> list[str]:
    """An option as it can be given: by its letter, if it has one, and by its name."""
    return [*([f"-{row.short}"] if row.short else []), f"--{name}"]


def bash() -> str:
    """The script for bash."""
    found: dict[Values, list[str]] = {}
    every = []
    for name, row in ROWS.items():
        every += written(name, row)
        if row.kind is not FLAG:
            found.setdefault(values(name), []).extend(written(name, row))
    cases = [
        f"        {' | '.join(options)}) {bash_case(key)} ;;" for key, options in found.items()
    ]
    cases.append(f'        *) how=(-W "{" ".join(every)}") ;;')
    return filled(
        BASH,
        CASES="\n".join(cases),
        TOOL_OPTIONS=" ".join(popmap.OPTIONS).replace(",", ""),
    )


def bash_case(offered: Values) -> str:
    """What is done where an option comes before that takes such values."""
    commands = []
    if offered.words:
        commands.append(f'how=(-W "{" ".join(offered.words)}")')
    if offered.is_list:
        commands.append(BASH_LIST)
    if offered.source:
        commands.append(BASH_SOURCES[offered.source])
    return "; ".join(commands)


def zsh() -> str:
    """The function for zsh."""
    tools = (zsh_option(words.split(", "), text) for words, text in popmap.OPTIONS.items())
    options = (
        zsh_option(written(name, row), *zsh_texts(name, row), is_repeated=row.kind.accumulates)
        for name, row in ROWS.items()
    )
    return filled(ZSH, OPTIONS=continued(options), TOOL_OPTIONS=continued(tools))


def continued(specs: Iterator[str]) -> str:
    """Arguments of a command, one a line."""
    return " \\\n".join(f"            {spec}" for spec in specs)


def zsh_texts(name: str, row: Row) -> tuple[str, str]:
    """What an option does, and what is said and offered for its value: empty without one."""
    sentence = SENTENCE.match(row.help)
    text = sentence[0] if sentence else row.help
    if row.kind is FLAG:
        return text, ""
    return text, f":{escaped(row.metavar)}:{zsh_action(values(name))}"


def zsh_action(offered: Values) -> str:
    """How zsh completes such a value."""
    source = ZSH_SOURCES[offered.source]
    words = " ".join(offered.words)
    if not words:
        return source
    if offered.is_list:
        return f"_values -s , value {words}"
    return f'{{compadd "$expl[@]" -- {words}; {source}}}' if offered.source else f"({words})"


def zsh_option(options: list[str], text: str, value: str = "", *, is_repeated: bool = False) -> str:
    """An option as _arguments wants it.

    Args:
        options: its letter and its name, or one of them.
        text: what it does.
        value: as `zsh_texts` has it.
        is_repeated: whether it can be given again.
    """
    if value:
        options = [f"{each}{'=' if each.startswith('--') else '+'}" for each in options]
    rest = shlex.quote(f"[{escaped(text)}]{value}")
    if len(options) == 1:
        return f"{shlex.quote('*') if is_repeated else ''}{options[0]}{rest}"
    others = "*" if is_repeated else f"({' '.join(each.rstrip('=+') for each in options)})"
    return f"{shlex.quote(others)}{{{','.join(options)}}}{rest}"


def escaped(text: str) -> str:
    """Escape what ends a part of an argument of _arguments."""
    return re.sub(r"[\\:\[\]]", r"\\\g<0>", text)


def filled(template: str, **parts: str) -> str:
    """Put parts into a template, in the place of their names between two @."""
    for name, part in {"NAMES": NAMES, "TOOLS": TOOLS, **parts}.items():
        template = template.replace(f"@{name}@", part)
    return template


if __name__ == "__main__":
    sys.exit(main())
