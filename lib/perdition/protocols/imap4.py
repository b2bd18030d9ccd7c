"""IMAP4 (RFC 3501, 9051, 4959, 7888): our side towards the client and towards the real server."""

import base64
import functools
import itertools
import re
import string
from collections.abc import Iterator
from typing import NamedTuple

from perdition import protocols
from perdition.protocols import (
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
    imap_id,
    sasl,
)
from perdition.protocols.capability import capabilities
from perdition.protocols.client_identity import NOBODY, BadIdentity, Introduction, Pairs, Told
from perdition.protocols.imap_id import BadList
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
# resp-text-code = "[" capability-data "]", in the greeting
CAPABILITY_CODE = re.compile(rb"OK \[CAPABILITY ([^]]*)\]", re.IGNORECASE)
CAPABILITY_RESPONSE = re.compile(rb"\* CAPABILITY(?: (.*))?$", re.IGNORECASE | re.DOTALL)
ID_RESPONSE = re.compile(rb"\* ID(?: |$)", re.IGNORECASE)
TAG_CHARACTERS = string.digits + string.ascii_lowercase + string.ascii_uppercase
TAGS = tuple(f"flim{a}{b}".encode() for a in TAG_CHARACTERS for b in TAG_CHARACTERS)
# RFC 7888 section 5: what LITERAL- lets be sent without being waited for.
LITERAL_MINUS_LIMIT = 4096
# Name and password together, in octets: Dovecot 2.3 reads LOGIN into 1024, AUTHENTICATE into 8192.
LOGIN_LIMIT = 512
# mechanism [SP initial-resp], as octets that are no blanks
AUTHENTICATE = re.compile(rb"[^ ]+(?: [^ ]+)?")
WITHOUT_ARGUMENT = (b"NOOP", b"CAPABILITY", b"LOGOUT", b"STARTTLS")


class BadLogin(Exception):
    """The arguments of LOGIN are not two astrings."""


