"""IMAP4 (RFC 3501, 9051, 4959, 7888): our side towards the client."""

import base64
import functools
import re

from perdition import protocols
from perdition.protocols import (
    IN_VAIN,
    Login,
    ProtocolError,
    Quit,
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
from perdition.protocols.client_identity import BadIdentity, Pairs, Told
from perdition.protocols.imap_id import BadList
from perdition.protocols.wire import LINE_LIMIT, Wire

LITERAL_LIMIT = 4096

# tag = 1*<any ASTRING-CHAR except "+">; the original takes "+" and "[" and "}", and refuses "]"
TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
# quoted = DQUOTE *QUOTED-CHAR DQUOTE; a backslash before any other character stands for itself
QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# literal = "{" number64 ["+"] "}" CRLF *CHAR8
LITERAL = re.compile(rb"\{(\d{1,20})(\+?)\}")
# ... at the end of a line, where it does not wait for us (RFC 7888)
LITERAL_AHEAD = re.compile(rb"\{(\d{1,20})\+\}$")
# mechanism [SP initial-resp], as octets that are no blanks; a mechanism without a name is one
AUTHENTICATE = re.compile(rb"(?:[^ ]+(?: [^ ]+)?)?")
WITHOUT_ARGUMENT = (b"NOOP", b"CAPABILITY", b"LOGOUT", b"STARTTLS")


class BadLogin(Exception):
    """The arguments of LOGIN are not two astrings.

    Attributes:
        rest: what stands on the line that was read last, after what could be read of it.
    """

    def __init__(self, rest: bytes = b"") -> None:
        super().__init__()
        self.rest = rest


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
            self.tag = tag
            word, space_after, argument = rest.partition(b" ")
            command = word.upper()
            # What is left of a command that is refused.
            left = line
            match command:
                case _ if not TAG.fullmatch(tag):
                    self._sorry(b"* BAD Invalid tag, mate")
                case b"":
                    # What is echoed here may be an answer that came before its question.
                    self._sorry(
                        b"%b BAD %b command, mate" % (tag, b"Null" if space else b"Missing"),
                        secret=True,
                    )
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
                case b"AUTHENTICATE" if (
                    space_after
                    and AUTHENTICATE.fullmatch(argument)
                    and (b" " not in argument or self.terms.mechanisms)
                ):
                    if login := (yield from self._authenticate(*argument.split(b" "))):
                        return login
                case b"ID" if not self.terms.compat or self.is_trusted:
                    if (told := (yield from self._take_id(argument))) is not None:
                        return told
                    left = b""
                case b"AUTHENTICATE":
                    self._sorry(tag + b" BAD Mate, try AUTHENTICATE <mechanism>")
                case b"LOGIN" if self._takes_no_login() and has_literal(argument):
                    yield from self._read_over(argument)
                    return IN_VAIN
                case b"LOGIN":
                    try:
                        return (yield from self._take_arguments(argument))
                    except BadLogin as error:
                        self._sorry(tag + b" BAD Mate, try LOGIN <username> <passwd>")
                        left = error.rest
                case _:
                    self._sorry(tag + b" BAD Unrecognised command, mate", secret=True)
            if left.endswith(b"+}"):
                yield from self._read_over(left)

    def challenge(self, octets: bytes) -> Talk[bytes | None]:
        self.wire.say(b"+ " + base64.b64encode(octets), secret=True)
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

    def farewell(self, reason: str, *, unasked: bool = False) -> None:
        self.wire.say(encode(f"* BYE {reason}"))

    def _code(self, verdict: Verdict) -> bytes:
        """The response code of a refusal, as it stands before its text."""
        if self.terms.compat:
            return b""
        must_start = self.terms.must_start_tls(self.in_tls)
        code = codes.code_for(verdict, codes.IMAP4, must_start_tls=must_start)
        return b"[%b] " % code if code else b""

    def _sorry(self, line: bytes, *, secret: bool = False) -> None:
        self.wire.pause()
        self.wire.say(line, secret=secret)

    def _read_over(self, line: bytes) -> Talk[None]:
        """Read what belongs to a refused command, of which this is a line: no commands are in it.

        Raises:
            ProtocolError: it is too long for that.
        """
        left = LITERAL_LIMIT
        while literal := LITERAL_AHEAD.search(line):
            left -= int(literal[1])
            if left < 0:
                raise ProtocolError("literal too long")
            yield from self.wire.read_exactly(int(literal[1]))
            line = yield from self.wire.read_line(LINE_LIMIT)

    def _authenticate(self, mechanism: bytes, initial: bytes | None = None) -> Talk[Login | None]:
        """The log-in of AUTHENTICATE; None where the client has been told that there is none."""
        name = mechanism.upper().decode("ascii", "replace")
        if name in self.terms.mechanisms and self.terms.takes_no_login(self.in_tls):
            yield from self._read_over(initial or b"")
            return IN_VAIN
        offered = sasl.usable(self.terms, self.certified is not None)
        if name not in offered:
            self.wire.say(self.tag + b" NO AUTHENTICATE mechanism not supported, mate")
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
        except (BadList, BadIdentity) as error:
            self._sorry(self.tag + b" BAD Mate, try ID NIL or ID (<field> <value>)")
            if isinstance(error, BadList):
                yield from self._read_over(error.rest)
            return None
        self.pairs = imap_id.handed_on(pairs)
        self.wire.say(b'* ID ("name" "perdition")')
        self.wire.say(self.tag + b" OK ID completed")
        return told

    def _takes_no_login(self) -> bool:
        """Whether a log-in is refused before there is one; 2.2 hears it to its end."""
        return self.terms.takes_no_login(self.in_tls) and not self.terms.compat

    def _take_arguments(self, rest: bytes) -> Talk[Login]:
        """The two astrings after LOGIN; rest is what stands on the command's line.

        Raises:
            BadLogin: there are not just two of them, or one has a NUL, which would end it in SASL
                PLAIN; the whole command has been read.
            ProtocolError: a literal that does not wait for us is too long to be read over.
        """
        user, rest = yield from self._take_astring(rest)
        if not rest.startswith(b" "):
            raise BadLogin(rest)
        password, rest = yield from self._take_astring(rest[1:])
        if rest or b"\0" in user + password:
            raise BadLogin(rest)
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
        atom, space, rest = text.partition(b" ")
        if not atom or b'"' in atom:
            raise BadLogin(text)
        return atom, space + rest


def has_literal(text: bytes) -> bool:
    """Whether a line goes on behind its end, with a literal."""
    return LITERAL.fullmatch(text.rpartition(b" ")[2]) is not None


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
    if terms.takes_no_login(in_tls):
        return ("LITERAL-", "ID")
    mechanisms = sasl.usable(terms, is_certified)
    if not mechanisms:
        return ("LITERAL-", "ID")
    return ("LITERAL-", "ID", "SASL-IR", *(f"AUTH={each}" for each in mechanisms))
