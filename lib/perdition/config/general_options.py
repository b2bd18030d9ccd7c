"""The options of 2.2 that have nothing to do with TLS, in the order of ``--help``."""

from dataclasses import dataclass

from perdition.config import kinds
from perdition.config.table import flag, option
from perdition.identity import AddDomain, State

DEPENDENT = "protocol dependent"
MANAGESIEVE_CAPABILITY = (
    '"IMPLEMENTATION" "perdition"  "SIEVE" "comparator-i;octet comparator-i;ascii-casemap '
    "fileinto reject envelope encoded-character vacation subaddress comparator-i;ascii-numeric "
    'relational regex imap4flags copy include variables body enotify environment mailbox date"  '
    '"SASL" "PLAIN"  "NOTIFY" "mailto"  "VERSION" "1.0"'
)
STATES = "STATE[,STATE...]"
SERVERS = "SERVER[:PORT][,...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralOptions:
    """What 2.2 has."""

    add_domain: AddDomain = option(  # noqa: RUF009 - it declares a field
        AddDomain(),
        kinds.ADD_DOMAIN,
        "Append a domain to user names without one, in the given states: servername_lookup, "
        "local_authentication, remote_login, all. The domain is explicit_domain or else the name "
        "of the address that the client connected to, without its first STRIP_DEPTH labels (1).",
        short="A",
        metavar=f"{STATES}[,STRIP_DEPTH]",
        mask=(0, 0x1),
    )
    authenticate_in: bool = flag(
        "Authenticate the user here, by PAM, before connecting to the real server.",
        short="a",
        mask=(0, 0x2),
    )
    authenticate_timeout: int = option(
        1800,
        kinds.SECONDS,
        "Longest wait for the client or the real server to say something more, before the log-in "
        "is complete; 0 for no limit. login_timeout is for all waits together.",
        metavar="SECONDS",
        mask=(1, 0x10),
    )
    no_bind_banner: bool = flag(
        "Greet with the name of this host rather than that of the address connected to.",
        short="B",
        mask=(0, 0x80000),
    )
    bind_address: tuple[str, ...] = option(
        (),
        kinds.LIST,
        "Addresses to listen on, each with a port of its own or else listen_port; IPv6 addresses "
        "in brackets. [::] and * are every IPv6 and IPv4 address. Empty: every IPv4 address.",
        short="b",
        metavar=SERVERS,
        mask=(0, 0x4),
    )
    connection_logging: bool = flag(
        "Log what clients and real servers say, and what they are told. Needs debug.",
        short="C",
        mask=(0, 0x20),
    )
    connect_relog: int = option(
        300,
        kinds.SECONDS,
        "How often the log-in of a session that goes on is logged again; 0 for never.",
        metavar="SECONDS",
        mask=(0, 0x40),
    )
    client_server_specification: bool = flag(
        "Let users name their real server: USER, domain_delimiter, SERVER[:PORT]. They can then "
        "reach any host and port from here, unless client_server_allow limits it.",
        short="c",
        mask=(0, 0x200),
    )
    domain_delimiter: str = option(
        "@",
        kinds.DELIMITER,
        "What stands between user and domain; the last one in a name counts.",
        short="D",
        metavar="STRING",
        mask=(0, 0x100),
    )
    debug: bool = flag("Log everything that helps to find a fault.", short="d", mask=(0, 0x80))
    explicit_domain: str = option(
        "",
        kinds.TEXT,
        "The domain that add_domain appends.",
        short="e",
        metavar="STRING",
        mask=(1, 0x4),
    )
    log_facility: str = option(
        "mail",
        kinds.TEXT,
        "Where the log goes: a syslog facility, a file (/...), - for standard output or + for "
        "standard error; the last two keep the program in the foreground.",
        short="F",
        metavar="FACILITY",
        mask=(0, 0x2000),
    )
    config_file: str = option(
        "",
        kinds.FILE,
        "Configuration file to read; empty for none. By default the first that there is of "
        "NAME.conf (but not for perdition itself), perdition.PROTOCOL.conf and perdition.conf in "
        "/etc/perdition, where NAME is the name that the program is called by, and PROTOCOL what "
        "that name implies.",
        short="f",
        metavar="FILENAME",
        mask=(0, 0x400),
        shown="invocation dependent",
        in_file=False,
    )
    group: str = option(
        "nogroup",
        kinds.TEXT,
        "Group to run as, by name or number; empty for the default. Where there is no nogroup, "
        "that is nobody.",
        short="g",
        metavar="GROUP",
        mask=(0, 0x800),
    )
    help: bool = flag("Say which options there are, and exit.", short="h", in_file=False)
    capability: str = option(
        "",
        kinds.TEXT,
        "Deprecated: sets imap_capability, managesieve_capability and pop_capability, also to "
        "nothing.",
        short="I",
        metavar="STRING",
        sets=("imap_capability", "managesieve_capability", "pop_capability"),
    )
    imap_capability: str = option(
        "IMAP4 IMAP4REV1",
        kinds.TEXT,
        "Capabilities for IMAP4 and IMAP4S, one blank between them. STARTTLS and LOGINDISABLED "
        "come and go by themselves.",
        metavar="STRING",
        mask=(1, 0x20),
    )
    inetd_mode: bool = flag(
        "Serve one connection on standard input and output.", short="i", mask=(0, 0x1000)
    )
    connection_limit: int = option(
        0,
        kinds.NUMBER,
        "Most connections at the same time; 0 for no limit.",
        short="L",
        metavar="LIMIT",
        mask=(0, 0x10),
    )
    listen_port: str = option(
        DEPENDENT,
        kinds.PORT,
        "Port to listen on.",
        short="l",
        metavar="PORT_NUMBER|PORT_NAME",
        mask=(0, 0x8000),
    )
    login_disabled: bool = flag("Refuse every log-in.", mask=(0, 0x4000))
    log_passwd: str = option(
        "never",
        kinds.LOG_PASSWD_KIND,
        "Which passwords are logged: never any, those of log-ins that fail, of those that are ok, "
        "or always all. Needs debug.",
        metavar="WHEN",
        mask=(1, 0x8),
    )
    lower_case: frozenset[State] = option(
        frozenset(),
        kinds.STATE_LIST,
        "Change user names to lower case in the given states, those of add_domain.",
        metavar=STATES,
        mask=(0, 0x10000),
    )
    managesieve_capability: str = option(
        MANAGESIEVE_CAPABILITY,
        kinds.TEXT,
        'Capability lines for ManageSieve, two blanks between them. "STARTTLS" comes and goes by '
        "itself.",
        metavar="STRING",
        mask=(1, 0x40),
    )
    map_library: str = option(
        "libperditiondb_gdbm.so.0",
        kinds.TEXT,
        "The map that says which real server a user has: its name, such as gdbm or ldap, or the "
        "file name of its library in 2.2; empty for none. See perditiondb(5).",
        short="M",
        metavar="FILENAME",
        mask=(0, 0x20000),
    )
    map_library_opt: str = option(
        "",
        kinds.TEXT,
        "What the map is told: a file, or where its database is.",
        short="m",
        metavar="STRING",
        mask=(0, 0x40000),
        is_secret=True,
    )
    no_daemon: bool = flag("Stay in the foreground.", mask=(0, 0x100000))
    no_lookup: bool = flag(
        "Greet with the number of the address connected to, and use numbers as default ports.",
        short="n",
        mask=(0, 0x200000),
    )
    ok_line: str = option(
        "You are so in",
        kinds.TEXT,
        "What a client is told when it is logged in. Overridden by server_resp_line.",
        short="O",
        metavar="STRING",
        mask=(1, 0x1),
    )
    server_resp_line: bool = flag(
        "Give the client the real server's answer to the log-in rather than one of our own.",
        short="o",
        mask=(0, 0x2000000),
    )
    server_ok_line: bool = flag(
        "Deprecated: the old name of server_resp_line.", sets=("server_resp_line",)
    )
    pop_capability: str = option(
        "UIDL.USER",
        kinds.TEXT,
        "Capabilities for POP3 and POP3S, a dot between them, or two blanks where there is no "
        "dot. STLS comes and goes by itself.",
        metavar="STRING",
        mask=(1, 0x80),
    )
    protocol: str = option(
        "POP3",
        kinds.PROTOCOL,
        f"Protocol to serve: {', '.join(kinds.PROTOCOLS)}. By default the one in the name that "
        "the program is called by.",
        short="P",
        metavar="PROTOCOL",
        mask=(0, 0x1000000),
    )
    outgoing_port: str = option(
        DEPENDENT,
        kinds.PORT,
        "Port of real servers that are named without one.",
        short="p",
        metavar="PORT_NAME|PORT_NUMBER",
        mask=(0, 0x400000),
    )
    outgoing_server: tuple[str, ...] = option(
        (),
        kinds.LIST,
        "Real servers of the users that the map does not have.",
        short="s",
        metavar=SERVERS,
        mask=(0, 0x800000),
    )
    pid_file: str = option(
        "/var/run/perdition/perdition.pid",
        kinds.PID_FILE,
        "File for the process id, beginning with /; empty for none. Not used in inetd mode.",
        metavar="FILENAME",
        mask=(1, 0x2),
        shown="/var/run/NAME/NAME.pid",
    )
    strip_domain: frozenset[State] = option(
        frozenset(),
        kinds.STATE_LIST,
        "Take the domain off user names in the given states, those of add_domain.",
        short="S",
        metavar=STATES,
        mask=(0, 0x4000000),
    )
    tcp_keepalive: bool = flag(
        "Let the kernel find out whether peers that say nothing are still there.", mask=(1, 0x100)
    )
    timeout: int = option(
        1800,
        kinds.SECONDS,
        "Idle time after which a session is ended; 0 for never.",
        short="t",
        metavar="SECONDS",
        mask=(0, 0x8000000),
    )
    username: str = option(
        "nobody",
        kinds.TEXT,
        "User to run as, by name or number; empty for the default.",
        short="u",
        metavar="USERNAME",
        mask=(0, 0x10000000),
    )
    username_from_database: bool = flag(
        "Log in as the user that the map names, where it names one.",
        short="U",
        mask=(0, 0x20000000),
    )
    quiet: bool = flag("Log errors only. Overridden by debug.", short="q", mask=(0, 0x80000000))
    query_key: tuple[str, ...] = option(
        (),
        kinds.QUERY_KEY,
        r"Keys to look up in the map; the first that is found counts. \U is the user name, \u its "
        r"part before the domain, \D the delimiter, \d the domain, \i and \p the client's address "
        r"and port, \I and \P ours, \\ a backslash. In a file, what has backslashes stands in "
        r"single quotes. Empty: the user name.",
        metavar="FORMAT[,FORMAT...]",
        mask=(0, 0x40000000),
    )
