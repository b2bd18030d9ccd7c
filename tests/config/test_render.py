"""The views of the table: every option is in every one, and what they say is true."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from perdition import __version__
from perdition.config import render
from perdition.config.command_line import load
from perdition.config.kinds import FLAG, Kind
from perdition.config.options import DEFAULTS, LETTERS, ROWS, Options
from perdition.grammar import scan_settings

ROOT = Path(__file__).parents[2]
# Options that 2.2 does not have: none of them has a letter or a bit.
ADDED = [
    "workers",
    "login_threads",
    "login_attempts",
    "login_timeout",
    "connect_timeout",
    "failure_delay",
    "drain_timeout",
    "client_server_allow",
    "check_config",
    "version",
    "ssl_san_only",
]
MASKS = {
    0: 0xFFFFFFF7,
    1: 0x1FF,
    2: 0x1FFFFFF,
}


def dumped(*arguments: str, node: str = "vm") -> tuple[str, str]:
    return render.dump(load("perdition", ["-f", "", "-M", "", *arguments]).options, node)


def test_every_field_is_an_option_or_about_the_call() -> None:
    names = {field.name for field in dataclasses.fields(Options)}
    assert names - set(ROWS) == {"program", "masks"}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_complete(name: str) -> None:
    row = ROWS[name]
    assert row.help.endswith(".")
    assert (row.metavar == "") == (row.kind is FLAG)
    assert isinstance(row.kind, Kind)
    assert set(row.sets) <= set(ROWS)
    assert row.kind.parse(render.default_of(name)) == DEFAULTS[name]


def test_no_two_kinds_have_one_name() -> None:
    kinds = {row.kind for row in ROWS.values()}
    assert len({kind.name for kind in kinds}) == len(kinds)


def test_the_letters_are_those_of_2_2() -> None:
    letters = sorted(row.short for row in ROWS.values() if row.short)
    assert letters == sorted("AabCcDdeFfghIiLlMmnBOoPpSstuUq")
    assert len(LETTERS) == len(letters)


def test_every_bit_of_the_masks_is_of_an_option() -> None:
    for word, bits in MASKS.items():
        found = 0
        for row in ROWS.values():
            found |= row.mask[1] if row.mask[0] == word else 0
        assert found == bits


@pytest.mark.parametrize("name", ADDED)
def test_an_added_option_has_no_letter_and_no_bit(name: str) -> None:
    assert (ROWS[name].short, ROWS[name].mask) == ("", (0, 0))


@pytest.mark.parametrize("name", ROWS)
def test_every_option_is_in_help(name: str) -> None:
    row = ROWS[name]
    letter = f"-{row.short}\\|" if row.short else ""
    metavar = f" {re.escape(row.metavar)}" if row.metavar else ""
    assert re.search(rf"^ {letter}--{name}{metavar}:$", render.usage(), re.MULTILINE)


def test_help_has_the_shape_of_2_2() -> None:
    lines = render.usage().split("\n")
    assert lines[:8] == [
        f"perdition version {__version__}",
        "",
        "perdition is a mail retrieval proxy daemon",
        "",
        "Usage: perdition [options]",
        "",
        "Options:",
        " -A|--add_domain STATE[,STATE...][,STRIP_DEPTH]:",
    ]
    assert "SSL/TLS Specific Options:" in lines
    assert any(line.startswith(" Notes: ") for line in lines)
    for line in lines:
        assert len(line) <= render.WIDTH + 2 or line.startswith('    (default "')


def test_help_has_the_right_defaults() -> None:
    text = render.usage()
    assert '    (default "UIDL.USER")\n' in text
    assert '    (default "protocol dependent")\n' in text
    assert '"SASL" "PLAIN"  "NOTIFY" "mailto"  "VERSION" "1.0"")\n' in text


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.in_file])
def test_every_option_of_files_is_in_the_sample_at_its_default(name: str) -> None:
    (line,) = re.findall(rf"^#({name} .*)$", render.sample(), re.MULTILINE)
    (setting,) = scan_settings(line)
    assert ROWS[name].kind.parse(setting.value or "") == DEFAULTS[name]


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.in_file])
def test_what_belongs_on_the_command_line_is_not_in_the_sample(name: str) -> None:
    assert not re.search(rf"^#{name}\b", render.sample(), re.MULTILINE)


def test_the_sample_uncommented_gives_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "sample"
    file.write_text(re.sub(r"^#(?=[a-z])", "", render.sample(), flags=re.MULTILINE))
    # The sample names Debian's group, whether this host has it or not.
    uncommented = load("perdition", ["-f", str(file), "-g", "nogroup"])
    default = load("perdition", ["-f", "", "-g", "nogroup"])
    assert dataclasses.replace(uncommented.options, config_file="") == default.options
    assert not uncommented.warnings


def test_the_sample_as_it_is_sets_nothing() -> None:
    assert list(scan_settings(render.sample())) == []


@pytest.mark.parametrize("name", ROWS)
def test_every_option_is_in_the_manual(name: str) -> None:
    assert re.search(rf"^### `{name}`", render.markdown(), re.MULTILINE)


@pytest.mark.parametrize(
    ("view", "file"), [("sample", "conf/perdition/perdition.conf"), ("markdown", "docs/options.md")]
)
def test_the_committed_file_is_what_the_table_gives(view: str, file: str) -> None:
    command = [sys.executable, "-m", "perdition.config.render", view]
    done = subprocess.run(
        command, capture_output=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "lib")}
    )
    hint = f"python -m perdition.config.render {view} > {file}"
    assert done.stdout.decode() == (ROOT / file).read_text(), hint


EXAMPLES = sorted((ROOT / "conf/perdition").glob("perdition.*.conf"))


def test_there_is_an_example_of_each_service() -> None:
    assert [path.name.split(".")[1] for path in EXAMPLES] == [
        "imap4",
        "imap4s",
        "managesieve",
        "pop3",
        "pop3s",
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_says_nothing_until_it_is_uncommented(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    assert list(scan_settings(text)) == []
    file = tmp_path / path.name
    file.write_text(re.sub(r"^#(?=[a-z])", "", text, flags=re.MULTILINE))
    found = load(path.stem, ["-f", str(file)])
    assert found.options.outgoing_server == ("mail.example.com",)
    assert found.options.outgoing_port in ("110", "143", "4190")
    assert not found.warnings


LINE_1 = (
    'add_domain="", authenticate_in=off, authenticate_timeout=1800, '
    'bind_address="127.0.0.1:21002", client_server_specification=off, config_file="", '
    'connection_limit=0, connection_logging=on, connect_relog=300, debug=on, domain_delimiter="@", '
    'explicit_domain="", group="nogroup", imap_capability="IMAP4 IMAP4REV1", inetd_mode=off, '
    'listen_port="pop3", log_facility="-", log_passwd="never", login_disabled=off, lower_case="", '
    f'managesieve_capability="{DEFAULTS["managesieve_capability"]}", map_library="", '
    'map_library_opt="", no_bind_banner=off, no_daemon=off, no_lookup=off, tcp_keepalive=off, '
    'nodename="vm", ok_line="You are so in", outgoing_port="pop3", '
    'outgoing_server="127.0.0.1:21001", pid_file="", pop_capability="UIDL.USER", protocol="POP3", '
    'server_resp_line=off, strip_domain="", timeout=1800, username="nobody", '
    'username_from_database=off, query_key="", quiet=off (mask=0x00822ca4 00000002)'
)
LINE_2 = (
    'ssl_mode="", ssl_ca_file="", ssl_ca_path="/etc/perdition/perdition.ca/", '
    'ssl_ca_accept_self_signed="off", ssl_cert_file="/etc/perdition/perdition.crt.pem", '
    'ssl_cert_accept_expired="off", ssl_cert_not_yet_valid="off", ssl_cert_self_signed="off", '
    'ssl_cert_verify_depth=9, ssl_key_file="/etc/perdition/perdition.key.pem", '
    'ssl_listen_ciphers="", ssl_outgoing_ciphers="", ssl_no_cert_verify="off", '
    'ssl_no_client_cert_verify="off", ssl_no_cn_verify="off" ssl_passphrase_fd=0, '
    'ssl_passphrase_file="", ssl_listen_min_proto_version="tlsv1.2", '
    'ssl_outgoing_min_proto_version="tlsv1.2", ssl_listen_max_proto_version="", '
    'ssl_outgoing_max_proto_version="", ssl_listen_compression="off", '
    'ssl_outgoing_compression="off", ssl_no_cipher_server_preference="off", (ssl_mask=0x00000000) '
)


def test_the_dump_is_that_of_2_2() -> None:
    arguments = "-b 127.0.0.1:21002 -C -d -F - -s 127.0.0.1:21001 --pid_file= -g nogroup"
    assert dumped(*arguments.split()) == (LINE_1, LINE_2)


def test_the_dump_shows_states_modes_and_addresses_as_2_2() -> None:
    arguments = "-A server_lookup,2 -S all --lower_case remote_login,local_auth -b [::1]:2110 -A 3"
    line, tls_line = dumped(*arguments.split(), "--ssl_mode", "tls_all_force")
    assert 'add_domain="servername_lookup,3"' in line
    assert 'strip_domain="all"' in line
    assert 'lower_case="local_authentication,remote_login"' in line
    assert 'bind_address="::1:2110"' in line
    assert tls_line.startswith('ssl_mode="tls_all,tls_all_force", ')


def test_a_line_of_the_dump_is_cut_where_2_2_cuts_it() -> None:
    line, _ = dumped("-O", "é" * 4095)
    assert len(line.encode("utf-8", "surrogateescape")) == 4095


REDACTED = [
    ("libperditiondb_mysql.so.0", "h:1:d:t:u:geheim:s", "h:1:d:t:u:********:s"),
    ("/x/libperditiondb_postgresql.so", "h:1:d:t:u:geheim", "h:1:d:t:u:********"),
    ("odbc", "h:1:d:t:u", "h:1:d:t:u"),
    ("odbc", "h:1:d:t:u::s", "h:1:d:t:u::s"),
    (
        "libperditiondb_ldap.so.0",
        "ldap://h/dc=x?a?sub?(u=%s)?BINDNAME=cn%2cx,!x-bindpw=geheim,y=z",
        "ldap://h/dc=x?a?sub?(u=%s)?BINDNAME=cn%2cx,!x-bindpw=********,y=z",
    ),
    ("posix_regex", "/etc/a:b:c:d:e:f", "/etc/a:b:c:d:e:f"),
    ("sql", "a+b://u:geheim@h/d table=t", "a+b://u:********@h/d table=t"),
    ("sql", "a:///?odbc_connect=PWD%3Dgeheim&x=1", "a:///?odbc_connect=********&x=1"),
    ("http", "http://h:80/auth ca=/x", "http://h:80/auth ca=/x"),
    ("http", "http://u:ge/he:im@h/a?key=geheim", "http://u:********@h/a?********"),
    (
        "libperditiondb_http.so.0",
        "http://h/ https://h2/?a=geheim 'header=X-Key: geheim b' header=Y:geheim",
        "http://h/ https://h2/?******** 'header=X-Key:********",
    ),
    ("redis", "redis://h:1/2 key=a:%s", "redis://h:1/2 key=a:%s"),
    ("redis", "redis://:geheim@h:1/2 hash", "redis://:********@h:1/2 hash"),
    ("python", "/etc/perdition/map.py:find", "/etc/perdition/map.py:find"),
]


@pytest.mark.parametrize(("library", "text", "redacted"), REDACTED)
def test_the_dump_has_no_password_of_a_map(
    library: str, text: str, redacted: str, tmp_path: Path
) -> None:
    options = load("perdition", ["-f", "", "-M", library, "-m", text], tmp_path).options
    assert f'map_library_opt="{redacted}"' in render.dump(options, "vm")[0]
    assert render.redact(library, text) == redacted
