"""The Markdown that the manual pages are made of, as it is read in the end."""

import pytest

from perdition.tools import markdown, roff
from support.man import rendered, words


def lines(text: str) -> list[str]:
    """What a text becomes, a line an item, without the page's head and foot and blank lines."""
    page = rendered(roff.page("test", 8, "none", roff.heading("TEXT"), markdown.blocks(text)))
    return [line.rstrip() for line in page.splitlines() if line.strip()][2:-1]


def test_headings_are_sections_and_their_parts() -> None:
    assert lines("# Files\n\none\n\n## In `etc`\n\ntwo\n") == [
        *("FILES", "       one", "   In etc", "       two")
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("with `--code` and ``co`de``", "with --code and co`de"),
        ("**Strong**, and a \\* and `\\*`", r"Strong, and a * and \*"),
        ("[a map](#maps) of ours", "a map of ours"),
        ("[nginx](https://nginx.org/en) has it", "nginx (https://nginx.org/en) has it"),
        ("`a\nb` **c\nd**\ne", "a b c d e"),
        ("snake_case_stays * and * too", "snake_case_stays * and * too"),
        (".dot at the beginning", ".dot at the beginning"),
    ],
)
def test_marks_in_a_line(text: str, shown: str) -> None:
    assert lines(text) == [f"       {shown}"]


def test_lists_go_on_over_lines() -> None:
    assert lines("Before:\n\n- one\n  `goes\n  on`\n- two\n\nafter\n") == [
        "       Before:",
        "       • one goes on",
        "       • two",
        "       after",
    ]


def test_examples_stay_as_they_are() -> None:
    shown = ["           map  a", "             b"]
    assert lines("See:\n\n    map  a\n      b\n\nafter") == ["       See:", *shown, "       after"]
    assert lines("```python\nmap  a\n\n  b\n```\n\nafter") == [*shown, "       after"]


def test_a_table_of_two_columns_is_a_list() -> None:
    assert lines("| key | what it is |\n|---|---|\n| `a \\| b` | one |\n| c | two |\n") == [
        "       key    what it is",
        "       a | b  one",
        "       c      two",
    ]
    assert lines("| key | |\n| --- | --- |\n| a | one |\n\nafter") == [
        "       a      one",
        "       after",
    ]


def test_the_columns_after_the_second_have_their_titles() -> None:
    table = "| key | is | `pip` | apt |\n| --- | --- | --- | --- |\n| a | one | x | |\n"
    assert lines(table) == ["       a      one", "              pip: x"]


def test_long_addresses_may_be_broken() -> None:
    address = "https://example.org/" + "/".join(["directory"] * 12)
    assert words("".join(lines(f"[x]({address})"))) == f"x({address})"
