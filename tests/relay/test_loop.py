"""The relay over real sockets."""

import contextlib
import errno
import math
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from perdition import logs
from perdition.logs import Log, Who
from perdition.relay import ends
from perdition.relay.guard import Guard
from perdition.relay.loop import Relay
from perdition.relay.pipe import LARGE, MUCH


@dataclass
class Stage:
    """A relay that runs, and the peers of a session."""

    relay: Relay
    path: str
    sockets: list[socket.socket] = field(default_factory=list)

    def session(self, **more: bytes) -> tuple[socket.socket, socket.socket]:
        """The far ends of a new session: the client's and the real server's."""
        client, ours = socket.socketpair()
        server, theirs = socket.socketpair()
        self.sockets += [client, server]
        for each in (client, server):
            each.settimeout(10)
        self.relay.add(ours, theirs, who=Who("c->p", None, "ann"), auth_line="Auth: again", **more)
        return client, server

    def log(self) -> str:
        with open(self.path) as file:  # noqa: PTH123 - a test
            return file.read()

    def wait(self, text: str) -> None:
        """Until the log has that text."""
        end = threading.Event()
        for _ in range(500):
            if text in self.log():
                return
            end.wait(0.02)
        raise AssertionError(f"{text} not in {self.log()}")


@contextlib.contextmanager
def running(tmp_path: os.PathLike[str], **more: object) -> Iterator[Stage]:
    path = os.path.join(tmp_path, "log")  # noqa: PTH118 - a test
    log = Log("test", path, logs.DEBUG)
    told: dict[str, object] = {"timeout": 0, "relog": 0}
    stage = Stage(Relay(log, **(told | more)), path)  # type: ignore[arg-type]
    thread = threading.Thread(target=stage.relay.run, daemon=True)
    thread.start()
    try:
        yield stage
    finally:
        stage.relay.stop()
        thread.join(10)
        stage.relay.close_all()
        for each in stage.sockets:
            each.close()


@pytest.fixture
def stage(tmp_path: os.PathLike[str]) -> Iterator[Stage]:
    with running(tmp_path) as made:
        yield made


def tcp() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        return far, listener.accept()[0]


def read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return data


def test_octets_go_both_ways_and_are_counted(stage: Stage) -> None:
    client, server = stage.session()
    client.sendall(b"a NOOP\r\n")
    assert read(server, 8) == b"a NOOP\r\n"
    server.sendall(b"a OK\r\n")
    assert read(client, 6) == b"a OK\r\n"
    server.close()
    assert client.recv(1) == b""
    client.close()
    stage.wait(
        'Closing session: c->p authorisation_id=NONE authentication_id="ann" received=8 sent=6'
    )


def test_early_octets_come_first(stage: Stage) -> None:
    client, server = stage.session(to_server=b"early ", to_client=b"hello ")
    client.sendall(b"late")
    server.sendall(b"you")
    assert read(server, 10) == b"early late"
    assert read(client, 9) == b"hello you"
    client.close()
    server.close()
    stage.wait("received=10 sent=9")


def test_a_side_that_has_ended_gets_what_is_left(stage: Stage) -> None:
    client, server = stage.session()
    client.sendall(b"QUIT\r\n")
    client.shutdown(socket.SHUT_WR)
    assert read(server, 7) == b"QUIT\r\n"
    server.sendall(b"x" * 100000)
    server.close()
    assert read(client, 100001) == b"x" * 100000


@pytest.mark.parametrize(
    ("guard", "traffic", "is_spliced"),
    [(None, False, True), (None, True, False), (Guard("IMAP4"), False, False)],
)
def test_what_somebody_looks_at_does_not_go_past_us(
    tmp_path: os.PathLike[str], guard: Guard | None, traffic: bool, is_spliced: bool
) -> None:
    path = os.path.join(tmp_path, "log")  # noqa: PTH118 - a test
    relay = Relay(Log("test", path, logs.DEBUG), timeout=0, relog=0, traffic=traffic)
    (client, ours), (server, theirs) = socket.socketpair(), socket.socketpair()
    with client, server:
        relay.add(ours, theirs, who=Who("c->p"), auth_line="", guard=guard)
        for sock in (ours, theirs):
            end = relay._ends[sock.fileno()]
            relay._adjust(end, MUCH)
            assert end.incoming.size == LARGE
            assert end.incoming.is_spliced == is_spliced
        relay.close_all()


def test_what_is_not_let_through_is_logged_and_answered(tmp_path: os.PathLike[str]) -> None:
    with running(tmp_path, forbidden_line=b"* BYE no\r\n") as stage:
        client, server = stage.session(guard=Guard("IMAP4"))  # type: ignore[arg-type]
        client.sendall(b"a UNAUTHENTICATE\r\n")
        assert read(client, 100) == b"* BYE no\r\n"
        assert server.recv(1) == b""
        stage.wait("Closing session: ")
        assert logs.forbidden(Who("c->p", None, "ann")) in stage.log()


