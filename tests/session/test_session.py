"""What a session does beside the dialogue: passwords in logs, bounds, trouble on either side."""

import re
from pathlib import Path

import pytest

from perdition import logs
from perdition.logs import Log
from perdition.maps import Answer, MapFailed, Query
from perdition.net import NameUnknown, ServerItem
from perdition.protocols import Login
from perdition.session.exchange import MOST_CHALLENGES
from perdition.session.finding import allowed
from perdition.session.service import MasterUser
from perdition.session.traffic import client_traffic, exchange_traffic
from session.test_transcripts import Found, Stage, staged

GREETING = "client< +OK POP3 perditon ready on 127.0.0.1 TOKEN"
USER = ["client> USER ann", "client< +OK USER ann set, mate"]
ACCEPTED = [
    *USER,
    "client> PASS good",
    "server> +OK",
    "server< USER ann",
    "server> +OK",
    "server< PASS good",
    "server> +OK",
    "client< +OK You are so in",
    'log status="ok"',
]
REFUSED = [
    *USER,
    "client> PASS bad",
    "server> +OK",
    "server< USER ann",
    "server> +OK",
    "server< PASS bad",
    "server> -ERR",
    "server< QUIT",
    "server> +OK",
    "client< -ERR [AUTH] failed: Re-Authentication Failure",
    'log status="failed: Re-Authentication Failure"',
]


def played(log: Path, *script: str) -> str:
    """Play a transcript, and give what was logged."""
    with staged(log, list(script), 4096) as stage:
        for line in script:
            stage.play(line)
    return log.read_text()


@pytest.mark.parametrize(
    ("when", "good", "bad"),
    [
        ("never", False, False),
        ("fail", False, True),
        ("ok", True, False),
        ("always", True, True),
    ],
)
def test_passwords_are_logged_of_the_logins_that_are_asked_for(
    tmp_path: Path, when: str, good: bool, bad: bool
) -> None:
    option = f"option log_passwd {when}"
    lines = played(tmp_path / "good", option, GREETING, *ACCEPTED)
    assert ('authentication_id="ann" passwd="good" server=' in lines) == good
    assert lines.count("good") == good
    lines = played(tmp_path / "bad", option, GREETING, *REFUSED)
    assert ('authentication_id="ann" passwd="bad" server=' in lines) == bad
    assert lines.count("bad") == bad


TRAFFIC = [
    ([b"CAPA\r\n", b"USER ann\r\n", b"PASS x\r\n"], ["CAPA\\r\\n", "USER ann\\r\\n", "********"]),
    ([b"USER ann\r\nPASS x\r\n"], ["USER ann\\r\\n********"]),
    # Passwords that look like commands.
    ([b"PASS USER x\r\n"], ["********"]),
    ([b"pass quit\r\n"], ["********"]),
    ([b"PASS ", b"USER x\r\n", b"QUIT\r\n"], ["********", "********", "QUIT\\r\\n"]),
    (
        [b"a LOGIN ann {4}\r\n", b"QUIT\r\n", b"b NOOP\r\n"],
        ["********", "********", "b NOOP\\r\\n"],
    ),
    ([b"a LOGIN ann {4+}\r\nQUIT\r\n"], ["****************"]),
    ([b'AUTHENTICATE "PLAIN" "x"\r\n'], ["********"]),
]


@pytest.mark.parametrize(("pieces", "shown"), TRAFFIC)
def test_what_may_be_a_password_is_not_in_the_traffic_log(
    tmp_path: Path, pieces: list[bytes], shown: list[str]
) -> None:
    path = tmp_path / "log"
    show = client_traffic(Log("perdition", str(path), logs.DEBUG))
    for piece in pieces:
        show(piece)
    assert re.findall('CLIENT: "(.*)"$', path.read_text(), re.MULTILINE) == shown


