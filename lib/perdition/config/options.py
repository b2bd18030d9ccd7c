"""Every option, declared once: the fields of `Options` are the table.

The command line, the file, ``--help``, the sample file and the manual are views of it. A new
option is a new field.
"""

import dataclasses
import functools
import grp
from dataclasses import dataclass
from typing import Any

from perdition.config import kinds
from perdition.config.kinds import Kind, SslMode
from perdition.identity import AddDomain, State

GENERAL = "Options"
TLS = "SSL/TLS Specific Options"
DEPENDENT = "protocol dependent"
MANAGESIEVE = (
    '"IMPLEMENTATION" "perdition"  "SIEVE" "comparator-i;octet comparator-i;ascii-casemap '
    "fileinto reject envelope encoded-character vacation subaddress comparator-i;ascii-numeric "
    'relational regex imap4flags copy include variables body enotify environment mailbox date"  '
    '"SASL" "PLAIN"  "NOTIFY" "mailto"  "VERSION" "1.0"'
)
FLAG_KIND = kinds.FLAG


@dataclass(frozen=True, slots=True)
class Row:
    """What the table says of an option beside its name and default.

    Attributes:
        kind: how its values are written.
        help: what it does.
        short: its letter, empty for none.
        section: the heading that it stands under.
        metavar: what stands for its value in the help.
        mask: word and bit in the masks of the dump (reference: options.md section 13).
        shown: its default as the help has it, where that differs from the default itself.
        in_file: whether a configuration file may have it; False: there it is read and ignored.
    """

    kind: Kind
    help: str
    short: str = ""
    section: str = GENERAL
    metavar: str = ""
    mask: tuple[int, int] = (0, 0)
    shown: str | None = None
    in_file: bool = True


def option(default: Any, kind: Kind, help_text: str, **more: Any) -> Any:
    """A field of the table."""
    return dataclasses.field(default=default, metadata={"option": Row(kind, help_text, **more)})


def tls(default: Any, kind: Kind, help_text: str, **more: Any) -> Any:
    """A field of the table, under the other heading."""
    return option(default, kind, help_text, section=TLS, **more)


def flag(help_text: str, **more: Any) -> Any:
    """A field of the table that is on or off."""
    return option(False, FLAG_KIND, help_text, **more)


tls_flag = functools.partial(flag, section=TLS)