def test_a_client_that_does_not_read_stops_its_server(stage: Stage) -> None:
    client, server = stage.session()
    server.settimeout(1)
    sent = 0
    with contextlib.suppress(TimeoutError):
        for _ in range(4096):
            sent += server.send(b"x" * 65536)
    assert sent < 16 * 1024 * 1024
    got = len(read(client, sent))
    assert got == sent


def test_both_directions_full_do_not_lock(stage: Stage) -> None:
    client, server = stage.session()
    data = os.urandom(3_000_000)
    threads = [threading.Thread(target=each.sendall, args=(data,)) for each in (client, server)]
    for each in threads:
        each.start()
    assert read(server, len(data)) == data
    assert read(client, len(data)) == data
    for each in threads:
        each.join()


def test_an_idle_session_is_ended(tmp_path: os.PathLike[str]) -> None:
    with running(tmp_path, timeout=1, timeout_line=b'BYE "Timeout"\r\n') as stage:
        client, server = stage.session()
        assert read(client, 16) == b'BYE "Timeout"\r\n'
        assert server.recv(1) == b""
        stage.wait("Timeout piping data.")
        stage.wait("Closing session")


def test_the_login_is_logged_again(tmp_path: os.PathLike[str]) -> None:
    with running(tmp_path, relog=1) as stage:
        stage.session()
        stage.wait("Auth: again")


def test_a_client_that_has_ended_its_side_waits_for_a_slow_server(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "HALF_CLOSED_SECONDS", 1)
    client, server = stage.session()
    client.sendall(b"a SEARCH\r\n")
    client.shutdown(socket.SHUT_WR)
    assert read(server, 11) == b"a SEARCH\r\n"
    # Several times as long as the loop needs to see that.
    client.settimeout(4)
    with pytest.raises(TimeoutError):
        client.recv(1)
    server.sendall(b"a OK\r\n")
    assert read(client, 6) == b"a OK\r\n"
    server.close()
    stage.wait("Closing session: ")


def test_what_the_client_did_not_take_is_not_counted(tmp_path: os.PathLike[str]) -> None:
    with running(tmp_path, timeout=1) as stage:
        client, server = stage.session()
        # Until nothing on the way takes any more.
        server.settimeout(0.5)
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(1000):
                server.send(b"x" * 65536)
        stage.wait("Closing session: ")
        got = 0
        while piece := client.recv(1 << 20):
            got += len(piece)
        assert f" received=0 sent={got}\n" in stage.log()


@pytest.mark.parametrize(
    ("limit", "gone", "told"),
    [("HALF_CLOSED_SECONDS", "server", 0), ("ABANDONED_SECONDS", "client", 1)],
)
def test_who_stays_when_the_other_one_has_gone_is_given_up_though_there_is_no_timeout(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, limit: str, gone: str, told: int
) -> None:
    monkeypatch.setattr(ends, limit, 1)
    client, server = stage.session()
    (client if gone == "client" else server).close()
    stage.wait("Closing session: ")
    assert stage.log().count("Timeout piping data.") == told


def test_a_session_that_has_ended_is_not_kept_until_it_would_have_been_due(
    tmp_path: os.PathLike[str],
) -> None:
    with running(tmp_path, timeout=1800) as stage:
        for each in stage.session():
            each.close()
        stage.wait("Closing session: ")
        assert stage.relay._timetable.next() == math.inf


@pytest.mark.parametrize("urgent", [1, 10])
def test_urgent_data_stops_nothing(stage: Stage, urgent: int) -> None:
    (client, ours), (server, theirs) = tcp(), tcp()
    stage.sockets += [client, server]
    stage.relay.add(ours, theirs, who=Who("c->p"), auth_line="")
    size = 262144
    got = bytearray()
    reader = threading.Thread(target=lambda: got.extend(iter_bytes(server)))
    reader.start()
    for _ in range(40):
        client.sendall(b"x" * size)
    for _ in range(urgent):
        # It is not part of what is relayed, but what follows is.
        client.send(b"!", socket.MSG_OOB)
        client.sendall(b"y" * size)
    client.sendall(b"QUIT\r\n")
    client.shutdown(socket.SHUT_WR)
    reader.join(30)
    assert not reader.is_alive()
    assert got.count(b"x") == 40 * size
    assert got.count(b"y") == urgent * size
    assert got.endswith(b"QUIT\r\n")


def iter_bytes(sock: socket.socket) -> Iterator[int]:
    """All that comes, until it ends."""
    while piece := sock.recv(65536):
        yield from piece


def test_a_reset_is_logged_as_an_error(stage: Stage) -> None:
    client, ours = tcp()
    server, theirs = socket.socketpair()
    stage.sockets.append(server)
    stage.relay.add(ours, theirs, who=Who("c->p"), auth_line="")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    stage.wait("Fatal error piping data. Exiting child.")
    server.settimeout(5)
    assert server.recv(1) == b""


