"""Several certificates on one listener."""

import contextlib
import re
import ssl

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from perdition.protocols.wire import Wire
from perdition.session.channel import PeerGone
from perdition.tls import LISTENING_FAILED, TlsFailed, TlsSetupError
from perdition.tls.stream import Stream
from support.certificates import certificates_pem, certify, key_pem, pem
from tls.conftest import client_context, connected, in_thread, speaking

ECDSA, RSA = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


def certificate_of(on, name, ciphers=""):
    """Whom the certificate is for that a client gets who asks for a name, and its kind of key."""
    context = client_context()
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
    ours, theirs = connected()
    found = []

    def shake():
        with context.wrap_socket(theirs, server_hostname=name) as sock:
            der = sock.getpeercert(binary_form=True)
            found.append((der, sock.cipher()[0]))
            sock.recv(1)

    with theirs, in_thread(shake):
        try:
            with speaking(on, ours) as channel:
                wire = Wire()
                wire.say(b"*")
                channel.flush(wire)
                assert channel.stream.server_name == (name and name.lower())
        except (TlsFailed, PeerGone) as error:
            return str(error)
    [(der, cipher)] = found
    from cryptography import x509  # noqa: PLC0415

    subject = x509.load_der_x509_certificate(der).subject.rfc4514_string()
    return (subject.removeprefix("CN="), cipher) if ciphers else subject.removeprefix("CN=")


@pytest.fixture
def folder(pki, tmp_path):
    """A directory for certificates of these names."""

    def make(**files):
        for file, (common, names, *key) in files.items():
            more = {"key": key[0]} if key else {}
            path = tmp_path / f"{file}.pem"
            path.write_bytes(pem(certify(common, pki.ca, names=names, **more)))
        return tmp_path

    return make


NAMED = {
    "one": ("one", ["a.example.org", "b.example.org"]),
    "star": ("star", ["*.example.org"]),
    "two": ("two.example.com", []),
}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.example.org", "one"),
        ("B.Example.ORG", "one"),
        ("c.example.org", "star"),
        ("d.c.example.org", "127.0.0.1"),
        ("example.org", "127.0.0.1"),
        ("two.example.com", "two.example.com"),
        ("three.example.com", "127.0.0.1"),
        ("org", "127.0.0.1"),
        (None, "127.0.0.1"),
    ],
)
def test_a_client_gets_the_certificate_of_the_name_it_asks_for(listening, folder, name, shown):
    assert certificate_of(listening(sni_certs=(str(folder(**NAMED)),)), name) == shown


def test_files_and_directories_can_be_named_together(listening, folder, tmp_path_factory, pki):
    other = tmp_path_factory.mktemp("other") / "chain.crt"
    other.write_bytes(pem(certify("x.example.net", pki.ca)))
    on = listening(sni_certs=(str(other), str(folder(**NAMED))))
    assert certificate_of(on, "x.example.net") == "x.example.net"
    assert certificate_of(on, "a.example.org") == "one"


def test_a_key_may_be_in_a_file_beside(listening, tmp_path, pki):
    made = certify("x.example.net", pki.ca)
    (tmp_path / "x.pem").write_bytes(certificates_pem(made))
    (tmp_path / "x.key").write_bytes(key_pem(made.key))
    on = listening(sni_certs=(str(tmp_path),))
    assert certificate_of(on, "x.example.net") == "x.example.net"


@pytest.mark.parametrize("name", ["a.example.org", "A.example.org"])
def test_a_name_has_rsa_and_ecdsa_side_by_side(listening, folder, rsa_key, name):
    files = {"r": ("r", ["a.example.org"], rsa_key), "e": ("e", ["a.example.org"])}
    on = listening(sni_certs=(str(folder(**files)),))
    assert certificate_of(on, name, RSA) == ("r", RSA)
    assert certificate_of(on, name, ECDSA) == ("e", ECDSA)
    # The default has one of the two.
    assert certificate_of(on, None, ECDSA) == ("127.0.0.1", ECDSA)
    assert "no shared cipher" in certificate_of(on, None, RSA)


