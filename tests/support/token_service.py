"""What says whether an OAuth token is good: introspection as in RFC 7662, by http.server."""

import json
import threading
import urllib.parse
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from support.processes import HOST


class TokenService:
    """A service that knows the users of some tokens, while used as a context.

    Attributes:
        asked: how often it has been asked.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        """Prepare one.

        Args:
            tokens: the user of each token that is good.
        """
        self.asked = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                (token,) = urllib.parse.parse_qs(body)["token"]
                user = tokens.get(token)
                service.asked += 1
                answer: dict[str, str | bool] = {"active": user is not None}
                if user is not None:
                    answer["username"] = user
                text = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://{HOST}:{self._server.server_port}/introspect"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
