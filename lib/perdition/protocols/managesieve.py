"""ManageSieve (RFC 5804): our side towards the client and towards the real server."""

import base64
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
    encode,
    sasl,
)
from perdition.protocols.capability import capabilities
from perdition.protocols.client_identity import NOBODY, BadIdentity, Introduction, Pairs, Told
from perdition.protocols.managesieve_strings import (
    LITERAL_MARK,
    QUOTED,
    QUOTED_LIMIT,
    quote,
    string,
)
from perdition.protocols.sasl import BadResponse
from perdition.protocols.wire import LINE_LIMIT, Wire

LITERAL_LIMIT = 4096
CAPABILITY_LIMIT = 64
# Of a command; XCLIENT has six.
ARGUMENTS_LIMIT = 64

# literal-c2s = "{" number "+}" CRLF *OCTET; the original takes it without "+" as well
LITERAL = re.compile(rb"\{(\d{1,10})\+?\}$")
# The same in a response that was read whole
LITERAL_INSIDE = re.compile(rb"\{(\d{1,10})\+?\}\r\n")
# resp-code-sasl = "SASL" SP string
SUCCESS_DATA = re.compile(rb'OK \(SASL (?:"([^"]*)"|\{\d+\+?\}\r\n([^)]*))\)', re.IGNORECASE)


