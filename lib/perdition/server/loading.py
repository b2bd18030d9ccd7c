"""What is loaded as the program starts, before there are sockets, and again at HUP.

It logs the lines of logging.md section 4 about that.
"""

import contextlib
import itertools
import os
from pathlib import Path

from perdition import __version__
from perdition.backends import SharedTurn
from perdition.config import render
from perdition.config.options import Options
from perdition.logs import Log, LogOpenFailed, escape
from perdition.maps import MapFailed
from perdition.maps.choice import Latest, whole_option
from perdition.server import privileges
from perdition.server.checking import check_file
from perdition.server.privileges import CannotBecome, Ids, NoSuchUser
from perdition.server.service import (
    configured_map,
    goes_out_with_tls,
    known_parameters,
    listens_with_tls,
    log_level,
    make_service,
    node_name,
    read_master_user,
)
from perdition.session.service import Authenticate, Service
from perdition.tls import TlsSetupError
from perdition.tls.destinations import Destinations
from perdition.tls.files import Passphrase
from perdition.tls.handshakes import Listening
from perdition.tls.listening import listening_context


class StartFailed(Exception):
    """The program cannot start.

    Attributes:
        lines: the original's lines for standard error.
        usage: whether the usage text is shown.
    """

    def __init__(self, explanation: str, *lines: str, usage: bool = False) -> None:
        super().__init__(explanation)
        self.lines = lines
        self.usage = usage


class Loaded:
    """The files and services that the options name, as the master has them.

    Attributes:
        map_option: `map_library_opt`; a relative name counts from where the program was started,
            at HUP as well.
        map, log: those of now.
        ids: who the workers are to be; None where we are not root and stay who we are.
        turn: whose turn it is among the default servers.
    """

    def __init__(self, options: Options) -> None:
        """Load all of it.

        Raises:
            StartFailed: something is missing or wrong.
        """
        self.options = options
        self.map_option = whole_option(options.map_library, options.map_library_opt)
        try:
            self.map = Latest(configured_map(options, self.map_option, self._tell))
        except MapFailed as error:
            line = f'dlopen of "{options.map_library}" failed'
            text = str(error)
            if not text.startswith("map_library"):
                text = f"map_library_opt {text}"
            raise StartFailed(text, line, usage=True) from error
        try:
            self.log = Log(options.program, options.log_facility, log_level(options))
        except LogOpenFailed as error:
            raise StartFailed(
                f"log_facility {options.log_facility!r}: {error}",
                str(error),
                "Fatal error opening logger. Exiting.",
            ) from error
        try:
            self._master_user = read_master_user(options)
        except ValueError as error:
            raise StartFailed(str(error)) from error
        self.ids = self._find_ids()
        self._say_starting()
        # What relative names count from, at HUP as well; by then we are in another one.
        self._directory = Path("/")
        with contextlib.suppress(OSError):
            self._directory = Path.cwd()
        self._phrase = Passphrase(options)
        self._listening: Listening | None = None
        self._outgoing: Destinations | None = None
        try:
            self._load_tls()
        except TlsSetupError as error:
            for line in error.log_lines:
                self.log.error(line)
            raise StartFailed(str(error)) from error
        self.turn = SharedTurn()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should know of certificates and authorities."""
        sides = (self._listening, self._outgoing)
        return tuple(itertools.chain.from_iterable(each.warnings for each in sides if each))

    def service(self, authenticate: Authenticate | None) -> Service:
        """What sessions are given, with the map of now.

        Args:
            authenticate: local authentication, None where there is none.
        """
        return make_service(
            *(self.options, self.log, self.map, self.turn, self._listening, self._outgoing),
            authenticate=authenticate,
            master_user=self._master_user,
        )

    def _find_ids(self) -> Ids | None:
        if os.geteuid() != 0:
            return None
        try:
            ids = privileges.find(self.options.username, self.options.group)
            if not self.options.inetd_mode:
                privileges.check(ids)
            return ids
        except (NoSuchUser, CannotBecome) as error:
            self.log.error("Fatal error setting group and userid. Exiting.")
            raise StartFailed(str(error)) from error

    def _tell(self, trouble: str) -> None:
        """Trouble of the map that does not keep it from answering."""
        self.log.error(f"map: {escape(trouble)}")

    def _say_starting(self) -> None:
        options = self.options
        if options.debug or not (options.quiet or options.is_foreground):
            self.log.info(f"Starting perdition version={__version__} protocol={options.protocol}")
        if options.debug:
            for line in render.dump(options, node_name()):
                self.log.info(line)

    def _load_tls(self) -> None:
        """Make the contexts of both sides.

        Raises:
            TlsSetupError: something is missing or wrong; those of before are still there then.
        """
        listening = None
        if listens_with_tls(self.options):
            listening = listening_context(self.options, self._phrase)
            for note in listening.notes:
                self.log.info(note)
        outgoing = Destinations(
            self.options,
            needed=goes_out_with_tls(self.options),
            known=known_parameters(self.options),
        )
        self._listening, self._outgoing = listening, outgoing
        for warning in self.warnings:
            self.log.warning(warning)

    def reopen_log(self) -> bool:
        """Open the log again.

        Returns:
            Whether it is another file now.
        """
        try:
            self.log.reopen()
        except LogOpenFailed as error:
            self.log.error(f"log_facility {self.options.log_facility!r}: {error}: not reopened")
            return False
        self.log.info("Reopened logger")
        return self.log.is_file

    def read_map_again(self) -> bool:
        """Open the map again; the one of before stays in use where that fails.

        Returns:
            Whether there is a new one.
        """
        options = self.options
        told = render.redact(options.map_library, options.map_library_opt) or "(null)"
        self.log.info(f'Reloading map library "{options.map_library}" with options "{told}"')
        try:
            check_file(options, self.map_option)
            new = configured_map(options, self.map_option, self._tell)
        except MapFailed as error:
            self.log.error(f"map: {error}: the one of before stays in use")
            return False
        self.map.replace(new)
        return True

    def read_certificates_again(self) -> bool:
        """Read certificates, keys, authorities and lists of revoked ones again.

        Those of before stay in use, all of them, where that fails.

        Returns:
            Whether there are new ones; not where only values of the map ask for TLS.
        """
        self._phrase.read_again()
        # It may have gone, which is no matter to names that are not relative.
        with contextlib.suppress(OSError):
            os.chdir(self._directory)
        try:
            self._load_tls()
        except (TlsSetupError, OSError, ValueError) as error:
            # Whatever is in a file that is being written just now, it does not end the master.
            self.log.error(f"{error}: the certificates of before stay in use")
            return False
        finally:
            os.chdir("/")
        if self._listening is None and not goes_out_with_tls(self.options):
            return False
        self.log.info("Read certificates again")
        return True
