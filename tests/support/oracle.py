"""Run the differential oracle and compare its differences with those that are explained.

Usage: oracle.py ORACLE. The file tests/oracle-differences.txt has, for each case that differs,
its name and the reason. A difference that is not there is a failure; so is an entry whose case
does not differ any more.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

# So many cases are played again; more are no accident.
RETRIED = 20
ROOT = pathlib.Path(__file__).resolve().parents[2]


def explained() -> dict[str, str]:
    """The names of the cases that are to differ, and why."""
    lines = (ROOT / "tests/oracle-differences.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(None, 1) for line in lines if line and not line.startswith("#"))
    return dict(pairs)


def verdicts(oracle: str, *more: str) -> dict[str, str]:
    """What the oracle says of each case."""
    with tempfile.TemporaryDirectory() as directory:
        report = pathlib.Path(directory, "report.json")
        candidate = f"{sys.executable} {ROOT / 'perdition.py'} --compat 2.2"
        command = [sys.executable, oracle, "--candidate", candidate, "--no-reference"]
        subprocess.run([*command, "--json", report, *more], check=False)
        cases = json.loads(report.read_text(encoding="utf-8"))["cases"]
    return {case["case"]: case["verdict"] for case in cases}


def again(oracle: str, found: dict[str, str], names: list[str]) -> None:
    """Play cases once more, one at a time: beside others they share ports and processors."""
    for name in names[:RETRIED]:
        found |= verdicts(oracle, "-v", "-j", "1", "--cases", name)


def main() -> int:
    """Run it; 0 where all differences are explained."""
    reasons, found = explained(), verdicts(sys.argv[1], "-j", "8")
    failed = {name for name, verdict in found.items() if verdict in ("differ", "error")}
    again(sys.argv[1], found, sorted(failed ^ reasons.keys()))
    failed = {name for name, verdict in found.items() if verdict in ("differ", "error")}
    unexplained = sorted(failed - reasons.keys())
    outdated = sorted(name for name in reasons if found.get(name) == "same")
    for name in unexplained:
        print(f"unexplained difference: {name}")
    for name in outdated:
        print(f"does not differ any more: {name}")
    same = sum(verdict == "same" for verdict in found.values())
    print(f"{same} same, {len(failed) - len(unexplained)} differ as explained")
    print(f"{len(found) - len(unexplained)} passed, {len(unexplained) + len(outdated)} failed")
    return 1 if unexplained or outdated else 0


if __name__ == "__main__":
    sys.exit(main())
