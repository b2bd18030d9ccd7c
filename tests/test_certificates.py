"""Which certificates are for which servers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition import certificates

TEXT = st.text(max_size=80)


def info(common=(), dns=(), addresses=()):
    """A certificate as the ssl module decodes it."""
    decoded = {"subject": tuple((("commonName", name),) for name in common)}
    alternatives = [("DNS", name) for name in dns] + [("IP Address", each) for each in addresses]
    if alternatives:
        decoded["subjectAltName"] = tuple(alternatives)
    return decoded


@pytest.mark.parametrize(
    ("server", "certificate"),
    [
        ("mail.example.org", info(dns=["mail.example.org"])),
        ("mail.example.org", info(dns=["www.example.org", "mail.example.org"])),
        ("MAIL.Example.org", info(dns=["mail.EXAMPLE.org"])),
        ("mail.example.org.", info(dns=["mail.example.org"])),
        ("mail.example.org", info(dns=["*.example.org"])),
        ("müller.example.org", info(dns=["xn--mller-kva.example.org"])),
        ("müller.example.org", info(dns=["*.example.org"])),
        ("localhost", info(common=["localhost"])),
        ("mail.example.org", info(common=["other", "mail.example.org"])),
        ("mail.example.org", info(common=["*.example.org"])),
        ("mail.example.org", info(common=["mail.example.org"], addresses=["10.0.0.1"])),
        ("10.0.0.1", info(addresses=["10.0.0.1"])),
        ("10.0.0.1", info(common=["10.0.0.1"])),
        ("::1", info(addresses=["0:0:0:0:0:0:0:1"])),
        ("2001:DB8:0::1", info(addresses=["2001:db8::1"])),
        ("2001:db8::1", info(common=["2001:0db8:0:0:0:0:0:1"])),
    ],
)
def test_certificate_is_for_the_server(server, certificate):
    assert certificates.matches(server, certificate)


@pytest.mark.parametrize(
    ("server", "certificate"),
    [
        ("mail.example.org", info()),
        ("mail.example.org", info(dns=["mail.example.com"])),
        ("example.org", info(dns=["*.example.org"])),
        ("a.mail.example.org", info(dns=["*.example.org"])),
        ("mail.example.org", info(dns=["m*.example.org", "mail.*.org", "*", "*.org."])),
        ("mail.example.org", info(common=["mail.example.org"], dns=["www.example.org"])),
        ("mail.example.org", info(dns=["mail.example.org\0.example.com"])),
        ("mail.example.org\0", info(dns=["mail.example.org"])),
        ("a..b", info(dns=["a..b"])),
        ("", info(dns=[""])),
        (".", info(common=["."])),
        ("x" * 64 + ".org", info(dns=["x" * 64 + ".org"])),
        ("10.0.0.1", info(addresses=["10.0.0.2"])),
        ("10.0.0.1", info(dns=["10.0.0.1"])),
        ("10.0.0.1", info(dns=["*.0.0.1"])),
        ("10.0.0.1", info(common=["10.0.0.1"], dns=["mail.example.org"])),
        ("10.0.0.1", info(common=["10.0.0.1"], addresses=["10.0.0.2"])),
        ("10.0.0.1", info(common=["mail.example.org"])),
    ],
)
def test_certificate_is_not_for_the_server(server, certificate):
    assert not certificates.matches(server, certificate)


@pytest.mark.parametrize("server", ["mail.example.org", "10.0.0.1"])
def test_san_only_never_looks_at_the_common_name(server):
    assert certificates.matches(server, info(common=[server]))
    assert not certificates.matches(server, info(common=[server]), san_only=True)


@pytest.mark.parametrize(
    ("certificate", "names"),
    [
        (info(common=["label"], dns=["a.org"], addresses=["10.0.0.1"]), ["a.org", "10.0.0.1"]),
        (info(common=["a.org"]), ["a.org"]),
        (info(), ["nobody"]),
    ],
)
def test_names_are_listed_for_people(certificate, names):
    assert certificates.names_of(certificate) == names


def test_a_directory_in_a_certificate_is_no_name() -> None:
    directory = ("DirName", ((("commonName", "hello"),),))
    certificate = {"subjectAltName": (directory, ("DNS", "mail.example.org"))}
    assert certificates.names_of(certificate) == ["mail.example.org"]
    assert certificates.matches("mail.example.org", certificate)
    assert not certificates.matches("hello", certificate)
    assert certificates.names_of({"subjectAltName": (directory,)}) == ["nobody"]


@given(TEXT, st.lists(TEXT, max_size=3), st.lists(TEXT, max_size=3), st.booleans())
def test_no_text_raises(server, dns, common, san_only):
    certificates.matches(server, info(common, dns), san_only=san_only)


def subject(**parts):
    """A certificate's subject, with alternative names of e-mail and DNS."""
    alternatives = [(kind, value) for kind in ("email", "DNS") for value in parts.pop(kind, ())]
    return {
        "subject": tuple(((key, value),) for key, values in parts.items() for value in values),
        "subjectAltName": tuple(alternatives),
    }


@pytest.mark.parametrize(
    ("certificate", "field", "user"),
    [
        (subject(commonName=["ann"]), "cn", "ann"),
        (subject(commonName=[" ann "]), "cn", "ann"),
        (subject(commonName=["Ann M\xfcller"]), "cn", "Ann M\xfcller"),
        (subject(commonName=["ann", "bob"]), "cn", None),
        (subject(commonName=["ann\0bob"]), "cn", None),
        (subject(commonName=["ann\r\nbob"]), "cn", None),
        (subject(commonName=["ann\udc80"]), "cn", None),
        (subject(commonName=[""]), "cn", None),
        (subject(commonName=[" "]), "cn", None),
        (subject(), "cn", None),
        (subject(userId=["ann"], commonName=["x"]), "uid", "ann"),
        (subject(email=["a@b"], emailAddress=["c@d"]), "email", "a@b"),
        (subject(emailAddress=["c@d"]), "email", "c@d"),
        (subject(email=["a@b", "c@d"]), "email", None),
        (subject(email=["a@b\n"], emailAddress=["c@d"]), "email", None),
        (subject(DNS=["a.org"], commonName=["x"]), "dns", "a.org"),
        (subject(commonName=["x"]), "dns", None),
        (subject(DNS=["a.org", "b.org"]), "dns", None),
    ],
)
def test_a_certificate_names_one_user_or_none(certificate, field, user):
    assert certificates.user_of(certificate, field) == user


@given(TEXT, st.sampled_from(sorted(certificates.USER_FIELDS)))
def test_no_user_has_control_characters(text, field):
    parts = {key: [text] for key in ("commonName", "userId", "email", "DNS")}
    user = certificates.user_of(subject(**parts), field)
    assert user is None or (user.isprintable() and user)
