"""Clients' certificates: who they are of, and lists of those that are revoked."""

import functools
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from perdition.tls import LISTENING_FAILED, CertificateRefused, TlsSetupError
from perdition.tls.der import BadDer, elements, kind_of_key, public_key, revocations
from support.certificates import certificates_pem, certify, pem, revoking
from tls.conftest import (
    LEAF,
    MISSING,
    OK,
    ROOT,
    accept,
    client_context,
    connected,
    in_thread,
    speaking,
    start,
    use,
)

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
REVOKED = "certificate not verified: certificate revoked"
NO_LIST = "certificate not verified: unable to get certificate CRL"
EXPIRED = "certificate not verified: CRL has expired"


@pytest.fixture(scope="module")
def good(pki):
    return certify("ann", pki.ca)


@pytest.fixture(scope="module")
def stolen(pki):
    return certify("bob", pki.ca)


@pytest.fixture
def crl(tmp_path):
    """Writes the file of lists."""

    def write(*lists):
        path = tmp_path / "crl.pem"
        path.write_bytes(b"".join(lists))
        return str(path)

    return write


@pytest.fixture
def client(tmp_path):
    """A client with such certificates."""

    def make(*chain):
        path = tmp_path / "client.pem"
        path.write_bytes(pem(*chain))
        return client_context(path)

    return make


def test_a_revoked_certificate_is_refused_and_others_are_not(
    pki, listening, crl, client, good, stolen
):
    on = listening(ca_file="ca", crl_file=crl(revoking(pki.ca, stolen)))
    assert on.warnings == ()
    assert accept(on, client(good)).startswith(OK)
    assert accept(on, client(stolen)) == REVOKED
    # Nobody has to show one.
    assert accept(on, client_context()).startswith(OK)


@pytest.mark.parametrize("flags", [[], [LEAF], [ROOT]])
def test_options_for_real_servers_do_not_let_revoked_clients_in(
    pki, listening, crl, client, stolen, flags
):
    on = listening(*flags, ca_file="ca", crl_file=crl(revoking(pki.ca, stolen)))
    assert accept(on, client(stolen)) == REVOKED


def test_a_list_that_has_expired_refuses_all_and_is_warned_of(pki, listening, crl, client, good):
    file = crl(revoking(pki.ca, days=(-10, -1)))
    on = listening(ca_file="ca", crl_file=file)
    assert accept(on, client(good)) == EXPIRED
    [warning] = on.warnings
    assert warning.startswith(f"ssl_crl_file {file}: the list of CA has expired: clients")


def test_an_authority_without_a_list_is_warned_of(pki, listening, crl, client, good):
    other = certify("Other CA", ca=True)
    file = crl(revoking(other))
    on = listening(ca_file="ca", crl_file=file)
    assert accept(on, client(good)) == NO_LIST
    [warning] = on.warnings
    assert warning.startswith(f"ssl_crl_file {file}: it has no list of CA: clients")


def test_lists_of_authorities_above_are_not_needed(pki, listening, crl, client):
    signed = certify("carol", pki.intermediate)
    on = listening(ca_file="ca", crl_file=crl(revoking(pki.intermediate)))
    assert accept(on, client(signed, pki.intermediate)).startswith(OK)
    on = listening(ca_file="ca", crl_file=crl(revoking(pki.intermediate, signed)))
    assert accept(on, client(signed, pki.intermediate)) == REVOKED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, MISSING),
        (b"", "nothing in PEM form in it"),
        (b"certificate", "no list of revoked certificates"),
    ],
)
def test_a_file_without_lists_ends_the_start(pki, listening, tmp_path, content, message):
    path = tmp_path / "crl.pem"
    if content is not None:
        path.write_bytes(content and certificates_pem(pki.ca))
    with pytest.raises(TlsSetupError, match=f"^ssl_crl_file {path}: {message}") as failure:
        listening(ca_file="ca", crl_file=str(path))
    assert failure.value.log_lines == (LISTENING_FAILED,)


