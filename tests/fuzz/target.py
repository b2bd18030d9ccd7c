"""What a fuzzer is given: functions of octets, and what each of them may raise."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

CORPUS = Path(__file__).parent / "corpus"


class Target(NamedTuple):
    """Something that reads octets.

    Attributes:
        name: of the target and of its folder in the corpus.
        run: reads octets; AssertionError says that what it promises does not hold.
        documented: what else it may raise.
        seeds: octets to begin with.
        cost: how many cheap runs one of it takes as long as.
        module: in targets/, that has it.
    """

    name: str
    run: Callable[[bytes], None]
    documented: tuple[type[Exception], ...] = ()
    seeds: Sequence[bytes] = ()
    cost: int = 1
    module: str = ""

    def __call__(self, data: bytes) -> None:
        """Read octets; whatever leaves from here is a fault."""
        try:
            self.run(data)
        except self.documented:
            return

    def corpus(self) -> list[Path]:
        """The files of octets that have shown something once."""
        return sorted((CORPUS / self.name).glob("*"))


class Choices:
    """Octets, the first of which decide what is done with those after them."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def octet(self) -> int:
        """The next octet, 0 behind the end."""
        first, self.rest = self.rest[:1], self.rest[1:]
        return first[0] if first else 0

    def flag(self) -> bool:
        return self.octet() % 2 == 1

    def word(self, most: int = 255) -> bytes:
        """So many octets as an octet says."""
        size = min(self.octet(), most)
        found, self.rest = self.rest[:size], self.rest[size:]
        return found

    def pieces(self, size: int) -> list[bytes]:
        """What is left, in pieces."""
        return [self.rest[at : at + size] for at in range(0, len(self.rest), size)]


def targets_of(module: str) -> dict[str, Target]:
    """Those of a module in targets/, by their names."""
    listed = importlib.import_module(f"fuzz.targets.{module}").TARGETS
    return {each.name: each._replace(module=module) for each in listed}


def targets() -> dict[str, Target]:
    """All of them: a module that is put into targets/ adds its own."""
    found: dict[str, Target] = {}
    for path in sorted((Path(__file__).parent / "targets").glob("*.py")):
        found |= targets_of(path.stem)
    return found
