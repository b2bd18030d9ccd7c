"""``inetd_mode``: the one connection of a process (reference: process.md section 8)."""

import contextlib
import os
import socket
import threading
import time

import setproctitle

from perdition import logs
from perdition.identity import Ends
from perdition.patience import Patience
from perdition.server import privileges
from perdition.server.listeners import ends_of
from perdition.server.privileges import CannotBecome, Ids
from perdition.server.worker import TICK, make_relay, make_session, relay_session
from perdition.session.service import Service
from perdition.threads import NoThread, start_thread

NOWHERE = Ends("", 0, "", 0)
PIECE = 65536
# How long what has been said last may take to get through standard output.
LAST_SECONDS = 10


class Standard:
    """Standard input and output as a connection; pipes, terminals and files as well.

    Attributes:
        sock: the connection.
    """

    def __init__(self) -> None:
        self._writing: threading.Thread | None = None
        copy = os.dup(0)
        try:
            self.sock = socket.socket(fileno=copy)
            # Whoever hands it over may have used it otherwise.
            self.sock.setblocking(True)
        except OSError:
            os.close(copy)
            for each in (0, 1):
                os.set_blocking(each, True)
            self.sock, far = socket.socketpair()
            start_thread("in", self._read, far)
            self._writing = start_thread("out", self._write, far)

    def ends(self) -> Ends:
        """Between whom it is; nobody can be told where it is not one of a network."""
        try:
            there, here = self.sock.getpeername(), self.sock.getsockname()
        except OSError:
            return NOWHERE
        return ends_of(there, here) if isinstance(there, tuple) else NOWHERE

    def finish(self) -> None:
        """Wait for what is on its way out; the connection has been closed before."""
        if self._writing is not None:
            self._writing.join(LAST_SECONDS)

    def _read(self, far: socket.socket) -> None:
        # A terminal that is gone is an error, and an end as well.
        with contextlib.suppress(OSError):
            while data := os.read(0, PIECE):
                far.sendall(data)
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_WR)

    def _write(self, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(PIECE):
                while data:
                    data = data[os.write(1, data) :]
        # Nobody hears what is said from now on.
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_RD)


def serve_inetd(service: Service, ids: Ids | None) -> bool:
    """Serve the one connection.

    Args:
        service: what its session is given.
        ids: who to become first; None for nobody else.

    Returns:
        Whether it ended in order.
    """
    try:
        standard = Standard()
        if ids is not None:
            privileges.drop(ids)
        try:
            return serve(service, standard.sock, standard.ends())
        finally:
            standard.finish()
    except (NoThread, CannotBecome) as error:
        service.log.error(f"inetd_mode: {error}")
        return False
    except Exception as error:  # noqa: BLE001 - standard error is the client
        service.log.trace(error)
        return False


def serve(service: Service, sock: socket.socket, ends: Ends) -> bool:
    """Serve a connection, which is closed then; whether it ended in order."""
    patience = Patience(sock.fileno(), service.options.login_timeout)
    session = make_session(service, sock, ends, patience)
    start_thread("patience", look_after, patience)
    if not session.take_header():
        session.channel.close()
        return False
    program = service.options.program
    who = logs.behind_blank(session.peers)
    setproctitle.setproctitle(f"{program}: connect ({who})")
    service.log.info(f"Connect: {who} inetd_pid={os.getppid()}")
    established = None
    relay = make_relay(service)
    try:
        established = session.run()
        if established is not None:
            user = logs.escape(established.who.user or "").encode("utf-8", "replace").decode()
            setproctitle.setproctitle(f"{program}: connect ({user})")
            try:
                relay_session(relay, established)
            except OSError as error:
                service.log.error(logs.not_relayed(established.who, str(error.strerror)))
                return False
            relay.run(until_empty=True)
    finally:
        if established is None:
            session.channel.close()
    return not (session.broke_off or relay.has_broken_off)


def look_after(patience: Patience) -> None:
    """End waits that are too long, for the one session of a process."""
    while True:
        time.sleep(TICK)
        patience.check(time.monotonic())
