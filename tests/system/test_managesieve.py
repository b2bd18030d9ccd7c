"""ManageSieve: scripts go to the real server of whoever uploads them."""

import pytest

from support.dovecot import PASSWORD, Dovecot
from support.managesieve import ManageSieve
from support.processes import HOST
from support.program import Perdition, Start
from system.conftest import Routes

pytestmark = pytest.mark.system
SCRIPT = b'require "fileinto";\r\nif header :contains "subject" "honey" { fileinto "bees"; }\r\n'


@pytest.fixture
def proxy(start: Start, routes: Routes) -> Perdition:
    return start("MANAGESIEVE", routes("sieve"))


@pytest.mark.parametrize(("user", "home"), [("ann-sieve", 0), ("sieve-tom", 1)])
def test_a_script_is_uploaded_and_activated(
    proxy: Perdition, dovecots: tuple[Dovecot, Dovecot], user: str, home: int
) -> None:
    port = dovecots[home].ports["sieve"]
    with ManageSieve(proxy.port) as sieve:
        assert b'"IMPLEMENTATION" "perdition"' in sieve.greeting.lines
        assert sieve.log_in(user, PASSWORD)[:2] == ("OK", '"You are so in"')
        assert sieve.put_script("bees", SCRIPT).status == "OK"
        assert sieve.ask(b'SETACTIVE "bees"').status == "OK"
        assert sieve.ask(b"LOGOUT").status == "OK"
    with ManageSieve(port) as direct:
        direct.log_in(user, PASSWORD)
        assert direct.ask(b"LISTSCRIPTS").lines == [b'"bees" ACTIVE']
        assert direct.ask(b'GETSCRIPT "bees"').lines == [SCRIPT]
    proxy.wait_log(
        f'authentication_id="{user}" server="{HOST}:{port}" protocol=MANAGESIEVE .*"ok"$'
    )


def test_a_script_of_a_hundred_kilobytes_comes_back_as_it_was(proxy: Perdition) -> None:
    script = SCRIPT + b"# a comment, and another one\r\n" * 3_500
    with ManageSieve(proxy.port) as sieve:
        sieve.log_in("ann-long-script", PASSWORD)
        assert sieve.put_script("long", script).status == "OK"
        assert sieve.ask(b'GETSCRIPT "long"').lines == [script]


def test_a_script_that_is_wrong_is_refused_by_the_real_server(proxy: Perdition) -> None:
    with ManageSieve(proxy.port) as sieve:
        sieve.log_in("ann-wrong-script", PASSWORD)
        answer = sieve.put_script("wrong", b"keep")
        assert answer.status == "NO"
        assert "error" in answer.text


def test_after_a_wrong_password_the_right_one_is_taken(proxy: Perdition) -> None:
    with ManageSieve(proxy.port) as sieve:
        refusal = sieve.log_in("ann-sieve-twice", "wrong")
        assert refusal[:2] == ("NO", '"failed: Re-Authentication Failure"')
        assert sieve.log_in("ann-sieve-twice", PASSWORD).status == "OK"
        assert sieve.ask(b"LISTSCRIPTS") == ("OK", '"Listscripts completed."', [])
