"""What a map has said is remembered, for as long as it may be."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from perdition.maps import Answer, Found, MapFailed, Query, Refusal, cache, tell_nobody
from perdition.maps.cache import Cached
from perdition.net import ServerItem

FOUND, NOT_FOUND, STALE = 60, 10, 600
SECONDS = 10


class Clock:
    """A clock that the test moves; it stands for the module time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Store:
    """A map that says what the test has it say.

    Attributes:
        says: by key; an exception is raised.
        asked: the keys that it was asked.
    """

    by_key_alone = True

    def __init__(self) -> None:
        self.says: dict[bytes, Found | MapFailed] = {}
        self.asked: list[bytes] = []
        self.is_closed = False
        self.meanwhile: Callable[[bytes], None] = lambda _key: None

    def lookup(self, query: Query, /) -> Found:
        self.asked.append(query.key)
        found = self.says.get(query.key)
        self.meanwhile(query.key)
        if isinstance(found, MapFailed):
            raise found
        return found

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(cache, "time", made)
    return made


@pytest.fixture
def store(clock: Clock) -> Store:
    assert clock.now
    return Store()


def remembering(
    store: Store,
    *,
    found: float = FOUND,
    not_found: float = NOT_FOUND,
    stale: float = STALE,
    most: int = 100,
    tell: Callable[[str], None] = tell_nobody,
) -> Cached:
    return Cached(
        store,
        found=found,
        not_found=not_found,
        stale=stale,
        most=most,
        most_missed=most,
        tell=tell,
    )


def ask(find: Cached, key: bytes = b"ann") -> Found:
    """What it says; as octets, where it is the name of a host alone, as the test has it."""
    found = find.lookup(Query(key))
    if isinstance(found, Answer) and len(found.destinations) == 1:
        (item,) = found.destinations
        return item.host.encode() if item == ServerItem("", item.host, "") else found
    return found


def learn(store: Store, find: Cached) -> None:
    """Have two keys asked for."""
    store.says |= {b"ann": b"mail1", b"bob": b"mail2"}
    for key in store.says:
        ask(find, key)


@pytest.mark.parametrize(("said", "seconds"), [(b"mail1", FOUND), (None, NOT_FOUND)])
def test_what_it_said_is_kept_for_its_time(
    store: Store, clock: Clock, said: Found, seconds: float
) -> None:
    find = remembering(store)
    store.says[b"ann"] = said
    assert ask(find) == said
    store.says[b"ann"] = b"mail2"
    clock.now += seconds - 0.1
    assert ask(find) == said
    assert store.asked == [b"ann"]
    clock.now += 0.1
    assert ask(find) == b"mail2"
    assert store.asked == [b"ann", b"ann"]


@pytest.mark.parametrize("said", [b"mail1", Answer([ServerItem("bob", "mail1", "")]), Answer([])])
def test_answers_of_all_kinds_are_kept(store: Store, said: Found) -> None:
    find = remembering(store)
    store.says[b"ann"] = said
    assert [ask(find), ask(find)] == [said, said]
    assert store.asked == [b"ann"]


def test_each_key_is_kept_by_itself(store: Store) -> None:
    find = remembering(store)
    store.says |= {b"ann": b"mail1", b"bob": b"mail2"}
    assert [ask(find, key) for key in (b"ann", b"bob", b"Ann") * 2] == [
        b"mail1",
        b"mail2",
        None,
    ] * 2
    assert store.asked == [b"ann", b"bob", b"Ann"]


@pytest.mark.parametrize("said", [b"mail1", None])
def test_what_has_no_time_is_not_kept(store: Store, said: Found) -> None:
    find = remembering(store, found=0, not_found=0)
    store.says[b"ann"] = said
    ask(find)
    ask(find)
    assert store.asked == [b"ann", b"ann"]


def test_while_the_map_is_out_of_order_what_it_found_serves_up_to_its_age(
    store: Store, clock: Clock
) -> None:
    find = remembering(store)
    store.says[b"ann"] = b"mail1"
    assert ask(find) == b"mail1"
    store.says[b"ann"] = MapFailed("down")
    clock.now += FOUND
    assert ask(find) == b"mail1"
    # It is asked each time, and its age counts from when it was found.
    clock.now += STALE - FOUND - 0.1
    assert ask(find) == b"mail1"
    assert store.asked == [b"ann"] * 3
    clock.now += 0.1
    with pytest.raises(MapFailed, match="down"):
        ask(find)


