"""ldap: entries that are at another server, which is known by a referral alone."""

import contextlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import ldap
import ldap.modlist
import pytest

from perdition.maps import Answer, Found, MapFailed, MapSettings, Query
from perdition.maps.ldap_connection import Search
from perdition.maps.ldap_directory import Ldap
from perdition.maps.ldap_referrals import MOST_HOPS, follow
from perdition.maps.ldap_url import read_option
from perdition.maps.servers import ServerFailed
from perdition.net import ServerItem
from support.certificates import Pki, certificates_pem
from support.processes import HOST, free_port
from support.slapd import ADMIN, MAILBOXES, PASSWORD, Slapd, mailbox

BIND = f"BINDNAME={ADMIN.replace(',', '%2c')},X-BINDPW={PASSWORD}"
WES = Answer([ServerItem("wessie", "west", "143")])
Refer = Callable[..., str]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def west() -> Iterator[Slapd]:
    with Slapd(mailbox("wes", username="wessie", mailhost="west", port="143")) as server:
        yield server


@pytest.fixture(scope="module")
def east(pki: Pki) -> Iterator[Slapd]:
    pem, ca = Path(pki.file("for names")).read_bytes(), certificates_pem(pki.ca)
    with Slapd(mailbox("ann", mailhost="east"), pem=pem, ca=ca) as server:
        yield server


@pytest.fixture
def refer(east: Slapd) -> Iterator[Refer]:
    """Has a server refer to others, and returns the name of the entry that does."""
    numbers = count()
    with contextlib.ExitStack() as stack:

        def refer(*urls: str, at: Slapd = east) -> str:
            name = f"elsewhere{next(numbers)}"
            directory = ldap.initialize(at.url)
            stack.callback(directory.unbind_s)
            directory.simple_bind_s(ADMIN, PASSWORD)
            entry = {
                "objectClass": [b"referral", b"extensibleObject"],
                "ou": [name.encode()],
                "ref": [each.encode() for each in urls],
            }
            dn = f"ou={name},{MAILBOXES}"
            directory.add_s(dn, ldap.modlist.addModlist(entry))
            # Not what it refers to, but itself.
            alone = [ldap.controls.simple.ManageDSAITControl()]
            stack.callback(directory.delete_ext_s, dn, serverctrls=alone)
            return dn

        yield refer


def lookup(url: str, user: str) -> Found:
    with contextlib.closing(Ldap(url, MapSettings(timeout=5))) as directory:
        return directory.lookup(Query(user.encode()))


@pytest.mark.parametrize("scope", ["one", "sub"])
def test_what_is_elsewhere_is_found(east: Slapd, west: Slapd, refer: Refer, scope: str) -> None:
    # What a search of one level refers to is one entry.
    base = f"uid=wes,{MAILBOXES}" if scope == "one" else MAILBOXES
    refer(f"{west.url}/{base}")
    url = f"{east.url}/{MAILBOXES}?username,mailhost,port?{scope}?(uid=%s)"
    assert lookup(url, "wes") == WES
    assert lookup(url, "ann") == Answer([ServerItem("", "east", "")])
    assert lookup(url, "eve") is None


def test_the_whole_search_may_be_elsewhere(east: Slapd, west: Slapd, refer: Refer) -> None:
    base = refer(f"{west.url}/{MAILBOXES}")
    for scope, user in (("one", "wes"), ("base", "wes")):
        start = base if scope == "one" else f"uid=%s,{base}"
        assert lookup(f"{east.url}/{start}?username,mailhost,port?{scope}?(uid=%s)", user) == WES
    assert lookup(f"{east.url}/{base}?username,mailhost,port?one?(uid=%s)", "eve") is None


def test_nobody_is_told_the_password(east: Slapd, west: Slapd, refer: Refer) -> None:
    base = refer(f"{west.url}/{MAILBOXES}")
    before = west.log().count(ADMIN)
    assert lookup(f"{east.url}/{base}?username,mailhost,port?one?(uid=%s)?{BIND}", "wes") == WES
    assert west.log().count(ADMIN) == before


def test_another_one_serves_where_the_first_does_not(
    east: Slapd, west: Slapd, refer: Refer
) -> None:
    with free_port() as nobody:
        refer(f"ldap://{HOST}:{nobody}/{MAILBOXES}", f"{west.url}/{MAILBOXES}")
        assert lookup(f"{east.url}/{MAILBOXES}?username,mailhost,port?sub?(uid=%s)", "wes") == WES


