"""``python -m perdition.tools.manuals DIR``: write the manual pages to DIR/man1, man5 and man8.

They are made of the table of options, docs/maps.md, the docstrings of the programs that make maps,
and manual_texts.py. A page under another name is a symbolic link, as Debian wants it.
"""

import argparse
import ast
import importlib
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import perdition
from perdition.config import render
from perdition.config.files import PROTOCOLS, protocol_of
from perdition.config.kinds import FLAG
from perdition.config.options import DEFAULTS, PORTS, ROWS
from perdition.config.table import GENERAL, Row
from perdition.tools import makedb, manual_texts, markdown, popmap, roff
from perdition.tools.shipped import shipped

SOURCE = f"perdition {perdition.__version__}"
NAMES = ("perdition", *PROTOCOLS)
NOTES = render.NOTES.partition("The configuration file")[0].removeprefix("Notes: ").strip()


def main() -> None:
    """Run the program; it exits with a message where something cannot be read or written."""
    parser = argparse.ArgumentParser(prog="perdition.tools.manuals", description="Write manuals.")
    parser.add_argument("directory", metavar="DIR", type=Path, help="such as /usr/share/man")
    try:
        write(parser.parse_args().directory)
    except OSError as error:
        sys.exit(str(error))


def write(directory: Path) -> list[Path]:
    """Write all pages, and the links to them, below a directory.

    Returns:
        The paths of all of them.

    Raises:
        OSError: it cannot be written to, or docs/maps.md is not there.
    """
    for name, make in PAGES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="ascii")
    for name, target in LINKS.items():
        path = directory / name
        path.unlink(missing_ok=True)
        path.symlink_to(target)
    return [directory / name for name in (*PAGES, *LINKS)]


def head(names: Iterable[str], what: str, *synopsis: str) -> str:
    """The sections that every page begins with; without a synopsis, just the first of them."""
    name = f"{roff.plain(', '.join(names))} \\- {markdown.inline(what)}\n"
    blocks = [roff.heading("NAME"), name]
    if synopsis:
        blocks += [roff.heading("SYNOPSIS"), *map(roff.paragraph, synopsis)]
    return "".join(blocks)


def for_program() -> str:
    """perdition(8)."""
    ports = {name: PORTS[protocol_of(name)] for name in NAMES}
    rows = (f"| `{name}` | {protocol_of(name)}, port {ports[name][1]} |" for name in NAMES)
    text = manual_texts.PERDITION.format(names="\n".join(rows), notes=NOTES)
    return roff.page(
        "perdition",
        8,
        SOURCE,
        head(
            NAMES, "mail retrieval proxy", f"{roff.bold('perdition')} [{roff.italic('OPTION')}]..."
        ),
        markdown.blocks(text),
        *options(on_command_line, lambda _row: True),
        markdown.blocks(manual_texts.SIGNALS.format_map(DEFAULTS)),
    )


def for_configuration() -> str:
    """perdition.conf(5)."""
    text = manual_texts.CONFIGURATION.format(
        format=render.FILE_FORMAT,
        notes=NOTES,
        repeated=listed(name for name, row in ROWS.items() if row.kind.accumulates),
        command_line=listed(name for name, row in ROWS.items() if not row.in_file),
    )
    return roff.page(
        "perdition.conf",
        5,
        SOURCE,
        head(["perdition.conf"], "configuration of the mail retrieval proxy perdition"),
        markdown.blocks(text),
        *options(in_file, lambda row: row.in_file),
        markdown.blocks(manual_texts.CONFIGURATION_END),
    )


def listed(names: Iterable[str]) -> str:
    """Names of options in a sentence, in Markdown."""
    *others, last = (f"`{name}`" for name in names)
    return f"{', '.join(others)} and {last}"


def options(tag: Callable[[str, Row], str], is_wanted: Callable[[Row], bool]) -> Iterable[str]:
    """The options under their headings; the first of these is that of the section itself."""
    for heading, rows in render.sections().items():
        if heading != GENERAL:
            yield roff.subheading(roff.plain(heading))
        for name, row in rows.items():
            if is_wanted(row):
                yield roff.tagged(tag(name, row), *explained(name, row))


def on_command_line(name: str, row: Row) -> str:
    """Write how an option is given on the command line."""
    letter = f"{roff.bold(f'-{row.short}')}, " if row.short else ""
    return f"{letter}{roff.bold(f'--{name}')}{value(row)}"


def in_file(name: str, row: Row) -> str:
    """Write how an option is given in a file."""
    return f"{roff.bold(name)}{value(row)}"


