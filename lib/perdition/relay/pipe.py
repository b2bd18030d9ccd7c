"""One direction of a session: what came from one peer and has not gone to the other."""


class Pipe:
    """Octets on their way, bounded: the source is not read while any are pending.

    Attributes:
        pending: what the sink is to get next.
        total: octets that went through, or will.
        source_ended: the source has nothing more to give.
        ended: the sink was told so.
    """

    __slots__ = ("ended", "pending", "source_ended", "total")

    def __init__(self, early: bytes = b"") -> None:
        """With octets that came before there was a pipe."""
        self.pending: bytes | memoryview = early
        self.total = len(early)
        self.source_ended = False
        self.ended = False

    def received(self, data: bytes) -> None:
        """Take what the source gave; only while nothing is pending."""
        self.pending = data

    def sent(self, count: int) -> None:
        """The sink took so many octets of what is pending."""
        self.pending = memoryview(self.pending)[count:] if count < len(self.pending) else b""

    @property
    def wants_read(self) -> bool:
        """Whether the source is to be read."""
        return not self.pending and not self.source_ended
