"""Medians, tables, and what is written where."""

import json
from pathlib import Path

import pytest

from bench import OURS, BenchError, Failure, report
from bench.documents import BEGIN, END, put_between_markers, write_docs, write_results
from bench.plot import points
from bench.results import Outcome, Results, medians


def figures(cost: float, **others: float) -> Outcome:
    return {"cpu_ms": cost, "rate": 1, "p50_ms": 2, "p99_ms": 3, "errors": 0, **others}


@pytest.fixture
def results() -> Results:
    made = Results(
        {
            "cpus": 2,
            "cpu_model": "Some CPU",
            "kernel": "6.1",
            "date": "2030-01-02",
            "command": "python -m bench.run",
            "took_seconds": 12.3,
            "rounds": 3,
            "seconds": 1.0,
            "accounting": "/proc",
            "python": "3.11.2",
            "openssl": "OpenSSL 3.0.1",
            "noise": {"median": 0.1, "most": 0.2},
            "proxies": {
                name: {"title": f"title of {name}", "version": "1.2"}
                for name in (OURS, "nginx", "dovecot", "perdition")
            },
        }
    )
    for ours, nginx in ((0.3, 0.2), (0.1, 0.1), (0.2, 0.3)):
        made.add("imap-login", OURS, figures(ours))
        made.add("imap-login", "nginx", figures(nginx))
    made.add("imap-login", "dovecot", Failure("not installed", is_missing=True))
    made.add("imap-login", "perdition", Failure("it | fell\nover"))
    made.add("start", OURS, {"seconds": 0.75, "slowest": 0.8, "errors": 0})
    return made


def test_medians_are_of_the_rounds_that_came_to_something() -> None:
    rounds = [figures(3), figures(1, errors=2), Failure("no"), figures(2)]
    found = medians(rounds)
    assert not isinstance(found, Failure)
    assert found["cpu_ms"] == 2
    assert found["errors"] == 2
    assert found["failed_rounds"] == 1


def test_without_any_round_there_is_the_last_failure() -> None:
    assert medians([Failure("a"), Failure("b")]) == Failure("b")


def test_a_ratio_is_one_of_medians_and_stands_with_its_verdict(results: Results) -> None:
    lines = list(report.ratios(results))
    assert lines == [
        "| work | cost here | to nginx | to Dovecot | to the original | aim |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| log-in, plain (imap-login) | 0.200 CPU ms/log-in | 1.00 (≤ 1.5: met) | not installed "
        "| failed | nginx ≤ 1: met |",
    ]


def test_bounds_on_our_own_figures_have_a_table(results: Results) -> None:
    assert list(report.own_bounds(results))[2:] == [
        "| start to first greeting (start) | 0.750 s | < 0.5 | missed |"
    ]


def test_what_was_not_measured_is_counted(results: Results) -> None:
    assert report.verdict_line(results) == (
        "Bounds: 1 met, 1 missed, 2 not measured. Aims: 1 met, 0 missed."
    )


def test_the_full_report_says_what_failed_in_one_line(results: Results) -> None:
    text = report.full(results)
    assert "perdition failed: it / fell over" in text
    assert "- **nginx**: title of nginx, 1.2." in text
    assert "| nginx | 0.200 | 1.00 | ≤ 1.5 | met | 1 | 2.00 | 3.00 | 0 |" in text


def test_the_plot_shows_costs_in_proportion_to_ours(results: Results) -> None:
    assert points(results) == {
        OURS: {"log-in, plain": 1.0},
        "nginx": {"log-in, plain": 1.0},
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.12345, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234")],
)
def test_numbers_have_as_many_places_as_make_sense(value: float, text: str) -> None:
    assert report.number(value) == text


def test_results_are_written_as_markdown_and_json(results: Results, tmp_path: Path) -> None:
    files = write_results(results, tmp_path / "results")
    assert [file.name for file in files][:2] == ["performance.md", "performance.json"]
    data = json.loads(files[1].read_text())
    assert data["medians"]["imap-login"]["nginx"]["cpu_ms"] == 0.2
    assert data["medians"]["imap-login"]["dovecot"] == {"failure": "not installed"}
    assert {"work": "start", "verdict": "missed"}.items() <= data["bounds"][-1].items()


def test_the_documentation_gets_the_tables_between_its_markers(
    results: Results, tmp_path: Path
) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_docs(results, tmp_path / "nothing", tmp_path)
    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\n\n| work |")
    assert text.endswith(f"\n\n{END}\nafter\n")
    assert "old" not in text


def test_a_document_without_markers_is_left_alone() -> None:
    with pytest.raises(BenchError):
        put_between_markers(f"no end {BEGIN}", "text")


def test_the_real_document_has_the_markers() -> None:
    document = Path(__file__).parents[2] / "docs/performance.md"
    assert "new" in put_between_markers(document.read_text(encoding="utf-8"), "new")
