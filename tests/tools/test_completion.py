"""Completion in real shells: each option, and what can be its value."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdition.config.files import PROTOCOLS
from perdition.config.kinds import FLAG, BadValue
from perdition.config.options import LETTERS, ROWS
from perdition.tools import completion, popmap
from support.popmaps import run_module
from support.processes import lacking, require
from support.terminal import CLOSE, OPEN, PROMPT, SHOW, Terminal, terminal

NAMES = ["perdition", *PROTOCOLS]
OPTIONS = [*(f"--{name}" for name in ROWS), *(f"-{letter}" for letter in LETTERS)]
PACKAGE = Path("/usr/share/bash-completion/bash_completion")
# What is typed, and what becomes of it; the shells differ in what they put behind it.
COMPLETED = [
    ("perdition --ssl_mo", "perdition --ssl_mode"),
    ("perdition.imap4s --ssl_mode ssl_l", "perdition.imap4s --ssl_mode ssl_listen"),
    ("perdition --ssl_mode=none,tls_listen_f", "perdition --ssl_mode=none,tls_listen_force"),
    ("perdition -S remote_login,local_authe", "perdition -S remote_login,local_authentication"),
    (
        "perdition --sasl_mechanisms PLAIN,SCRAM-SHA-2",
        "perdition --sasl_mechanisms PLAIN,SCRAM-SHA-256",
    ),
    ("perdition --log_passwd al", "perdition --log_passwd always"),
    ("perdition --log_passwd=ne", "perdition --log_passwd=never"),
    ("perdition --map_failure d", "perdition --map_failure default_server"),
    ("perdition -d -P MANA", "perdition -d -P MANAGESIEVE"),
    ("perdition -F authp", "perdition -F authpriv"),
    ("perdition -F ./lo", "perdition -F ./log"),
    ("perdition -M posi", "perdition -M posix_regex"),
    ("perdition --username nobod", "perdition --username nobody"),
    ("perdition -g nogrou", "perdition -g nogroup"),
    ("perdition -l siev", "perdition -l sieve"),
    ("perdition -f with", r"perdition -f with\ blank"),
    ("perdition --ssl_key_file=./lo", "perdition --ssl_key_file=./log"),
    ("perdition --ssl_ca_path ", "perdition --ssl_ca_path folder/"),
    ("perdition --timeout ", "perdition --timeout "),
    ("perdition.managesieve --check_c", "perdition.managesieve --check_config"),
    ("makegdbm --un", "makegdbm --undo"),
    ("makebdb -u lo", "makebdb -u log"),
]


def run(shell: str) -> subprocess.CompletedProcess[str]:
    """Run the program."""
    return run_module(completion.__name__, shell)


def takes_several(name: str) -> bool:
    """Whether a value of an option is a list of words that are known."""
    kind = ROWS[name].kind
    try:
        kind.parse(",".join([*kind.words[:1], *kind.words[-1:]]))
    except BadValue:
        return False
    return bool(kind.words)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the scripts, start-up files of shells, and files whose names can be completed."""
    found = tmp_path_factory.mktemp("completion")
    (found / "site/folder").mkdir(parents=True)
    (found / "site/with blank").touch()
    (found / "site/log").touch()
    (found / "perdition.bash").write_text(run("bash").stdout)
    (found / "_perdition").write_text(run("zsh").stdout)
    (found / "bashrc").write_text(
        f"""
        source {found}/perdition.bash
        show() {{ printf '{OPEN}%s{CLOSE}' "$READLINE_LINE"; }}
        PS1='{PROMPT}'
        bind 'set enable-bracketed-paste off'
        bind -x '"{SHOW.decode()}": show'
        """
    )
    (found / ".zshrc").write_text(
        f"""
        fpath=({found} $fpath)
        autoload -Uz compinit && compinit -u -D
        PROMPT='{PROMPT}' LISTMAX=10000
        unsetopt AUTO_MENU LIST_BEEP
        show() {{ print -rn -- "{OPEN}$BUFFER{CLOSE}" }}
        zle -N show
        bindkey -e
        bindkey '{SHOW.decode()}' show
        """
    )
    return found


@pytest.fixture(scope="module")
def bash(directory: Path) -> Iterator[Terminal]:
    command = [require("bash"), "--noprofile", "--rcfile", str(directory / "bashrc"), "-i"]
    with terminal(command, directory / "site", os.environ) as found:
        yield found


