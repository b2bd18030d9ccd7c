"""The program with a map in an LDAP directory, before a real server."""

import contextlib
from collections.abc import Iterator

import pytest

from support.clients import Pop, Refused
from support.dovecot import PASSWORD, Dovecot
from support.processes import HOST
from support.program import Perdition, Start
from support.slapd import ADMIN, MAILBOXES, Slapd, mailbox
from support.slapd import PASSWORD as DIRECTORY_PASSWORD

pytestmark = pytest.mark.system
UNAVAILABLE = r"\[SYS/TEMP\]"


@pytest.fixture
def slapd(dovecot: Dovecot) -> Iterator[Slapd]:
    port = str(dovecot.ports["pop3"])
    with Slapd(mailbox("ann", username="ann-ldap", mailhost=HOST, port=port)) as server:
        yield server


@pytest.fixture
def proxy(start: Start, slapd: Slapd) -> Perdition:
    bind = f"BINDNAME={ADMIN.replace(',', '%2c')},X-BINDPW={DIRECTORY_PASSWORD}"
    return start(
        "POP3",
        {
            "map_library": "/usr/lib/libperditiondb_ldap.so.0",
            "map_library_opt": f"3:{slapd.url}/{MAILBOXES}?username,mailhost,port?one?(uid=%s)?{bind}",
            "username_from_database": True,
            "debug": True,
        },
    )


def log_in(proxy: Perdition, user: str) -> None:
    with contextlib.closing(Pop(proxy.port)) as client:
        client.log_in(user, PASSWORD)
        client.use()


def test_users_of_the_directory_log_in_while_it_is_there(
    proxy: Perdition, slapd: Slapd, dovecot: Dovecot
) -> None:
    log_in(proxy, "ann")
    proxy.wait_log(f'server="{HOST}:{dovecot.ports["pop3"]}" .*status="ok"$')
    slapd.stop()
    for _ in range(2):
        with pytest.raises(Refused, match=UNAVAILABLE):
            log_in(proxy, "ann")
    proxy.wait_log(f"{slapd.url}: Connection refused")
    slapd.start()
    log_in(proxy, "ann")
    assert "ann-ldap" in dovecot.log()
    assert DIRECTORY_PASSWORD not in proxy.log()


@pytest.mark.parametrize("user", ["*", "ann)(uid=*", "a*"])
def test_a_name_with_a_filter_in_it_is_nobodys(proxy: Perdition, user: str) -> None:
    with pytest.raises(Refused):
        log_in(proxy, user)
    proxy.wait_log(r'status="failed: (Could not|no)')
