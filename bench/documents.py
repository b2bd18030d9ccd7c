"""Where results go: a folder of their own, and the documentation."""

import json
import shutil
from pathlib import Path

from bench import BenchError, report
from bench.plot import draw
from bench.results import Results

BEGIN = "<!-- bench: begin -->"
END = "<!-- bench: end -->"


def write_results(results: Results, folder: Path) -> list[Path]:
    """Write Markdown, JSON and, if it can be drawn, PNG.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text, data, picture = (folder / f"performance.{kind}" for kind in ("md", "json", "png"))
    text.write_text(report.full(results), encoding="utf-8")
    data.write_text(json.dumps(results.as_json(), indent=1) + "\n", encoding="utf-8")
    picture.unlink(missing_ok=True)
    return [text, data, *([picture] if draw(results, picture) else [])]


def put_between_markers(document: str, text: str, first: str = BEGIN, last: str = END) -> str:
    """Replace what stands between the two markers.

    Raises:
        BenchError: they are not there.
    """
    before, begin, rest = document.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise BenchError(f"the document lacks {first} or {last}")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"


def write_docs(results: Results, folder: Path, docs: Path) -> None:
    """Put the tables into docs/performance.md, and the plot beside it."""
    document = docs / "performance.md"
    text = "\n".join([report.short(results), *report.about(results.about)])
    filled = put_between_markers(document.read_text(encoding="utf-8"), text)
    document.write_text(filled, encoding="utf-8")
    picture = folder / "performance.png"
    if picture.exists():
        shutil.copyfile(picture, docs / picture.name)
