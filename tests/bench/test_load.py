"""The load generator and the stub server: compiled, and put together without a proxy."""

import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.loads import Load, compile_programs
from bench.measure import figures
from bench.scenarios import WORKS
from bench.stage import make_certificates
from support.processes import HOST, free_port, lacking, require

SECONDS = "0.3"
Ports = dict[str, int]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("gcc")
    for header in ("stdio.h", "openssl/ssl.h"):
        if not Path("/usr/include", header).exists():
            lacking(f"the header {header} is not installed")
    directory = tmp_path_factory.mktemp("build")
    compile_programs(directory)
    return directory


@pytest.fixture(scope="module")
def stub(build: Path) -> Iterator[Ports]:
    with free_port() as imap, free_port() as pop3:
        process = subprocess.Popen([build / "stub", str(imap), str(pop3)], stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"LISTENING\n"
            yield {"imap": imap, "pop3": pop3}
        finally:
            process.kill()
            process.communicate()


def run(build: Path, stub: Ports, mode: str, protocol: str, *options: str) -> dict[str, float]:
    words = ["--protocol", protocol, "--seconds", SECONDS, *options]
    with Load(mode, stub[protocol], *words, build=build) as load:
        load.ready()
        load.go()
        return load.result(1)


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
@pytest.mark.parametrize("options", [(), ("--pace", "5")], ids=["closed", "paced"])
def test_logins(build: Path, stub: Ports, protocol: str, options: tuple[str, ...]) -> None:
    result = run(build, stub, "login", protocol, "--clients", "4", *options)
    assert result["errors"] == 0
    assert result["done"] > 10
    assert result["p99_us"] >= result["p50_us"] > 0
    assert figures(WORKS["imap-login"], result, 0.1)["cpu_ms"] == pytest.approx(
        100 / result["done"]
    )


@pytest.mark.parametrize(
    ("mode", "protocol"), [("bulk", "imap"), ("bulk", "pop3"), ("upload", "imap")]
)
def test_messages(build: Path, stub: Ports, mode: str, protocol: str) -> None:
    result = run(build, stub, mode, protocol, "--clients", "2", "--size", "1048576")
    assert result["errors"] == 0
    assert result["octets"] == result["done"] * 1048576 > 0


def test_round_trips_of_some_sessions_among_others(build: Path, stub: Ports) -> None:
    result = run(build, stub, "echo", "imap", "--clients", "50", "--active", "3")
    assert result["errors"] == 0
    assert result["done"] > 10
    assert result["sessions"] == 50


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_idle_sessions_are_asked_whether_they_live(build: Path, stub: Ports, protocol: str) -> None:
    with Load(
        "idle", stub[protocol], "--protocol", protocol, "--clients", "50", build=build
    ) as load:
        assert load.ready(50)["sessions"] == 50
        load.go()
        assert load.result(1)["done"] == 50


def test_a_server_that_is_not_there_is_an_error(build: Path) -> None:
    with free_port() as port, Load("login", port, "--seconds", SECONDS, build=build) as load:
        load.ready()
        load.go()
        result = load.result(1)
    assert result["done"] == 0
    assert result["errors"] > 0
    assert "refused" in result["first_error"]


class Greeter(socketserver.StreamRequestHandler):
    """An IMAP server over TLS that has OK for everything."""

    def handle(self) -> None:
        self.wfile.write(b"* OK ready\r\n")
        for line in self.rfile:
            self.wfile.write(line.split()[0] + b" OK done\r\n")


class TlsServer(socketserver.ThreadingTCPServer):
    """One connection a thread, with a context of TLS."""

    daemon_threads = True
    context: ssl.SSLContext

    def get_request(self) -> tuple[socket.socket, Any]:
        sock, address = super().get_request()
        return self.context.wrap_socket(sock, server_side=True), address

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that are cut off at the end of the time are no errors."""


@pytest.mark.parametrize("curve", ["X25519", "prime256v1"])
def test_logins_over_tls_with_either_key_share(build: Path, certificate: Path, curve: str) -> None:
    with TlsServer((HOST, 0), Greeter) as server:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.minimum_version = ssl.TLSVersion.TLSv1_3
        server.context.load_cert_chain(certificate)
        # OpenSSL's own list begins with X25519, which not every Python can name.
        if curve != "X25519":
            server.context.set_ecdh_curve(curve)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            port = {"imap": server.server_address[1]}
            result = run(build, port, "login", "imap", "--tls", "tls", "--clients", "2")
        finally:
            server.shutdown()
            thread.join()
    assert result["first_error"] == ""
    assert result["errors"] == 0
    assert result["done"] > 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("openssl")
    directory = tmp_path_factory.mktemp("certificates")
    make_certificates(directory)
    return directory / "both.pem"
