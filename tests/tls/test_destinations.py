"""TLS with single real servers, by what is said of them."""

import hashlib
import os
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from perdition.parameters import Parameters
from perdition.tls import OUTGOING_FAILED, TlsFailed, TlsSetupError
from perdition.tls.destinations import MOST_FILES, Destinations
from support.certificates import certificates_pem, openssl
from tls.conftest import HOST, LEAF, MISSING, OK, SELF_SIGNED, UNKNOWN, connect, server_context

NO_CHECK = ["no_cert_verify", "no_cn_verify"]


def pin(file):
    """The pin of a certificate, as the documents say to make one."""
    key = openssl("x509", "-in", file, "-noout", "-pubkey")
    path = Path(f"{file}.key")
    path.write_bytes(key)
    return hashlib.sha256(openssl("pkey", "-pubin", "-in", path, "-outform", "DER")).digest()


@pytest.fixture
def reach(pki, given):
    """Connects to a server that shows a certificate; says how it went."""

    def reaching(shown, parameters, *flags, host=HOST, **values):
        options = given(*flags, **values)
        to = Destinations(options, needed=True)
        try:
            tls = to.to(parameters)
        except TlsFailed as error:
            return error.reason
        name = parameters.name if parameters else ""
        return connect(tls, server_context(pki.file(shown)), name or host)

    return reaching


def test_where_nothing_is_said_the_options_count(reach):
    for parameters in None, Parameters(tls="ssl", client="id"):
        assert reach("leaf", parameters, ca_file="ca").startswith(OK)
        assert reach("leaf", parameters) == UNKNOWN


@pytest.mark.parametrize("flags", [[], NO_CHECK, [LEAF, "ca_accept_self_signed"]])
def test_an_authority_of_its_own_is_what_counts(pki, reach, flags):
    own = Parameters(ca=pki.file("ca"))
    assert reach("leaf", own, *flags, ca_file="other ca").startswith(OK)
    assert reach("self-signed", own, *flags) == SELF_SIGNED
    other = Parameters(ca=pki.file("other ca"))
    assert reach("leaf", other, *flags, ca_file="ca") == UNKNOWN


def test_a_name_of_its_own_is_sent_and_checked(pki, reach):
    named = Parameters(name="mail.example.org")
    for flags in [], ["no_cn_verify"], NO_CHECK:
        assert reach("other name", named, *flags, ca_file="ca").startswith(OK)
        assert reach("leaf", named, *flags, ca_file="ca") == (
            "name mismatch: wanted mail.example.org, certificate is for 127.0.0.1"
        )


def test_a_pin_is_enough(pki, reach):
    for shown in "self-signed", "expired", "other name", "broken name":
        wanted = Parameters(pins=(bytes(32), pin(pki.file(shown))))
        assert reach(shown, wanted).startswith(OK)


@pytest.mark.parametrize("flags", [[], NO_CHECK])
def test_another_key_than_the_pin_is_refused_and_shown(pki, reach, flags):
    wanted = Parameters(pins=(bytes(32),), ca=pki.file("ca"))
    shown = pin(pki.file("leaf")).hex()
    assert reach("leaf", wanted, *flags, ca_file="ca") == (
        f"pin: the key of the real server is sha256:{shown}"
    )


def test_the_pin_is_of_the_key_and_not_of_the_certificate(pki):
    certificate = x509.load_pem_x509_certificate(Path(pki.file("leaf")).read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert pin(pki.file("leaf")) == hashlib.sha256(key).digest()


@pytest.mark.parametrize(
    ("content", "why"), [(None, MISSING), (b"nothing", "no certificate in PEM form")]
)
def test_a_file_that_cannot_be_read_fails_with_a_reason_and_is_tried_again(
    pki, given, tmp_path, content, why
):
    path = tmp_path / "ca.pem"
    if content:
        path.write_bytes(content)
    to, wanted = Destinations(given(), needed=False), Parameters(ca=str(path))
    with pytest.raises(TlsFailed, match=f"^ca={path}: {why}"):
        to.to(wanted)
    path.write_bytes(certificates_pem(pki.ca))
    assert connect(to.to(wanted), server_context(pki.file("leaf"))).startswith(OK)


def test_a_file_in_the_options_is_read_at_start(pki, given, tmp_path):
    known = [Parameters(ca=str(tmp_path / "ca.pem"))]
    text = f"^outgoing_server or outgoing_destinations: ca={tmp_path}/ca.pem: {MISSING}"
    with pytest.raises(TlsSetupError, match=text) as failure:
        Destinations(given(), needed=True, known=known)
    assert failure.value.log_lines == (OUTGOING_FAILED,)
    (tmp_path / "ca.pem").write_bytes(certificates_pem(pki.ca))
    to = Destinations(given(), needed=True, known=known)
    (tmp_path / "ca.pem").unlink()
    assert connect(to.to(known[0]), server_context(pki.file("leaf"))).startswith(OK)


def test_trouble_counts_only_where_tls_is_needed(given):
    options = given(outgoing_ciphers="rubbish")
    with pytest.raises(TlsSetupError, match="ssl_outgoing_ciphers"):
        Destinations(options, needed=True)
    to = Destinations(options, needed=False)
    for parameters in None, Parameters(pins=(bytes(32),)):
        with pytest.raises(TlsFailed, match="ssl_outgoing_ciphers"):
            to.to(parameters)


def test_missing_authorities_are_warned_of_only_where_tls_is_needed(given):
    options = given(ca_file="/nonexistent")
    assert Destinations(options, needed=False).warnings == ()
    [warning] = Destinations(options, needed=True).warnings
    assert "ssl_ca_file /nonexistent" in warning


def test_a_bounded_number_of_files_is_remembered(pki, given, tmp_path):
    to = Destinations(given(), needed=False)
    paths = [tmp_path / str(number) for number in range(MOST_FILES + 1)]
    for path in paths:
        os.link(pki.file("ca"), path)
    found = [to.to(Parameters(ca=str(path))) for path in paths]
    assert to.to(Parameters(ca=str(paths[-1]))) is found[-1]
    assert to.to(Parameters(ca=str(paths[0]))) is not found[0]


def test_threads_share_it(pki, given):
    to = Destinations(given(), needed=False)
    wanted = [Parameters(ca=pki.file("ca")), Parameters(pins=(pin(pki.file("leaf")),))]
    outcomes = []

    def run(parameters):
        outcomes.append(connect(to.to(parameters), server_context(pki.file("leaf"))))

    threads = [threading.Thread(target=run, args=(wanted[number % 2],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert all(each.startswith(OK) for each in outcomes)
