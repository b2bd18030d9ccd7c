"""Runs a coverage-guided fuzzer, atheris, on targets: python tests/fuzz [NAME ...].

A fault ends it, with status 77 or so. Its octets are in a file in the target's folder of the
corpus then, where the tests find them from now on. With --found, what reaches new places in the
code is kept between runs; --merge adds to the corpus what of that reaches more than it does.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[0:1] = [str(ROOT / "lib"), str(HERE.parent)]
# Octets: those of the longest input but one that has to reach a limit of 16 KiB.
LONGEST = 4096
LIBFUZZER = ["-rss_limit_mb=1024", "-timeout=20", "-seed=1", f"-max_len={LONGEST}"]
# As the first argument: this process is the fuzzer.
INSIDE = "--inside"


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets; all by default")
    parser.add_argument("--runs", type=int, default=20000, help="of each target; 0 for no limit")
    parser.add_argument("--seconds", type=int, default=0, help="for each target; 0 for no limit")
    parser.add_argument("--found", type=Path, help="the folder between runs; a new one by default")
    parser.add_argument("--faults", type=Path, help="the folder for these; the corpus by default")
    parser.add_argument("--merge", action="store_true", help="minimise what was found, and keep it")
    parser.add_argument("--list", action="store_true", help="say which targets there are")
    options = parser.parse_args()
    from fuzz.target import targets  # noqa: PLC0415 - not before it is instrumented

    known = targets()
    if unknown := set(options.names) - set(known):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if options.list:
        print("\n".join(known))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        place = (options.found or Path(scratch)).resolve()
        for name in options.names or known:
            found = place / name
            found.mkdir(parents=True, exist_ok=True)
            for number, seed in enumerate(known[name].seeds):
                (found / f"seed-{number}").write_bytes(seed)
            corpus = HERE / "corpus" / name
            corpus.mkdir(parents=True, exist_ok=True)
            faults = (options.faults or corpus).resolve()
            if options.merge:
                arguments = ["-merge=1", corpus, found]
            else:
                limits = [f"-runs={options.runs or -1}", f"-max_total_time={options.seconds}"]
                arguments = [*limits, found, corpus]
            print(f"== {name}", flush=True)
            command = [sys.executable, HERE, INSIDE, name, *LIBFUZZER, *arguments]
            command.append(f"-artifact_prefix={faults}/")
            if status := subprocess.run([*map(str, command)], check=False).returncode:
                return status
    return 0


def inside(name: str, *arguments: str) -> int:
    import atheris  # noqa: PLC0415 - only here

    with atheris.instrument_imports(include=["perdition"]):
        from fuzz.target import targets  # noqa: PLC0415

        target = targets()[name]
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(inside(*sys.argv[2:]) if sys.argv[1:2] == [INSIDE] else main())
