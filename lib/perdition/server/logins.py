"""The threads that greet clients and take their log-ins."""

import errno
import os
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Sequence

from perdition.logs import Log

# Threads that wait for a connection from the beginning on.
FIRST_THREADS = 4
STACK_SIZE = 512 * 1024
OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
BACK_OFF_SECONDS = 0.2
Serve = Callable[[socket.socket, tuple[object, ...]], None]


class LoginServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """The socketserver of one listener; its threads are those of `LoginThreads`."""

    def __init__(self, listener: socket.socket, serve: Serve) -> None:
        """Serve the connections of a listener that is bound and listening already."""
        socketserver.BaseServer.__init__(
            self, listener.getsockname(), socketserver.BaseRequestHandler
        )
        self.socket = listener
        self._serve = serve

    def finish_request(self, request: object, client_address: object) -> None:
        """Serve a connection, in the thread that accepted it."""
        assert isinstance(request, socket.socket)  # noqa: S101 - a TCPServer's request
        assert isinstance(client_address, tuple)  # noqa: S101 - and its address
        self._serve(request, client_address)


class LoginThreads:
    """Threads that accept for themselves, are kept, and used again.

    While all of them are busy there is one more, up to a limit; at the limit the oldest
    connection gives way. A lock guards the numbers and the table of connections.
    """

    def __init__(self, listeners: Sequence[socket.socket], serve: Serve, limit: int, log: Log):
        """Threads for these listeners.

        Args:
            listeners: non-blocking, and perhaps other processes' too.
            serve: serves a connection until it is logged in or gone.
            limit: most threads, at least two.
            log: told about trouble.
        """
        self._servers = {each.fileno(): LoginServer(each, serve) for each in listeners}
        self._limit = max(limit, 2)
        self._log = log
        self._lock = threading.Lock()
        self._idle = 0
        self._threads = 0
        self._accepting = True
        self._connections: dict[int, None] = {}
        self._epoll = select.epoll()
        for descriptor in self._servers:
            self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._epoll.register(self._stop_read, select.EPOLLIN)
        threading.stack_size(STACK_SIZE)

    def start(self) -> None:
        """Start to accept."""
        with self._lock:
            for _ in range(min(FIRST_THREADS, self._limit)):
                self._add_thread()

    def stop_accepting(self) -> None:
        """Accept no more; the connections there are go on."""
        self._accepting = False
        os.write(self._stop_write, b"\0")
        for server in self._servers.values():
            server.socket.close()

    def __len__(self) -> int:
        """How many connections are not logged in."""
        return len(self._connections)

    def _add_thread(self) -> None:
        """One more thread; the lock is held."""
        self._threads += 1
        self._idle += 1
        threading.Thread(target=self._run, name=f"login-{self._threads}", daemon=True).start()

    def _run(self) -> None:
        """A thread: accept, serve, and again."""
        while self._accepting:
            for descriptor, _events in self._epoll.poll(maxevents=1):
                server = self._servers.get(descriptor)
                if server is not None and self._accepting:
                    self._take(server)

    def _take(self, server: LoginServer) -> None:
        """Accept a connection, if no other thread was faster, and serve it."""
        try:
            request, address = server.get_request()
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:
                self._log.error(f"accept: {error.strerror}")
                time.sleep(BACK_OFF_SECONDS)
            return
        descriptor = request.fileno()
        with self._lock:
            self._idle -= 1
            if not self._idle:
                if self._threads < self._limit:
                    self._add_thread()
                else:
                    self._make_room()
            self._connections[descriptor] = None
        try:
            server.finish_request(request, address)
        finally:
            with self._lock:
                self._idle += 1

    def release(self, descriptor: int) -> None:
        """A connection is logged in, or about to be closed: it is no candidate to give way."""
        with self._lock:
            self._connections.pop(descriptor, None)

    def _make_room(self) -> None:
        """End the oldest connection; its thread notices. The lock is held."""
        oldest = next(iter(self._connections), None)
        if oldest is not None:
            del self._connections[oldest]
            self._log.notice("login_threads reached: the oldest connection gives way")
            shut_down(oldest)


def shut_down(descriptor: int) -> None:
    """End a connection that another thread waits on; closing it is left to that thread."""
    sock = socket.socket(fileno=descriptor)
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
    finally:
        sock.detach()
