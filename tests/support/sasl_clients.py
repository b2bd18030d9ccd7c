"""Clients that know SASL, octet for octet: what mail programs do, and what they should not do."""

import base64
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol, Self

from support.processes import HOST

SECONDS = 30
QUOTED_LIMIT = 1024
MESSAGE = b"Subject: honey\r\n\r\nThere is some.\r\n"
# Given a challenge's octets, what the client says on its line.
Answers = Callable[[bytes], bytes]


class Outcome(NamedTuple):
    """The end of an exchange.

    Attributes:
        accepted: whether the client is logged in.
        line: what it was told, without the tag.
        data: the last word of the mechanism, where it came with that line.
    """

    accepted: bool
    line: bytes
    data: bytes | None = None


def coded(message: str | bytes) -> bytes:
    """A message as it goes over the wire."""
    return base64.b64encode(message.encode() if isinstance(message, str) else message)


def no_answers(challenge: bytes) -> bytes:
    """The client has nothing to say any more."""
    raise AssertionError(f"a challenge that nobody waits for: {challenge!r}")


def answers(*lines: bytes) -> Answers:
    """One line after the other, whatever is asked."""
    rest = iter(lines)
    return lambda _challenge: next(rest)


def scram(client: "Conversation", *, instead: bytes = b"") -> Answers:
    """The rest of SCRAM, after the first message; the server's signature is checked.

    Args:
        client: has said the first message.
        instead: the line that is said in the place of the proof of the password.
    """

    def answer(challenge: bytes) -> bytes:
        text = challenge.decode()
        if text.startswith("r="):
            client.set_server_first(text)
            return instead or coded(client.get_client_final())
        client.set_server_final(text)
        return b""

    return answer


class Conversation(Protocol):
    """A client of scramp."""

    def get_client_first(self) -> str: ...

    def set_server_first(self, message: str, /) -> None: ...

    def get_client_final(self) -> str: ...

    def set_server_final(self, message: str, /) -> None: ...


class SaslClient(Protocol):
    """A client that is connected.

    Attributes:
        sock: the connection.
        greeting: what was said first, line by line; ManageSieve's last one after STARTTLS.
    """

    sock: socket.socket
    greeting: list[bytes]

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Ask for TLS, and begin it."""

    def capabilities(self) -> list[bytes]:
        """What is announced now, word by word or line by line, as it is asked for."""

    def mechanisms(self) -> list[str]:
        """The mechanisms in that."""

    def authenticate(
        self, mechanism: str, answers: Answers = no_answers, initial: bytes | None = None
    ) -> Outcome:
        """Log in.

        Args:
            mechanism: its name.
            answers: gives the answers to the challenges.
            initial: the answer to the first one, before it is asked.
        """

    def log_in(self, user: str, password: str) -> Outcome:
        """Log in in the way that the protocol had before SASL, or by PLAIN."""

    def use(self) -> None:
        """Have a command answered that only a real server knows."""


class _Connection:
    """The octets."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self.sock = socket.create_connection((HOST, port), SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if context is not None:
                self.sock = context.wrap_socket(self.sock, server_hostname=HOST)
            self._file = self.sock.makefile("rb")
            self.greeting = self._greeted()
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.sock.close()

    def _greeted(self) -> list[bytes]:
        return [self._line()]

    def _wrap(self, context: ssl.SSLContext) -> None:
        self._file.close()
        self.sock = context.wrap_socket(self.sock, server_hostname=HOST)
        self._file = self.sock.makefile("rb")

    def _say(self, line: bytes) -> None:
        self.sock.sendall(line + b"\r\n")

    def _line(self) -> bytes:
        line = self._file.readline()
        if not line:
            raise EOFError
        return line.removesuffix(b"\r\n")

    def _exchange(self, answers: Answers, read: Callable[[], bytes | Outcome]) -> Outcome:
        while True:
            answer = read()
            if isinstance(answer, Outcome):
                return answer
            self._answer(answers(base64.b64decode(answer, validate=True)))

    def _answer(self, line: bytes) -> None:
        self._say(line)


