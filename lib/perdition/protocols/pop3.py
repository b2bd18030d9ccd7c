"""POP3 (RFC 1939, 2449, 2595, 5034): our side towards the client and towards the real server."""

import base64
import functools
import re

from perdition import protocols
from perdition.protocols import (
    IN_VAIN,
    READY,
    Challenge,
    Login,
    ProtocolError,
    Quit,
    Ready,
    Talk,
    Terms,
    TlsWanted,
    Verdict,
    client_identity,
    codes,
    decode,
    encode,
    sasl,
)
from perdition.protocols.capability import capabilities
from perdition.protocols.client_identity import NOBODY, BadIdentity, Introduction, Pairs, Told
from perdition.protocols.wire import LINE_LIMIT, Wire

# Lines of a list of capabilities, and octets of one: RFC 2449 section 4 has 512.
CAPA_LIMIT, CAPA_LINE_LIMIT = 256, 1024
COMMAND_SIZE = 4
# RFC 2449 section 4, the end of the line included: what a longer line has is sent when asked for.
COMMAND_LIMIT = 255
WORD_LIMIT = COMMAND_LIMIT - len(b"PASS \r\n")
# A NUL would end it in SASL PLAIN.
NAME = re.compile(rb"[^ \0]+")
# What USER and PASS cannot say.
BREAKING = re.compile(rb"[\0\r\n]")
# continue-req = "+" SP [base64] CRLF; the blank may be missing where nothing follows
CHALLENGE = re.compile(rb"\+(?: |$)")
# Dovecot's word for it, in the greetings of those who take XCLIENT from us.
XCLIENT_CODE = b"[XCLIENT] "
XCLIENT = "XCLIENT ADDR PORT SESSION TTL"


class ClientSide:
    """We are the POP3 server (reference: protocols.md section 2)."""

    def __init__(self, wire: Wire, terms: Terms) -> None:
        self.wire = wire
        self.terms = terms
        self.offer_tls = terms.tls_listen
        self.in_tls = False
        self.certified: str | None = None
        self.limit = sasl.line_limit(terms.mechanisms, LINE_LIMIT)
        self.is_trusted = False
        self.pairs: Pairs = ()

    def greet(self, host: str) -> None:
        self.wire.say(greeting(host, self.terms.token, self.is_trusted))

    def tls_started(self, certified: str | None = None) -> None:
        self.in_tls = True
        self.certified = certified

    def take_login(self) -> Talk[Login | TlsWanted | Quit | Told]:
        user: bytes | None = None
        say, sorry = self.wire.say, self._sorry
        while True:
            line = yield from self.wire.read_line(self.limit)
            word, space, argument = line.partition(b" ")
            match word.upper():
                case b"":
                    sorry(b"-ERR Null command, mate")
                case b"USER" if NAME.fullmatch(argument):
                    if self.terms.takes_no_login(self.in_tls) and not self.terms.compat:
                        # Refused and logged now; 2.2 does it when the password has been sent.
                        return Login(decode(argument), b"")
                    user = argument
                    say(b"+OK USER " + user + b" set, mate")
                case b"USER":
                    sorry(b"-ERR Mate, try: USER <username>")
                case b"PASS" if user is None:
                    sorry(b"-ERR USER not yet set, mate")
                case b"PASS" if not space or b"\0" in argument:
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
                case b"AUTH" if self.terms.mechanisms and argument.count(b" ") <= 1:
                    if login := (yield from self._authenticate(argument)):
                        return login
                case b"XCLIENT" if self.is_trusted or not self.terms.compat:
                    if (told := self._take_xclient(argument)) is not None:
                        return told
                case b"QUIT":
                    say(b"+OK QUIT")
                    return Quit()
                case _:
                    self._unknown(word)

    def challenge(self, octets: bytes) -> Talk[bytes | None]:
        self.wire.say(b"+ " + base64.b64encode(octets), secret=True)
        line = yield from self.wire.read_line(self.limit)
        return None if line == b"*" else sasl.decode_base64(line)

    def accept(self, verdict: Verdict) -> None:
        line = verdict.line if self.terms.server_resp_line else b""
        self.wire.say(line or encode(f"+OK {self.terms.ok_line}"))

    def refuse(self, verdict: Verdict) -> None:
        self.wire.pause(verdict.delays)
        line = verdict.line if self.terms.server_resp_line else b""
        if line[:4].upper() != b"-ERR":
            # Whatever it is, it refuses nothing.
            line = b""
        if verdict.status == protocols.LOCAL_FAILURE:
            line = b"-ERR %bAuthentication failure, mate" % self._code(verdict)
        self.wire.say(line or b"-ERR %b%b" % (self._code(verdict), encode(verdict.status)))

    def farewell(self, reason: str, *, unasked: bool = False) -> None:
        # Each line of ours answers a command (RFC 1939 section 3).
        if not unasked:
            self.wire.say(encode(f"-ERR {reason}"))

    def _code(self, verdict: Verdict) -> bytes:
        """The response code of a refusal, as it stands before its text."""
        code = b"" if self.terms.compat else codes.code_for(verdict, codes.POP3)
        return b"[%b] " % code if code else b""

    def _sorry(self, line: bytes) -> None:
        self.wire.pause()
        self.wire.say(line)

    def _authenticate(self, argument: bytes) -> Talk[Login | None]:
        """The log-in of AUTH; None where the client has been told that there is none."""
        mechanism, space, initial = argument.partition(b" ")
        if not mechanism:
            # Programs of before RFC 5034 ask so which mechanisms there are.
            self.wire.say(b"+OK")
            for each in self._mechanisms():
                self.wire.say(each.encode())
            self.wire.say(b".")
            return None
        name = mechanism.upper().decode("ascii", "replace")
        if name in self.terms.mechanisms and self.terms.takes_no_login(self.in_tls):
            return IN_VAIN
        offered = sasl.usable(self.terms, self.certified is not None)
        if name not in offered:
            self.wire.say(b"-ERR Unknown SASL mechanism, mate")
            return None
        try:
            first = sasl.decode_initial(initial) if space else None
            return (yield from sasl.take(mechanism, offered, first, self.challenge, self.certified))
        except sasl.BadResponse as error:
            self._sorry(encode(f"-ERR {error}"))
        except sasl.Cancelled:
            self._sorry(b"-ERR AUTH cancelled, mate")
        return None

    def _mechanisms(self) -> tuple[str, ...]:
        """The mechanisms to announce: none where a log-in would be refused."""
        if self.terms.takes_no_login(self.in_tls):
            return ()
        return sasl.usable(self.terms, self.certified is not None)

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
        if self.terms.grows:
            if self.terms.takes_no_login(self.in_tls):
                # RFC 2449 section 6.3: it says that USER and PASS can be used.
                words = tuple(each for each in words if each != "USER")
            elif mechanisms := self._mechanisms():
                words += (" ".join(("SASL", *mechanisms)),)
            words += "RESP-CODES", "AUTH-RESP-CODE"
        if self.is_trusted:
            words += (XCLIENT,)
        return words or ("",)


