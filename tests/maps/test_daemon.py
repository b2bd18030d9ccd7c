"""daemon: a program that is asked over a socket."""

import contextlib
import math
import os
import pwd
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from perdition.identity import Ends
from perdition.maps import Answer, MapFailed, MapSettings, Query, daemon
from perdition.maps.daemon import Daemon, read_response, request
from perdition.net import ServerItem
from support.dovecot import ordinary_account
from support.lookup_daemon import LookupDaemon, Request, join, response
from support.processes import HOST, end, free_port, is_listening, open_to_all, require, wait_until

ENDS = Ends("127.0.0.1", 46694, "127.0.0.2", 143)
ANN = Query(b"ann", ENDS)
SECONDS = 10
LITTLE = sys.byteorder == "little"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    # Another user has to reach it.
    open_to_all(tmp_path)
    return tmp_path / "sock"


def answer(*strings: bytes) -> list[bytes]:
    return [response(join(*strings))]


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where our sockets are in this test, and in no other; none is left behind."""
    with tempfile.TemporaryDirectory(prefix="map-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.setattr(daemon, "OURS", f"{folder}/perdition-map-")
        yield folder
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("strings", "item"),
    [
        ((b"bob", b"mail1", b"143"), ServerItem("bob", "mail1", "143")),
        ((b"", b"mail1", b""), ServerItem("", "mail1", "")),
        ((b"", b"", b""), ServerItem("", "", "")),
        ((b"bob", b"", b"143"), ServerItem("bob", "", "143")),
        ((b"bob@x", b"2001:db8::1", b"imap"), ServerItem("bob@x", "2001:db8::1", "imap")),
        ((b"m\xfcller", b"mail1", b""), ServerItem("m\udcfcller", "mail1", "")),
    ],
)
def test_what_it_answers_is_found(path: Path, strings: tuple[bytes, ...], item: ServerItem) -> None:
    with LookupDaemon(path, lambda _: answer(*strings)):
        assert Daemon(str(path), MapSettings()).lookup(ANN) == Answer([item])


def test_it_is_told_key_delimiter_and_addresses(path: Path) -> None:
    with LookupDaemon(path, lambda _: answer(b"", b"mail1", b"")) as program:
        Daemon(str(path), MapSettings(delimiter="--")).lookup(ANN)
    (asked,) = program.requests
    assert (asked.key, asked.delimiter) == (b"ann", b"--")
    assert asked.octets[:12].hex(" ") == "07 07 07 07 00 01 00 01 00 21 00 00"
    assert (
        asked.client == (b"\x01\0\0\x7f", b"\x66\xb6") if LITTLE else (b"\x7f\0\0\1", b"\xb6\x66")
    )


def test_addresses_of_ipv6_are_told_as_text(path: Path) -> None:
    with LookupDaemon(path, lambda _: answer(b"", b"mail1", b"")) as program:
        Daemon(str(path), MapSettings()).lookup(Query(b"ann", Ends("::1", 5, "127.0.0.1", 143)))
    (asked,) = program.requests
    assert asked.octets[6:8] == b"\0\3"
    assert asked.octets[12:24] == bytes(12)
    assert (asked.client, asked.local) == ((b"::1", b"5"), (b"127.0.0.1", b"143"))


def test_addresses_may_be_unknown() -> None:
    packet = request(Query(b"ann"), b"@")
    assert packet is not None
    assert packet[12:24] == bytes(12)


@pytest.mark.parametrize("address", [HOST, "::1"])
def test_our_queries_are_the_originals_to_the_octet(path: Path, address: str) -> None:
    program = require("perdition.pop3")
    asked = LookupDaemon(path, lambda _: answer(b"", b"127.0.0.1", b"1"))
    with asked, free_port() as port:
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        options = {
            "bind_address": where,
            "map_library": "libperditiondb_daemon.so.0",
            "map_library_opt": str(path),
            "config_file": "",
            "pid_file": "",
            "log_facility": "-",
        }
        words = [word for name in options for word in (f"--{name}", options[name])]
        with subprocess.Popen(
            [program, "--no_daemon", *words], stdout=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                client = wait_until(lambda: connect(address, port), SECONDS, "it listens")
                with client, client.makefile("rwb", buffering=0) as stream:
                    stream.readline()
                    stream.write(b"USER ann@example.org\r\n")
                    stream.readline()
                    stream.write(b"PASS secret\r\n")
                    wait_until(lambda: asked.requests, SECONDS, "it asks")
                    ends = Ends(address, client.getsockname()[1], address, port)
            finally:
                end(process, signal.SIGTERM)
    assert asked.requests[0].octets == request(Query(b"ann@example.org", ends), b"@")


def connect(address: str, port: int) -> socket.socket | None:
    if address == HOST and not is_listening(port):
        return None
    with contextlib.suppress(ConnectionRefusedError):
        return socket.create_connection((address, port), SECONDS)
    return None


# One that everybody may run: ours may be in a folder that is root's.
SYSTEM_PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable


def test_the_program_may_be_another_user(path: Path) -> None:
    """It answers to the address that the query comes from, which it has to be able to reach."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    account = ordinary_account()
    program = Path(__file__).parents[1] / "support/lookup_daemon.py"
    path.parent.chmod(0o777)
    with subprocess.Popen(
        [SYSTEM_PYTHON, "-S", "-c", program.read_text(), str(path)],
        stdin=subprocess.PIPE,
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"ann:mail1\n")
        process.stdin.close()
        try:
            wait_until(path.exists, SECONDS, "it listens")
            assert pwd.getpwuid(path.stat().st_uid).pw_name == account.user
            found = Daemon(f"{path}:5:2", MapSettings())
            assert found.lookup(ANN) == Answer([ServerItem("", "mail1", "")])
            assert found.lookup(Query(b"bob", ENDS)) == Answer([ServerItem("", "", "")])
        finally:
            end(process, signal.SIGTERM)


