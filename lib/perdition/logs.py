"""The log: its lines, whose texts are an interface (reference: logging.md), and where they go."""

import codecs
import os
import re
import stat
import syslog
import time
import traceback
from pathlib import Path

from perdition.outlets import Backlog, Stream, Syslog, own_pipe

ERROR, WARNING, NOTICE, INFO, DEBUG = (
    syslog.LOG_ERR,
    syslog.LOG_WARNING,
    syslog.LOG_NOTICE,
    syslog.LOG_INFO,
    syslog.LOG_DEBUG,
)
FACILITIES = {
    name: getattr(syslog, f"LOG_{name.upper()}", syslog.LOG_SYSLOG)
    for name in (
        *("auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog"),
        *("user", "uucp", *(f"local{number}" for number in range(8))),
    )
}
FACILITIES["security"] = FACILITIES["auth"]
FACILITIES["mark"] = syslog.LOG_SYSLOG
ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}
# Control characters, of C1 as well, octets that a terminal may take for those, and what no octets
# stand for.
OCTETS = "\x00-\x1f\x7f-\x9f\ud800-\udc9f\udd00-\udfff"
# Ends of lines, and what Unicode calls Default_Ignorable_Code_Point: nobody sees it, or it turns
# around what follows.
UNSEEN = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
CONTROL = OCTETS + UNSEEN
UNSAFE = re.compile(f'[{CONTROL}"]')
UNSAFE_IN_LINE = re.compile(f"[{CONTROL}]")
PRINTABLE = range(0x20, 0x7F)
LINE_LIMIT = 8192
# Octets of a name or password, so that a line about a log-in always has its end: fail2ban
# looks for the status there, and other programs than we cut long lines as well.
NAME_LIMIT = 1024
# Clients are told so as well.
UNAUTHENTICATE = "UNAUTHENTICATE is not let through"


class LogOpenFailed(Exception):
    """The log cannot be opened; the text has the reason."""


def behind_blank(peers: str) -> str:
    """The two ends of a connection as lines have them; they leave no blank where unknown."""
    return f" {peers}" if peers else ""


class Who:
    """Whose log-in a line is about.

    Attributes:
        peers: the connection's two ends behind a blank; empty where they are not known.
        user: the authentication identity.
        ids: the identities, as all lines have them.
    """

    __slots__ = ("ids", "peers", "user")

    def __init__(
        self, peers: str, authorisation: str | None = None, user: str | None = None
    ) -> None:
        """A log-in.

        Args:
            peers: the connection's two ends; empty where they are not known.
            authorisation: the authorisation identity, None where there is none.
            user: the authentication identity, None where nobody has tried yet.
        """
        self.peers = behind_blank(peers)
        self.user = user
        shown = "NONE" if authorisation is None else f'"{escape_name(authorisation)}"'
        name = "(null)" if user is None else escape_name(user)
        self.ids = f'authorisation_id={shown} authentication_id="{name}"'

    def __str__(self) -> str:
        """Both, behind a blank."""
        return f"{self.peers} {self.ids}"


def escape(text: str) -> str:
    """Text that a peer sent, without characters that could forge a line or end a quotation."""
    return UNSAFE.sub(in_octal, text)


def escape_name(text: str) -> str:
    """The same of a name or password: the beginning of a long one, in whole characters."""
    shown = UNSAFE.sub(in_octal, text)
    if len(shown) <= NAME_LIMIT // 4:
        return shown
    octets = shown.encode("utf-8", "surrogateescape")
    if len(octets) <= NAME_LIMIT:
        return shown
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    return f"{decoder.decode(octets[:NAME_LIMIT])}..."


def in_octal(found: re.Match[str]) -> str:
    """What stands for a character that is not shown: its octets."""
    is_octet = "\udc80" <= found[0] <= "\udcff"
    octets = found[0].encode("utf-8", "surrogateescape" if is_octet else "surrogatepass")
    return "".join(f"\\{octet:03o}" for octet in octets)


def show_data(data: bytes) -> str:
    """Octets as the traffic log has them (reference: logging.md section 6)."""
    parts = []
    for octet in data:
        if octet in ESCAPES:
            parts.append(ESCAPES[octet])
        elif octet in b"\\\"'":
            parts.append("\\" + chr(octet))
        else:
            parts.append(chr(octet) if octet in PRINTABLE else f"\\{octet:03o}")
    return "".join(parts)


