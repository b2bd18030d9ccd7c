"""User and group to run as."""

import grp
import os
import pwd
import resource
import sys
from typing import NamedTuple

# (uid_t)-1 stands for no user.
MOST_ID = 2**32 - 2


class NoSuchUser(Exception):
    """There is no such user or group; the text says which."""


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
    """Become that user and group for good, without the groups of whoever started us."""
    if ids.name:
        os.initgroups(ids.name, ids.gid)
    else:
        os.setgroups([])
    os.setgid(ids.gid)
    os.setuid(ids.uid)


def open_files() -> int:
    """How many descriptors this process may have."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def raise_open_files() -> None:
    """Allow ourselves as many open files as the system lets us: a session needs two."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
