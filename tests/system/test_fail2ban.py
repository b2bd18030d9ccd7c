"""fail2ban finds in our log whom to ban, and nobody else: its own filter, and ours."""

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from support.processes import HOST, require
from support.program import ROOT, Perdition, Start
from support.scripted import ScriptedServer, read_line

THEIRS = "/etc/fail2ban/filter.d/perdition.conf"
OURS = "conf/fail2ban/filter.d/perdition-proxy.conf"
PLAIN = {"good": "AGFubgBnb29k", "bad": "AGFubgBiYWQ="}
SAYS = {
    "POP3": "USER ann\r\nPASS {}\r\n",
    "IMAP4": "a LOGIN ann {}\r\n",
    "MANAGESIEVE": 'AUTHENTICATE "PLAIN" "{}"\r\n',
}
NAMES = {
    "POP3": "perdition.pop3",
    "IMAP4": "perdition.imap4",
    "MANAGESIEVE": "perdition.managesieve",
}
OK = {"POP3": b"+OK", "IMAP4": b"a OK", "MANAGESIEVE": b"OK"}
NO = {"POP3": b"-ERR", "IMAP4": b"a NO", "MANAGESIEVE": b"NO"}
BYE = {"POP3": b"QUIT\r\n", "IMAP4": b"b LOGOUT\r\n", "MANAGESIEVE": b"LOGOUT\r\n"}


def serve(protocol: str, sock: socket.socket) -> None:
    """A real server that takes one password."""
    if protocol == "POP3":
        sock.sendall(b"+OK ready\r\n")
        read_line(sock)
        sock.sendall(b"+OK\r\n")
        sock.sendall(b"+OK in\r\n" if b"good" in read_line(sock) else b"-ERR no\r\n")
    elif protocol == "IMAP4":
        sock.sendall(b"* OK [CAPABILITY IMAP4rev1 LITERAL+] ready\r\n")
        tag = read_line(sock).split()[0]
        read_line(sock)
        sock.sendall(
            tag + (b" OK [CAPABILITY X] in\r\n" if b"good" in read_line(sock) else b" NO no\r\n")
        )
    else:
        sock.sendall(b'"SASL" "PLAIN"\r\nOK\r\n')
        good = PLAIN["good"].encode() in read_line(sock)
        sock.sendall(b'OK "in"\r\n' if good else b'NO "no"\r\n')
    read_line(sock)


def wait_answer(sock: socket.socket, wanted: bytes) -> None:
    """Read lines until one begins like that."""
    while not read_line(sock).startswith(wanted):
        pass


def log_in(program: Perdition, protocol: str, password: str, host: str = HOST) -> None:
    """Log in, and take leave."""
    with socket.create_connection((host, program.port), 30) as sock:
        given = PLAIN[password] if protocol == "MANAGESIEVE" else password
        wait_answer(
            sock, b"OK" if protocol == "MANAGESIEVE" else (b"+OK", b"* OK")[protocol == "IMAP4"]
        )
        sock.sendall(SAYS[protocol].format(given).encode())
        if protocol == "POP3":
            wait_answer(sock, b"+OK")
        wait_answer(sock, (OK if password == "good" else NO)[protocol])
        sock.sendall(BYE[protocol])
        while sock.recv(4096):
            pass


def break_off(program: Perdition, host: str = HOST) -> None:
    """Connect, and go without a word."""
    with socket.create_connection((host, program.port), 30) as sock:
        read_line(sock)
    program.wait_log("Fatal Error reading")


@pytest.fixture
def ours(tmp_path: Path) -> str:
    """Our filter, beside fail2ban's own."""
    require("fail2ban-regex")
    folder = tmp_path / "filter.d"
    folder.mkdir()
    (folder / "common.conf").symlink_to(Path(THEIRS).with_name("common.conf"))
    return str(shutil.copy(ROOT / OURS, folder))


def found(log: Path, filter_: str) -> int:
    """How many lines fail2ban finds."""
    done = subprocess.run(
        [require("fail2ban-regex"), str(log), filter_], capture_output=True, text=True, check=False
    )
    match = re.search(r"^Lines: \d+ lines, \d+ ignored, (\d+) matched", done.stdout, re.MULTILINE)
    assert match is not None, done.stdout
    return int(match[1])


def as_syslog(log: Path) -> Path:
    """The same lines as syslog writes them: with the name of the machine."""
    text = log.read_text()
    assert re.match(r"\w{3} [ \d]\d \d\d:\d\d:\d\d perdition\S*\[\d+\]: ", text)
    other = log.with_name("syslog")
    other.write_text(re.sub(r"^(.{15}) ", r"\1 mx1 ", text, flags=re.MULTILINE))
    return other


@pytest.mark.parametrize("protocol", SAYS)
def test_fail2ban_finds_failures_and_nothing_else(start: Start, ours: str, protocol: str) -> None:
    with ScriptedServer() as server, server.serving(lambda sock: serve(protocol, sock)):
        options = {"outgoing_server": f"{HOST}:{server.port}"}
        program = start(protocol, options, name=NAMES[protocol])
        for _ in range(3):
            log_in(program, protocol, "good")
        for filter_ in (THEIRS, ours):
            assert found(program.log_path, filter_) == 0
        for _ in range(2):
            log_in(program, protocol, "bad")
        break_off(program)
        for log in (program.log_path, as_syslog(program.log_path)):
            for filter_ in (THEIRS, ours):
                # Two that failed, each of which took leave, and one that broke off.
                assert found(log, filter_) == 3, log.read_text()


# Base64 of ANN, ann and the password.
@pytest.mark.parametrize("command", ["AUTHENTICATE PLAIN QU5OAGFubgB3cm9uZw==", 'LOGIN "" wrong'])
def test_our_filter_finds_every_name(start: Start, ours: str, command: str) -> None:
    def serve_sasl(sock: socket.socket) -> None:
        sock.sendall(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready\r\n")
        sock.sendall(read_line(sock).split()[0] + b" NO no\r\n")
        read_line(sock)

    with ScriptedServer() as server, server.serving(serve_sasl):
        program = start(
            "IMAP4", {"outgoing_server": f"{HOST}:{server.port}"}, name="perdition.imap4"
        )
        with socket.create_connection((HOST, program.port), 30) as sock:
            sock.sendall(f"a {command}\r\n".encode())
            wait_answer(sock, b"a NO")
            sock.sendall(BYE["IMAP4"])
            wait_answer(sock, b"b OK")
        assert found(program.log_path, ours) == 1, program.log()
        # What the documents say; else nobody needs ours for that.
        assert found(program.log_path, THEIRS) == 0


def test_our_filter_finds_clients_of_ipv6(start: Start, ours: str) -> None:
    with ScriptedServer() as server, server.serving(lambda sock: serve("POP3", sock)):
        options = {
            "outgoing_server": f"{HOST}:{server.port}",
            "authenticate_timeout": 1,
            "bind_address": f"{HOST}:{{port}},[::1]:{{port}}",
        }
        program = start("POP3", options, name="perdition.pop3")
        log_in(program, "POP3", "good", "::1")
        assert found(program.log_path, ours) == 0
        log_in(program, "POP3", "bad", "::1")
        break_off(program, "::1")
        with socket.create_connection(("::1", program.port), 30) as silent:
            while silent.recv(4096):
                pass
        assert found(program.log_path, ours) == 3
        assert found(as_syslog(program.log_path), ours) == 3
        assert re.search(r"Auth: ::1:\d+->::1:\d+ ", program.log())