@pytest.mark.parametrize("user", ["wes", "eve"])
def test_where_nobody_answers_nothing_is_known(east: Slapd, refer: Refer, user: str) -> None:
    with free_port() as nobody:
        refer(f"ldap://{HOST}:{nobody}/{MAILBOXES}")
        url = f"{east.url}/{MAILBOXES}?username,mailhost,port?sub?(uid=%s)"
        with pytest.raises(MapFailed, match=rf"^{east.url}: referral to .*: Connection refused$"):
            lookup(url, user)
        # Who is found needs nobody else.
        assert lookup(url, "ann") == Answer([ServerItem("", "east", "")])


def test_a_referral_to_what_is_not_there_is_out_of_order(
    east: Slapd, west: Slapd, refer: Refer
) -> None:
    refer(f"{west.url}/ou=nowhere,{MAILBOXES}")
    url = f"{east.url}/{MAILBOXES}?username,mailhost,port?{{}}?(uid=%s)"
    with pytest.raises(MapFailed, match=f"there is no entry ou=nowhere,{MAILBOXES}$"):
        lookup(url.format("sub"), "eve")
    # One level: it is an entry of somebody else's, that is gone.
    assert lookup(url.format("one"), "eve") is None
    refer(f"{west.url}/nonsense")
    with pytest.raises(MapFailed, match=r"referral to .*: "):
        lookup(url.format("sub"), "eve")


def test_a_circle_has_an_end(east: Slapd, west: Slapd, refer: Refer) -> None:
    there = refer(f"{east.url}/{MAILBOXES}", at=west)
    refer(f"{west.url}/{there}")
    before = west.log().count(" SRCH ")
    with pytest.raises(MapFailed, match=r"too many referrals$"):
        lookup(f"{east.url}/{MAILBOXES}?username,mailhost,port?sub?(uid=%s)", "eve")
    assert west.log().count(" SRCH ") - before < 10


@pytest.mark.parametrize("url", ["ldapi://%2Frun%2Fslapd%2Fldapi/", "http://127.0.0.1/", "x"])
def test_a_referral_to_what_is_no_server_is_out_of_order(
    east: Slapd, refer: Refer, url: str
) -> None:
    base = refer(url)
    with pytest.raises(MapFailed, match="referral to"):
        lookup(f"{east.url}/{base}?username,mailhost,port?one?(uid=%s)", "wes")


def test_tls_is_spoken_elsewhere_as_well(east: Slapd, west: Slapd, refer: Refer, pki: Pki) -> None:
    more = f"X-TLS-CACERT={pki.file('ca')}"
    # It has no certificate.
    base = refer(f"{west.url}/{MAILBOXES}")
    with pytest.raises(MapFailed, match=r"referral to .*: Protocol error"):
        lookup(f"{east.url}/{base}?username,mailhost,port?one?(uid=%s)?{more},StartTLS", "wes")
    base = refer(f"{east.url}/{MAILBOXES}")
    before = east.log().count("TLS established")
    found = lookup(
        f"ldaps://{HOST}:{east.tls_port}/{base}?username,mailhost,port?one?(uid=%s)?{more}", "ann"
    )
    assert found == Answer([ServerItem("", "east", "")])
    assert east.log().count("TLS established") == before + 2


def test_a_referral_without_a_place_is_one_to_nowhere() -> None:
    directory, search = read_option(""), Search("", ldap.SCOPE_BASE, "(uid=ann)")
    for hops, text in ((MOST_HOPS, "^a referral to nowhere$"), (0, "^too many referrals$")):
        with pytest.raises(ServerFailed, match=text):
            follow([[]], search, directory, hops)


def test_no_password_in_a_referral_is_told() -> None:
    directory, search = read_option(""), Search("", ldap.SCOPE_BASE, "(uid=ann)")
    with pytest.raises(ServerFailed) as caught:
        follow([["ldap://nothing.invalid/dc=x????!X-BINDPW=geheim"]], search, directory)
    assert str(caught.value).startswith("referral to ldap://nothing.invalid/dc=x: ")
    assert "geheim" not in str(caught.value)
