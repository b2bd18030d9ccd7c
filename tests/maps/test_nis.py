"""nis, against a real server in a network of its own."""

import signal
import time
from collections.abc import Iterator

import pytest

from perdition.maps import MapFailed, MapSettings, libnsl
from perdition.maps.choice import open_map
from support.nis import NisNetwork, Outcome
from support.processes import wait_until

ENTRIES = {b"ann": b"mail1:143", b"bob": b"anna@mail2", b"m\xfcller": b"caf\xe9@mail3"}
HOSTILE = [
    *(b"' OR 1=1 --", b"*", b"%s", b"\\", b"ann\0", b"\0ann", b"", b"\xff\xfe", b"ann mail1"),
    *(b"x" * 1024, b"x" * 1025, b"x" * 10_000),
]


@pytest.fixture(scope="module")
def nis() -> Iterator[NisNetwork]:
    lines = b"".join(b"%b %b\n" % entry for entry in ENTRIES.items())
    with NisNetwork("testing", lines) as network:
        yield network


@pytest.fixture(scope="module")
def alone() -> Iterator[NisNetwork]:
    """A machine that is no client of NIS."""
    with NisNetwork() as network:
        yield network


def test_what_is_in_the_map_is_found(nis: NisNetwork) -> None:
    assert {key: nis.lookup(key) for key in ENTRIES} == ENTRIES


def test_the_map_can_be_named(nis: NisNetwork) -> None:
    assert nis.lookup(b"ann", name="user_mail_server") == b"mail1:143"


def test_what_is_not_in_the_map_is_not_found(nis: NisNetwork) -> None:
    assert nis.lookup(b"nobody") is None
    assert nis.lookup(b"ANN") is None


@pytest.mark.parametrize("key", HOSTILE, ids=lambda key: repr(key[:12]) + str(len(key)))
def test_hostile_keys_are_not_found(nis: NisNetwork, key: bytes) -> None:
    assert nis.lookup(key) is None


def test_a_map_that_is_not_there_is_out_of_order(nis: NisNetwork) -> None:
    with pytest.raises(Outcome, match=r"^nis: nothing: No such map in server's domain$"):
        nis.lookup(b"ann", name="nothing")


def test_many_threads_get_their_own_answers(nis: NisNetwork) -> None:
    assert nis.lookup_often(64, 20, {**ENTRIES, b"nobody": None}) == []


def test_a_server_that_is_down_is_out_of_order_until_it_is_back(nis: NisNetwork) -> None:
    nis.kill("ypserv", signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises(Outcome, match=r"^nis: user_mail_server: RPC failure on NIS operation$"):
        nis.lookup(b"ann")
    assert time.monotonic() - start < 20
    nis.run("ypserv")
    assert nis.lookup(b"ann") == b"mail1:143"


def test_a_server_that_does_not_answer_is_out_of_order_in_time(nis: NisNetwork) -> None:
    nis.kill("ypserv", signal.SIGSTOP)
    try:
        # The second one has to wait for the first one's call.
        for why in ("not within 0.5 s", "all 1 threads are at work"):
            start = time.monotonic()
            with pytest.raises(Outcome, match=f"^nis: user_mail_server: no answer: {why}$"):
                nis.lookup(b"ann", seconds=0.5, connections=1)
            assert 0.4 < time.monotonic() - start < 9
    finally:
        nis.kill("ypserv", signal.SIGCONT)
    assert nis.lookup(b"ann") == b"mail1:143"

    def is_free_again() -> bool:
        try:
            return nis.lookup(b"ann", seconds=0.5, connections=1) == b"mail1:143"
        except Outcome:
            return False

    wait_until(is_free_again, 20, "the call that waited has ended")


def test_without_ypbind_it_is_out_of_order(nis: NisNetwork) -> None:
    nis.kill("ypbind", signal.SIGTERM)
    with pytest.raises(Outcome, match=r": Internal NIS error, or ypbind is not running$"):
        nis.lookup(b"ann")
    nis.run("ypbind")
    assert nis.lookup(b"ann") == b"mail1:143"


def test_without_a_domain_it_is_out_of_order(alone: NisNetwork) -> None:
    with pytest.raises(Outcome, match=r"^nis: user_mail_server: Local domain name not set$"):
        alone.lookup(b"ann")


def test_a_library_that_is_missing_is_named_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libnsl, "NAMES", ("libnsl.so.0",))
    libnsl.library.cache_clear()
    try:
        with pytest.raises(MapFailed, match=r"^nis: libnsl.so.0: .* \(Debian: install libnsl2\)$"):
            open_map("libperditiondb_nis.so.0", "", MapSettings())
    finally:
        libnsl.library.cache_clear()
