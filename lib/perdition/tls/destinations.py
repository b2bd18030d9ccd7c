"""TLS with real servers, by what is said of each of them."""

import dataclasses
import functools
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from perdition.parameters import Parameters
from perdition.tls import OUTGOING_FAILED, TlsFailed, TlsSetupError
from perdition.tls.handshakes import OutgoingTls
from perdition.tls.outgoing import outgoing, outgoing_by

if TYPE_CHECKING:
    from perdition.config.options import Options

# Files of authorities that a worker has read: each is a context of some ten kilobytes or more.
MOST_FILES = 64


class Destinations:
    """TLS with each real server. Several threads use it at the same time.

    A file that `ca` names is read when it is needed first, by who we are then, and not again by
    the same worker.

    Attributes:
        warnings: for the operator to read, where TLS is needed.
    """

    def __init__(
        self, options: "Options", *, needed: bool, known: Iterable[Parameters] = ()
    ) -> None:
        """Make what is known to be needed.

        Args:
            options: the options in force.
            needed: whether they ask for TLS; else a value of the map may do so, and what is wrong
                with the options counts only then.
            known: the parameters in the options.

        Raises:
            TlsSetupError: something that is needed cannot be made.
        """
        self._options = options
        # Filters of warnings, which making a context changes for a moment, are the process's.
        self._lock = threading.Lock()
        self._own: OutgoingTls | None = None
        self._trouble = ""
        self.warnings: tuple[str, ...] = ()
        try:
            self._own = outgoing(options)
        except TlsSetupError as error:
            if needed:
                raise
            self._trouble = str(error)
        else:
            self.warnings = self._own.warnings if needed else ()
        self._with_file = functools.lru_cache(maxsize=MOST_FILES)(self._read)
        for parameters in known:
            try:
                if parameters.ca and not parameters.pins:
                    self._with_file(parameters.ca)
            except TlsFailed as error:
                where = "outgoing_server or outgoing_destinations"
                raise TlsSetupError(f"{where}: {error.reason}", OUTGOING_FAILED) from error

    def to(self, parameters: Parameters | None) -> OutgoingTls:
        """TLS with a real server of which that is said.

        Raises:
            TlsFailed: it cannot be made; the text says why.
        """
        if parameters is None:
            return self._usual()
        if parameters.pins:
            return dataclasses.replace(self._unverified, pins=parameters.pins)
        found = self._with_file(parameters.ca) if parameters.ca else self._usual()
        if parameters.name and not found.check_name:
            return dataclasses.replace(found, check_name=True)
        return found

    def _usual(self) -> OutgoingTls:
        if self._own is None:
            raise TlsFailed(self._trouble)
        return self._own

    @functools.cached_property
    def _unverified(self) -> OutgoingTls:
        """For who is known by a pin."""
        return self._made("")

    def _read(self, file: str) -> OutgoingTls:
        return self._made(file)

    def _made(self, file: str) -> OutgoingTls:
        try:
            with self._lock:
                return outgoing_by(self._options, file)
        except TlsSetupError as error:
            raise TlsFailed(str(error)) from error
