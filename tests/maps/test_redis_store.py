"""redis: strings and hashes of a server."""

import contextlib
import re
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from perdition.maps import Answer, Found, MapFailed, MapSettings, Query
from perdition.maps.choice import open_map
from perdition.maps.redis_store import Redis
from perdition.net import ServerItem
from support.certificates import Pki
from support.processes import HOST, free_port, wait_until
from support.redis_server import RedisServer
from support.scripted import ScriptedServer, read_line

PASSWORD = "geh/eim@1:2?#%"
QUOTED = "geh%2Feim%401%3A2%3F%23%25"
TIMEOUT = 0.6
HOSTILE = [
    b"",
    b"' OR 1=1 --",
    b"*)(uid=*",
    b"*",
    b"%s",
    b"\\",
    b"\0",
    b"ann\r\nGET bob",
    b"$3\r\nbob\r\n",
    b"x" * 10_000,
    b"m\xfcller",
    "müller".encode(),
]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def server(pki: Pki) -> Iterator[RedisServer]:
    """A server that wants a password."""
    with RedisServer(password=PASSWORD, pem=pki.file("for names"), ca=pki.file("ca")) as running:
        yield running


@pytest.fixture(autouse=True)
def empty(server: RedisServer) -> None:
    server.client.flushall()


@pytest.fixture
def url(server: RedisServer) -> str:
    return f"redis://:{QUOTED}@{HOST}:{server.port}"


@contextlib.contextmanager
def opened(option: str, timeout: float = 5, connections: int = 8) -> Iterator[Redis]:
    found = Redis(option, MapSettings(timeout=timeout, connections=connections))
    try:
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def played(
    script: Callable[[socket.socket], None],
    option: str = "redis://{place}",
    timeout: float = TIMEOUT,
) -> Iterator[Redis]:
    """The map that asks a server whose part the test plays."""
    with (
        ScriptedServer() as scripted,
        scripted.serving(script),
        opened(option.format(place=f"{HOST}:{scripted.port}"), timeout) as found,
    ):
        yield found


def lookup(option: str, key: bytes = b"ann") -> Found:
    with opened(option) as found:
        return found.lookup(Query(key))


def test_a_string_is_a_value(server: RedisServer, url: str) -> None:
    server.client.mset(
        {
            b"ann": b"mail1:143",
            b"bob": b"bob@mail2,mail3",
            b"m\xfcller": b"\xe9@mail4",
            b"empty": b"",
        }
    )
    with opened(url) as found:
        assert found.lookup(Query(b"ann")) == b"mail1:143"
        assert found.lookup(Query(b"bob")) == b"bob@mail2,mail3"
        assert found.lookup(Query(b"m\xfcller")) == b"\xe9@mail4"
        assert found.lookup(Query(b"empty")) == b""
        assert found.lookup(Query(b"nobody")) is None
        assert found.lookup(Query(b"ANN")) is None


def test_a_key_is_found_by_a_template(server: RedisServer, url: str) -> None:
    server.client.set("perdition:ann:server", "mail1")
    assert lookup(f"{url} key=perdition:%s:server") == b"mail1"
    server.client.set("my map/ann", "mail2")
    assert lookup(f"{url} 'key=my map/%s'") == b"mail2"


def test_a_database_is_chosen(server: RedisServer, url: str) -> None:
    server.client.execute_command("SELECT", 3)
    server.client.set("ann", "mail3")
    server.client.execute_command("SELECT", 0)
    assert lookup(f"{url}/3") == b"mail3"
    assert lookup(f"{url}/0") is None
    assert lookup(f"unix://:{QUOTED}@{server.path}?db=3") == b"mail3"


HASHES = [
    ({"server": "mail1"}, Answer([ServerItem("", "mail1", "")])),
    ({"server": "mail1", "port": "144"}, Answer([ServerItem("", "mail1", "144")])),
    (
        {"user": "carol@example.org", "server": "mail1", "port": "144", "more": "x"},
        Answer([ServerItem("carol@example.org", "mail1", "144")]),
    ),
    (
        {"server": "bob@mail1:145, mail2", "port": "144"},
        Answer([ServerItem("bob", "mail1", "145"), ServerItem("", "mail2", "144")]),
    ),
    ({"server": "::1", "port": "144"}, Answer([ServerItem("", "::1", "144")])),
    ({"user": "carol"}, Answer([ServerItem("carol", "", "")])),
    ({"user": b"m\xfcller", "server": "x"}, Answer([ServerItem("m\udcfcller", "x", "")])),
    ({"other": "mail1"}, None),
]


