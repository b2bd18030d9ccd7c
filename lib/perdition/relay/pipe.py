"""One direction of a session: what came from one peer and has not gone to the other."""

# What a sink that does not take it makes us keep, and what costs least for one that does.
SMALL, LARGE = 32768, 262144
# Who gives so much at a time is likely to have more.
MUCH = SMALL // 2


class Pipe:
    """Octets on their way, bounded: the source is not read while any are pending.

    Attributes:
        pending: what the source gave and the sink has not taken: it is to get that next.
        total: octets that went through, or will.
        source_ended: the source has nothing more to give.
        ended: the sink was told so.
        size: how much is read at a time: much, where all of that was taken at once the last time.
        is_spliced: it goes through the kernel alone; only where it is much.
    """

    __slots__ = ("ended", "is_spliced", "pending", "size", "source_ended", "total")

    def __init__(self) -> None:
        self.pending: bytes | memoryview = b""
        self.total = 0
        self.size = SMALL
        self.source_ended = False
        self.ended = False
        self.is_spliced = False

    def reads_less(self) -> None:
        """Not much comes at a time, or not all of it is taken."""
        self.size = SMALL
        self.is_spliced = False

    def sent(self, count: int) -> None:
        """The sink took so many octets of what is pending."""
        self.pending = memoryview(self.pending)[count:] if count < len(self.pending) else b""

    @property
    def taken(self) -> int:
        """How many octets the sink has taken; with TLS, whose own are pending too, some fewer."""
        return max(self.total - len(self.pending), 0)

    @property
    def wants_read(self) -> bool:
        """Whether the source is to be read."""
        return not self.pending and not self.source_ended