WHOLE = join(b"bob", b"mail1", b"143")


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (b"", "shorter than its header"),
        (response(WHOLE)[:23], "shorter than its header"),
        (response(WHOLE, magic=1), "no answer of version 1"),
        (response(WHOLE, version=2), "no answer of version 1"),
        (response(WHOLE, flags=1), "no answer of version 1"),
        (response(WHOLE, flags=3), "no answer of version 1"),
        (response(WHOLE, length=24 + len(WHOLE) + 1), "shorter than it says"),
        (response(WHOLE, length=24 + len(WHOLE) - 1), "a string longer than itself"),
        (response(WHOLE, length=0), "an answer of 0 strings"),
        (response(b"\0\3bob\0\xffmail1"), "a string longer than itself"),
        (response(WHOLE + b"\0"), "a string longer than itself"),
        (response(join(b"bob", b"mail1")), "an answer of 2 strings"),
        (response(join(b"bob", b"mail1", b"143", b"")), "an answer of 4 strings"),
        (response(join(b"bob\r\n", b"mail1", b"143")), "not the name of a user"),
        (response(join(b"bob", b"mail 1", b"143")), "not the name of a host"),
        (response(join(b"bob", b"mail1", b"0")), "not a port"),
    ],
)
def test_nonsense_is_out_of_order(path: Path, packet: bytes, why: str) -> None:
    with (
        LookupDaemon(path, lambda _: [packet]),
        pytest.raises(MapFailed, match=f"^{re.escape(str(path))}: .*{why}"),
    ):
        Daemon(str(path), MapSettings()).lookup(ANN)


def test_what_follows_the_length_of_an_answer_is_left_out() -> None:
    assert read_response(response(WHOLE) + b"\0" * 100) == ServerItem("bob", "mail1", "143")


@given(some.binary(max_size=80), some.booleans())
def test_no_answer_raises_anything_but_map_failed(octets: bytes, has_header: bool) -> None:
    with contextlib.suppress(MapFailed):
        read_response(response(octets) if has_header else octets)


