"""The threads that greet clients and take their log-ins.

Each idle thread of a listener waits in accept() itself: the kernel wakes one thread of one process
for a connection, in turn, and nothing is handed over between threads. They are kept and used again.
There are few: more threads than there is work for only get into each other's way. More are added
while all are busy and some of them wait for slow peers, up to `login_threads` in a worker.
"""

import collections
import contextlib
import errno
import os
import select
import signal
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Sequence

from perdition.logs import Log
from perdition.patience import Patience

# Threads of a listener that wait for a connection from the beginning on.
FIRST_THREADS = 4
# Of those that serve nobody, more end: for each of them in accept() the kernel sets a descriptor
# aside, which nobody sees.
MOST_IDLE = 16
STACK_SIZE = 512 * 1024
# How long after the last time that all threads were busy it is looked at often.
HURRY_SECONDS = 1.0
# tcpi_unacked in the kernel's struct tcp_info: of a listener, how many wait to be accepted.
UNACKED = struct.Struct("24xI")
OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
BACK_OFF_SECONDS = 0.2
# How long a thread waits at most where other processes should have the next connection.
LET_OTHERS_SECONDS = 0.02
# Wakes a thread in accept(); whoever has these threads handles it, by doing nothing.
WAKE = signal.SIGUSR2
Address = tuple[object, ...]
# Given are the connection, the peer's address, ours where all connections have the same one, ...
Serve = Callable[[socket.socket, Address, Address | None, Patience], None]


class LoginServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """The socketserver of one listener. A lock guards what it knows of its threads.

    Attributes:
        connections: those that its threads serve, the oldest first.
        threads: how many threads it has.
        is_accepting: whether they go on to accept.
    """

    def __init__(
        self,
        listener: socket.socket,
        serve: Serve,
        seconds: float,
        log: Log,
        hurry: Callable[[], None],
        is_ahead: Callable[[], bool],
        begin: threading.Event,
    ) -> None:
        """Serve the connections of a listener that is bound and listening already.

        Args:
            listener: blocking, and perhaps other processes' too.
            serve: serves a connection until it is logged in or gone.
            seconds: `login_timeout`.
            log: told about trouble.
            hurry: called when no thread is idle any more.
            is_ahead: whether other processes should have the next connections.
            begin: when it happens, they are accepted.
        """
        socketserver.BaseServer.__init__(
            self, listener.getsockname(), socketserver.BaseRequestHandler
        )
        self.socket = listener
        host = listener.getsockname()[0]
        self._local = None if host in ("0.0.0.0", "::") else listener.getsockname()  # noqa: S104
        # Not looked up, and made enumerations of, for each connection.
        self._kind = int(listener.family), int(listener.type), listener.proto
        self.connections: dict[Patience, None] = {}
        self.threads = 0
        # The threads that may be in accept().
        self._accepters: set[int] = set()
        self._serve = serve
        self._seconds = seconds
        self._log = log
        self._hurry = hurry
        self._is_ahead = is_ahead
        self._begin = begin
        self._lock = threading.Lock()
        self.is_accepting = True
        self._in_trouble = False
        self._cannot_add = False
        # Takes the listener's place in the end, when there may be no descriptor left for it.
        self._nobody = socket.socket()

    def add_threads(self, count: int) -> bool:
        """Have more threads.

        Returns:
            Whether the system let us have them.
        """
        for _ in range(count):
            with self._lock:
                self.threads += 1
            try:
                threading.Thread(target=self._run, name="login", daemon=True).start()
            except RuntimeError as error:
                with self._lock:
                    self.threads -= 1
                if not self._cannot_add:
                    self._cannot_add = True
                    self._log.error(f"login_threads: {error}: there are {self.threads}")
                return False
        self._cannot_add = False
        return True

    def _run(self) -> None:
        """A thread: accept, serve, and again."""
        self._begin.wait()
        ours = threading.get_ident()
        with self._lock:
            self._accepters.add(ours)
        try:
            while self.is_accepting:
                if self._is_ahead():
                    self._let_others()
                try:
                    request, address = self.get_request()
                except OSError as error:
                    self._note_trouble(error)
                    continue
                self._in_trouble = False
                self.finish_request(request, address)
                if self._idle > MOST_IDLE and self._leaves(ours):
                    return
        finally:
            with self._lock:
                self._count_out(ours)

    @property
    def _idle(self) -> int:
        """How many threads serve nobody."""
        return self.threads - len(self.connections)

    def _leaves(self, ours: int) -> bool:
        """Whether a thread is one too many, and has been counted out."""
        with self._lock:
            if self._idle > MOST_IDLE:
                self._count_out(ours)
                return True
        return False

    def _count_out(self, ours: int) -> None:
        """A thread ends; whoever calls holds the lock."""
        if ours in self._accepters:
            self._accepters.remove(ours)
            self.threads -= 1

    def _let_others(self) -> None:
        """Leave connections to other processes for a while; they may be as slow, or hang."""
        end = time.monotonic() + LET_OTHERS_SECONDS
        while time.monotonic() < end and self._is_ahead():
            time.sleep(LET_OTHERS_SECONDS / 10)

    def _note_trouble(self, error: OSError) -> None:
        """Wait for better times where no connection can be accepted; say so once."""
        if self.is_accepting and error.errno == errno.EINVAL:
            # The master has ended the listening: we are about to hear of it.
            time.sleep(LET_OTHERS_SECONDS)
        if not self.is_accepting or error.errno not in OUT_OF_DESCRIPTORS:
            return
        if not self._in_trouble:
            self._in_trouble = True
            self._log.error(f"accept: {error.strerror}")
        self.make_room(1)
        time.sleep(BACK_OFF_SECONDS)

    def get_request(self) -> tuple[socket.socket, Address]:
        """Wait for a connection: what accept() of the library does, without its detours."""
        descriptor, address = self.socket._accept()  # type: ignore[attr-defined]
        return socket.socket(*self._kind, descriptor), address

    def finish_request(self, request: object, client_address: object) -> None:
        """Serve a connection, in the thread that accepted it."""
        assert isinstance(request, socket.socket)  # noqa: S101 - a TCPServer's request
        assert isinstance(client_address, tuple)  # noqa: S101 - and its address
        patience = Patience(request.fileno(), self._seconds)
        # A dictionary's own operations are whole: no lock is needed for them.
        connections = self.connections
        connections[patience] = None
        if self.is_busy:
            self._hurry()
        try:
            self._serve(request, client_address, self._local, patience)
        finally:
            del connections[patience]

    @property
    def is_busy(self) -> bool:
        """Whether no thread waits for a connection."""
        return len(self.connections) >= self.threads

    def stop(self) -> None:
        """Accept no more; the connections there are go on.

        Something else takes the place of the listener's descriptor, for threads that go on to
        accept() and those that are woken there.
        """
        self.is_accepting = False
        os.dup2(self._nobody.fileno(), self.socket.fileno(), inheritable=False)
        self._nobody.close()
        with self._lock:
            for each in self._accepters:
                signal.pthread_kill(each, WAKE)

    def waiting(self) -> int:
        """How many connections wait to be accepted; of some, where the system does not say."""
        poll = select.poll()
        poll.register(self.socket.fileno(), select.POLLIN)
        if not poll.poll(0):
            return 0
        with contextlib.suppress(OSError):
            told = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, UNACKED.size)
            return max(int(UNACKED.unpack(told)[0]), 1)
        return 1

    def make_room(self, count: int) -> int:
        """End connections that are not logged in, so many of those that have waited for long.

        Those that wait for their client come first, of these the ones of a peer that has the most
        of them, then the oldest.

        Returns:
            How many.
        """
        known = list(self.connections)
        have = collections.Counter(each.host for each in known)
        now = time.monotonic()
        long = [each for each in known if each.may_give_way(now)]
        long.sort(key=lambda each: (not each.is_clients, -have[each.host]))
        return sum(each.cut() for each in long[:count])


