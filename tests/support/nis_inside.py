"""What runs inside of a `support.nis.NisNetwork`: servers, and the module under test.

Reads requests and writes answers, a line of JSON each. It ends with its standard input, and what it
has started ends with it, for it is the first process of its namespace.
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from perdition.maps import MapFailed, MapSettings, Query
from perdition.maps.nis import Nis
from support.processes import has_stopped, wait_until

# linux/sockios.h, linux/if.h
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
START_SECONDS = 20
TABLES = Path("/var/yp")
BINDINGS = TABLES / "binding"


class Inside:
    """The requests."""

    def __init__(self) -> None:
        self._programs: dict[str, str] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._maps: dict[tuple[str, float, int], Nis] = {}
        self._domain = ""

    def start(self, domain: str, entries: str, programs: dict[str, str]) -> None:
        """Build the network, and start what is in it if there is a domain."""
        self._programs, self._domain = programs, domain
        with socket.socket() as sock:
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
        for place in ("/run", str(TABLES)):
            Path(place).mkdir(exist_ok=True)
            subprocess.run([programs["mount"], "-t", "tmpfs", "none", place], check=True)
        name = domain.encode() or b"(none)"
        assert ctypes.CDLL(None).setdomainname(name, len(name)) == 0
        if not domain:
            return
        BINDINGS.mkdir()
        (TABLES / domain).mkdir()
        Path("/run/yp.conf").write_text("ypserver 127.0.0.1\n")
        table = TABLES / domain / "user_mail_server"
        subprocess.run(
            [programs["makedbm"], "-", str(table)], input=bytes.fromhex(entries), check=True
        )
        for program in ("rpcbind", "ypserv", "ypbind"):
            self.run(program)

    def run(self, program: str) -> None:
        """Start a server, and wait until it serves."""
        options, is_ready = {
            "rpcbind": (["-f"], lambda: listens(111)),
            "ypserv": (["-f"], lambda: answers(100004)),
            "ypbind": (
                ["-n", "-f", "/run/yp.conf", "-local-only"],
                (BINDINGS / f"{self._domain}.3").exists,
            ),
        }[program]
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
            self._running[program] = subprocess.Popen(
                [self._programs[program], *options],
                stdin=subprocess.DEVNULL,
                stdout=nowhere,
                stderr=nowhere,
            )
        wait_until(is_ready, START_SECONDS, f"{program} serves")

    def kill(self, program: str, number: int) -> None:
        """Send a server a signal; wait until it has ended or stopped where it is to."""
        process = self._running[program]
        process.send_signal(number)
        if number == signal.SIGSTOP:
            wait_until(lambda: has_stopped(process.pid), START_SECONDS, f"{program} has stopped")
        elif number != signal.SIGCONT:
            process.wait(START_SECONDS)

    def lookup(
        self, key: str, name: str = "", seconds: float = 10, connections: int = 8
    ) -> str | None:
        """Look a key up; equal settings use the same map again."""
        settings = (name, seconds, connections)
        if settings not in self._maps:
            self._maps[settings] = Nis(name, MapSettings("@", seconds, connections))
        found = self._maps[settings].lookup(Query(bytes.fromhex(key)))
        return None if found is None else found.hex()

    def lookup_often(self, threads: int, each: int, pairs: dict[str, str | None]) -> list[str]:
        """Look keys up in several threads; what was wrong."""
        wrong: list[str] = []

        def look(number: int) -> None:
            for turn in range(each):
                key = list(pairs)[(number + turn) % len(pairs)]
                try:
                    found = self.lookup(key)
                except MapFailed as error:
                    wrong.append(f"{key}: {error}")
                else:
                    if found != pairs[key]:
                        wrong.append(f"{key}: {found}")

        self.lookup(next(iter(pairs)))
        started = [threading.Thread(target=look, args=[number]) for number in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        return wrong


def listens(port: int) -> bool:
    """Whether a port takes connections."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def answers(program: int) -> bool:
    """Whether a program of RPC is registered and its port there (RFC 1833 section 3.2, GETPORT)."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(START_SECONDS)
        call = (1, 0, 2, 100000, 2, 3, 0, 0, 0, 0, program, 2, socket.IPPROTO_TCP, 0)
        sock.sendto(struct.pack(">14I", *call), ("127.0.0.1", 111))
        (port,) = struct.unpack(">I", sock.recv(1024)[-4:])
    return bool(port) and listens(port)


def main() -> None:
    """Answer requests."""
    inside = Inside()
    for line in sys.stdin:
        what, arguments = json.loads(line)
        answer: tuple[str, Any]
        try:
            answer = ("done", getattr(inside, what)(**arguments))
        except MapFailed as error:
            answer = ("failed", str(error))
        except Exception as error:  # noqa: BLE001 - the test is told
            answer = ("wrong", repr(error))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