@pytest.mark.parametrize("first", ["exact", "star"])
def test_a_name_has_the_other_kind_of_key_from_the_star_that_covers_it(
    listening, folder, rsa_key, first
):
    files = {"exact": ("exact", ["a.example.org"]), "star": ("star", ["*.example.org"], rsa_key)}
    path = folder(**files)
    last = {"exact": "star", "star": "exact"}[first]
    on = listening(sni_certs=(str(path / f"{first}.pem"), str(path / f"{last}.pem")))
    assert certificate_of(on, "a.example.org", ECDSA) == ("exact", ECDSA)
    assert certificate_of(on, "a.example.org", RSA) == ("star", RSA)
    assert certificate_of(on, "b.example.org", RSA) == ("star", RSA)
    # Nothing comes to a star from one of the names below it.
    assert "no shared cipher" in certificate_of(on, "b.example.org", ECDSA)


def test_of_the_same_kind_the_certificate_of_the_name_counts(listening, folder):
    on = listening(sni_certs=(str(folder(**NAMED)),))
    for name, shown in (("a.example.org", "one"), ("c.example.org", "star")):
        assert certificate_of(on, name, ECDSA) == (shown, ECDSA)


def test_the_default_has_both_kinds_too_and_its_chain_with_each(listening, pki, folder, rsa_key):
    files = {"r": ("r", ["mail.example.org", "127.0.0.1"], rsa_key)}
    on = listening(
        cert_file="for names", key_file="for names", sni_certs=(str(folder(**files) / "r.pem"),)
    )
    assert on.warnings == ()
    for name in None, "mail.example.org", "nobody.example.org":
        assert certificate_of(on, name, RSA) == ("r", RSA)
        assert certificate_of(on, name, ECDSA) == ("label", ECDSA)


def test_a_certificate_that_nobody_gets_is_warned_of(listening, folder):
    path = folder(a=("first", ["a.example.org"]), b=("second", ["a.example.org"]))
    on = listening(sni_certs=(str(path),))
    assert certificate_of(on, "a.example.org") == "first"
    [warning] = on.warnings
    assert warning.startswith(f"ssl_sni_certs {path}/b.pem: not used: another certificate of")
    assert warning.endswith("a.example.org")


def test_with_one_certificate_nothing_is_chosen(listening):
    assert listening().choose is None


@pytest.mark.parametrize("name", [b"\xff\xfe\n example", b"a.example\0org", b"-.example.org "])
def test_who_asks_for_a_name_that_is_none_gets_the_default_and_nothing_is_printed(
    listening, folder, name, capfd
):
    on = listening(sni_certs=(str(folder(**NAMED)),))
    peer = Stream(client_context(), server_hostname="x" * len(name))
    peer.handshake()
    server = on.start()
    server.feed(peer.take().replace(b"x" * len(name), name))
    with contextlib.suppress(TlsFailed):
        assert not server.handshake()
        assert server.server_name is None or server.server_name == name.decode()
    assert server.tls.context is on.context
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", [None, "a.example.org", "c.example.org"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_whatever_name_was_asked_for(listening, folder, name, version):
    on = listening(sni_certs=(str(folder(**NAMED)),))
    context = client_context()
    context.maximum_version = version
    session, resumed = None, []
    for _ in range(2):
        ours, theirs = connected()
        seen = []

        def use(theirs=theirs, session=session, seen=seen):
            with context.wrap_socket(theirs, server_hostname=name, session=session) as sock:
                sock.recv(1)
                seen.append((sock.session, sock.session_reused))
                sock.send(b"*")

        with theirs, in_thread(use), speaking(on, ours) as channel:
            wire = Wire()
            wire.say(b"*")
            channel.flush(wire)
            channel.receive()
        [(session, reused)] = seen
        resumed.append(reused)
    assert resumed == [False, True]


