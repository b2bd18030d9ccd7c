"""The master: binds, forks, supervises. It never reads what a client or a real server sent.

It logs the lines of logging.md section 4.
"""

import contextlib
import gc
import math
import os
import signal
import socket
import time
from pathlib import Path

import setproctitle

from perdition import net
from perdition.config.options import Options
from perdition.server import checking, privileges
from perdition.server.authenticator import Authenticator
from perdition.server.children import Children
from perdition.server.detaching import Launcher
from perdition.server.inetd import serve_inetd
from perdition.server.listeners import BindFailed, listen, parse_items, prepare
from perdition.server.loading import Loaded, StartFailed
from perdition.server.pidfile import PidFile, PidFileFailed
from perdition.server.signals import Signals
from perdition.server.slots import Slot
from perdition.server.systemd import Manager, given_sockets
from perdition.server.worker import DRAIN, LOG, STOP, CannotServe, Worker
from perdition.session.service import Service
from perdition.threads import NoThread, start_thread

SUCCESS, FAILURE = 0, 255
FATAL = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGIO,
    signal.SIGXCPU,
    signal.SIGXFSZ,
)
IGNORED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGURG, signal.SIGWINCH)
# For how long sessions go on where somebody waits at a terminal, or a container has to end.
DRAIN_IN_FOREGROUND = 10
# How long a master that was told to end waits for workers without sessions.
LEAVE_SECONDS = 1.0


def drain_limit(options: Options, manager: Manager) -> int | None:
    """For how many seconds sessions go on when we are told to end; None for any time."""
    if options.drain_timeout is not None:
        return options.drain_timeout
    return DRAIN_IN_FOREGROUND if options.is_foreground and not manager.is_there else None


