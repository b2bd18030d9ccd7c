"""IMAP4 (RFC 3501, RFC 9051, RFC 7888): our side towards the client and the real server."""

import functools
import itertools
import re
import string
from collections.abc import Iterator

from perdition import protocols
from perdition.protocols import (
    READY,
    Login,
    ProtocolError,
    Quit,
    Ready,
    Talk,
    Terms,
    TlsWanted,
    Verdict,
    decode,
    encode,
)
from perdition.protocols.capability import capabilities
from perdition.protocols.wire import Wire

LINE_LIMIT = 16384
LITERAL_LIMIT = 4096
RESPONSE_LITERAL_LIMIT = 65536
UNTAGGED_LIMIT = 256

# tag = 1*<any ASTRING-CHAR except "+">; the original takes "+" and "[" and "}", and refuses "]"
TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
# quoted = DQUOTE *QUOTED-CHAR DQUOTE; a backslash before any other character stands for itself
QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# literal = "{" number64 ["+"] "}" CRLF *CHAR8
LITERAL = re.compile(rb"\{(\d{1,20})(\+?)\}")
# The same at the end of a line of the server, which waits for nothing
LITERAL_AHEAD = re.compile(rb"\{(\d{1,20})\}$")
# resp-text-code = "[" capability-data "]", in the greeting and in the answer to LOGIN
CAPABILITY_CODE = re.compile(rb"(?:\* )?OK \[CAPABILITY ([^]]*)\]", re.IGNORECASE)
TAG_CHARACTERS = string.digits + string.ascii_lowercase + string.ascii_uppercase
TAGS = tuple(f"flim{a}{b}".encode() for a in TAG_CHARACTERS for b in TAG_CHARACTERS)
# RFC 7888 section 5: what LITERAL- lets be sent without being waited for.
LITERAL_MINUS_LIMIT = 4096
WITHOUT_ARGUMENT = (b"NOOP", b"CAPABILITY", b"LOGOUT", b"STARTTLS")


class BadLogin(Exception):
    """The arguments of LOGIN are not two astrings."""


class ClientSide:
    """We are the IMAP server (reference: protocols.md sections 3.1 to 3.4)."""

    def __init__(self, wire: Wire, terms: Terms) -> None:
        self.wire = wire
        self.terms = terms
        self.in_tls = False
        self.tag = b"*"

    def greet(self, host: str) -> None:
        self.wire.say(greeting(self.terms, host, self.in_tls))

    def tls_started(self) -> None:
        self.in_tls = True

    def take_login(self) -> Talk[Login | TlsWanted | Quit]:
        say = self.wire.say
        while True:
            line = yield from self.wire.read_line(LINE_LIMIT)
            tag, space, rest = line.partition(b" ")
            if not TAG.fullmatch(tag):
                self._sorry(b"* BAD Invalid tag, mate")
                continue
            self.tag = tag
            word, space_after, argument = rest.partition(b" ")
            command = word.upper()
            match command:
                case b"" if not space:
                    self._sorry(tag + b" BAD Missing command, mate")
                case b"":
                    self._sorry(tag + b" BAD Null command, mate")
                case _ if space_after and command in WITHOUT_ARGUMENT:
                    self._sorry(
                        b"%b BAD Argument given to %b but there shouldn't be one, mate"
                        % (tag, command)
                    )
                case b"NOOP":
                    say(tag + b" OK NOOP")
                case b"CAPABILITY":
                    say(b"* CAPABILITY " + announced(self.terms, self.in_tls))
                    say(tag + b" OK CAPABILITY")
                case b"LOGOUT":
                    say(b"* BYE IMAP4 server logging out, mate")
                    say(tag + b" OK LOGOUT")
                    return Quit()
                case b"STARTTLS" if not self.terms.tls_listen:
                    self._sorry(tag + b" BAD STARTTLS disabled, mate")
                case b"STARTTLS" if self.in_tls:
                    self._sorry(tag + b" BAD SSL already active, mate")
                case b"STARTTLS":
                    say(tag + b" OK Begin TLS negotiation now")
                    return TlsWanted()
                case b"AUTHENTICATE" if argument and b" " not in argument:
                    say(tag + b" NO AUTHENTICATE mechanism not supported, mate")
                case b"AUTHENTICATE":
                    self._sorry(tag + b" BAD Mate, try AUTHENTICATE <mechanism>")
                case b"LOGIN":
                    try:
                        return (yield from self._take_arguments(argument))
                    except BadLogin:
                        self._sorry(tag + b" BAD Mate, try LOGIN <username> <passwd>")
                case _:
                    self._sorry(tag + b" BAD Unrecognised command, mate")

    def accept(self, verdict: Verdict) -> None:
        line = verdict.line if self.terms.server_resp_line else b""
        self.wire.say(self.tag + b" " + (line or encode(f"OK {self.terms.ok_line}")))

    def refuse(self, verdict: Verdict) -> None:
        self.wire.pause(verdict.delays)
        if verdict.status == protocols.LOCAL_FAILURE:
            self.wire.say(self.tag + b" NO Authentication failure")
        else:
            line = verdict.line if self.terms.server_resp_line else b""
            code = "[UNAVAILABLE] " if verdict.is_temporary else ""
            self.wire.say(self.tag + b" " + (line or encode(f"NO {code}{verdict.status}")))

    def farewell(self, reason: str) -> None:
        self.wire.say(encode(f"* BYE {reason}"))

    def _sorry(self, line: bytes) -> None:
        self.wire.pause()
        self.wire.say(line)

    def _take_arguments(self, rest: bytes) -> Talk[Login]:
        """The two astrings after LOGIN; rest is what stands on the command's line.

        Raises:
            BadLogin: there are not just two of them; the whole command has been read.
            ProtocolError: a literal that does not wait for us is too long to be read over.
        """
        user, rest = yield from self._take_astring(rest)
        if not rest.startswith(b" "):
            raise BadLogin
        password, rest = yield from self._take_astring(rest[1:])
        if rest:
            raise BadLogin
        return Login(decode(user), password)

    def _take_astring(self, text: bytes) -> Talk[tuple[bytes, bytes]]:
        """The astring at the start of text, and what follows it on its line."""
        if literal := LITERAL.fullmatch(text):
            size = int(literal[1])
            if size > LITERAL_LIMIT:
                if literal[2]:
                    raise ProtocolError("literal too long")
                raise BadLogin
            if not literal[2]:
                self.wire.say(b"+ OK ready for additional input")
            octets = yield from self.wire.read_exactly(size)
            return octets, (yield from self.wire.read_line(LINE_LIMIT))
        if quoted := QUOTED.match(text):
            unescaped = re.sub(rb'\\(["\\])', rb"\1", quoted[1])
            return unescaped, text[quoted.end() :]
        if not text or text.startswith((b" ", b'"')):
            raise BadLogin
        atom, space, rest = text.partition(b" ")
        return atom, space + rest


