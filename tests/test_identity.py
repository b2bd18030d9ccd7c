"""What is done to user names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition.identity import AddDomain, Ends, NameRules, State, check_key_format, domain_of, key

ALL = frozenset(State)
ENDS = Ends("10.0.0.7", 4000, "10.0.0.1", 143)
LOOKUP = State.SERVERNAME_LOOKUP


def rules(
    delimiter: str = "@",
    strip: bool = False,
    add: bool = False,
    lower: bool = False,
    domain: str = "",
    depth: int = 1,
) -> NameRules:
    return NameRules(
        delimiter,
        ALL if strip else frozenset(),
        AddDomain(ALL if add else frozenset(), depth),
        ALL if lower else frozenset(),
        domain,
    )


@pytest.mark.parametrize(
    ("made", "name", "result"),
    [
        (rules(), "Bob@X.org", "Bob@X.org"),
        (rules(strip=True), "bob@x@y", "bob@x"),
        (rules(strip=True), "@y", ""),
        (rules(strip=True), "bob", "bob"),
        (rules(strip=True, delimiter="--"), "a-b--c", "a-b"),
        (rules(add=True), "bob", "bob@example.com"),
        (rules(add=True, depth=0), "bob", "bob@mail.example.com"),
        (rules(add=True, depth=3), "bob", "bob"),
        (rules(add=True, domain="d.org", depth=9), "bob", "bob@d.org"),
        (rules(add=True, domain="d.org"), "bob@x", "bob@x"),
        (rules(strip=True, add=True, domain="d.org"), "bob@x", "bob@d.org"),
        (rules(lower=True), "BOB\u00c4", "bob\u00c4"),
        (rules(add=True, lower=True, domain="D.org"), "BOB", "bob@d.org"),
    ],
)
def test_names(made: NameRules, name: str, result: str) -> None:
    assert made.name_for(LOOKUP, name, lambda: "mail.example.com") == result


def test_only_the_states_that_are_named_change() -> None:
    made = NameRules("@", frozenset({State.REMOTE_LOGIN}), AddDomain(), frozenset(), "")
    assert made.name_for(LOOKUP, "a@b", str) == "a@b"
    assert made.name_for(State.REMOTE_LOGIN, "a@b", str) == "a"
    assert made.name_for(State.REMOTE_LOGIN, "a@b", str, strip=False) == "a@b"


@pytest.mark.parametrize(
    ("text", "name", "delimiter", "result"),
    [
        ("\\U", "bob@example.com", "@", "bob@example.com"),
        ("\\u", "bob@example.com", "@", "bob"),
        ("\\u", "bob", "@", "bob"),
        ("\\D\\d", "bob@example.com", "@", "@example.com"),
        ("\\d", "bob", "@", ""),
        ("\\d", "a--bob", "--", "bob"),
        ("\\i:\\p>\\I:\\P", "bob", "@", "10.0.0.7:4000>10.0.0.1:143"),
        ("a\\\\b", "bob", "@", "a\\b"),
    ],
)
def test_keys(text: str, name: str, delimiter: str, result: str) -> None:
    check_key_format(text)
    assert key(text, name, rules(delimiter), ENDS) == result


@pytest.mark.parametrize("text", ["\\x", "\\", "a\\"])
def test_unknown_escapes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\\"):
        check_key_format(text)


@given(st.text(), st.integers(0, 5))
def test_a_domain_is_the_end_of_the_host(host: str, depth: int) -> None:
    assert host.endswith(domain_of(host, depth))
