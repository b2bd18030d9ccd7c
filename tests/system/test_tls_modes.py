"""Every `ssl_mode`, in every protocol, between a mail program and Dovecot."""

import ssl
from contextlib import closing

import pytest

from support.clients import SPOKEN
from support.dovecot import PASSWORD
from support.program import Options, Start
from system.conftest import Routes

pytestmark = pytest.mark.system
# The words -> how the client begins, and how the log says that both sides are secured.
MODES = {
    "": ("plaintext", "plaintext"),
    "none": ("plaintext", "plaintext"),
    "ssl_listen": ("ssl", "plaintext"),
    "ssl_outgoing": ("plaintext", "ssl"),
    "ssl_all": ("ssl", "ssl"),
    "tls_listen": ("starttls", "plaintext"),
    "tls_outgoing": ("plaintext", "starttls"),
    "tls_all": ("starttls", "starttls"),
    "tls_listen_force": ("starttls", "plaintext"),
    "tls_outgoing_force": ("plaintext", "starttls"),
    "tls_all_force": ("starttls", "starttls"),
    "ssl_listen,tls_outgoing": ("ssl", "starttls"),
    "ssl_listen,tls_outgoing_force": ("ssl", "starttls"),
    "tls_listen,ssl_outgoing": ("starttls", "ssl"),
    "tls_listen_force,ssl_outgoing": ("starttls", "ssl"),
    "tls_listen,tls_outgoing_force": ("starttls", "starttls"),
    "tls_listen_force,tls_outgoing": ("starttls", "starttls"),
}
PROTOCOLS = pytest.mark.parametrize("protocol", SPOKEN)


@PROTOCOLS
@pytest.mark.parametrize("mode", MODES)
def test_a_user_is_logged_in_and_served(
    start: Start, routes: Routes, files: Options, trusting: ssl.SSLContext, protocol: str, mode: str
) -> None:
    spoken = SPOKEN[protocol]
    client_secure, server_secure = MODES[mode]
    listener = spoken.secure if server_secure == "ssl" else spoken.plain
    words = {"ssl_mode": mode} if mode else {}
    proxy = start(protocol, {**routes(listener), **files, **words})
    context = trusting if client_secure == "ssl" else None
    with closing(spoken.client(proxy.port, context)) as client:
        if client_secure == "starttls":
            client.start_tls(trusting)
        client.log_in("ann-modes", PASSWORD)
        client.use()
    proxy.wait_log(
        f'client-secure={client_secure} authorisation_id=NONE authentication_id="ann-modes" '
        f'server="[^"]+" protocol={protocol} server-secure={server_secure} status="ok"$'
    )