class ClientSide:
    """We are the ManageSieve server (reference: protocols.md sections 4.1 and 4.2)."""

    def __init__(self, wire: Wire, terms: Terms) -> None:
        self.wire = wire
        self.terms = terms
        self.offer_tls = terms.tls_listen
        self.in_tls = False
        self.certified: str | None = None
        self.limit = sasl.line_limit(terms.mechanisms, LINE_LIMIT)
        self.literal_limit = sasl.line_limit(terms.mechanisms, LITERAL_LIMIT)
        self.greeted = False
        self.is_trusted = False
        self.pairs: Pairs = ()

    def greet(self, host: str) -> None:
        self._say_capabilities(f"perdition ready on {host} {self.terms.token}")

    def tls_started(self, certified: str | None = None) -> None:
        self.in_tls = True
        self.certified = certified
        if self.greeted:
            self._say_capabilities("TLS negotiation completed, mate")

    def take_login(self) -> Talk[Login | TlsWanted | Quit | Told]:
        self.greeted = True
        while True:
            line = yield from self.wire.read_line(self.limit)
            word, space, rest = line.partition(b" ")
            # It makes the command unknown, and what is in it is no command.
            sticking = None if space else LITERAL.search(word)
            text = sticking[0] if sticking else rest
            arguments: list[bytes] = []
            if space or sticking:
                arguments = yield from self._take_arguments(text)
            command = word.upper()
            match command, len(arguments):
                case b"CAPABILITY", 0:
                    self._say_capabilities("CAPABILITY completed, mate")
                case b"NOOP", 0:
                    self._say("OK", "NOOP completed, mate")
                case b"NOOP", 1 if (tag := string(arguments[0])) is not None:
                    self.wire.say(b'OK (TAG %b) "NOOP completed, mate"' % quote(tag))
                case b"NOOP", 1:
                    self._sorry("Invalid argument, expected NOOP [String], mate")
                case b"NOOP", _:
                    self._sorry("Too many arguments, expected NOOP [String], mate")
                case b"LOGOUT", 0:
                    self._say("OK", "LOGOUT completed, mate")
                    return Quit()
                case b"STARTTLS", 0 if self.offer_tls and not self.in_tls:
                    self._say("OK", "Begin TLS negotiation, mate")
                    return TlsWanted()
                case b"XCLIENT", _ if self.is_trusted or not self.terms.compat:
                    if (told := self._take_xclient(b" ".join(arguments))) is not None:
                        return told
                case ((b"CAPABILITY" | b"LOGOUT"), _):
                    self._sorry(f"Too many arguments, expected {command.decode()}, mate")
                case b"STARTTLS", count if count and self.offer_tls and not self.in_tls:
                    self._sorry("Too many arguments, expected STARTTLS, mate")
                case b"AUTHENTICATE", 1 if self.terms.takes_no_login(self.in_tls) and (
                    not self.terms.compat
                ):
                    return IN_VAIN
                case b"AUTHENTICATE", (1 | 2):
                    try:
                        return (yield from self._authenticate(*arguments))
                    except BadResponse as error:
                        self._sorry(str(error))
                case b"AUTHENTICATE", _ if arguments[1:2] and arguments[1].startswith(LITERAL_MARK):
                    self._sorry('Invalid AUTHENTICATE "PLAIN" challenge, mate')
                case b"AUTHENTICATE", _:
                    self._sorry(
                        "Incorrect argument count, expected AUTHENTICATE <mechanism>"
                        " [<challenge>], mate"
                    )
                case _:
                    self._sorry("Unknown command, mate")

    def challenge(self, octets: bytes) -> Talk[bytes | None]:
        self.wire.say(quote(base64.b64encode(octets)), secret=True)
        line = yield from self.wire.read_line(self.limit)
        response, *more = (yield from self._take_arguments(line)) or [b""]
        if more:
            raise BadResponse('Invalid AUTHENTICATE "PLAIN" challenge, mate')
        return self._response(response)

    def accept(self, verdict: Verdict) -> None:
        if verdict.line and self.terms.server_resp_line:
            self.wire.say(verdict.line)
        elif verdict.success_data is not None:
            data = quote(base64.b64encode(verdict.success_data))
            line = b"OK (SASL %b) %b" % (data, quote(encode(self.terms.ok_line)))
            self.wire.say(line, secret=True)
        else:
            self._say("OK", self.terms.ok_line)

    def refuse(self, verdict: Verdict) -> None:
        self.wire.pause(verdict.delays)
        if verdict.line and self.terms.server_resp_line:
            self.wire.say(verdict.line)
            return
        must_start = self.terms.must_start_tls(self.in_tls)
        code = codes.code_for(verdict, codes.MANAGESIEVE, must_start_tls=must_start).decode()
        if self.terms.compat:
            code = ""
        self._say(f"NO ({code})" if code else "NO", verdict.status)

    def farewell(self, reason: str, *, unasked: bool = False) -> None:
        self._say("BYE", reason)

    def _authenticate(self, mechanism: bytes, response: bytes | None = None) -> Talk[Login]:
        """The log-in of AUTHENTICATE, with or without an initial response (RFC 5804, 2.1)."""
        name = (string(mechanism) or b"") if mechanism.startswith(b'"') else b""
        offered, certified = self.terms.mechanisms, self.certified
        sasl.check(name, offered, certified)
        if response is None and self.terms.compat and self.terms.takes_no_login(self.in_tls):
            # 2.2 never asks for a password; nor do we where it would be refused.
            raise BadResponse(
                'Incorrect argument count, expected AUTHENTICATE "PLAIN" <challenge>, mate'
            )
        first = None if response is None else self._response(response)
        return (yield from sasl.take(name, offered, first, self.challenge, certified))

    def _response(self, argument: bytes) -> bytes:
        """The octets of a response; * breaks the exchange off, and is not in base64.

        RFC 5804 section 4 has 1024 octets in a quoted string. Dovecot takes more, and there are
        clients that write tokens so.

        Raises:
            BadResponse: it is none.
        """
        octets = string(argument)
        is_long = argument.startswith(b'"') and octets is not None and len(octets) > QUOTED_LIMIT
        if octets is None or (is_long and self.terms.compat):
            raise BadResponse('Invalid AUTHENTICATE "PLAIN" challenge, mate')
        return sasl.decode_base64(octets)

    def _take_xclient(self, arguments: bytes) -> Told | None:
        """Who the client of a proxy is, without an answer where the proxy is not trusted."""
        if not self.is_trusted:
            return Told()
        try:
            told = client_identity.from_xclient(arguments)
        except BadIdentity:
            self._sorry("Invalid argument, expected XCLIENT ADDR=<address>, mate")
            return None
        self._say("OK", "Updated")
        return told

    def _take_arguments(self, text: bytes) -> Talk[list[bytes]]:
        """The arguments in text: atoms and quoted strings as they stand, literals as quoted.

        Raises:
            ProtocolError: there are too many, or literals too long, to be read over.
        """
        arguments: list[bytes] = []
        left = self.literal_limit
        while True:
            if literal := LITERAL.match(text):
                size = int(literal[1])
                left -= size
                if left < 0:
                    raise ProtocolError("literal too long")
                octets = yield from self.wire.read_exactly(size)
                arguments.append(LITERAL_MARK + octets)
                text = yield from self.wire.read_line(LINE_LIMIT)
            elif quoted := QUOTED.match(text):
                arguments.append(quoted[0])
                text = text[quoted.end() :]
            else:
                atom, space, rest = text.partition(b" ")
                arguments.append(atom)
                text = space + rest
            if not text:
                return arguments
            if len(arguments) > ARGUMENTS_LIMIT:
                raise ProtocolError("too many arguments")
            if not text.startswith(b" "):
                # What sticks to a string makes it none.
                word, space, rest = text.partition(b" ")
                arguments[-1] = b"?" + arguments[-1] + word
                text = space + rest
                if not text:
                    return arguments
            text = text[1:]

    def _say(self, word: str, text: str) -> None:
        self.wire.say(word.encode() + b" " + quote(encode(text)))

    def _sorry(self, text: str) -> None:
        self.wire.pause()
        self._say("NO", text)

    def _say_capabilities(self, text: str) -> None:
        """The capabilities in this state of the link; no mechanism where a log-in is refused."""
        words = capabilities(
            self.terms.capability, "  ", **{'"STARTTLS"': self.offer_tls and not self.in_tls}
        )
        mechanisms = sasl.usable(self.terms, self.certified is not None)
        refuses = self.terms.must_start_tls(self.in_tls)
        for word in words:
            if word.upper().startswith('"SASL"'):
                if refuses or (self.terms.login_disabled and self.terms.grows):
                    word = '"SASL" ""'  # noqa: PLW2901 - the line said in its place
                elif self.terms.grows:
                    word = f'"SASL" "{" ".join(mechanisms)}"'  # noqa: PLW2901
            self.wire.say(encode(word))
        if self.is_trusted:
            self.wire.say(b'"XCLIENT"')
        self._say("OK", text)


