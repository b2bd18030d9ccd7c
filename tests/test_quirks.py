"""Every test that docs/quirks.md names is there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
TABLE = (TESTS.parent / "docs/quirks.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:\w+/)?[\w-]+\.(?:py::\w+|txt))`", TABLE)))


@pytest.mark.parametrize("named", NAMED)
def test_it_is_there(named: str) -> None:
    path, _, name = named.partition("::")
    text = (TESTS / path).read_text(encoding="utf-8")
    assert not name or re.search(rf"^def {name}\(", text, re.MULTILINE), named


def test_every_row_names_one() -> None:
    rows = [line for line in TABLE.splitlines() if re.match(r"\| [A-D]\d", line)]
    assert len(rows) > 60
    assert [row for row in rows if not any(f"`{named}`" in row for named in NAMED)] == []
