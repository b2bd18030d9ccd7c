"""TLS with clients and real servers: what can go wrong with it.

The contexts are for the master to make: called as root and before it forks, so that they can read
keys and all workers share one key for session tickets. Every file is read then and not again. 2.2
read the certificate authorities for every connection, as the unprivileged user.
"""

import ssl

# The words of ssl_*_proto_version, lowest first. No library of today has SSLv3: who names it gets
# the lowest there is.
PROTO_VERSIONS = {
    "sslv3": ssl.TLSVersion.MINIMUM_SUPPORTED,
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}
LISTENING_FAILED = "Fatal error establishing SSL context for listening"
OUTGOING_FAILED = "Fatal error establishing SSL context for outgoing connections"


class TlsSetupError(Exception):
    """The options or the files they name make no TLS context.

    The text is one line for the operator; `log_lines` are the lines of 2.2 for the log.
    """

    def __init__(self, message: str, *log_lines: str):
        super().__init__(message)
        self.log_lines = log_lines


class TlsFailed(Exception):
    """A connection got no TLS that satisfies the options.

    The text says which check failed; `log_lines` are lines of 2.2 that come before the caller's.
    """

    def __init__(self, reason: str, *log_lines: str):
        super().__init__(reason)
        self.reason = reason
        self.log_lines = log_lines


class CertificateRefused(TlsFailed):
    """The peer's certificate is not good."""
