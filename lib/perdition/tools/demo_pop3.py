"""A small POP3 server for `make demo`: it shows the inbox of an IMAP server (RFC 1939).

It is no server for the world: it reads the whole inbox at log-in and keeps it in memory.
"""

import contextlib
import imaplib
import socketserver
from typing import NamedTuple

LINE_LIMIT = 512
SILENCE_SECONDS = 600


class Message(NamedTuple):
    """A message of the inbox."""

    uid: str
    octets: bytes


class Refused(Exception):
    """What the client asks for cannot be; the text says why."""


class Inbox:
    """The inbox of a user, as it was at log-in, and what is to be deleted of it."""

    def __init__(self, port: int, user: str, password: str) -> None:
        """Log in to the IMAP server, and read.

        Raises:
            imaplib.IMAP4.error: it does not know that user or that password.
        """
        self._imap = imaplib.IMAP4("127.0.0.1", port, timeout=SILENCE_SECONDS)
        try:
            self._imap.login(user, password)
        except imaplib.IMAP4.error:
            self._imap.logout()
            raise
        self._imap.select("INBOX")
        self.messages: dict[int, Message] = {}
        self.deleted: set[int] = set()
        _, uids = self._imap.uid("SEARCH", "ALL")
        for number, uid in enumerate(uids[0].decode().split(), 1):
            _, parts = self._imap.uid("FETCH", uid, "(BODY.PEEK[])")
            self.messages[number] = Message(uid, parts[0][1])

    def left(self) -> dict[int, Message]:
        """The messages that are not to be deleted."""
        return {key: each for key, each in self.messages.items() if key not in self.deleted}

    def find(self, number: str) -> Message:
        """A message by its number.

        Raises:
            Refused: there is none.
        """
        found = self.left().get(int(number)) if number.isdecimal() else None
        if found is None:
            raise Refused("no such message")
        return found

    def close(self, *, delete: bool) -> None:
        """Log out; delete what is to be deleted, if the client has said good-bye."""
        if delete:
            for number in self.deleted:
                self._imap.uid("STORE", self.messages[number].uid, "+FLAGS", r"(\Deleted)")
            self._imap.expunge()
        self._imap.logout()


class Pop3Server(socketserver.ThreadingTCPServer):
    """Listens on a free port of 127.0.0.1, a thread a connection.

    Attributes:
        imap_port: where the inboxes are.
        port: where it listens itself.
    """

    daemon_threads = True

    def __init__(self, imap_port: int) -> None:
        super().__init__(("127.0.0.1", 0), Pop3Session)
        self.imap_port = imap_port
        self.port: int = self.server_address[1]


class Pop3Session(socketserver.StreamRequestHandler):
    """A connection, from the greeting on."""

    timeout = SILENCE_SECONDS
    server: Pop3Server

    def handle(self) -> None:
        self.user = ""
        self.inbox: Inbox | None = None
        command = ""
        # A client that is gone is nobody's fault.
        with contextlib.suppress(OSError):
            self.say("+OK POP3 server of the demo")
            while command != "QUIT" and (line := self.rfile.readline(LINE_LIMIT)):
                command, _, argument = line.decode("utf-8", "replace").strip().partition(" ")
                command = command.upper()
                try:
                    self.answer(command, argument)
                except Refused as error:
                    self.say(f"-ERR {error}")
        if self.inbox is not None:
            self.inbox.close(delete=command == "QUIT")

    def answer(self, command: str, argument: str) -> None:
        """Answer a command.

        Raises:
            Refused: it is wrong, or wrong now.
        """
        match command:
            case "QUIT" | "NOOP":
                self.say("+OK")
            case "CAPA":
                self.say_lines("+OK", ["USER", "UIDL", "TOP"])
            case "USER" if self.inbox is None:
                self.user = argument
                self.say("+OK")
            case "PASS" if self.inbox is None:
                self.log_in(argument)
            case _ if self.inbox is None:
                raise Refused("log in first")
            case _:
                self.answer_from(self.inbox, command, argument)

    def log_in(self, password: str) -> None:
        """Open the inbox with the IMAP server's leave."""
        try:
            self.inbox = Inbox(self.server.imap_port, self.user, password)
        except imaplib.IMAP4.error as error:
            raise Refused("wrong name or password") from error
        self.say(f"+OK {len(self.inbox.messages)} messages")

    def answer_from(self, inbox: Inbox, command: str, argument: str) -> None:
        """Answer a command about the messages."""
        number, _, lines = argument.partition(" ")
        sizes = {key: len(each.octets) for key, each in inbox.left().items()}
        match command:
            case "STAT":
                self.say(f"+OK {len(sizes)} {sum(sizes.values())}")
            case "LIST" if number:
                self.say(f"+OK {number} {len(inbox.find(number).octets)}")
            case "LIST":
                self.say_lines("+OK", [f"{key} {size}" for key, size in sizes.items()])
            case "UIDL" if number:
                self.say(f"+OK {number} {inbox.find(number).uid}")
            case "UIDL":
                self.say_lines("+OK", [f"{key} {each.uid}" for key, each in inbox.left().items()])
            case "RETR":
                self.say_message(inbox.find(number).octets)
            case "TOP" if lines.isdecimal():
                head, blank, body = inbox.find(number).octets.partition(b"\r\n\r\n")
                top = b"".join(body.splitlines(keepends=True)[: int(lines)])
                self.say_message(head + blank + top)
            case "DELE":
                inbox.find(number)
                inbox.deleted.add(int(number))
                self.say("+OK")
            case "RSET":
                inbox.deleted.clear()
                self.say("+OK")
            case _:
                raise Refused("unknown command")

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def say_lines(self, first: str, lines: list[str]) -> None:
        """An answer of several lines, with its end."""
        for line in (first, *lines, "."):
            self.say(line)

    def say_message(self, octets: bytes) -> None:
        """A message as an answer: a dot at the beginning of a line is doubled."""
        self.say("+OK")
        for line in octets.splitlines():
            self.wfile.write((b"." if line.startswith(b".") else b"") + line + b"\r\n")
        self.say(".")
