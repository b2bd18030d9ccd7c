"""Which configuration file is read, and what is in it."""

import os
from pathlib import Path
from typing import Any

import pytest

from perdition.config import ConfigError
from perdition.config.command_line import load
from perdition.config.options import Options
from perdition.identity import State


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "test.conf"


def read(file: Path, text: str | bytes, program: str = "perdition") -> Options:
    """Load a file that has this in it."""
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(program, ["-f", str(file)]).options


def refused(file: Path, text: str) -> ConfigError:
    """Load a file that cannot be loaded."""
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    return caught.value


ORDER = [
    ("perdition.imap4", ["perdition.imap4.conf", "perdition.conf"]),
    ("perdition.imap4s", ["perdition.imap4s.conf", "perdition.conf"]),
    ("perdition.imaps", ["perdition.imaps.conf", "perdition.imap4s.conf", "perdition.conf"]),
    ("perdition.pop3", ["perdition.pop3.conf", "perdition.conf"]),
    ("perdition.pop3s", ["perdition.pop3s.conf", "perdition.conf"]),
    ("perdition.managesieve", ["perdition.managesieve.conf", "perdition.conf"]),
    ("perdition", ["perdition.pop3.conf", "perdition.conf"]),
    ("/sbin/mydaemon", ["mydaemon.conf", "perdition.pop3.conf", "perdition.conf"]),
]


@pytest.mark.parametrize(("program", "names"), ORDER)
def test_the_first_file_that_there_is_is_read_alone(
    tmp_path: Path, program: str, names: list[str]
) -> None:
    for number, name in enumerate(names):
        (tmp_path / name).write_text(f"timeout {number}\n")
    for number, name in enumerate(names):
        found = load(program, ["-P", "IMAP4"], tmp_path).options
        assert (found.config_file, found.timeout) == (str(tmp_path / name), number)
        (tmp_path / name).unlink()
    assert load(program, [], tmp_path).options.config_file == ""


def test_what_is_not_a_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "perdition.imap4.conf").mkdir()
    (tmp_path / "perdition.conf").write_text("timeout 5\n")
    assert load("perdition.imap4", [], tmp_path).options.timeout == 5
    (tmp_path / "perdition.imap4.conf").rmdir()
    os.mkfifo(tmp_path / "perdition.imap4.conf")
    assert load("perdition.imap4", [], tmp_path).options.timeout == 5


