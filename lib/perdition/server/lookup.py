"""``--lookup``: what the map says of users, and where they would be logged in."""

import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator

from tqdm import tqdm

from perdition import net
from perdition.backends import SharedTurn
from perdition.config import ConfigError
from perdition.config.options import Options
from perdition.identity import Ends
from perdition.logs import ERROR, Log, escape, in_octal
from perdition.maps import Answer, Found, MapFailed, Refusal
from perdition.maps.choice import whole_option
from perdition.net import ServerItem
from perdition.protocols import Login, decode, sasl
from perdition.server import privileges
from perdition.server.service import configured_map, make_service
from perdition.session.finding import Asked, NotAllowed, Refused
from perdition.session.service import Service
from perdition.tls import TlsSetupError
from perdition.tls.outgoing import outgoing_by

# From how many users on it is shown how far it has come.
MANY = 100
# Octets of a name that are no text.
NO_TEXT = re.compile("[\udc80-\udcff]")
LOOPBACK = "127.0.0.1"


def run(options: Options) -> bool:
    """Look up the users that the options name, and print what is found.

    It is done as the user that the workers are, for it is they who look up; the client is said to
    be on this machine.

    Returns:
        Whether the map was in order.

    Raises:
        ConfigError: the map, or the user of the workers, is not there.
    """
    if not options.lookup.strip(","):
        raise ConfigError("--lookup: no user is named")
    log = Log(options.program, "+", ERROR)
    try:
        find = configured_map(
            options,
            whole_option(options.map_library, options.map_library_opt),
            lambda trouble: log.error(f"map: {escape(trouble)}"),
        )
        if os.geteuid() == 0:
            privileges.drop(privileges.find(options.username, options.group))
    except (MapFailed, privileges.NoSuchUser, privileges.CannotBecome) as error:
        raise ConfigError(f"--lookup: {error}") from error
    inquiry = Inquiry(make_service(options, log, find, SharedTurn(), None, None))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        for name in with_progress(list(users(options.lookup))):
            for line in inquiry.lines(name):
                tqdm.write(NO_TEXT.sub(in_octal, line), file=sys.stdout)
        sys.stdout.flush()
    except OSError as error:
        # What Python still has of it is not tried again.
        sys.stdout = None
        raise ConfigError(f"--lookup: {error.strerror}") from error
    find.close()
    return inquiry.in_order


def users(text: str) -> Iterator[str]:
    """The users that `lookup` names, or standard input has, one a line."""
    if text != "-":
        yield from (name for name in text.split(",") if name)
        return
    for line in sys.stdin.buffer:
        if name := line.rstrip(b"\r\n"):
            yield decode(name)


def with_progress(names: list[str]) -> Iterable[str]:
    """The same, showing on a terminal how far it has come where there are many."""
    yield from tqdm(names, unit="user", disable=len(names) < MANY or not sys.stderr.isatty())


class Inquiry:
    """Asks as a log-in would.

    Attributes:
        in_order: no look-up has failed yet.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.in_order = True
        self._asked: list[Asked] = []
        self._ends = Ends(LOOPBACK, 0, LOOPBACK, 0)

    def lines(self, name: str) -> Iterator[str]:
        """What there is to say of a user, a line for each key and for each server."""
        yield escape(name)
        self._asked.clear()
        end = list(self._outcome(Login(name, b"")))
        for asked in self._asked:
            took = f"{asked.seconds * 1000:.2f} ms"
            yield f'  key "{escape(asked.key)}": {shown(asked.found)} ({took})'
        yield from end

    def _outcome(self, login: Login) -> Iterator[str]:
        service = self.service
        if "\0" in login.user or len(login.user) > sasl.NAME_LIMIT:
            yield "  a log-in with such a name is refused"
            return
        try:
            found = service.finder.find(
                login, self._ends, self._host, secure="plaintext", told=self._asked.append
            )
        except NotAllowed as error:
            yield f"  refused: {error}"
            return
        except Refused:
            yield "  refused by the map"
            return
        except MapFailed as error:
            self.in_order = False
            if not any(isinstance(asked.found, MapFailed) for asked in self._asked):
                yield f"  out of order: {escape(str(error))}"
            yield "  a log-in would be told to try again later (map_failure temporary)"
            return
        self.in_order &= found.in_order
        candidates = service.backends.candidates(found.destinations)
        if not candidates:
            yield "  no server: the map has none, and outgoing_server is not set"
        for item in map(self._at_address, candidates):
            at_server = service.finder.login_for(found.login, item)
            name = service.finder.login_at_server(at_server, self._host).user
            yield (
                f'  server {escape(item.host)} port {escape(item.port)} user "{escape(name)}" '
                f"TLS {self._tls(item)}{beside(item)}"
            )
            if trouble := self._trouble(item):
                self.in_order = False
                yield f"  out of order: {escape(trouble)}: a log-in would fail"

    def _at_address(self, item: ServerItem) -> ServerItem:
        """The server as it is spoken to where its name leads, as far as the resolver knows that."""
        backends = self.service.backends
        if not backends.rules:
            return item
        try:
            _family, address = net.resolve(item.host, item.port)[0]
        except net.ConnectFailed:
            return item
        return backends.by_address(item, str(address[0]))

    def _host(self) -> str:
        try:
            return self.service.host(LOOPBACK)
        except net.NameUnknown:
            return LOOPBACK

    def _trouble(self, item: ServerItem) -> str:
        """Why there would be no TLS with the real server, as far as files say."""
        if item.options is not None and item.options.ca and not item.options.pins:
            try:
                outgoing_by(self.service.options, item.options.ca)
            except TlsSetupError as error:
                return str(error)
        return ""

    def _tls(self, item: ServerItem) -> str:
        """How the real server would be spoken to."""
        if self.service.begins_with_tls(item):
            return "from the first octet on"
        terms = self.service.terms_with(item)
        if terms.tls_outgoing_force:
            return "by STARTTLS, required"
        return "by STARTTLS, where it is offered" if terms.tls_outgoing else "none"


def beside(item: ServerItem) -> str:
    """What else is said of the real server."""
    if item.options is None:
        return ""
    _tls, name, ca, pins, client = item.options
    told = {"name": name, "ca": ca, "pin": "+".join(f"sha256:{each.hex()}" for each in pins)}
    told["client"] = client
    return "".join(f" {key} {escape(value)}" for key, value in told.items() if value)


def shown(found: Found | MapFailed) -> str:
    """What came back."""
    match found:
        case None:
            return "not found"
        case bytes():
            return f'found "{escape(decode(found))}"'
        case Answer():
            items = ", ".join(escape(str(bracketed(item))) for item in found.destinations)
            more = "" if found.password is None else ", with another password"
            return f'found "{items}"{more}'
        case Refusal():
            return f"refused: {escape(found.reason)}"
        case _:
            return f"out of order: {escape(str(found))}"


def bracketed(item: ServerItem) -> ServerItem:
    """A destination as it is written."""
    return item._replace(host=f"[{item.host}]") if ":" in item.host else item
