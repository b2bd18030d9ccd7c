"""The command line, and how it goes together with the file."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition.config import ConfigError, HelpWanted, VersionWanted
from perdition.config import options as table
from perdition.config.command_line import Loaded, load
from perdition.config.options import LETTERS, Options
from perdition.config.ssl_mode import SslMode
from perdition.identity import AddDomain, State


@pytest.fixture(autouse=True)
def not_posix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSIXLY_CORRECT", raising=False)


def line(*arguments: str, program: str = "perdition.imap4") -> Loaded:
    """Load these arguments without a file."""
    return load(program, ["-f", "", *arguments])


def options(*arguments: str) -> Options:
    return line(*arguments).options


def refused(*arguments: str, program: str = "perdition.imap4") -> ConfigError:
    """Load what cannot be loaded."""
    with pytest.raises(ConfigError) as caught:
        line(*arguments, program=program)
    return caught.value


FORMS = [
    (["--timeout", "5"], {"timeout": 5}),
    (["--timeout=5"], {"timeout": 5}),
    (["-t", "5"], {"timeout": 5}),
    (["-t5"], {"timeout": 5}),
    (["-t=5"], {"timeout": 5}),
    (["-t", ""], {"timeout": 0}),
    (["--timeout="], {"timeout": 0}),
    (["-t", "5", "-t", "6"], {"timeout": 6}),
    (["-nBt6"], {"no_lookup": True, "no_bind_banner": True, "timeout": 6}),
    (["-n", "-n"], {"no_lookup": True}),
    (["-O", "-n"], {"ok_line": "-n", "no_lookup": False}),
    (["-O", "--"], {"ok_line": "--"}),
    (["-O=a=b"], {"ok_line": "a=b"}),
    (["--ok_line=a=b"], {"ok_line": "a=b"}),
    (["--ok_line", "None"], {"ok_line": "None"}),
    (["--ok_line", "%(x)s, $y"], {"ok_line": "%(x)s, $y"}),
    (["-n", "--"], {"no_lookup": True}),
    (["-P", "imap4s"], {"protocol": "IMAP4S", "listen_port": "imaps"}),
    (["-S", "remote_login", "-S", "local_auth"], {"strip_domain": {*list(State)[1:]}}),
    (["-A", "all,2", "-A", "remote_login"], {"add_domain": AddDomain(frozenset(State), 2)}),
    (["-A", ""], {"add_domain": AddDomain()}),
    (
        ["--ssl_mode", "ssl_listen", "--ssl_mode", "tls_outgoing"],
        {"ssl_mode": SslMode.SSL_LISTEN | SslMode.TLS_OUTGOING},
    ),
    (["-s", "", "-b", "", "--query_key", ""], {"outgoing_server": (), "bind_address": ()}),
    (["-I", "X"], {"imap_capability": "X", "pop_capability": "X", "managesieve_capability": "X"}),
    (["--imap_capability", "Y", "-I", "X"], {"imap_capability": "X", "pop_capability": "X"}),
    (["-I", "X", "--imap_capability", "Y"], {"imap_capability": "Y", "pop_capability": "X"}),
    (["-I", ""], {"imap_capability": "", "pop_capability": ""}),
    (["--server_ok_line"], {"server_resp_line": True}),
    (["--drain_timeout", "0"], {"drain_timeout": 0}),
    (["-l", ""], {"listen_port": "imap"}),
    (["-l", "protocol dependent", "-n"], {"listen_port": "143"}),
    (["-l", "2143", "-p", "imap2"], {"listen_port": "2143", "outgoing_port": "imap2"}),
    (["--pid_file", ""], {"pid_file": ""}),
]


@pytest.mark.parametrize(("arguments", "values"), FORMS)
def test_every_form_of_an_option_is_read(arguments: list[str], values: dict[str, Any]) -> None:
    found = options(*arguments)
    assert {name: getattr(found, name) for name in values} == values


REFUSED = [
    (["--frobnicate"], "options: --frobnicate: unknown option"),
    (["--frobnicate=1"], "options: --frobnicate=1: unknown option"),
    (["-Z"], "options: -Z: unknown option"),
    (["-nZ"], "options: -nZ: unknown option"),
    (["-n", "--frobnicate"], "options: --frobnicate: unknown option"),
    (["--tim", "5"], "options: --tim: unknown option"),
    (["somewhere"], "options: trailing argument: somewhere"),
    (["one", "two"], "options: trailing argument: one\noptions: trailing argument: two"),
    (["one", "-n", "--", "-B"], "options: trailing argument: one\noptions: trailing argument: -B"),
    (["-"], "options: trailing argument: -"),
    (["-imap_capability", "X"], "options: trailing argument: X"),
    (["--listen_port"], "options: --listen_port: missing argument"),
    (["-l"], "options: -l: missing argument"),
    (["-nl"], "options: -nl: missing argument"),
    (["--no_lookup=yes"], "options: --no_lookup=yes: option does not take an argument"),
    (["--help=yes"], "options: --help=yes: option does not take an argument"),
    (["-n=1"], "options: -n=1: option does not take an argument"),
    (["-P", "SMTP"], 'Unknown protocol: "SMTP"'),
    (["-P", ""], 'Unknown protocol: ""'),
    (["-t", "soon"], "Parameter to t|timeout must be a positive integer"),
    (["--timeout", "-1"], "Parameter to t|timeout must be a positive integer"),
    (["-L", "x"], "Parameter to L|connection_limit must be a positive integer"),
    (
        ["--authenticate_timeout", "x"],
        "Parameter to authenticate_timeout must be a positive integer",
    ),
    (["--connect_relog", "x"], "Parameter to connect_relog must be a positive integer"),
    (["--pid_file", "run/pid"], 'Invalid pid file: "run/pid"'),
    (["--log_passwd", "sometimes"], 'Invalid log_passwd mode: "sometimes"'),
    (["-S", "sometimes"], "unknown state for strip_domain: sometimes"),
    (["-A", "sometimes"], "unknown state for add_domain: sometimes"),
    (["--lower_case", "sometimes"], "unknown state for lower_case: sometimes"),
    (["--lower_case", "{0}"], "unknown state for lower_case: {0}"),
    (["--lower_case", ""], "unknown state for lower_case: "),
    (["--ssl_mode", ""], "unknown ssl_mode: "),
    (["-t", "soon", "--frobnicate"], "Parameter to t|timeout must be a positive integer"),
    (["-t", "soon", "--help"], "Parameter to t|timeout must be a positive integer"),
    (["--ssl_mode", "sometimes"], "unknown ssl_mode: sometimes"),
    (["--ssl_listen_min_proto_version", "tlsv9"], "Unknown ssl_listen_min_proto_version"),
    (["--ssl_listen_min_proto_version", ""], "Unknown ssl_listen_min_proto_version"),
    (["--ssl_outgoing_min_proto_version", "x"], "Unknown ssl_outgoing_min_proto_version"),
    (["--ssl_outgoing_max_proto_version", "x"], "Unknown ssl_outgoing_max_proto_version"),
    (
        ["--ssl_listen_min_proto_version", "tlsv1.2", "--ssl_listen_max_proto_version", "tlsv1"],
        "ssl_listen_min_proto_version is greater than ssl_listen_max_proto_version",
    ),
    (
        [
            "--ssl_outgoing_min_proto_version",
            "tlsv1.3",
            "--ssl_outgoing_max_proto_version",
            "sslv3",
        ],
        "ssl_outgoing_min_proto_version is greater than ssl_outgoing_max_proto_version",
    ),
    (["--ssl_passphrase_fd", "x"], ""),
    (
        ["--ssl_passphrase_fd", "3", "--ssl_passphrase_file", "/dev/null"],
        "Only one of ssl_passphrase_fd and ssl_passphrase_file may be specified",
    ),
    (["-D", ""], ""),
    (["--query_key", "\\x"], ""),
    (["--ssl_outgoing_ciphers", "nonsense"], ""),
    (["--client_server_allow", "192.0.2.0/99"], ""),
    (["--outgoing_destinations", "192.0.2.0/99;tls=ssl"], ""),
    (["--outgoing_destinations", "mail1"], ""),
    (["--outgoing_destinations", "mail1;tls=yes"], ""),
    (["--ssl_client_cert_user", "name"], ""),
    (["--login_threads", "1"], "Parameter to login_threads must be a positive integer"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_what_2_2_refuses_is_refused_in_its_words(arguments: list[str], message: str) -> None:
    error = refused(*arguments)
    assert (error.message, error.usage) == (message, True)
    assert error.explanation.startswith("command line: ")
    assert "\n" not in error.explanation
    assert str(error) == error.explanation


@pytest.mark.parametrize("mode", ["ssl_listen,tls_listen", "ssl_all,tls_outgoing_force"])
def test_a_contradictory_mode_is_refused_without_the_usage_text(mode: str) -> None:
    error = refused("--ssl_mode", mode)
    assert (error.message, error.usage) == ("invalid ssl_mode combination", False)
    assert mode in error.explanation


def test_an_explanation_says_where_which_value_and_what_is_right() -> None:
    assert refused("-t", "soon").explanation == (
        "command line: timeout 'soon': must be a whole number from 0 to 2147483647"
    )
    assert refused("--time_out", "5").explanation == (
        "command line: --time_out: unknown option; did you mean timeout?"
    )


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["-nh"], ["-h", "--frobnicate"]])
def test_help_acts_as_soon_as_it_is_met(arguments: list[str]) -> None:
    with pytest.raises(HelpWanted):
        line(*arguments)


def test_version_acts_as_soon_as_it_is_met() -> None:
    with pytest.raises(VersionWanted):
        line("--version", "--frobnicate")


def test_options_after_a_word_are_words_where_posix_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POSIXLY_CORRECT", "1")
    assert refused("one", "-h").message == (
        "options: trailing argument: one\noptions: trailing argument: -h"
    )


PROGRAMS = [
    ("perdition", "POP3", "pop3", "110"),
    ("/usr/sbin/perdition.pop3", "POP3", "pop3", "110"),
    ("perdition.pop3s", "POP3S", "pop3s", "995"),
    ("./perdition.imap4", "IMAP4", "imap", "143"),
    ("perdition.imap4s", "IMAP4S", "imaps", "993"),
    ("perdition.imaps", "IMAP4S", "imaps", "993"),
    ("perdition.managesieve", "MANAGESIEVE", "sieve", "4190"),
    ("PERDITION.IMAP4", "POP3", "pop3", "110"),
    ("mydaemon", "POP3", "pop3", "110"),
]


@pytest.mark.parametrize(("program", "protocol", "port", "number"), PROGRAMS)
def test_the_name_chooses_protocol_ports_and_pid_file(
    program: str, protocol: str, port: str, number: str
) -> None:
    found = line(program=program).options
    name = program.rpartition("/")[2]
    assert (found.program, found.protocol) == (name, protocol)
    assert (found.listen_port, found.outgoing_port) == (port, port)
    assert found.pid_file == f"/var/run/{name}/{name}.pid"
    assert line("-n", program=program).options.listen_port == number


def test_ports_are_those_of_the_protocol_that_was_asked_for() -> None:
    assert line("-P", "managesieve", program="perdition.pop3s").options.outgoing_port == "sieve"


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        (["-P", "IMAP4S"], SslMode.SSL_ALL),
        (["-P", "POP3S"], SslMode.SSL_ALL),
        (["-P", "IMAP4"], SslMode.EMPTY),
        (["-P", "IMAP4S", "--ssl_mode", "none"], SslMode.NONE),
        (["-P", "POP3S", "--ssl_mode", "ssl_listen"], SslMode.SSL_LISTEN),
    ],
)
def test_the_mode_in_force_depends_on_the_protocol(arguments: list[str], mode: SslMode) -> None:
    assert options(*arguments).effective_ssl_mode == mode


@pytest.mark.parametrize(
    ("arguments", "is_foreground"),
    [([], False), (["--no_daemon"], True), (["-i"], True), (["-F-"], True), (["-F", "+x"], True)],
)
def test_the_foreground_is_asked_for_in_several_ways(
    arguments: list[str], is_foreground: bool
) -> None:
    assert options(*arguments).is_foreground is is_foreground


def test_the_group_is_nobody_where_there_is_no_nogroup(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_group(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(table.grp, "getgrnam", no_group)
    assert options().group == "nobody"
    assert options("-g", "mail").group == "mail"


MASKS = [
    ([], (0x400, 0, 0)),
    (["-b", "h", "-s", "h", "--query_key", "x"], (0x40800404, 0, 0)),
    (["-C"], (0x420, 0, 0)),
    (["-d"], (0x480, 0, 0)),
    (["-o"], (0x2000400, 0, 0)),
    (["--server_ok_line"], (0x2000400, 0, 0)),
    (["-I", "X"], (0x400, 0xE0, 0)),
    (["--pid_file", "", "-O", "x"], (0x400, 3, 0)),
    (["--ssl_mode", "none", "--ssl_no_cn_verify"], (0x400, 0, 0x4400)),
]


@pytest.mark.parametrize(("arguments", "masks"), MASKS)
def test_the_masks_show_what_was_on_the_command_line(
    arguments: list[str], masks: tuple[int, int, int]
) -> None:
    assert options(*arguments).masks == masks


def test_compression_is_accepted_with_a_warning() -> None:
    (warning,) = line("--ssl_outgoing_compression").warnings
    assert warning.startswith("command line: ssl_outgoing_compression: has no effect")


@pytest.mark.parametrize("flag", ["--ssl_no_cert_verify", "--ssl_no_client_cert_verify"])
def test_lists_of_revoked_clients_have_no_effect_where_no_certificates_are_asked_for(
    flag: str,
) -> None:
    with_tls = ("--ssl_crl_file", "/x", "--ssl_mode", "ssl_listen")
    (warning,) = line(*with_tls, flag).warnings
    assert warning.startswith("command line: ssl_crl_file: has no effect, for with ssl_no_c")
    assert not line(*with_tls).warnings


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["--client_server_allow", "a"], "client_server_specification"),
        (["--explicit_domain", "a"], "add_domain"),
        (["--outgoing_master_separator", "%"], "outgoing_master_user"),
        (["--pam_service", "a"], "authenticate_in"),
        (["--ssl_crl_file", "/a"], "TLS to clients (ssl_mode)"),
        (["--ssl_client_cert_user", "cn", "--ssl_mode", "ssl_outgoing"], "TLS to clients (ssl_m"),
    ],
)
def test_options_that_lack_another_one_are_warned_of(arguments: list[str], missing: str) -> None:
    (warning,) = line(*arguments).warnings
    name = arguments[0].removeprefix("--")
    assert warning.startswith(f"command line: {name}: has no effect without {missing}")


def test_what_has_its_default_does_nothing_in_any_case() -> None:
    assert not line("--pam_service", "perdition").warnings


def test_keys_that_are_the_same_for_every_user_are_accepted_with_a_warning() -> None:
    (warning,) = line("--query_key", "u,d").warnings
    assert warning.startswith("command line: query_key 'u,d': is the same key for every user")
    assert line("--query_key", r"\\U").warnings
    assert not line("--query_key", r"\u,default").warnings


def test_pam_and_the_master_user_should_have_one_name() -> None:
    master = ("--authenticate_in", *MASTER)
    (warning,) = line(*master, "--strip_domain", "local_auth").warnings
    assert "strip_domain 'local_auth': with outgoing_master_user" in warning
    assert not line(*master, "--strip_domain", "local_auth,remote_login").warnings
    assert not line(*master, "--lower_case", "servername_lookup").warnings
    assert not line("--authenticate_in", "--strip_domain", "local_auth").warnings


MASTER = ("--outgoing_master_user", "a", "--outgoing_master_password_file", "/x")


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["--ssl_mode", "ssl_listen"], "without ssl_client_cert_user"),
        (["--ssl_client_cert_user", "cn"], "without TLS to clients (ssl_mode)"),
        (["--ssl_client_cert_user", "cn", "--ssl_mode", "ssl_outgoing"], "without TLS to clients"),
    ],
)
def test_external_without_certificates_that_name_users_is_warned_of(
    arguments: list[str], missing: str
) -> None:
    *_others, warning = line("--sasl_mechanisms", "EXTERNAL", *MASTER, *arguments).warnings
    assert warning.startswith("command line: EXTERNAL in sasl_mechanisms: has no effect " + missing)


@pytest.mark.parametrize("mode", ["ssl_listen", "tls_all_force"])
def test_external_with_certificates_that_name_users_is_not(mode: str) -> None:
    arguments = ("--ssl_client_cert_user", "cn", "--ssl_mode", mode)
    assert not line("--sasl_mechanisms", "EXTERNAL", *MASTER, *arguments).warnings


@pytest.mark.parametrize("mechanisms", ["EXTERNAL", "PLAIN,XOAUTH2", ""])
def test_mechanisms_that_2_2_does_not_have_are_warned_of(mechanisms: str) -> None:
    (warning,) = line("--sasl_mechanisms", mechanisms, "--compat", "2.2").warnings
    assert warning == "command line: sasl_mechanisms: has no effect with compat 2.2"
    assert not line("--sasl_mechanisms", "PLAIN,LOGIN", "--compat", "2.2").warnings


def test_a_mechanism_that_is_named_twice_is_announced_once() -> None:
    found = options("--sasl_mechanisms", "LOGIN,PLAIN,plain login")
    assert found.sasl_mechanisms == ("LOGIN", "PLAIN")


def test_sslv3_is_accepted_with_a_warning() -> None:
    loaded = line("--ssl_listen_min_proto_version", "SSLv3")
    assert loaded.options.ssl_listen_min_proto_version == "sslv3"
    assert len(loaded.warnings) == 1
    assert len(line("--ssl_listen_max_proto_version", "SSLv3").warnings) == 1
    assert not line().warnings


def test_a_highest_version_below_the_default_lowest_is_the_lowest_too() -> None:
    found = options("--ssl_outgoing_max_proto_version", "tlsv1.1")
    assert found.ssl_outgoing_min_proto_version == "tlsv1.1"
    assert found.ssl_listen_min_proto_version == "tlsv1.2"


PASSWORD = "geheim"


def test_no_password_of_a_map_is_in_a_repr() -> None:
    loaded = line("-m", f"host:3306:db:table:user:{PASSWORD}")
    assert PASSWORD not in repr(loaded)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "perdition.conf"


REMOTE = frozenset({State.REMOTE_LOGIN})
LEVELS = [
    ("timeout 5", ["-t", "6"], {"timeout": 6}),
    ("bind_address 127.0.0.1", ["-b", "127.0.0.2"], {"bind_address": ("127.0.0.2",)}),
    ("outgoing_server a", ["-s", "b"], {"outgoing_server": ("b",)}),
    ("query_key a", ["--query_key", "b"], {"query_key": ("b",)}),
    ("add_domain all,5\nL 7", ["-b", "h"], {"connection_limit": 7}),
    ("add_domain all", ["-A", "3"], {"add_domain": AddDomain(frozenset(State), 3)}),
    ("add_domain all,5", ["-A", "3"], {"add_domain": AddDomain(frozenset(State), 3)}),
    ("add_domain all,5", ["-A", ","], {"add_domain": AddDomain(frozenset(State), 0)}),
    ("add_domain all,2", ["-A", "remote_login"], {"add_domain": AddDomain(REMOTE, 2)}),
    ("add_domain all", ["-A", "remote_login,3"], {"add_domain": AddDomain(REMOTE, 3)}),
    ("add_domain all", ["-A3", "-A", "remote_login"], {"add_domain": AddDomain(REMOTE, 3)}),
    ("add_domain 5", ["-A", "remote_login"], {"add_domain": AddDomain(REMOTE, 5)}),
    ("add_domain all,5", ["-A", ""], {"add_domain": AddDomain()}),
    ("debug", ["-C"], {"debug": True, "connection_logging": True}),
    ("connection_logging", ["-d"], {"debug": True, "connection_logging": True}),
    ("ssl_listen_ciphers HIGH", ["--ssl_outgoing_ciphers", "ALL"], {"ssl_listen_ciphers": "HIGH"}),
    ("ssl_no_cert_verify", ["--ssl_no_client_cert_verify"], {"ssl_no_cert_verify": True}),
    ("no_lookup off", ["-n"], {"no_lookup": True}),
    ("strip_domain all", ["-S", "remote_login"], {"strip_domain": {State.REMOTE_LOGIN}}),
    ("ssl_mode tls_listen", ["--ssl_mode", "ssl_listen"], {"ssl_mode": SslMode.SSL_LISTEN}),
    ("protocol POP3", ["-P", "IMAP4"], {"protocol": "IMAP4", "listen_port": "imap"}),
    ("protocol imap4s", [], {"protocol": "IMAP4S", "listen_port": "imaps"}),
    ("no_lookup", [], {"listen_port": "110"}),
    ("capability F", ["-I", "L"], {"imap_capability": "L"}),
    ("imap_capability F", ["-I", "L"], {"imap_capability": "L"}),
    ("capability F", ["--imap_capability", "L"], {"imap_capability": "L", "pop_capability": "F"}),
    ("imap_capability F", ["-I", ""], {"imap_capability": "", "pop_capability": ""}),
    ("capability ''", ["--imap_capability", "L"], {"imap_capability": "L", "pop_capability": ""}),
    ("capability ''\npop_capability F", [], {"managesieve_capability": "", "pop_capability": "F"}),
    ("pop_capability F\ncapability ''", [], {"imap_capability": "", "pop_capability": ""}),
    ("username ann", ["-u", ""], {"username": "nobody"}),
    ("ok_line x", ["-O", ""], {"ok_line": ""}),
]


@pytest.mark.parametrize(("text", "arguments", "values"), LEVELS)
def test_the_command_line_goes_over_the_file_option_by_option(
    file: Path, text: str, arguments: list[str], values: dict[str, Any]
) -> None:
    file.write_text(text)
    found = load("perdition", ["-f", str(file), *arguments]).options
    assert {name: getattr(found, name) for name in values} == values


# 2.2 takes the delimiter that it has read until then; the command line is read first.
PARTED = [
    ("", ["-D-", "-s", "u-a:1", "-b", "u-b"], ("u@a:1", "u@b")),
    ("", ["-s", "u-a:1", "-D-", "-b", "u-b"], ("u-a:1", "u@b")),
    ("", ["-s", "u-a", "-D-", "-s", "u-a", "-b", "u@b"], ("u@a", "u@b")),
    ("", ["-s", "u@a", "-b", "u-b"], ("u@a", "u-b")),
    ("outgoing_server u-a\nD -\nb u-b", [], ("u-a", "u@b")),
    ("outgoing_server u-a\nbind_address u-b", ["-D", "-"], ("u@a", "u@b")),
    ("D .\noutgoing_server u-a\nbind_address u-b", ["-D", "-"], ("u@a", "u@b")),
    ("domain_delimiter -", ["-s", "u-a", "-b", "u-b"], ("u-a", "u-b")),
    # No host has these in its name.
    ("domain_delimiter %", ["-s", "u%a", "-b", "u@b"], ("u@a", "u@b")),
    ("s u--%a\nb u-b\ndomain_delimiter --%", [], ("u@a", "u-b")),
]


@pytest.mark.parametrize(("text", "arguments", "items"), PARTED)
def test_users_of_servers_stand_before_the_delimiter_that_is_known(
    file: Path, text: str, arguments: list[str], items: tuple[str, str]
) -> None:
    file.write_text(text)
    found = load("perdition", ["-f", str(file), *arguments])
    assert (found.options.outgoing_server, found.options.bind_address) == ((items[0],), (items[1],))
    assert all("domain_delimiter '-' parts it, as in 2.2" in each for each in found.warnings)


def test_a_host_that_the_delimiter_parts_is_warned_of() -> None:
    assert line("-D", "%", "-s", "mail%1").warnings == []
    (warning,) = line("-D", "-", "-s", "mail-1:143,10.0.0.1").warnings
    assert warning == (
        "command line: outgoing_server 'mail-1:143': domain_delimiter '-' parts it, as in 2.2: "
        "the user 'mail', who has no effect, and the host '1:143'"
    )


def test_pass_phrases_from_two_places_do_not_go_together(file: Path) -> None:
    file.write_text("\nssl_passphrase_fd 3\n")
    with pytest.raises(ConfigError) as caught:
        load("perdition", ["-f", str(file), "--ssl_passphrase_file", "/x"])
    assert caught.value.usage
    assert f"{file}:2: ssl_passphrase_fd '3'" in caught.value.explanation


def test_a_pass_phrase_file_that_is_not_set_is_no_conflict() -> None:
    found = options("--ssl_passphrase_fd", "3", "--ssl_passphrase_file", "")
    assert found.ssl_passphrase_fd == 3


WORDS = st.sampled_from(
    ["-", "--", "-n", "-nB", "--no_lookup", "--timeout", "--ssl_mode=", "-f", ""]
)


@given(
    st.lists(WORDS | st.sampled_from([f"-{letter}" for letter in LETTERS]) | st.text(max_size=9))
)
def test_no_command_line_raises_anything_else(arguments: list[str]) -> None:
    try:
        found = load("perdition", [*arguments, "-f", ""], Path("/nonexistent")).options
    except (ConfigError, HelpWanted, VersionWanted):
        return
    assert found.program == "perdition"


def test_who_names_the_server_does_not_choose_who_gets_the_master_password() -> None:
    master = ("--outgoing_master_user=admin", "--outgoing_master_password_file=/file")
    named = (*master, "--authenticate_in", "--client_server_specification")
    assert "client_server_allow" in refused(*named).explanation
    assert options(*named, "--client_server_allow=mail1").client_server_allow == ("mail1",)


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (MASTER, "needs authenticate_in, or EXTERNAL"),
        ((*MASTER, "--sasl_mechanisms=EXTERNAL", "--compat=2.2"), "needs authenticate_in"),
        (("--outgoing_master_user=a", "--authenticate_in"), "outgoing_master_password_file"),
        (("--sasl_mechanisms=EXTERNAL",), "needs outgoing_master_user"),
    ],
)
def test_nobody_logs_in_by_a_password_that_is_not_there_or_without_one_of_his_own(
    arguments: tuple[str, ...], missing: str
) -> None:
    assert missing in refused(*arguments).explanation
