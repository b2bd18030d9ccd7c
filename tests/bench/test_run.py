"""What the command line chooses, and in which order it is measured."""

import pytest

from bench import OURS
from bench.checks import CHECKS
from bench.run import chosen_names, parse_arguments, steps
from bench.scenarios import WORKS


def test_rounds_are_interleaved_and_begin_with_another_proxy_each() -> None:
    arguments = ["--works", "imap-login", "--proxies", "nginx,haproxy", "--rounds", "2"]
    order = [(step.round, step.peer.name) for step in steps(parse_arguments(arguments))]
    assert order == [
        (1, OURS),
        (1, "nginx"),
        (1, "haproxy"),
        (2, "nginx"),
        (2, "haproxy"),
        (2, OURS),
    ]


def test_the_short_form_has_nginx_and_the_original_only() -> None:
    found = steps(parse_arguments(["--quick"]))
    assert {step.peer.name for step in found} == {OURS, "nginx", "perdition"}
    assert {step.peer.name for step in found if step.name == "imap-login-tls-1"} == {OURS}


def test_the_checks_are_of_this_program_alone() -> None:
    found = steps(parse_arguments(["--soak"]))
    assert [step.name for step in found] == list(CHECKS)
    assert {step.peer.name for step in found} == {OURS}


def test_the_long_form_has_the_works_and_the_checks() -> None:
    names = chosen_names(parse_arguments([]))
    assert set(CHECKS) < set(names)
    assert "imap-login" in names
    assert "imap-upload" not in names
    assert set(chosen_names(parse_arguments(["--works", "all"]))) == {*WORKS, *CHECKS}


@pytest.mark.parametrize("arguments", [["--works", "nothing"], ["--proxies", "nobody"]])
def test_names_have_to_be_known(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(arguments)
    assert "see --list" in capsys.readouterr().err
