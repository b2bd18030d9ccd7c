"""Manual pages in roff, as man(7) has it: blocks of lines, and the text in them.

`plain`, `bold` and `italic` make text; whatever they are given comes out as it is, for they escape
it. What the other functions take is such text, and they give a block each, to be joined by `page`.
"""

import re

# Every hyphen is an ASCII one: what is copied from a page, or looked for in it, may be an option.
ESCAPES = str.maketrans(
    {
        "\\": r"\(rs",
        "-": r"\-",
        "'": r"\(aq",
        "`": r"\(ga",
        "^": r"\(ha",
        "~": r"\(ti",
        '"': r"\(dq",
    }
)
BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
# No hyphens at the ends of lines, and no wide gaps.
LAYOUT = ".nh\n.ad l\n"


def plain(text: str) -> str:
    """Escape a text. White space of any kind and length is one blank."""
    return literal(" ".join(text.split()))


def literal(line: str) -> str:
    """Escape a line in which blanks count."""
    line = BEYOND_ASCII.sub(lambda found: f"\\[u{ord(found[0]):04X}]", line.translate(ESCAPES))
    # A dot that begins a line would make a request of it; a quote is escaped already.
    return line.replace(".", r"\&.", 1) if line.startswith(".") else line


def bold(text: str) -> str:
    """Escape what is typed as it stands; blanks count."""
    return rf"\fB{literal(text)}\fR"


def italic(text: str) -> str:
    """Escape what something else stands for; blanks count."""
    return rf"\fI{literal(text)}\fR"


def breakable(text: str) -> str:
    """Let lines end after a slash, too."""
    return text.replace("/", r"/\:")


def page(name: str, section: int, source: str, *blocks: str) -> str:
    """Make a page.

    Args:
        name: of the page.
        section: of the manual.
        source: program and version. There is no date, so that equal sources give equal pages.
        blocks: what stands in it.
    """
    # The last one, the title of the manual, would not fit between our longest names.
    words = (plain(name.upper()), str(section), "", plain(source), " ")
    title = " ".join(f'"{word}"' for word in words)
    return f".TH {title}\n{LAYOUT}{''.join(blocks)}"


def heading(text: str) -> str:
    """Begin a section."""
    return f".SH {text}\n"


def subheading(text: str) -> str:
    """Begin a part of a section."""
    return f".SS {text}\n"


def paragraph(text: str) -> str:
    """A paragraph."""
    return f".PP\n{text}\n"


def tagged(tag: str, *texts: str) -> str:
    """An entry of a list: what it is about, and below it, each on a line of its own, the texts."""
    return ".TP\n" + "\n.br\n".join((f"{tag}\n{texts[0]}", *texts[1:])) + "\n"


def bullet(text: str) -> str:
    """An entry of a list without tags."""
    return f".IP \\(bu 2\n{text}\n"


def example(text: str) -> str:
    """Lines that stay as they are."""
    lines = "".join(f"{literal(line)}\n" for line in text.splitlines())
    return f".PP\n.RS 4\n.nf\n{lines}.fi\n.RE\n"
