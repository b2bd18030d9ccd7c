"""Which server of a store is asked, by how many, for how long; and the words that name them."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from perdition.maps import MapFailed, MapSettings, words
from perdition.maps.deadlines import Socket, connect, left, limited, share
from perdition.maps.servers import REST_SECONDS, ServerFailed, Servers
from support.processes import HOST

MOST = 4


def servers(*names: str, timeout: float = 5) -> Servers[str]:
    return Servers(names, MapSettings(timeout=timeout, connections=MOST))


def failing(*names: str) -> "Question":
    return Question(set(names))


class Question:
    """A question that some servers cannot answer."""

    def __init__(self, down: set[str]) -> None:
        self.down = down
        self.asked: list[str] = []

    def __call__(self, server: str) -> str:
        self.asked.append(server)
        if server in self.down:
            raise ServerFailed("is down")
        return server.upper()


def test_the_first_that_can_answers() -> None:
    question = failing("a")
    assert servers("a", "b", "c").ask(question) == "B"
    assert question.asked == ["a", "b"]


def test_one_that_has_failed_is_asked_last_for_a_while() -> None:
    question, asked = failing("a"), servers("a", "b", "c")
    assert asked.ask(question) == "B"
    assert asked.ask(question) == "B"
    assert question.asked == ["a", "b", "b"]
    question.down = {"b", "c"}
    question.asked.clear()
    assert asked.ask(question) == "A"
    assert question.asked == ["b", "c", "a"]
    # It has answered, and is the first one again.
    question.asked.clear()
    assert asked.ask(question) == "A"
    assert question.asked == ["a"]


def test_one_look_up_tries_whether_it_is_back_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others, asked = failing("a"), servers("a", "b")
    assert asked.ask(others) == "B"
    others.asked.clear()
    later = time.monotonic() + REST_SECONDS
    monkeypatch.setattr("perdition.maps.servers.monotonic", lambda: later)

    def first(server: str) -> str:
        # Another one comes meanwhile.
        assert asked.ask(others) == "B"
        return server.upper()

    assert asked.ask(first) == "A"
    assert others.asked == ["b"]
    assert asked.ask(failing()) == "A"


def test_whatever_it_answers_a_server_that_does_is_not_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    question, asked = failing("a"), servers("a", "b")
    assert asked.ask(question) == "B"
    later = time.monotonic() + REST_SECONDS
    monkeypatch.setattr("perdition.maps.servers.monotonic", lambda: later)

    def nonsense(_server: str) -> None:
        raise MapFailed("nonsense")

    with pytest.raises(MapFailed, match="nonsense"):
        asked.ask(nonsense)
    question.asked.clear()
    question.down = set()
    assert asked.ask(question) == "A"


def test_who_has_waited_for_its_turn_does_not_blame_the_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    question, asked = failing("a", "b"), servers("a", "b")
    moments = iter([0, 4])
    with monkeypatch.context() as slow:
        slow.setattr("perdition.maps.servers.monotonic", lambda: next(moments, 4))
        text = f"^all {MOST} connections to a, b were in use for 4 s; a: is down; b: is down$"
        with pytest.raises(MapFailed, match=text):
            asked.ask(question)
    question.down = {"b"}
    assert asked.ask(question) == "A"


def test_who_gets_no_turn_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = servers("a", "b")
    text = f"^all {MOST} connections to a, b were in use for 5 s$"

    def question(number: int, server: str) -> str:
        if number:
            return asked.ask(lambda each: question(number - 1, each))
        with pytest.raises(MapFailed, match=text):
            asked.ask(str.upper)
        # Nor is there time for it.
        with limited(1e-9), pytest.raises(MapFailed, match=text):
            asked.ask(str.upper)
        return server

    assert asked.ask(lambda each: question(MOST - 1, each)) == "a"


def test_if_none_can_it_is_said_why() -> None:
    with pytest.raises(MapFailed, match=r"^a: is down; b: is down$"):
        servers("a", "b").ask(failing("a", "b"))


def test_what_is_no_failure_of_the_server_is_the_answer() -> None:
    def nonsense(_server: str) -> None:
        raise MapFailed("nonsense")

    with pytest.raises(MapFailed, match=r"^nonsense$"):
        servers("a", "b").ask(nonsense)


def test_so_many_ask_at_the_same_time_and_no_more() -> None:
    lock, present, most = threading.Lock(), 0, 0

    def question(_server: str) -> None:
        nonlocal present, most
        with lock:
            present += 1
            most = max(most, present)
        with lock:
            present -= 1

    asked = servers("a")
    with ThreadPoolExecutor(50) as threads:
        list(threads.map(lambda _: asked.ask(question), range(2000)))
    assert 1 <= most <= MOST


def test_each_has_a_share_of_the_time() -> None:
    shares = []

    def question(_server: str) -> None:
        shares.append(left() or 0)
        raise ServerFailed("no")

    with pytest.raises(MapFailed):
        servers("a", "b", "c", timeout=6).ask(question)
    assert [round(each) for each in shares] == [2, 3, 6]
    assert left() is None


def test_without_a_limit_there_is_none() -> None:
    assert servers("a", timeout=0).ask(lambda _: left()) is None


def test_limits_only_get_narrower() -> None:
    with limited(10), limited(20), share(2):
        assert 4 < (left() or 0) <= 5
        with limited(0):
            assert 4 < (left() or 0) <= 5
    with limited(1e-9), pytest.raises(TimeoutError):
        left()


def test_a_socket_that_a_library_made_non_blocking_does_not_wait() -> None:
    with socket.create_server((HOST, 0)) as listener, limited(5):
        sock = connect(HOST, str(listener.getsockname()[1]))
        with sock:
            assert isinstance(sock, Socket)
            sock.settimeout(0)
            with pytest.raises(BlockingIOError):
                sock.recv(1)


def test_an_address_that_does_not_answer_ends_in_time() -> None:
    full: list[socket.socket] = []

    def fill(listener: socket.socket) -> None:
        """Connect until its queue is full: nobody else can connect then."""
        for _ in range(10):
            full.append(connect(HOST, str(listener.getsockname()[1])))

    start = time.monotonic()
    with (
        socket.create_server((HOST, 0), backlog=0) as listener,
        pytest.raises(TimeoutError),
        limited(0.5),
    ):
        fill(listener)
    assert time.monotonic() - start < 8
    for sock in full:
        sock.close()


SCHEMES, NAMES = ("http", "https"), ("header", "ca", "hash")


def test_an_option_is_made_of_words() -> None:
    said = words.split(
        """http://a/ HTTPS://b 'header=X: a b' header="Y:'z'" ca= hash""", SCHEMES, NAMES
    )
    assert said.urls == ["http://a/", "HTTPS://b"]
    assert said.settings == [("header", "X: a b"), ("header", "Y:'z'"), ("ca", ""), ("hash", "")]
    assert said.one("header") == "Y:'z'"
    assert said.one("key", "default") == "default"


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("", "no URL"),
        ("header=x", "no URL"),
        ("http://a geheim", "word 2"),
        ("ftp://geheim/", "word 1"),
        ("http://a head=geheim", "word 2"),
        ("http://a 'geheim", "No closing quotation"),
        ("http://a geheim\\", "No escaped character"),
    ],
)
def test_a_wrong_word_is_numbered_and_not_shown(option: str, reason: str) -> None:
    with pytest.raises(MapFailed, match=reason) as failure:
        words.split(option, SCHEMES, NAMES)
    assert "geheim" not in str(failure.value)


def test_who_had_to_hurry_does_not_blame_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    question, asked = failing("a"), servers("a", "b")
    moments = iter([0, 4])
    monkeypatch.setattr("perdition.maps.servers.monotonic", lambda: next(moments, 4))
    assert asked.ask(question) == "B"
    question.down = set()
    assert asked.ask(question) == "A"
