"""Which certificate clients are shown, for which protocol, and which certificates they may show.

The clients are openssl's own, curl and Python's.
"""

import re
import signal
import ssl
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from support.certificates import Certified, Pki, certificates_pem, certify, pem, revoking
from support.clients import Imap, Refused
from support.dovecot import PASSWORD, Dovecot
from support.processes import HOST, require, wait_until
from support.program import Options, Perdition, Start, checked
from system.conftest import Routes

pytestmark = pytest.mark.system
SECONDS = 30
FAILURE = 255
Listen = Callable[..., Perdition]


@pytest.fixture
def folder(pki: Pki, tmp_path: Path) -> Path:
    """Certificates for names; one name has two kinds of keys."""
    made = tmp_path / "certificates"
    made.mkdir()
    key = rsa.generate_private_key(65537, 2048)
    for name, certified in {
        "a": certify("a, ECDSA", pki.ca, names=["a.example.org"]),
        "a-rsa": certify("a, RSA", pki.ca, names=["a.example.org"], key=key),
        "star": certify("star", pki.ca, names=["*.example.org"]),
    }.items():
        (made / f"{name}.pem").write_bytes(pem(certified))
    return made


@pytest.fixture
def listen(start: Start, routes: Routes, files: Options, folder: Path) -> Listen:
    """Starts a proxy with these certificates."""

    def starter(protocol: str = "IMAP4", mode: str = "ssl_listen", **options: str) -> Perdition:
        listener = {"IMAP4": "imap", "POP3": "pop3", "MANAGESIEVE": "sieve"}[protocol]
        given = {**routes(listener), **files, "ssl_mode": mode, "ssl_sni_certs": str(folder)}
        return start(protocol, {**given, **options})

    return starter


def openssl(proxy: Perdition, *words: str) -> subprocess.CompletedProcess[str]:
    """A client that ends after the handshake."""
    command = ["openssl", "s_client", "-connect", f"{HOST}:{proxy.port}", *words]
    return subprocess.run(
        command, input="", capture_output=True, text=True, timeout=SECONDS, check=False
    )


@pytest.mark.parametrize(
    ("words", "subject"),
    [
        (["-servername", "a.example.org"], "a, ECDSA"),
        (["-servername", "a.example.org", "-sigalgs", "RSA-PSS+SHA256"], "a, RSA"),
        (["-servername", "A.EXAMPLE.ORG", "-tls1_2", "-cipher", "aRSA"], "a, RSA"),
        (["-servername", "b.example.org"], "star"),
        (["-servername", "b.example.net"], "label"),
        (["-noservername"], "label"),
    ],
)
def test_a_client_is_shown_the_certificate_of_the_name_it_asks_for(
    listen: Listen, words: list[str], subject: str
) -> None:
    shown = openssl(listen(), *words)
    assert shown.returncode == 0, shown.stderr
    assert re.search(r'^subject=CN ?= ?"?(.*?)"?$', shown.stdout, re.MULTILINE)[1] == subject  # type: ignore[index]


def subject_of(proxy: Perdition, name: str) -> str:
    """Whose certificate a client is shown that asks for that name."""
    found = re.search(r"^subject=CN ?= ?(.*)$", openssl(proxy, "-servername", name).stdout, re.M)
    return found[1] if found else ""


def test_renewed_certificates_are_shown_from_hup_on_and_useless_ones_are_not(
    listen: Listen, pki: Pki, folder: Path
) -> None:
    proxy = listen()
    star = folder / "star.pem"
    assert subject_of(proxy, "b.example.org") == "star"
    star.write_bytes(b"nothing")
    proxy.kill(signal.SIGHUP)
    proxy.wait_log(
        f"{star}: no certificate in PEM form .*: the certificates of before stay in use$"
    )
    assert subject_of(proxy, "b.example.org") == "star"
    star.write_bytes(pem(certify("renewed star", pki.ca, names=["*.example.org"])))
    (folder / "new.pem").write_bytes(pem(certify("new", pki.ca, names=["new.example.net"])))
    proxy.kill(signal.SIGHUP)
    proxy.wait_log("Read certificates again$")
    # The workers of before go on until the new ones are there.
    wait_until(
        lambda: subject_of(proxy, "b.example.org") == "renewed star", SECONDS, "the renewed one"
    )
    wait_until(lambda: subject_of(proxy, "new.example.net") == "new", SECONDS, "a new one")


def test_authorities_of_real_servers_are_read_again_at_hup(
    start: Start, dovecots: tuple[Dovecot, Dovecot], pki: Pki, tmp_path: Path
) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_bytes(certificates_pem(certify("Another", ca=True)))
    options = {
        "outgoing_server": f"{HOST}:{dovecots[0].ports['imaps']}",
        "ssl_mode": "ssl_outgoing",
        "ssl_ca_file": str(authority),
    }
    proxy = start("IMAP4", options)

    def is_served() -> bool:
        with suppress(Refused, OSError, EOFError), closing(Imap(proxy.port)) as client:
            client.log_in("ann-again", PASSWORD)
            return True
        return False

    assert not is_served()
    authority.write_bytes(certificates_pem(pki.ca))
    proxy.kill(signal.SIGHUP)
    wait_until(is_served, SECONDS, "the new authority is known")