def value(row: Row) -> str:
    """Write what stands for the value of an option, if it has one."""
    return "" if row.kind is FLAG else f" {roff.italic(row.metavar)}"


def explained(name: str, row: Row) -> list[str]:
    """What an option does, and its default."""
    texts = [roff.plain(row.help)]
    if row.kind is not FLAG:
        default = row.shown or render.default_of(name)
        texts.append(f"Default: {roff.bold(default) if default else 'empty'}")
    return texts


def for_maps() -> str:
    """perditiondb(5)."""
    text = shipped("docs/maps.md").read_text(encoding="utf-8")
    return roff.page(
        "perditiondb",
        5,
        SOURCE,
        head(["perditiondb"], "maps of users to real servers for perdition"),
        markdown.blocks(re.sub(r"\A# .*", "# Description", text)),
        markdown.blocks(manual_texts.MAPS_END),
    )


def for_file_maker(name: str) -> str:
    """The page of makegdbm or makebdb."""
    usage = popmap.usage(name).partition(f"Usage: {name} ")[2].partition("\n")[0]
    called = f"{roff.bold(name)} {roff.plain(usage)}"
    return for_tool(
        name,
        1,
        called,
        [name, "popmap"],
        roff.heading("OPTIONS"),
        *(
            roff.tagged(roff.bold(words), roff.plain(text))
            for words, text in popmap.OPTIONS.items()
        ),
    )


def for_table_maker(store: str, *shared: str) -> str:
    """The page of a program that makes a table for a map in a database."""
    name = f"perditiondb_{store}_makedb"
    return for_tool(
        name,
        8,
        f"{roff.bold(name)} [{roff.bold(makedb.HELP_OPTIONS[0])}]",
        [f"{store}_makedb", *shared],
        roff.heading("OPTIONS"),
        roff.tagged(roff.bold(", ".join(makedb.HELP_OPTIONS)), roff.plain(makedb.HELP)),
    )


def for_installer() -> str:
    """perdition-install(8), with the options of its command line."""
    # It imports this module.
    parser = importlib.import_module("perdition.tools.install").parser()
    rows = []
    for action in parser._actions:
        metavar = f" {roff.italic(action.metavar)}" if action.metavar else ""
        tag = ", ".join(roff.bold(each) for each in action.option_strings)
        text = str(action.help)
        rows.append(roff.tagged(f"{tag}{metavar}", roff.plain(f"{text[0].upper()}{text[1:]}.")))
    called = f"{roff.bold('perdition-install')} [{roff.italic('OPTION')}]..."
    return for_tool("perdition-install", 8, called, ["install"], roff.heading("OPTIONS"), *rows)


def for_tool(name: str, section: int, called: str, modules: list[str], *blocks: str) -> str:
    """The page of a program.

    Args:
        name: of the page.
        section: of the manual.
        called: its synopsis.
        modules: whose docstrings are its description; the first one says what the program is.
        blocks: what follows these.
    """
    (title, *texts), *others = map(docstring, modules)
    text = "\n\n".join(["# Description", *texts, *(each for _, *rest in others for each in rest)])
    return roff.page(
        name,
        section,
        SOURCE,
        head([name], title.partition(": ")[2].rstrip("."), called),
        markdown.blocks(text),
        *blocks,
        markdown.blocks(manual_texts.TOOL_END),
    )


def docstring(module: str) -> list[str]:
    """The paragraphs of a module's docstring; not imported, for it may want what is not there."""
    source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n\n")


PAGES: dict[str, Callable[[], str]] = {
    "man8/perdition.8": for_program,
    "man5/perdition.conf.5": for_configuration,
    "man5/perditiondb.5": for_maps,
    "man1/makegdbm.1": lambda: for_file_maker("makegdbm"),
    "man1/makebdb.1": lambda: for_file_maker("makebdb"),
    "man8/perdition-install.8": for_installer,
    "man8/perditiondb_ldap_makedb.8": lambda: for_table_maker("ldap"),
    "man8/perditiondb_mysql_makedb.8": lambda: for_table_maker("mysql", "makedb"),
    "man8/perditiondb_odbc_makedb.8": lambda: for_table_maker("odbc", "makedb"),
    "man8/perditiondb_postgresql_makedb.8": lambda: for_table_maker("postgresql", "makedb"),
}
LINKS = {f"man8/{name}.8": "perdition.8" for name in PROTOCOLS}

if __name__ == "__main__":
    main()