@pytest.mark.parametrize(("fields", "found"), HASHES)
def test_a_hash_has_fields(
    server: RedisServer, url: str, fields: dict[str, str], found: Found
) -> None:
    server.client.hset("ann", mapping=fields)
    assert lookup(f"{url} hash") == found
    assert lookup(f"{url} hash", b"nobody") is None


def test_the_fields_may_have_other_names(server: RedisServer, url: str) -> None:
    server.client.hset("ann", mapping={"mailhost": "mail1", "mail port": "144", "server": "no"})
    assert lookup(f"{url} 'hash=uid,mailhost,mail port'") == Answer(
        [ServerItem("", "mail1", "144")]
    )


@pytest.mark.parametrize(
    "fields", [{"server": "a b"}, {"server": "x", "port": "70000"}, {"user": "a\nb"}]
)
def test_a_hash_of_nonsense_is_out_of_order(
    server: RedisServer, url: str, fields: dict[str, str]
) -> None:
    server.client.hset("ann", mapping=fields)
    with pytest.raises(MapFailed, match=r"^redis: not "):
        lookup(f"{url} hash")


def test_a_key_of_another_type_is_out_of_order(server: RedisServer, url: str) -> None:
    server.client.set("string", "mail1")
    server.client.hset("hash", "server", "mail1")
    with pytest.raises(
        MapFailed, match=f"redis://{HOST}:{server.port}: .*leave the word hash out of .*WRONGTYPE"
    ):
        lookup(f"{url} hash", b"string")
    with pytest.raises(MapFailed, match=r"have the word hash: WRONGTYPE"):
        lookup(url, b"hash")


def test_a_server_that_has_another_type_has_answered(server: RedisServer, url: str) -> None:
    server.client.hset("hash", "server", "mail1")
    with pytest.raises(MapFailed) as failure:
        lookup(f"{url} {url}", b"hash")
    assert str(failure.value).count("WRONGTYPE") == 1


def test_a_hash_of_empty_fields_is_one(server: RedisServer, url: str) -> None:
    server.client.hset("ann", mapping={"server": ""})
    assert lookup(f"{url} hash") == Answer([ServerItem("", "", "")])


@pytest.mark.parametrize("more", ["", " hash", " key=a:%s"])
def test_hostile_keys_are_keys(server: RedisServer, url: str, more: str) -> None:
    server.client.set("bob", "mail1")
    prefix = b"a:" if "key" in more else b""
    with opened(url + more) as found:
        for key in HOSTILE:
            assert found.lookup(Query(key)) is None
            if "hash" in more:
                server.client.hset(key, "server", "mail2")
                assert found.lookup(Query(key)) == Answer([ServerItem("", "mail2", "")])
            else:
                server.client.set(prefix + key, b"mail2")
                assert found.lookup(Query(key)) == b"mail2"


def test_a_socket_and_tls_do_as_well(server: RedisServer, pki: Pki) -> None:
    server.client.set("ann", "mail1")
    assert lookup(f"unix://:{QUOTED}@{server.path}") == b"mail1"
    tls = f"rediss://default:{QUOTED}@{HOST}:{server.tls_port}"
    with opened(f"{tls} ca={pki.file('ca')}") as found:
        for _ in range(3):
            assert found.lookup(Query(b"ann")) == b"mail1"
    for more in ("", f" 'ca={pki.file('other ca')}'"):
        with pytest.raises(MapFailed, match=f"rediss://{HOST}:.*certificate verify failed"):
            lookup(tls + more)


def test_a_scheme_may_be_valkeys_and_has_no_case(server: RedisServer, pki: Pki) -> None:
    server.client.set("ann", "mail1")
    for scheme in ("REDIS", "valkey", "Valkey"):
        assert lookup(f"{scheme}://:{QUOTED}@{HOST}:{server.port}") == b"mail1"
    for scheme in ("RedisS", "valkeys"):
        url = f"{scheme}://:{QUOTED}@{HOST}:{server.tls_port}"
        assert lookup(f"{url} ca={pki.file('ca')}") == b"mail1"


@pytest.mark.parametrize("given", ["", ":gehWRONG@", "nobody:gehWRONG@"])
def test_a_wrong_password_is_out_of_order_and_not_shown(server: RedisServer, given: str) -> None:
    with pytest.raises(MapFailed, match=f"^redis: redis://{HOST}:{server.port}: ") as failure:
        lookup(f"redis://{given}{HOST}:{server.port}")
    assert not re.search("geh", str(failure.value))


def test_passwords_are_in_no_text(url: str) -> None:
    with opened(url) as found:
        shown = f"{found!r} {vars(found)!r} {[vars(each) for each in found._servers]!r}"
    assert "geh" not in shown


