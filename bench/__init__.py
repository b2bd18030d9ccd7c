"""The benchmark: this program and others side by side, on 127.0.0.1 (`make bench`).

run.py is the program. scenarios.py says what is measured, bounds.py what is to be reached, and
peers.py who is compared. stage.py starts a proxy between a stub server and a load generator
(c/), processes.py counts what it uses, measure.py makes figures of that, and checks.py has what
is measured of this program alone. report.py, plot.py and documents.py show it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# The name that this program, the checkout's own version, has in results.
OURS = "ours"

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Failure:
    """A measurement that came to nothing.

    Attributes:
        reason: one line.
        is_missing: the proxy is not installed, or cannot do such a thing at all.
    """

    reason: str
    is_missing: bool = False


class BenchError(Exception):
    """A measurement cannot go on. The text is for whoever reads the results."""