@functools.lru_cache(maxsize=64)
def greeting(host: str, token: str, is_trusted: bool, /) -> bytes:
    """The greeting, with host as our name."""
    code = XCLIENT_CODE if is_trusted else b""
    return b"+OK %bPOP3 perditon ready on %b" % (code, encode(f"{host} {token}"))


NO_SASL = Verdict(False, protocols.NO_MECHANISM, delays=2)


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
        # What the server announces, where it has been asked already and that still counts.
        self.announced: list[bytes] | None = None

    def negotiate(self) -> Talk[Ready | TlsWanted | Verdict]:
        if self.asked_for_tls:
            return READY
        greeting = yield from self.wire.read_line(LINE_LIMIT)
        if not _is_ok(greeting) or _is_ours(greeting, self.terms.token):
            return Verdict(False, protocols.NEGOTIATION_FAILED)
        self.takes_xclient = XCLIENT_CODE in greeting
        if not self.terms.tls_outgoing:
            return READY
        words = yield from self._capabilities()
        if b"STLS" in words:
            self.wire.say(b"STLS")
            answer = yield from self.wire.read_line(LINE_LIMIT)
            if not _is_ok(answer):
                return Verdict(False, protocols.NEGOTIATION_FAILED)
            self.asked_for_tls = True
            return TlsWanted()
        if self.terms.tls_outgoing_force:
            return Verdict(False, protocols.TLS_NOT_PRESENT)
        self.announced = words
        return READY

    def log_in(self, login: Login) -> Talk[Verdict | Challenge]:
        """By USER and PASS, which need no capabilities and two round trips, if they can say it."""
        # What it said out of turn would be taken for the answer.
        self.wire.take_unread()
        user = encode(login.user)
        said = user + login.password
        if login.exchange is not None or login.authorisation is not None or BREAKING.search(said):
            return (yield from self._authenticate(login))
        is_long = len(said) > WORD_LIMIT and max(len(user), len(login.password)) > WORD_LIMIT
        if not self.terms.compat and (is_long or b" " in user or not said.isascii()):
            # RFC 6856 section 2 has them in ASCII alone, what a command may hold is little, and a
            # name in two words is refused, by us as well. Where there is nothing better, they go
            # as they are.
            answer = yield from self._authenticate(login)
            if answer != NO_SASL:
                return answer
        introduced = self._introduce()
        read_line = self.wire.read_line
        self.wire.say(b"USER " + user)
        if introduced:
            self.was_told = _is_ok((yield from read_line(LINE_LIMIT)))
        line = yield from read_line(LINE_LIMIT)
        if _is_ok(line):
            self.wire.say(b"PASS " + login.password, secret=True)
            line = yield from read_line(LINE_LIMIT)
        elif not self.terms.compat:
            return (yield from self._otherwise(login, self._verdict(line)))
        return self._verdict(line)

    def _otherwise(self, login: Login, refusal: Verdict) -> Talk[Verdict | Challenge]:
        """By AUTH PLAIN, where USER is refused because the server does not have it.

        RFC 2449 section 6.3: it does not announce it then. Where it was not asked what it has, it
        is not asked now: who was refused would wait for the answer.
        """
        if any(line.split()[:1] == [b"USER"] for line in self.announced or [b"USER"]):
            return refusal
        answer = yield from self._authenticate(login)
        return refusal if answer == NO_SASL else answer

    def respond(self, response: bytes | None) -> Talk[Verdict | Challenge]:
        self.wire.say(sasl.say_response(response), secret=True)
        return (yield from self._outcome())

    def _authenticate(self, login: Login) -> Talk[Verdict | Challenge]:
        """AUTH with the client's first message, at once where the line is short enough."""
        mechanism, message = sasl.first_of(login)
        capabilities = yield from self._announced()
        lists = [words for words in map(bytes.split, capabilities) if words[:1] == [b"SASL"]]
        if not sasl.may_succeed(mechanism, message, frozenset().union(*lists)):
            return NO_SASL
        introduced = self._introduce()
        first = base64.b64encode(message) or b"="
        command = b"AUTH %b %b" % (mechanism, first)
        is_short = len(command) + len(b"\r\n") <= COMMAND_LIMIT
        self.wire.say(command if is_short else b"AUTH " + mechanism, secret=is_short)
        if introduced:
            self.was_told = _is_ok((yield from self.wire.read_line(LINE_LIMIT)))
        if not is_short:
            line = yield from self.wire.read_line(LINE_LIMIT)
            if not CHALLENGE.match(line):
                return self._verdict(line)
            # RFC 5034 section 4 has nothing behind the plus; some say there what they wait for.
            self.wire.say(first, secret=True)
        return (yield from self._outcome())

    def _outcome(self) -> Talk[Verdict | Challenge]:
        """The next word of the server in AUTH."""
        line = yield from self.wire.read_line(LINE_LIMIT)
        if CHALLENGE.match(line):
            return sasl.challenge(line[2:])
        return self._verdict(line)

    def _verdict(self, line: bytes) -> Verdict:
        """What an answer to the log-in says."""
        if _is_ok(line):
            return Verdict(True, protocols.OK, line)
        if not line[:4].upper() == b"-ERR" and not self.terms.compat:
            raise ProtocolError("neither +OK nor -ERR")
        return Verdict(False, protocols.REFUSED, line, code=codes.code_in(line))

    def _introduce(self) -> bool:
        """Say who the client is, where the server takes that; its answer comes first then."""
        client = self.introduction.client
        if client is None or not self.takes_xclient:
            return False
        self.takes_xclient = False
        self.wire.say(client_identity.to_xclient(client))
        return True

    def leave(self) -> Talk[None]:
        self.wire.say(b"QUIT")
        yield from self.wire.read_line(LINE_LIMIT)

    def _announced(self) -> Talk[list[bytes]]:
        """What the server announces, asked for once."""
        if self.announced is None:
            self.announced = yield from self._capabilities()
        return self.announced

    def _capabilities(self) -> Talk[list[bytes]]:
        self.wire.say(b"CAPA")
        answer = yield from self.wire.read_line(LINE_LIMIT)
        words: list[bytes] = []
        if not _is_ok(answer):
            return words
        while (line := (yield from self.wire.read_line(CAPA_LINE_LIMIT))) != b".":
            words.append(line.upper())
            if len(words) > CAPA_LIMIT:
                raise ProtocolError("no end of the capability list")
        return words


def _is_ok(answer: bytes) -> bool:
    return answer[:4].upper() in (b"+OK ", b"+OK")


def _is_ours(greeting: bytes, token: str) -> bool:
    """Whether the real server is a proxy with our configuration: we would go round in a circle."""
    if b"POP3 perditon ready on " not in greeting:
        return False
    ours = rb"\+OK (\[XCLIENT\] )?POP3 perditon ready on \S+ " + token.encode()
    return re.fullmatch(ours, greeting) is not None
