"""Configurations of sites, word for word but for the addresses, before real servers."""

import imaplib
import poplib
import re
import ssl
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from support.certificates import openssl
from support.dovecot import PASSWORD, Dovecot
from support.processes import HOST
from support.program import Perdition, Start, command
from system.conftest import Routes

pytestmark = pytest.mark.system
SECONDS = 20
CAPABILITY = """\
imap_capability "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES \
SORT QUOTA ACL ACL2=UNION STARTTLS"
"""
PLAIN = """\
outgoing_server SERVER
log_facility local5
no_lookup
timeout 40
"""
WITH_TLS = """\
outgoing_server SERVER
outgoing_port PORT
log_facility local5
no_lookup
timeout 40
"""
TLS = """\
ssl_mode ssl_listen
ssl_cert_file /etc/perdition/server.cert
ssl_key_file /etc/perdition/server.key
"""
GATEWAYS = {
    "imap4": PLAIN + CAPABILITY,
    "imap4s": WITH_TLS + CAPABILITY + TLS,
    "pop3": PLAIN,
    "pop3s": WITH_TLS + TLS,
}
OFFERED = (
    *("IMAP4REV1", "UIDPLUS", "CHILDREN", "NAMESPACE", "THREAD=ORDEREDSUBJECT"),
    *("THREAD=REFERENCES", "SORT", "QUOTA", "ACL", "ACL2=UNION"),
)


def make_certificate(directory: Path, bits: int) -> None:
    """The commands of the guide, which also makes server.cert of server.crt."""
    key, request, certificate = (directory / f"server.{each}" for each in ("key", "csr", "cert"))
    openssl("genrsa", "-out", key, str(bits))
    openssl("req", "-new", "-key", key, "-subj", f"/CN={HOST}", "-out", request)
    openssl("x509", "-req", "-days", "365", "-in", request, "-signkey", key, "-out", certificate)


def trusting(certificate: Path) -> ssl.SSLContext:
    """A client's context that takes such a certificate, which is no authority and has no names."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


Gateway = Callable[[str, str], Perdition]


@pytest.fixture
def gateway(start: Start, dovecot: Dovecot, tmp_path: Path) -> Gateway:
    """Starts a service of the gateway before a listener of the real server."""

    def starter(service: str, listener: str) -> Perdition:
        port = str(dovecot.ports[listener])
        conf = GATEWAYS[service].replace("/etc/perdition", str(tmp_path)).replace("PORT", port)
        server = HOST if "outgoing_port" in conf else f"{HOST}:{port}"
        return start(conf=conf.replace("SERVER", server), name=f"perdition.{service}")

    return starter


def test_the_imap4_gateway(gateway: Gateway, dovecot: Dovecot) -> None:
    dovecot.deliver("dmz-imap", b"Subject: x\r\n\r\n")
    with imaplib.IMAP4(HOST, gateway("imap4", "imap").port, SECONDS) as imap:
        assert imap.capabilities == OFFERED
        imap.login("dmz-imap", PASSWORD)
        assert imap.select() == ("OK", [b"1"])


def test_the_imap4s_gateway(gateway: Gateway, dovecot: Dovecot, tmp_path: Path) -> None:
    make_certificate(tmp_path, 2048)
    context = trusting(tmp_path / "server.cert")
    dovecot.deliver("dmz-imaps", b"Subject: x\r\n\r\n")
    proxy = gateway("imap4s", "imap")
    with imaplib.IMAP4_SSL(HOST, proxy.port, ssl_context=context, timeout=SECONDS) as imap:
        assert imap.capabilities == OFFERED
        imap.login("dmz-imaps", PASSWORD)
        assert imap.select() == ("OK", [b"1"])


def test_the_pop3_gateway(gateway: Gateway, dovecot: Dovecot) -> None:
    dovecot.deliver("dmz-pop", b"Subject: x\r\n\r\n")
    with closing(poplib.POP3(HOST, gateway("pop3", "pop3").port, SECONDS)) as pop:
        pop.user("dmz-pop")
        pop.pass_(PASSWORD)
        assert pop.stat()[0] == 1
        pop.quit()


def test_the_pop3s_gateway(gateway: Gateway, dovecot: Dovecot, tmp_path: Path) -> None:
    make_certificate(tmp_path, 2048)
    context = trusting(tmp_path / "server.cert")
    dovecot.deliver("dmz-pops", b"Subject: x\r\n\r\n")
    proxy = gateway("pop3s", "pop3")
    with closing(poplib.POP3_SSL(HOST, proxy.port, timeout=SECONDS, context=context)) as pop:
        pop.user("dmz-pops")
        pop.pass_(PASSWORD)
        assert pop.stat()[0] == 1
        pop.quit()


def test_a_key_that_openssl_refuses_ends_the_start_with_one_line(tmp_path: Path) -> None:
    make_certificate(tmp_path, 1024)
    conf = tmp_path / "conf"
    conf.write_text(GATEWAYS["imap4s"].replace("/etc/perdition", str(tmp_path)))
    words = command(
        tmp_path,
        "perdition.imap4s",
        {"config_file": str(conf), "listen_port": 0, "pid_file": "", "log_facility": "+"},
    )
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 255
    last = done.stderr.splitlines()[-1]
    assert "server.cert" in last
    assert "too small" in last


def test_a_container_has_all_options_as_flags(start: Start, routes: Routes) -> None:
    full_path = "/usr/lib/x86_64-linux-gnu/libperditiondb_posix_regex.so.0.0.0"
    proxy = start("IMAP4", {**routes("imap"), "map_library": full_path, "log_facility": "+"})
    with imaplib.IMAP4(HOST, proxy.port, SECONDS) as imap:
        imap.login("ann-container", PASSWORD)
        assert imap.select()[0] == "OK"
    proxy.wait_log(r"^\w{3} [ \d]\d \d\d:\d\d:\d\d perdition\[\d+\]: Closing session: ")


def test_common_options_together(
    start: Start, dovecots: tuple[Dovecot, Dovecot], tmp_path: Path
) -> None:
    popmap = tmp_path / "popmap.re"
    popmap.write_text(
        f"^bees@.*: hive@{HOST}:{dovecots[1].ports['imap']}\n"
        f"^example.org$: {HOST}:{dovecots[0].ports['imap']}\n"
    )
    conf = f"""