def test_when_the_map_is_in_order_again_it_counts_at_once(store: Store, clock: Clock) -> None:
    find = remembering(store)
    store.says[b"ann"] = b"mail1"
    ask(find)
    clock.now += FOUND
    store.says[b"ann"] = MapFailed("down")
    assert ask(find) == b"mail1"
    store.says[b"ann"] = None
    assert ask(find) is None
    # That there is no such key is an answer like any other.
    store.says[b"ann"] = MapFailed("down")
    clock.now += NOT_FOUND
    assert ask(find) is None


def test_without_a_time_to_be_stale_nothing_serves(store: Store, clock: Clock) -> None:
    find = remembering(store, stale=0)
    store.says[b"ann"] = b"mail1"
    ask(find)
    clock.now += FOUND
    store.says[b"ann"] = MapFailed("down")
    with pytest.raises(MapFailed):
        ask(find)


def test_stale_alone_asks_each_time_and_serves(store: Store) -> None:
    find = remembering(store, found=0, not_found=0)
    store.says[b"ann"] = b"mail1"
    ask(find)
    store.says[b"ann"] = MapFailed("down")
    assert ask(find) == b"mail1"
    assert store.asked == [b"ann", b"ann"]


@pytest.mark.parametrize("said", [b"mail1", None])
def test_of_keys_that_it_does_not_have_the_same_holds(store: Store, said: Found) -> None:
    find = remembering(store, found=0, not_found=0)
    store.says[b"ann"] = said
    assert ask(find) == said
    store.says |= {b"ann": MapFailed("down"), b"bob": MapFailed("down")}
    assert ask(find) == said
    with pytest.raises(MapFailed):
        ask(find, b"bob")


def test_nonsense_is_out_of_order_and_not_kept(store: Store) -> None:
    find = remembering(store, found=0)
    store.says[b"ann"] = b"mail1"
    assert ask(find) == b"mail1"
    store.says[b"ann"] = b"no host"
    assert ask(find) == b"mail1"
    store.says[b"ann"] = MapFailed("down")
    assert ask(find) == b"mail1"
    store.says[b"bob"] = b"no host"
    with pytest.raises(MapFailed, match="not the name of a host: no host"):
        ask(find, b"bob")


def test_nonsense_is_told_each_time_and_is_no_trouble_of_the_map(
    store: Store, clock: Clock
) -> None:
    told: list[str] = []
    find = remembering(store, found=0, tell=told.append)
    learn(store, find)

    def wait(_key: bytes) -> None:
        clock.now += cache.SLOW_SECONDS

    store.meanwhile = wait
    store.says |= {b"ann": b"mail3", b"bob": b"no host"}
    assert [ask(find, key) for key in (b"bob", b"ann", b"bob")] == [b"mail2", b"mail3", b"mail2"]
    text = "not the name of a host: no host: what it said last serves (map_cache_stale)"
    assert told == [text] * 2


def test_that_the_last_answer_serves_is_told_once(store: Store) -> None:
    told: list[str] = []
    find = remembering(store, found=0, tell=told.append)
    learn(store, find)
    for count in (1, 2):
        store.says |= {b"ann": MapFailed("down"), b"bob": MapFailed("down")}
        for key in (b"ann", b"bob", b"ann"):
            ask(find, key)
        assert told == ["down: what it said last serves (map_cache_stale)"] * count
        store.says |= {b"ann": b"mail1", b"bob": b"mail2"}
        assert ask(find) == b"mail1"


def test_a_map_that_fails_slowly_is_left_alone_for_a_while(store: Store, clock: Clock) -> None:
    find = remembering(store, found=0)
    learn(store, find)

    def wait(_key: bytes) -> None:
        clock.now += cache.SLOW_SECONDS

    store.meanwhile = wait
    store.says |= {b"ann": MapFailed("no answer"), b"bob": MapFailed("no answer")}
    store.asked.clear()
    assert [ask(find), ask(find), ask(find, b"bob")] == [b"mail1", b"mail1", b"mail2"]
    assert store.asked == [b"ann"]
    # Of whom nothing is known has to wait as before.
    store.says[b"eve"] = MapFailed("no answer")
    with pytest.raises(MapFailed):
        ask(find, b"eve")
    clock.now += cache.REST_SECONDS

    def others_go_on(key: bytes) -> None:
        store.meanwhile = wait
        assert ask(find, b"bob") == b"mail2"
        wait(key)

    store.asked.clear()
    store.meanwhile = others_go_on
    assert ask(find) == b"mail1"
    assert store.asked == [b"ann"]
    clock.now += cache.REST_SECONDS
    store.meanwhile = lambda _key: None
    store.says |= {b"ann": b"mail3", b"bob": b"mail4"}
    assert [ask(find), ask(find, b"bob")] == [b"mail3", b"mail4"]


