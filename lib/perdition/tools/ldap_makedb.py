"""perditiondb_ldap_makedb: put the tree of a popmap, and an entry to see how, into a directory.

It asks what it has to know; the answers may come from a terminal or from a pipe. The server is the
one of ldap.conf(5), or that of this machine, as for ldapadd. The exit status is 1 where it does not
take the entries, 2 where the command line has anything but -h or --help, and else 0.
"""

import getpass
import signal
import sys
from collections.abc import Mapping, Sequence

from perdition.protocols import encode
from perdition.tools import makedb

try:
    import ldap.dn
    import ldap.modlist
    import ldapurl
except ImportError as error:
    sys.exit(f"{error}: install Debian's python3-ldap or PyPI's python-ldap")

SUCCESS, FAILURE = 0, 1
ADMIN = "cn=admin,dc=nodomain"
DOMAIN = "dc=nodomain"
SERVER = "ldap://localhost"
SCHEMA = """
This script expects perdition.schema to be known to slapd. With slapd.conf
that is done by copying it to /etc/ldap/schema first, and adding the following
line to /etc/ldap/slapd.conf after any other include lines and before any
database definitions

include         /etc/ldap/schema/perdition.schema

and where slapd keeps its configuration in cn=config, by

schema2ldif perdition.schema | ldapadd -Q -Y EXTERNAL -H ldapi:///
"""
WHO = f"""
openldap requires a binddn to bind to the LDAP directory
The default is "{ADMIN}". To use this
hit return, otherwise enter the DN to bind as, it should be a
string-represented DN as defined in RFC 4514.
"""
WITH_WHAT = """
You will need to enter the password for the
binddn: "{who}".
The default may be "secret", you should change
your ldap configuration if this is the case.
"""
DONE = """Done

You may add more entries of the form:

dn: uid=horms,{mailboxes}
objectClass: top
objectClass: uidObject
objectClass: perditionPopmap
uid: horms
username: horms
mailhost: localhost
port: 110

Perdition finds them with

map_library libperditiondb_ldap.so.0
map_library_opt 3:{server}/{mailboxes}?username,mailhost,port?one?(uid=%s)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: those of the command line; None for those of this process.

    Returns:
        The exit status.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    makedb.take_arguments(__doc__ or "", arguments)
    print(SCHEMA)
    schema = ask("Has perdition.schema been added to slapd's configuration? [y/N]: ")
    if schema not in {"y", "Y"}:
        print("Bailing...")
        return SUCCESS
    print(WHO)
    who = ask(f"Enter binddn [{ADMIN}]: ") or ADMIN
    print(WITH_WHAT.format(who=who))
    password = ask_secretly(f'Enter the password for "{who}": ')
    print("Initialising LDAP popmap...")
    servers = ldap.get_option(ldap.OPT_URI) or SERVER
    mailboxes = f"ou=mailbox,{domain_of(who)}"
    try:
        add(servers, who, password, entries(mailboxes))
    except ldap.LDAPError as error:
        print(told(error), file=sys.stderr)
        print("Error initialising LDAP popmap. Bailing", file=sys.stderr)
        return FAILURE
    # The library writes it with an empty search behind it.
    server = ldapurl.LDAPUrl(servers.split()[0]).initializeUrl()
    print(DONE.format(mailboxes=mailboxes, server=server))
    return SUCCESS


def ask(question: str) -> str:
    """Ask for a line; it is empty where there is none."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().removesuffix("\n")


def ask_secretly(question: str) -> str:
    """Ask for a line that is not shown while it is typed."""
    if sys.stdin.isatty():
        return getpass.getpass(question)
    answer = ask(question)
    print(file=sys.stderr)
    return answer


def domain_of(name: str) -> str:
    """The dc= part at the end of a distinguished name; that of 2.2 where it has none."""
    try:
        parts = ldap.dn.str2dn(name)
    except (ldap.LDAPError, UnicodeError):
        return DOMAIN
    found: list[list[tuple[str, str, int]]] = []
    for part in reversed(parts):
        if part[0][0].lower() != "dc":
            break
        found.insert(0, part)
    return ldap.dn.dn2str(found) if found else DOMAIN


def entries(mailboxes: str) -> Mapping[str, Mapping[str, list[bytes]]]:
    """What is added: names, and what they have.

    Args:
        mailboxes: the name of the entry above all others.
    """
    return {
        mailboxes: {
            "objectClass": [b"top", b"organizationalUnit"],
            "ou": [b"mailbox"],
            "description": [b"Popmap for perdition"],
        },
        f"uid=horms,{mailboxes}": {
            "objectClass": [b"top", b"uidObject", b"perditionPopmap"],
            "uid": [b"horms"],
            "username": [b"horms"],
            "mailhost": [b"localhost"],
            "port": [b"110"],
        },
    }


def add(
    servers: str, who: str, password: str, added: Mapping[str, Mapping[str, list[bytes]]]
) -> None:
    """Add entries to a directory, one after the other.

    Raises:
        ldap.LDAPError: the server does not take one.
    """
    connection = ldap.initialize(servers)
    try:
        connection.simple_bind_s(who, encode(password))
        for name, attributes in added.items():
            print(f'adding new entry "{name}"')
            connection.add_s(name, ldap.modlist.addModlist(attributes))
    finally:
        connection.unbind_s()


def told(error: ldap.LDAPError) -> str:
    """What the server or the library says."""
    details = error.args[0] if error.args else {}
    parts = [details.get("desc") or type(error).__name__, details.get("info") or ""]
    return ": ".join(filter(None, parts))


if __name__ == "__main__":
    sys.exit(main())
