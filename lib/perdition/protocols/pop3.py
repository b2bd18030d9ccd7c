"""POP3 (RFC 1939, RFC 2449, RFC 2595): our side towards the client and towards the real server."""

import re

from perdition import protocols
from perdition.protocols import (
    READY,
    Login,
    Quit,
    Ready,
    Talk,
    Terms,
    TlsWanted,
    Verdict,
    client_identity,
    decode,
    encode,
)
from perdition.protocols.capability import capabilities
from perdition.protocols.client_identity import NOBODY, BadIdentity, Introduction, Pairs, Told
from perdition.protocols.wire import Wire

# RFC 2449 section 4 has 255 octets a command line; people's passwords are longer.
LINE_LIMIT = 16384
CAPA_LIMIT = 256
COMMAND_SIZE = 4
# Dovecot's word for it, in the greetings of those who take XCLIENT from us.
XCLIENT_CODE = "[XCLIENT] "
XCLIENT = "XCLIENT ADDR PORT SESSION TTL"


class ClientSide:
    """We are the POP3 server (reference: protocols.md section 2)."""

    def __init__(self, wire: Wire, terms: Terms) -> None:
        self.wire = wire
        self.terms = terms
        self.offer_tls = terms.tls_listen
        self.in_tls = False
        self.is_trusted = False
        self.pairs: Pairs = ()

    def greet(self, host: str) -> None:
        code = XCLIENT_CODE if self.is_trusted else ""
        self.wire.say(encode(f"+OK {code}POP3 perditon ready on {host} {self.terms.token}"))

    def tls_started(self) -> None:
        self.in_tls = True

    def take_login(self) -> Talk[Login | TlsWanted | Quit | Told]:
        user: bytes | None = None
        say, sorry = self.wire.say, self._sorry
        while True:
            line = yield from self.wire.read_line(LINE_LIMIT)
            word, space, argument = line.partition(b" ")
            match word.upper():
                case b"":
                    sorry(b"-ERR Null command, mate")
                case b"USER" if argument and b" " not in argument:
                    user = argument
                    say(b"+OK USER " + user + b" set, mate")
                case b"USER":
                    sorry(b"-ERR Mate, try: USER <username>")
                case b"PASS" if user is None:
                    sorry(b"-ERR USER not yet set, mate")
                case b"PASS" if not space:
                    sorry(b"-ERR Mate, try: PASS <password>")
                case b"PASS":
                    return Login(decode(user or b""), argument)
                case b"CAPA" | b"QUIT" if space:
                    sorry(b"-ERR Mate, try: " + word.upper())
                case b"CAPA":
                    say(b"+OK Capability list follows, mate")
                    for capability in self._capabilities():
                        say(encode(capability))
                    say(b".")
                case b"STLS" if self.offer_tls and space:
                    sorry(b"-ERR Mate, try: STLS")
                case b"STLS" if self.offer_tls and self.in_tls:
                    sorry(b"-ERR TLS already active, mate")
                case b"STLS" if self.offer_tls:
                    say(b"+OK Begin TLS negotiation, mate")
                    return TlsWanted()
                case b"XCLIENT":
                    if (told := self._take_xclient(argument)) is not None:
                        return told
                case b"QUIT":
                    say(b"+OK QUIT")
                    return Quit()
                case _:
                    self._unknown(word)

    def accept(self, verdict: Verdict) -> None:
        line = verdict.line if self.terms.server_resp_line else b""
        self.wire.say(line or encode(f"+OK {self.terms.ok_line}"))

    def refuse(self, verdict: Verdict) -> None:
        self.wire.pause(verdict.delays)
        if verdict.status == protocols.LOCAL_FAILURE:
            self.wire.say(b"-ERR Authentication failure, mate")
        else:
            line = verdict.line if self.terms.server_resp_line else b""
            code = "[SYS/TEMP] " if verdict.is_temporary else ""
            self.wire.say(line or encode(f"-ERR {code}{verdict.status}"))

    def farewell(self, reason: str) -> None:
        self.wire.say(encode(f"-ERR {reason}"))

    def _sorry(self, line: bytes) -> None:
        self.wire.pause()
        self.wire.say(line)

    def _take_xclient(self, arguments: bytes) -> Told | None:
        """Who the client of a proxy is, without an answer where the proxy is not trusted."""
        if not self.is_trusted:
            return Told()
        try:
            told = client_identity.from_xclient(arguments)
        except BadIdentity:
            self._sorry(b"-ERR Mate, try: XCLIENT ADDR=<address> PORT=<port>")
            return None
        self.wire.say(b"+OK Updated")
        return told

    def _unknown(self, word: bytes) -> None:
        """Any other command; what begins like AUTH is asked by programs that probe: no delay."""
        if not b"AUTH".startswith(word.upper()):
            self.wire.pause()
        known = b"CAPA, USER, PASS or QUIT"
        if self.offer_tls and not self.in_tls:
            known = b"STLS, " + known
        if len(word) == COMMAND_SIZE:
            self.wire.say(b"-ERR Mate, the command must be one of " + known)
        else:
            self.wire.say(b"-ERR Mate, the command is too short, must be one of " + known)

    def _capabilities(self) -> tuple[str, ...]:
        separator = "." if "." in self.terms.capability else "  "
        words = capabilities(
            self.terms.capability, separator, STLS=self.offer_tls and not self.in_tls
        )
        if self.is_trusted:
            words += (XCLIENT,)
        return words or ("",)


