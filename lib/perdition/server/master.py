"""The master: binds, forks, supervises. It never reads what a client or a real server sent.

It logs the lines of logging.md section 4.
"""

import contextlib
import gc
import os
import signal
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import setproctitle

from perdition import __version__, net
from perdition.backends import SharedTurn
from perdition.config import render
from perdition.config.options import Options
from perdition.logs import Log, LogOpenFailed
from perdition.maps import Latest, MapFailed, map_name, open_map
from perdition.server import privileges
from perdition.server.detaching import Launcher
from perdition.server.listeners import BindFailed, listen, parse_items
from perdition.server.pidfile import PidFile, PidFileFailed
from perdition.server.privileges import Ids, NoSuchUser
from perdition.server.service import (
    goes_out_with_tls,
    listens_with_tls,
    log_level,
    make_service,
    node_name,
)
from perdition.server.signals import Signals
from perdition.server.slots import Slot, Slots
from perdition.server.worker import DRAIN, LOG, RETIRE, STOP, Worker, serve_inetd
from perdition.session.service import Service
from perdition.tls import TlsSetupError
from perdition.tls.contexts import listening_context, outgoing
from perdition.tls.handshakes import Listening, OutgoingTls

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
# How long a master that was told to end waits for workers without sessions.
LEAVE_SECONDS = 1.0
# A worker that ends sooner than this is not started again at once.
YOUNG_SECONDS = 1.0
LONGEST_PAUSE = 10.0
# So many workers in a row that never served make the start a failure.
MOST_STILLBORN = 5


class StartFailed(Exception):
    """The program cannot start.

    Attributes:
        lines: the original's lines for standard error.
        usage: whether the usage text is shown.
    """

    def __init__(self, explanation: str, *lines: str, usage: bool = False) -> None:
        super().__init__(explanation)
        self.lines = lines
        self.usage = usage


@dataclass(slots=True)
class Child:
    """A worker, as the master sees it."""

    place: int
    slot: Slot
    control: socket.socket
    started: float = field(default_factory=time.monotonic)
    retired: bool = False
    served: bool = False


