"""What runs for as long as a test uses it."""

import abc
import contextlib
from typing import Self


class Running(abc.ABC):
    """Something that is started as a context begins, and ended with it, in whole or not at all."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            self._start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @abc.abstractmethod
    def _start(self) -> None:
        """Start it; what ends it goes onto the stack."""