class ServerSide:
    """We are the POP3 client (reference: protocols.md section 2.4)."""

    def __init__(
        self, wire: Wire, terms: Terms, introduction: Introduction = NOBODY, **_others: object
    ) -> None:
        self.wire = wire
        self.terms = terms
        self.introduction = introduction
        self.was_told = self.takes_xclient = False
        self.asked_for_tls = False

    def negotiate(self) -> Talk[Ready | TlsWanted | Verdict]:
        if self.asked_for_tls:
            return READY
        greeting = yield from self.wire.read_line(LINE_LIMIT)
        if not _is_ok(greeting) or _is_ours(greeting, self.terms.token):
            return Verdict(False, protocols.NEGOTIATION_FAILED)
        self.takes_xclient = XCLIENT_CODE.encode() in greeting
        if not self.terms.tls_outgoing:
            return READY
        if b"STLS" in (yield from self._capabilities()):
            self.wire.say(b"STLS")
            answer = yield from self.wire.read_line(LINE_LIMIT)
            if not _is_ok(answer):
                return Verdict(False, protocols.NEGOTIATION_FAILED)
            self.asked_for_tls = True
            return TlsWanted()
        return Verdict(False, protocols.TLS_NOT_PRESENT) if self.terms.tls_outgoing_force else READY

    def log_in(self, login: Login) -> Talk[Verdict]:
        # What it said out of turn would be taken for the answer.
        self.wire.take_unread()
        introduced = self._introduce()
        self.wire.say(b"USER " + encode(login.user))
        if introduced:
            self.was_told = _is_ok((yield from self.wire.read_line(LINE_LIMIT)))
        answer = yield from self.wire.read_line(LINE_LIMIT)
        if not _is_ok(answer):
            return Verdict(False, protocols.REFUSED, answer)
        self.wire.say(b"PASS " + login.password, secret=True)
        answer = yield from self.wire.read_line(LINE_LIMIT)
        if not _is_ok(answer):
            return Verdict(False, protocols.REFUSED, answer)
        return Verdict(True, protocols.OK, answer)

    def _introduce(self) -> bool:
        """Say who the client is, where the server takes that; its answer comes first then."""
        client = self.introduction.client
        if client is None or not self.takes_xclient:
            return False
        self.wire.say(client_identity.to_xclient(client))
        return True

    def leave(self) -> Talk[None]:
        self.wire.say(b"QUIT")
        yield from self.wire.read_line(LINE_LIMIT)

    def _capabilities(self) -> Talk[list[bytes]]:
        self.wire.say(b"CAPA")
        answer = yield from self.wire.read_line(LINE_LIMIT)
        words: list[bytes] = []
        if not _is_ok(answer):
            return words
        while (line := (yield from self.wire.read_line(LINE_LIMIT))) != b".":
            words.append(line.upper())
            if len(words) > CAPA_LIMIT:
                raise protocols.ProtocolError("no end of the capability list")
        return words


def _is_ok(answer: bytes) -> bool:
    return answer.split(b" ", 1)[0].upper() == b"+OK"


def _is_ours(greeting: bytes, token: str) -> bool:
    """Whether the real server is a proxy with our configuration: we would go round in a circle."""
    if b"POP3 perditon ready on " not in greeting:
        return False
    ours = rb"\+OK (\[XCLIENT\] )?POP3 perditon ready on \S+ " + token.encode()
    return re.fullmatch(ours, greeting) is not None
