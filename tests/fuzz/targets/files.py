"""Files of the operator's, and what the program writes to its log and to its other processes."""

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz.target import Choices, Target
from perdition import certificates
from perdition.config import ConfigError, HelpWanted, VersionWanted
from perdition.config.command_line import load
from perdition.config.kinds import BadValue
from perdition.config.options import ROWS
from perdition.grammar import GrammarError, scan, scan_settings, scan_words
from perdition.identity import AddDomain, Ends, NameRules, State, check_key_format, key
from perdition.logs import Who, auth_line, show_data
from perdition.pam import Identity
from perdition.protocols import codes, decode
from perdition.relay.pipe import Pipe
from perdition.server.authenticator import pack, unpack
from perdition.tools.popmap import entries

SCRATCH = TemporaryDirectory(prefix="fuzz-")
KINDS = list({row.kind.name: row.kind for row in ROWS.values()}.values())
ENDS = Ends("192.0.2.1", 1024, "2001:db8::1", 143)


def grammar(data: bytes) -> None:
    """Words that are quoted mean the same again."""
    text = decode(data)
    lines = list(scan(text))
    assert [(each.number, list(each.words)) for each in lines] == list(scan_words(text))
    assert len(list(scan_settings(text))) == len(lines)
    for line in lines:
        assert line.words
        quoted = " ".join(f'"{escaped(word)}"' for word in line.words)
        assert [list(each.words) for each in scan(quoted)] == [list(line.words)]


def escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')


def configuration(data: bytes) -> None:
    """A configuration file with anything in it is read, or it is said what is wrong."""
    path = Path(SCRATCH.name) / "perdition.conf"
    path.write_bytes(data)
    load("perdition", ["--config_file", str(path)], Path(SCRATCH.name))


def command_line(data: bytes) -> None:
    words = [decode(each) for each in data.split(b"\0")]
    with contextlib.suppress(ConfigError, HelpWanted, VersionWanted):
        load("perdition.imap4", ["--config_file", "", *words], Path(SCRATCH.name))


def value_of_an_option(data: bytes) -> None:
    """What a text means is shown as a text that means the same."""
    choices = Choices(data)
    kind = KINDS[choices.octet() % len(KINDS)]
    found = kind.parse(decode(choices.rest))
    if not (isinstance(found, AddDomain) and not found.states):
        assert kind.parse(kind.show(found)) == found


def popmap(data: bytes) -> None:
    found = list(entries(data.splitlines(keepends=True)))
    assert all(each.value is None or b":" not in each.key for each in found)


def names(data: bytes) -> None:
    """Names, and keys made of them, whatever a client has typed."""
    choices = Choices(data)
    delimiter = decode(choices.word(3)) or "@"
    states = [state for state in State if choices.flag()]
    rules = NameRules(
        delimiter,
        frozenset(states),
        AddDomain(frozenset(State), choices.octet()),
        frozenset(states),
        "",
    )
    form, name = decode(choices.word()), decode(choices.rest)
    for state in State:
        rules.name_for(state, name, lambda: "imap.example.com")
    user, domain = rules.split(name)
    assert name in (user, user + delimiter + domain)
    check_key_format(form)
    key(form, name, rules, ENDS)


def log_line(data: bytes) -> None:
    """What a peer says does not leave its place in a line."""
    choices = Choices(data)
    authorisation = decode(choices.word()) if choices.flag() else None
    user, password = decode(choices.word()), choices.word()
    who = Who("192.0.2.1:1->192.0.2.2:143", authorisation, user)
    line = auth_line(who, decode(choices.rest), "IMAP4", ("ssl", "ssl"), "ok", password)
    assert line.count('"') == 2 * (4 + (authorisation is not None))
    assert not any(each < " " or "\x7f" <= each < "\xa0" for each in line)
    assert show_data(data).isprintable()


def response_code(data: bytes) -> None:
    """A code is what a client may be shown between brackets."""
    code = codes.code_in(data)
    assert code in data
    assert not set(code) & set(b"[]\r\n\0")
    assert code.isascii()


def request_to_pam(data: bytes) -> None:
    identity = unpack(data)
    assert pack(identity) == data
    assert unpack(pack(Identity(*identity))) == identity


def pipe(data: bytes) -> None:
    """Every octet goes through, once and in its order, however little the sink takes."""
    choices = Choices(data)
    each = Pipe()
    came, went = b"", b""
    while choices.rest:
        if each.wants_read:
            chunk = choices.word(40)
            came += chunk
            each.pending = chunk
        else:
            count = min(choices.octet(), len(each.pending))
            went += bytes(each.pending[:count])
            each.sent(count)
    assert went + bytes(each.pending) == came


def name_in_a_certificate(data: bytes) -> None:
    """A star is one label, at the beginning; nothing matches that has more labels."""
    wanted, _, name = decode(data).partition(" ")
    info = {"subjectAltName": (("DNS", name), ("IP Address", name))}
    if certificates.matches(wanted, info):
        assert wanted
        assert name
        ours, theirs = (each.rstrip(".").split(".") for each in (wanted, name))
        assert "*" not in name or len(ours) == len(theirs)


TARGETS = [
    Target("grammar", grammar, (GrammarError,), [b"a \"b c\" \\\n d # e\n'f' \\x", b'"\\"\\\\"']),
    Target(
        "configuration",
        configuration,
        (ConfigError,),
        [
            b"ssl_mode ssl_listen\noutgoing_port 143 # x\nconnection_logging\nu ann\n",
            b"query_key \\U,\\u\\d\ntimeout=5\nadd_domain all,2\nbind_address 127.0.0.1\n",
        ],
        cost=10,
    ),
    Target(
        "command-line",
        command_line,
        (),
        [b"--timeout\0005\0-P\0IMAP4S", b"--ssl_mode=x\0-C"],
        cost=2,
    ),
    Target(
        "option-value",
        value_of_an_option,
        (BadValue,),
        [bytes([number]) + b"all,1" for number in range(len(KINDS))],
    ),
    Target("popmap", popmap, (), [b"ann:mail1:143\n\nbob\n:x\n"]),
    Target("names", names, (ValueError,), [b"\1@\1\1\1\1\4\\u\\dann@example.com"]),
    Target("log-line", log_line, (), [b"\1\4boss\3ann\6sesamemail1:143", b'\0\5a"\n\xc2\x85\0x']),
    Target("response-code", response_code, (), [b"NO [ALERT] x", b"-ERR [AUTH]", b"NO (QUOTA) x"]),
    Target("pam-request", request_to_pam, (ValueError,), [pack(Identity(b"ann", b"x", b"::1"))]),
    Target("pipe", pipe, (), [b"\5hello\2\1\2\3abc\xff"]),
    Target("certificate-name", name_in_a_certificate, (), [b"a.b.c *.b.c", b"::1 ::1", b"a.b a.b"]),
]
