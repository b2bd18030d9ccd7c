"""IMAP4 (RFC 3501, 9051, 4959, 7888): our side towards the real server."""

import base64
import itertools
import re
import string
from collections.abc import Iterator

from perdition import protocols
from perdition.protocols import (
    READY,
    Challenge,
    Login,
    ProtocolError,
    Ready,
    Talk,
    Terms,
    TlsWanted,
    Verdict,
    client_identity,
    codes,
    encode,
    imap_id,
    sasl,
)
from perdition.protocols.announcement import (
    CAPABILITY_CODE,
    CAPABILITY_RESPONSE,
    UNKNOWN,
    Announcement,
    announcement,
)
from perdition.protocols.client_identity import NOBODY, Introduction
from perdition.protocols.imap_ways import may_quote, may_send_at_once, plain_is_better
from perdition.protocols.wire import LINE_LIMIT, Wire

# Octets: of a response with literals, and of all that is kept for the client.
RESPONSE_LIMIT = 65536
UNTAGGED_LIMIT = 256
# A literal of the server, which waits for nothing
LITERAL_AHEAD = re.compile(rb"\{(\d{1,20})\}$")
NO_OR_BAD = re.compile(rb"(?:NO|BAD)(?: |$)", re.IGNORECASE)
# Their text, behind a code or without one, may end like the head of a literal (RFC 9051 section 9,
# resp-text).
STATUS_RESPONSE = re.compile(
    rb"\+|[^ ]+ (?:OK|NO|BAD|BYE|PREAUTH)(?:$| (?:[^\[]|\[[^\]]*\]))", re.IGNORECASE
)
ID_RESPONSE = re.compile(rb"\* ID(?: |$)", re.IGNORECASE)
TAG_CHARACTERS = string.digits + string.ascii_lowercase + string.ascii_uppercase
TAGS = tuple(f"flim{a}{b}".encode() for a in TAG_CHARACTERS for b in TAG_CHARACTERS)


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
        # Octets.
        self.handed_on = 0
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
        words: frozenset[bytes] = frozenset()
        if code := CAPABILITY_CODE.match(greeting, len(b"* ")):
            words = announcement(code[1]).words
        if self.terms.tls_outgoing:
            return (yield from self._arrange_tls(words))
        self.announced = words
        return READY

    def log_in(self, login: Login) -> Talk[Verdict | Challenge]:
        """By what the server announces: with LOGIN as a rule, at once where that may be."""
        words = self.announced or (yield from self._capabilities()).words
        if (exchange := login.exchange) is not None:
            name = b"AUTH=" + exchange.mechanism.encode()
            if not sasl.may_succeed(name, exchange.before, words):
                return Verdict(False, protocols.NO_MECHANISM, goodbye=False, delays=2)
            return (yield from self._authenticate(login, words))
        if b"AUTH=PLAIN" in words and plain_is_better(login, words, self.terms.compat):
            return (yield from self._authenticate(login, words))
        if login.authorisation is not None:
            # LOGIN has no place for it.
            return Verdict(False, protocols.NO_MECHANISM, goodbye=False, delays=2)
        is_disabled = b"LOGINDISABLED" in words
        if is_disabled and (self.terms.compat or b"AUTH=LOGIN" not in words):
            # Nothing that the client could mend.
            return Verdict(
                False, protocols.LOGIN_DISABLED, goodbye=False, delays=2, is_temporary=True
            )
        self._introduce(words)
        if is_disabled:
            answer = yield from self._login_by_sasl(login)
        elif may_send_at_once(login, words):
            answer = yield from self._tagged(self._login_at_once(login))
        elif may_quote(login) and not self.terms.compat:
            answer = yield from self._tagged(self._login_quoted(login))
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
        return self._watched(answer)

    def _watched(self, answer: Verdict) -> Verdict:
        """The same answer; whether the log-in can be taken back is known by what was said of it."""
        code = CAPABILITY_CODE.match(answer.line)
        announced = announcement(code[1]) if code else self.announced_more or UNKNOWN
        return answer._replace(is_revocable=announced.has_unauthenticate)

    def respond(self, response: bytes | None) -> Talk[Verdict | Challenge]:
        self.wire.say(sasl.say_response(response), secret=True)
        return (yield from self._outcome())

    def _login_at_once(self, login: Login) -> bytes:
        """Say the whole of LOGIN; returns its tag."""
        user, tag, say = encode(login.user), next(self.tags), self.wire.say
        say(b"%b LOGIN {%d+}" % (tag, len(user)))
        say(b"%b {%d+}" % (user, len(login.password)))
        say(login.password, secret=True)
        return tag

    def _login_quoted(self, login: Login) -> bytes:
        """Say LOGIN in one line; returns its tag."""
        tag = next(self.tags)
        user, password = imap_id.quote(encode(login.user)), imap_id.quote(login.password)
        self.wire.say(b"%b LOGIN %b %b" % (tag, user, password), secret=True)
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

    def _login_by_sasl(self, login: Login) -> Talk[Verdict]:
        """Say both to AUTHENTICATE LOGIN (draft-murchison-sasl-login), when they are asked for."""
        tag = self._command(b"AUTHENTICATE LOGIN")
        for word in encode(login.user), login.password:
            answer = yield from self._tagged_or_challenge(tag)
            if isinstance(answer, Verdict):
                return answer
            self.wire.say(base64.b64encode(word), secret=True)
        return (yield from self._tagged(tag))

    def _authenticate(self, login: Login, words: frozenset[bytes]) -> Talk[Verdict | Challenge]:
        """Begin AUTHENTICATE with the client's first message, at once where that may be."""
        mechanism, message = sasl.first_of(login)
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
        return (yield from self._outcome())

    def _outcome(self) -> Talk[Verdict | Challenge]:
        """The next word of the server in AUTHENTICATE."""
        answer = yield from self._tagged_or_challenge(self.tag)
        if isinstance(answer, Challenge):
            return sasl.challenge(answer.octets)
        if self.terms.compat:
            return self._watched(answer)
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
            # What it is logged in for is no matter of this question.
            announced = yield from self._capabilities(otherwise=UNKNOWN)
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

    def _arrange_tls(self, words: frozenset[bytes]) -> Talk[Ready | TlsWanted | Verdict]:
        """Ask for TLS; what came before it, perhaps from somebody between, does not count then.

        Args:
            words: what the greeting announces.
        """
        client, self.client = self.client, Wire()
        try:
            outcome = yield from self._ask_for_tls(words)
        finally:
            in_clear, self.client = self.client, client
            self.announced_more = None
        if outcome == READY:
            client.unsent.extend(in_clear.unsent)
        return outcome

    def _ask_for_tls(self, words: frozenset[bytes]) -> Talk[Ready | TlsWanted | Verdict]:
        if b"STARTTLS" not in words or self.terms.compat:
            words = (yield from self._capabilities()).words
        if b"STARTTLS" in words:
            tag = self._command(b"STARTTLS")
            answer = yield from self._tagged(tag)
            if answer.accepted:
                self.asked_for_tls = True
                return TlsWanted()
        elif not self.terms.tls_outgoing_force:
            if not self.terms.compat:
                self.announced = words
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

    def _capabilities(self, otherwise: Announcement | None = None) -> Talk[Announcement]:
        """What the server announces; other untagged responses go to the client.

        Args:
            otherwise: what counts where it announces nothing.

        Raises:
            ProtocolError: it announces nothing, and nothing counts then.
        """
        tag = self._command(b"CAPABILITY")
        found = otherwise
        for _ in range(UNTAGGED_LIMIT):
            response = yield from self._response()
            if announced := CAPABILITY_RESPONSE.match(response):
                found = announcement(announced[1] or b"")
            elif response.startswith(b"* "):
                self._hand_on(response)
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
                if self.id_tag and got == self.id_tag:
                    self.id_tag = b""
                    self.was_told = line.split(b" ", 1)[0].upper() == b"OK"
                    continue
                if got != tag:
                    raise ProtocolError("answer with another tag")
                if line[:3].upper() in (b"OK ", b"OK"):
                    return Verdict(True, protocols.OK, line)
                if not (self.terms.compat or NO_OR_BAD.match(line)):
                    raise ProtocolError("an answer that is none")
                return Verdict(False, protocols.REFUSED, line, code=codes.code_in(line))
            if announced := CAPABILITY_RESPONSE.match(response):
                self.announced_more = announcement(announced[1] or b"")
                response = b"* CAPABILITY " + self.announced_more.shown
            if not (self.id_tag and ID_RESPONSE.match(response)):
                self._hand_on(response)
        raise ProtocolError("no end of untagged responses")

    def _hand_on(self, response: bytes) -> None:
        """Tell the client what the server says of its own accord; its leave is not ours.

        It is kept until the dialogue is over.
        """
        self.handed_on += len(response)
        if self.handed_on > RESPONSE_LIMIT:
            raise ProtocolError("too much is said before the log-in is answered")
        if self.terms.compat or response[2:5].upper() != b"BYE":
            self.client.say(response)

    def _response(self) -> Talk[bytes]:
        """A response, with the literals in it (RFC 9051 section 4.3)."""
        return (yield from self._whole((yield from self.wire.read_line(LINE_LIMIT))))

    def _whole(self, response: bytes) -> Talk[bytes]:
        """A response of which this is the first line."""
        if response.endswith(b"}") and STATUS_RESPONSE.match(response):
            return response
        line = response
        # The end of a literal and what follows it do not make another one.
        while line.endswith(b"}") and (literal := LITERAL_AHEAD.search(line)):
            size = int(literal[1])
            if size + len(response) > RESPONSE_LIMIT:
                raise ProtocolError("literal too long")
            octets = yield from self.wire.read_exactly(size)
            line = yield from self.wire.read_line(LINE_LIMIT)
            response += b"\r\n" + octets + line
            if len(response) > RESPONSE_LIMIT:
                raise ProtocolError("response too long")
        return response