SCRAM = [
    "option protocol IMAP4",
    "option sasl_mechanisms SCRAM-SHA-256",
    "option connection_logging",
    "client< * OK [CAPABILITY IMAP4 IMAP4REV1 LITERAL- ID SASL-IR AUTH=SCRAM-SHA-256] perdition "
    "ready on 127.0.0.1 TOKEN",
    "client> a AUTHENTICATE SCRAM-SHA-256 bixhPWJvc3Msbj1hbm4scj1hYmM=",
    "server> * OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256] ready",
    "server< flim07 AUTHENTICATE SCRAM-SHA-256",
    "server> + ",
    "server< bixhPWJvc3Msbj1hbm4scj1hYmM=",
    "server> + cj1hYmNkLHM9eCxpPTE=",
    "client< + cj1hYmNkLHM9eCxpPTE=",
    "client> Yz1iaXdz",
    "server< Yz1iaXdz",
    "server> + dj16",
    "client< + dj16",
    "client> ",
    "server< ",
    "server> flim07 OK [CAPABILITY IMAP4rev1] in",
    "client< a OK [CAPABILITY IMAP4rev1] You are so in",
]


def test_nothing_of_an_exchange_is_in_the_traffic_log(tmp_path: Path) -> None:
    lines = played(tmp_path / "log", *SCRAM)
    assert 'REAL:   "* OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256] ready' in lines
    assert 'REAL:   "flim07 OK [CAPABILITY IMAP4rev1] in' in lines
    for word in ("bixhPWJvc3Msbj1hbm4scj1hYmM", "cj1hYmNkLHM9eCxpPTE", "Yz1iaXdz", "dj16"):
        assert word not in lines


HEARD = [
    ([b"+ cj1h", b"YmNk\r\n", b"+OK in\r\n"], ["********", "********", "+OK in\\r\\n"]),
    ([b'"cj1h"\r\nOK (SASL "dj16") "in"\r\n'], ["****************"]),
    ([b"{4}\r\ncj1h\r\nNO\r\n"], ["****************NO\\r\\n"]),
]


@pytest.mark.parametrize(("pieces", "shown"), HEARD)
def test_a_real_servers_part_of_an_exchange_is_not_shown(
    tmp_path: Path, pieces: list[bytes], shown: list[str]
) -> None:
    path = tmp_path / "log"
    show = exchange_traffic(Log("perdition", str(path), logs.DEBUG), "REAL:  ")
    for piece in pieces:
        show(piece)
    assert re.findall('REAL:   "(.*)"$', path.read_text(), re.MULTILINE) == [
        each.replace('"', '\\"') for each in shown
    ]


FAREWELLS = [
    ("POP3", ["client< -ERR Line too long, mate"]),
    ("IMAP4", ["client< * BYE Line too long, mate"]),
    ("MANAGESIEVE", ['client< BYE "Line too long, mate"']),
]


@pytest.mark.parametrize(("protocol", "farewell"), FAREWELLS)
def test_a_line_without_an_end_is_answered_and_ends_the_session(
    tmp_path: Path, protocol: str, farewell: list[str]
) -> None:
    script = [
        f"option protocol {protocol}",
        'option managesieve_capability "X"',
    ]
    with staged(tmp_path / "log", script, 4096) as stage:
        while not read_line(stage).startswith((b"+OK", b"* OK", b"OK")):
            continue
        stage.client.sendall(b"x" * 17_000)
        for line in [*farewell, "client."]:
            stage.play(line)
        stage.expect_log("127.0.0.1:143: Exiting child")


def read_line(stage: Stage) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        octet = stage.client.recv(1)
        assert octet
        line += octet
    return line


def test_a_long_answer_of_a_real_server_reaches_the_client_whole(tmp_path: Path) -> None:
    answer = "-ERR " + "x" * 10_000
    refused = [f"server> {answer}" if each == "server> -ERR" else each for each in REFUSED]
    told = [f"client< {answer}" if each.startswith("client< -ERR") else each for each in refused]
    played(tmp_path / "log", "option server_resp_line", GREETING, *told)


