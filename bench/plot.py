"""The plot: what each work costs the proxies, in proportion to what it costs this program."""

from pathlib import Path

from bench import OURS, Failure
from bench.report import LABELS, ratio
from bench.results import Results
from bench.scenarios import KINDS, WORKS

# Of the palette of Okabe and Ito, which people see who do not see all colours.
STYLES = {
    OURS: ("#000000", "|"),
    "nginx": ("#009E73", "o"),
    "dovecot": ("#0072B2", "s"),
    "perdition": ("#D55E00", "D"),
    "haproxy": ("#CC79A7", "^"),
}
OTHER_STYLE = ("#999999", "v")


def points(results: Results) -> dict[str, dict[str, float]]:
    """By proxy and work: how many times as much as here a unit of work costs there."""
    found: dict[str, dict[str, float]] = {}
    for name in results.outcomes:
        if name in WORKS:
            figure = KINDS[WORKS[name].mode].cost.key
            summary = results.summary(name)
            if len(results.figures(name)) == 1:
                continue
            for proxy, outcome in summary.items():
                times = ratio(outcome, summary.get(OURS, Failure("not measured")), figure)
                if times:
                    found.setdefault(proxy, {})[WORKS[name].title] = times
    return found


def draw(results: Results, target: Path) -> bool:
    """Draw it, as PNG; False if there is nothing to draw or matplotlib is not installed."""
    found = points(results)
    titles = list(found.get(OURS, {}))
    try:
        import matplotlib  # noqa: PLC0415 (only this needs it)
    except ImportError:
        return False
    if not titles:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    rows = {title: len(titles) - 1 - place for place, title in enumerate(titles)}
    figure, axes = pyplot.subplots(figsize=(8, 1.6 + 0.42 * len(rows)), layout="constrained")
    for proxy, values in found.items():
        color, marker = STYLES.get(proxy, OTHER_STYLE)
        places = [rows[title] for title in values]
        label = "this program" if proxy == OURS else LABELS.get(proxy, proxy)
        size = 16 if proxy == OURS else 8
        axes.plot(
            list(values.values()),
            places,
            marker,
            color=color,
            label=label,
            markersize=size,
            markeredgewidth=2 if proxy == OURS else 0.5,
        )
    axes.axvline(1, color="#000000", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} x")
    axes.set_yticks(list(rows.values()), list(rows))
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(axis="both", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(
        "cost of the same work (CPU time or memory); this program is 1, right is dearer"
    )
    figure.legend(loc="outside upper center", ncols=len(found), frameon=False)
    figure.savefig(target, dpi=120)
    pyplot.close(figure)
    return True
