"""Threads for work that may hang: whoever wants it done waits for as long as it likes."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")
Job = tuple[Future[Any], Callable[[], Any]]
IsOver = Callable[[], bool]
# How often somebody who waits is asked whether that is over.
LOOK_SECONDS = 0.25
MORE_THREADS = (
    "allow the user that workers run as more of them (ulimit -u; with systemd also TasksMax)"
)


class NoThread(Exception):
    """The system has no thread left; the text says so, and what to do."""


def start_thread(name: str, target: Callable[..., object], *arguments: object) -> threading.Thread:
    """Start a thread that does not keep the process from ending.

    Raises:
        NoThread: there is none left.
    """
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise NoThread(f"{error}: {MORE_THREADS}") from error
    return thread


class TookTooLong(Exception):
    """The work was not done in time; the text says why. Perhaps it still goes on."""


class Threads:
    """At most so many threads, started when there is work, kept and used again.

    Work that hangs keeps its thread: when all of them hang, there is nobody for other work, but
    there are never more. Where the system has no thread left, work waits for those that there are.
    They do not keep the process from ending. The lock guards the numbers of those that there are,
    of those that wait for work, and of work that nobody was started or woken for.
    """

    def __init__(self, most: int, name: str) -> None:
        """Start none yet.

        Args:
            most: how many there may be.
            name: of the threads.
        """
        self._most = most
        self._name = name
        self._free = threading.Semaphore(most)
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._count = self._idle = self._behind = 0
        self._is_closed = False

    def keep_one(self) -> None:
        """Have a thread already, as long as the system has one left."""
        with contextlib.suppress(RuntimeError):
            self._start_thread()
            with self._lock:
                self._idle += 1

    def call(
        self, work: Callable[[], T], seconds: float | None, is_over: IsOver | None = None
    ) -> T:
        """Have work done.

        Args:
            work: what to call.
            seconds: how long to wait for it, and before that for a thread; None for no limit.
            is_over: whether nobody wants it any more; asked from time to time.

        Returns:
            What the work returns.

        Raises:
            TookTooLong: it took longer, nobody wanted it any more, or there is no thread for it.
            BaseException: what the work raises.
        """
        deadline = None if seconds is None else monotonic() + seconds
        if not any(self._free.acquire(timeout=each) for each in waits(deadline, is_over)):
            raise TookTooLong(f"all {self._most} threads are at work")
        job: Future[T] = Future()
        try:
            self._need_thread()
        except RuntimeError as lacking:
            self._free.release()
            raise TookTooLong(str(lacking)) from lacking
        self._jobs.put((job, work))
        for each in waits(deadline, is_over):
            try:
                error = job.exception(each)
            except TimeoutError:
                continue
            break
        else:
            if is_over is not None and is_over():
                raise TookTooLong("nobody waits for it any more")
            raise TookTooLong(f"not within {seconds:.3g} s")
        if error is not None:
            raise error
        return job.result()

    def close(self) -> None:
        """Let the threads end, each when it is done with what it does."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._jobs.put(None)

    def _need_thread(self) -> None:
        """Have one more thread that takes a job.

        Raises:
            RuntimeError: there is none, and none to be had.
        """
        with self._lock:
            if self._idle:
                self._idle -= 1
                return
        try:
            self._start_thread()
        except RuntimeError:
            with self._lock:
                if not self._count:
                    raise
                self._behind += 1

    def _start_thread(self) -> None:
        with self._lock:
            self._count += 1
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._count -= 1
            raise

    def _work(self) -> None:
        while (task := self._jobs.get()) is not None:
            job, work = task
            try:
                job.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever wants the work
                job.set_exception(error)
            del task, job, work
            is_last = self._is_done()
            self._free.release()
            if is_last:
                return
        with self._lock:
            self._count -= 1

    def _is_done(self) -> bool:
        """A thread is done with its work; whether it ends."""
        with self._lock:
            if self._behind:
                self._behind -= 1
            elif self._is_closed:
                self._count -= 1
                return True
            else:
                self._idle += 1
        return False


def waits(deadline: float | None, is_over: IsOver | None) -> Iterator[float | None]:
    """The waits that make up one until a moment, which is over when somebody says so.

    Args:
        deadline: the moment; None for no limit.
        is_over: whether it is over already; None where nobody can say so.
    """
    while is_over is None or not is_over():
        left = None if deadline is None else max(deadline - monotonic(), 0)
        if is_over is None:
            yield left
            return
        yield LOOK_SECONDS if left is None else min(left, LOOK_SECONDS)
        if left == 0:
            return