@functools.lru_cache(maxsize=64)
def greeting(terms: Terms, host: str, in_tls: bool, /) -> bytes:
    """The greeting, with host as our name."""
    words, name = announced(terms, in_tls), encode(f"{host} {terms.token}")
    return b"* OK [CAPABILITY %b] perdition ready on %b" % (words, name)


def announced(terms: Terms, in_tls: bool) -> bytes:
    """The capabilities in this state of the link (reference: protocols.md section 3.2)."""
    must_start = not in_tls if terms.tls_listen_force else None
    words = capabilities(
        terms.capability,
        " ",
        STARTTLS=terms.tls_listen and not in_tls,
        LOGINDISABLED=True if terms.login_disabled else must_start,
    )
    return encode(" ".join(words))


def tags() -> Iterator[bytes]:
    """Our own tags, in the original's order: flim07, flim08, ... flim0z, flim0A, ... flim10."""
    return itertools.islice(itertools.cycle(TAGS), 7, None)


class ServerSide:
    """We are the IMAP client (reference: protocols.md section 3.5).

    What the server says of its own accord meanwhile is sent on to the client.
    """

    def __init__(self, wire: Wire, terms: Terms, *, client: Wire, tags: Iterator[bytes]) -> None:
        self.wire = wire
        self.terms = terms
        self.client = client
        self.tags = tags
        self.asked_for_tls = False
        # What the greeting announces, if that counts and need not be asked for.
        self.announced: list[bytes] = []

    def negotiate(self) -> Talk[Ready | TlsWanted | Verdict]:
        if self.asked_for_tls:
            return READY
        greeting = yield from self.wire.read_line(LINE_LIMIT)
        if not greeting.startswith(b"* "):
            raise ProtocolError("no greeting of an IMAP server")
        if _words(greeting)[:2] != [b"*", b"OK"] or self._is_ours(greeting):
            return Verdict(False, protocols.NEGOTIATION_FAILED)
        if self.terms.tls_outgoing:
            return (yield from self._arrange_tls())
        if code := CAPABILITY_CODE.match(greeting):
            self.announced = _words(code[1])
        return READY

    def log_in(self, login: Login) -> Talk[Verdict]:
        words = self.announced or (yield from self._capabilities())
        if b"LOGINDISABLED" in words:
            return Verdict(False, protocols.LOGIN_DISABLED, goodbye=False, delays=2)
        user = encode(login.user)
        if b"LITERAL+" in words or (
            b"LITERAL-" in words and max(len(user), len(login.password)) <= LITERAL_MINUS_LIMIT
        ):
            # RFC 7888: all of it at once.
            tag = self._command(b"LOGIN {%d+}" % len(user))
            self.wire.say(b"%b {%d+}" % (user, len(login.password)))
            self.wire.say(login.password, secret=True)
            return self._told((yield from self._tagged(tag)))
        tag = self._command(b"LOGIN {%d}" % len(user))
        answer = yield from self._tagged_or_continuation(tag)
        if answer is None:
            self.wire.say(b"%b {%d}" % (user, len(login.password)))
            answer = yield from self._tagged_or_continuation(tag)
        if answer is None:
            self.wire.say(login.password, secret=True)
            answer = yield from self._tagged(tag)
        return self._told(answer)

    def _told(self, answer: Verdict) -> Verdict:
        """The answer to LOGIN; the client is told what the server announces with it.

        The tagged response does not reach the client, which gets our text. A server that has been
        asked before LOGIN, as 2.2 asks always, announces it in an untagged one (Dovecot does).
        """
        if self.announced and answer.accepted and (code := CAPABILITY_CODE.match(answer.line)):
            self.client.say(b"* CAPABILITY " + code[1])
        return answer

    def leave(self) -> Talk[None]:
        tag = self._command(b"LOGOUT")
        for _ in range(UNTAGGED_LIMIT):
            if (yield from self._response()).startswith(tag + b" "):
                return

    def _arrange_tls(self) -> Talk[Ready | TlsWanted | Verdict]:
        if b"STARTTLS" in (yield from self._capabilities()):
            tag = self._command(b"STARTTLS")
            answer = yield from self._tagged(tag)
            if answer.accepted:
                self.asked_for_tls = True
                return TlsWanted()
        elif not self.terms.tls_outgoing_force:
            return READY
        return Verdict(False, protocols.NEGOTIATION_FAILED)

    def _is_ours(self, greeting: bytes) -> bool:
        """Whether the real server is a proxy with our configuration: we would go in a circle."""
        if b"perdition ready on " not in greeting:
            return False
        ours = rb"\* OK (\[.*\] )?perdition ready on \S+ " + self.terms.token.encode()
        return re.fullmatch(ours, greeting) is not None

    def _command(self, command: bytes) -> bytes:
        tag = next(self.tags)
        self.wire.say(tag + b" " + command)
        return tag

    def _capabilities(self) -> Talk[list[bytes]]:
        """What the server announces; other untagged responses go to the client.

        Raises:
            ProtocolError: it announces nothing.
        """
        tag = self._command(b"CAPABILITY")
        words: list[bytes] | None = None
        for _ in range(UNTAGGED_LIMIT):
            response = yield from self._response()
            if _words(response)[:2] == [b"*", b"CAPABILITY"]:
                words = _words(response)
            elif response.startswith(b"* "):
                self.client.say(response)
            elif response.startswith(tag + b" ") and words is not None:
                return words
            else:
                break
        raise ProtocolError("no answer to CAPABILITY")

    def _tagged(self, tag: bytes) -> Talk[Verdict]:
        """The answer to the command of that tag."""
        answer = yield from self._tagged_or_continuation(tag)
        if answer is None:
            raise ProtocolError("continuation request out of place")
        return answer

    def _tagged_or_continuation(self, tag: bytes) -> Talk[Verdict | None]:
        """The answer to the command of that tag, None where the server waits for more of it."""
        for _ in range(UNTAGGED_LIMIT):
            response = yield from self._response()
            if response.startswith(b"+"):
                return None
            if not response.startswith(b"* "):
                got, _space, line = response.partition(b" ")
                if got != tag:
                    raise ProtocolError("answer with another tag")
                accepted = line.split(b" ", 1)[0].upper() == b"OK"
                return Verdict(accepted, protocols.OK if accepted else protocols.REFUSED, line)
            self.client.say(response)
        raise ProtocolError("no end of untagged responses")

    def _response(self) -> Talk[bytes]:
        """A response whole, with the literals in it (RFC 9051 section 4.3)."""
        response = yield from self.wire.read_line(LINE_LIMIT)
        while response.endswith(b"}") and (literal := LITERAL_AHEAD.search(response)):
            size = int(literal[1])
            if size + len(response) > RESPONSE_LITERAL_LIMIT:
                raise ProtocolError("literal too long")
            octets = yield from self.wire.read_exactly(size)
            response += b"\r\n" + octets + (yield from self.wire.read_line(LINE_LIMIT))
            if len(response) > RESPONSE_LITERAL_LIMIT:
                raise ProtocolError("response too long")
        return response


def _words(response: bytes) -> list[bytes]:
    return response.upper().split(b" ")
