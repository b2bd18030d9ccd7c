"""User and group to run as."""

import errno
import grp
import os
import pwd
import resource
import signal
import sys
from typing import NamedTuple

# (uid_t)-1 stands for no user.
MOST_ID = 2**32 - 2


class NoSuchUser(Exception):
    """There is no such user or group; the text says which."""


class CannotBecome(Exception):
    """The system does not let us be the user and group; the text says why, and what to do."""


class Ids(NamedTuple):
    """A user and a group."""

    uid: int
    gid: int
    name: str


def find(username: str, group: str) -> Ids:
    """The ids of a user and a group, each by name or number.

    Raises:
        NoSuchUser: one of them does not exist.
    """
    try:
        uid = _number(username) if _is_number(username) else pwd.getpwnam(username).pw_uid
    except KeyError:
        raise NoSuchUser(f"username {username!r}: there is no such user") from None
    try:
        gid = _number(group) if _is_number(group) else grp.getgrnam(group).gr_gid
    except KeyError:
        raise NoSuchUser(f"group {group!r}: there is no such group") from None
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = ""
    return Ids(uid, gid, name)


def _is_number(text: str) -> bool:
    """Whether it is one, of the digits that int() takes."""
    return text.isascii() and text.isdigit()


def _number(text: str) -> int:
    """The number of a user or group.

    Raises:
        KeyError: there is none of that number.
    """
    digits = text.lstrip("0") or "0"
    if len(digits) > len(str(MOST_ID)) or int(digits) > MOST_ID:
        raise KeyError(text)
    return int(digits)


def drop(ids: Ids) -> None:
    """Become that user and group for good, without the groups of whoever started us.

    Raises:
        CannotBecome: the system does not let us.
    """
    try:
        if ids.name:
            os.initgroups(ids.name, ids.gid)
        else:
            os.setgroups([])
        os.setgid(ids.gid)
        os.setuid(ids.uid)
    except OSError as error:
        raise _cannot_become(ids, error.errno or 0) from error


def check(ids: Ids) -> None:
    """See whether that user and group could be become, in a process of its own.

    Raises:
        CannotBecome: they could not.
    """
    # Where it is ignored, as some that start us leave it, nobody hears how a process has ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        pid = os.fork()
    except OSError:
        # Whoever is to become it has no process either, and will say so.
        return
    if pid == 0:
        code = 0
        try:
            drop(ids)
        except CannotBecome as error:
            code = error.__cause__.errno or 0  # type: ignore[union-attr]
        finally:
            os._exit(code)
    if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise _cannot_become(ids, code)


def _cannot_become(ids: Ids, number: int) -> CannotBecome:
    needed = ": root needs CAP_SETUID and CAP_SETGID for that" if number == errno.EPERM else ""
    return CannotBecome(f"user {ids.uid} and group {ids.gid}: {os.strerror(number)}{needed}")


def open_files() -> int:
    """How many descriptors this process may have."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def raise_open_files() -> None:
    """Allow ourselves as many open files as the system lets us: a session needs two."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
