"""Lines and octets of a peer, however they arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition.protocols.wire import LineTooLong, Wire
from support.talking import Lacking, play, said


@given(st.lists(st.binary(max_size=30)), st.integers(1, 40))
def test_chunking_never_shows(lines: list[bytes], size: int) -> None:
    lines = [line.replace(b"\n", b"").replace(b"\r", b"") for line in lines]
    text = b"".join(line + b"\r\n" for line in lines)
    wire = Wire()
    pieces = iter([text[at : at + size] for at in range(0, len(text), size)])
    for line in lines:
        assert play(wire.read_line(100), wire, pieces) == line


@given(st.binary(max_size=300), st.integers(0, 100))
def test_no_input_raises_anything_but_line_too_long(text: bytes, limit: int) -> None:
    wire = Wire(text)
    try:
        line = play(wire.read_line(limit), wire, [])
    except (LineTooLong, Lacking):
        return
    assert len(line) <= limit


def test_cr_does_not_stay_in_a_line() -> None:
    wire = Wire()
    assert play(wire.read_line(100), wire, [b"USER a\rPASS b\r\r\n"]) == b"USER aPASS b"


def test_a_line_over_the_limit_is_refused_before_its_end_comes() -> None:
    wire = Wire()
    with pytest.raises(LineTooLong):
        play(wire.read_line(10), wire, [b"x" * 11])


def test_a_line_over_the_limit_is_refused_when_it_comes_whole() -> None:
    wire = Wire(b"x" * 12 + b"\n")
    with pytest.raises(LineTooLong):
        play(wire.read_line(10), wire, [])


@pytest.mark.parametrize("pieces", [[b"x" * 10 + b"\n"], [b"x" * 10, b"\n"]])
def test_a_line_may_be_as_long_as_the_limit(pieces: list[bytes]) -> None:
    wire = Wire()
    assert play(wire.read_line(10), wire, pieces) == b"x" * 10


def test_exactly_so_many_octets_are_read() -> None:
    wire = Wire()
    assert play(wire.read_exactly(4), wire, [b"ab", b"\r\nrest"]) == b"ab\r\n"
    assert wire.take_unread() == b"rest"
    assert wire.take_unread() == b""


def test_a_pause_costs_the_same_however_many_there_are() -> None:
    wire = Wire()
    for _ in range(200_000):  # a quarter of an hour, if each moved the others
        wire.pause()
        wire.say(b"no")
    assert said(wire) == b"<3>no\r\n" * 200_000


def test_pauses_keep_their_place() -> None:
    wire = Wire()
    wire.say(b"one")
    wire.pause()
    wire.say(b"two")
    wire.pause(2)
    wire.say(b"three")
    assert said(wire) == b"one\r\n<3>two\r\n<3><3>three\r\n"
    assert not wire.unsent
    assert not wire.take_pause()


def test_secrets_are_not_shown() -> None:
    wire = Wire()
    wire.say(b"USER ann")
    wire.say(b"PASS sesame", secret=True)
    assert wire.shown() == b"USER ann\r\n********\r\n"
    assert "sesame" not in repr(wire.unsent)
    assert wire.take_unsent() == b"USER ann\r\nPASS sesame\r\n"


def test_secrets_after_a_pause_are_not_shown_either() -> None:
    wire = Wire()
    wire.say(b"USER ann")
    wire.pause()
    wire.say(b"PASS sesame", secret=True)
    assert wire.shown() == b"USER ann\r\n"
    wire.take_unsent()
    assert wire.take_pause()
    assert wire.shown() == b"********\r\n"
