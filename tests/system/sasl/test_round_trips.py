"""How many times the log-in at a real Dovecot waits for it: counted between program and Dovecot."""

import selectors
import socket
import threading
from typing import Self

import pytest

from support.dovecot import Dovecot
from support.dovecot_sasl import LONG_SECRET, LONG_USER, SECRET, UNICODE_SECRET, UNICODE_USER
from support.processes import HOST
from support.program import Options, Start
from support.sasl_clients import CLIENTS, coded
from system.sasl.conftest import LISTENERS

pytestmark = pytest.mark.system


class Counter:
    """A relay that takes one connection, and counts how often its two sides take turns.

    Attributes:
        port: where it listens.
        turns: how often the client has said something after the server had, or began.
    """

    def __init__(self, port: int) -> None:
        """Listen, for a server on a port."""
        self.turns = 0
        self._to = port
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._relay)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join()

    def _relay(self) -> None:
        client = self._listener.accept()[0]
        with client, socket.create_connection((HOST, self._to)) as server:
            is_clients_turn = False
            with selectors.DefaultSelector() as selector:
                for sock, other in ((client, server), (server, client)):
                    selector.register(sock, selectors.EVENT_READ, other)
                while True:
                    for key, _events in selector.select():
                        data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                        if not data:
                            return
                        if key.fileobj is client and not is_clients_turn:
                            self.turns += 1
                        is_clients_turn = key.fileobj is client
                        key.data.sendall(data)


ANN = ("ann", SECRET)
UNICODE = (UNICODE_USER, UNICODE_SECRET)
LONG = (LONG_USER, LONG_SECRET)


@pytest.mark.parametrize(
    ("protocol", "options", "who", "turns"),
    [
        # LOGIN, its literals not waited for.
        ("IMAP4", {}, ANN, 1),
        # AUTHENTICATE PLAIN with its initial response.
        ("IMAP4", {}, UNICODE, 1),
        ("IMAP4", {}, LONG, 1),
        # CAPABILITY comes before, and LOGIN as that version does it.
        ("IMAP4", {"compat": "2.2"}, ANN, 1),
        # USER, PASS.
        ("POP3", {}, ANN, 2),
        # CAPA, AUTH PLAIN with its initial response.
        ("POP3", {}, UNICODE, 2),
        # CAPA, AUTH PLAIN, the response.
        ("POP3", {}, LONG, 3),
        ("MANAGESIEVE", {}, ANN, 1),
        ("MANAGESIEVE", {}, UNICODE, 1),
        ("MANAGESIEVE", {}, LONG, 1),
    ],
)
def test_a_log_in_has_so_many_round_trips(
    start: Start,
    knower: Dovecot,
    protocol: str,
    options: Options,
    who: tuple[str, str],
    turns: int,
) -> None:
    with Counter(knower.ports[LISTENERS[protocol]]) as counter:
        program = start(protocol, {**options, "outgoing_server": f"{HOST}:{counter.port}"})
        with CLIENTS[protocol](program.port) as client:
            if who is ANN:
                assert client.log_in(*who).accepted
            else:
                user, secret = who
                assert client.authenticate("PLAIN", initial=coded(f"\0{user}\0{secret}")).accepted
            assert counter.turns == turns
            client.use()
            assert counter.turns > turns
