"""A Dovecot that knows all mechanisms, with passdbs of each kind."""

import subprocess

from support.dovecot_settings import Passdb, Settings
from support.processes import require

# Not PASSWORD: those who have that one are everybody.
SECRET = "sesame-sasl-3Vt"
MASTER_SECRET = "sesame-master-8Kd"
# Who have passwords of other kinds.
LONG_USER = "lena"
LONG_SECRET = "sesame-long-" + "x" * 3000
UNICODE_USER = "jürgen"
UNICODE_SECRET = "pässwörd-€-𝄞"
OTHERS = """
auth_mechanisms = plain login oauthbearer xoauth2 scram-sha-1 scram-sha-256
auth_master_user_separator = *
auth_username_chars =
"""
PASSDBS = (
    Passdb(file="$home/masters", is_master=True),
    Passdb(file="$home/scram1", mechanisms="scram-sha-1"),
    Passdb(file="$home/scram256", mechanisms="scram-sha-256"),
    Passdb(file="$home/passwords", mechanisms="plain login"),
)
TOKENS = {
    "introspection_mode": "post",
    "force_introspection": "yes",
    "username_attribute": "username",
    "active_attribute": "active",
    "active_value": "true",
    "openid_configuration_url": "https://login.example/.well-known/openid-configuration",
}


def hashed(scheme: str, secret: str) -> str:
    """A password as Dovecot's own tool writes it down."""
    told = subprocess.run(
        [require("doveadm"), "-O", "pw", "-s", scheme, "-p", secret],
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()


def knowing(tokens_url: str, users: tuple[str, ...]) -> Settings:
    """What is wanted of it.

    Args:
        tokens_url: the service that is asked about tokens.
        users: who has SECRET as a password.
    """
    named = {each: SECRET for each in users}
    passwords = {**named, UNICODE_USER: UNICODE_SECRET, LONG_USER: LONG_SECRET}
    return Settings(
        PASSDBS,
        {**TOKENS, "introspection_url": tokens_url},
        OTHERS,
        {
            "masters": f"admin:{MASTER_SECRET}\n",
            "passwords": "".join(
                f"{user}:{{PLAIN}}{secret}::::::\n" for user, secret in passwords.items()
            ),
            "scram1": "".join(f"{user}:{hashed('SCRAM-SHA-1', SECRET)}\n" for user in users),
            "scram256": "".join(f"{user}:{hashed('SCRAM-SHA-256', SECRET)}\n" for user in users),
        },
    )
