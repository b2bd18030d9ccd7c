"""A service that judges log-ins, as nginx's mail proxy asks them: a real HTTP server."""

import contextlib
import http.server
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from support.processes import HOST

SECONDS = 30


class Request(NamedTuple):
    """What was asked.

    Attributes:
        line: the first line.
        fields: names and values of the headers, in order.
        peer: the port that it came from.
    """

    line: str
    fields: list[tuple[str, str]]
    peer: int

    def __getitem__(self, name: Any) -> Any:
        """The value of a header."""
        return dict(self.fields)[name]


class Response(NamedTuple):
    """What is answered.

    Attributes:
        fields: names and values of the headers.
        status: the number of the first line.
        body: what follows.
    """

    fields: list[tuple[str, str]]
    status: int = 200
    body: bytes = b""


def allowed(port: int, *more: tuple[str, str], host: str = HOST) -> Response:
    """An answer that lets the user in."""
    return Response([("Auth-Status", "OK"), ("Auth-Server", host), ("Auth-Port", str(port)), *more])


def refused(reason: str, status: int = 200) -> Response:
    """An answer that does not."""
    return Response([("Auth-Status", reason)], status)


class AuthService:
    """A service that answers as it is told, while used as a context.

    Attributes:
        requests: all that were asked.
        answer: makes the answers.
        connections: those that are open.
        port: where it listens.
    """

    def __init__(
        self,
        answer: Callable[[Request], Response],
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        version: str = "HTTP/1.1",
        host: str = HOST,
    ) -> None:
        """Listen.

        Args:
            answer: makes the answers.
            port: where; 0 for any.
            tls: connections begin with TLS.
            version: of HTTP; with 1.0 each connection ends with its answer.
            host: the address.
        """
        service = self
        self.answer = answer
        self.requests: list[Request] = []
        self.connections: set[socket.socket] = set()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = version
            timeout = SECONDS

            def setup(self) -> None:
                if tls is not None:
                    self.request = tls.wrap_socket(self.request, server_side=True)
                service.connections.add(self.request)
                super().setup()

            def finish(self) -> None:
                with contextlib.suppress(OSError):
                    super().finish()
                service.connections.discard(self.request)
                self.request.close()

            def do_GET(self) -> None:
                request = Request(self.requestline, self.headers.items(), self.client_address[1])
                service.requests.append(request)
                answer = service.answer(request)
                self.send_response_only(answer.status)
                for name, value in answer.fields:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                """The test's own output is enough."""

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                """A client that goes, or does not trust us, is what the test is about."""

        self._server = Server((host, port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def peers(self) -> set[int]:
        """The ports that requests came from: one for each connection."""
        return {each.peer for each in self.requests}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End, with all connections, as a process that is killed does."""
        self._server.shutdown()
        self._thread.join()
        self._server.socket.close()
        for sock in list(self.connections):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
