"""The programs in C: compiling them, and running the load generator."""

import json
import os
import select
import subprocess
from pathlib import Path
from typing import Any, Self

from bench import HERE, BenchError

SOURCES = HERE / "c"
BUILD = HERE / "build"
PROGRAMS = {"stub": ["stub.c"], "load": ["load.c", "tls13.c", "-lcrypto"]}
# What the load generator may need beyond its time, to set up and to come to an end.
SPARE_SECONDS = 100


def compile_programs(build: Path = BUILD) -> None:
    """Compile what is older than its sources.

    Raises:
        BenchError: there is no compiler, or it does not like the sources.
    """
    build.mkdir(parents=True, exist_ok=True)
    newest = max(source.stat().st_mtime for source in SOURCES.iterdir())
    for name, words in PROGRAMS.items():
        program = build / name
        if program.exists() and program.stat().st_mtime > newest:
            continue
        compiler = [os.environ.get("CC", "gcc"), "-O2", "-Wall", "-Wextra", "-o", str(program)]
        try:
            done = subprocess.run(
                [*compiler, *words], cwd=SOURCES, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise BenchError(f"cannot compile {name}: {error}") from error
        if done.returncode:
            raise BenchError(f"cannot compile {name}: {done.stderr.strip()}")


class Load:
    """A load generator at work: ready(), then go() and result(); used as a context, it is ended.

    Between ready() and go(), and after result(), its sessions stay open.
    """

    def __init__(self, mode: str, port: int, *options: str, build: Path = BUILD) -> None:
        command = [str(build / "load"), mode, "--port", str(port), *options]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def _event(self, seconds: float) -> dict[str, Any]:
        output = self._process.stdout
        assert output is not None
        readable, _, _ = select.select([output], [], [], seconds)
        line = output.readline() if readable else b""
        if not line:
            raise BenchError(self._complaint() if readable else "the load generator is silent")
        event: dict[str, Any] = json.loads(line)
        return event

    def _complaint(self) -> str:
        _, errors = self._process.communicate()
        return f"the load generator ended: {errors.decode(errors='replace').strip()}"

    def ready(self, sessions: int = 0, seconds: float = SPARE_SECONDS) -> dict[str, Any]:
        """Wait until it is set up.

        Raises:
            BenchError: fewer than that many sessions are open.
        """
        event = self._event(seconds)
        if event["sessions"] < sessions:
            raise BenchError(
                f"{event['sessions']} of {sessions} sessions came up: {event['first_error']}"
            )
        return event

    def go(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def result(self, seconds: float) -> dict[str, Any]:
        """Wait for what it has measured, in about that many seconds."""
        return self._event(seconds + SPARE_SECONDS)
