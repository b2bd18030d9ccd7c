"""A session ticket of one worker is good for all of them."""

import os
import signal
import ssl
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from support.certificates import Pki
from support.processes import HOST, wait_until
from support.program import Options, Perdition, Start

pytestmark = pytest.mark.system
SECONDS = 10


def is_stopped(pid: int) -> bool:
    """Whether all threads of a process have stopped."""
    stats = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(each.read_text().rpartition(")")[2].split()[0] == "T" for each in stats)


class Greeted(NamedTuple):
    """A connection that has been: who served it, and the session of its TLS."""

    worker: int
    session: ssl.SSLSession | None
    resumed: bool | None


def greeted(
    proxy: Perdition, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> Greeted:
    """Connect and read the greeting: by then a ticket has come."""
    with (
        proxy.connect() as sock,
        context.wrap_socket(sock, server_hostname=HOST, session=session) as tls,
    ):
        assert tls.recv(1)
        return Greeted(proxy.worker_of(tls), tls.session, tls.session_reused)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_ticket_of_one_worker_is_taken_by_the_other_one(
    start: Start, files: Options, pki: Pki, version: ssl.TLSVersion
) -> None:
    proxy = start("IMAP4", {**files, "ssl_mode": "ssl_listen", "workers": 2})
    wait_until(lambda: len(proxy.workers()) == 2, SECONDS, "two workers")
    context = ssl.create_default_context(cafile=pki.file("ca"))
    context.minimum_version = context.maximum_version = version
    first = greeted(proxy, context)
    assert not first.resumed
    os.kill(first.worker, signal.SIGSTOP)
    try:
        # Only then does none of its threads wait for a connection any more.
        wait_until(lambda: is_stopped(first.worker), SECONDS, "the first worker stands still")
        second = greeted(proxy, context, first.session)
        assert second.worker != first.worker
        assert second.resumed
    finally:
        with suppress(ProcessLookupError):
            os.kill(first.worker, signal.SIGCONT)