def alternatives(*names):
    return x509.SubjectAlternativeName(names)


NAMED = [
    ("cn", None, "ann"),
    ("email", alternatives(x509.RFC822Name("ann@example.org")), "ann@example.org"),
    ("email", alternatives(x509.RFC822Name("a@b"), x509.RFC822Name("c@d")), None),
    ("email", None, None),
    ("dns", alternatives(x509.DNSName("ann.example.org")), "ann.example.org"),
    ("uid", None, None),
    ("", None, None),
]


@pytest.mark.parametrize(("field", "extension", "user"), NAMED)
@pytest.mark.parametrize("flags", [[], [LEAF, ROOT]])
def test_a_verified_certificate_names_the_user(
    pki, listening, client, field, extension, user, flags
):
    on = listening(*flags if field else (), ca_file="ca", client_cert_user=field)
    context = client(certify("ann", pki.ca, extension=extension))
    ours, theirs = connected()
    with theirs, in_thread(use, context, theirs), speaking(on, ours) as channel:
        assert channel.certified == user


def test_nobody_is_named_without_a_certificate(listening):
    on = listening(ca_file="ca", client_cert_user="cn")
    ours, theirs = connected()
    with theirs, in_thread(use, client_context(), theirs), speaking(on, ours) as channel:
        assert channel.certified is None


@pytest.mark.parametrize("chain", ["self-signed", "client, ca"])
def test_a_certificate_of_an_unknown_authority_is_refused_as_one(pki, listening, chain):
    on = listening(LEAF, ROOT, client_cert_user="cn")
    ours, theirs = connected()
    shake = in_thread(use, client_context(pki.file(chain)), theirs)
    with theirs, shake, pytest.raises(CertificateRefused, match="not verified"):
        start(on, ours)


@pytest.mark.parametrize("version", VERSIONS)
def test_nobody_comes_by_a_ticket_past_the_lists(pki, listening, crl, client, good, version):
    on = listening(ca_file="ca", crl_file=crl(revoking(pki.ca)))
    context = client(good)
    context.maximum_version = version
    ours, theirs = connected()
    seen = []
    with theirs, in_thread(use, context, theirs, seen), speaking(on, ours) as channel:
        channel.sock.sendall(b"".join(channel.stream.encrypt(b"*")))
    [(session, _)] = seen
    assert session is None or not session.has_ticket


@pytest.mark.parametrize("version", VERSIONS)
def test_a_user_is_known_in_a_session_that_is_resumed(pki, listening, client, good, version):
    on = listening(ca_file="ca", client_cert_user="cn")
    context, session, users = client(good), None, []
    context.maximum_version = version
    for resumed in False, True:
        ours, theirs = connected()
        seen = []
        shake = functools.partial(use, context, theirs, seen, session=session)
        with theirs, in_thread(shake), speaking(on, ours) as channel:
            users.append(channel.certified)
            channel.sock.sendall(b"".join(channel.stream.encrypt(b"*")))
        [(session, was_resumed)] = seen
        assert was_resumed is resumed
    assert users == ["ann", "ann"]


def test_the_public_key_and_its_kind_are_found(pki):
    kinds = set()
    for name in "leaf", "rsa", "for names":
        certificate = x509.load_pem_x509_certificate(Path(pki.file(name)).read_bytes())
        der = certificate.public_bytes(Encoding.DER)
        key = certificate.public_key()
        assert public_key(der) == key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        kinds.add(kind_of_key(der))
    assert len(kinds) == 2


@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"\x30\x05\x30", b"\x30\x84\xff\xff\xff\xff", b"0\0"]
)
def test_what_is_no_certificate_and_no_list_is_found_out(data):
    for read in public_key, kind_of_key, revocations, lambda octets: revocations(b"0" + octets):
        with pytest.raises(BadDer):
            read(data)


def test_elements_follow_one_another():
    assert [each.content for each in elements(b"\x02\x01a\x04\x81\x02bc")] == [b"a", b"bc"]
