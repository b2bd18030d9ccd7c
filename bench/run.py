"""The benchmark's program: `make bench`, or `python -m bench.run --help`."""

import argparse
import os
import platform
import re
import resource
import shlex
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import HERE, OURS, ROOT, BenchError, Failure, report
from bench.checks import CHECKS, run_check
from bench.documents import write_docs, write_results
from bench.loads import compile_programs
from bench.measure import measure
from bench.packages import provide
from bench.peers import OTHERS, Peer, this_program
from bench.processes import Accounting
from bench.results import Outcome, Results
from bench.scenarios import KINDS, WORKS, Work
from bench.stage import Theatre

AGAINST = "against"
QUICK_PEERS = ("nginx", "perdition")
QUICK_ROUNDS, QUICK_SECONDS = 3, 1.0
ROUNDS, SECONDS = 3, 3.0


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement: a work of a proxy in a round, or a check."""

    name: str
    peer: Peer
    round: int = 1


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--quick", action="store_true", help="ratios to nginx and the original only")
    forms.add_argument("--soak", action="store_true", help="the checks of this program alone")
    parser.add_argument("--works", metavar="A,B", help="these works and checks only; 'all' for all")
    parser.add_argument("--proxies", metavar="A,B", help="compare with these only")
    parser.add_argument("--rounds", type=int, help="how often each work is measured")
    parser.add_argument("--seconds", type=float, help="how long each time")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another version of ours")
    parser.add_argument("--python", default=sys.executable, help="what runs this program")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="a folder")
    parser.add_argument("--write-docs", action="store_true", help="update docs/performance.md")
    parser.add_argument("--no-cgroups", action="store_true", help="count CPU time by /proc")
    parser.add_argument("--list", action="store_true", help="say what there is, and end")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    options.seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    for name in (options.works or "all").split(","):
        if name not in {"all", *WORKS, *CHECKS}:
            parser.error(f"there is no work named {name}: see --list")
    for name in (options.proxies or "nginx").split(","):
        if name not in OTHERS:
            parser.error(f"there is no proxy named {name}: see --list")
    return options


def chosen_peers(options: argparse.Namespace) -> list[Peer]:
    """Ours, and whom it is compared with."""
    names = QUICK_PEERS if options.quick else tuple(OTHERS)
    if options.proxies:
        names = tuple(options.proxies.split(","))
    ours = [this_program(python=options.python)]
    if options.against is not None:
        ours.append(this_program(AGAINST, options.against.resolve(), options.python))
    return [*ours, *(OTHERS[name] for name in names)]


def chosen_names(options: argparse.Namespace) -> list[str]:
    """The works and checks."""
    if options.works == "all":
        return [*WORKS, *CHECKS]
    if options.works:
        return str(options.works).split(",")
    if options.soak:
        return list(CHECKS)
    if options.quick:
        return [name for name, work in WORKS.items() if work.is_quick]
    return [*(name for name, work in WORKS.items() if work.is_core), *CHECKS]


def steps(options: argparse.Namespace) -> list[Step]:
    """All measurements in their order: rounds are interleaved, another proxy first in each."""
    peers, found = chosen_peers(options), []
    for name in chosen_names(options):
        if name in CHECKS:
            found.append(Step(name, peers[0]))
            continue
        work = WORKS[name]
        # Memory hardly varies; a lone client's work is compared in the long form only.
        rounds = 1 if options.quick and work.mode == "idle" else options.rounds
        alone = options.quick and work.clients == 1
        taking_part = [peer for peer in peers if not alone or peer.name in {OURS, AGAINST}]
        for number in range(rounds):
            first = number % len(taking_part)
            order = taking_part[first:] + taking_part[:first]
            found += [Step(name, peer, number + 1) for peer in order]
    return found


def shown(name: str, outcome: Outcome) -> str:
    """An outcome in a few words."""
    if isinstance(outcome, Failure):
        return " ".join(outcome.reason.split())[:160]
    if name in WORKS:
        cost = KINDS[WORKS[name].mode].cost
        errors = f", {outcome['errors']:.0f} errors" if outcome["errors"] else ""
        return f"{outcome[cost.key]:.{cost.places}f} {cost.heading}{errors}"
    return ", ".join(f"{key} {report.number(value)}" for key, value in outcome.items())


def run_steps(options: argparse.Namespace, results: Results) -> Iterator[str]:
    """Measure, and say how far it is."""
    todo = steps(options)
    began = time.monotonic()
    missing: dict[tuple[str, str], Failure] = {}
    with Theatre(Accounting(may_use_cgroups=not options.no_cgroups)) as theatre:
        results.about["accounting"] = theatre.accounting.name
        for place, step in enumerate(todo, 1):
            outcome: Outcome | None = missing.get((step.name, step.peer.name))
            if outcome is None:
                outcome = run_step(theatre, step, options.seconds)
            if isinstance(outcome, Failure) and outcome.is_missing:
                missing[step.name, step.peer.name] = outcome
            results.add(step.name, step.peer.name, outcome)
            minutes, seconds = divmod(int(time.monotonic() - began), 60)
            yield (
                f"[{place}/{len(todo)} {minutes}:{seconds:02}] {step.name} {step.peer.name}: "
                f"{shown(step.name, outcome)}"
            )
    results.about["took_seconds"] = time.monotonic() - began


def run_step(theatre: Theatre, step: Step, seconds: float) -> Outcome:
    """Do one measurement."""
    if step.name in CHECKS:
        return run_check(theatre, step.peer, CHECKS[step.name])
    work: Work = WORKS[step.name]
    return measure(theatre, step.peer, work, seconds)


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip().partition("\n")[0]


def _version(peer: Peer) -> str:
    """Of a peer, Debian's version; of this program, the commit."""
    if peer.package:
        return peer.version() if peer.program() else "not installed"
    checkout = Path(shlex.split(peer.command)[1]).parent
    commit = _first_line("git", "-C", str(checkout), "describe", "--always", "--dirty")
    return f"commit {commit}" if commit else ""


