"""The options of TLS, in the order of ``--help``; from ssl_san_only on they are not in 2.2."""

from dataclasses import dataclass

from perdition.config import kinds
from perdition.config.added_options import AddedOptions
from perdition.config.ssl_mode import SslMode
from perdition.config.table import TLS, flag, option
from perdition.tls import PROTO_VERSIONS

VERSIONS = ", ".join(PROTO_VERSIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions(AddedOptions):
    """Where TLS is spoken, by which certificates, and which are accepted."""

    ssl_mode: SslMode = option(  # noqa: RUF009 - it declares a field
        SslMode.EMPTY,
        kinds.SSL_MODE,
        "Where TLS is spoken. ssl_listen, ssl_outgoing, ssl_all: from the first octet on, with "
        "clients, real servers, or both. tls_listen, tls_outgoing, tls_all: after STARTTLS or "
        "STLS, if the peer knows it. tls_listen_force, tls_outgoing_force, tls_all_force: no "
        "log-in without it. none: nowhere. Empty: ssl_all for POP3S and IMAP4S, else none.",
        section=TLS,
        metavar="MODE[,MODE...]",
        mask=(2, 0x400),
    )
    ssl_ca_chain_file: str = option(
        "",
        kinds.FILE,
        "Certificates of authorities, beside ssl_ca_file, that those of clients are checked by.",
        section=TLS,
        metavar="FILENAME",
        mask=(2, 0x1),
    )
    ssl_ca_file: str = option(
        "",
        kinds.FILE,
        "Certificates of the authorities that certificates are checked by; empty for none.",
        section=TLS,
        metavar="FILENAME",
        mask=(2, 0x2),
    )
    ssl_ca_path: str = option(
        "/etc/perdition/perdition.ca/",
        kinds.FILE,
        "Directory of such certificates, named by their hashes; empty for none.",
        section=TLS,
        metavar="PATHNAME",
        mask=(2, 0x4),
    )
    ssl_ca_accept_self_signed: bool = flag(
        "Accept authorities that are not known, if they have signed themselves.",
        section=TLS,
        mask=(2, 0x8),
    )
    ssl_cert_file: str = option(
        "/etc/perdition/perdition.crt.pem",
        kinds.FILE,
        "Our certificate for clients, and after it those that lead to its authority.",
        section=TLS,
        metavar="FILENAME",
        mask=(2, 0x10),
    )
    ssl_dh_params_file: str = option(
        "",
        kinds.FILE,
        "Diffie-Hellman parameters; empty to look for them in ssl_cert_file.",
        section=TLS,
        metavar="FILENAME",
        mask=(2, 0x20000),
    )
    ssl_cert_accept_self_signed: bool = flag(
        "Accept certificates that have signed themselves.", section=TLS, mask=(2, 0x80)
    )
    ssl_cert_accept_expired: bool = flag(
        "Accept certificates whose time is over.", section=TLS, mask=(2, 0x20)
    )
    ssl_cert_accept_not_yet_valid: bool = flag(
        "Accept certificates whose time has not come.", section=TLS, mask=(2, 0x40)
    )
    ssl_cert_verify_depth: int = option(
        9,
        kinds.NUMBER,
        "Longest chain of certificates that is accepted.",
        section=TLS,
        metavar="DEPTH",
        mask=(2, 0x100),
    )
    ssl_key_file: str = option(
        "/etc/perdition/perdition.key.pem",
        kinds.FILE,
        "The private key of our certificate.",
        section=TLS,
        metavar="FILENAME",
        mask=(2, 0x200),
    )
    ssl_listen_ciphers: str = option(
        "",
        kinds.CIPHERS,
        "Ciphers up to TLS 1.2 for clients, as OpenSSL lists them. Empty: OpenSSL's own list.",
        section=TLS,
        metavar="STRING",
        mask=(2, 0x800),
    )
    ssl_outgoing_ciphers: str = option(
        "",
        kinds.CIPHERS,
        "Ciphers up to TLS 1.2 for real servers. Empty: OpenSSL's own list.",
        section=TLS,
        metavar="STRING",
        mask=(2, 0x800),
    )
    ssl_no_cert_verify: bool = flag(
        "Do not check by whom a certificate is signed. Whoever is between us and the real server "
        "can then read passwords.",
        section=TLS,
        mask=(2, 0x1000),
    )
    ssl_no_client_cert_verify: bool = flag(
        "Do not ask clients for certificates.", section=TLS, mask=(2, 0x3000)
    )
    ssl_no_cn_verify: bool = flag(
        "Do not check that a real server's certificate is for the name that it was reached by.",
        section=TLS,
        mask=(2, 0x4000),
    )
    ssl_passphrase_fd: int = option(
        0,
        kinds.DESCRIPTOR,
        "File descriptor to read the pass phrase of ssl_key_file from, if it has one.",
        section=TLS,
        metavar="NUMBER",
        mask=(2, 0x8000),
    )
    ssl_passphrase_file: str = option(
        "",
        kinds.FILE,
        "File to read the pass phrase of ssl_key_file from; empty for ssl_passphrase_fd.",
        section=TLS,
        metavar="FILENAME",
        mask=(2, 0x10000),
    )
    ssl_listen_min_proto_version: str = option(
        "tlsv1.2",
        kinds.MIN_VERSION,
        f"Lowest version of TLS for clients: {VERSIONS}.",
        section=TLS,
        metavar="VERSION",
        mask=(2, 0x40000),
    )
    ssl_outgoing_min_proto_version: str = option(
        "tlsv1.2",
        kinds.MIN_VERSION,
        "Lowest version of TLS for real servers.",
        section=TLS,
        metavar="VERSION",
        mask=(2, 0x80000),
    )
    ssl_listen_max_proto_version: str = option(
        "",
        kinds.MAX_VERSION,
        "Highest version of TLS for clients. Empty: the highest there is.",
        section=TLS,
        metavar="VERSION",
        mask=(2, 0x100000),
    )
    ssl_outgoing_max_proto_version: str = option(
        "",
        kinds.MAX_VERSION,
        "Highest version of TLS for real servers. Empty: the highest there is.",
        section=TLS,
        metavar="VERSION",
        mask=(2, 0x200000),
    )
    ssl_listen_compression: bool = flag(
        "Without effect: TLS does not compress any more.", section=TLS, mask=(2, 0x400000)
    )
    ssl_outgoing_compression: bool = flag(
        "Without effect: TLS does not compress any more.", section=TLS, mask=(2, 0x800000)
    )
    ssl_no_cipher_server_preference: bool = flag(
        "Let the client's order of ciphers decide rather than ours.",
        section=TLS,
        mask=(2, 0x1000000),
    )
    ssl_san_only: bool = flag(
        "Do not fall back on the common name of a certificate without alternative names.",
        section=TLS,
    )
    ssl_sni_certs: tuple[str, ...] = option(
        (),
        kinds.LIST,
        "More certificates for clients, each for those that ask for one of its names (SNI): files, "
        "or directories of *.pem files. Each has the certificate, those that lead to its "
        "authority, and the key, unless this is beside it in a file whose name ends in .key. Of "
        "a directory with fullchain.pem and privkey.pem, as certbot makes them, it is these two.",
        section=TLS,
        metavar="PATH[,PATH...]",
    )
    ssl_crl_file: str = option(
        "",
        kinds.FILE,
        "Lists of revoked certificates that those of clients are looked up in; the one of the "
        "authority that signed the certificate must be there, and not have expired. Read again "
        "at HUP. Empty for none.",
        section=TLS,
        metavar="FILENAME",
    )
    ssl_client_cert_user: str = option(
        "",
        kinds.CERT_FIELD,
        "What of a client's certificate names the user: cn, dns, email, uid. Empty: nothing.",
        section=TLS,
        metavar="FIELD",
    )
