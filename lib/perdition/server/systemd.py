"""What a service manager is told, and what it gives: sd_notify(3) and sd_listen_fds(3).

Where there is none, nothing is told.
"""

import contextlib
import os
import socket

FIRST_DESCRIPTOR = 3
# Of microseconds: the manager counts them in 64 bits.
MOST_DIGITS = 20


class Manager:
    """The service manager that has started us, if one has."""

    def __init__(self) -> None:
        """Find out from the environment, and leave nothing of it for child processes."""
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        is_meant = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = os.environ.pop("WATCHDOG_USEC", "")
        is_number = microseconds.isascii() and microseconds.isdigit()
        is_number = is_number and len(microseconds) <= MOST_DIGITS
        self._watchdog = int(microseconds) / 1e6 if is_meant and is_number else 0.0

    @property
    def is_there(self) -> bool:
        """Whether one has started us."""
        return bool(self._address)

    @property
    def tick(self) -> float | None:
        """How often, in seconds, it wants to hear of us; None where it does not."""
        return self._watchdog / 2 or None if self.is_there else None

    def tell(self, *lines: str) -> None:
        """Tell it something, as in ``READY=1``."""
        if not self.is_there:
            return
        address = self._address
        if address.startswith("@"):
            # In the abstract namespace.
            address = f"\0{address[1:]}"
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.sendto("\n".join(lines).encode(), address)

    def still_there(self) -> None:
        """Tell it that we are, where it wants to know."""
        if self.tick is not None:
            self.tell("WATCHDOG=1")


def given_sockets() -> list[socket.socket]:
    """The sockets that it listens on for us, which are ours from now on.

    Raises:
        ValueError: one of them is something else; the text says what is wanted.
    """
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    found = []
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)):
        try:
            os.set_inheritable(descriptor, False)
            sock = socket.socket(fileno=descriptor)
        except OSError as error:
            raise ValueError(
                f"descriptor {descriptor} of the service manager: {error.strerror}"
            ) from error
        sock.setblocking(True)
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            raise ValueError(f"descriptor {descriptor} of the service manager: not a socket of TCP")
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError(
                f"descriptor {descriptor} of the service manager: a connection, and nothing that "
                "listens: Accept=yes needs StandardInput=socket and --inetd_mode"
            )
        found.append(sock)
    return found
