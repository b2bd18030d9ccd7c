"""The grammar of configuration files and of the map of regular expressions."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perdition.grammar import GrammarError, Line, scan, scan_settings, scan_words

SETTINGS = [
    ("ok_line Welcome\n", "ok_line", "Welcome"),
    ("ok_line Welcome", "ok_line", "Welcome"),
    ("ok_line   Welcome   friend  \n", "ok_line", "Welcome   friend"),
    ("ok_line\tWelcome\tfriend\n", "ok_line", "Welcome\tfriend"),
    ("  ok_line Welcome\n", "ok_line", "Welcome"),
    ("ok_line Welcome\r\n", "ok_line", "Welcome"),
    ("ok_line Welcome\r", "ok_line", "Welcome"),
    ("ok_line Welcome # friend\n", "ok_line", "Welcome"),
    ("ok_line Wel#come\n", "ok_line", "Wel"),
    ("ok_line 'one # two'\n", "ok_line", "one # two"),
    ('ok_line "one # two"\n', "ok_line", "one # two"),
    ("ok_line one\" two\"' three'\n", "ok_line", "one two three"),
    ("ok_line one \\# two\n", "ok_line", "one # two"),
    ('ok_line one \\"two\\"\n', "ok_line", 'one "two"'),
    ('ok_line "one \\"two\\""\n', "ok_line", 'one "two"'),
    ("ok_line 'one\\two'\n", "ok_line", "one\\two"),
    ("ok_line one\\\\two\n", "ok_line", "one\\two"),
    ("ok_line one\\ \n", "ok_line", "one "),
    ("ok_line one \\\ntwo\n", "ok_line", "one two"),
    ("ok_line one \\\n two\n", "ok_line", "one  two"),
    ("ok_line one\\\r\n two\r\n", "ok_line", "one two"),
    ("ok_line one\\", "ok_line", "one"),
    ('ok_line "one\\\ntwo"\n', "ok_line", "onetwo"),
    ('ok_line "one\ntwo"\n', "ok_line", "onetwo"),
    ("ok_line 'one\r\ntwo'\n", "ok_line", "onetwo"),
    ("ok_line one # two \\\n three\n", "ok_line", "one"),
    ("ok_line one # two \\\\\n", "ok_line", "one"),
    ("ok_line one # 'two\n", "ok_line", "one"),
    ("ok_line one # two\\", "ok_line", "one"),
    ("ok_line one # two\\\r\n", "ok_line", "one"),
    ('ok_line ""\n', "ok_line", ""),
    ("ok_line ''", "ok_line", ""),
    ("ok_line\n", "ok_line", None),
    ('"ok_line" \n', "ok_line", None),
    ('"ok_line" one\n', "ok_line", "one"),
    ("'ok line' one\n", "ok line", "one"),
    ("'' one\n", "", "one"),
    ("ok_line=one\n", "ok_line=one", None),
    ("ok_line = one\n", "ok_line", "= one"),
]


@pytest.mark.parametrize(("text", "key", "value"), SETTINGS)
def test_a_line_is_a_key_and_the_rest(text: str, key: str, value: str | None) -> None:
    assert [setting[1:] for setting in scan_settings(text)] == [(key, value)]


@pytest.mark.parametrize("text", ["", "\n", "  \t\n", "# one\n", "#", "\\\n", "\\", "# \\\n one\n"])
def test_lines_without_a_word_are_left_out(text: str) -> None:
    assert list(scan(text)) == []


def test_a_byte_order_mark_is_no_part_of_the_first_word() -> None:
    assert list(scan_settings("\ufefftimeout 5\n")) == list(scan_settings("timeout 5\n"))


def test_a_line_has_the_number_where_it_begins() -> None:
    text = "\none\ntwo \\\n2\r\n  # three\n'f\nour' 4\rfive\n \\\n\\\n six"
    assert [(line.number, line.words[0]) for line in scan(text)] == [
        (2, "one"),
        (3, "two"),
        (6, "four"),
        (8, "five"),
        (11, "six"),
    ]


def test_words_are_split_at_blanks_that_are_not_quoted() -> None:
    text = "^[a-k]: localhost\n'^a b'  \"\" c\\ d # e\n"
    assert list(scan_words(text)) == [(1, ["^[a-k]:", "localhost"]), (2, ["^a b", "", "c d"])]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one\ntwo 'three\nfour\n", 2),
        ('"', 1),
        ('one "\\"', 1),
        ("one \\\n'two", 2),
        ("it's\nhere\n", 1),
    ],
)
def test_an_open_quote_is_an_error_with_its_line(text: str, line: int) -> None:
    with pytest.raises(GrammarError, match="has no end") as caught:
        list(scan(text))
    assert caught.value.line == line


def test_a_nul_is_an_error_with_its_line() -> None:
    with pytest.raises(GrammarError, match="line 2: a NUL character"):
        list(scan("one\r\n'two \0"))


SYNTAX = st.text(st.sampled_from(" \t\r\n#\\'\"abé\udce9"))


@given(SYNTAX | st.text())
@example("\\\r\n")
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        lines = list(scan(text))
    except GrammarError:
        return
    assert all(line.words for line in lines)
    numbers = [line.number for line in lines]
    assert numbers == sorted(set(numbers))


@given(st.lists(st.text(st.characters(exclude_characters="'\r\n\0")), min_size=1))
def test_what_is_quoted_comes_out_as_it_went_in(words: list[str]) -> None:
    text = " ".join(f"'{word}'" for word in words)
    assert list(scan(text)) == [Line(1, tuple(words), " ".join(words[1:]))]


@given(st.text(st.characters(exclude_characters="\r\n\0"), min_size=1))
def test_what_is_escaped_comes_out_as_it_went_in(word: str) -> None:
    escaped = "".join(f"\\{character}" for character in word)
    assert list(scan(escaped)) == [Line(1, (word,), "")]


def test_a_comment_goes_on_where_lines_end_with_lf_alone() -> None:
    text = "# C:\\mail\\\r\nlogin_disabled\r\n"
    assert list(scan_settings(text)) == [(2, "login_disabled", None)]
    assert list(scan_settings(text.replace("\r", ""))) == []
