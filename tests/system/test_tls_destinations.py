"""Real servers that are reached as the map, or an option, says of each of them."""

import hashlib
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from perdition.tls.der import public_key
from support.certificates import Pki, certificates_pem, certify, pem
from support.clients import Pop, Refused
from support.dovecot import PASSWORD, Dovecot
from support.processes import HOST
from support.program import Options, Perdition, Start, checked
from support.scripted import ScriptedServer, read_line

pytestmark = pytest.mark.system
FAILURE = 255
NAME = "mail.example.org"


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("outgoing_server", "mail;tls=ssl;ca=/nonexistent.pem", "ca=/nonexistent.pem: there is no"),
        ("outgoing_destinations", "mail;tls=ssl;ca=/nonexistent.pem", "ca=/nonexistent.pem"),
        ("outgoing_server", "mail;tls=yes", "outgoing_server tls=yes: must be one of none, ssl"),
        ("outgoing_destinations", "mail;colour=red", "'colour' is not known"),
    ],
)
def test_check_config_finds_parameters_that_cannot_be_used(
    tmp_path: Path, option: str, value: str, why: str
) -> None:
    done = checked(tmp_path, {option: value})
    assert done.returncode == FAILURE
    assert why in done.stderr


@pytest.fixture(scope="module")
def alone(pki: Pki) -> Iterator[Dovecot]:
    """A real server whose certificate nobody but itself has signed, and for another name."""
    with Dovecot(pem(certify("somebody"))) as dovecot:
        yield dovecot


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder for files that the workers' user can read.

    Not pytest's: whoever starts it closes that for others, while other tests run.
    """
    with tempfile.TemporaryDirectory(prefix="perdition-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def pin_of(dovecot: Dovecot) -> str:
    """What to write for the key that it shows."""
    der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((HOST, dovecot.ports["imaps"])))
    return f"sha256:{hashlib.sha256(public_key(der)).hexdigest()}"


def used(proxy: Perdition, user: str = "ann-reached") -> None:
    """Log in and use the session."""
    with closing(Pop(proxy.port)) as client:
        client.log_in(user, PASSWORD)
        client.use()


def refused(proxy: Perdition) -> None:
    with closing(Pop(proxy.port)) as client, pytest.raises((Refused, EOFError)):
        client.log_in("ann-reached", PASSWORD)


def routed(tmp_path: Path, value: str) -> Options:
    """A map that has the same for everybody."""
    popmap = tmp_path / "popmap.re"
    popmap.write_text(f".*: {value}\n")
    return {
        "map_library": "libperditiondb_posix_regex.so.0",
        "map_library_opt": str(popmap),
        "ssl_ca_path": "",
    }


def test_a_pin_in_the_map_is_enough_for_a_server_that_nobody_vouches_for(
    start: Start, alone: Dovecot, tmp_path: Path
) -> None:
    value = f"{HOST}:{alone.ports['pop3s']};tls=ssl;pin=sha256:{'0' * 64}+{pin_of(alone)}"
    proxy = start("POP3", routed(tmp_path, value))
    used(proxy)
    proxy.wait_log('server-secure=ssl status="ok"$')


@pytest.mark.parametrize("tls", ["", "tls=starttls;"])
def test_who_is_known_by_a_pin_gets_no_password_in_clear(
    start: Start, alone: Dovecot, tmp_path: Path, tls: str
) -> None:
    server = f"{HOST}:{alone.ports['pop3']}"
    proxy = start("POP3", routed(tmp_path, f"{server};{tls}pin={pin_of(alone)}"))
    used(proxy)
    proxy.wait_log('server-secure=starttls status="ok"$')


def test_nor_where_somebody_takes_the_offer_of_tls_away(start: Start, tmp_path: Path) -> None:
    with ScriptedServer() as server:
        value = f"{HOST}:{server.port};tls=starttls;pin=sha256:{'0' * 64}"
        proxy = start("IMAP4", routed(tmp_path, value))
        with proxy.connect() as sock:
            read_line(sock)
            sock.sendall(b"a LOGIN ann sesame\r\n")
            with server.accept() as real:
                real.sendall(b"* OK [CAPABILITY IMAP4rev1 LITERAL+] ready\r\n")
                assert read_line(real) == b"flim07 CAPABILITY\r\n"
                real.sendall(b"* CAPABILITY IMAP4rev1 LITERAL+\r\nflim07 OK\r\n")
                assert read_line(real) == b"flim08 LOGOUT\r\n"
            assert read_line(sock).startswith(b"a NO [UNAVAILABLE] failed: ")


@pytest.mark.parametrize("flags", [{}, {"ssl_no_cert_verify": True, "ssl_no_cn_verify": True}])
def test_a_server_with_another_key_than_the_pin_gets_no_password(
    start: Start, alone: Dovecot, tmp_path: Path, flags: Options
) -> None:
    server = f"{HOST}:{alone.ports['pop3']}"
    value = f"{server};tls=starttls_force;pin=sha256:{'0' * 64}"
    proxy = start("POP3", {**routed(tmp_path, value), **flags})
    refused(proxy)
    proxy.wait_log(
        f"real server {server}: TLS: pin: the key of the real server is {pin_of(alone)}: "
    )
    proxy.wait_log('status="failed: Connection Negotiation Failure"$')


@pytest.fixture(scope="module")
def own(pki: Pki) -> Iterator[tuple[Dovecot, bytes]]:
    """A real server of an authority of its own, and that authority's certificate."""
    authority = certify("Own CA", ca=True)
    with Dovecot(pem(certify(NAME, authority, names=[NAME]))) as dovecot:
        yield dovecot, certificates_pem(authority)