class Master:
    """The program, from its options on."""

    def __init__(self, options: Options) -> None:
        """Load everything that can be loaded before there are sockets.

        Raises:
            StartFailed: something is missing or wrong.
        """
        self.options = options
        setproctitle.setproctitle(f"{options.program}: daemon")
        if options.authenticate_in:
            raise StartFailed("authenticate_in: local authentication is not in this version")
        self.map_option = options.map_library_opt
        if map_name(options.map_library) in ("gdbm", "posix_regex") and self.map_option:
            self.map_option = str(Path(self.map_option).absolute())
        try:
            self.map = Latest(open_map(options.map_library, self.map_option))
        except MapFailed as error:
            line = f'dlopen of "{options.map_library}" failed'
            raise StartFailed(str(error), line, usage=True) from error
        try:
            self.log = Log(options.program, options.log_facility, log_level(options))
        except LogOpenFailed as error:
            raise StartFailed(
                f"log_facility {options.log_facility!r}: {error}",
                str(error),
                "Fatal error opening logger. Exiting.",
            ) from error
        self.ids = self._find_ids()
        self._say_starting()
        self.listening: Listening | None = None
        self.outgoing: OutgoingTls | None = None
        self._load_tls()
        self.turn = SharedTurn()
        self.launcher = Launcher()
        self.pid_file: PidFile | None = None
        self.listeners: list[socket.socket] = []
        self.children: dict[int, Child] = {}
        self.due: list[tuple[float, int]] = []
        self.stillborn = 0
        # How often in a row the worker of a place has died young.
        self.died_young: dict[int, int] = {}

    def _find_ids(self) -> Ids | None:
        """Who the workers are to be; None where we are not root and stay who we are."""
        if os.geteuid() != 0:
            return None
        try:
            return privileges.find(self.options.username, self.options.group)
        except NoSuchUser as error:
            self.log.error("Fatal error setting group and userid. Exiting.")
            raise StartFailed(str(error)) from error

    def _say_starting(self) -> None:
        options = self.options
        if options.debug or not (options.quiet or options.is_foreground):
            self.log.info(f"Starting perdition version={__version__} protocol={options.protocol}")
        if options.debug:
            for line in render.dump(options, node_name()):
                self.log.info(line)

    def _load_tls(self) -> None:
        try:
            if listens_with_tls(self.options):
                self.listening = listening_context(self.options)
                for warning in self.listening.warnings:
                    self.log.warning(warning)
                for note in self.listening.notes:
                    self.log.info(note)
            if goes_out_with_tls(self.options):
                self.outgoing = outgoing(self.options)
                for warning in self.outgoing.warnings:
                    self.log.warning(warning)
        except TlsSetupError as error:
            for line in error.log_lines:
                self.log.error(line)
            raise StartFailed(str(error)) from error

    def service(self) -> Service:
        """What sessions are given, with the map of now."""
        return make_service(
            self.options, self.log, self.map, self.turn, self.listening, self.outgoing
        )

    def check(self) -> None:
        """What `--check_config` looks at beyond what has been loaded.

        Raises:
            StartFailed: an address to listen on is none.
        """
        try:
            for item in self._bind_items():
                net.resolve(item.host, item.port or self.options.listen_port)
        except net.ConnectFailed as error:
            raise StartFailed(f"bind_address {error}") from error
        except BindFailed as error:
            raise StartFailed(str(error)) from error

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
            self._heed_signals()
            return SUCCESS if serve_inetd(self.service(), self.ids) else FAILURE
        # From the moment that others can see us on, a signal waits until it can be acted upon.
        signal.pthread_sigmask(signal.SIG_BLOCK, {*FATAL, signal.SIGHUP})
        self._bind()
        try:
            self.pid_file = PidFile(self.options.pid_file, self.ids, self.log)
        except PidFileFailed as error:
            self.log.error(error.log_line)
            raise StartFailed(str(error)) from error
        if self.options.is_foreground:
            os.chdir("/")
        else:
            self._detach()
        signals = Signals((*FATAL, signal.SIGHUP, signal.SIGCHLD), IGNORED)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        workers = self.options.workers or len(os.sched_getaffinity(0))
        self.slots = Slots()
        gc.collect()
        gc.freeze()
        for place in range(workers):
            self._fork(place, signals)
        if not self.options.is_foreground:
            self.log.info(f"Listening with {workers} workers")
        self.launcher.release()
        return self._supervise(signals)

    def _heed_signals(self) -> None:
        """Act on signals in inetd mode, where one thread waits for nothing but its connection."""
        for number in FATAL:
            signal.signal(number, self._end_inetd)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, lambda _number, _frame: self._read_again())

    def _end_inetd(self, number: int, _frame: object) -> None:
        self.log.info(f"Exiting on signal {number}")
        os._exit(SUCCESS)

    def _bind_items(self) -> list[net.ServerItem]:
        return parse_items(self.options.bind_address, self.options.domain_delimiter)

    def _bind(self) -> None:
        try:
            self.listeners = listen(
                self._bind_items(), self.options.listen_port, keepalive=self.options.tcp_keepalive
            )
        except BindFailed as error:
            self.log.error("Fatal error listening for connections.Exiting.")
            raise StartFailed(str(error)) from error

    def _detach(self) -> None:
        """Become a daemon; what can fail has been done before."""
        keep: list[object] = [*self.listeners, self.turn]
        if self.log.descriptor is not None:
            keep.append(self.log.descriptor)
        self.log.let_go()
        self.launcher.detach(keep, SUCCESS, FAILURE)
        if self.pid_file is not None:
            self.pid_file.write()

    def _fork(self, place: int, signals: Signals) -> None:
        """Start a worker."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        slot = self.slots.take()
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        pid = os.fork()
        if pid == 0:
            self._be_worker(place, slot, theirs, ours, signals)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        theirs.close()
        self.children[pid] = Child(place, slot, ours)

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
            signals.close()
            other.close()
            self.launcher.forget()
            for child in self.children.values():
                child.control.close()
            Worker(self.service(), self.listeners, control, slot, place).run(self.ids)
            status = 0
        except Exception as error:  # noqa: BLE001 - the last resort of a process
            self.log.trace(error)
        finally:
            os._exit(status)

    def _supervise(self, signals: Signals) -> int:
        """Restart what dies, and do as the signals say, until one says to end."""
        while True:
            controls = {
                child.control.fileno(): child
                for child in self.children.values()
                if not child.served
            }
            now = time.monotonic()
            patience = max(min((moment for moment, _ in self.due), default=now) - now, 0)
            numbers, ready = signals.wait(controls, patience if self.due else None)
            for descriptor in ready:
                controls[descriptor].served = True
                # It may have died with words of ours unread: that is an error here.
                with contextlib.suppress(OSError):
                    if controls[descriptor].control.recv(64):
                        self.stillborn = 0
            self._bury()
            if self.stillborn >= MOST_STILLBORN:
                self.log.error("Workers do not start. Exiting.")
                self._leave(STOP)
                return FAILURE
            if signal.SIGHUP in numbers:
                self._reload(signals)
            fatal = [number for number in numbers if number in FATAL]
            if fatal:
                return self._end(fatal, signals)
            self._restart(signals)

    def _bury(self) -> None:
        """Take notice of children that have ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            child = self.children.pop(pid, None)
            if child is None:
                continue
            child.control.close()
            self.slots.give_back(child.slot)
            if child.retired:
                continue
            code = os.waitstatus_to_exitcode(status)
            how = f"signal {-code}" if code < 0 else f"status {code}"
            self.log.error(f"Worker {child.place} [{pid}] ended with {how}: starting another")
            now = time.monotonic()
            pause = 0.0
            times = self.died_young.pop(child.place, 0)
            if now - child.started < YOUNG_SECONDS:
                self.stillborn += not child.served
                self.died_young[child.place] = times + 1
                pause = min(0.1 * 2**times, LONGEST_PAUSE)
            self.due.append((now + pause, child.place))

    def _restart(self, signals: Signals) -> None:
        """Start the workers whose pause is over."""
        now = time.monotonic()
        for moment, place in [each for each in self.due if each[0] <= now]:
            self.due.remove((moment, place))
            self._fork(place, signals)

    def _reload(self, signals: Signals) -> None:
        """HUP: read again what can be, and change to workers that have it.

        The other options stay as they are; workers of before go on with their sessions.
        """
        if not self._read_again():
            return
        for child in self.children.values():
            child.retired = True
            self._tell(child, RETIRE)
        for place in {child.place for child in self.children.values()} | {
            place for _, place in self.due
        }:
            self._fork(place, signals)
        self.due.clear()

    def _read_again(self) -> bool:
        """Open the log again, and the map.

        Returns:
            Whether there is a new map.
        """
        options = self.options
        try:
            self.log.reopen()
            self._tell_log()
            self.log.info("Reopened logger")
        except LogOpenFailed as error:
            self.log.error(f"log_facility {options.log_facility!r}: {error}: not reopened")
        told = render.redact(options.map_library, options.map_library_opt) or "(null)"
        self.log.info(f'Reloading map library "{options.map_library}" with options "{told}"')
        try:
            new = open_map(options.map_library, self.map_option)
        except MapFailed as error:
            self.log.error(f"map: {error}: the one of before stays in use")
            return False
        self.map.replace(new)
        return True

    def _tell_log(self) -> None:
        """Give the workers, who may not open it themselves, the new log file."""
        if not self.log.is_file or self.log.descriptor is None:
            return
        for child in self.children.values():
            with contextlib.suppress(OSError):
                socket.send_fds(child.control, [LOG], [self.log.descriptor])

    def _tell(self, child: Child, message: bytes) -> None:
        with contextlib.suppress(OSError):
            child.control.send(message)

    def _end(self, numbers: list[int], signals: Signals) -> int:
        """Told to end: sessions go on in their workers after TERM, and end with anything else."""
        self.log.info(f"Exiting on signal {numbers[0]}")
        for sock in self.listeners:
            sock.close()
        if self.pid_file is not None:
            self.pid_file.remove()
        gently = numbers == [signal.SIGTERM]
        self._leave(DRAIN if gently else STOP)
        end = time.monotonic() + LEAVE_SECONDS
        while self.children and (left := end - time.monotonic()) > 0:
            again, _ready = signals.wait((), left)
            if any(number in FATAL for number in again):
                self._leave(STOP)
            self._bury()
        return SUCCESS

    def _leave(self, message: bytes) -> None:
        """Tell all workers to leave."""
        for child in self.children.values():
            child.retired = True
            self._tell(child, message)
