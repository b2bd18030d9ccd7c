"""What 2.2 read differently in a configuration file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition.config.old_rules import differences

CASES = [
    ("timeout 5\nno_lookup\n", []),
    ("# timeuot\ntimeout=5\n", []),
    ("", []),
    ("timeout 5\n# no end", []),
    (
        "timeout 5",
        ["1: the last line has no end: 2.2 left out its last word; now it counts"],
    ),
    ("no_lookup\rtimeout 5\r", []),
    (
        "no_lookup\rtimeout 5",
        ["2: the last line has no end: 2.2 left out its last word; now it counts"],
    ),
    (
        "ok_line a\0b\n",
        [
            "1: a NUL character: 2.2 took it for the end of the word; now the start fails: "
            "take it out"
        ],
    ),
    (
        "no_lookup\n  timeout 5\n",
        ["2: blanks before the key: 2.2 did not start with it; now they are passed over"],
    ),
    (
        "no_lookup yes\n",
        ["1: no_lookup yes: 2.2 did not start with it; now yes and no are known"],
    ),
    (
        "no_lookup=yes\ndebug\n",
        [
            "1: no_lookup=yes: option does not take an argument: 2.2 left out the rest of the file; "
            "now yes and no are known; then these count, which have not until now: debug"
        ],
    ),
    (
        "ok_line 'in\ntimeout 5\n",
        [
            "1: the quotation that begins with ' has no end: 2.2 left out the rest of the file; "
            "now the start fails: close the quotation"
        ],
    ),
    (
        "\ufeffok_line in\nno_lookup\n",
        [
            "1: a byte order mark: unknown option: 2.2 left out the rest of the file; now it is "
            "passed over; then these count, which have not until now: ok_line, no_lookup"
        ],
    ),
    (
        "timeuot 5\nno_lookup\ndebug\n",
        [
            "1: timeuot: unknown option: 2.2 left out the rest of the file; now the start fails: "
            "take the line out; then these count, which have not until now: no_lookup, debug"
        ],
    ),
    (
        "outgoing_server\n",
        [
            "1: outgoing_server: missing argument: 2.2 left out the rest of the file; "
            "now the start fails: give it one"
        ],
    ),
]


@pytest.mark.parametrize(("text", "lines"), CASES)
def test_differences_are_told(text: str, lines: list[str]) -> None:
    assert [str(each) for each in differences(text)] == lines


def test_values_that_are_none_are_told() -> None:
    found = [str(each) for each in differences("timeout soon\nprotocol imap5\nssl_mode nonsense\n")]
    assert found[0].startswith("1: timeout: must be a whole number")
    assert found[0].endswith("which have not until now: protocol, ssl_mode")
    assert found[1].startswith("2: protocol imap5: ")
    assert found[2].startswith("3: ssl_mode nonsense: ")


def test_a_long_line_is_told() -> None:
    line = "ok_line ".ljust(4093, "x")
    assert [each.what for each in differences(f"{line}x\n")] == ["a long line"]
    assert not list(differences(f"{line}\n"))


@given(st.text())
def test_no_text_is_too_much(text: str) -> None:
    for each in differences(text):
        assert each.line >= 1
