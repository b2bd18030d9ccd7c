"""What the programs share that make a table for a map in a database: questions, and telling.

Answers are lines of standard input, so that they can come from a file as well; a terminal does not
show passwords. What is going to be made is shown before, and at the end what can be done with it.

The exit status is 1 where it cannot be made, 2 where the command line has anything but -h or
--help, and 0 where it is made or not wanted.
"""
# From the second paragraph on that is in the manual pages of these programs. They ask what those of
# the original do, in the same order (reference: maps.md sections 10 to 12).

import argparse
import contextlib
import getpass
import importlib
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from perdition.maps import MapFailed
from perdition.maps.choice import find_store
from perdition.tools.popmap import SUCCESS, complain

FAILURE = 1
HELP_OPTIONS = ("-h", "--help")
HELP = "Say what it does, and end."
SERVER = "localhost"
DATABASE = "dbPerdition"
TABLE = "tblPerdition"
USER = "perdition"
# A list with colons names the table, and the maps do not quote it.
TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NO_COLON = re.compile(r"[^:]+")
SIZES = {"user": 128, "servername": 255, "port": 8}


class Failed(Exception):
    """It cannot be done; the text says what and why."""


class NotWanted(Exception):
    """The operator does not want it done."""


def take_arguments(about: str, arguments: Sequence[str] | None) -> None:
    """Read the command line of such a program: it may ask for help, and nothing else.

    It exits with status 2 where there is another word.

    Args:
        about: the program's docstring, which begins with its name.
        arguments: those of the command line; None for those of this process.
    """
    name, _, text = about.partition(": ")
    parser = argparse.ArgumentParser(
        prog=name,
        description=f"{text[:1].upper()}{text[1:]}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument(*HELP_OPTIONS, action="help", help=HELP)
    parser.parse_args(arguments)


def run(make: Callable[[], None], about: str | None, arguments: Sequence[str] | None) -> int:
    """Run a program.

    Args:
        make: asks, and makes it.
        about: the program's docstring, which begins with its name.
        arguments: those of the command line; None for those of this process.

    Returns:
        The exit status.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    what_they_share = (__doc__ or "").partition("\n\n")[2]
    take_arguments(f"{about}\n{what_they_share}", arguments)
    try:
        make()
    except NotWanted:
        return SUCCESS
    except (Failed, MapFailed) as error:
        complain(f"{error}. Bailing")
        return FAILURE
    return SUCCESS


def load(store: str) -> Any:
    """The module of a map, with its driver.

    Raises:
        MapFailed: the driver is not installed; the text says what to install.
    """
    find_store(store)
    return importlib.import_module(f"perdition.maps.{store}")


def ask(
    question: str, default: str, accepted: re.Pattern[str] = NO_COLON, why: str = "no colons"
) -> str:
    """Ask until the answer can be used.

    Args:
        question: what is asked for.
        default: what an empty answer means.
        accepted: answers that can be used.
        why: what the others are told.

    Raises:
        Failed: there are no more answers.
    """
    while True:
        answer = read_line(f"Enter {question} [{default}]: ") or default
        if accepted.fullmatch(answer):
            return answer
        complain(f"Please try again: {why}.")


def ask_table() -> str:
    """Ask for the name of the table.

    Raises:
        Failed: there are no more answers.
    """
    return ask("table name", TABLE, TABLE_NAME, "letters, digits and _ only")


def ask_new_password(user: str) -> str:
    """Ask for the password of a new user, twice.

    Raises:
        Failed: there are no more answers.
    """
    while True:
        password = ask_password(f"Enter a password for the {user} user: ")
        if read_secret("Enter password again to verify: ") == password:
            return password
        complain("Passwords do not match, please try again.")


def ask_password(question: str) -> str:
    """Ask for a password that is not empty, and that fits in a list with colons.

    Raises:
        Failed: there are no more answers.
    """
    while True:
        password = read_secret(question)
        if not password:
            complain("Password is empty, please try again.")
        elif ":" in password:
            complain("A password with a colon does not fit in map_library_opt, please try again.")
        else:
            return password


def confirm(facts: dict[str, str]) -> None:
    """Show what is going to be made, and ask whether it shall be.

    Raises:
        NotWanted: it shall not.
        Failed: there are no more answers.
    """
    print()
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        print(f"{name + ':':{width}}{value}")
    is_wanted("Proceed (May destroy existing data in database) [y/n]? ")


def is_wanted(question: str) -> None:
    """Ask for a yes.

    Raises:
        NotWanted: it is another answer.
        Failed: there are no more answers.
    """
    if read_line(question) not in ("y", "Y"):
        raise NotWanted


def explain(text: str) -> None:
    """Say what is asked for next."""
    print(f"\n{text}")


@contextlib.contextmanager
def step(what: str, *errors: type[Exception]) -> Iterator[None]:
    """Do something, and say so.

    Args:
        what: is done.
        errors: mean that it has failed.

    Raises:
        Failed: it has.
    """
    print(f"{what}... ", end="", flush=True)
    try:
        yield
    except errors as error:
        print()
        raise Failed(f"Error: {what}: {reason(error)}") from error
    print("Done")


def reason(error: Exception) -> str:
    """What a driver says, in one line; a number or a state comes first with some."""
    text = error.args[-1] if error.args else type(error).__name__
    return " ".join(str(text).split()).rstrip(".")


def tell_how(connect: str, table: str, option: str, library: str) -> None:
    """Say what can be done now.

    Args:
        connect: the command that connects to the database.
        table: its table.
        option: `map_library_opt`, with a word in the place of the password.
        library: the name of the map.
    """
    insert = f"INSERT INTO {table} VALUES ('user', 'servername', 'port');"  # noqa: S608
    print(
        f"\nEntries can be added to {table} now. Connect with:\n\n"
        f"    {connect}\n\n"
        "and insert one for each user; port may be NULL:\n\n"
        f"    {insert}\n\n"
        f"A user has up to {SIZES['user']} characters, a server up to {SIZES['servername']}, "
        f"a port up to {SIZES['port']}.\n\n"
        "In perdition.conf, with the password in its place:\n\n"
        f"    map_library {library}\n"
        f"    map_library_opt {option}"
    )


def columns(quote: str = "") -> str:
    """The columns of the table, for CREATE TABLE.

    Args:
        quote: stands around their names.
    """
    user, server, port = (f"{quote}{name}{quote} varchar({size})" for name, size in SIZES.items())
    return f"{user} NOT NULL PRIMARY KEY, {server} NOT NULL, {port} DEFAULT NULL"


def read_secret(question: str) -> str:
    """Read a line that a terminal does not show.

    Raises:
        Failed: there are no more answers.
    """
    if not sys.stdin.isatty():
        return read_line(question)
    try:
        return getpass.getpass(question)
    except EOFError as error:
        raise Failed("\nNo more answers") from error


def read_line(question: str) -> str:
    """Read a line, without blanks around it.

    Raises:
        Failed: there are no more answers.
    """
    print(question, end="", flush=True)
    line = sys.stdin.readline()
    if not sys.stdin.isatty():
        print()
    if not line:
        raise Failed("No more answers")
    return line.strip(" \t\r\n")