def test_a_real_server_whose_line_has_no_end_ends_the_session(tmp_path: Path) -> None:
    lines = played(
        tmp_path / "log",
        GREETING,
        *USER,
        "client> PASS good",
        f"server> {'x' * 17_000}",
        "client< -ERR [SYS/TEMP] failed: Connection Negotiation Failure",
        "client.",
        'log status="failed: Connection Negotiation Failure"',
    )
    assert "Fatal error negotiating setup. Exiting child." in lines


def test_a_silent_real_server_is_left_and_logged(tmp_path: Path) -> None:
    lines = played(
        tmp_path / "log",
        "option authenticate_timeout 1",
        GREETING,
        *USER,
        "client> PASS good",
        "client< -ERR [SYS/TEMP] failed: Connection Negotiation Failure",
        "client.",
        'log status="failed: Connection Negotiation Failure"',
    )
    assert "Fatal error negotiating setup. Exiting child." in lines


@pytest.mark.parametrize("value", ["", "broken", "::1:143"])
def test_a_map_in_trouble_leaves_the_default_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    def lookup(_map: Found, _query: Query) -> bytes:
        if value == "broken":
            raise MapFailed("the map is broken")
        return value.encode()

    monkeypatch.setattr(Found, "lookup", lookup)
    lines = played(tmp_path / "log", "option map_failure default_server", GREETING, *ACCEPTED)
    assert 'server="default:143"' in lines
    assert ("map: the map is broken" in lines) == (value == "broken")
    assert ("map: ::1:143: write [::1]:143 or [::1:143]" in lines) == (value == "::1:143")


ALLOWED = [
    ("mail.example.org", (), True),
    ("Mail.Example.org", ("mail.example.ORG",), True),
    ("mail.example.org", (".example.org",), True),
    ("example.org", (".example.org",), False),
    ("mailexample.org", (".example.org",), False),
    ("mail.example.com", ("mail", ".example.org"), False),
    ("10.1.2.3", ("10.0.0.0/8",), True),
    ("11.1.2.3", ("10.0.0.0/8",), False),
    ("fe80::1", ("10.0.0.0/8", "fe80::/64"), True),
    ("fe80:0::1", ("fe80::1",), True),
    ("mail", ("10.0.0.0/8",), False),
]


@pytest.mark.parametrize(("host", "patterns", "result"), ALLOWED)
def test_the_servers_that_a_client_may_name(
    host: str, patterns: tuple[str, ...], result: bool
) -> None:
    assert allowed(host, patterns) is result


def test_a_client_does_not_name_a_host_that_the_resolver_reads_otherwise(tmp_path: Path) -> None:
    script = ["option client_server_specification", "option client_server_allow .example.org"]
    with staged(tmp_path / "log", script, 4096) as stage:
        assert read_line(stage).startswith(b"+OK")
        stage.client.sendall(b"USER ann@10.0.0.1\x0b.example.org\r\nPASS x\r\n")
        read_line(stage)
        stage.play("client< -ERR [AUTH] failed: Could not determine server")


def test_a_client_does_not_choose_the_port_that_the_master_users_password_goes_to(
    tmp_path: Path,
) -> None:
    script = [
        "option client_server_specification",
        "option client_server_allow .example.org",
        "option authenticate_in",
        "option outgoing_master_user admin",
        "option outgoing_master_password_file /x",
    ]
    with staged(tmp_path / "log", script, 4096) as stage:
        assert read_line(stage).startswith(b"+OK")
        stage.client.sendall(b"USER ann@mail.example.org:4711\r\nPASS x\r\n")
        read_line(stage)
        stage.play("client< -ERR [AUTH] failed: Could not determine server")


@pytest.mark.parametrize("separator", ["", "*"])
@pytest.mark.parametrize("name", ["", "ann*admin"])
def test_the_master_user_acts_for_nobody_without_a_name_of_his_own(
    name: str, separator: str
) -> None:
    master = MasterUser("admin", b"x", separator)
    if name and not separator:
        assert master.acting_for(Login(name, b"")) == Login("admin", b"x", name)
    else:
        with pytest.raises(ValueError, match="outgoing_master"):
            master.acting_for(Login(name, b""))