def test_connections_are_kept_and_few(server: RedisServer, url: str) -> None:
    server.client.set("ann", "mail1")
    before = server.client.info("stats")["total_connections_received"]
    with opened(url, connections=3) as found, ThreadPoolExecutor(50) as threads:
        answers = set(threads.map(lambda _: found.lookup(Query(b"ann")), range(1000)))
    made = server.client.info("stats")["total_connections_received"] - before
    assert answers == {b"mail1"}
    assert 1 <= made <= 3


def test_opening_makes_no_connection_and_closing_is_no_end(server: RedisServer, url: str) -> None:
    def connected() -> int:
        return int(server.client.info("clients")["connected_clients"])

    wait_until(lambda: connected() == 1, 5, "only the test is connected")
    server.client.set("ann", "mail1")
    found = Redis(url, MapSettings())
    assert connected() == 1
    assert found.lookup(Query(b"ann")) == b"mail1"
    assert connected() == 2
    found.close()
    wait_until(lambda: connected() == 1, 5, "the connection is closed")
    assert found.lookup(Query(b"ann")) == b"mail1"
    found.close()


def test_a_server_that_is_down_fails_fast_and_one_that_is_back_is_asked() -> None:
    with RedisServer() as server, opened(f"redis://{HOST}:{server.port}") as found:
        assert found.lookup(Query(b"ann")) is None
        for _ in range(2):
            server.kill()
            start = time.monotonic()
            with pytest.raises(
                MapFailed, match=f"^redis: redis://{HOST}:{server.port}: Connection refused$"
            ):
                found.lookup(Query(b"ann"))
            assert time.monotonic() - start < 8
            server.start()
            server.client.set("ann", "mail1")
            assert found.lookup(Query(b"ann")) == b"mail1"


def test_many_connections_that_have_died_are_no_trouble() -> None:
    together = threading.Barrier(8, timeout=10)

    def at_once(_number: int) -> Found:
        together.wait()
        return found.lookup(Query(b"ann"))

    with (
        RedisServer() as server,
        opened(f"redis://{HOST}:{server.port}") as found,
        ThreadPoolExecutor(8) as threads,
    ):
        for _ in range(10):
            list(threads.map(at_once, range(8)))
        server.kill()
        server.start()
        assert list(threads.map(at_once, range(8))) == [None] * 8


def answering(*answers: bytes) -> Callable[[socket.socket], None]:
    """The part of a server that answers so many commands and closes when there is another."""

    def script(sock: socket.socket) -> None:
        for answer in (*answers, b""):
            command = b""
            while command not in {b"GET\r\n", b"HMGET\r\n"}:
                if command:
                    sock.sendall(b"+OK\r\n")
                lines = [read_line(sock) for _ in range(2 * int(read_line(sock)[1:]))]
                command = lines[1]
            sock.sendall(answer)

    return script


def test_a_connection_that_is_closed_at_the_wrong_moment_is_replaced() -> None:
    with played(answering(b"$5\r\nmail1\r\n")) as found:
        for _ in range(3):
            assert found.lookup(Query(b"ann")) == b"mail1"


def test_a_password_that_is_refused_is_not_tried_again() -> None:
    heard: list[bytes] = []

    def refuse(sock: socket.socket) -> None:
        heard.append(sock.recv(65536))
        sock.sendall(b"-WRONGPASS invalid username-password pair\r\n")

    with ScriptedServer() as scripted:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    refuse(scripted.accept())

        thread = threading.Thread(target=serve)
        thread.start()
        with (
            opened(f"redis://ann:x@{HOST}:{scripted.port}") as found,
            pytest.raises(MapFailed, match="invalid username"),
        ):
            found.lookup(Query(b"ann"))
        scripted._listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert len(heard) == 1


def test_of_what_a_server_complains_of_the_beginning_is_shown() -> None:
    with (
        played(answering(b"-ERR it says " + b"x" * 10000 + b"\r\n")) as found,
        pytest.raises(MapFailed, match="it says x") as failure,
    ):
        found.lookup(Query(b"ann"))
    assert len(str(failure.value)) < 1000