def auth_line(
    who: Who,
    server: str,
    protocol: str,
    secure: tuple[str, str],
    status: str,
    password: bytes | None = None,
) -> str:
    """The line about a log-in.

    Args:
        who: whose log-in it is.
        server: ``host:port`` of the real server as configured; "(null)" for what is not known.
        protocol: the protocol's name.
        secure: ssl, starttls or plaintext: the links to the client and to the real server.
        status: how it went.
        password: only where `log_passwd` asks for it.
    """
    passwd = ""
    if password is not None:
        passwd = f' passwd="{escape_name(password.decode("utf-8", "surrogateescape"))}"'
    return (
        f"Auth:{who.peers} client-secure={secure[0]} {who.ids}{passwd}"
        f' server="{escape_name(server)}" protocol={protocol}'
        f' server-secure={secure[1]} status="{status}"'
    )


def connected(peers: str) -> str:
    """A client has connected."""
    return f"Connect:  {peers}"


def closing(who: Who, received: int, sent: int) -> str:
    """A session has ended, after so many octets from the client and to it."""
    return f"Closing session:{who} received={received} sent={sent}"


def forbidden(who: Who) -> str:
    """A client has used UNAUTHENTICATE, which is not let through."""
    return f"{UNAUTHENTICATE}:{who}"


def closing_null(who: Who) -> str:
    """A client took its leave without a log-in."""
    return f"Closing NULL session:{who}"


def not_relayed(who: Who, reason: str) -> str:
    """A client that has been logged in cannot be served."""
    return f"relay: {reason}:{who}"


def no_domain(client: str, reason: str) -> str:
    """It is not known which name a client's is to become."""
    return f'Fatal error manipulating username for client "{client}": {reason}'


def no_match(key: str) -> str:
    """A map does not have a key."""
    return f"No match for {escape(key)}"


def client_gone(peers: str) -> str:
    """A client went before it was logged in; fail2ban reads this line."""
    shown = behind_blank(peers)
    return f"Fatal Error reading authentication information from client{shown}: Exiting child"


def client_silent(peers: str) -> str:
    """A client said nothing for too long."""
    return (
        "Fatal Error: Timeout reading authentication information from client"
        f"{behind_blank(peers)}: Exiting child"
    )


def client_deaf(peers: str) -> str:
    """A client could not be greeted."""
    return f"Fatal error writing to client {behind_blank(peers)}.Exiting child."


def too_many_failures(peers: str) -> str:
    """A client has had its attempts to log in."""
    return f"Too many failed log-ins:{Who(peers)}"


