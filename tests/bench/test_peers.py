"""Commands and configuration files of the proxies."""

import re
from itertools import product
from pathlib import Path

import pytest

from bench.peers import OTHERS, Peer, fill, this_program, words
from bench.scenarios import Protocol, Tls

PROTOCOLS: tuple[Protocol, ...] = ("imap", "pop3")
KINDS: tuple[Tls, ...] = ("none", "tls", "starttls")
PEERS = [this_program(), *OTHERS.values()]


def test_words_are_replaced_also_within_words() -> None:
    assert fill("a @b@ c@d.e @f@", {"b": "<@f@>", "f": "g"}) == "a <g> c@d.e g"


def test_a_word_that_stands_for_nothing_is_an_error() -> None:
    with pytest.raises(KeyError):
        fill("@nothing@", {})


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
@pytest.mark.parametrize(("protocol", "tls"), [*product(PROTOCOLS, KINDS)])
def test_no_word_is_left_over(peer: Peer, protocol: Protocol, tls: Tls, tmp_path: Path) -> None:
    filled = words(protocol, tls, (20001, 20002, 20003), tmp_path, tmp_path / "certificates")
    texts = [*peer.start_command(filled), *(file.read_text() for file in tmp_path.iterdir())]
    assert not [text for text in texts if re.search(r"@\w+@", text)]
    assert any("20001" in text for text in texts)
    assert any("20002" in text for text in texts)


def test_this_program_is_run_from_its_checkout_with_two_workers_and_a_log_file() -> None:
    filled = words("pop3", "tls", (1, 2, 3), Path("/run/here"), Path("/certificates"))
    command = this_program("other", Path("/a checkout"), "/usr/bin/python3").start_command(filled)
    assert command[:2] == ["/usr/bin/python3", "/a checkout/perdition.py"]
    assert " ".join(command[2:]) == (
        "--no_daemon --no_lookup --protocol POP3S --outgoing_server 127.0.0.1 --outgoing_port 2 "
        "--listen_port 1 --bind_address 127.0.0.1 --connection_limit 0 --pid_file  "
        "-F /run/here/log/proxy.log --ssl_mode ssl_listen --ssl_cert_file /certificates/cert.pem "
        "--ssl_key_file /certificates/key.pem --workers 2"
    )