@pytest.mark.parametrize(
    ("second", "status"),
    [("eve", "[SYS/TEMP] failed: Could not connect to server"), ("ann", "")],
)
def test_a_user_who_was_not_looked_at_here_gets_no_other_destination(
    tmp_path: Path, second: str, status: str
) -> None:
    script = ["option username_from_database", f"map x ann@down,{second}@mail2"]
    with staged(tmp_path / "log", script, 4096) as stage:
        asked = []
        service = stage.session.service
        object.__setattr__(service, "authenticate", lambda login, *_: asked.append(login.user))
        object.__setattr__(service, "master_user", MasterUser("admin", b"y", "*"))
        assert read_line(stage).startswith(b"+OK")
        stage.client.sendall(b"USER x\r\nPASS x\r\n")
        read_line(stage)
        if status:
            stage.play(f"client< -ERR {status}")
        else:
            stage.play("server> +OK ready")
            stage.play("server< USER ann*admin")
        assert asked == ["ann"]


def test_the_password_that_a_map_gives_is_for_the_real_server_alone(tmp_path: Path) -> None:
    class Giving:
        def lookup(self, _query: Query) -> Answer:
            return Answer([ServerItem("", "mail1", "110")], b"of the real server")

    with staged(tmp_path / "log", ["option log_passwd always"], 4096) as stage:
        asked = []
        service = stage.session.service
        service.finder._find = Giving()
        object.__setattr__(service, "authenticate", lambda login, *_: asked.append(login.password))
        assert read_line(stage).startswith(b"+OK")
        stage.client.sendall(b"USER ann\r\nPASS of the client\r\n")
        read_line(stage)
        stage.play("server> +OK ready")
        stage.play("server< USER ann")
        stage.play("server> +OK")
        stage.play("server< PASS of the real server")
        stage.play("server> +OK")
        assert read_line(stage).startswith(b"+OK")
        assert asked == [b"of the client"]
        log = stage.log.read_text()
        assert 'passwd="of the client"' in log
        assert "of the real server" not in log


def test_a_refusal_of_local_authentication_is_told_in_the_log_as_in_2_2(tmp_path: Path) -> None:
    with staged(tmp_path / "log", ["map ann mail1:110"], 4096) as stage:
        object.__setattr__(stage.session.service, "authenticate", lambda *_: "who are you?")
        assert read_line(stage).startswith(b"+OK")
        stage.client.sendall(b"USER ann\r\nPASS x\r\n")
        read_line(stage)
        stage.play("client< -ERR [AUTH] Authentication failure, mate")
        log = stage.log.read_text()
        assert "Local authentication failure for client: Allowing retry.\n" in log
        assert 'server="mail1:110" protocol=POP3' in log
        assert 'status="failed: local authentication failure"' in log


def test_who_has_given_way_while_the_map_was_asked_is_not_logged_in(tmp_path: Path) -> None:
    with staged(tmp_path / "log", [], 4096) as stage:

        class Slow:
            def lookup(self, _query: Query) -> Answer:
                stage.session.channel.patience.cut()
                return Answer([ServerItem("", "mail1", "110")])

        stage.session.service.finder._find = Slow()
        assert read_line(stage).startswith(b"+OK")
        stage.client.sendall(b"USER ann\r\nPASS x\r\n")
        assert stage.client.recv(4096)
        stage.play("client.")
        stage.thread.join(10)
        assert not stage.servers.connected.is_set()
        assert "status=" not in stage.log.read_text()


def test_who_gives_way_while_the_real_server_is_asked_is_no_fault_of_it(tmp_path: Path) -> None:
    script = [GREETING, *ACCEPTED[:5]]
    with staged(tmp_path / "log", script, 4096) as stage:
        for line in script:
            stage.play(line)
        stage.session.channel.patience.cut()
        stage.thread.join(10)
        assert not stage.thread.is_alive()
    log = (tmp_path / "log").read_text()
    assert f"]: login_threads: {stage.session.peers} gave way\n" in log
    assert "Fatal error" not in log
    assert "]: Auth: " not in log