class ImapClient(_Connection):
    """IMAP (RFC 9051)."""

    def _ask(self, command: bytes) -> tuple[list[bytes], bytes]:
        self._say(b"a1 " + command)
        untagged = []
        while not (line := self._line()).startswith(b"a1 "):
            untagged.append(line)
        return untagged, line.removeprefix(b"a1 ")

    def start_tls(self, context: ssl.SSLContext) -> None:
        assert self._ask(b"STARTTLS")[1].startswith(b"OK")
        self._wrap(context)

    def capabilities(self) -> list[bytes]:
        (line,) = self._ask(b"CAPABILITY")[0]
        return line.removeprefix(b"* CAPABILITY ").split(b" ")

    def mechanisms(self) -> list[str]:
        words = self.capabilities()
        return [each[5:].decode() for each in words if each.startswith(b"AUTH=")]

    def authenticate(
        self, mechanism: str, answers: Answers = no_answers, initial: bytes | None = None
    ) -> Outcome:
        first = b"" if initial is None else b" " + (initial or b"=")
        self._say(b"a1 AUTHENTICATE " + mechanism.encode() + first)
        return self._exchange(answers, self._read)

    def _read(self) -> bytes | Outcome:
        while (line := self._line()).startswith(b"* "):
            pass
        if line.startswith(b"+ "):
            return line[2:]
        assert line.startswith(b"a1 "), line
        return Outcome(line.startswith(b"a1 OK"), line[3:])

    def log_in(self, user: str, password: str) -> Outcome:
        line = self._ask(f"LOGIN {user} {password}".encode())[1]
        return Outcome(line.startswith(b"OK"), line)

    def use(self) -> None:
        size = len(MESSAGE)
        assert self._ask(b"APPEND INBOX {%d+}\r\n%b" % (size, MESSAGE))[1].startswith(b"OK")
        untagged, answer = self._ask(b"SELECT INBOX")
        assert answer.startswith(b"OK")
        assert any(line.endswith(b" EXISTS") for line in untagged)
        untagged, answer = self._ask(b"FETCH * BODY[]")
        assert answer.startswith(b"OK")
        assert b"BODY[] {%d}" % size in untagged[0]
        assert b"\r\n".join(untagged[1:]).startswith(MESSAGE)


class PopClient(_Connection):
    """POP3 (RFC 1939, 5034)."""

    def _ask(self, command: bytes) -> bytes:
        self._say(command)
        return self._line()

    def start_tls(self, context: ssl.SSLContext) -> None:
        assert self._ask(b"STLS").startswith(b"+OK")
        self._wrap(context)

    def capabilities(self) -> list[bytes]:
        assert self._ask(b"CAPA").startswith(b"+OK")
        return list(iter(self._line, b"."))

    def mechanisms(self) -> list[str]:
        for line in self.capabilities():
            if line.startswith(b"SASL "):
                return line.decode().split(" ")[1:]
        return []

    def authenticate(
        self, mechanism: str, answers: Answers = no_answers, initial: bytes | None = None
    ) -> Outcome:
        first = b"" if initial is None else b" " + (initial or b"=")
        self._say(b"AUTH " + mechanism.encode() + first)
        return self._exchange(answers, self._read)

    def _read(self) -> bytes | Outcome:
        line = self._line()
        return line[2:] if line.startswith(b"+ ") else Outcome(line.startswith(b"+OK"), line)

    def log_in(self, user: str, password: str) -> Outcome:
        line = self._ask(b"USER " + user.encode())
        if line.startswith(b"+OK"):
            line = self._ask(b"PASS " + password.encode())
        return Outcome(line.startswith(b"+OK"), line)

    def use(self) -> None:
        assert re.fullmatch(rb"\+OK \d+ \d+", self._ask(b"STAT"))


class SieveClient(_Connection):
    """ManageSieve (RFC 5804)."""

    def _greeted(self) -> list[bytes]:
        lines = [self._line()]
        while not re.match(rb"OK|NO|BYE", lines[-1]):
            lines.append(self._line())
        return lines

    def start_tls(self, context: ssl.SSLContext) -> None:
        self._say(b"STARTTLS")
        assert self._line().startswith(b"OK")
        self._wrap(context)
        self.greeting = self._greeted()

    def capabilities(self) -> list[bytes]:
        self._say(b"CAPABILITY")
        return self._greeted()[:-1]

    def mechanisms(self) -> list[str]:
        for line in self.capabilities():
            if line.startswith(b'"SASL" '):
                return line[7:].strip(b'"').decode().split()
        return []

    def authenticate(
        self, mechanism: str, answers: Answers = no_answers, initial: bytes | None = None
    ) -> Outcome:
        first = b"" if initial is None else b" " + self._string(initial)
        self._say(b'AUTHENTICATE "%b"' % mechanism.encode() + first)
        return self._exchange(answers, self._read)

    @staticmethod
    def _string(octets: bytes) -> bytes:
        if len(octets) > QUOTED_LIMIT:
            return b"{%d+}\r\n%b" % (len(octets), octets)
        return b'"%b"' % octets

    def _answer(self, line: bytes) -> None:
        self._say(self._string(line))

    def _read(self) -> bytes | Outcome:
        line = self._line()
        if literal := re.fullmatch(rb"\{(\d+)\}", line):
            octets = self._file.read(int(literal[1]))
            assert self._line() == b""
            return octets
        if quoted := re.fullmatch(rb'"(.*)"', line):
            return quoted[1]
        data = re.match(rb'OK \(SASL "([^"]*)"\)', line)
        return Outcome(line.startswith(b"OK"), line, base64.b64decode(data[1]) if data else None)

    def log_in(self, user: str, password: str) -> Outcome:
        return self.authenticate("PLAIN", initial=coded(f"\0{user}\0{password}"))

    def use(self) -> None:
        self._say(b"LISTSCRIPTS")
        while not (line := self._line()).startswith(b"OK"):
            assert line.startswith(b'"'), line


CLIENTS: Mapping[str, type[SaslClient]] = MappingProxyType(
    {"IMAP4": ImapClient, "POP3": PopClient, "MANAGESIEVE": SieveClient}
)