def default_group() -> str:
    """The group that goes with nobody here."""
    try:
        return grp.getgrnam("nogroup").gr_name
    except KeyError:
        return "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options in force. Text that is empty means: not set."""

    add_domain: AddDomain = option(
        AddDomain(),
        kinds.ADD_DOMAIN,
        "Append a domain to user names that have none, in these states: servername_lookup, local_authentication, remote_login, all. The domain is that of the address connected to, without its first DEPTH labels (1), or explicit_domain.",
        short="A",
        metavar="STATE[,STATE...][,DEPTH]",
        mask=(0, 1),
    )
    authenticate_in: bool = flag(
        "Authenticate the user by PAM before connecting to the real server.", short="a", mask=(0, 2)
    )
    authenticate_timeout: int = option(
        1800,
        kinds.SECONDS,
        "Longest wait for anything from the client or the real server before the log-in is complete; 0 for no limit.",
        metavar="SECONDS",
        mask=(1, 0x10),
    )
    no_bind_banner: bool = flag(
        "Show the node's name in the greeting, not that of the address connected to.",
        short="B",
        mask=(0, 0x80000),
    )
    bind_address: tuple[str, ...] = option(
        (),
        kinds.LIST,
        "Addresses to listen on, with a port of their own where listen_port is not meant; IPv6 in brackets. Empty: every IPv4 address.",
        short="b",
        metavar="HOST[:PORT][,...]",
        mask=(0, 4),
    )
    connection_logging: bool = flag(
        "With debug, log what is said to the client and to the real server.",
        short="C",
        mask=(0, 0x20),
    )
    connect_relog: int = option(
        300,
        kinds.SECONDS,
        "Log the line of a successful log-in again so often while its session lasts, for POP-before-SMTP; 0 for never.",
        metavar="SECONDS",
        mask=(0, 0x40),
    )
    client_server_specification: bool = flag(
        "Let users name their real server: USER<domain_delimiter>HOST[:PORT]. This opens a way to any host and port: see client_server_allow.",
        short="c",
        mask=(0, 0x200),
    )
    domain_delimiter: str = option(
        "@",
        kinds.DELIMITER,
        "What stands between user and domain; the last one in a name counts.",
        short="D",
        metavar="TEXT",
        mask=(0, 0x100),
    )
    debug: bool = flag("Log what helps to find faults.", short="d", mask=(0, 0x80))
    explicit_domain: str = option(
        "",
        kinds.TEXT,
        "The domain that add_domain appends.",
        short="e",
        metavar="DOMAIN",
        mask=(1, 4),
    )
    log_facility: str = option(
        "mail",
        kinds.TEXT,
        "Where the log goes: a syslog facility, a file (/...), - for standard output, + for standard error. The last two do not detach.",
        short="F",
        metavar="FACILITY",
        mask=(0, 0x2000),
    )
    config_file: str = option(
        "",
        kinds.FILE,
        "The configuration file to read; empty for none. By default the first there is of /etc/perdition/NAME.conf, perdition.PROTOCOL.conf and perdition.conf, NAME being that of the program.",
        short="f",
        metavar="FILE",
        mask=(0, 0x400),
        in_file=False,
        shown="/etc/perdition/perdition.conf",
    )
    group: str = option(
        "",
        kinds.TEXT,
        "Group to run as, by name or number.",
        short="g",
        metavar="GROUP",
        mask=(0, 0x800),
        shown=default_group(),
    )
    help: bool = flag("Show this text and exit.", short="h", in_file=False)
    capability: str = option(
        "",
        kinds.TEXT,
        "Deprecated: sets imap_capability, managesieve_capability and pop_capability.",
        short="I",
        metavar="TEXT",
    )
    imap_capability: str = option(
        "IMAP4 IMAP4REV1",
        kinds.TEXT,
        "Capabilities for IMAP4 clients, one blank between them. STARTTLS and LOGINDISABLED come and go by themselves.",
        metavar="TEXT",
        mask=(1, 0x20),
    )
    inetd_mode: bool = flag(
        "Serve one connection, on standard input and output.", short="i", mask=(0, 0x1000)
    )
    connection_limit: int = option(
        0,
        kinds.NUMBER,
        "Most connections at the same time; one more is closed at once. 0 for no limit.",
        short="L",
        metavar="NUMBER",
        mask=(0, 0x10),
    )
    listen_port: str = option(
        DEPENDENT,
        kinds.TEXT,
        "Port to listen on, by number or name.",
        short="l",
        metavar="PORT",
        mask=(0, 0x8000),
    )
    login_disabled: bool = flag("Refuse every log-in.", mask=(0, 0x4000))
    log_passwd: str = option(
        "never",
        kinds.LOG_PASSWD_KIND,
        "With debug, log passwords: never, of log-ins that fail, of those that are ok, or always.",
        metavar="WHEN",
        mask=(1, 8),
    )
    lower_case: frozenset[State] = option(
        frozenset(),
        kinds.STATE_LIST,
        "Change user names to lower case in these states, as in add_domain.",
        metavar="STATE[,STATE...]",
        mask=(0, 0x10000),
    )
    managesieve_capability: str = option(
        MANAGESIEVE,
        kinds.TEXT,
        'Capability lines for ManageSieve clients, two blanks between them. "STARTTLS" comes and goes by itself.',
        metavar="TEXT",
        mask=(1, 0x40),
    )
    map_library: str = option(
        "libperditiondb_gdbm.so.0",
        kinds.TEXT,
        "The map of users and real servers, by its name or the original's file name; empty for none.",
        short="M",
        metavar="NAME",
        mask=(0, 0x20000),
    )
    map_library_opt: str = option(
        "",
        kinds.TEXT,
        "What the map is told: a file, or where its database is.",
        short="m",
        metavar="TEXT",
        mask=(0, 0x40000),
    )
    no_daemon: bool = flag("Stay in the foreground.", mask=(0, 0x100000))
    no_lookup: bool = flag(
        "Show addresses by number in the greeting, and take default ports by number.",
        short="n",
        mask=(0, 0x200000),
    )
    ok_line: str = option(
        "You are so in",
        kinds.TEXT,
        "Text for the client when it is logged in.",
        short="O",
        metavar="TEXT",
        mask=(1, 1),
    )
    server_resp_line: bool = flag(
        "Pass the real server's own answer to the log-in on to the client.",
        short="o",
        mask=(0, 0x2000000),
    )
    server_ok_line: bool = flag(
        "Deprecated: the old name of server_resp_line.", mask=(0, 0x2000000)
    )
    pop_capability: str = option(
        "UIDL.USER",
        kinds.TEXT,
        "Capabilities for POP3 clients, a dot between them, or two blanks where there is no dot. STLS comes and goes by itself.",
        metavar="TEXT",
        mask=(1, 0x80),
    )
    protocol: str = option(
        "POP3",
        kinds.PROTOCOL,
        "Protocol to serve: POP3, IMAP4, POP3S, IMAP4S, MANAGESIEVE. By default the one in the program's name, else POP3.",
        short="P",
        metavar="PROTOCOL",
        mask=(0, 0x1000000),
    )
    outgoing_port: str = option(
        DEPENDENT,
        kinds.TEXT,
        "Port of a real server that is named without one.",
        short="p",
        metavar="PORT",
        mask=(0, 0x400000),
    )
    outgoing_server: tuple[str, ...] = option(
        (),
        kinds.LIST,
        "Real servers for users that the map does not have, in turn; one that cannot be reached is passed over.",
        short="s",
        metavar="HOST[:PORT][,...]",
        mask=(0, 0x800000),
    )
    pid_file: str = option(
        "",
        kinds.PID_FILE,
        "File for the process id; empty for none.",
        metavar="FILE",
        mask=(1, 2),
        shown="/var/run/ARGV[0]/ARGV[0].pid",
    )
    strip_domain: frozenset[State] = option(
        frozenset(),
        kinds.STATE_LIST,
        "Take the domain off user names in these states, as in add_domain.",
        short="S",
        metavar="STATE[,STATE...]",
        mask=(0, 0x4000000),
    )
    tcp_keepalive: bool = flag(
        "Let the kernel ask whether idle peers are still there.", mask=(1, 0x100)
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
        "User to run as, by name or number.",
        short="u",
        metavar="USER",
        mask=(0, 0x10000000),
    )
    username_from_database: bool = flag(
        "Log in as the user that the map names, where it does.", short="U", mask=(0, 0x20000000)
    )
    quiet: bool = flag("Log errors only.", short="q", mask=(0, 0x80000000))
    query_key: tuple[str, ...] = option(
        (),
        kinds.QUERY_KEY,
        "Keys to look up in the map, tried in order: \\U the user name, \\u its part before the domain, \\D the delimiter, \\d the domain, \\i and \\p the client's address and port, \\I and \\P ours, \\\\ a backslash. Empty: \\U.",
        metavar="FORMAT[,FORMAT...]",
        mask=(0, 0x40000000),
    )

    workers: int = option(
        0,
        kinds.NUMBER,
        "Worker processes; 0 for as many as the CPUs that this process may use.",
        metavar="NUMBER",
    )
    login_threads: int = option(
        256,
        kinds.NUMBER,
        "Connections that a worker serves at the same time until they are logged in; for one more the oldest gives way.",
        metavar="NUMBER",
    )
    login_attempts: int = option(
        100,
        kinds.NUMBER,
        "Log-ins that may fail before a connection is closed; 0 for no limit.",
        metavar="NUMBER",
    )
    login_timeout: int = option(
        3600,
        kinds.SECONDS,
        "Time from connecting to a complete log-in; 0 for no limit.",
        metavar="SECONDS",
    )
    connect_timeout: int = option(
        30,
        kinds.SECONDS,
        "Longest wait for each address of a real server; 0 for the kernel's limit.",
        metavar="SECONDS",
    )
    failure_delay: int = option(
        3,
        kinds.SECONDS,
        "Pause before the answer to a command or log-in that failed.",
        metavar="SECONDS",
    )
    drain_timeout: int | None = option(
        None,
        kinds.OPTIONAL_SECONDS,
        "How long sessions may go on after the program was told to end. Empty: without limit as a daemon, 10 seconds in the foreground.",
        metavar="SECONDS",
    )
    client_server_allow: tuple[str, ...] = option(
        (),
        kinds.LIST,
        "Real servers that client_server_specification may name: hosts, .domains, addresses, networks. Empty: any.",
        metavar="HOST[,...]",
    )
    check_config: bool = flag("Load everything, say what is wrong, and exit.", in_file=False)
    version: bool = flag("Show the version and exit.", in_file=False)

    ssl_mode: SslMode = tls(
        SslMode.EMPTY,
        kinds.SSL_MODE,
        "Where TLS is spoken. ssl_listen, ssl_outgoing, ssl_all: from the first octet on; tls_listen, tls_outgoing, tls_all: by STARTTLS or STLS where the other side wants it; tls_listen_force, tls_outgoing_force, tls_all_force: no log-in without; none. Empty: ssl_all for POP3S and IMAP4S, none for the others.",
        metavar="MODE[,MODE...]",
        mask=(2, 0x400),
    )
    ssl_ca_chain_file: str = tls(
        "",
        kinds.FILE,
        "Certificates of authorities in addition to ssl_ca_file, for the certificates of clients.",
        metavar="FILE",
        mask=(2, 1),
    )
    ssl_ca_file: str = tls(
        "",
        kinds.FILE,
        "Certificates of the authorities that are trusted.",
        metavar="FILE",
        mask=(2, 2),
    )
    ssl_ca_path: str = tls(
        "/etc/perdition/perdition.ca/",
        kinds.FILE,
        "Directory of such certificates, named by their hashes.",
        metavar="DIRECTORY",
        mask=(2, 4),
    )
    ssl_ca_accept_self_signed: bool = tls_flag(
        "Accept chains of certificates that end in an authority of their own.", mask=(2, 8)
    )
    ssl_cert_file: str = tls(
        "/etc/perdition/perdition.crt.pem",
        kinds.FILE,
        "Our certificate and those between it and the authority's.",
        metavar="FILE",
        mask=(2, 0x10),
    )
    ssl_dh_params_file: str = tls(
        "", kinds.FILE, "Diffie-Hellman parameters.", metavar="FILE", mask=(2, 0x20000)
    )
    ssl_cert_accept_self_signed: bool = tls_flag(
        "Accept certificates that are signed by themselves.", mask=(2, 0x80)
    )
    ssl_cert_accept_expired: bool = tls_flag(
        "Accept certificates whose time is over.", mask=(2, 0x20)
    )
    ssl_cert_accept_not_yet_valid: bool = tls_flag(
        "Accept certificates whose time has not come.", mask=(2, 0x40)
    )
    ssl_cert_verify_depth: int = tls(
        9, kinds.NUMBER, "Longest chain of certificates.", metavar="NUMBER", mask=(2, 0x100)
    )
    ssl_key_file: str = tls(
        "/etc/perdition/perdition.key.pem",
        kinds.FILE,
        "The key of our certificate.",
        metavar="FILE",
        mask=(2, 0x200),
    )
    ssl_listen_ciphers: str = tls(
        "",
        kinds.CIPHERS,
        "Ciphers up to TLS 1.2 towards clients, as OpenSSL writes them. Empty: OpenSSL's own.",
        metavar="CIPHERS",
        mask=(2, 0x800),
    )
    ssl_outgoing_ciphers: str = tls(
        "", kinds.CIPHERS, "The same towards real servers.", metavar="CIPHERS", mask=(2, 0x800)
    )
    ssl_no_cert_verify: bool = tls_flag(
        "Do not check the certificates of real servers. Anybody on the way can then read passwords.",
        mask=(2, 0x1000),
    )
    ssl_no_client_cert_verify: bool = tls_flag(
        "Do not ask clients for certificates.", mask=(2, 0x3000)
    )
    ssl_no_cn_verify: bool = tls_flag(
        "Do not check that a real server's certificate is for its name.", mask=(2, 0x4000)
    )
    ssl_passphrase_fd: int = tls(
        0,
        kinds.NUMBER,
        "Descriptor to read the pass phrase of the key from.",
        metavar="NUMBER",
        mask=(2, 0x8000),
    )
    ssl_passphrase_file: str = tls(
        "", kinds.FILE, "File with the pass phrase of the key.", metavar="FILE", mask=(2, 0x10000)
    )
    ssl_listen_min_proto_version: str = tls(
        "tlsv1.2",
        kinds.MIN_VERSION,
        "Lowest version towards clients: tlsv1, tlsv1.1, tlsv1.2, tlsv1.3.",
        metavar="VERSION",
        mask=(2, 0x40000),
    )
    ssl_outgoing_min_proto_version: str = tls(
        "tlsv1.2",
        kinds.MIN_VERSION,
        "Lowest version towards real servers.",
        metavar="VERSION",
        mask=(2, 0x80000),
    )
    ssl_listen_max_proto_version: str = tls(
        "",
        kinds.MAX_VERSION,
        "Highest version towards clients. Empty: the highest there is.",
        metavar="VERSION",
        mask=(2, 0x100000),
    )
    ssl_outgoing_max_proto_version: str = tls(
        "",
        kinds.MAX_VERSION,
        "Highest version towards real servers. Empty: the highest there is.",
        metavar="VERSION",
        mask=(2, 0x200000),
    )
    ssl_listen_compression: bool = tls_flag(
        "Without effect: TLS does not compress any more.", mask=(2, 0x400000)
    )
    ssl_outgoing_compression: bool = tls_flag(
        "Without effect: TLS does not compress any more.", mask=(2, 0x800000)
    )
    ssl_no_cipher_server_preference: bool = tls_flag(
        "Let the client's order of ciphers decide, not ours.", mask=(2, 0x1000000)
    )
    ssl_san_only: bool = tls_flag(
        "Do not fall back on the common name of a certificate without alternative names."
    )

    program: str = "perdition"
    masks: tuple[int, int, int] = (0, 0, 0)

    @property
    def effective_ssl_mode(self) -> SslMode:
        """The mode in force: POP3S and IMAP4S have TLS on both sides unless told otherwise."""
        if (not self.ssl_mode and self.protocol.endswith("3S")) or (
            not self.ssl_mode and self.protocol.endswith("4S")
        ):
            return SslMode.SSL_ALL
        return self.ssl_mode

    @property
    def is_foreground(self) -> bool:
        """Whether the program stays with its terminal."""
        return self.no_daemon or self.inetd_mode or self.log_facility.startswith(("-", "+"))


ROWS: dict[str, Row] = {
    field.name: field.metadata["option"]
    for field in dataclasses.fields(Options)
    if "option" in field.metadata
}
DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in dataclasses.fields(Options) if field.name in ROWS
}
LETTERS = {row.short: name for name, row in ROWS.items() if row.short}