@pytest.mark.parametrize(
    "key", [b"' OR 1=1 --", b"%s", b"\\", b"\0", b"", b"a\0b", b"x" * 10_000, b"\xff\xfe"]
)
def test_keys_of_any_octets_arrive(path: Path, key: bytes) -> None:
    with LookupDaemon(path, lambda asked: answer(asked.key[:1] and b"", b"mail1", b"")) as program:
        Daemon(str(path), MapSettings()).lookup(Query(key, ENDS))
    assert [each.key for each in program.requests] == [key]


def test_a_key_longer_than_a_datagram_is_not_found(path: Path) -> None:
    longest = 65_000 - 24 - 2 - 3
    with LookupDaemon(path, lambda _: answer(b"", b"mail1", b"")) as program:
        found = Daemon(str(path), MapSettings())
        assert found.lookup(Query(b"x" * longest, ENDS)) is not None
        assert found.lookup(Query(b"x" * (longest + 1), ENDS)) is None
    assert len(program.requests) == 1


@pytest.mark.parametrize(
    "option", ["/sock:1:5:1", "/sock:soon", "/sock:1:-1", "/sock:0:5", "/sock:1:0", "/:1:1", "/" * 108]
)  # fmt: skip
def test_a_wrong_option_says_how_it_has_to_be(option: str) -> None:
    with pytest.raises(MapFailed, match=r"SOCKET|TIMEOUT|name of a socket"):
        Daemon(option, MapSettings())


def failure(found: Daemon) -> tuple[str, float]:
    """What a look-up says that fails, and how long it takes."""
    begin = time.monotonic()
    with pytest.raises(MapFailed) as raised:
        found.lookup(ANN)
    return str(raised.value), time.monotonic() - begin


def test_one_that_is_not_there_is_waited_for_once_and_then_fails_at_once(path: Path) -> None:
    found = Daemon(f"{path}:1:5", MapSettings(timeout=1.5))
    text, seconds = failure(found)
    # After that there is not enough time for another wait.
    assert re.fullmatch(rf"{path}: No such file or directory: given up after \d\.\d s", text)
    assert seconds < 9
    text, seconds = failure(found)
    assert re.search(r"given up after 0\.\d s$", text)
    assert seconds < 0.9


def test_one_that_is_back_is_found_at_once(path: Path) -> None:
    found = Daemon(f"{path}:1:1", MapSettings())
    with LookupDaemon(path, lambda _: answer(b"", b"mail1", b"")):
        assert found.lookup(ANN)
    failure(found)
    with LookupDaemon(path, lambda _: answer(b"", b"mail1", b"")):
        assert found.lookup(ANN)


def test_a_look_up_waits_for_one_that_comes_back_meanwhile(path: Path) -> None:
    found = Daemon(f"{path}:1:3", MapSettings())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(found.lookup, ANN)
        with LookupDaemon(path, lambda _: answer(b"", b"mail1", b"")):
            assert waiting.result(SECONDS) == Answer([ServerItem("", "mail1", "")])


def test_a_silent_one_is_asked_as_often_as_the_option_says(path: Path) -> None:
    with LookupDaemon(path, lambda _: []) as program:
        text, seconds = failure(Daemon(f"{path}:1:2", MapSettings(timeout=0)))
    assert re.fullmatch(rf"{path}: no answer: given up after \d+\.\d s", text)
    assert len(program.requests) == 2
    assert 2.9 < seconds < 15


def test_a_silent_one_is_out_of_order_in_time(path: Path) -> None:
    with LookupDaemon(path, lambda _: []) as program:
        text, seconds = failure(Daemon(f"{path}:9:9", MapSettings(timeout=0.3)))
    assert re.fullmatch(rf"{path}: no answer: given up after \d\.\d s", text)
    assert seconds < 8
    assert len(program.requests) == 1


