"""Threads for work that may hang."""

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from perdition.threads import Threads, TookTooLong
from support.processes import wait_until

MOST = 3


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads(MOST, "test-worker")
    yield made
    made.close()
    wait_until(lambda: not running(), 10, "all threads have ended")


def running() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "test-worker"]


def test_work_gives_what_it_gives(threads: Threads) -> None:
    assert not running()
    assert threads.call(lambda: 7, 5) == 7
    assert threads.call(lambda: 8, None) == 8
    for error in (ValueError("x"), TimeoutError(), SystemExit(3)):

        def work(error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)) as raised:
            threads.call(work, 5)
        assert raised.value is error


def test_threads_are_used_again_and_end_with_the_process(threads: Threads) -> None:
    names = {threads.call(threading.get_ident, 5) for _ in range(20)}
    assert len(names) <= 2
    assert all(each.daemon for each in running())


def test_there_are_never_too_many(threads: Threads) -> None:
    def work() -> int:
        return len(running())

    with ThreadPoolExecutor(50) as callers:
        assert max(callers.map(lambda _: threads.call(work, 10), range(500))) <= MOST


def test_work_that_hangs_is_left_alone_and_its_thread_comes_back(threads: Threads) -> None:
    release = threading.Event()
    start = time.monotonic()
    for _ in range(MOST):
        with pytest.raises(TookTooLong, match=r"not within 0\.1 s"):
            threads.call(release.wait, 0.1)
    for _ in range(20):
        with pytest.raises(TookTooLong, match="all 3 threads are at work"):
            threads.call(lambda: 1, 0.01)
    assert len(running()) == MOST
    assert time.monotonic() - start < 9
    release.set()
    assert threads.call(lambda: 1, 5) == 1


def test_after_close_there_is_still_work_done(threads: Threads) -> None:
    threads.call(lambda: 1, 5)
    threads.close()
    wait_until(lambda: not running(), 10, "all threads have ended")
    assert threads.call(lambda: 2, 5) == 2


def start_none() -> None:
    raise RuntimeError("can't start new thread")


def test_without_a_thread_there_is_no_work_done(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as lacking:
        lacking.setattr(threads, "_start_thread", start_none)
        threads.keep_one()
        for _ in range(2 * MOST):
            with pytest.raises(TookTooLong, match="can't start new thread"):
                threads.call(lambda: 1, 5)
    assert threads.call(lambda: 1, 5) == 1


def test_the_thread_that_was_kept_does_what_others_would(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads.keep_one()
    monkeypatch.setattr(threads, "_start_thread", start_none)
    release = threading.Event()
    results: queue.SimpleQueue[int] = queue.SimpleQueue()

    def call(number: int) -> None:
        results.put(threads.call(lambda: release.wait() and number, 60))

    callers = [threading.Thread(target=call, args=(each,), daemon=True) for each in range(MOST)]
    for each in callers:
        each.start()
    release.set()
    assert {results.get(timeout=60) for _ in callers} == set(range(MOST))
    assert [threads.call(lambda: 7, 60) for _ in range(3)] == [7] * 3
