"""Addresses and sockets."""

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition import net
from perdition.net import BadItem, ConnectFailed, ServerItem
from perdition.patience import Patience
from perdition.threads import Threads
from support.processes import HOST, free_port

ITEMS = [
    ("mail", ServerItem("", "mail", "")),
    ("mail:143", ServerItem("", "mail", "143")),
    ("ann@mail:imap", ServerItem("ann", "mail", "imap")),
    ("ann@example.org@mail", ServerItem("ann@example.org", "mail", "")),
    ("@mail", ServerItem("", "mail", "")),
    ("10.0.0.1:143", ServerItem("", "10.0.0.1", "143")),
    ("[::1]", ServerItem("", "::1", "")),
    ("[::1]:143", ServerItem("", "::1", "143")),
    ("ann@[fe80::1%eth0]:143", ServerItem("ann", "fe80::1%eth0", "143")),
    ("::1", ServerItem("", "::1", "")),
    ("2001:db8::25", ServerItem("", "2001:db8::25", "")),
    ("2001:db8:0:0:0:0:0:25", ServerItem("", "2001:db8:0:0:0:0:0:25", "")),
    ("", ServerItem("", "", "")),
    (":143", ServerItem("", "", "143")),
]


@pytest.mark.parametrize(("text", "item"), ITEMS)
def test_a_server_item_is_taken_apart(text: str, item: ServerItem) -> None:
    assert net.parse_item(text, "@") == item


@pytest.mark.parametrize(
    ("text", "delimiter", "parted"),
    [
        ("ann%mail:143", "%", "ann@mail:143"),
        ("a%b%mail", "%", "a%b@mail"),
        ("ann%[fe80::1%eth0]:143", "%", "ann@[fe80::1%eth0]:143"),
        ("ann-mail:pop3-s", "-", "ann@mail:pop3-s"),
        ("ann--mail", "--", "ann@mail"),
        ("ann:mail:143", ":", "ann@mail:143"),
        ("ann%mail;name=a%b", "%", "ann@mail;name=a%b"),
        ("mail;name=a%b", "%", "mail;name=a%b"),
        ("mail:143", ":", "mail:143"),
        ("ann@mail", "%", "ann@mail"),
        ("10.0.0.1:143", ".", "10.0.0.1:143"),
        ("[::1]:143", ":", "[::1]:143"),
        ("::1", ":", "::1"),
        ("fe80::1%eth0", "%", "fe80::1%eth0"),
        ("", "%", ""),
        (":143", ":", ":143"),
    ],
)
def test_a_user_may_stand_before_the_delimiter_of_domains(
    text: str, delimiter: str, parted: str
) -> None:
    assert net.with_at(text, delimiter) == parted


@pytest.mark.parametrize("port", ["65536", "0" * 9 + "70000", "9" * 5000])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    net.check_port(ServerItem("", "mail", "0" + "65535"))
    net.check_port(ServerItem("", "mail", "imap"))
    with pytest.raises(BadItem, match="not a port: mail:"):
        net.check_port(ServerItem("", "mail", port))


@pytest.mark.parametrize("text", ["::1:143", "2001:db8::1:25", "ann@fe80::1:2:3"])
def test_an_address_that_may_have_a_port_at_its_end_is_refused(text: str) -> None:
    with pytest.raises(BadItem, match=r"write \[.*\]:\d+ or \[.*\]$"):
        net.parse_item(text, "@")


@given(st.text(alphabet="a1:@[].%x"))
def test_no_item_raises_anything_else(text: str) -> None:
    try:
        net.parse_item(text, "@")
    except BadItem:
        assert text.count(":") > 1


def resolved(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Have the resolver know a host with these ports, as if they were addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: found)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as sock:
        yield sock


def connect(host: str, port: str, seconds: float = 10) -> socket.socket:
    """Connect with somebody who ends waits that are too long."""
    over, patience = threading.Event(), Patience(-1, 0)

    def look_after() -> None:
        while not over.wait(0.02):
            patience.check(time.monotonic())

    watch = threading.Thread(target=look_after)
    watch.start()
    try:
        return net.connect(ServerItem("", host, port), seconds, patience, keepalive=False)
    finally:
        over.set()
        watch.join()