def _telling(arguments: Sequence[str]) -> list[str]:
    """Arguments of the command line, without where on somebody's machine the results went."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--output")
    return parser.parse_known_args(arguments)[1]


def facts(options: argparse.Namespace) -> dict[str, Any]:
    """The machine, the versions, and how it is measured."""
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"model name\s*:\s*(.*)", cpu)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": shlex.join(["python", "-m", "bench.run", *_telling(sys.argv[1:])]),
        "cpus": os.cpu_count(),
        "cpu_model": model[1] if model else platform.machine(),
        "kernel": platform.release(),
        "python": _first_line(options.python, "--version").removeprefix("Python "),
        "openssl": _first_line("openssl", "version").partition(" (")[0],
        "rounds": options.rounds,
        "seconds": options.seconds,
        "proxies": {
            peer.name: {"title": peer.title, "version": _version(peer)}
            for peer in chosen_peers(options)
        },
    }


def noise(results: Results) -> dict[str, float] | None:
    """What other processes used meanwhile, in CPUs."""
    found = [
        outcome["noise"]
        for by_proxy in results.outcomes.values()
        for rounds in by_proxy.values()
        for outcome in rounds
        if not isinstance(outcome, Failure) and "noise" in outcome
    ]
    return {"median": statistics.median(found), "most": max(found)} if found else None


def show_list() -> None:
    """Say what there is."""
    for name, work in WORKS.items():
        extra = "" if work.is_core else " (not measured if nothing is said)"
        print(f"{name:22}{work.title}{extra}")
    for name, check in CHECKS.items():
        print(f"{name:22}{check.title}")
    for name, peer in OTHERS.items():
        print(f"{name:22}{peer.title}")


def main() -> int:
    """Run it."""
    options = parse_arguments()
    if options.list:
        show_list()
        return 0
    # What was started is ended when we are.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    lacking = provide()
    if lacking:
        print(f"Nothing can be measured without {' '.join(lacking)}")
        return 1
    results = Results()
    try:
        compile_programs()
        results.about.update(facts(options))
        for line in run_steps(options, results):
            print(line, flush=True)
        results.about["noise"] = noise(results) or {"median": 0.0, "most": 0.0}
        print(f"\n{report.short(results)}")
        files = write_results(results, options.output)
        if options.write_docs:
            write_docs(results, options.output, ROOT / "docs")
    except (BenchError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: stopped; nothing is written", file=sys.stderr)
        return 128 + signal.SIGINT
    print(f"{results.about['took_seconds']:.0f} s. Written: {' '.join(map(str, files))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
