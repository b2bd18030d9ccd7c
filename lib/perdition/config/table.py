"""How an option is declared: a field of a dataclass, with a row of what else there is to say."""

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

from perdition.config.kinds import FLAG, Kind

T = TypeVar("T")
GENERAL = "Options"
TLS = "SSL/TLS Specific Options"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the table says of an option beside its name and default.

    Attributes:
        kind: how its values are written.
        help: what it does.
        short: its letter, empty for none.
        section: the heading that it stands under.
        metavar: what stands for its value in the help.
        mask: word and bit in the masks of the dump.
        shown: its default as the help has it, where that depends on how the program is called.
        in_file: whether a configuration file may have it; False: there it is read and ignored.
        sets: the options that it stands for, unless they are given themselves.
        is_secret: whether its value can hold a password.
    """

    kind: Kind[Any]
    help: str
    short: str = ""
    section: str = GENERAL
    metavar: str = ""
    mask: tuple[int, int] = (0, 0)
    shown: str | None = None
    in_file: bool = True
    sets: tuple[str, ...] = ()
    is_secret: bool = False


def option(default: T, kind: Kind[T], text: str, **more: Any) -> T:
    """Declare an option; more are the other attributes of its row."""
    row = Row(kind=kind, help=text, **more)
    return dataclasses.field(default=default, repr=not row.is_secret, metadata={"option": row})


def flag(text: str, **more: Any) -> bool:
    """Declare an option that is on when it is given."""
    return option(False, FLAG, text, **more)