def test_protocols_and_clients_certificates_count_for_every_name(listening, folder, pki):
    on = listening(ca_file="ca", client_cert_user="cn", sni_certs=(str(folder(**NAMED)),))
    context = client_context(pki.file("client"))
    context.set_alpn_protocols(["imap"])
    for name in None, "a.example.org":
        ours, theirs = connected()

        def use(theirs=theirs, name=name):
            with context.wrap_socket(theirs, server_hostname=name) as sock:
                sock.recv(1)

        with theirs, in_thread(use), speaking(on, ours) as channel:
            assert channel.certified == "client"
            assert channel.stream.tls.selected_alpn_protocol() == "imap"


@pytest.fixture(scope="module")
def other(pki):
    return certify("other.example.org", pki.ca)


# What is in x.pem, given a certificate, its key and another key; and what is said of it.
BROKEN = [
    (lambda _certificate, key, _other: key, "x.pem: no certificate in PEM form"),
    (lambda certificate, _key, _other: certificate, "x.key: there is no such file"),
    (lambda certificate, _key, other: certificate + other, "x.pem: does not belong to"),
    (
        lambda certificate, key, _other: certificate + key.replace(b"PRIV", b"ENCRYPTED PRIV"),
        "x.pem: it is encrypted, which only that of ssl_key_file may be",
    ),
    (
        lambda certificate, key, _other: (
            certificate.splitlines()[0] + b"\nAAAA\n" + certificate.splitlines()[-1] + b"\n" + key
        ),
        "x.pem: cannot be decoded",
    ),
]


@pytest.mark.parametrize(("contents", "message"), BROKEN)
@pytest.mark.parametrize("in_folder", [False, True])
def test_start_names_the_file_and_what_is_wrong_with_it(
    listening, pki, other, tmp_path, contents, message, in_folder
):
    file = tmp_path / "x.pem"
    file.write_bytes(contents(certificates_pem(other), key_pem(other.key), key_pem(pki.ca.key)))
    path = tmp_path if in_folder else file
    with pytest.raises(TlsSetupError, match=f"^ssl_sni_certs {tmp_path}/{message}") as failure:
        listening(sni_certs=(str(path),))
    assert "\n" not in str(failure.value)
    assert failure.value.log_lines[-1] == LISTENING_FAILED


def test_a_path_without_certificates_is_named(listening, tmp_path):
    for path, message in (
        (tmp_path, r"no \*\.pem in this directory"),
        (tmp_path / "x.pem", "there is no such file"),
    ):
        with pytest.raises(TlsSetupError, match=f"^ssl_sni_certs {path}: {message}"):
            listening(sni_certs=(str(path),))


def test_a_certificate_whose_names_cannot_be_decoded_is_named(listening, pki):
    with pytest.raises(TlsSetupError, match=r"broken name\.pem: cannot be decoded"):
        listening(sni_certs=(pki.file("broken name"),))


@pytest.mark.parametrize("kind", ["expired", "not yet"])
def test_a_certificate_out_of_its_time_warns(listening, pki, kind):
    on = listening(cert_file="for names", key_file="for names", sni_certs=(pki.file(kind),))
    [text] = on.warnings
    assert re.match(rf"ssl_sni_certs .*/{kind}.pem: certificate .*: clients will refuse it", text)


def test_a_directory_as_certbot_makes_it(listening, tmp_path, pki):
    made = certify("letters", pki.ca, names=["letters.example"])
    live = tmp_path / "letters.example"
    live.mkdir()
    for name, octets in {
        "cert.pem": certificates_pem(made),
        "chain.pem": certificates_pem(pki.ca),
        "fullchain.pem": certificates_pem(made, pki.ca),
        "privkey.pem": key_pem(made.key),
    }.items():
        (live / name).write_bytes(octets)
    for path in live, live / "fullchain.pem":
        on = listening(sni_certs=(str(path),))
        assert certificate_of(on, "letters.example") == "letters"


def test_a_name_keeps_its_own_rsa_where_the_star_has_another_kind(
    listening, folder, rsa_key
) -> None:
    files = {"exact": ("exact", ["a.example.org"], rsa_key), "star": ("star", ["*.example.org"])}
    on = listening(sni_certs=(str(folder(**files)),))
    assert certificate_of(on, "a.example.org") == "exact"
    assert certificate_of(on, "b.example.org") == "star"
