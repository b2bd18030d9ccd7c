"""Referrals: a server says which other one has the entries (RFC 4511 sections 4.1.10 and 4.5.3)."""

import dataclasses
from collections.abc import Sequence

import ldap
import ldapurl

from perdition.maps import MapFailed
from perdition.maps.deadlines import share
from perdition.maps.ldap_connection import (
    MOST_PLACES,
    TROUBLE,
    Connection,
    Entry,
    NotAName,
    Search,
    why,
)
from perdition.maps.ldap_url import Directory, read_servers, tls_context
from perdition.maps.servers import ServerFailed

# Referrals one after the other, as libldap has it.
MOST_HOPS = 5


def follow(
    places: Sequence[Sequence[str]], search: Search, directory: Directory, hops: int = MOST_HOPS
) -> list[Entry]:
    """Search where a server refers to, until something is found.

    Nobody's name and password are given there, as libldap does it; TLS is spoken where the
    directory asks for that.

    Args:
        places: each by its URLs, of which one is to be asked.
        search: what was asked of that server.
        directory: how servers are spoken with.
        hops: how many referrals there may be, one after the other.

    Raises:
        ServerFailed: one of the places cannot be asked, so that nothing is known.
    """
    if not hops or len(places) > MOST_PLACES:
        raise ServerFailed("too many referrals")
    for number, urls in enumerate(places):
        with share(len(places) - number):
            if found := ask_one(urls, search, directory, hops):
                return found
    return []


def ask_one(urls: Sequence[str], search: Search, directory: Directory, hops: int) -> list[Entry]:
    """Search at the first of these that answers.

    Raises:
        ServerFailed: none does.
    """
    reasons = []
    for number, url in enumerate(urls):
        try:
            with share(len(urls) - number):
                return ask(url, search, directory, hops)
        except (*TROUBLE, MapFailed, NotAName, ServerFailed, ValueError) as error:
            # What follows may have a password in it.
            reasons.append(f"referral to {url.partition('?')[0]}: {why(error)}")
    raise ServerFailed("; ".join(reasons) or "a referral to nowhere")


def ask(url: str, search: Search, directory: Directory, hops: int) -> list[Entry]:
    """Search at the server of a URL; what the URL does not say stays as it was.

    Raises:
        OSError, ldap.LDAPError, UnicodeError: that server cannot be asked.
        ValueError, NotAName, MapFailed: the URL is wrong, or TLS with that server is.
        ServerFailed: it does not have what it should, or refers to one that cannot be asked.
    """
    parts = ldapurl.LDAPUrl(url)
    if parts.urlscheme not in {"ldap", "ldaps"}:
        raise ValueError("not a server of the network")
    server = read_servers(parts)[0]
    # Where the password of a mailbox goes must not be forged on the way from there.
    start_tls = directory.tls is not None and not server.tls
    tls = directory.tls
    if server.tls and tls is None:
        tls = tls_context("")
    there = dataclasses.replace(
        directory, bind_name="", password="", start_tls=start_tls, tls=tls, version=ldap.VERSION3
    )
    search = Search(
        parts.dn or search.base,
        search.scope if parts.scope is None else parts.scope,
        parts.filterstr or search.wanted,
    )
    connection = Connection(server, there)
    try:
        found = connection.search(search)
    finally:
        connection.close()
    if found.places and not found.entries:
        return follow(found.places, search, directory, hops - 1)
    is_of_key = directory.base.has_place or search.scope == ldap.SCOPE_BASE
    if not (found.has_base or is_of_key):
        raise ServerFailed(f"there is no entry {search.base}")
    return found.entries