map_library /usr/lib/libperditiondb_posix_regex.so.0
map_library_opt {popmap}
query_key '\\U,\\d'
username_from_database
lower_case all
strip_domain remote_login
connection_limit 10
server_resp_line
ssl_mode tls_outgoing
ssl_no_cert_verify
ssl_no_cn_verify
log_facility -
"""
    proxy = start(conf=conf, name="perdition.imap4")
    for typed, user, home in (
        ("ANN-Common@Example.ORG", "ann-common", dovecots[0]),
        ("bees@example.org", "hive", dovecots[1]),
    ):
        home.deliver(user, b"Subject: x\r\n\r\n")
        with imaplib.IMAP4(HOST, proxy.port, SECONDS) as imap:
            assert imap.login(typed, PASSWORD)[1][0].endswith(b"Logged in")
            assert imap.select() == ("OK", [b"1"])
    proxy.wait_log('authentication_id="hive" .* server-secure=starttls status="ok"$')


FAIL2BAN = [
    r"^Auth: (?P<host>\S+):\d+->(\d{1,3}\.){3}\d{1,3}:\d+ client-secure=\S+ authorisation_id=NONE "
    r'authentication_id=".+" server="\S+" protocol=\S+ server-secure=\S+ '
    r'status="failed: (local authentication failure|Re-Authentication Failure)"$',
    r"^Fatal Error reading authentication information from client (?P<host>\S+):\d+->"
    r"(\d{1,3}\.){3}\d{1,3}:\d+: Exiting child$",
]


def test_fail2ban_finds_who_fails(start: Start, routes: Routes) -> None:
    proxy = start("IMAP4", routes("imap"), name="perdition.imap4")
    with proxy.connect() as sock, sock.makefile("rb") as answers:
        sock.sendall(b"f1 LOGIN ann-banned wrong\r\n")
        assert any(line.startswith(b"f1 NO") for line in answers)
    proxy.wait_log("Fatal Error reading")
    prefix = re.compile(r"^\w{3} [ \d]\d \S+ perdition\.imap4\[\d+\]: ")
    messages = [prefix.sub("", line) for line in proxy.log().splitlines()]
    for pattern in FAIL2BAN:
        (found,) = (match for each in messages if (match := re.match(pattern, each)))
        assert found["host"] == HOST