class LoginThreads:
    """The threads of all listeners of a worker.

    First `prepare`, then `start`; `manage` is to be called from time to time.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        serve: Serve,
        *,
        limit: int,
        seconds: float,
        log: Log,
        hurry: Callable[[], None] = lambda: None,
        is_ahead: Callable[[], bool] = lambda: False,
    ) -> None:
        """Threads for these listeners.

        Args:
            listeners: blocking, and perhaps other processes' too.
            serve: serves a connection until it is logged in or gone.
            limit: `login_threads`: most threads; each listener has one at least.
            seconds: `login_timeout`.
            log: told about trouble.
            hurry: called when `manage` should be called soon and often.
            is_ahead: whether other processes should have the next connections.
        """
        self._limit = max(limit, len(listeners))
        self._log = log
        self._tell = hurry
        self._hurried = False
        self._busy_at = 0.0
        self._others_wait = False
        self._begin = threading.Event()
        self._servers = {
            each.fileno(): LoginServer(
                each, serve, seconds, log, self._hurry, is_ahead, self._begin
            )
            for each in listeners
        }
        threading.stack_size(STACK_SIZE)

    def prepare(self) -> bool:
        """Have the first threads, which do not accept yet.

        Returns:
            Whether each listener has one.
        """
        share = self._limit // len(self._servers)
        for server in self._servers.values():
            server.add_threads(min(FIRST_THREADS, share))
        return all(server.threads for server in self._servers.values())

    def start(self) -> None:
        """Start to accept."""
        self._begin.set()

    def stop_accepting(self) -> None:
        """Accept no more; the connections there are go on."""
        for server in self._servers.values():
            server.stop()

    def __len__(self) -> int:
        """How many connections are not logged in."""
        return sum(len(server.connections) for server in self._servers.values())

    def have_ended(self) -> bool:
        """Whether, after `stop_accepting`, no connection can be on its way any more."""
        return not any(server.threads for server in self._servers.values())

    def _hurry(self) -> None:
        if not self._hurried:
            self._hurried = True
            self._tell()

    def manage(self) -> bool:
        """End waits that are too long, and add threads where all are busy.

        Returns:
            Whether it should be called again soon: no thread is idle, or was a moment ago.
        """
        now = time.monotonic()
        for server in self._servers.values():
            waits = list(server.connections)
            for each in waits:
                each.check(now)
            if server.is_accepting and server.is_busy:
                self._busy_at = now
                self._relieve(server, sum(each.is_slow(now) for each in waits))
        self._hurried = now - self._busy_at < HURRY_SECONDS
        self._others_wait &= self._hurried
        return self._hurried

    def _relieve(self, server: LoginServer, slow: int) -> None:
        """All threads are busy, so many of them with slow peers."""
        left = self._limit - sum(each.threads for each in self._servers.values())
        wanted = FIRST_THREADS + 2 * slow - server.threads
        if left > 0 and server.add_threads(min(wanted, left)):
            return
        waiting = server.waiting()
        if not waiting:
            return
        if count := server.make_room(waiting):
            self._log.notice(f"login_threads reached: the oldest connections give way: {count}")
        elif not (self._others_wait or any(each.is_clients for each in list(server.connections))):
            self._others_wait = True
            self._log.notice(
                "login_threads reached: all wait for real servers or the map, others to be accepted"
            )
