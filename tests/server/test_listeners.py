"""The addresses that are listened on."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from perdition.server.listeners import BindFailed, ends_of, listen, parse_items


@contextmanager
def listening(*texts: str) -> Iterator[Sequence[socket.socket]]:
    """Listen on a free port of each of these addresses."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sockets = listen(parse_items(texts), str(port), keepalive=True)
    try:
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def families(port: int) -> list[str]:
    """The addresses of this machine that somebody listens on."""
    found = []
    for host in ("127.0.0.1", "::1"):
        try:
            socket.create_connection((host, port), 10).close()
        except ConnectionRefusedError:
            continue
        found.append(host)
    return found


@pytest.mark.parametrize(
    ("texts", "reached"),
    [
        ([], ["127.0.0.1"]),
        (["*"], ["127.0.0.1", "::1"]),
        (["[::]"], ["127.0.0.1", "::1"]),
        (["[::1]"], ["::1"]),
        (["[::ffff:127.0.0.1]"], ["127.0.0.1"]),
        (["[::ffff:7f00:1]", "[::1]"], ["127.0.0.1", "::1"]),
        (["0.0.0.0", "[::]"], ["127.0.0.1", "::1"]),
        (["127.0.0.1", "[::1]"], ["127.0.0.1", "::1"]),
    ],
)
def test_it_is_listened_where_it_is_wanted(texts: list[str], reached: list[str]) -> None:
    with listening(*texts) as sockets:
        assert families(sockets[0].getsockname()[1]) == reached


def test_a_client_of_ipv4_has_its_own_address() -> None:
    with listening("*") as (listener,):
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            sock, address = listener.accept()
            with sock:
                ends = ends_of(address, sock.getsockname())
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert ends == ("127.0.0.1", client.getsockname()[1], "127.0.0.1", port)


def test_one_address_that_cannot_be_listened_on_is_a_failure() -> None:
    with pytest.raises(BindFailed, match=r"192\.0\.2\.1"), listening("127.0.0.1", "192.0.2.1"):
        pass