@pytest.mark.parametrize(("listener", "tls"), [("pop3s", "ssl"), ("pop3", "starttls")])
def test_authority_and_name_in_the_map_are_what_the_server_is_checked_by(
    start: Start,
    own: tuple[Dovecot, bytes],
    readable: Path,
    files: Options,
    pki: Pki,
    listener: str,
    tls: str,
) -> None:
    dovecot, authority = own
    ca = readable / "own.pem"
    server = f"{HOST}:{dovecot.ports[listener]}"
    value = f"{server};tls={tls};ca={ca};name={NAME}"
    proxy = start("POP3", {**files, **routed(readable, value)})
    refused(proxy)
    proxy.wait_log(f"real server {server}: TLS: ca={ca}: there is no such file")
    ca.write_bytes(authority)
    used(proxy)
    # The authorities of the options do not count there, nor does another name.
    ca.unlink()
    (readable / "ca.pem").write_bytes(Path(pki.file("ca")).read_bytes())
    other = start("POP3", routed(readable, f"{server};tls={tls};ca={readable}/ca.pem;name={NAME}"))
    refused(other)
    other.wait_log("certificate not verified: unable to get local issuer certificate: ")
    ca.write_bytes(authority)
    other = start("POP3", routed(readable, f"{server};tls={tls};ca={ca}"))
    refused(other)
    other.wait_log(f"name mismatch: wanted {HOST}, certificate is for {NAME}: ")


def test_an_option_says_it_for_networks_and_the_map_goes_over_it(
    start: Start, own: tuple[Dovecot, bytes], tmp_path: Path
) -> None:
    dovecot, authority = own
    # Read at start, by root if that is who starts.
    ca = tmp_path / "own.pem"
    ca.write_bytes(authority)
    options: Options = {
        "outgoing_destinations": f"192.0.2.0/24;tls=none,127.0.0.0/8;tls=ssl;ca={ca};name={NAME}",
        "ssl_ca_path": "",
    }
    server = f"{HOST}:{dovecot.ports['pop3s']}"
    proxy = start("POP3", {**options, "outgoing_server": server})
    used(proxy)
    proxy.wait_log('server-secure=ssl status="ok"$')
    # What a name leads to counts, where the name itself is in no pattern.
    proxy = start("POP3", {**options, "outgoing_server": server.replace(HOST, "localhost")})
    used(proxy)
    proxy.wait_log('server="localhost:[0-9]*".*server-secure=ssl status="ok"$')
    plain = f"{HOST}:{dovecot.ports['pop3']};tls=none"
    proxy = start("POP3", {**options, **routed(tmp_path, plain)})
    used(proxy)
    proxy.wait_log('server-secure=plaintext status="ok"$')


def test_parameters_in_the_map_that_are_none_make_a_temporary_failure(
    start: Start, alone: Dovecot, tmp_path: Path
) -> None:
    value = f"{HOST}:{alone.ports['pop3']};tls=yes"
    proxy = start("POP3", routed(tmp_path, value))
    with closing(Pop(proxy.port)) as client, pytest.raises(Refused, match="SYS/TEMP"):
        client.log_in("ann-reached", PASSWORD)
    proxy.wait_log("map: tls=yes: must be one of none, ssl, starttls, starttls_force: ")


def test_servers_of_one_list_are_reached_in_different_ways(
    start: Start, alone: Dovecot, own: tuple[Dovecot, bytes], tmp_path: Path
) -> None:
    first = f"{HOST}:{alone.ports['pop3s']};tls=ssl;pin={pin_of(alone)}"
    second = f"{HOST}:{own[0].ports['pop3']}"
    proxy = start("POP3", {"outgoing_server": f"{first},{second}", "workers": 1})
    for _ in range(2):
        used(proxy)
    proxy.wait_log(f'server="{HOST}:{alone.ports["pop3s"]}".*server-secure=ssl status="ok"$')
    proxy.wait_log(f'server="{second}".*server-secure=plaintext status="ok"$')