def test_a_guess_is_in_the_log_before_the_pause_that_follows_it(tmp_path: Path) -> None:
    """Who guesses may be gone after it."""
    script = ["option failure_delay 600", "map ann down"]
    with staged(tmp_path / "log", script, 4096) as stage:
        assert read_line(stage).startswith(b"+OK")
        stage.client.sendall(b"USER ann\r\nPASS x\r\n")
        read_line(stage)
        stage.play('log status="failed: Could not connect to server"')


@pytest.mark.parametrize(("library", "told"), [("libperditiondb_bdb.so.0", 1), ("cdb", 0)])
def test_what_bdb_does_not_have_is_told_as_in_2_2(tmp_path: Path, library: str, told: int) -> None:
    script = [f"option map_library {library}", "option query_key \\u,\\u@x", "map ann@x down"]
    with staged(tmp_path / "log", script, 4096) as stage:
        assert read_line(stage).startswith(b"+OK")
        stage.client.sendall(b"USER ann\r\nPASS x\r\n")
        read_line(stage)
        stage.play("client< -ERR [SYS/TEMP] failed: Could not connect to server")
        lines = stage.log.read_text().splitlines()
        assert sum(each.endswith("]: No match for ann") for each in lines) == told


def test_an_answer_before_its_question_is_not_shown_where_it_is_echoed(tmp_path: Path) -> None:
    script = ["option protocol IMAP4", "option compat 2.2"]
    for typed in (b"s3cr3t", b"s3cr3t ", b"s3cr3t word"):
        with staged(tmp_path / "log", script, 4096) as stage:
            assert read_line(stage).startswith(b"* OK")
            stage.client.sendall(b"a AUTHENTICATE PLAIN\r\n" + typed + b"\r\n")
            assert read_line(stage).startswith(b"a NO")
            assert read_line(stage).startswith(b"s3cr3t BAD")
    assert "s3cr3t" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("state", ["servername_lookup", "remote_login"])
def test_no_domain_is_made_up_where_the_resolver_does_not_say_it(
    tmp_path: Path, state: str
) -> None:
    with staged(tmp_path / "log", [f"option add_domain {state}"], 4096) as stage:

        def host(_address: str) -> str:
            raise NameUnknown("the resolver says nothing")

        object.__setattr__(stage.session.service, "host", host)
        assert read_line(stage).startswith(b"+OK")
        stage.client.sendall(b"USER ann\r\nPASS x\r\n")
        read_line(stage)
        if state == "remote_login":
            stage.play("server> +OK ready")
        stage.play("client< -ERR [SYS/TEMP] failed: Map out of order")
        stage.play(
            'log Fatal error manipulating username for client "10.0.0.7": the resolver says nothing'
        )


def test_a_name_that_is_too_long_is_not_looked_up(tmp_path: Path) -> None:
    name = "x" * 1025
    script = [f"map {name} mail1"]
    with staged(tmp_path / "log", script, 4096) as stage:
        assert read_line(stage).startswith(b"+OK")
        stage.client.sendall(f"USER {name}\r\nPASS x\r\n".encode())
        read_line(stage)
        stage.play("client< -ERR [AUTH] failed: Could not determine server")
        assert "map: " not in stage.log.read_text()


def test_no_password_is_logged_without_debug(tmp_path: Path) -> None:
    path = tmp_path / "log"
    script = ["option log_passwd always", GREETING]
    with staged(path, script, 4096) as stage:
        object.__setattr__(stage.session.options, "debug", False)
        for line in [*script, *REFUSED]:
            stage.play(line)
    assert "bad" not in path.read_text()


