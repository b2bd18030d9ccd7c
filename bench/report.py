"""The report: Markdown, made of results."""

from collections.abc import Iterator, Sequence
from typing import Any

from bench import OURS, Failure, Figures
from bench.bounds import Bound, bounds_of, count
from bench.checks import CHECKS
from bench.results import Outcome, Results
from bench.scenarios import KINDS, WORKS, Figure

# What proxies are called in the heads of tables.
LABELS = {
    "dovecot": "Dovecot",
    "perdition": "the original",
    "against": "the other version",
}
# What the figures of bounds without a peer are called.
FIGURE_TITLES = {
    "p50_ms": "median",
    "p99_ms": "99th percentile",
    "cpu_percent": "CPU",
    "dead": "not alive afterwards",
    "cpu_growth": "CPU a round trip, to that of 100",
    "pss_growth": "memory of the last 4,500, to that of 4,500 before",
}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table; the first column is text, the others are numbers."""
    yield "| " + " | ".join(head) + " |"
    yield "| --- |" + " ---: |" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def number(value: float) -> str:
    """With as many places as make sense to people."""
    if not value:
        return "0"
    for limit, places in ((1, 3), (10, 2), (100, 1)):
        if abs(value) < limit:
            return f"{value:.{places}f}"
    return f"{value:.0f}"


def _limit(bound: Bound) -> str:
    return f"{'<' if bound.is_open else '≤'} {bound.limit:g}"


def _why_not(outcome: Outcome | None) -> str:
    if not isinstance(outcome, Failure):
        return "not measured"
    return outcome.reason if outcome.is_missing else "failed"


def ratio(ours: Outcome | None, theirs: Outcome | None, figure: str) -> float | None:
    """Our cost in proportion to another's, if both were measured."""
    if not isinstance(ours, Failure | None) and not isinstance(theirs, Failure | None):
        return ours[figure] / theirs[figure] if theirs.get(figure) and figure in ours else None
    return None


def _ratio_cell(results: Results, work: str, peer: str) -> str:
    summary = results.summary(work)
    value = ratio(summary.get(OURS), summary.get(peer), KINDS[WORKS[work].mode].cost.key)
    if value is None:
        return _why_not(summary.get(peer))
    bounds = [bound for bound in bounds_of(work) if bound.peer == peer and not bound.is_aim]
    for bound in bounds:
        return f"{number(value)} ({_limit(bound)}: {bound.verdict(results.figures(work))})"
    return number(value)


def _aim_cell(results: Results, work: str) -> str:
    for bound in bounds_of(work):
        if bound.is_aim and bound.peer in results.summary(work):
            label = LABELS.get(bound.peer, bound.peer)
            return f"{label} {_limit(bound)}: {bound.verdict(results.figures(work))}"
    return ""


def ratios(results: Results) -> Iterator[str]:
    """The table of ratios, with the verdicts."""
    works = [name for name, by in results.outcomes.items() if name in WORKS and len(by) > 1]
    peers = [name for name in results.about["proxies"] if name != OURS]
    rows = []
    for name in works:
        cost = KINDS[WORKS[name].mode].cost
        ours = results.figures(name).get(OURS)
        shown = f"{ours[cost.key]:.{cost.places}f} {cost.heading}" if ours else "failed"
        cells = [_ratio_cell(results, name, peer) for peer in peers]
        rows.append([f"{WORKS[name].title} ({name})", shown, *cells, _aim_cell(results, name)])
    head = ["work", "cost here", *(f"to {LABELS.get(peer, peer)}" for peer in peers), "aim"]
    yield from table(head, rows)


def own_bounds(results: Results) -> Iterator[str]:
    """The table of bounds on figures of our own."""
    rows = []
    for bound, verdict in results.verdicts():
        if bound.peer is None:
            title = CHECKS[bound.work].title if bound.work in CHECKS else WORKS[bound.work].title
            figure = FIGURE_TITLES.get(bound.figure, "")
            value = bound.value(results.figures(bound.work))
            failure = results.summary(bound.work)[OURS]
            shown = _why_not(failure) if value is None else f"{number(value)} {bound.unit}"
            what = f"{title}: {figure}" if figure else title
            rows.append([f"{what} ({bound.work})", shown, _limit(bound), verdict])
    if rows:
        yield from table(["what", "measured", "bound", "verdict"], rows)


