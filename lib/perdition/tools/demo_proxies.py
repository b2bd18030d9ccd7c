"""The proxies of `make demo`, one a protocol: their certificate, maps, and what they log."""

import contextlib
import datetime
import ipaddress
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from perdition.tools.demo_servers import DemoFailed, RealServer, free_port, running, wait_for

PROTOCOLS = ("IMAP4S", "POP3S", "IMAP4", "POP3", "MANAGESIEVE")
LOG_SECONDS = 10
# The line of a log-in: see logging.md section 3 of the reference.
AUTH = re.compile(
    r" Auth: \S+->\S+:(?P<port>\d+) client-secure=(?P<secure>\w+) .*"
    r'authentication_id="(?P<user>[^"]*)" server="(?P<server>[^"]*)" '
    r'protocol=(?P<protocol>\w+) .*status="(?P<status>[^"]*)"'
)


class Routed(NamedTuple):
    """A log-in, as a proxy has logged it.

    Attributes:
        port: the proxy's, that the client connected to.
        secure: how the client's connection is secured.
        server: address and port of the real server.
    """

    protocol: str
    user: str
    port: int
    secure: str
    server: str
    status: str


class AuthLog:
    """The lines about log-ins in the log that all proxies share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = 0

    def news(self) -> list[Routed]:
        """The log-ins since it was asked last."""
        with self.path.open("rb") as file:
            file.seek(self._place)
            lines = file.read().rpartition(b"\n")[0]
        self._place += len(lines)
        return [
            Routed(
                found["protocol"],
                found["user"],
                int(found["port"]),
                found["secure"],
                found["server"],
                found["status"],
            )
            for found in AUTH.finditer(lines.decode(errors="replace"))
        ]

    def next(self, protocol: str, user: str) -> Routed:
        """Wait for the log-in of a user: it is logged after the client has its answer.

        Raises:
            DemoFailed: it is not logged.
        """
        deadline = time.monotonic() + LOG_SECONDS
        while time.monotonic() < deadline:
            for routed in self.news():
                if (routed.protocol, routed.user) == (protocol, user):
                    return routed
            time.sleep(0.02)
        raise DemoFailed(f"{self.path} has no line about {user}'s log-in with {protocol}")


@contextlib.contextmanager
def proxies(directory: Path, servers: Iterable[RealServer], log: Path) -> Iterator[dict[str, int]]:
    """Run a proxy for each protocol, in front of all servers.

    Args:
        directory: gets certificate, key and maps.
        servers: where the map sends each one's user.
        log: where the proxies log.

    Yields:
        The port of each protocol.

    Raises:
        DemoFailed: one does not start.
    """
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    make_certificate(certificate, key)
    log.touch()
    ports = {}
    with contextlib.ExitStack() as stack:
        for protocol in PROTOCOLS:
            popmap = directory / f"popmap.{protocol.lower()}.re"
            popmap.write_text("".join(map_line(protocol, each) for each in servers))
            ports[protocol] = port = stack.enter_context(free_port())
            tls = "ssl_listen" if protocol.endswith("S") else "tls_listen"
            command = [
                *(sys.executable, "-m", "perdition", "--config_file", "", "--protocol", protocol),
                *("--bind_address", "127.0.0.1", "--listen_port", str(port)),
                *("--map_library", "posix_regex", "--map_library_opt", str(popmap)),
                *("--ssl_mode", tls, "--ssl_cert_file", str(certificate)),
                *("--ssl_key_file", str(key), "--log_facility", str(log)),
                *("--no_daemon", "--pid_file", "", "--workers", "1"),
            ]
            trouble = directory / f"{protocol.lower()}.stderr"
            wait_for(port, stack.enter_context(running(command, trouble)), trouble)
        yield ports


def map_line(protocol: str, server: RealServer) -> str:
    """The line of a map that sends a user to the server. POP3S is POP3 behind the proxy."""
    port = server.ports[protocol.removesuffix("S")]
    return f"^{server.account.user}$: 127.0.0.1:{port}\n"


def make_certificate(certificate: Path, key: Path) -> None:
    """Make a certificate for this host that is its own authority."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Perdition demo")])
    now = datetime.datetime.now(datetime.UTC)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        **dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ),
            False,
        ),
    )
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.touch(0o600)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