class Log:
    """Where lines go: syslog, or a file descriptor. Lines of several threads do not mix.

    Attributes:
        ident: the program's name in front of each line.
        level: lines less important than this are left out.
    """

    def __init__(self, ident: str, facility: str, level: int) -> None:
        """Open the log.

        Args:
            ident: the program's name.
            facility: `log_facility`: a syslog facility, a path, or "-..." and "+...".
            level: ERROR, INFO or DEBUG.

        Raises:
            LogOpenFailed: there is no such facility, or the file cannot be opened.
        """
        self.ident = ident
        self.level = level
        self.facility = facility
        self.descriptor: int | None = None
        self._stamp = (0, b"")
        # Of the next line, where the one before it was cut.
        self._begin = b""
        # Of those who may not read what they are told.
        self._backlog: Backlog | None = None
        self._syslog = Syslog()
        if facility.startswith(("-", "+")):
            self.descriptor = 1 if facility.startswith("-") else 2
        elif facility.startswith("/"):
            self.descriptor = self._open()
        elif facility in FACILITIES:
            self._open_syslog()
            self._backlog = Backlog(self._syslog, self._tell_lost)
        else:
            raise LogOpenFailed(f'facility "{facility}" not found')
        if self.descriptor is not None and not _is_file(self.descriptor):
            if self.is_stream:
                self.descriptor = own_pipe(self.descriptor)
            self._backlog = Backlog(Stream(self.descriptor), self._tell_lost)

    @property
    def is_stream(self) -> bool:
        """Whether it goes to standard output or standard error."""
        return self.facility.startswith(("-", "+"))

    @property
    def is_file(self) -> bool:
        """Whether it goes to a file of its own."""
        return self.facility.startswith("/")

    def _open_syslog(self) -> None:
        flags = syslog.LOG_PID | syslog.LOG_CONS
        syslog.openlog(self.ident, flags, FACILITIES[self.facility])

    def name_libraries(self) -> None:
        """Have our name before what libraries tell syslog, as PAM's modules do.

        Without a name the C library takes a piece of the process's title.
        """
        if self.facility not in FACILITIES:
            syslog.openlog(self.ident, syslog.LOG_PID)

    def let_go(self) -> None:
        """Close the connections to syslog; they are made anew for the next line.

        The C library goes on to use its descriptor, and closes it when writing fails. So before
        all descriptors are closed by others it has to know: by then the number is another's.
        """
        if self.facility in FACILITIES:
            self._syslog.close()
            syslog.closelog()
            self._open_syslog()

    def _open(self) -> int:
        # A pipe that nobody reads is not waited for.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
        try:
            return os.open(Path(self.facility), flags, 0o666)
        except OSError as error:
            raise LogOpenFailed(f"fopen: {error.strerror}") from error

    def reopen(self) -> None:
        """Open the file again, by its name: after logrotate. The old one stays if that fails.

        Raises:
            LogOpenFailed: the file cannot be opened.
        """
        if self.is_file:
            self.take_descriptor(self._open())

    def take_descriptor(self, descriptor: int) -> None:
        """Write to descriptor from now on; it is closed here."""
        assert self.descriptor is not None  # noqa: S101 - only files are given
        os.dup2(descriptor, self.descriptor, inheritable=False)
        os.close(descriptor)

    def error(self, text: str) -> None:
        self.write(ERROR, text)

    def warning(self, text: str) -> None:
        self.write(WARNING, text)

    def notice(self, text: str) -> None:
        self.write(NOTICE, text)

    def info(self, text: str) -> None:
        self.write(INFO, text)

    def debug(self, text: str) -> None:
        self.write(DEBUG, text)

    def trace(self, error: BaseException) -> None:
        """Log an exception that nobody expected: what it is and where, not what was at hand."""
        where = traceback.extract_tb(error.__traceback__)
        places = " < ".join(
            f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in reversed(where)
        )
        self.error(f"Bug: {type(error).__name__}: {places}")

    def write(self, level: int, text: str) -> None:
        """Write a line, one system call: neither threads nor processes mix theirs.

        Whoever makes the line escapes what peers sent; what was forgotten is caught here.
        """
        if level > self.level:
            return
        if not text.isprintable():
            text = UNSAFE_IN_LINE.sub(in_octal, text)
        stamp = self._stamp
        if stamp[0] != (second := int(time.time())):
            stamp = self._make_stamp(second)
        try:
            if self.descriptor is None:
                self._say_to_syslog(level, stamp[1], text)
                return
            octets = text.encode("utf-8", "surrogateescape")[:LINE_LIMIT]
            if self._backlog is None:
                line = b"%b%b%b\n" % (self._begin, stamp[1], octets)
                # Where the disk was full the next line must not be glued to this one.
                self._begin = b"" if os.write(self.descriptor, line) == len(line) else b"\n"
            else:
                self._backlog.put(b"%b%b\n" % (stamp[1], octets))
        except OSError:
            # A full disk or a closed terminal must not end a session. Somebody else's line may have
            # been cut there.
            self._begin = b"\n"

    def _say_to_syslog(self, level: int, stamp: bytes, text: str) -> None:
        """A line for syslog; for the console where there is none, as LOG_CONS says."""
        assert self._backlog is not None  # noqa: S101 - syslog has one
        octets = text.encode("utf-8", "surrogateescape")[:LINE_LIMIT]
        try:
            self._backlog.put(b"<%d>%b%b" % (FACILITIES[self.facility] | level, stamp, octets))
        except OSError:
            syslog.syslog(level, octets.decode("utf-8", "replace"))

    def _tell_lost(self, count: int) -> None:
        self.warning(f"log_facility: nobody read the log: {count} lines are lost")

    def _make_stamp(self, second: int) -> tuple[int, bytes]:
        """The beginning of all lines of a second: its time, program and process."""
        shown = time.strftime("%b %e %H:%M:%S", time.localtime(second))
        stamp = self._stamp = (second, f"{shown} {self.ident}[{os.getpid()}]: ".encode())
        return stamp

    def begin_process(self) -> None:
        """This is another process than before: lines begin with its number from now on."""
        self._stamp = (0, b"")
        if self._backlog is not None:
            self._backlog.begin_process()


def _is_file(descriptor: int) -> bool:
    """Whether it is a file, which has room for a line at any time."""
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False