def test_that_it_was_out_of_order_is_not_kept(store: Store) -> None:
    find = remembering(store)
    store.says[b"ann"] = MapFailed("down")
    for _ in range(2):
        with pytest.raises(MapFailed, match="down"):
            ask(find)
    store.says[b"ann"] = b"mail1"
    assert ask(find) == b"mail1"


def test_a_refusal_is_not_kept_and_what_was_found_before_it_neither(
    store: Store, clock: Clock
) -> None:
    find = remembering(store)
    store.says[b"ann"] = b"mail1"
    ask(find)
    clock.now += FOUND
    store.says[b"ann"] = Refusal("closed")
    assert [ask(find), ask(find)] == [Refusal("closed")] * 2
    assert store.asked == [b"ann"] * 3
    store.says[b"ann"] = MapFailed("down")
    with pytest.raises(MapFailed):
        ask(find)


def test_the_keys_used_last_are_kept(store: Store) -> None:
    find = remembering(store, most=3)
    for key in (b"1", b"2", b"3", b"1", b"4"):
        ask(find, key)
    assert store.asked == [b"1", b"2", b"3", b"4"]
    # 2 has gone, and 3 goes for it.
    for key in (b"1", b"4", b"2", b"1", b"4", b"3"):
        ask(find, key)
    assert store.asked == [b"1", b"2", b"3", b"4", b"2", b"3"]


def test_there_are_no_more_keys_than_that(store: Store) -> None:
    find = remembering(store, most=10)
    for number in range(1000):
        ask(find, b"%d" % number)
    assert len(find._has_not) == 10
    store.says |= {b"%d" % number: b"mail1" for number in range(1000)}
    for number in range(1000):
        ask(find, b"%d" % number)
    assert len(find._has) == 10


def test_nobody_waits_for_the_look_up_of_another_key(store: Store) -> None:
    find = remembering(store)
    store.says |= {b"slow": b"mail1", b"ann": b"mail2"}
    goes_on = threading.Event()
    store.meanwhile = lambda key: None if key != b"slow" else assert_set(goes_on)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, find, b"slow")
        assert ask(find) == b"mail2"
        goes_on.set()
        assert slow.result(SECONDS) == b"mail1"


def assert_set(event: threading.Event) -> None:
    assert event.wait(SECONDS)


def test_who_asked_later_and_heard_sooner_counts(store: Store, clock: Clock) -> None:
    find = remembering(store)
    store.says[b"ann"] = b"old"

    def another_one_asks(_key: bytes) -> None:
        store.meanwhile = lambda _: None
        store.says[b"ann"] = b"new"
        clock.now += 1
        assert ask(find) == b"new"

    store.meanwhile = another_one_asks
    assert ask(find) == b"old"
    assert ask(find) == b"new"


def test_many_threads_at_once(store: Store) -> None:
    find = remembering(store, most=20)
    keys = [b"%d" % (number % 50) for number in range(2000)]
    store.says |= {key: b"mail-" + key for key in keys}
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(lambda key: ask(find, key), keys)) == [b"mail-" + key for key in keys]
    assert len(find._has) == 20


def test_a_map_that_looks_at_more_than_the_key_is_not_remembered(store: Store) -> None:
    store.by_key_alone = False
    with pytest.raises(MapFailed, match="map_cache_found"):
        remembering(store)


def test_it_closes_the_map(store: Store) -> None:
    remembering(store).close()
    assert store.is_closed


def test_who_was_not_there_once_is_not_missing_when_he_has_been_found(clock: Clock) -> None:
    store = Store()
    cached = Cached(store, found=FOUND, not_found=NOT_FOUND, stale=STALE, most=1)
    assert cached.lookup(Query(b"ann")) is None
    clock.now += NOT_FOUND
    store.says = {b"ann": Answer([ServerItem("", "one", "")]), b"bob": Answer([])}
    assert cached.lookup(Query(b"ann")) == store.says[b"ann"]
    cached.lookup(Query(b"bob"))
    store.says[b"ann"] = MapFailed("down")
    with pytest.raises(MapFailed, match="down"):
        cached.lookup(Query(b"ann"))
