"""What tests of programs share that are run in the process of the tests."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def sigpipe() -> Iterator[None]:
    """A program ends when nobody reads what it writes; the tests after it are not to do so."""
    before = signal.getsignal(signal.SIGPIPE)
    yield
    signal.signal(signal.SIGPIPE, before)
