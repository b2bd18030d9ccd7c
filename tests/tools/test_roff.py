"""Text that was escaped comes out of groff as it was, whatever stands in it."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from perdition.tools import roff
from support.man import rendered, words

# Letters of some scripts, and all that may mean something to roff; one call of groff is slow.
CHARACTERS = st.sampled_from("\\-'`^~\".fBRn(*[]{}$%&|!,:;@#/<>=+_? 0aZ") | st.characters(
    codec="utf-8",
    min_codepoint=0x21,
    max_codepoint=0x44F,
    categories=["Lu", "Ll", "Nd", "Po", "Pd", "Sc", "Sm"],
)
END = "\N{SECTION SIGN}"


def is_whole(character: str) -> bool:
    """Whether groff has no other way of writing it, and it is not ours."""
    return unicodedata.normalize("NFD", character) == character != END


TEXT = st.text(CHARACTERS.filter(is_whole), min_size=1, max_size=60).filter(str.strip)
HOSTILE = [
    ".SH NAME",
    "'br",
    "..",
    ". dot",
    "\\fBbold\\fP",
    "\\",
    "a\\c",
    "\\\\n[.g]",
    '"quoted" words',
    "--option=-1",
    "-",
    "\\(aq",
    "\\&.",
    'a \\" comment',
    "~^`'",
    "4 \N{MICRO SIGN}s, \N{LATIN SMALL LETTER E WITH ACUTE}t\N{LATIN SMALL LETTER E WITH ACUTE}",
]


def body(*blocks: str) -> list[str]:
    """The paragraphs of a page, without white space."""
    page = roff.page("test", 8, "none", roff.heading("TEXTS"), *blocks, roff.heading("END"))
    return words(rendered(page)).partition("TEXTS")[2].rpartition("END")[0].split(END)


def separated(texts: list[str]) -> list[str]:
    """What `body` gives for paragraphs with these texts."""
    return [words(text) for text in [*texts, ""]]


def survive(texts: list[str]) -> None:
    end = roff.paragraph(roff.plain(END))
    for make in (
        lambda text: roff.paragraph(roff.plain(text)),
        lambda text: roff.paragraph(f"{roff.bold(text)} {roff.italic('')}"),
        lambda text: roff.tagged(roff.plain(text), ""),
        lambda text: roff.bullet(roff.plain(text)),
        roff.example,
    ):
        blocks = [make(text) + end for text in texts]
        assert [each.removeprefix("•") for each in body(*blocks)] == separated(texts)


def test_hostile_text_survives() -> None:
    survive(HOSTILE)


@settings(max_examples=15, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=40))
def test_any_text_survives(texts: list[str]) -> None:
    survive(texts)


def test_options_have_ascii_hyphens() -> None:
    page = roff.page("test", 8, "none", roff.paragraph(roff.bold("--a-b")), roff.heading("-c"))
    assert "--a-b" in rendered(page)


def test_examples_keep_their_blanks() -> None:
    text = "a   b\n\n    c\n.d\n"
    lines = rendered(roff.page("test", 8, "none", roff.example(text))).splitlines()
    start = next(line for line in lines if line.endswith("a   b"))
    left = len(start) - len("a   b")
    assert [line[left:] for line in lines][lines.index(start) :][:4] == ["a   b", "", "    c", ".d"]


def test_what_is_on_a_line_stays_on_it() -> None:
    assert "\n" not in roff.plain("one\ntwo\r\n\tthree\N{LINE SEPARATOR}four")
