"""The option of a map on a server: URLs, and words of the form name=value."""

import re
import shlex
from collections.abc import Collection, Sequence
from typing import NamedTuple

from perdition.maps import MapFailed

URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
SETTING = re.compile(r"([a-z]+)(?:=(.*))?", re.DOTALL)


class Words(NamedTuple):
    """What an option says.

    Attributes:
        urls: in the order in which they are to be tried; at least one.
        settings: names and values; empty for a name without one.
    """

    urls: Sequence[str]
    settings: Sequence[tuple[str, str]]

    def one(self, name: str, default: str = "") -> str:
        """The value of a setting that is there once at most; the last one counts."""
        return dict(self.settings).get(name, default)


def split(text: str, schemes: Collection[str], names: Collection[str]) -> Words:
    """Take an option apart, at its blanks; what stands in quotes, as a shell has them, is one word.

    Args:
        text: `map_library_opt`.
        schemes: of URLs that it may have.
        names: of settings that it may have.

    Raises:
        MapFailed: it is wrong; the text, which does not show it, says where.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise MapFailed(f"map_library_opt: {error}") from error
    urls, settings = [], []
    for number, word in enumerate(words, 1):
        scheme, setting = URL.match(word), SETTING.fullmatch(word)
        if scheme and scheme[1].lower() in schemes:
            urls.append(word)
        elif setting and setting[1] in names:
            settings.append((setting[1], setting[2] or ""))
        else:
            raise MapFailed(
                f"map_library_opt: word {number} is neither a URL with one of "
                f"{', '.join(f'{each}://' for each in schemes)} nor one of "
                f"{', '.join(f'{each}=' for each in names)}; a value with blanks in it stands in "
                "quotes"
            )
    if not urls:
        raise MapFailed(
            "map_library_opt: there is no URL; it begins with one of "
            f"{', '.join(f'{each}://' for each in schemes)}"
        )
    return Words(urls, settings)
