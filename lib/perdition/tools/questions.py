"""Questions of the programs that make databases: their answers come from a terminal or a pipe."""

import getpass
import signal
import sys


class Refused(Exception):
    """Whoever is asked does not want it; the text says what."""


def begin() -> None:
    """Let the program end in silence when nobody reads what it says."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def ask(question: str, default: str = "") -> str:
    """Ask for a line; default where it is empty, or there is none."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().removesuffix("\n") or default


def ask_for(what: str, default: str) -> str:
    """Ask for something that has a default."""
    return ask(f"Enter {what} [{default}]: ", default)


def ask_secretly(question: str) -> str:
    """Ask for a line that is not shown while it is typed."""
    if sys.stdin.isatty():
        return getpass.getpass(question)
    answer = ask(question)
    print(file=sys.stderr)
    return answer


def ask_new_password(user: str) -> str:
    """Ask for a new password, twice.

    Raises:
        Refused: it is empty, or not the same both times.
    """
    password = ask_secretly(f"Enter a password for the {user} user: ")
    if not password:
        raise Refused("Password is empty")
    if ask_secretly("Enter password again to verify: ") != password:
        raise Refused("Passwords do not match")
    return password


def confirm(question: str) -> None:
    """Ask whether to go on.

    Raises:
        Refused: the answer is not y or Y.
    """
    if ask(question) not in {"y", "Y"}:
        raise Refused("Nothing has been done")
