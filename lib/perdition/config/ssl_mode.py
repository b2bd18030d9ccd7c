"""The value of `ssl_mode`: where TLS is spoken, and how it begins."""

import enum


class SslMode(enum.IntFlag):
    """The bits of `ssl_mode`; the names are the words that an operator writes."""

    EMPTY = 0
    SSL_LISTEN = 0x01
    SSL_OUTGOING = 0x02
    SSL_ALL = 0x03
    TLS_LISTEN = 0x04
    TLS_OUTGOING = 0x08
    TLS_ALL = 0x0C
    TLS_LISTEN_FORCE = 0x14
    TLS_OUTGOING_FORCE = 0x28
    TLS_ALL_FORCE = 0x3C
    NONE = 0x40

    def has(self, mode: "SslMode") -> bool:
        """Whether all bits of mode are in it."""
        return self & mode == mode

    @property
    def ssl_listen(self) -> bool:
        """Whether clients begin with TLS."""
        return self.has(SslMode.SSL_LISTEN)

    @property
    def ssl_outgoing(self) -> bool:
        """Whether TLS is begun with real servers at once."""
        return self.has(SslMode.SSL_OUTGOING)

    @property
    def tls_listen(self) -> bool:
        """Whether clients are offered STARTTLS or STLS."""
        return self.has(SslMode.TLS_LISTEN)

    @property
    def tls_listen_force(self) -> bool:
        """Whether clients cannot log in before TLS."""
        return self.has(SslMode.TLS_LISTEN_FORCE)

    @property
    def tls_outgoing(self) -> bool:
        """Whether STARTTLS or STLS is used with real servers that offer it."""
        return self.has(SslMode.TLS_OUTGOING)

    @property
    def tls_outgoing_force(self) -> bool:
        """Whether nobody is logged in to a real server without TLS."""
        return self.has(SslMode.TLS_OUTGOING_FORCE)

    @property
    def is_contradictory(self) -> bool:
        """Whether TLS would begin both at once and on demand on one side."""
        return (self.ssl_listen and self.tls_listen) or (self.ssl_outgoing and self.tls_outgoing)


WORDS = {name.lower(): mode for name, mode in SslMode.__members__.items() if mode}
# What the dump of 2.2 shows: of each group, the first word if all of it is set, else the others.
SHOWN = (
    ("ssl_all", "ssl_listen", "ssl_outgoing"),
    ("tls_all", "tls_listen", "tls_outgoing"),
    ("tls_all_force", "tls_outgoing_force", "tls_listen_force"),
    ("none",),
)


def show_ssl_mode(mode: SslMode) -> str:
    """Write a mode as the words that give it."""
    words = []
    for whole, *sides in SHOWN:
        if mode.has(WORDS[whole]):
            words.append(whole)
        else:
            words += [word for word in sides if mode.has(WORDS[word])]
    return ",".join(words)