class ServerSide:
    """We are the ManageSieve client (reference: protocols.md section 4.3)."""

    def __init__(
        self, wire: Wire, terms: Terms, introduction: Introduction = NOBODY, **_others: object
    ) -> None:
        self.wire = wire
        self.terms = terms
        self.introduction = introduction
        self.was_told = False
        self.asked_for_tls = False
        # Whether the client knows what the server says in AUTHENTICATE.
        self.is_exchange = False
        # Whether there is an answer to more than that.
        self.was_nudged = False
        self.capabilities: dict[bytes, bytes] = {}

    def negotiate(self) -> Talk[Ready | TlsWanted | Verdict]:
        greeting = yield from self._take_capabilities()
        if not _is_ok(greeting) or self._is_ours(greeting):
            return Verdict(False, protocols.NEGOTIATION_FAILED)
        if self.asked_for_tls or not self.terms.tls_outgoing:
            return READY
        if b"STARTTLS" in self.capabilities:
            self.wire.say(b"STARTTLS")
            answer = yield from self._response()
            if not _is_ok(answer):
                return Verdict(False, protocols.NEGOTIATION_FAILED)
            self.asked_for_tls = True
            return TlsWanted()
        return Verdict(False, protocols.TLS_NOT_PRESENT) if self.terms.tls_outgoing_force else READY

    def log_in(self, login: Login) -> Talk[Verdict | Challenge]:
        mechanism, message = sasl.first_of(login)
        self.is_exchange = login.exchange is not None
        announced = self.capabilities.get(b"SASL", b"").upper().split()
        if not sasl.may_succeed(mechanism, message, announced):
            return Verdict(False, protocols.NO_MECHANISM, goodbye=False, delays=2)
        first = quote(base64.b64encode(message), literal=b"{%d+}")
        introduced = self._introduce()
        self.wire.say(b'AUTHENTICATE "%b" %b' % (mechanism, first), secret=True)
        if introduced:
            self.was_told = _is_ok((yield from self._response()))
        return (yield from self._outcome())

    def respond(self, response: bytes | None) -> Talk[Verdict | Challenge]:
        if response is None:
            self.wire.say(b'"*"')
        else:
            self.wire.say(quote(base64.b64encode(response), literal=b"{%d+}"), secret=True)
        return (yield from self._outcome())

    def nudge(self) -> None:
        """Say something that changes nothing, while the answer to a password is waited for."""
        self.was_nudged = True
        self.wire.say(b"NOOP")

    def _outcome(self) -> Talk[Verdict | Challenge]:
        """The next word of the server in AUTHENTICATE."""
        answer = yield from self._response()
        if self.was_nudged and _is_ok(answer):
            # What it says to that is nobody's; servers without NOOP say NO.
            yield from self._response()
        is_refusal = answer[:2].upper() == b"NO"
        if is_refusal or (self.terms.compat and not self.is_exchange and not _is_ok(answer)):
            # For 2.2 challenges and BYE are refusals as well.
            return Verdict(False, protocols.REFUSED, answer, code=codes.code_in(answer))
        if literal := LITERAL_INSIDE.match(answer):
            return sasl.challenge(answer[literal.end() :][: int(literal[1])])
        if answer.startswith(b'"'):
            return sasl.challenge(string(answer) or b"")
        if not _is_ok(answer):
            raise ProtocolError("neither OK nor NO")
        # That of PLAIN says nothing to a client that has not asked for it.
        data = SUCCESS_DATA.match(answer) if self.is_exchange else None
        word = sasl.challenge(data[1] or data[2] or b"").octets if data else None
        is_revocable = b"UNAUTHENTICATE" in self.capabilities
        return Verdict(True, protocols.OK, answer, success_data=word, is_revocable=is_revocable)

    def _introduce(self) -> bool:
        """Say who the client is, where the server takes that; its answer comes first then."""
        client = self.introduction.client
        if client is None or b"XCLIENT" not in self.capabilities:
            return False
        self.wire.say(client_identity.to_xclient(client))
        return True

    def leave(self) -> Talk[None]:
        self.wire.say(b"LOGOUT")
        yield from self._response()

    def _is_ours(self, greeting: bytes) -> bool:
        """Whether the real server is a proxy with our configuration: we would go in a circle."""
        ours = rb'OK "perdition ready on \S+ ' + self.terms.token.encode() + rb'"'
        return re.fullmatch(ours, greeting) is not None

    def _response(self) -> Talk[bytes]:
        """A line whole, with the literals in it: of a response, there may be several.

        What is left unread would be taken for the next one, or reach the client by itself.

        Raises:
            ProtocolError: they are too long.
        """
        line = response = yield from self.wire.read_line(LINE_LIMIT)
        while literal := LITERAL.search(line):
            if int(literal[1]) > LITERAL_LIMIT or len(response) > LINE_LIMIT:
                raise ProtocolError("literal too long")
            octets = yield from self.wire.read_exactly(int(literal[1]))
            line = yield from self.wire.read_line(LINE_LIMIT)
            response += b"\r\n" + octets + line
        return response

    def _take_capabilities(self) -> Talk[bytes]:
        """Read what the server announces, up to the line that begins with an atom: returned."""
        self.capabilities = {}
        for _ in range(CAPABILITY_LIMIT):
            line = yield from self._response()
            name = QUOTED.match(line)
            if not name:
                return line
            value = line[name.end() :].strip(b" ")
            if literal := LITERAL_INSIDE.match(value):
                value = value[literal.end() :][: int(literal[1])]
            elif quoted := QUOTED.match(value):
                value = quoted[1]
            self.capabilities[name[1].upper()] = value
        raise ProtocolError("no end of the capabilities")


def _is_ok(answer: bytes) -> bool:
    return re.match(rb"ok(\s|$)", answer, re.IGNORECASE) is not None