def test_the_next_address_is_tried_where_one_refuses(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = listener.getsockname()[1]
    with free_port() as dead:
        resolved(monkeypatch, dead, alive)
        with connect("mail", "imap", 10) as sock:
            assert sock.getpeername() == (HOST, alive)


def test_the_next_address_is_tried_where_one_is_silent(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = listener.getsockname()[1]
    with contextlib.ExitStack() as stack:
        # The kernel answers nobody any more when nobody takes what has come.
        full = stack.enter_context(socket.socket())
        full.bind((HOST, 0))
        full.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        resolved(monkeypatch, full.getsockname()[1], alive)
        with connect("mail", "imap", 0.2) as sock:
            assert sock.getpeername() == (HOST, alive)


def test_a_host_none_of_whose_addresses_answers_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with free_port() as one, free_port() as other:
        resolved(monkeypatch, one, other)
        with pytest.raises(ConnectFailed, match=r"mail:imap: .*refused"):
            connect("mail", "imap", 10)


def test_running_out_of_descriptors_is_a_failure_to_connect() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        with pytest.raises(ConnectFailed, match="Too many open files"):
            connect(HOST, "1", 10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_host_that_is_unknown_is_a_failure() -> None:
    with pytest.raises(ConnectFailed, match=r"no\.such\.port"):
        connect(HOST, "no.such.port", 10)


def test_addresses_are_in_networks() -> None:
    networks = net.Networks(["192.0.2.1/24", "2001:db8::/32", "127.0.0.1"])
    assert all(each in networks for each in ("192.0.2.7", "2001:db8::7", "127.0.0.1"))
    assert not any(each in networks for each in ("192.0.3.7", "fe80::7%lo", "127.0.0.2", "", "x"))
    assert "127.0.0.1" not in net.Networks([])


@pytest.fixture
def slow_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One that does not answer while the test runs."""
    release = threading.Event()

    def getaddrinfo(*_arguments: object, **_more: object) -> list[object]:
        release.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    release.set()


@pytest.mark.usefixtures("slow_resolver")
def test_the_resolver_is_not_waited_for_longer_than_a_session_may() -> None:
    patience = Patience(-1, 0.2)
    with pytest.raises(ConnectFailed, match=r"mail:143: the resolver: not within 0\.\d+ s"):
        net.connect(ServerItem("", "mail", "143"), 0, patience, keepalive=False)
    with pytest.raises(ConnectFailed, match=r"not within 0\.1 s"):
        net.connect(ServerItem("", "mail", "143"), 0.1, Patience(-1, 0), keepalive=False)


@pytest.mark.usefixtures("slow_resolver")
def test_names_that_clients_give_keep_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net, "_clients_resolvers", Threads(1, "resolver"))
    theirs = ServerItem("", "mail", "143", is_clients=True)
    with pytest.raises(ConnectFailed, match=r"not within 0\.1 s"):
        net.connect(theirs, 0.1, Patience(-1, 0), keepalive=False)
    with pytest.raises(ConnectFailed, match="the resolver: all 1 threads are at work"):
        net.connect(theirs, 0.1, Patience(-1, 0), keepalive=False)
    with pytest.raises(ConnectFailed, match=r"not within 0\.1 s"):
        net.connect(theirs._replace(is_clients=False), 0.1, Patience(-1, 0), keepalive=False)


def test_the_name_of_a_port_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net, "_resolvers", Threads(0, "resolver"))
    (_family, address), *_ = net.resolve(HOST, "imap", 10)
    assert address == (HOST, 143)


@pytest.mark.usefixtures("slow_resolver")
def test_who_gives_way_does_not_wait_for_the_resolver() -> None:
    with socket.socket() as client:
        patience = Patience(client.fileno(), 3600)
        threading.Timer(0.1, patience.cut).start()
        with pytest.raises(ConnectFailed, match="the resolver: nobody waits for it any more"):
            net.connect(ServerItem("", "mail", "143"), 0, patience, keepalive=False)


def test_nothing_is_connected_when_all_waiting_is_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        patience = Patience(-1, 1e-9)
        with pytest.raises(ConnectFailed, match="timed out"):
            net.connect(
                ServerItem("", "127.0.0.1", str(listener.getsockname()[1])),
                0,
                patience,
                keepalive=False,
            )