def test_a_file_that_cannot_be_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "perdition.imap4.conf").write_text("timeout 4\n")
    (tmp_path / "perdition.conf").write_text("timeout 5\n")
    usual = Path.open

    # Permissions stop nobody who is root, as the one who runs the tests may be.
    def denied(path: Path, *arguments: Any, **more: Any) -> Any:
        if path.name == "perdition.imap4.conf":
            raise PermissionError
        return usual(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", denied)
    assert load("perdition.imap4", [], tmp_path).options.timeout == 5


def test_an_empty_name_means_no_file(tmp_path: Path) -> None:
    (tmp_path / "perdition.conf").write_text("timeout 5\n")
    found = load("perdition", ["-f", ""], tmp_path).options
    assert (found.config_file, found.timeout) == ("", 1800)


def test_a_file_that_is_named_must_be_readable(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "nothing", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=why) as caught:
            load("perdition", ["-f", str(path)])
        assert str(path) in caught.value.explanation
        assert not caught.value.usage


CAPABILITY = "imap_capability"
GOOD: list[tuple[str, str, Any]] = [
    ("imap_capability IMAP4rev1 ONE TWO\n", CAPABILITY, "IMAP4rev1 ONE TWO"),
    ("I IMAP4rev1 SHORT\n", CAPABILITY, "IMAP4rev1 SHORT"),
    ("imap_capability   IMAP4rev1   X  \n", CAPABILITY, "IMAP4rev1   X"),
    ("imap_capability\tIMAP4rev1\tX\n", CAPABILITY, "IMAP4rev1\tX"),
    ("# imap_capability NO\nimap_capability YES # NO\n#\n", CAPABILITY, "YES"),
    ("\n\n   \n\t\nimap_capability YES\n\n", CAPABILITY, "YES"),
    ("   imap_capability YES", CAPABILITY, "YES"),
    ('imap_capability "ONE # TWO"\n', CAPABILITY, "ONE # TWO"),
    ("imap_capability ONE \\\nTWO\n", CAPABILITY, "ONE TWO"),
    ("imap_capability ONE\\\n TWO\\\n THREE\n", CAPABILITY, "ONE TWO THREE"),
    ("imap_capability ONE\r\nno_lookup\r\n", CAPABILITY, "ONE"),
    ("imap_capability=ONE\n", CAPABILITY, "ONE"),
    ("imap_capability ONE\nimap_capability TWO\n", CAPABILITY, "TWO"),
    ('"imap_capability" ONE\n', CAPABILITY, "ONE"),
    ("help\nversion\nh\nf x\nimap_capability ONE\n", CAPABILITY, "ONE"),
    ("config_file other\nimap_capability ONE\n", CAPABILITY, "ONE"),
    ("O %(timeout)s, $x, 'a, b'\n", "ok_line", "%(timeout)s, $x, a, b"),
    ('ok_line ""\n', "ok_line", ""),
    ("username None\n", "username", "None"),
    ("ok_line \\'None\\'\n", "ok_line", "'None'"),
    ("s 127.0.0.1:2143\n", "outgoing_server", ("127.0.0.1:2143",)),
    ('outgoing_server ""\n', "outgoing_server", ()),
    ('ssl_ca_chain_file ""\n', "ssl_ca_chain_file", ""),
    ("domain_delimiter \\#\n", "domain_delimiter", "#"),
    ("query_key \\\\u,'\\D\\d'\n", "query_key", ("\\u", "\\D\\d")),
    ("timeout 5", "timeout", 5),
    ("t 5", "timeout", 5),
    ("no_lookup", "no_lookup", True),
    ("no_lookup\n", "no_lookup", True),
    ("n yes\n", "no_lookup", True),
    ("no_lookup=on\n", "no_lookup", True),
    ("no_lookup=yes\n", "no_lookup", True),
    ("no_lookup False\n", "no_lookup", False),
    ("ok_line \\\n   hello\n", "ok_line", "hello"),
    ("username ''\n", "username", "nobody"),
    ("no_lookup\nno_lookup off\n", "no_lookup", False),
    ("server_ok_line\n", "server_resp_line", True),
    ("d\nD +\n", "debug", True),
    ("S remote_login\nstrip_domain local_auth\n", "strip_domain", {*list(State)[1:]}),
]


@pytest.mark.parametrize(("text", "name", "value"), GOOD)
def test_a_line_sets_an_option(file: Path, text: str, name: str, value: Any) -> None:
    assert getattr(read(file, text), name) == value


def test_octets_that_are_not_utf_8_go_through(file: Path) -> None:
    text = read(file, b"ok_line \xe9 \xc3\xa9\n").ok_line
    assert text.encode("utf-8", "surrogateescape") == b"\xe9 \xc3\xa9"


def test_the_capability_of_managesieve_goes_over_several_lines(file: Path) -> None:
    text = (
        'managesieve_capability "\\"IMPLEMENTATION\\" \\"x\\"  "\\\n"\\"SASL\\" \\"PLAIN\\"  "\\\n'
        '"\\"VERSION\\" \\"1.0\\""\n'
    )
    assert read(file, text).managesieve_capability == (
        '"IMPLEMENTATION" "x"  "SASL" "PLAIN"  "VERSION" "1.0"'
    )


BAD = [
    ("timeout 5\nfrobnicate yes\n", 2, "frobnicate: unknown option", None),
    ("connection_limits 5\n", 1, "did you mean connection_limit?", None),
    ("--timeout 5\n", 1, "--timeout: unknown option; did you mean timeout?", None),
    ("t=5\n", 1, "t=5: unknown option", None),
    ("Z\n", 1, "Z: unknown option", None),
    ("\n\ntimeout soon\n", 3, "timeout 'soon': must be a whole number", None),
    ("timeout = 5\n", 1, "timeout '= 5': must be a whole number", None),
    ("timeout\n", 1, "timeout: missing argument", None),
    ("strip_domain sometimes\n", 1, "strip_domain 'sometimes': must be one of", None),
    ("ok_line 'a\n", 1, "has no end", None),
    ("timeout 5\nok_line \0\n", 2, "NUL", None),
    ("outgoing_server a,b:65536\n", 1, "not a port: b:65536", None),
    ("outgoing_server a,::1:143\n", 1, "write [::1]:143 or [::1:143]", None),
    ("outgoing_server a,b;tls=yes\n", 1, "outgoing_server tls=yes: must be one of none", None),
    ("outgoing_destinations a;tls=ssl,b\n", 1, "'b' has no ;key=value", None),
    ("ssl_no_cert_verify\nssl_client_cert_user cn\n", 2, "names no user", None),
    ("ssl_client_cert_user cn\nssl_no_client_cert_verify\n", 1, "names no user", None),
    ("domain_delimiter ''\n", 1, "domain_delimiter ''", None),
    ("no_lookup maybe\n", 1, "no_lookup 'maybe'", "options: trailing argument: maybe"),
    (
        "no_lookup=1\n",
        1,
        "no_lookup '1': a flag stands alone",
        "options: --no_lookup=1: option does not take an argument",
    ),
    ("no_lookup ''\n", 1, "no_lookup ''", "options: trailing argument: "),
    ("ok_line=a b c\n", 1, "'b c': ok_line has its value", "options: trailing argument: b c"),
    ("protocol SMTP\n", 1, "protocol 'SMTP': must be", 'Unknown protocol: "SMTP"'),
    ("pid_file x\n", 1, "pid_file 'x': must begin", 'Invalid pid file: "x"'),
    ("log_passwd x\n", 1, "log_passwd 'x': must be", 'Invalid log_passwd mode: "x"'),
    ("ssl_passphrase_file /x\nssl_passphrase_fd 3\n", 2, "ssl_passphrase_file '/x'", None),
    (
        "ssl_listen_max_proto_version tlsv1\nssl_listen_min_proto_version tlsv1.1\n",
        2,
        "ssl_listen_min_proto_version is greater",
        None,
    ),
]


@pytest.mark.parametrize(("text", "number", "why", "message"), BAD)
def test_an_error_says_file_and_line(
    file: Path, text: str, number: int, why: str, message: str | None
) -> None:
    error = refused(file, text)
    assert error.explanation.startswith(f"{file}:{number}: ")
    assert why in error.explanation
    assert error.message == (message or "")
    assert error.usage == (message is not None and "does not take" not in message)


def test_an_error_in_a_line_that_the_command_line_overrides_is_an_error(file: Path) -> None:
    file.write_text("timeout soon\n")
    with pytest.raises(ConfigError, match="timeout 'soon'"):
        load("perdition", ["-f", str(file), "-t", "5"])


def test_a_contradictory_mode_is_an_error_in_the_words_of_2_2(file: Path) -> None:
    error = refused(file, "timeout 3\nssl_mode ssl_listen\nssl_mode tls_listen\n")
    assert (error.message, error.usage) == ("invalid ssl_mode combination", False)
    assert error.explanation.startswith(f"{file}:3: ssl_mode 'ssl_listen,tls_listen': ")


def test_a_warning_says_file_and_line(file: Path) -> None:
    file.write_text("\nssl_listen_compression\n")
    (warning,) = load("perdition", ["-f", str(file)]).warnings
    assert warning.startswith(f"{file}:2: ssl_listen_compression: ")


def test_a_file_sets_no_bit_of_the_masks(file: Path) -> None:
    assert read(file, "timeout 5\nssl_mode none\n").masks == (0x400, 0, 0)


GATEWAY = """
outgoing_server mail.example.com
outgoing_port 143
log_facility local5
no_lookup
timeout 40
imap_capability "IMAP4rev1 UIDPLUS THREAD=REFERENCES ACL2=UNION STARTTLS"
ssl_mode ssl_listen
ssl_cert_file /etc/perdition/server.cert
ssl_key_file /etc/perdition/server.key
"""


def test_the_file_of_a_gateway_means_what_it_says(file: Path) -> None:
    found = read(file, GATEWAY, "perdition.imap4s")
    assert found.outgoing_server == ("mail.example.com",)
    assert (found.listen_port, found.outgoing_port, found.timeout) == ("993", "143", 40)
    assert found.effective_ssl_mode.ssl_listen
    assert not found.effective_ssl_mode.ssl_outgoing
    assert found.imap_capability.endswith("ACL2=UNION STARTTLS")
