"""A worker: threads for log-ins, one loop for the sessions that are logged in.

The master tells it over a socket to retire (accept no more, and leave when the last connection has
ended), to drain (the same, for a time that is limited), to stop, or to write to another log file;
when the master is gone it drains as well. Where somebody else has it drain, by TERM, it tells the
master, which starts another.
"""

import contextlib
import importlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence

import setproctitle

from perdition import logs, net
from perdition.config.options import Options
from perdition.identity import Ends
from perdition.logs import Log
from perdition.patience import Patience
from perdition.relay.loop import Relay
from perdition.server import privileges
from perdition.server.listeners import ends_of
from perdition.server.logins import WAKE, Address, LoginThreads
from perdition.server.privileges import CannotBecome, Ids
from perdition.server.signals import Signals
from perdition.server.slots import Slot
from perdition.session.channel import Channel
from perdition.session.service import Established, Service
from perdition.session.session import Session
from perdition.session.traffic import client_traffic, traffic
from perdition.threads import MORE_THREADS, NoThread, start_thread

RETIRE, DRAIN, STOP, LOG = b"retire", b"drain", b"stop", b"log"
# What it says to the master.
READY, LEAVING = b"ready", b"leaving"
# What part of the descriptors log-ins may have, at two each: sessions need some, too.
SHARE_OF_LOGINS = 4
# How long the loop may take to stop.
STOP_SECONDS = 1.0
# The library imports these when they are first needed: too late for the user that a worker has
# become, who may not be able to read them.
for late in ("_strptime", "encodings.idna"):
    importlib.import_module(late)
TIMEOUT_LINE = {"MANAGESIEVE": b'BYE "Timeout"\r\n'}
FORBIDDEN_LINE = {
    "IMAP4": f"* BYE {logs.UNAUTHENTICATE}, mate\r\n".encode(),
    "MANAGESIEVE": f'BYE "{logs.UNAUTHENTICATE}, mate"\r\n'.encode(),
}
# How often a worker looks after its log-ins: as a rule, while all threads are busy, and while it
# drains and looks whether its sessions have ended.
TICK, HURRIED_TICK, DRAIN_TICK = 0.25, 0.02, 0.1


def make_relay(service: Service, **more: object) -> Relay:
    """The relay that the options ask for."""
    options: Options = service.options
    return Relay(
        service.log,
        timeout=options.timeout,
        relog=options.connect_relog,
        traffic=service.is_logged,
        timeout_line=TIMEOUT_LINE.get(service.protocol, b""),
        forbidden_line=FORBIDDEN_LINE.get(service.protocol.removesuffix("S"), b""),
        **more,  # type: ignore[arg-type]
    )


def make_session(service: Service, sock: socket.socket, ends: Ends, patience: Patience) -> Session:
    """The session of a connection; somebody looks after its patience."""
    channel = Channel(
        sock,
        patience,
        timeout=service.options.authenticate_timeout,
        shown=client_traffic(service.log) if service.is_logged else None,
        said=traffic(service.log, "SELF:  ") if service.is_logged else None,
    )
    return Session(service, channel, ends)


def relay_session(relay: Relay, established: Established) -> None:
    """Give a session that is logged in to the relay."""
    relay.add(
        established.client.sock,
        established.server.sock,
        client_tls=established.client.stream,
        server_tls=established.server.stream,
        answer=established.answer,
        to_server=established.to_server,
        to_client=established.to_client,
        who=established.who,
        auth_line=established.auth_line,
        guard=established.guard,
    )


class CannotServe(Exception):
    """A worker cannot do its work; the text says why, and what to do."""