class Master:
    """The program, from its options on."""

    def __init__(self, options: Options) -> None:
        """Load everything that can be loaded before there are sockets.

        Raises:
            StartFailed: something is missing or wrong.
        """
        self.options = options
        self.manager = Manager()
        setproctitle.setproctitle(f"{options.program}: daemon")
        self.loaded = Loaded(options)
        self.log, self.ids = self.loaded.log, self.loaded.ids
        self.authenticator: Authenticator | None = None
        if options.authenticate_in:
            self.authenticator = Authenticator(
                self.log, options.pam_service, options.authenticate_timeout
            )
        self.launcher = Launcher()
        self.pid_file: PidFile | None = None
        self.listeners: list[socket.socket] = []
        # Those of the service manager, which listens on.
        self.are_given = False
        self.children = Children(self.log)
        self.workers = options.workers or len(os.sched_getaffinity(0))
        self._has_said_ready = False

    def service(self) -> Service:
        """What sessions are given, with the map of now."""
        return self.loaded.service(self.authenticator.ask if self.authenticator else None)

    def check(self) -> list[str]:
        """What `--check_config` looks at beyond what has been loaded; this process does no more.

        Returns:
            What the operator should know of it.

        Raises:
            StartFailed: an address to listen on is none, or a port.
        """
        try:
            checking.check_addresses(self.options)
        except BindFailed as error:
            raise StartFailed(str(error)) from error
        found = checking.troubles(self.options, self.loaded.map_option, self.ids)
        return [*self.loaded.warnings, *found]

    def run(self) -> int:
        """Serve until told to end.

        Returns:
            The exit status.

        Raises:
            StartFailed: it cannot be begun; nothing has been detached then.
        """
        privileges.raise_open_files()
        if self.options.inetd_mode:
            os.chdir("/")
            self._start_authenticator()
            if self.authenticator is not None and not self.authenticator.pid:
                return FAILURE
            self._heed_signals()
            return SUCCESS if serve_inetd(self.service(), self.ids) else FAILURE
        # From the moment that others can see us on, a signal waits until it can be acted upon.
        signal.pthread_sigmask(signal.SIG_BLOCK, {*FATAL, signal.SIGHUP})
        try:
            self.pid_file = PidFile(self.options.pid_file, self.ids, self.log)
        except PidFileFailed as error:
            self.log.error(error.log_line)
            raise StartFailed(str(error)) from error
        try:
            self._bind()
        except BaseException:
            self.pid_file.remove()
            raise
        if self.options.is_foreground:
            os.chdir("/")
        else:
            self._detach()
        signals = Signals((*FATAL, signal.SIGHUP, signal.SIGCHLD), IGNORED)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self._start_authenticator()
        gc.collect()
        gc.freeze()
        for place in range(self.workers):
            self._fork(place, signals)
        try:
            return self._supervise(signals)
        except Exception as error:  # noqa: BLE001 - the last resort of a process
            self.log.trace(error)
            self.children.retire(DRAIN)
            return FAILURE
        finally:
            self.pid_file.remove()

    def _heed_signals(self) -> None:
        """Act on signals in inetd mode, where one thread waits for nothing but its connection."""
        for number in FATAL:
            signal.signal(number, self._end_inetd)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, self._reload_inetd)

    def _reload_inetd(self, _number: int, _frame: object) -> None:
        # In a thread: a look-up that is going on keeps the map until it is over.
        try:
            start_thread("reload", self._read_again)
        except NoThread as error:
            self.log.error(f"HUP: {error}")

    def _end_inetd(self, number: int, _frame: object) -> None:
        self.log.info(f"Exiting on signal {number}")
        os._exit(SUCCESS)

    def _bind_items(self) -> list[net.ServerItem]:
        return parse_items(self.options.bind_address)

    def _bind(self) -> None:
        """Listen, unless the service manager does that for us."""
        try:
            self.listeners = given_sockets()
        except ValueError as error:
            raise StartFailed(str(error)) from error
        for listener in self.listeners:
            prepare(listener, keepalive=self.options.tcp_keepalive)
        self.are_given = bool(self.listeners)
        if self.are_given:
            return
        try:
            self.listeners = listen(
                self._bind_items(), self.options.listen_port, keepalive=self.options.tcp_keepalive
            )
        except BindFailed as error:
            self.log.error("Fatal error listening for connections.Exiting.")
            raise StartFailed(str(error)) from error

    def _detach(self) -> None:
        """Become a daemon; what can fail has been done before."""
        keep: list[object] = [*self.listeners, self.loaded.turn, self.children]
        if self.authenticator is not None:
            keep += self.authenticator.filenos()
        if self.log.descriptor is not None:
            keep.append(self.log.descriptor)
        self.log.let_go()
        complaint = f"{self.options.program}: it has ended before it could serve: see the log"
        self.launcher.detach(keep, SUCCESS, FAILURE, complaint)
        self.log.begin_process()
        if self.pid_file is not None:
            self.pid_file.write()

    def _start_authenticator(self) -> None:
        """Start the process that asks PAM, where there is to be one."""
        if self.authenticator is not None:
            title = f"{self.options.program}: authenticator"
            self.authenticator.start(title, self._forget)

    def _follow_authenticator(self, ended: set[int]) -> None:
        """Start it again where it is one of the processes that have ended, or could not be."""
        if self.authenticator is None:
            return
        if self.authenticator.pid in ended:
            self.log.error("The process for local authentication ended: starting another")
        elif self.authenticator.pid:
            return
        self._start_authenticator()

    def _forget(self) -> None:
        """Close what a child that is no worker has no business with."""
        for listener in self.listeners:
            listener.close()
        self.children.forget()
        self.launcher.forget()
        if self.options.inetd_mode:
            # These are the client, who is not to read what PAM's modules print.
            with Path(os.devnull).open("r+b", buffering=0) as nobody:
                for standard in range(3):
                    os.dup2(nobody.fileno(), standard)

    def _fork(self, place: int, signals: Signals) -> None:
        """Start a worker, later where the system cannot have another one now."""
        slot = self.children.take_slot()
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                pid = self._forked(ours)
                if pid == 0:
                    self._be_worker(place, slot, theirs, ours, signals)
                signal.pthread_sigmask(signal.SIG_SETMASK, [])
        except OSError as error:
            self.log.error(f"Worker {place} cannot be started: {error.strerror}")
            self.children.put_off(place, slot)
        else:
            self.children.add(pid, place, slot, ours)

    @staticmethod
    def _forked(control: socket.socket) -> int:
        """Fork with all signals blocked; if that fails they are not, and control is closed."""
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            return os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            control.close()
            raise

    def _be_worker(
        self,
        place: int,
        slot: Slot,
        control: socket.socket,
        other: socket.socket,
        signals: Signals,
    ) -> None:
        """The child's side of the fork: never returns."""
        status = 1
        try:
            self.log.begin_process()
            signals.close()
            other.close()
            self.launcher.forget()
            self.children.forget()
            if self.authenticator is not None:
                self.authenticator.be_client()
            limit = drain_limit(self.options, self.manager)
            worker = Worker(self.service(), self.listeners, control, slot, place, limit)
            worker.run(self.ids, self.loaded.map.read_ahead)
            status = 0
        except CannotServe as error:
            self.log.error(str(error))
        except Exception as error:  # noqa: BLE001 - the last resort of a process
            self.log.trace(error)
        finally:
            os._exit(status)

    def _supervise(self, signals: Signals) -> int:
        """Restart what dies, and do as the signals say, until one says to end."""
        children = self.children
        while True:
            speakers = children.speakers()
            dues = [self.manager.tick, children.seconds_to_due()]
            if self.authenticator is not None:
                dues.append(self.authenticator.seconds_to_due())
            waits = [each for each in dues if each is not None]
            numbers, ready = signals.wait(speakers, min(waits, default=None))
            if self._has_said_ready:
                self.manager.still_there()
            for descriptor in ready:
                children.hear(speakers[descriptor])
            if children.have_served and not self._has_said_ready:
                self._say_ready()
            ended = children.bury()
            self._follow_authenticator(ended)
            if children.cannot_start:
                self.log.error("Workers do not start. Exiting.")
                children.retire(STOP)
                return FAILURE
            if signal.SIGHUP in numbers and self._has_said_ready:
                self.manager.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
                self._reload(signals)
                self.manager.tell("READY=1")
            elif signal.SIGHUP in numbers:
                self._reload(signals)
            fatal = [number for number in numbers if number in FATAL]
            if fatal:
                return self._end(fatal, signals)
            for place in children.take_due():
                self._fork(place, signals)

    def _say_ready(self) -> None:
        """Say that somebody serves, to all who wait for that."""
        self._has_said_ready = True
        if not self.options.is_foreground:
            self.log.info(f"Listening with {self.workers} workers")
        self.launcher.release()
        self.manager.tell("READY=1")

    def _reload(self, signals: Signals) -> None:
        """HUP: read again what can be, and change to workers that have it.

        The other options stay as they are; workers of before go on with their sessions.
        """
        has_map = self._read_again()
        if not self.loaded.read_certificates_again() and not has_map:
            return
        for place in self.children.expect_followers():
            self._fork(place, signals)

    def _read_again(self) -> bool:
        """Open the log and the map again.

        Returns:
            Whether there is a new map.
        """
        if self.loaded.reopen_log() and self.log.descriptor is not None:
            # The workers may not open it themselves.
            self.children.send_descriptor(LOG, self.log.descriptor)
            if self.authenticator is not None:
                self.authenticator.replace(f"{self.options.program}: authenticator", self._forget)
        return self.loaded.read_map_again()

    def _end(self, numbers: list[int], signals: Signals) -> int:
        """Told to end: sessions go on in their workers, but end with INT or a second signal."""
        self.log.info(f"Exiting on signal {numbers[0]}")
        self.manager.tell("STOPPING=1")
        gently = len(numbers) == 1 and signal.SIGINT not in numbers
        self.children.retire(DRAIN if gently else STOP)
        for sock in self.listeners:
            if not self.are_given:
                # At once, in all workers: who starts the next master does not wait for them.
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        if self.pid_file is not None:
            self.pid_file.remove()
        end = time.monotonic() + LEAVE_SECONDS
        if gently and os.getpid() == 1:
            # With a container's first process all others end.
            limit = drain_limit(self.options, self.manager)
            end += math.inf if limit is None else limit
        while self.children and (left := end - time.monotonic()) > 0:
            again, _ready = signals.wait((), min(left, LEAVE_SECONDS))
            if any(number in FATAL for number in again):
                self.children.retire(STOP)
                end = min(end, time.monotonic() + LEAVE_SECONDS)
            self.children.bury()
        return SUCCESS
