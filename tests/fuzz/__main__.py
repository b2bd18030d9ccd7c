"""Runs a coverage-guided fuzzer, atheris, on targets: python tests/fuzz [NAME ...].

A fault ends it. Its octets are in a file in the target's folder of the corpus then, where the tests
find them from now on. With --found, what reaches new places in the code is kept between runs;
--merge adds to the corpus what of that reaches more than it does.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0:1] = [str(HERE.parents[1] / "lib"), str(HERE.parent)]

from fuzz import fuzzer  # noqa: E402 - found in the path of above
from fuzz.target import CORPUS, targets  # noqa: E402


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
    known = targets()
    if unknown := set(options.names) - set(known):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if options.list:
        print("\n".join(known))
        return 0
    limits = [f"-runs={options.runs or -1}", f"-max_total_time={options.seconds}"]
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.names or known:
            print(f"== {name}", flush=True)
            target = known[name]
            found = (options.found or Path(scratch)).resolve() / name
            faults = (options.faults or CORPUS / name).resolve()
            faults.mkdir(parents=True, exist_ok=True)
            fuzzer.prepare(target, found)
            words = (
                fuzzer.merge(target, found)
                if options.merge
                else fuzzer.fuzz(target, limits, found, faults)
            )
            if status := subprocess.run(words, check=False, env=fuzzer.using(scratch)).returncode:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
