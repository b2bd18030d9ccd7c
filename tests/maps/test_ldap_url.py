"""The option of the ldap map, taken apart. Nothing here connects to anything."""

import ssl
from pathlib import Path

import ldap.dn
import pytest

from perdition.maps import MapFailed
from perdition.maps.ldap_url import Directory, Server, read_option
from support.certificates import Pki

BASE = "ldap://host/ou=mailbox,dc=nodomain"


def urls(directory: Directory) -> list[str]:
    return [each.url for each in directory.servers]


def test_by_default_it_is_the_schemas_tree_on_this_machine() -> None:
    directory = read_option("")
    assert directory.servers == (Server("ldap://localhost:389", "localhost", "389"),)
    assert directory.version == 3
    assert directory.base.fill(b"ann") == "ou=mailbox,dc=nodomain"
    assert directory.scope == ldap.SCOPE_ONELEVEL
    assert directory.filter.fill(b"ann") == "(uid=ann)"
    assert directory.attributes == ("username", "mailhost", "port")
    assert (directory.bind_name, directory.password, directory.tls) == ("", "", None)
    assert directory.warnings == ()


@pytest.mark.parametrize(
    ("option", "version"),
    [("3", 3), ("2", 2), ("3:", 3), (BASE, 3), (f"2:{BASE}", 2), (f"3:{BASE}", 3)],
)
def test_the_version_may_stand_before_the_url(option: str, version: int) -> None:
    directory = read_option(option)
    assert directory.version == version
    assert directory.base.fill(b"") == "ou=mailbox,dc=nodomain"
    assert bool(directory.warnings) == (version == 2)


@pytest.mark.parametrize("option", ["<ldap://one/dc=x>", "3:<URL:ldap://one/dc=x>"])
def test_a_url_may_stand_between_brackets(option: str) -> None:
    directory = read_option(option)
    assert urls(directory) == ["ldap://one:389"]
    assert directory.base.fill(b"") == "dc=x"


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ("", ldap.SCOPE_BASE),
        ("base", ldap.SCOPE_BASE),
        ("One", ldap.SCOPE_ONELEVEL),
        ("onelevel", ldap.SCOPE_ONELEVEL),
        ("sub", ldap.SCOPE_SUBTREE),
        ("SubTree", ldap.SCOPE_SUBTREE),
        ("subordinate", ldap.SCOPE_SUBORDINATE),
        ("children", ldap.SCOPE_SUBORDINATE),
    ],
)
def test_a_scope_has_all_the_names_that_libldap_knows(scope: str, found: int) -> None:
    assert read_option(f"ldap://host/dc=x??{scope}").scope == found


@pytest.mark.parametrize("version", ["1", "4", "x"])
@pytest.mark.parametrize("rest", ["", f":{BASE}"])
def test_other_versions_are_refused_in_the_words_of_2_2(version: str, rest: str) -> None:
    words = rf"^Requested ldap version \({version}\): is out of range\. Must be a numeric value between 2 and 3$"
    with pytest.raises(MapFailed, match=words):
        read_option(version + rest)


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ("ldap://one", ["ldap://one:389"]),
        ("ldap://one:390", ["ldap://one:390"]),
        ("ldap://one two:390", ["ldap://one:390", "ldap://two:390"]),
        ("ldap://one%20two", ["ldap://one:389", "ldap://two:389"]),
        ("ldap://one:390  two:391", ["ldap://one:390", "ldap://two:391"]),
        ("ldap://one:390 two three:391", ["ldap://one:390", "ldap://two:389", "ldap://three:391"]),
        ("ldaps://one two", ["ldaps://one:636", "ldaps://two:636"]),
        ("LDAP://[2001:db8::1]:390", ["ldap://[2001:db8::1]:390"]),
        ("ldap://", ["ldap://localhost:389"]),
        ("URL:ldap://one", ["ldap://one:389"]),
        ("ldapi://%2Ftmp%2Fa%20b", ["ldapi:///tmp/a b"]),
        ("ldapi://", ["ldapi:///run/slapd/ldapi"]),
    ],
)
def test_hosts(hosts: str, found: list[str]) -> None:
    assert urls(read_option(f"{hosts}/dc=nodomain")) == found


@pytest.mark.parametrize(
    ("url", "name", "wanted"),
    [
        ("dc=x??sub?(uid=%s)", "dc=x", "(uid=ann)"),
        ("dc=x", "dc=x", "(objectClass=*)"),
        ("dc=x??SUB?(uid=%s)", "dc=x", "(uid=ann)"),
        ("uid=%s,dc=x", "uid=ann,dc=x", "(objectClass=*)"),
        ("dc=x??one?(|(uid=%s)(mail=%s@x.org))", "dc=x", "(|(uid=ann)(mail=ann@x.org))"),
        ("dc=x??one?(uid=%5s)", "dc=x", r"(uid=\20\20ann)"),
        ("dc=x??one?(uid=%%s)", "dc=x", "(uid=%%s)"),
        ("dc=x??one?(uid=%25%73)", "dc=x", "(uid=%s)"),
        ("dc=x??one?%28uid=%s%29", "dc=x", "(uid=ann)"),
        ("ou=mail%20servers,dc=x??one?(uid=%suffix)", "ou=mail servers,dc=x", "(uid=annuffix)"),
    ],
)
def test_where_the_key_goes(url: str, name: str, wanted: str) -> None:
    directory = read_option(f"ldap://host/{url}")
    assert directory.base.fill(b"ann") == name
    assert directory.filter.fill(b"ann") == wanted


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (b"*)(uid=*", r"\2a\29\28uid\3d\2a"),
        (b"\\2a", r"\5c2a"),
        (b"a\0b", r"a\00b"),
        (b"%s", r"\25s"),
        (b'?\xff,+"<>;#', r"\3f\ff\2c\2b\22\3c\3e\3b\23"),
        (" ä".encode(), r"\20\c3\a4"),
        (b"Ann.B-c_d@x.org", "Ann.B-c_d@x.org"),
    ],
)
def test_no_key_is_more_than_a_value(key: bytes, shown: str) -> None:
    directory = read_option("ldap://host/cn=%s,dc=x??one?(uid=%s)")
    assert directory.base.fill(key) == f"cn={shown},dc=x"
    assert directory.filter.fill(key) == f"(uid={shown})"
    # libldap shows names that are UTF-8 only.
    name = directory.base.fill(key.replace(b"\xff", b"\xc3\xbf"))
    assert ldap.dn.explode_dn(name)[1:] == ["dc=x"]