class ClientSide:
    """We are the IMAP server (reference: protocols.md sections 3.1 to 3.4)."""

    def __init__(self, wire: Wire, terms: Terms) -> None:
        self.wire = wire
        self.terms = terms
        self.in_tls = False
        self.certified: str | None = None
        self.limit = sasl.line_limit(terms.mechanisms, LINE_LIMIT)
        self.tag = b"*"
        self.is_trusted = False
        self.pairs: Pairs = ()

    def greet(self, host: str) -> None:
        certified = self.certified is not None
        self.wire.say(greeting(self.terms, host, self.in_tls, certified, self.is_trusted))

    def tls_started(self, certified: str | None = None) -> None:
        self.in_tls = True
        self.certified = certified
        self.pairs = ()

    def take_login(self) -> Talk[Login | TlsWanted | Quit | Told]:
        say = self.wire.say
        while True:
            line = yield from self.wire.read_line(self.limit)
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
                    certified, trusted = self.certified is not None, self.is_trusted
                    words = announced(self.terms, self.in_tls, certified, trusted)
                    say(b"* CAPABILITY " + words)
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
                case b"AUTHENTICATE" if AUTHENTICATE.fullmatch(argument) and (
                    b" " not in argument or self.terms.mechanisms
                ):
                    if login := (yield from self._authenticate(*argument.split(b" "))):
                        return login
                case b"ID" if not self.terms.compat:
                    if (told := (yield from self._take_id(argument))) is not None:
                        return told
                case b"AUTHENTICATE":
                    self._sorry(tag + b" BAD Mate, try AUTHENTICATE <mechanism>")
                case b"LOGIN":
                    try:
                        return (yield from self._take_arguments(argument))
                    except BadLogin:
                        self._sorry(tag + b" BAD Mate, try LOGIN <username> <passwd>")
                case _:
                    self._sorry(tag + b" BAD Unrecognised command, mate")

    def challenge(self, octets: bytes) -> Talk[bytes | None]:
        self.wire.say(b"+ " + base64.b64encode(octets))
        line = yield from self.wire.read_line(self.limit)
        return None if line == b"*" else sasl.decode_base64(line)

    def accept(self, verdict: Verdict) -> None:
        line = verdict.line if self.terms.server_resp_line else b""
        if verdict.capabilities and line:
            self.wire.say(b"* CAPABILITY " + verdict.capabilities)
        elif verdict.capabilities:
            line = b"OK [CAPABILITY %b] %b" % (verdict.capabilities, encode(self.terms.ok_line))
        self.wire.say(self.tag + b" " + (line or encode(f"OK {self.terms.ok_line}")))

    def refuse(self, verdict: Verdict) -> None:
        self.wire.pause(verdict.delays)
        line = verdict.line if self.terms.server_resp_line else b""
        if verdict.status == protocols.CANCELLED:
            # RFC 9051 section 6.2.2.
            line = b"BAD AUTHENTICATE cancelled, mate"
        elif verdict.status == protocols.LOCAL_FAILURE:
            line = b"NO %bAuthentication failure" % self._code(verdict)
        self.wire.say(
            self.tag + b" " + (line or b"NO %b%b" % (self._code(verdict), encode(verdict.status)))
        )

    def farewell(self, reason: str) -> None:
        self.wire.say(encode(f"* BYE {reason}"))

    def _code(self, verdict: Verdict) -> bytes:
        """The response code of a refusal, as it stands before its text."""
        if self.terms.compat:
            return b""
        must_start = self.terms.must_start_tls(self.in_tls)
        code = codes.code_for(verdict, codes.IMAP4, must_start_tls=must_start)
        return b"[%b] " % code if code else b""

    def _sorry(self, line: bytes) -> None:
        self.wire.pause()
        self.wire.say(line)

    def _authenticate(self, mechanism: bytes, initial: bytes | None = None) -> Talk[Login | None]:
        """The log-in of AUTHENTICATE; None where the client has been told that there is none."""
        offered = self.terms.mechanisms
        if mechanism.upper().decode("ascii", "replace") not in offered:
            self.wire.say(self.tag + b" NO AUTHENTICATE mechanism not supported, mate")
            return None
        if self.terms.must_start_tls(self.in_tls):
            # Before the password is asked for.
            self._sorry(self.tag + b" NO [PRIVACYREQUIRED] Mate, try STARTTLS first")
            return None
        try:
            first = None if initial is None else sasl.decode_initial(initial)
            return (yield from sasl.take(mechanism, offered, first, self.challenge, self.certified))
        except sasl.BadResponse as error:
            self._sorry(b"%b BAD %b" % (self.tag, encode(str(error))))
        except sasl.Cancelled:
            self._sorry(self.tag + b" BAD AUTHENTICATE cancelled, mate")
        return None

    def _take_id(self, argument: bytes) -> Talk[Told | None]:
        """Keep what the client says of its program (RFC 2971), and answer.

        Returns:
            Who its own client is, if it says so; without an answer where it is not trusted.
        """
        told = None
        try:
            pairs = yield from imap_id.take_list(self.wire, argument)
            if client_identity.is_claimed(pairs):
                if not self.is_trusted:
                    return Told()
                told = client_identity.from_pairs(pairs)
        except (BadList, BadIdentity):
            self._sorry(self.tag + b" BAD Mate, try ID NIL or ID (<field> <value>)")
            return None
        self.pairs = imap_id.handed_on(pairs)
        self.wire.say(b'* ID ("name" "perdition")')
        self.wire.say(self.tag + b" OK ID completed")
        return told

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
def greeting(terms: Terms, host: str, /, *state: bool) -> bytes:
    """The greeting, with host as our name; state is what `announced` is told of the link."""
    words, name = announced(terms, *state), encode(f"{host} {terms.token}")
    return b"* OK [CAPABILITY %b] perdition ready on %b" % (words, name)


def announced(terms: Terms, in_tls: bool, is_certified: bool, is_trusted: bool) -> bytes:
    """The capabilities in this state of the link (reference: protocols.md section 3.2).

    Args:
        terms: those of the dialogue.
        in_tls: whether the link is encrypted.
        is_certified: whether the client has shown a certificate that names a user.
        is_trusted: whether it may say with ID who its own client is, and has to see that.
    """
    must_start = not in_tls if terms.tls_listen_force else None
    words = capabilities(
        " ".join((terms.capability, *added(terms, in_tls, is_certified))),
        " ",
        STARTTLS=terms.tls_listen and not in_tls,
        LOGINDISABLED=True if terms.login_disabled else must_start,
        ID=True if is_trusted else None,
    )
    return encode(" ".join(words))


