"""The grammar of configuration files and map files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition.grammar import GrammarError, scan_settings, scan_words


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("timeout 5\n", "timeout", "5"),
        ("timeout 5", "timeout", "5"),
        ("  timeout\t 5 \n", "timeout", "5"),
        ("a   b  c  # d\n", "a", "b  c"),
        ("a b\\# c\n", "a", "b# c"),
        ("a \"b # c\"' d'\n", "a", "b # c d"),
        ('a "b \\"c\\""\n', "a", 'b "c"'),
        ("a 'b\\c'\n", "a", "b\\c"),
        ("a b\\\\c\n", "a", "b\\c"),
        ("a b \\\nc\n", "a", "b c"),
        ("a b\\ \n", "a", "b "),
        ("a b\r\n", "a", "b"),
        ('a ""\n', "a", ""),
        ("a\n", "a", None),
        ("# x \\\nnot a key\na b\n", "a", "b"),
        ("\n \n\t\na b\n", "a", "b"),
    ],
)
def test_settings(text: str, key: str, value: str | None) -> None:
    (setting,) = scan_settings(text)
    assert (setting.key, setting.value) == (key, value)


def test_settings_know_their_lines() -> None:
    assert [each.line for each in scan_settings("a\n\nb c\\\nd\ne 'x\ny'\nf\n")] == [1, 3, 5, 7]


def test_an_open_quote_is_an_error_where_it_begins() -> None:
    with pytest.raises(GrammarError, match="line 2"):
        list(scan_settings("a b\nc 'd\ne f\n"))


def test_words() -> None:
    lines = list(scan_words("^a$: host:143 more\n'^b c': \"d e\" # f\n"))
    assert lines == [(1, ["^a$:", "host:143", "more"]), (2, ["^b c:", "d e"])]


@given(st.text())
def test_no_text_raises_anything_but_a_grammar_error(text: str) -> None:
    for scan in (scan_settings, scan_words):
        try:
            list(scan(text))
        except GrammarError as error:
            assert error.line >= 1
