"""One direction of a session: what came from one peer and has not gone to the other."""


class Pipe:
    """Octets on their way, bounded: the source is not read while any are pending.

    Attributes:
        total: octets that went through, or will.
        source_ended: the source has nothing more to give.
        ended: the sink was told so.
    """

    __slots__ = ("_pending", "ended", "source_ended", "total")

    def __init__(self, early: bytes = b"") -> None:
        """With octets that came before there was a pipe."""
        self._pending: bytes | memoryview = early
        self.total = len(early)
        self.source_ended = False
        self.ended = False

    def received(self, data: bytes) -> None:
        """Take what the source gave; only while nothing is pending."""
        self._pending = data

    def pending(self) -> bytes | memoryview:
        """What the sink is to get next."""
        return self._pending

    def sent(self, count: int) -> None:
        """The sink took so many octets of what is pending."""
        self._pending = memoryview(self._pending)[count:] if count < len(self._pending) else b""

    @property
    def wants_read(self) -> bool:
        """Whether the source is to be read."""
        return not self._pending and not self.source_ended

    @property
    def wants_write(self) -> bool:
        """Whether something waits for the sink."""
        return bool(self._pending)
