"""One direction of a session: what came from one peer and has not gone to the other."""

# What a sink that does not take it makes us keep, and what costs least for one that does.
SMALL, LARGE = 32768, 262144


class Pipe:
    """Octets on their way, bounded: the source is not read while any are pending.

    Attributes:
        pending: what the sink is to get next.
        total: octets that went through, or will.
        source_ended: the source has nothing more to give.
        ended: the sink was told so.
        size: how much is read at a time: much, where all of that was taken at once the last time.
    """

    __slots__ = ("ended", "pending", "size", "source_ended", "total")

    def __init__(self) -> None:
        self.pending: bytes | memoryview = b""
        self.total = 0
        self.size = SMALL
        self.source_ended = False
        self.ended = False

    def received(self, data: bytes) -> None:
        """Take what the source gave and the sink has not taken; only while nothing is pending."""
        self.pending = data
        self.size = SMALL

    def sent(self, count: int) -> None:
        """The sink took so many octets of what is pending."""
        self.pending = memoryview(self.pending)[count:] if count < len(self.pending) else b""

    @property
    def wants_read(self) -> bool:
        """Whether the source is to be read."""
        return not self.pending and not self.source_ended
