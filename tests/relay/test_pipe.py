"""One direction of a session."""

from hypothesis import given
from hypothesis import strategies as st

from perdition.relay.pipe import Pipe


@given(st.binary(min_size=1), st.lists(st.integers(1, 20)))
def test_what_is_received_is_sent_in_order(data: bytes, steps: list[int]) -> None:
    pipe, out = Pipe(), b""
    pipe.pending = data
    for step in [*steps, len(data)]:
        taken = bytes(pipe.pending[:step])
        out += taken
        pipe.sent(len(taken))
        assert pipe.wants_read == (not pipe.pending)
    assert out == data


def test_nothing_is_read_while_something_is_pending() -> None:
    pipe = Pipe()
    pipe.pending = b"early"
    assert not pipe.wants_read
    pipe.sent(5)
    assert pipe.wants_read


def test_an_ended_source_is_not_read() -> None:
    pipe = Pipe()
    pipe.source_ended = True
    assert not pipe.wants_read
