"""Local authentication (`authenticate_in`): a process that keeps root and asks PAM.

Workers send it who wants in, each time with a socket for the answer, and wait for that. It forks
for each of them: what PAM's modules do then, or how long they take, is no matter of anybody else.
The reference is process.md section 9.
"""

import contextlib
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator

import setproctitle

from perdition import pam
from perdition.logs import Log
from perdition.pam import Identity, PamFailed
from perdition.patience import Patience
from perdition.protocols import Login, encode
from perdition.session.service import NotKnown

# Those asked for at a time; further ones wait.
MOST_ASKED = 32
# Names and passwords are bounded by the lines that they come in.
REQUEST_SIZE = 65536
HEAD = struct.Struct("!HHH")
ACCEPTED, REFUSED, FAILED = b"a", b"r", b"f"
ANSWER_SIZE = 512
NO_ANSWER = "no answer, or not in time"
# How often those that have ended are looked for.
TICK = 1.0


class Authenticator:
    """The process, as the master and the workers see it.

    Attributes:
        pid: its number, 0 while there is none.
    """

    def __init__(self, log: Log, service: str, seconds: int) -> None:
        """Nobody yet.

        Args:
            log: where trouble goes.
            service: `pam_service`.
            seconds: that an answer may take, 0 for no limit.
        """
        self.pid = 0
        self._log = log
        self._service = service
        self._seconds = seconds
        # Kept by the master as well, so that another process can take over.
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def filenos(self) -> list[int]:
        """The descriptors that are kept open when the master becomes a daemon."""
        return [self._ours.fileno(), self._theirs.fileno()]

    def start(self, title: str, forget: Callable[[], None]) -> None:
        """Start the process; where the system cannot have another one now, there is none.

        Args:
            title: what it is called in the list of processes.
            forget: closes there what is no business of it.
        """
        self.pid = 0
        if os.geteuid() != 0:
            self._log.info("Warning: not invoked as root, local authentication may fail")
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
        except OSError as error:
            self._log.error(
                f"The process for local authentication cannot be started: {error.strerror}"
            )
        else:
            if pid == 0:
                self._be_process(title, forget)
            self.pid = pid
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    def replace(self, title: str, forget: Callable[[], None]) -> None:
        """Have another process in the place of the one there is, which keeps its old log."""
        old = self.pid
        self.start(title, forget)
        if not self.pid:
            self.pid = old
        elif old:
            # Those that it has forked already go on to answer.
            with contextlib.suppress(ProcessLookupError):
                os.kill(old, signal.SIGTERM)

    def _be_process(self, title: str, forget: Callable[[], None]) -> None:
        """The child's side of the fork: never returns."""
        status = 1
        try:
            be_default()
            setproctitle.setproctitle(title)
            forget()
            self._ours.close()
            self._log.begin_process()
            self._log.name_libraries()
            serve(self._theirs, self._service, self._seconds)
            status = 0
        except Exception as error:  # noqa: BLE001 - the last resort of a process
            self._log.trace(error)
            # Its follower may fare no better.
            time.sleep(TICK)
        finally:
            os._exit(status)

    def seconds_to_due(self) -> float | None:
        """How long until it is to be started again, None where there is one."""
        return None if self.pid else TICK

    def be_client(self) -> None:
        """Leave the other side to the process: in a worker."""
        self._theirs.close()

    def ask(self, login: Login, host: str, patience: Patience) -> str:
        """Ask whether a log-in is good.

        Args:
            login: with the name for local authentication.
            host: the client's address.
            patience: ends a wait that is too long.

        Returns:
            Why not, in PAM's words; empty if it is.

        Raises:
            NotKnown: there is no answer.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise NotKnown(error.strerror) from error
        patience.begin(ours.fileno(), self._seconds)
        try:
            with theirs:
                request = pack(Identity(encode(login.routing_name), login.password, host.encode()))
                self._send(request, theirs, ours)
            answer = ours.recv(ANSWER_SIZE)
        except OSError as error:
            raise NotKnown(error.strerror) from error
        finally:
            patience.forget(ours.fileno())
            ours.close()
        text = answer[1:].decode("utf-8", "replace")
        if answer[:1] == ACCEPTED:
            return ""
        if answer[:1] == REFUSED:
            return text or "refused"
        raise NotKnown(text or NO_ANSWER)

    def _send(self, request: bytes, theirs: socket.socket, ours: socket.socket) -> None:
        """Ask, as soon as the process can be asked.

        Args:
            request: the question.
            theirs: where the answer goes to.
            ours: where it comes from; patience ends that, and with it our wait.

        Raises:
            OSError: it cannot be.
            NotKnown: it could not be in time.
        """
        rights = socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", theirs.fileno())
        poll = select.poll()
        poll.register(self._ours, select.POLLOUT)
        poll.register(ours, 0)
        while True:
            # Else the one that is woken last would wait here, where nothing ends it.
            with contextlib.suppress(BlockingIOError):
                self._ours.sendmsg([request], [rights], socket.MSG_DONTWAIT)
                return
            if any(descriptor == ours.fileno() for descriptor, _events in poll.poll()):
                raise NotKnown(NO_ANSWER)


def be_default() -> None:
    """Do with signals what processes do: the master's handlers are its own."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def pack(identity: Identity) -> bytes:
    """A request, as it goes to the process."""
    return HEAD.pack(*map(len, identity)) + b"".join(identity)