def silent(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass


def an_octet_at_a_time(sock: socket.socket) -> None:
    """Answer, 20 octets a second, until the client has gone."""
    for octet in b"$1000\r\n" + b"x" * 1000:
        sock.sendall(bytes([octet]))
        if select.select([sock], [], [], 0.05)[0] and not sock.recv(65536):
            return


@pytest.mark.parametrize("script", [silent, an_octet_at_a_time])
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_server_that_is_too_slow_is_out_of_order_in_time(
    script: Callable[[socket.socket], None], scheme: str
) -> None:
    with played(script, scheme + "://{place}") as found:
        start = time.monotonic()
        with pytest.raises(MapFailed):
            found.lookup(Query(b"ann"))
        assert time.monotonic() - start < TIMEOUT + 8


def test_a_server_that_has_stopped_is_out_of_order_in_time(server: RedisServer, url: str) -> None:
    def seconds() -> float:
        start = time.monotonic()
        with pytest.raises(MapFailed, match=r"timed out|in use"):
            found.lookup(Query(b"ann"))
        return time.monotonic() - start

    server.client.mset({"ann": "mail1", "bob": "mail2"})
    with opened(url, TIMEOUT, connections=2) as found, ThreadPoolExecutor(20) as threads:
        assert found.lookup(Query(b"ann")) == b"mail1"
        with server.stopped():
            assert max(threads.map(lambda _: seconds(), range(20))) < TIMEOUT + 0.4
        # Nor is a late answer taken for that of another key.
        for _ in range(5):
            assert found.lookup(Query(b"bob")) == b"mail2"


GARBAGE = [
    b"HTTP/1.1 400 geheim\r\n\r\n",
    b":1\r\n",
    b":geheim\r\n",
    b"$geheim\r\n",
    b"*1\r\n:1\r\n",
    b"*2\r\n$1\r\nx\r\n$1\r\nx\r\n",
    b"*3\r\n:1\r\n:1\r\n:1\r\n",
    b"*1\r\n" * 5000,
    b"\0\0\0\0\r\n",
    b"-ERR what?\r\n",
    b"-LOADING Redis is loading the dataset in memory\r\n",
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("more", ["", " hash"])
def test_garbage_is_out_of_order(garbage: bytes, more: str) -> None:
    with played(answering(garbage), "redis://{place}" + more) as found:
        with pytest.raises(MapFailed) as failure:
            found.lookup(Query(b"ann"))
        assert "geheim" not in str(failure.value)


def test_what_is_sent_back_to_us_is_not_shown() -> None:
    def echo(sock: socket.socket) -> None:
        while data := sock.recv(65536):
            sock.sendall(data)

    with (
        played(echo, "redis://user:geheim@{place}") as found,
        pytest.raises(MapFailed) as failure,
    ):
        found.lookup(Query(b"ann"))
    assert "geheim" not in str(failure.value)


def test_servers_are_asked_in_order(server: RedisServer, url: str) -> None:
    server.client.set("ann", "mail1")
    with free_port() as nobody, RedisServer() as second:
        second.client.set("ann", "mail2")
        down, other = (f"redis://{HOST}:{port}" for port in (nobody, second.port))
        assert lookup(f"{down} {url} {other}") == b"mail1"
        assert lookup(f"{down} {other} {url}") == b"mail2"
        # One that does not know us is as good as none.
        assert lookup(f"redis://:wrong@{HOST}:{server.port} {other}") == b"mail2"
        # What is not there in one is not looked for in the next.
        second.client.delete("ann")
        assert lookup(f"{other} {url}") is None
        with opened(f"{other} {url}", 4) as found:
            assert found.lookup(Query(b"ann")) is None
            with second.stopped():
                start = time.monotonic()
                assert found.lookup(Query(b"ann")) == b"mail1"
                assert found.lookup(Query(b"ann")) == b"mail1"
                assert time.monotonic() - start < 4


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "perdition.maps.redis_store")
    with pytest.raises(MapFailed, match=r"python3-redis or PyPI's perdition\[redis\]"):
        open_map("redis", "redis://host", MapSettings())


OPTIONS = [
    ("", "there is no URL"),
    ("http://geheim/", "word 1"),
    ("redis://host geheim", "word 2"),
    ("redis://host key=geheim", "%s"),
    ("redis://host key=%sgeheim%s", "%s"),
    ("redis://host hash=a,b", "three fields"),
    ("redis://host hash=a,,b", "three fields"),
    ("redis://:geheim", "URL 1"),
    ("redis://u:ge/heim@host", "URL 1"),
    ("redis://host redis://host:99999999", "URL 2"),
    ("redis://host/geheim", "URL 1"),
    ("redis://host?password=geheim", "URL 1"),
    ("redis://host?protocol=3", "URL 1"),
    ("redis://host/\x7f", "URL 1"),
    ("redis://:gehe\x01im@host", "URL 1"),
    ("unix://", "URL 1"),
    ("unix://geheim/path", "URL 1"),
    ("unix:///path?db=geheim", "URL 1"),
    ("rediss://host ca=/no/such/file", "/no/such/file: No such file or directory"),
]


@pytest.mark.parametrize(("option", "reason"), OPTIONS)
def test_a_wrong_option_says_what_is_wrong_and_shows_no_secret(option: str, reason: str) -> None:
    with pytest.raises(MapFailed, match=reason) as failure:
        Redis(option, MapSettings())
    assert not re.search("ge.?heim", str(failure.value))