@pytest.fixture(scope="module")
def zsh(directory: Path) -> Iterator[Terminal]:
    environment = {**os.environ, "ZDOTDIR": str(directory)}
    with terminal([require("zsh"), "-d", "-i"], directory / "site", environment) as found:
        yield found


def offered_by_bash(directory: Path, *words: str, package: bool = False) -> list[str]:
    """What the function of bash answers, of which no terminal is needed, for the last word."""
    load = f"source {PACKAGE}" if package else ""
    program = f"""
        {load}
        source {directory}/perdition.bash
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        set -- $(complete -p "$1")
        while [[ $1 != -F ]]; do shift; done
        "$2"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        [require("bash"), "--noprofile", "--norc", "-c", program, "bash", *words],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize("package", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_bash_offers_every_option_of_every_name(directory: Path, name: str, package: bool) -> None:
    if package and not PACKAGE.exists():
        lacking("bash-completion is not installed")
    assert sorted(offered_by_bash(directory, name, "-", package=package)) == sorted(OPTIONS)
    assert offered_by_bash(directory, name, "-d", "--work", package=package) == ["--workers"]


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.kind.words])
def test_bash_offers_the_words_of_an_option(directory: Path, name: str) -> None:
    words = sorted(ROWS[name].kind.words)
    assert sorted(offered_by_bash(directory, "perdition", f"--{name}", "")) == words
    assert sorted(offered_by_bash(directory, "perdition", f"--{name}", "=")) == words
    last = words[-1]
    assert last in offered_by_bash(directory, "perdition", f"--{name}", "=", last[:-1])


@pytest.mark.parametrize("name", list(filter(takes_several, ROWS)))
def test_bash_offers_another_word_where_there_may_be_several(directory: Path, name: str) -> None:
    words = ROWS[name].kind.words
    offered = offered_by_bash(directory, "perdition", f"--{name}", f"{words[0]},")
    assert sorted(offered) == sorted(f"{words[0]},{word}" for word in words)


def test_bash_offers_nothing_where_any_text_may_be(directory: Path) -> None:
    assert offered_by_bash(directory, "perdition", "--timeout", "") == []
    assert offered_by_bash(directory, "perdition", "word") == []


def test_bash_offers_the_options_of_the_tools(directory: Path) -> None:
    every = ", ".join(popmap.OPTIONS).split(", ")
    for tool in ("makegdbm", "makebdb"):
        assert offered_by_bash(directory, tool, "-") == every
        assert offered_by_bash(directory, tool, "") == []


@pytest.mark.parametrize(("typed", "line"), COMPLETED)
def test_bash_completes(bash: Terminal, typed: str, line: str) -> None:
    assert bash.complete(typed)[0].rstrip() == line.rstrip()


def test_bash_goes_on_with_a_list(bash: Terminal) -> None:
    assert bash.complete("perdition -A al")[0] == "perdition -A all"


@pytest.mark.parametrize(("typed", "line"), COMPLETED)
def test_zsh_completes(zsh: Terminal, typed: str, line: str) -> None:
    assert zsh.complete(typed)[0].rstrip(" =,") == line.rstrip()


def test_zsh_lists_every_option_and_what_it_does(zsh: Terminal) -> None:
    _line, shown = zsh.complete("perdition.pop3 -", tabs=2)
    for name, row in ROWS.items():
        assert re.search(rf"--{name} .*-- {re.escape(row.help[:12])}", shown), name
        assert not row.short or re.search(rf"-{row.short} +(--{name}|--)", shown), name


def test_zsh_finds_no_fault_with_the_script(directory: Path) -> None:
    path = directory / "_perdition"
    done = subprocess.run([require("zsh"), "-n", path], capture_output=True, check=True)
    assert done.stderr == b""


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.kind is not FLAG])
def test_the_words_of_a_kind_are_values_of_it(name: str) -> None:
    kind = ROWS[name].kind
    for word in kind.words:
        kind.parse(word)
    if kind.words:
        with pytest.raises(BadValue):
            kind.parse("nonsense")


def test_another_shell_is_not_known() -> None:
    done = run("fish")
    assert done.returncode != 0
    assert done.stderr.startswith("Usage: python -m perdition.tools.completion bash|zsh")
