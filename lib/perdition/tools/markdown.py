"""From Markdown to roff: as much of it as docs/maps.md and the texts of the manual pages have.

A table becomes a list: the first column is the tag, and what stands in the others is below it.
"""

import re
from collections.abc import Iterator

from perdition.tools import roff

# The blocks, by the names of their groups.
BLOCK = re.compile(
    r"""
      ^```[^\n]*\n (?P<fenced> (?:(?!```)[^\n]*\n)* ) ```$
    | ^(?P<level>\#{1,2})\ (?P<heading>[^\n]+)
    | (?P<table> (?:^\|[^\n]*(?:\n|\Z))+ )
    | ^-\ (?P<item> [^\n]+ (?:\n\ +[^\n]+)* )
    | (?P<indented> ^\ {4}[^\n]+ (?:\n+\ {4}[^\n]+)* )
    | ^(?P<paragraph> [^\n]+ (?:\n(?!```|\#|\||-\ )[^\n]+)* )
    """,
    re.VERBOSE | re.MULTILINE,
)
# Inside of them: `code`, ``code``, **strong**, [text](where), and a backslash before a character.
INLINE = re.compile(
    r"""
      (?P<ticks>`+) (?P<code>.+?) (?P=ticks)
    | \*\* (?P<strong>.+?) \*\*
    | \[ (?P<text>[^]]+) \] \( (?P<link>[^)]+) \)
    | \\ (?P<escaped>[\\`*_|#\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)
CELL = re.compile(r"(?<!\\)\|")
INDENT = re.compile(r"^ {4}", re.MULTILINE)
LINE_END = re.compile(r"\n\s*")
RULE = re.compile(r"[-|: ]+")


def blocks(text: str) -> str:
    """Convert a text; a heading of the first level begins a section, one of the second a part."""
    return "".join(block(found) for found in BLOCK.finditer(text))


def block(found: re.Match[str]) -> str:
    """Convert one block."""
    match found.lastgroup:
        case "fenced":
            return roff.example(found["fenced"])
        case "indented":
            return roff.example(INDENT.sub("", found["indented"]))
        case "heading":
            text = found["heading"]
            is_section = found["level"] == "#"
            return (
                roff.heading(inline(text.upper())) if is_section else roff.subheading(inline(text))
            )
        case "table":
            return "".join(entries(found["table"]))
        case "item":
            return roff.bullet(inline(found["item"]))
        case _:
            return roff.paragraph(inline(found["paragraph"]))


def entries(table: str) -> Iterator[str]:
    """Convert a table; where it has more than two columns, each text has that of its heading."""
    names, *rows = [
        [cell.strip().replace(r"\|", "|") for cell in CELL.split(line)[1:-1]]
        for line in table.splitlines()
        if not RULE.fullmatch(line)
    ]
    head, title, *titles = names
    if title and not titles:
        yield roff.tagged(roff.italic(head), roff.italic(title))
    for tag, first, *more in rows:
        texts = [inline(first)]
        texts += [
            f"{inline(each)}: {inline(cell)}"
            for each, cell in zip(titles, more, strict=True)
            if cell
        ]
        yield roff.tagged(inline(tag), *texts)


def inline(text: str) -> str:
    """Convert what stands in a block."""
    pieces, end = [], 0
    for found in INLINE.finditer(text):
        pieces += [between(text[end : found.start()]), mark(found)]
        end = found.end()
    return "".join([*pieces, between(text[end:])]).strip()


def between(text: str) -> str:
    """Convert what has no marks, and keep its blanks at either end."""
    left = " " if text[:1].isspace() else ""
    right = " " if text[-1:].isspace() and text.strip() else ""
    return f"{left}{roff.plain(text)}{right}"


def mark(found: re.Match[str]) -> str:
    """Convert a piece with a mark."""
    if found["code"]:
        return roff.bold(LINE_END.sub(" ", found["code"]))
    if found["strong"]:
        return roff.italic(LINE_END.sub(" ", found["strong"]))
    if found["text"]:
        where = found["link"]
        is_elsewhere = "://" in where
        return inline(found["text"]) + (
            f" ({roff.breakable(roff.plain(where))})" if is_elsewhere else ""
        )
    return roff.plain(found["escaped"])