REVOCABLE = {
    "IMAP4": (
        b"a LOGIN ann x\r\nb UNAUTHENTICATE\r\nc LOGIN bob y\r\n",
        [
            "server> * OK [CAPABILITY IMAP4rev1 LITERAL+] ready",
            "server< flim07 LOGIN {3+}",
            "server< ann {1+}",
            "server< x",
            "server> flim07 OK [CAPABILITY IMAP4rev1 UNAUTHENTICATE] in",
            "client< a OK [CAPABILITY IMAP4rev1] You are so in",
            "client< * BYE UNAUTHENTICATE is not let through, mate",
        ],
    ),
    "MANAGESIEVE": (
        b'AUTHENTICATE "PLAIN" "AGFubgB4"\r\nUNAUTHENTICATE\r\n',
        [
            'server> "SASL" "PLAIN"',
            'server> "UNAUTHENTICATE"',
            "server> OK",
            'server< AUTHENTICATE "PLAIN" "AGFubgB4"',
            'server> OK "in"',
            'client< OK "You are so in"',
            'client< BYE "UNAUTHENTICATE is not let through, mate"',
        ],
    ),
}


@pytest.mark.parametrize("protocol", REVOCABLE)
def test_who_takes_a_log_in_back_at_once_is_logged_and_told(tmp_path: Path, protocol: str) -> None:
    said, script = REVOCABLE[protocol]
    with staged(tmp_path / "log", [f"option protocol {protocol}"], 4096) as stage:
        while b"ready on" not in read_line(stage):
            pass
        stage.client.sendall(said)
        for line in [*script, "client.", "server."]:
            stage.play(line)
    lines = [line.partition("]: ")[2] for line in (tmp_path / "log").read_text().splitlines()]
    lines = [line for line in lines if not line.startswith(("CLIENT:", "SELF:", "REAL:"))]
    assert [line.split(":")[0] for line in lines[-3:]] == [
        *("Auth", "UNAUTHENTICATE is not let through", "Closing session"),
    ]
    assert lines[-3].endswith('status="ok"')
    assert lines[-1].endswith('authentication_id="ann" received=0 sent=0')


@pytest.mark.parametrize("answer", ["NO no", ""], ids=["refused", "broken off"])
def test_a_guess_is_in_the_log_though_its_client_has_gone_meanwhile(
    tmp_path: Path, answer: str
) -> None:
    with staged(tmp_path / "log", ["option protocol IMAP4"], 4096) as stage:
        read_line(stage)
        for line in (
            "client> a LOGIN ann x",
            "server> * OK [CAPABILITY IMAP4rev1 LITERAL+] ready",
            *("server< flim07 LOGIN {3+}", "server< ann {1+}", "server< x"),
            "close client",
            "server> * OK one more word",
        ):
            stage.play(line)
        if answer:
            stage.play(f"server> flim07 {answer}")
        else:
            stage.play("close server")
        stage.play(
            f'log status="failed: {"Re-Authentication" if answer else "Connection Negotiation"}'
            ' Failure"'
        )


def test_a_real_server_that_asks_without_end_is_left(tmp_path: Path) -> None:
    script = ["option protocol IMAP4", "option sasl_mechanisms XOAUTH2"]
    with staged(tmp_path / "log", script, 4096) as stage:
        read_line(stage)
        for line in (
            "client> a AUTHENTICATE XOAUTH2 dXNlcj1hbm4BYXV0aD1CZWFyZXIgeAEB",
            "server> * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready",
            "server< flim07 AUTHENTICATE XOAUTH2 dXNlcj1hbm4BYXV0aD1CZWFyZXIgeAEB",
            *MOST_CHALLENGES * ("server> + YQ==", "client< + YQ==", "client> ", "server< "),
            "server> + YQ==",
            "client< a NO [AUTHENTICATIONFAILED] failed: Re-Authentication Failure",
        ):
            stage.play(line)


def test_the_name_of_the_map_is_in_the_log_without_a_server_too(tmp_path: Path) -> None:
    script = ["option username_from_database", "map ann bob@"]
    with staged(tmp_path / "log", script, 4096) as stage:
        stage.servers.candidates = lambda _destinations: []  # type: ignore[method-assign]
        read_line(stage)
        for line in (*USER, "client> PASS x"):
            stage.play(line)
        stage.play("client< -ERR [AUTH] failed: Could not determine server")
    assert 'authentication_id="bob" ' in (tmp_path / "log").read_text()
