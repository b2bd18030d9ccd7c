"""What the manual pages say that is neither in the table of options nor in another document.

The texts are Markdown, in so far as perdition.tools.markdown knows it.
"""

PERDITION = """\
# Description

Mail programs connect to perdition with POP3, POP3S, IMAP4, IMAP4S or ManageSieve. It greets them,
takes user name and password, looks up which real server holds that mailbox, logs in there, and
relays. It takes TLS off, or puts it on, on either side.

A process serves one protocol. The name that it is called by chooses it, and `--protocol` overrides
that:

| name | protocol, default port |
| --- | --- |
{names}

The configuration file, perdition.conf(5), is the first that there is of `/etc/perdition/NAME.conf`,
`/etc/perdition/perdition.PROTOCOL.conf` and `/etc/perdition/perdition.conf`. NAME is the name that
the program is called by, and PROTOCOL is what that name chooses: `pop3`, `pop3s`, `imap4`, `imap4s`
or `managesieve`. `perdition` itself has no file before `perdition.pop3.conf`. What the command line
gives goes over the file.

What says which real server a user has is called a map: perditiondb(5).

The program detaches from its terminal when it listens, its workers run, and its number is in the
pid file. What fails before that is said on standard error. The master stays root, if it was started
by root; the workers run as `username` and `group`.

# Options

The value of a long option is the next word, or stands behind a `=`; that of a letter may follow it
at once. Letters of flags can stand together. {notes}
"""
SIGNALS = """\
# Signals

To the master, whose number is in the pid file:

| signal | |
| --- | --- |
| `TERM` | End. No connections are accepted any more. Sessions go on in their workers, for no \
longer than `drain_timeout`; a TERM to such a worker ends its sessions. `QUIT`, `ALRM`, `VTALRM`, \
`PROF`, `IO`, `XCPU` and `XFSZ` mean the same |
| `INT` | End, and end all sessions. So does any of these in the second after one of them |
| `HUP` | Open the log again, and the map, read certificates, keys and lists of revoked ones, and \
change to new workers. Those of before go on with their sessions, and with what they have. A map \
that cannot be opened leaves the old one in use, and so do certificates. Other options stay |
| `PIPE`, `URG`, `USR1`, `USR2`, `WINCH` | Nothing happens |

In inetd mode the one process ends with its connection, or by any of the signals that end the
program; by HUP it opens log and map again.

# Exit status

| status | |
| --- | --- |
| 0 | The daemon serves, or what ran in the foreground has been told to end by a signal; \
`--check_config` found nothing that keeps it from starting; `--help`, `--version` and \
`--check_upgrade` always |
| 255 | The start failed, and standard error says why: an option, the map, a key, the user, an \
address or the pid file cannot be used. Or workers did not start, or with `--lookup` the map was \
out of order |

# Files

| file | |
| --- | --- |
| `/etc/perdition/perdition.conf`, `/etc/perdition/perdition.*.conf` | the configuration: \
perdition.conf(5) |
| `/etc/perdition/popmap.gdbm.db` | the default map: perditiondb(5) |
| `{ssl_cert_file}`, `{ssl_key_file}` | the default certificate for clients, and its key |
| `/var/run/NAME/NAME.pid` | the number of the master's process; NAME is the name that it is \
called by |
| `/etc/default/perdition` | which daemons the init script starts, and their options |
| `/etc/pam.d/perdition` | how `authenticate_in` looks at names and passwords |

# Examples

Say whether the configuration of IMAP4S can be used, and serve it:

    perdition.imap4s --check_config
    perdition.imap4s

Show where two users would be logged in:

    perdition.imap4s --lookup ann,bob

Serve POP3 in the foreground, without files, for two real servers that take turns; the log goes to
the terminal:

    perdition.pop3 -f '' -M '' -s mail1.example.com,mail2.example.com -F +

# See also

perdition.conf(5), perditiondb(5), makegdbm(1), makebdb(1), perditiondb_ldap_makedb(8),
perditiondb_mysql_makedb(8), perditiondb_odbc_makedb(8), perditiondb_postgresql_makedb(8)
"""
CONFIGURATION = """\
# Description

The configuration of perdition(8), which also says which file it reads. It has the options of the
command line, without dashes, one a line. {format}

A letter of perdition(8) stands for its option. Of an option that is there more than once the last
line counts, but {repeated} add to what was given before. {notes}

A file that has a fault ends the start, and file and line are said. `perdition --check_config` looks
for faults and starts nothing; it also warns of what would keep log-ins from their success, such as
a file of the map that the workers cannot read.

{command_line} can only be given on the command line: in a file they are read and passed over.

# Options
"""
CONFIGURATION_END = """\
# Examples

TLS to the clients, plain text to the servers behind, each user to a server by the first letter of
the name, in `/etc/perdition/perdition.imap4s.conf`:

    ssl_mode ssl_listen
    ssl_cert_file /etc/perdition/server.crt
    ssl_key_file /etc/perdition/server.key
    map_library posix_regex
    map_library_opt /etc/perdition/popmap.re
    outgoing_server mail3.example.com
    outgoing_port 143
    log_facility local5

and in `/etc/perdition/popmap.re`:

    ^[a-k]: mail1.example.com
    ^[l-z]: mail2.example.com

# See also

perdition(8), perditiondb(5)
"""
MAPS_END = """\
# See also

perdition(8), perdition.conf(5), makegdbm(1), makebdb(1), perditiondb_ldap_makedb(8),
perditiondb_mysql_makedb(8), perditiondb_odbc_makedb(8), perditiondb_postgresql_makedb(8)
"""
TOOL_END = """\
# See also

perdition(8), perditiondb(5)
"""