def test_who_has_gone_when_the_other_one_has_ended_is_no_error(stage: Stage) -> None:
    client, ours = tcp()
    server, theirs = socket.socketpair()
    stage.sockets.append(server)
    stage.relay.add(ours, theirs, who=Who("c->p"), auth_line="")
    server.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    stage.wait("Closing session: ")
    assert "Fatal error" not in stage.log()
    assert not stage.relay.has_broken_off


def test_sessions_may_be_added_while_their_peers_speak_already(stage: Stage) -> None:
    for _ in range(300):
        client, ours = socket.socketpair()
        server, theirs = socket.socketpair()
        client.sendall(b"to server")
        server.sendall(b"to client")
        stage.relay.add(ours, theirs, who=Who("c->p"), auth_line="")
        assert read(server, 9) == b"to server"
        assert read(client, 9) == b"to client"
        client.close()
        server.close()
    stage.wait("received=9 sent=9")


class Watched:
    """Waits as select.epoll() does; what is registered may take a while, or not be possible."""

    def __init__(self, epoll: select.epoll, pause: float, most: float) -> None:
        self.poll, self.modify, self.unregister = epoll.poll, epoll.modify, epoll.unregister
        self._register, self._pause, self._left = epoll.register, pause, most

    def register(self, fd: int, events: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        time.sleep(self._pause)
        self._register(fd, events)


def watched(monkeypatch: pytest.MonkeyPatch, pause: float = 0, most: float = 1 << 20) -> None:
    """Have relays wait like that; the first descriptor is what wakes them."""
    real = select.epoll
    monkeypatch.setattr(select, "epoll", lambda: Watched(real(), pause, most))


def test_a_session_is_served_when_both_its_peers_are_waited_for(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one that does not read would be waited for before it can be."""
    watched(monkeypatch, pause=0.05)
    data = bytes(range(256)) * 512
    with running(tmp_path) as stage:
        client, ours = socket.socketpair()
        server, theirs = socket.socketpair()
        stage.sockets += [client, server]
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        server.setblocking(False)
        sent = server.send(data)
        stage.relay.add(ours, theirs, who=Who("c->p"), auth_line="")
        client.settimeout(10)
        assert read(client, sent) == data[:sent]
    assert "Traceback" not in stage.log()


def test_a_session_that_cannot_be_added_leaves_nothing_behind(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(monkeypatch, most=4)
    ended: list[None] = []
    with running(tmp_path, ended=lambda: ended.append(None)) as stage:
        client, server = stage.session()
        # There is room for one more descriptor, and two are wanted.
        pairs = [socket.socketpair() for _ in range(2)]
        with pytest.raises(OSError, match="No space"):
            stage.relay.add(pairs[0][0], pairs[1][0], who=Who("c->p"), auth_line="")
        for near, far in pairs:
            far.sendall(b"x")
            near.close()
            far.close()
        client.sendall(b"goes on")
        assert read(server, 7) == b"goes on"
        assert len(stage.relay) == 1
        assert not ended


def test_a_fault_of_ours_ends_one_session_only(stage: Stage) -> None:
    client, server = stage.session()
    broken, _server = stage.session()

    def fail(*_arguments: object) -> None:
        raise RuntimeError("a fault of ours")

    end = next(reversed(stage.relay._ends.values()))
    end.recv_into = fail
    broken.sendall(b"x")
    with contextlib.suppress(ConnectionResetError):
        assert broken.recv(1) == b""
    stage.wait("RuntimeError")
    client.sendall(b"goes on")
    assert read(server, 7) == b"goes on"


def test_a_session_that_cannot_be_waited_for_ends_and_is_told_in_the_log(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def modify(_fd: int, _events: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    watched(monkeypatch)
    with running(tmp_path) as stage:
        stage.relay._epoll.modify = modify
        _client, server = stage.session()
        # More than a client takes that does not read: until the session has ended.
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while server.send(bytes(65536)):
                pass
        stage.wait("relay: No space left on device: c->p ")
    assert "Bug" not in stage.log()


def test_a_session_whose_connections_cannot_be_let_go_of_is_counted_out_once(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(_end: ends.End) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    ended: list[None] = []
    with running(tmp_path, ended=lambda: ended.append(None)) as stage:
        broken, server = stage.session()
        kept = list(stage.relay._ends.values())
        other, other_server = stage.session()
        with monkeypatch.context() as failing:
            failing.setattr(ends.End, "close", close)
            broken.close()
            server.close()
            stage.wait("relay: Input/output error: c->p ")
        other.sendall(b"goes on")
        assert read(other_server, 7) == b"goes on"
        assert len(ended) == 1
        for each in kept:
            each.sock.close()
