"""The manual pages: they render without a warning, and say what the table and the sources say."""

import re
import signal
import subprocess
from pathlib import Path

import pytest

import perdition
from perdition.config import render
from perdition.config.files import PROTOCOLS
from perdition.config.kinds import FLAG
from perdition.config.options import ROWS
from perdition.server import master
from perdition.tools import manual_texts, manuals, popmap
from perdition.tools.shipped import shipped
from support.man import ENVIRONMENT, rendered, words
from support.popmaps import run_module
from support.processes import require

SAYS = {
    "man8/perdition.8": ["Sessions go on in their workers", "EXIT STATUS", "port 4190"],
    "man5/perdition.conf.5": [render.FILE_FORMAT, "ssl_mode ssl_listen"],
    "man5/perditiondb.5": ["A map says which real server holds a mailbox.", "makegdbm -u"],
    "man1/makegdbm.1": ["Neither key nor value can be empty.", "makegdbm [options] gdbmname"],
    "man1/makebdb.1": ["Key and value can be empty.", "makebdb [options] bdbname"],
    "man8/perdition-install.8": ["--dry-run", "Install below DIR.", "Nothing that was changed"],
    "man8/perditiondb_ldap_makedb.8": ["The server is the one of ldap.conf(5)"],
    "man8/perditiondb_mysql_makedb.8": ["Root's password is needed", "The exit status is 1"],
    "man8/perditiondb_odbc_makedb.8": ["in a data source", "The exit status is 1"],
    "man8/perditiondb_postgresql_makedb.8": ["user postgres is needed", "The exit status is 1"],
}
REFERENCE = re.compile(r"\b([a-z][\w.]*)\((\d)\)")
# Of other programs.
THEIRS = {"man", "ldap.conf"}


def run(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the program."""
    return run_module(manuals.__name__, str(directory))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("man")
    assert run(found).returncode == 0
    return found


def test_every_page_is_known_here() -> None:
    assert set(SAYS) == set(manuals.PAGES)


@pytest.mark.parametrize("name", manuals.PAGES)
def test_a_page_says_what_it_has_to(name: str) -> None:
    text = words(rendered(manuals.PAGES[name]()))
    for each in SAYS[name]:
        assert words(each) in text
    assert f"perdition{perdition.__version__}" in text


@pytest.mark.parametrize("name", [*manuals.PAGES, *manuals.LINKS])
def test_man_shows_a_page_without_a_warning(directory: Path, name: str) -> None:
    done = subprocess.run(
        [require("man"), "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", directory / name],
        env=ENVIRONMENT,
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""


@pytest.mark.parametrize("name", manuals.PAGES)
def test_whatis_knows_a_page_by_all_its_names(directory: Path, name: str) -> None:
    said = subprocess.run(
        [require("lexgrog"), directory / name], capture_output=True, check=True, text=True
    ).stdout
    page = Path(name).stem
    links = [Path(each).stem for each, target in manuals.LINKS.items() if target == Path(name).name]
    assert re.findall(r'"(\S+) - \S', said) == [page, *links]


def test_the_other_names_of_the_program_are_links_to_its_page(directory: Path) -> None:
    for name in PROTOCOLS:
        link = directory / f"man8/{name}.8"
        assert link.is_symlink()
        assert link.resolve() == directory.resolve() / "man8/perdition.8"


def test_pages_can_be_written_again(directory: Path) -> None:
    manuals.write(directory)
    written = {str(each.relative_to(directory)) for each in directory.glob("man?/*")}
    assert written == {*manuals.PAGES, *manuals.LINKS}


@pytest.mark.parametrize("page", ["man8/perdition.8", "man5/perdition.conf.5"])
def test_every_option_is_there_with_its_text_and_default(page: str) -> None:
    text = rendered(manuals.PAGES[page]())
    for name, row in ROWS.items():
        letter = f"-{row.short}, " if row.short else ""
        tag = f"{letter}--{name}" if page.endswith("8") else name
        if row.kind is not FLAG:
            tag += f" {row.metavar}"
        found = re.search(rf"^       {re.escape(tag)}(\n +| +)(?=\S)", text, re.MULTILINE)
        assert (found is not None) == (row.in_file or page.endswith("8")), name
        if found:
            default = f"Default: {row.shown or render.default_of(name) or 'empty'}"
            said = row.help + ("" if row.kind is FLAG else default)
            assert words(text[found.end() :]).startswith(words(said))


def test_the_page_of_maps_has_all_of_its_document() -> None:
    text = words(rendered(manuals.PAGES["man5/perditiondb.5"]()))
    document = shipped("docs/maps.md").read_text(encoding="utf-8")
    for heading in re.findall(r"^## (.*)$", document, re.MULTILINE):
        assert words(heading) in text
    # Without marks, where links lead, and the titles of tables that have but one.
    marks = r"\]\([^)]*\)|^\| \w+ \| \|$|```\w*|[`*\[\]|#\\-]"
    plain = re.sub(marks, " ", document.partition("\n")[2], flags=re.MULTILINE)
    assert [each for each in plain.split() if each.isalnum() and each not in text] == []


def test_the_signals_are_those_that_the_master_knows() -> None:
    section = manual_texts.SIGNALS.partition("# Exit")[0]
    known = {number.name for number in (*master.FATAL, *master.IGNORED, signal.SIGHUP)}
    assert {f"SIG{name}" for name in re.findall(r"`([A-Z]+\d?)`", section)} == known


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(tmp_path / "file")
    assert done.returncode == 1
    assert re.fullmatch(r"\[Errno \d+\] Not a directory: .*\n", done.stderr)


def test_usage_and_page_of_a_tool_are_one_text() -> None:
    for words_, text in popmap.OPTIONS.items():
        assert f"{words_}: {text}" in popmap.usage("makebdb")
        for name in ("makebdb", "makegdbm"):
            page = rendered(manuals.PAGES[f"man1/{name}.1"]())
            assert re.search(rf"{words_}\n +{text}", page)


@pytest.mark.parametrize("name", manuals.PAGES)
def test_pages_refer_to_pages_that_there_are(name: str) -> None:
    there = {Path(each).name for each in manuals.PAGES}
    for page, section in REFERENCE.findall(rendered(manuals.PAGES[name]())):
        assert f"{page}.{section}" in there or page in THEIRS