def added(terms: Terms, in_tls: bool, is_certified: bool) -> tuple[str, ...]:
    """What there is beside 2.2's own list: no mechanism where a log-in would be refused."""
    if not terms.grows:
        return ()
    if terms.login_disabled or terms.must_start_tls(in_tls):
        return ("LITERAL-", "ID")
    return (
        "LITERAL-",
        "ID",
        "SASL-IR",
        *(f"AUTH={each}" for each in sasl.usable(terms, is_certified)),
    )


def tags() -> Iterator[bytes]:
    """Our own tags, in the original's order: flim07, flim08, ... flim0z, flim0A, ... flim10."""
    return itertools.islice(itertools.cycle(TAGS), 7, None)


class ServerSide:
    """We are the IMAP client (reference: protocols.md section 3.5).

    What the server says of its own accord meanwhile is sent on to the client.
    """

    def __init__(
        self,
        wire: Wire,
        terms: Terms,
        *,
        client: Wire,
        tags: Iterator[bytes],
        introduction: Introduction = NOBODY,
    ) -> None:
        self.wire = wire
        self.terms = terms
        self.introduction = introduction
        self.was_told = False
        # Of the ID that is not answered yet.
        self.id_tag = b""
        self.client = client
        self.tags = tags
        self.asked_for_tls = False
        # What the greeting announces, if that counts and need not be asked for.
        self.announced: frozenset[bytes] = frozenset()
        # Of the log-in.
        self.tag = b""
        # What the server has announced meanwhile, and the client has been told.
        self.announced_more: Announcement | None = None

    def negotiate(self) -> Talk[Ready | TlsWanted | Verdict]:
        if self.asked_for_tls:
            return READY
        greeting = yield from self.wire.read_line(LINE_LIMIT)
        if not greeting.startswith(b"* "):
            raise ProtocolError("no greeting of an IMAP server")
        if greeting.split(b" ", 2)[1].upper() != b"OK" or self._is_ours(greeting):
            return Verdict(False, protocols.NEGOTIATION_FAILED)
        if self.terms.tls_outgoing:
            return (yield from self._arrange_tls())
        if code := CAPABILITY_CODE.match(greeting, len(b"* ")):
            self.announced = announcement(code[1]).words
        return READY

    def log_in(self, login: Login) -> Talk[Verdict | Challenge]:
        """By what the server announces: see `_login_command` and `_plain_is_better`."""
        words = self.announced or (yield from self._capabilities()).words
        if login.exchange is not None:
            mechanism = login.exchange.mechanism.encode()
            message = sasl.say_first(login, login.exchange)
            if b"AUTH=" + mechanism not in words:
                return Verdict(False, protocols.NO_MECHANISM, goodbye=False, delays=2)
            return (yield from self._authenticate(mechanism, message, words))
        if b"AUTH=PLAIN" in words and self._plain_is_better(login, words):
            return (yield from self._authenticate(b"PLAIN", sasl.say_plain(login), words))
        if login.authorisation is not None:
            # LOGIN has no place for it.
            return Verdict(False, protocols.NO_MECHANISM, goodbye=False, delays=2)
        if b"LOGINDISABLED" in words:
            return Verdict(False, protocols.LOGIN_DISABLED, goodbye=False, delays=2)
        self._introduce(words)
        if may_send_at_once(login, words):
            answer = yield from self._tagged(self._login_at_once(login))
        else:
            answer = yield from self._login_step_by_step(login)
        if self.terms.compat:
            return self._as_ever(answer)
        return (yield from self._with_capabilities(answer))

    def _as_ever(self, answer: Verdict) -> Verdict:
        """The answer to LOGIN; the client is told what the server announces with it, as by 2.2.

        2.2 has asked before. Dovecot, asked, announces this in an untagged response, which the
        client gets; not asked, in the tagged one, of which the client gets our text.
        """
        code = CAPABILITY_CODE.match(answer.line)
        if self.announced and answer.accepted and code:
            self.client.say(b"* CAPABILITY " + announcement(code[1]).shown)
        return answer

    def respond(self, response: bytes | None) -> Talk[Verdict | Challenge]:
        self.wire.say(b"*" if response is None else base64.b64encode(response), secret=True)
        return (yield from self._outcome())

    def _plain_is_better(self, login: Login, words: frozenset[bytes]) -> bool:
        """Whether AUTHENTICATE PLAIN is to be used rather than LOGIN.

        It is where LOGIN cannot say it: an authorisation identity, what is not ASCII (RFC 3501
        has LOGIN in ASCII alone), or a long password, such as a token; and where LOGIN would take
        three round trips and this one.
        """
        if login.authorisation is not None:
            return True
        if self.terms.compat:
            return False
        if b"LOGINDISABLED" in words or not (login.user.isascii() and login.password.isascii()):
            return True
        if len(login.user) + len(login.password) > LOGIN_LIMIT:
            return True
        return b"SASL-IR" in words and not may_send_at_once(login, words)

    def _login_at_once(self, login: Login) -> bytes:
        """Say the whole of LOGIN; returns its tag."""
        user, tag, say = encode(login.user), next(self.tags), self.wire.say
        say(b"%b LOGIN {%d+}" % (tag, len(user)))
        say(b"%b {%d+}" % (user, len(login.password)))
        say(login.password, secret=True)
        return tag

    def _login_step_by_step(self, login: Login) -> Talk[Verdict]:
        """Say each part of LOGIN when the server asks for it."""
        user = encode(login.user)
        tag = self._command(b"LOGIN {%d}" % len(user))
        answer = yield from self._tagged_or_challenge(tag)
        if isinstance(answer, Challenge):
            self.wire.say(b"%b {%d}" % (user, len(login.password)))
            answer = yield from self._tagged_or_challenge(tag)
        if isinstance(answer, Challenge):
            self.wire.say(login.password, secret=True)
            answer = yield from self._tagged(tag)
        return answer

    def _authenticate(
        self, mechanism: bytes, message: bytes, words: frozenset[bytes]
    ) -> Talk[Verdict | Challenge]:
        """Begin AUTHENTICATE with the client's first message, at once where that may be."""
        self._introduce(words)
        first = base64.b64encode(message)
        self.tag = next(self.tags)
        if b"SASL-IR" in words:
            command = b"%b AUTHENTICATE %b %b" % (self.tag, mechanism, first or b"=")
            self.wire.say(command, secret=True)
        else:
            self.wire.say(b"%b AUTHENTICATE %b" % (self.tag, mechanism))
            answer = yield from self._tagged_or_challenge(self.tag)
            if isinstance(answer, Verdict):
                return answer
            self.wire.say(first, secret=True)
        outcome = yield from self._outcome()
        if mechanism == b"PLAIN" and isinstance(outcome, Challenge):
            raise ProtocolError("continuation request out of place")
        return outcome

    def _outcome(self) -> Talk[Verdict | Challenge]:
        """The next word of the server in AUTHENTICATE."""
        answer = yield from self._tagged_or_challenge(self.tag)
        if isinstance(answer, Challenge):
            return sasl.challenge(answer.octets)
        if self.terms.compat:
            return answer
        return (yield from self._with_capabilities(answer))

    def _with_capabilities(self, verdict: Verdict) -> Talk[Verdict]:
        """The verdict, with what there is for a client that is logged in, asked for if need be.

        Whoever has been told once what we announce may not ask again (RFC 9051 section 6.1.1).
        """
        if not verdict.accepted:
            return verdict
        line, shown = verdict.line, b""
        if code := CAPABILITY_CODE.match(line):
            announced = announcement(code[1])
            if self.terms.server_resp_line:
                # The client gets the line.
                line = line.replace(code[1], announced.shown)
            else:
                shown = announced.shown
        elif self.announced_more is None:
            announced = yield from self._capabilities()
            shown = announced.shown
        else:
            announced = self.announced_more
        return Verdict(
            True,
            protocols.OK,
            line,
            capabilities=shown,
            is_revocable=announced.has_unauthenticate,
        )

    def leave(self) -> Talk[None]:
        tag = self._command(b"LOGOUT")
        for _ in range(UNTAGGED_LIMIT):
            if (yield from self._response()).startswith(tag + b" "):
                return

    def _arrange_tls(self) -> Talk[Ready | TlsWanted | Verdict]:
        if b"STARTTLS" in (yield from self._capabilities()).words:
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

    def _capabilities(self) -> Talk["Announcement"]:
        """What the server announces; other untagged responses go to the client.

        Raises:
            ProtocolError: it announces nothing.
        """
        tag = self._command(b"CAPABILITY")
        found: Announcement | None = None
        for _ in range(UNTAGGED_LIMIT):
            response = yield from self._response()
            if announced := CAPABILITY_RESPONSE.match(response):
                found = announcement(announced[1] or b"")
            elif response.startswith(b"* "):
                self.client.say(response)
            elif response.startswith(tag + b" ") and found is not None:
                return found
            else:
                break
        raise ProtocolError("no answer to CAPABILITY")

    def _introduce(self, words: frozenset[bytes]) -> None:
        """Say ID with the next command, where there is something to say and the server has it."""
        client, pairs = self.introduction
        if client is not None:
            pairs = client_identity.to_pairs(client) + pairs
        if pairs and b"ID" in words:
            self.id_tag = self._command(b"ID " + imap_id.say_list(pairs))

    def _tagged(self, tag: bytes) -> Talk[Verdict]:
        """The answer to the command of that tag."""
        answer = yield from self._tagged_or_challenge(tag)
        if isinstance(answer, Challenge):
            raise ProtocolError("continuation request out of place")
        return answer

    def _tagged_or_challenge(self, tag: bytes) -> Talk[Verdict | Challenge]:
        """The answer to the command of that tag, or what the server asks before that."""
        for _ in range(UNTAGGED_LIMIT):
            response = yield from self.wire.read_line(LINE_LIMIT)
            if response.endswith(b"}"):
                response = yield from self._whole(response)
            if response.startswith(b"+"):
                return Challenge(response[1:].lstrip(b" "))
            if not response.startswith(b"* "):
                got, _space, line = response.partition(b" ")
                if got == self.id_tag:
                    self.id_tag = b""
                    self.was_told = line.split(b" ", 1)[0].upper() == b"OK"
                    continue
                if got != tag:
                    raise ProtocolError("answer with another tag")
                if line[:3].upper() in (b"OK ", b"OK"):
                    return Verdict(True, protocols.OK, line)
                return Verdict(False, protocols.REFUSED, line, code=codes.code_in(line))
            if announced := CAPABILITY_RESPONSE.match(response):
                self.announced_more = announcement(announced[1] or b"")
                response = b"* CAPABILITY " + self.announced_more.shown
            if not (self.id_tag and ID_RESPONSE.match(response)):
                self.client.say(response)
        raise ProtocolError("no end of untagged responses")

    def _response(self) -> Talk[bytes]:
        """A response, with the literals in it (RFC 9051 section 4.3)."""
        return (yield from self._whole((yield from self.wire.read_line(LINE_LIMIT))))

    def _whole(self, response: bytes) -> Talk[bytes]:
        """A response of which this is the first line."""
        line = response
        # The end of a literal and what follows it do not make another one.
        while line.endswith(b"}") and (literal := LITERAL_AHEAD.search(line)):
            size = int(literal[1])
            if size + len(response) > RESPONSE_LITERAL_LIMIT:
                raise ProtocolError("literal too long")
            octets = yield from self.wire.read_exactly(size)
            line = yield from self.wire.read_line(LINE_LIMIT)
            response += b"\r\n" + octets + line
            if len(response) > RESPONSE_LITERAL_LIMIT:
                raise ProtocolError("response too long")
        return response


class Announcement(NamedTuple):
    """What a server announces.

    Attributes:
        words: its capabilities, in upper case.
        shown: the same as the client is told, as they are written: without UNAUTHENTICATE (RFC
            8437), for the session would stay the first user's.
        has_unauthenticate: that is one of them.
    """

    words: frozenset[bytes]
    shown: bytes
    has_unauthenticate: bool


# Servers say the same again and again.
@functools.lru_cache(maxsize=256)
def announcement(text: bytes) -> Announcement:
    """Read a list of capabilities."""
    words = frozenset(text.upper().split(b" "))
    has_unauthenticate = b"UNAUTHENTICATE" in words
    shown = text
    if has_unauthenticate:
        shown = b" ".join(word for word in text.split(b" ") if word.upper() != b"UNAUTHENTICATE")
    return Announcement(words, shown, has_unauthenticate)


def may_send_at_once(login: Login, words: frozenset[bytes]) -> bool:
    """Whether the literals of LOGIN need not be waited for (RFC 7888)."""
    if b"LITERAL+" in words:
        return True
    longest = max(len(encode(login.user)), len(login.password))
    return b"LITERAL-" in words and longest <= LITERAL_MINUS_LIMIT
