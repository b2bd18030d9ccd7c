"""`make demo`: two mail servers, the proxy in front of them, and mail fetched through it.

The table that it shows is made from what the clients got and from what the proxies logged.
"""

import argparse
import contextlib
import email
import email.policy
import imaplib
import poplib
import shlex
import signal
import ssl
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from perdition.tools.demo_clients import Unexpected, fetch
from perdition.tools.demo_proxies import PROTOCOLS, AuthLog, Routed, proxies
from perdition.tools.demo_servers import Account, DemoFailed, RealServer, real_server

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ACCOUNTS = (
    Account(
        *("ann", "ann-secret", "north"),
        (
            ("post@example.org", "Welcome to the north", "This is your mailbox.\n"),
            ("bob@example.com", "Lunch on Friday?", "Twelve o'clock, at the harbour.\n"),
            ("club@example.net", "Grüße aus Köln", "Das Treffen ist am Montag.\n.\nBis dann!\n"),
        ),
        "holidays",
    ),
    Account(
        *("bob", "bob-secret", "south"),
        (
            ("post@example.org", "Welcome to the south", "This is your mailbox.\n"),
            ("shop@example.net", "Your parcel is on its way", "It comes tomorrow.\n"),
        ),
        "lists",
    ),
)
ROW = "  {:5} {:12} {:9} {:>6} -> {:16} {}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo, until told to end or, with --check, until all is shown.

    Returns:
        0, or 1 where something was not as it should be.
    """
    parser = argparse.ArgumentParser(prog="perdition.tools.demo", description=__doc__)
    parser.add_argument("--check", action="store_true", help="end when all is shown")
    check = parser.parse_args(arguments).check
    for number in ENDINGS:
        signal.signal(number, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        try:
            good = run(stack, stay=not check)
        except KeyboardInterrupt:
            good = not check
            say("\nEnding.")
        except DemoFailed as error:
            good = False
            say(f"Failed: {error}")
        finally:
            # A second Ctrl-C is not to leave servers behind.
            for number in ENDINGS:
                signal.signal(number, signal.SIG_IGN)
    if check:
        say("Everything arrived where it should." if good else "Not everything is as it should be.")
    return 0 if good else 1


def run(stack: contextlib.ExitStack, *, stay: bool) -> bool:
    """Start everything and show it; what is started ends with stack.

    Raises:
        DemoFailed: something does not start, or does not log.
    """
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perdition-demo-")))
    log = AuthLog(directory / "perdition.log")
    say("Perdition: two mail servers, each with one user's mail, and a proxy in front of them.\n")
    servers = []
    for account in ACCOUNTS:
        path = directory / f"{account.home}.stderr"
        servers.append(stack.enter_context(real_server(account, path)))
        say(f"  real server {account.home}, for {account.user}: {listing(servers[-1].ports)}")
    ports = stack.enter_context(proxies(directory, servers, log.path))
    say(f"  the proxy, for everybody: {listing(ports)}")
    say("\nWhat was routed where, by the proxy's log, and what the client then found:\n")
    say(ROW.format("user", "protocol", "client", "port", "real server", "mailbox"))
    tls = ssl.create_default_context(cafile=directory / "certificate.pem")
    results = [
        fetch_and_show(server, protocol, ports[protocol], tls, log)
        for protocol in PROTOCOLS
        for server in servers
    ]
    if stay:
        show_commands(directory, ports)
        follow(log)
    return all(results)


def listing(ports: dict[str, int]) -> str:
    """Protocols and their ports, in a line."""
    return ", ".join(f"{name} {port}" for name, port in ports.items())


def fetch_and_show(
    server: RealServer, protocol: str, port: int, tls: ssl.SSLContext, log: AuthLog
) -> bool:
    """Fetch a user's mail through the proxy and show what came, and by which way.

    Returns:
        Whether it is this user's mail, and came from this user's real server.
    """
    account = server.account
    try:
        found = fetch(protocol, port, account.user, account.password, tls)
    except (Unexpected, OSError, imaplib.IMAP4.error, poplib.error_proto) as error:
        say(f"  {account.user} {protocol}: {error}")
        return False
    routed = log.next(protocol, account.user)
    if protocol == "MANAGESIEVE":
        expected, what = [account.script.encode()], b", ".join(found).decode()
    else:
        expected, what = account.mail(), "; ".join(map(subject, found))
    show(routed, f"{len(found)}: {what}")
    way = f"127.0.0.1:{server.ports[protocol.removesuffix('S')]}"
    return (found, routed.server, routed.status) == (expected, way, "ok")


def subject(message: bytes) -> str:
    """The subject of a message, decoded."""
    return str(email.message_from_bytes(message, policy=email.policy.default)["Subject"])


def show(routed: Routed, mailbox: str) -> None:
    """A row of the table."""
    say(
        ROW.format(
            *(routed.user, routed.protocol, routed.secure, routed.port, routed.server, mailbox)
        )
    )


def show_commands(directory: Path, ports: dict[str, int]) -> None:
    """What to type in another terminal."""
    certificate = shlex.quote(str(directory / "certificate.pem"))
    curl, client = f"curl --cacert {certificate}", f"openssl s_client -CAfile {certificate} -crlf"
    ann, bob = (f"--user {each.user}:{each.password}" for each in ACCOUNTS)
    say(
        "\nTry in another terminal (each log-in is then shown here):\n\n"
        f"  {curl} {ann} 'imaps://127.0.0.1:{ports['IMAP4S']}/INBOX;MAILINDEX=1'\n"
        f"  {curl} {bob} 'pop3s://127.0.0.1:{ports['POP3S']}/1'\n"
        f"  {curl} --ssl-reqd {bob} 'imap://127.0.0.1:{ports['IMAP4']}/INBOX?ALL'\n"
        f"  {client} -quiet -connect 127.0.0.1:{ports['IMAP4S']}\n"
        "      a login ann ann-secret\n"
        "      b status inbox (messages)\n"
        "      c logout\n"
        f"  {client} -starttls sieve -connect 127.0.0.1:{ports['MANAGESIEVE']}\n"
        f"  tail -f {directory / 'perdition.log'}\n\n"
        "Ctrl-C ends it all."
    )


def follow(log: AuthLog) -> None:
    """Show each log-in, until there is a signal."""
    while True:
        for routed in log.news():
            show(routed, routed.status)
        time.sleep(0.2)


def say(text: str) -> None:
    """Print at once, for whoever reads it through a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