def test_one_that_is_stopped_with_a_full_queue_is_out_of_order_in_time(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filling:
            filling.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(100_000):
                    filling.sendto(b"", str(path))
        before = time.process_time()
        text, seconds = failure(Daemon(f"{path}:1:5", MapSettings(timeout=0.5)))
        assert text.startswith(f"{path}: no answer")
        assert seconds < 8
        assert time.process_time() - before < 0.4


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(path: Path) -> None:
    """The first query is answered while the second one waits for its answer."""
    waiting: list[Request] = []

    def answers(asked: Request) -> list[bytes]:
        waiting.append(asked)
        return answer(b"", b"mail-of-" + asked.key, b"") if len(waiting) > 1 else []

    with LookupDaemon(path, answers) as program:
        found = Daemon(f"{path}:1:1", MapSettings(timeout=0.2))
        failure(found)
        assert found.lookup(Query(b"bob", ENDS)) == Answer([ServerItem("", "mail-of-bob", "")])
        assert [each.key for each in program.requests] == [b"ann", b"bob"]


def test_a_second_answer_is_not_taken_for_the_next(path: Path) -> None:
    with LookupDaemon(path, lambda asked: answer(b"", asked.key, b"") * 3):
        found = Daemon(str(path), MapSettings())
        for key in (b"one", b"two", b"three"):
            assert found.lookup(Query(key, ENDS)) == Answer([ServerItem("", key.decode(), "")])


def test_nobody_else_can_answer(path: Path, ours: Path) -> None:
    """The kernel lets only those send to us whom we have connected to."""
    refused: list[OSError] = []

    def answers(asked: Request) -> list[bytes]:
        (name,) = ours.iterdir()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            try:
                other.sendto(response(join(b"", b"evil", b"")), str(name))
            except OSError as error:
                refused.append(error)
        return answer(b"", asked.key, b"")

    with LookupDaemon(path, answers):
        found = Daemon(str(path), MapSettings()).lookup(ANN)
    assert found == Answer([ServerItem("", "ann", "")])
    assert [type(each) for each in refused] == [PermissionError]


def test_many_threads_ask_at_once_each_its_own_question(path: Path) -> None:
    with LookupDaemon(path, lambda asked: answer(b"", asked.key, b"")):
        found = Daemon(f"{path}:5:2", MapSettings(connections=3))

        def ask(number: int) -> bool:
            key = f"host{number}"
            return found.lookup(Query(key.encode(), ENDS)) == Answer([ServerItem("", key, "")])

        with ThreadPoolExecutor(64) as pool:
            assert all(pool.map(ask, range(500)))


def test_who_gets_no_connection_is_told_so_in_time(path: Path) -> None:
    with LookupDaemon(path, lambda _: []) as program:
        found = Daemon(str(path), MapSettings(timeout=0.1, connections=1))
        # As long as another thread asks.
        with found._connection(math.inf):
            text, seconds = failure(found)
    assert text == f"{path}: all 1 connections (map_connections) are in use"
    assert seconds < 8
    assert program.requests == []


DOCUMENT = (Path(__file__).parents[2] / "docs/maps.md").read_text(encoding="utf-8")


def test_the_program_in_the_manual_answers(path: Path) -> None:
    (program,) = re.findall(r"```python\n(#!/usr/bin/python3.*?)```", DOCUMENT, re.DOTALL)
    there = '"/run/perdition.db"'
    assert there in program
    with subprocess.Popen(
        [sys.executable, "-S", "-c", program.replace(there, repr(str(path)))],
        start_new_session=True,
    ) as process:
        try:
            wait_until(path.exists, SECONDS, "it listens")
            found = Daemon(f"{path}:5:2", MapSettings())
            for key, host in ((b"ann", "mail1.example.com"), (b"zoe", "mail2.example.com")):
                assert found.lookup(Query(key, ENDS)) == Answer([ServerItem("", host, "143")])
        finally:
            end(process, signal.SIGTERM)


def test_its_answers_are_not_remembered() -> None:
    assert not Daemon("", MapSettings()).by_key_alone
    assert struct.calcsize(">IHHHHIIHH") == 24