def unpack(request: bytes) -> Identity:
    """The request that these octets are.

    Raises:
        ValueError: they are none.
    """
    if len(request) < HEAD.size:
        raise ValueError("too short")
    parts, at = [], HEAD.size
    for length in HEAD.unpack_from(request):
        parts.append(request[at : at + length])
        at += length
    if at != len(request):
        raise ValueError("lengths that are not those of the parts")
    return Identity(*parts)


def serve(requests: socket.socket, service: str, seconds: int) -> None:
    """Answer until nobody is left who could ask, or until told to end."""
    children: set[int] = set()
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    requests.setblocking(False)
    goes_on = True
    while goes_on:
        bury(children)
        if poll.poll(TICK * 1000 if children else None):
            with without_end():
                goes_on = take_request(requests, service, seconds, children)


@contextlib.contextmanager
def without_end() -> Iterator[None]:
    """TERM ends us after the body: who sends it has another process for what was not taken yet."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def take_request(requests: socket.socket, service: str, seconds: int, children: set[int]) -> bool:
    """Have the next one answered by a child, if nobody else has taken it.

    Returns:
        Whether there may be more.
    """
    try:
        request, descriptors, _flags, _address = socket.recv_fds(requests, REQUEST_SIZE, 1)
    except BlockingIOError:
        return True
    for descriptor in descriptors:
        with contextlib.suppress(ValueError), socket.socket(fileno=descriptor) as answer:
            # What PAM's modules run must not have it: who has it can answer.
            answer.set_inheritable(False)
            if not is_awaited(answer):
                continue
            try:
                children.add(answer_apart(service, unpack(request), answer, seconds))
            except OSError as error:
                with contextlib.suppress(OSError):
                    answer.sendall(FAILED + os.strerror(error.errno or 0).encode())
    return bool(request)


def is_awaited(answer: socket.socket) -> bool:
    """Whether the other end of a socket still waits: who asked may have given up by now."""
    poll = select.poll()
    poll.register(answer, 0)
    return not poll.poll(0)


def bury(children: set[int]) -> None:
    """Take notice of those that have ended, and wait for one where there are too many."""
    while children:
        pid, _status = os.waitpid(-1, 0 if len(children) >= MOST_ASKED else os.WNOHANG)
        if not pid:
            return
        children.discard(pid)


def answer_apart(service: str, identity: Identity, answer: socket.socket, seconds: int) -> int:
    """Answer in a process of its own, which ends in time.

    Returns:
        Its number.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        signal.alarm(seconds)
        answer.sendall(asked(service, identity)[:ANSWER_SIZE])
    finally:
        os._exit(0)


def asked(service: str, identity: Identity) -> bytes:
    """PAM's answer, as it goes to the worker."""
    try:
        reason = pam.authenticate(service, identity)
    except PamFailed as error:
        return FAILED + str(error).encode()
    return REFUSED + reason.encode() if reason else ACCEPTED
