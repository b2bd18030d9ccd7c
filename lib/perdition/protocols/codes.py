"""Response codes: what a program, not a person, is to learn from a refusal.

IMAP4 has them from RFC 5530, POP3 from RFC 2449 and 3206, ManageSieve from RFC 5804 section 1.3.
"""

import re
from typing import NamedTuple

from perdition import protocols
from perdition.protocols import Verdict

# In front of the text; what is in it is shown to the client: printable, and no bracket.
CODE = re.compile(rb"\S+ [\[(]([\x20-\x5a\x5c\x5e-\x7e]{1,200}?)[\])](?: |$)")


class Codes(NamedTuple):
    """The codes of a protocol.

    Attributes:
        passed: of the real server's codes, those that the client is given.
        temporary: it is not the client's fault: it can try again.
        wrong: name or password, or what stands for it.
        in_clear: no log-in before TLS; empty where the protocol has nothing for that.
    """

    passed: frozenset[bytes]
    temporary: bytes
    wrong: bytes
    in_clear: bytes


IMAP4 = Codes(
    frozenset(
        b"UNAVAILABLE AUTHENTICATIONFAILED AUTHORIZATIONFAILED EXPIRED PRIVACYREQUIRED "
        b"CONTACTADMIN NOPERM INUSE SERVERBUG CLIENTBUG LIMIT OVERQUOTA".split()
    ),
    temporary=b"UNAVAILABLE",
    wrong=b"AUTHENTICATIONFAILED",
    in_clear=b"PRIVACYREQUIRED",
)
POP3 = Codes(
    frozenset(b"IN-USE LOGIN-DELAY SYS/TEMP SYS/PERM AUTH EXPIRED".split()),
    temporary=b"SYS/TEMP",
    wrong=b"AUTH",
    in_clear=b"",
)
MANAGESIEVE = Codes(
    frozenset(b"AUTH-TOO-WEAK ENCRYPT-NEEDED TRANSITION-NEEDED TRYLATER QUOTA".split()),
    temporary=b"TRYLATER",
    wrong=b"",
    in_clear=b"ENCRYPT-NEEDED",
)

WRONG = {protocols.REFUSED, protocols.LOCAL_FAILURE, protocols.NO_SERVER}
TEMPORARY = {
    protocols.NOT_CONNECTED,
    protocols.NEGOTIATION_FAILED,
    protocols.TLS_NOT_PRESENT,
    protocols.NO_MECHANISM,
}


def code_in(line: bytes) -> bytes:
    """The code of a real server's answer, without its brackets; empty where it has none.

    Args:
        line: the answer, without a tag.
    """
    found = CODE.match(line)
    return found[1] if found else b""


def code_for(verdict: Verdict, codes: Codes, *, must_start_tls: bool = False) -> bytes:
    """The code that the client gets with a refusal; empty for none.

    Args:
        verdict: the refusal.
        codes: those of the protocol.
        must_start_tls: no log-in is taken before TLS has started.
    """
    if (verdict.code.split(b" ")[0] if verdict.code else b"").upper() in codes.passed:
        return verdict.code
    if verdict.is_temporary or verdict.status in TEMPORARY:
        return codes.temporary
    if verdict.status == protocols.LOGIN_DISABLED and must_start_tls:
        return codes.in_clear
    return codes.wrong if verdict.status in WRONG else b""