@pytest.mark.parametrize(
    ("url", "trouble"),
    [
        ("nonsense", "not an LDAP URL"),
        ("http://host/dc=x", "not an LDAP URL"),
        ("ldap://host/dc=x??everywhere", "invalid search scope"),
        ("ldap://host:port/dc=x", "not a host"),
        ("ldap://host:0/dc=x", "not a host"),
        ("ldap://host:65536/dc=x", "not a host"),
        ("ldap://one,two/dc=x?a?one?(uid=%s", "not a filter: .uid=x"),
        ("ldap://host/dc=x??one?(&(uid=%s)", "not a filter: .&.uid=x"),
        ("ldap://%s.example.org/dc=x", "the key cannot stand in the name of a host"),
        ("ldap://host/dc=x?%s", "the key can stand in the name and in the filter"),
        ("ldap://host/dc=x??one?(uid=x)?BINDNAME=uid=%s", "the key can stand in the name and in"),
        ("ldap://host/dc=\udcff", "not UTF-8"),
        ("ldap://host/dc=%00x%00", "a NUL"),
        ("ldap://host/dc=x??one?(uid=\0x\0)", "a NUL"),
        ("ldaps://host/dc=x????StartTLS", "StartTLS is for ldap:// and version 3"),
        ("2:ldap://host/dc=x????!StartTLS", "StartTLS is for ldap:// and version 3"),
        ("ldaps://host/dc=x????X-TLS-CACERT=ca.pem", "X-TLS-CACERT: not a whole path: ca.pem"),
        ("ldaps://host/dc=x????X-TLS-CACERT=/no/such/file", "/no/such/file: No such file"),
        ("ldap://host/dc=x????!FOO=bar,BINDNAME=cn=x", "^Critical extension, FOO unsupported$"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_start(url: str, trouble: str) -> None:
    with pytest.raises(MapFailed, match=trouble):
        read_option(url)


@pytest.mark.parametrize("scheme", ["http://", "ldap://ann:sesame@", "ldap://host:x"])
def test_no_fault_shows_a_password(scheme: str) -> None:
    with pytest.raises(MapFailed) as caught:
        read_option(f"{scheme}host/dc=x?a?one?(uid=%s)?BINDNAME=cn=x,X-BINDPW=sesame")
    assert "sesame" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_extensions_are_known_in_any_case_and_others_passed_over() -> None:
    directory = read_option(
        f"{BASE}?a,b?sub?(uid=%s)?bindname=cn=admin%2cdc=nodomain,!X-BindPW=open%25sesame%2C,FOO=x"
    )
    assert directory.bind_name == "cn=admin,dc=nodomain"
    assert directory.password == "open%sesame,"
    assert directory.attributes == ("a", "b")
    assert "sesame" not in repr(directory)


@pytest.mark.parametrize("name", ["StartTLS", "!starttls", "X-StartTLS", "1.3.6.1.4.1.1466.20037"])
def test_start_tls_goes_by_the_names_that_libldap_knows(name: str) -> None:
    directory = read_option(f"{BASE}????{name}")
    assert directory.start_tls
    assert directory.tls is not None
    assert directory.tls.verify_mode is ssl.CERT_REQUIRED


def test_a_certificate_authority_can_be_named(tmp_path: Path) -> None:
    ca = Pki(tmp_path).file("ca")
    directory = read_option(f"ldaps://host/dc=x????X-TLS-CACERT={ca}")
    assert directory.tls is not None
    (found,) = directory.tls.get_ca_certs()
    assert dict(part[0] for part in found["subject"]) == {"commonName": "CA"}  # type: ignore[misc]


@pytest.mark.parametrize(("word", "is_checked"), [("NEVER", False), ("DEMAND", True)])
def test_what_ldap_conf_says_of_certificates_counts(word: str, is_checked: bool) -> None:
    before = ldap.get_option(ldap.OPT_X_TLS_REQUIRE_CERT)
    ldap.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, getattr(ldap, f"OPT_X_TLS_{word}"))
    try:
        directory = read_option("ldaps://host/dc=x")
    finally:
        ldap.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, before)
    assert directory.tls is not None
    assert (directory.tls.verify_mode is ssl.CERT_REQUIRED) == is_checked
    assert bool(directory.warnings) != is_checked