class Worker:
    """A worker's life, in a process of its own."""

    def __init__(
        self,
        service: Service,
        listeners: Sequence[socket.socket],
        control: socket.socket,
        slot: Slot,
        place: int,
        drain_limit: int | None,
    ) -> None:
        """A worker.

        Args:
            service: what its sessions are given.
            listeners: shared with the other workers.
            control: to the master.
            slot: the number of our connections.
            place: which of the workers we are.
            drain_limit: for how many seconds sessions go on when it drains; None for any time.
        """
        self.service = service
        self.options: Options = service.options
        self.log: Log = service.log
        self.control = control
        self.slot = slot
        self.place = place
        self.drain_limit = drain_limit
        self._count = 0
        self._has_failed = False
        self._count_lock = threading.Lock()
        self.relay = make_relay(service, ended=self._left)
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.logins = LoginThreads(
            listeners,
            self._serve,
            limit=min(self.options.login_threads, privileges.open_files() // SHARE_OF_LOGINS),
            seconds=self.options.login_timeout,
            log=self.log,
            hurry=self._hurry,
            is_ahead=lambda: self.slot.is_ahead,
        )

    def run(self, ids: Ids | None, begin: Callable[[], None] = lambda: None) -> None:
        """Serve until told to end.

        Args:
            ids: who to become first; None for nobody else.
            begin: called next.

        Raises:
            CannotServe: the system does not let it.
        """
        signals = Signals(
            (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, WAKE),
            (signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD),
        )
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if not self.options.no_affinity:
            stay_on_a_cpu(self.place, self.options.workers)
        if ids is not None:
            try:
                privileges.drop(ids)
            except CannotBecome as error:
                raise CannotServe(f"Worker {self.place}: {error}") from error
        begin()
        setproctitle.setproctitle(f"{self.options.program}: worker {self.place}")
        try:
            relaying = start_thread("relay", self._relay)
        except NoThread as error:
            raise CannotServe(f"Worker {self.place}: {error}") from error
        net.keep_resolver()
        if not self.logins.prepare():
            raise CannotServe(f"Worker {self.place}: no thread for log-ins: {MORE_THREADS}")
        self.slot.accepts(True)
        # Before anybody can be served: it must not be taken for one that never was ready.
        self._tell_master(READY)
        self.logins.start()
        self._obey(signals)
        if count := len(self.logins):
            self.log.notice(f"Connections that are not logged in are ended: {count}")
        # The sessions are the loop's own as long as it runs.
        self.relay.stop()
        relaying.join(STOP_SECONDS)
        if not relaying.is_alive():
            self.relay.close_all()

    def _relay(self) -> None:
        """The relay's thread."""
        try:
            self.relay.run()
        except Exception as error:  # noqa: BLE001 - the last resort of a thread
            self.log.trace(error)
            self._has_failed = True
            self._hurry()

    def _obey(self, signals: Signals) -> None:
        """Do as the master and the signals say, until it is time to leave.

        Raises:
            CannotServe: the sessions that are logged in are not served any more.
        """
        retired = draining = has_asked_last = False
        has_master = True
        end = float("inf")
        descriptors = [self.control.fileno(), self._wake_read]
        while True:
            tick = HURRIED_TICK if self.logins.manage() else DRAIN_TICK if retired else TICK
            numbers, ready = signals.wait(descriptors, tick)
            if self._wake_read in ready:
                os.read(self._wake_read, 64)
            if self._has_failed:
                raise CannotServe(f"Worker {self.place}: its relay has failed; another one starts")
            message = self._take_message() if self.control.fileno() in ready else None
            if signal.SIGQUIT in numbers or message == STOP:
                return
            if message == b"":
                has_master = False
                descriptors = [self._wake_read]
            # A terminal's goes to the master as well, which says what is to be done.
            if signal.SIGINT in numbers and not has_master:
                return
            if draining and signal.SIGTERM in numbers:
                return
            wants_drain = signal.SIGTERM in numbers or message in (DRAIN, b"")
            if (wants_drain or message == RETIRE) and not retired:
                retired = True
                self.slot.accepts(False)
                self.logins.stop_accepting()
                if message not in (RETIRE, DRAIN, b""):
                    self._tell_master(LEAVING)
            if wants_drain and not draining:
                draining = True
                if self.drain_limit is not None:
                    end = time.monotonic() + self.drain_limit
            if retired and not has_asked_last and self.logins.have_ended():
                has_asked_last = True
                self._let_go_of_map()
            is_empty = has_asked_last and not self._count
            if retired and (is_empty or time.monotonic() >= end):
                return

    def _let_go_of_map(self) -> None:
        """Close the map: sessions may last for days, and so would its connections."""
        try:
            self.service.finder.close()
        except Exception as error:  # noqa: BLE001 - no session must end with that
            self.log.trace(error)

    def _tell_master(self, message: bytes) -> None:
        """Tell the master something, who may have gone: then we shall hear of it."""
        with contextlib.suppress(OSError):
            self.control.send(message)

    def _take_message(self) -> bytes:
        """What the master says; empty when it is gone."""
        try:
            message, descriptors, _flags, _address = socket.recv_fds(self.control, 64, 1)
        except OSError:
            return b""
        if message == LOG and descriptors:
            self.log.take_descriptor(descriptors[0])
        elif message == LOG:
            self.log.error("log_facility: no descriptor is free for the new log: HUP tries again")
        return message

    def _hurry(self) -> None:
        """All threads for log-ins are busy: look after them often."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def _serve(
        self, sock: socket.socket, address: Address, local: Address | None, patience: Patience
    ) -> None:
        """Serve a connection until it is logged in or gone: the outermost function of a thread."""
        session = None
        handed_over = False
        try:
            try:
                ends = ends_of(address, local or sock.getsockname())
            except OSError as error:
                # The client had gone before we could ask where it had come to.
                self.log.debug(f"accept: {error}")
                return
            session = make_session(self.service, sock, ends, patience)
            if self.service.header_from and not session.take_header():
                return
            self.log.info(logs.connected(session.peers))
            if self._enters():
                handed_over = self._run(session)
            else:
                self.log.warning(f"connection_limit reached: {session.peers} is turned away")
        except Exception as error:  # noqa: BLE001 - a bug must end this session only
            self.log.trace(error)
        finally:
            if not handed_over:
                if session is not None:
                    session.channel.close()
                patience.forget(sock.fileno())
                sock.close()

    def _run(self, session: Session) -> bool:
        """Serve a session that has been let in."""
        handed_over = False
        try:
            established = session.run()
            if established is not None:
                try:
                    relay_session(self.relay, established)
                except OSError as error:
                    self.log.error(logs.not_relayed(established.who, str(error.strerror)))
                    established.server.close()
                else:
                    handed_over = True
        finally:
            if not handed_over:
                self._left()
        return handed_over

    def _enters(self) -> bool:
        """Count a connection; False where there are as many as there may be."""
        with self._count_lock:
            if not self.slot.raise_to(self._count + 1, self.options.connection_limit):
                return False
            self._count += 1
        return True

    def _left(self) -> None:
        """A connection has ended."""
        with self._count_lock:
            self._count -= 1
            self.slot.set(self._count)


def stay_on_a_cpu(place: int, workers: int) -> None:
    """Have this process on one CPU, where all have the same number of workers then.

    Threads that wait for the interpreter's lock would be woken on another CPU, and wait there.
    A thread that has let go of it for a moment, in a system call, is not overtaken on one CPU.

    Args:
        place: which of the workers it is.
        workers: how many there are; 0 for as many as CPUs.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if workers % len(cpus) == 0:
        # A sandbox may not allow it: then it is not done.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {cpus[place % len(cpus)]})
