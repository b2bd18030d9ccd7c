"""Data sources of ODBC that only this process knows."""

import os
from collections.abc import Mapping
from pathlib import Path

from support.processes import lacking

Sources = Mapping[str, Mapping[str, str]]


def driver(name: str, package: str) -> str:
    """The file of a driver."""
    found = sorted(Path("/usr/lib").glob(f"*/odbc/{name}"))
    return str(found[0]) if found else lacking(f"{package} is not installed")


def define(directory: Path, sources: Sources) -> None:
    """Let this process and its children know these data sources, and no others.

    Args:
        directory: for the files.
        sources: their names, and what stands below each of them.
    """
    lines = []
    for name, settings in sources.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in settings.items()), ""]
    (directory / "odbcinst.ini").write_text("")
    (directory / "odbc.ini").write_text("\n".join(lines))
    os.environ["ODBCSYSINI"] = str(directory)
    os.environ["ODBCINI"] = str(directory / "odbc.ini")
