"""Who has to give way where there are more connections than threads for log-ins."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdition.logs import INFO, Log
from perdition.patience import LONG_SECONDS, Patience
from perdition.server.logins import LoginServer
from support.processes import wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LoginServer]:
    """One without threads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = LoginServer(
            listener,
            lambda *_connection: None,
            60,
            Log("perdition", str(tmp_path / "log"), INFO),
            lambda: None,
            lambda: False,
            threading.Event(),
        )
        yield made
        made._nobody.close()


def test_it_is_known_how_many_wait_to_be_accepted(server: LoginServer) -> None:
    assert server.waiting() == 0
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(socket.create_connection(server.socket.getsockname()))
        wait_until(lambda: server.waiting() == 3, 60, "all three are there")


def test_clients_give_way_before_real_servers_and_who_has_most_of_them_first(
    server: LoginServer,
) -> None:
    with contextlib.ExitStack() as stack:

        def connection(host: str, *, is_clients: bool = True) -> Patience:
            ours, theirs = map(stack.enter_context, socket.socketpair())
            made = Patience(ours.fileno(), 0)
            made.begin((ours if is_clients else theirs).fileno(), 0)
            made.host = host
            made.began = made.since = time.monotonic() - 2 * LONG_SECONDS
            server.connections[made] = None
            return made

        waits = [
            connection("192.0.2.1", is_clients=False),
            connection("192.0.2.1", is_clients=False),
            connection("192.0.2.1", is_clients=False),
            connection("192.0.2.2"),
            connection("192.0.2.3"),
            connection("192.0.2.3"),
        ]
        gave_way = []
        for _ in waits:
            assert server.make_room(1) == 1
            gave_way += [n for n, each in enumerate(waits) if each.gave_way and n not in gave_way]
        assert gave_way == [4, 5, 3, 0, 1, 2]
        assert server.make_room(1) == 0


def test_no_more_give_way_than_have_to(server: LoginServer) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            ours, _theirs = map(stack.enter_context, socket.socketpair())
            patience = Patience(ours.fileno(), 0)
            patience.since = patience.began = time.monotonic() - 2 * LONG_SECONDS
            server.connections[patience] = None
        assert server.make_room(2) == 2
        assert sum(each.gave_way for each in server.connections) == 2