def _row(
    results: Results, name: str, proxy: str, outcome: Outcome, columns: Sequence[Figure]
) -> list[str]:
    if isinstance(outcome, Failure):
        return [proxy, f"{_why_not(outcome)}", *[""] * (len(columns) + 3)]
    figures: Figures = outcome
    shown = [f"{figures[each.key]:.{each.places}f}" for each in columns]
    compared, limit, verdict = "", "", ""
    cost = columns[0].key
    value = ratio(results.summary(name).get(OURS), figures, cost)
    if proxy != OURS and value is not None:
        compared = number(value)
    for bound in bounds_of(name):
        if bound.peer == proxy and not bound.is_aim:
            limit, verdict = _limit(bound), bound.verdict(results.figures(name))
    errors = f"{figures['errors']:.0f}"
    if figures["failed_rounds"]:
        errors += f", {figures['failed_rounds']:.0f} rounds failed"
    return [proxy, shown[0], compared, limit, verdict, *shown[1:], errors]


def details(results: Results) -> Iterator[str]:
    """A table a work, with all figures."""
    for name in results.outcomes:
        if name not in WORKS:
            continue
        work = WORKS[name]
        kind = KINDS[work.mode]
        columns = [kind.cost, *kind.others]
        heads = [each.heading for each in columns]
        clients = "1 client" if work.clients == 1 else f"{work.clients} clients"
        yield from ("", f"### {name}", "", f"{work.title}; {clients}.", "")
        rows = [
            _row(results, name, proxy, outcome, columns)
            for proxy, outcome in results.summary(name).items()
        ]
        yield from table(
            ["proxy", heads[0], "ours / it", "bound", "verdict", *heads[1:], "errors"], rows
        )
        for proxy, outcome in results.summary(name).items():
            if isinstance(outcome, Failure) and not outcome.is_missing:
                yield from ("", f"{proxy} failed: {_one_line(outcome.reason)}")
    for name in results.outcomes:
        if name in CHECKS:
            yield from ("", f"### {name}", "", f"{CHECKS[name].title}: {_own(results, name)}.")


def _own(results: Results, name: str) -> str:
    outcome = results.summary(name)[OURS]
    if isinstance(outcome, Failure):
        return f"failed, {_one_line(outcome.reason)}"
    shown = {key: value for key, value in outcome.items() if key != "failed_rounds"}
    return ", ".join(f"{key.replace('_', ' ')} {number(value)}" for key, value in shown.items())


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")


def about(facts: dict[str, Any]) -> Iterator[str]:
    """How it was measured."""
    yield f"- Machine: {facts['cpus']} CPUs, {facts['cpu_model']}, Linux {facts['kernel']}."
    yield f"- {facts['date']}: `{facts['command']}`, {facts['took_seconds']:.0f} s."
    yield (
        f"- Medians of {facts['rounds']} interleaved rounds, {facts['seconds']:g} s a "
        f"measurement; CPU time from {facts['accounting']}; Python {facts['python']}, "
        f"{facts['openssl']}."
    )
    for name, proxy in facts["proxies"].items():
        version = f", {proxy['version']}" if proxy["version"] else ""
        yield f"- **{name}**: {proxy['title']}{version}."
    if "noise" in facts:
        yield (
            f"- Other processes used {facts['noise']['median']:.2f} CPUs meanwhile (median; "
            f"{facts['noise']['most']:.2f} at most)."
        )


def verdict_line(results: Results) -> str:
    """How many bounds are met."""
    must = count(verdict for bound, verdict in results.verdicts() if not bound.is_aim)
    aims = count(verdict for bound, verdict in results.verdicts() if bound.is_aim)
    line = f"Bounds: {must['met']} met, {must['missed']} missed"
    if must["not measured"]:
        line += f", {must['not measured']} not measured"
    return f"{line}. Aims: {aims['met']} met, {aims['missed']} missed."


def short(results: Results) -> str:
    """The tables of what is bounded, and the sum of it."""
    lines: list[str] = []
    if any(name in WORKS and len(by) > 1 for name, by in results.outcomes.items()):
        lines += [*ratios(results), ""]
    own = list(own_bounds(results))
    if own:
        lines += [*own, ""]
    return "\n".join([*lines, verdict_line(results), ""])


def full(results: Results) -> str:
    """The whole report."""
    head = ["# Mail proxies side by side", "", *about(results.about), ""]
    tail = ["", "## Figures", *details(results), ""]
    return "\n".join([*head, short(results), *tail])