def test_curl_finds_its_name_in_the_certificate(listen: Listen, pki: Pki) -> None:
    proxy = listen()
    for name in "a.example.org", "b.example.org":
        command = [
            *(require("curl"), "-sS", "--cacert", pki.file("ca"), "--user", f"ann-sni:{PASSWORD}"),
            *("--connect-to", f"{name}:{proxy.port}:{HOST}:{proxy.port}"),
            *(f"imaps://{name}:{proxy.port}/", "-X", "STATUS INBOX (MESSAGES)"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "* STATUS INBOX (MESSAGES 0)" in done.stdout


PROTOCOLS = [
    ("IMAP4", "imap", "imap"),
    ("POP3", "pop3", "pop3"),
    ("MANAGESIEVE", "sieve", "managesieve"),
]


@pytest.mark.parametrize("mode", ["ssl_listen", "tls_listen"])
@pytest.mark.parametrize(("protocol", "starttls", "name"), PROTOCOLS)
def test_a_client_of_another_protocol_gets_the_alert(
    listen: Listen, mode: str, protocol: str, starttls: str, name: str
) -> None:
    proxy = listen(protocol, mode)
    begun = ["-starttls", starttls] if mode == "tls_listen" else []
    served = openssl(proxy, *begun, "-alpn", f"h2,{name}")
    assert served.returncode == 0, served.stderr
    assert f"ALPN protocol: {name}\n" in served.stdout
    without = openssl(proxy, *begun)
    assert without.returncode == 0, without.stderr
    assert "No ALPN negotiated\n" in without.stdout
    for version in "-tls1_2", "-tls1_3":
        refused = openssl(proxy, *begun, "-alpn", "http/1.1,h2", version)
        assert refused.returncode == 1
        assert "SSL alert number 120" in refused.stderr
        assert "BEGIN CERTIFICATE" not in refused.stdout


@pytest.fixture(scope="module")
def people(pki: Pki) -> dict[str, Certified]:
    """Clients with certificates, by their names."""
    return {name: certify(name, pki.ca) for name in ("ann", "bob")}


def showing(pki: Pki, tmp_path: Path, certified: Certified) -> ssl.SSLContext:
    """A client with a certificate."""
    path = tmp_path / "client.pem"
    path.write_bytes(pem(certified))
    context = ssl.create_default_context(cafile=pki.file("ca"))
    context.load_cert_chain(path)
    return context


def is_let_in(proxy: Perdition, context: ssl.SSLContext) -> bool:
    try:
        with closing(Imap(proxy.port, context)) as client:
            client.log_in("ann-shown", PASSWORD)
    except (OSError, EOFError):
        return False
    return True


def test_a_revoked_client_is_refused_from_hup_on_and_the_log_says_why(
    listen: Listen, pki: Pki, tmp_path: Path, people: dict[str, Certified]
) -> None:
    crl = tmp_path / "crl.pem"
    crl.write_bytes(revoking(pki.ca))
    proxy = listen(ssl_crl_file=str(crl))
    bob = showing(pki, tmp_path, people["bob"])
    assert is_let_in(proxy, bob)
    crl.write_bytes(b"nothing")
    proxy.kill(signal.SIGHUP)
    proxy.wait_log(
        f"ssl_crl_file {crl}: nothing in PEM .*: the certificates of before stay in use$"
    )
    crl.write_bytes(revoking(pki.ca, people["bob"], days=(0, 10)))
    proxy.kill(signal.SIGHUP)
    # The workers of before go on until the new ones are there.
    wait_until(lambda: not is_let_in(proxy, bob), SECONDS, "a revoked client is refused")
    # It needs no debug.
    proxy.wait_log(r"TLS with .*:\d+: certificate not verified: certificate revoked$")
    assert is_let_in(proxy, showing(pki, tmp_path, people["ann"]))
    assert is_let_in(proxy, ssl.create_default_context(cafile=pki.file("ca")))


def test_a_list_that_has_expired_is_warned_of_at_start(
    listen: Listen, pki: Pki, tmp_path: Path, people: dict[str, Certified]
) -> None:
    crl = tmp_path / "crl.pem"
    crl.write_bytes(revoking(pki.ca, days=(-10, -1)))
    proxy = listen(ssl_crl_file=str(crl))
    proxy.wait_log(f"ssl_crl_file {crl}: the list of CA has expired")
    assert not is_let_in(proxy, showing(pki, tmp_path, people["ann"]))
    proxy.wait_log("certificate not verified: CRL has expired$")


@pytest.mark.parametrize(
    ("option", "content", "why"),
    [
        ("ssl_sni_certs", None, "there is no such file"),
        ("ssl_sni_certs", b"nothing", "no certificate in PEM form"),
        ("ssl_crl_file", None, "there is no such file"),
        ("ssl_crl_file", b"nothing", "nothing in PEM form"),
    ],
)
def test_check_config_finds_files_that_cannot_be_used(
    tmp_path: Path, files: Options, option: str, content: bytes | None, why: str
) -> None:
    path = tmp_path / "x.pem"
    if content is not None:
        path.write_bytes(content)
    done = checked(tmp_path, {**files, "ssl_mode": "ssl_listen", option: str(path)})
    assert done.returncode == FAILURE
    assert f"{option} {path}: {why}" in done.stderr
