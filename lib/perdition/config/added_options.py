"""The options that 2.2 has not, in the order of ``--help``."""

from dataclasses import dataclass

from perdition.config import kinds
from perdition.config.general_options import GeneralOptions
from perdition.config.table import flag, option


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedOptions(GeneralOptions):
    """Processes, bounds, and what helps to try a configuration."""

    workers: int = option(
        0,
        kinds.NUMBER,
        "Worker processes; 0 for as many as the CPUs that this process may use.",
        metavar="COUNT",
    )
    no_affinity: bool = flag(
        "Let workers run on any CPU. Without it, where each CPU has its share of them, each worker "
        "stays on one: its threads take turns, and are not woken on two CPUs at a time."
    )
    login_threads: int = option(
        256,
        kinds.AT_LEAST_TWO,
        "Most connections of a worker that have not logged in; at the bound those give way whose "
        "clients say nothing for a second, first of all those of who has the most of them, or that "
        "wait for a real server for ten. Others wait to be accepted until then. A worker takes no "
        "more than a quarter of its descriptors.",
        metavar="COUNT",
    )
    login_attempts: int = option(
        100,
        kinds.NUMBER,
        "Failed log-ins until a connection is closed; 0 for no limit.",
        metavar="COUNT",
    )
    login_timeout: int = option(
        3600,
        kinds.SECONDS,
        "Whole time from the connection to the log-in; 0 for no limit.",
        metavar="SECONDS",
    )
    connect_timeout: int = option(
        30,
        kinds.SECONDS,
        "Longest wait for a real server to take the connection; 0 for the kernel's limit.",
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
        "How long sessions may go on when the program is told to end; 0 ends them at once. Empty: "
        "as long as they like as a daemon and as a service of systemd, else 10 seconds.",
        metavar="SECONDS",
    )
    client_server_allow: tuple[str, ...] = option(
        (),
        kinds.NETWORKS,
        "Hosts, domains that begin with a dot, addresses and networks that "
        "client_server_specification may name. Empty: any.",
        metavar="HOST[,HOST...]",
    )
    outgoing_destinations: tuple[str, ...] = option(
        (),
        kinds.DESTINATIONS,
        "How single real servers are spoken to. PATTERN is a host without its port, a domain that "
        "begins with a dot, an address or a network; the first that matches counts. Where none has "
        "the name of a server, the address counts that the name leads to. Keys are tls "
        "(none, ssl, starttls, starttls_force), name and ca (what the certificate is checked for, "
        "and by), pin (sha256:HEX of the key) and client (none, proxy_v1, proxy_v2, id, xclient). "
        "What the map or outgoing_server says of a server goes over it.",
        metavar="PATTERN;KEY=VALUE[;...][,...]",
    )
    proxy_protocol_from: tuple[str, ...] = option(
        (),
        kinds.ADDRESSES,
        "Addresses and networks of load balancers: each connection from there has to begin with a "
        "PROXY header, version 1 or 2, before TLS, and the client is the one that it names. From "
        "anywhere else a header ends the connection.",
        metavar="NETWORK[,NETWORK...]",
    )
    trusted_networks: tuple[str, ...] = option(
        (),
        kinds.ADDRESSES,
        "Addresses and networks of proxies before us that may say with ID or XCLIENT who their "
        "client is. From anywhere else that ends the connection.",
        metavar="NETWORK[,NETWORK...]",
    )
    outgoing_client_identity: str = option(
        "none",
        kinds.CLIENT_IDENTITY_KIND,
        "How real servers are told who the client is: none; proxy_v1 or proxy_v2, a PROXY header "
        "before anything else, which they must expect; id or xclient, ID in IMAP and XCLIENT in "
        "POP3 and ManageSieve, where they offer it.",
        metavar="HOW",
    )
    map_failure: str = option(
        "temporary",
        kinds.MAP_FAILURE_KIND,
        "What a log-in gets while the map is out of order: temporary, a failure after which it can "
        "try again, or default_server, those of outgoing_server, as in 2.2, which may be the wrong "
        "ones.",
        metavar="WHAT",
    )
    map_timeout: int = option(
        10,
        kinds.SECONDS,
        "How long a look-up in a map on a server may take; 0 for no limit.",
        metavar="SECONDS",
    )
    map_connections: int = option(
        8,
        kinds.AT_LEAST_ONE,
        "Most connections of a worker to the map's server; they are kept and used again.",
        metavar="COUNT",
    )
    map_cache_found: int = option(
        0,
        kinds.SECONDS,
        "How long a worker remembers what the map found; 0 for not at all.",
        metavar="SECONDS",
    )
    map_cache_not_found: int = option(
        0,
        kinds.SECONDS,
        "How long a worker remembers that the map has no such key; 0 for not at all.",
        metavar="SECONDS",
    )
    map_cache_stale: int = option(
        0,
        kinds.SECONDS,
        "How old what the map said may be to be used while the map is out of order; 0 for never.",
        metavar="SECONDS",
    )
    pam_service: str = option(
        "perdition",
        kinds.TEXT,
        "The file in /etc/pam.d that says how authenticate_in looks at names and passwords.",
        metavar="NAME",
    )
    sasl_mechanisms: tuple[str, ...] = option(
        ("PLAIN", "LOGIN"),
        kinds.MECHANISM_LIST,
        "SASL mechanisms that clients may use: PLAIN and LOGIN; EXTERNAL, by certificate; and, if "
        "the real servers have them, OAUTHBEARER, XOAUTH2, SCRAM-SHA-1 and SCRAM-SHA-256, of which "
        "no password is seen here. Empty for none. With compat there is PLAIN in ManageSieve only.",
        metavar="MECHANISM[,MECHANISM...]",
    )
    route_by: str = option(
        "authorisation",
        kinds.ROUTE_BY_KIND,
        "The name that is looked up where a client gives two: the authorisation identity, whose "
        "mailbox it wants, or the authentication identity, whose password it has.",
        metavar="IDENTITY",
    )
    outgoing_master_user: str = option(
        "",
        kinds.TEXT,
        "User who may log in for others at the real servers. It is used for clients that have been "
        "authenticated here: by authenticate_in, or by certificate (EXTERNAL). Empty for none.",
        metavar="NAME",
    )
    outgoing_master_password_file: str = option(
        "",
        kinds.FILE,
        "File whose first line is the password of outgoing_master_user; read before root is given "
        "up.",
        metavar="FILENAME",
    )
    outgoing_master_separator: str = option(
        "",
        kinds.TEXT,
        "What stands between the user and outgoing_master_user where one name has to say both, as "
        "in Dovecot's user*master. Empty: the user is the authorisation identity of SASL PLAIN.",
        metavar="STRING",
    )
    unauthenticate: bool = flag(
        "Let clients take their log-in back where the real server announces UNAUTHENTICATE (RFC "
        "8437, RFC 5804), and log in there as somebody else, past the map and the log. Without it "
        "such a command ends the session, and so does a line of a message that looks like one. It "
        "is not announced with the log-in in any case."
    )
    compat: str = option(
        "",
        kinds.COMPAT_KIND,
        "2.2: tell clients and real servers what that version told them, and no more: no response "
        "codes, no SASL but PLAIN in ManageSieve, nothing announced that is not in the list of "
        "the protocol.",
        metavar="VERSION",
    )
    lookup: str = option(
        "",
        kinds.TEXT,
        "Show what the map says of these users, and where they would be logged in, and exit; - "
        "for users on standard input, one a line.",
        metavar="USER[,USER...]",
        in_file=False,
    )
    check_upgrade: bool = flag(
        "Read the site's files as 2.2 did, say what will be different, and exit. Under the name "
        "perdition and by itself: for all services of /etc/default/perdition.",
        in_file=False,
    )
    check_config: bool = flag("Say whether the configuration can be used, and exit.", in_file=False)
    version: bool = flag("Show the version and exit.", in_file=False)
