"""SQLAlchemy's engines as maps want them: bounded, without transactions, with limits of time."""

import logging
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine, ExceptionContext
from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.pool import NullPool, QueuePool

from perdition.maps import MapSettings

# Connections are made anew after so many seconds: what lies between may have forgotten them.
RECYCLE_SECONDS = 300
PROBES = 3
MOST_SHOWN = 300
# Faults of the query or of the key, not of the connection.
OF_THE_QUERY = (ProgrammingError, DataError, IntegrityError, NotSupportedError)
# The database says that it cannot have such a key: characters that its encoding does not have, text
# that is too long, or no number. SQLSTATEs (appendix A of the manuals of PostgreSQL and ODBC), and
# numbers of MySQL.
NOT_A_KEY: Collection[object] = {
    *("22001", "22003", "22018", "22P02", "22P05"),
    *(1267, 1271, 1300, 3854, 3988),
}
# Dialects whose connections can do without transactions.
AUTOCOMMIT = {"mysql", "mariadb", "postgresql", "sqlite", "mssql", "oracle"}
# Since this version, no ROLLBACK is sent where there is no transaction.
SKIPS_ROLLBACK = (2, 0, 43)
VERSION = tuple(int(each) for each in re.findall(r"\d+", sqlalchemy.__version__)[:3])
SECRET = re.compile(r"((?:PWD|PASSWORD)\s*=\s*)(?:\{[^}]*\}|[^;&\s]+)", re.IGNORECASE)
HIDDEN = "********"
# What SQLAlchemy has to say goes to a log of its own; without a handler, to standard error.
logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())


def new_engine(
    url: URL,
    settings: MapSettings,
    arguments: Mapping[str, object] | None = None,
) -> Engine:
    """An engine that has no connections yet.

    Args:
        url: where the database is.
        settings: of these, the most connections, and the time limit, for drivers that have one.
        arguments: for the driver.

    Raises:
        ImportError: the driver is missing.
        SQLAlchemyError, TypeError, ValueError: that is no such URL, or has words that nobody knows.
    """
    backend = url.get_backend_name()
    more: dict[str, Any] = {}
    if backend in AUTOCOMMIT:
        more |= {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
        if VERSION >= SKIPS_ROLLBACK:
            more["skip_autocommit_rollback"] = True
    if backend == "sqlite":
        # Another file may have taken its place.
        more["poolclass"] = NullPool
    else:
        more |= {
            "poolclass": QueuePool,
            "pool_size": settings.connections,
            "max_overflow": 0,
            "pool_recycle": RECYCLE_SECONDS,
            "pool_use_lifo": True,
        }
    defaults = driver_arguments(url.get_driver_name(), settings.timeout)
    given = {name: each for name, each in defaults.items() if name not in url.query}
    engine = sqlalchemy.create_engine(url, connect_args=given | dict(arguments or {}), **more)
    event.listen(engine, "handle_error", note_error)
    return engine


def driver_arguments(driver: str, seconds: float) -> dict[str, object]:
    """What a driver is told, so that its thread comes back and that text is Unicode.

    Args:
        driver: as SQLAlchemy has it.
        seconds: `map_timeout`; 0 for no limit.
    """
    whole = math.ceil(seconds)
    limits: dict[str, object] = {}
    match driver:
        case "pymysql" | "mysqldb":
            if whole:
                limits = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), whole)
            return {"charset": "utf8mb4", **limits}
        case "psycopg" | "psycopg2":
            if whole:
                # The kernel ends connections to hosts that are gone. Nothing ends the wait for a
                # server that is stopped: statement_timeout is the server's, and not for pgbouncer.
                limits = {
                    "connect_timeout": whole,
                    "tcp_user_timeout": whole * 1000,
                    "keepalives_idle": whole,
                    "keepalives_interval": math.ceil(whole / PROBES),
                    "keepalives_count": PROBES,
                }
            # Statements that are prepared do not go together with pgbouncer either.
            once = {"prepare_threshold": None} if driver == "psycopg" else {}
            return {"client_encoding": "utf8", **once, **limits}
        case "pyodbc":
            return {"timeout": whole} if whole else {}
        case _:
            return {}


def note_error(context: ExceptionContext) -> None:
    """Do without the connections there are, unless the error is one of query or key.

    SQLAlchemy knows the errors of drivers that mean so, but not all of ODBC's, and what a driver
    raises that is told nonsense is none of them.
    """
    error = context.sqlalchemy_exception or context.original_exception
    context.is_disconnect = not is_of_the_query(error)


def is_of_the_query(error: BaseException) -> bool:
    """Whether another connection would not help."""
    return isinstance(error, OF_THE_QUERY) or is_not_a_key(error)


def is_not_a_key(error: BaseException) -> bool:
    """Whether the database says that it cannot have such a key: it has not got it, then."""
    cause = getattr(error, "orig", None) or error
    codes = (getattr(cause, "sqlstate", None), getattr(cause, "pgcode", None), *cause.args[:1])
    return any(each in NOT_A_KEY for each in codes if isinstance(each, str | int))


def reason(error: BaseException, secrets: Iterable[str]) -> str:
    """What went wrong, in one line and without secrets.

    Args:
        error: of SQLAlchemy, whose own text has the statement and the key in it, or of a driver.
        secrets: what is not to be seen.
    """
    cause = getattr(error, "orig", None) or error
    # Drivers of MySQL and ODBC say a number or a state, and a text.
    code_and_text = len(cause.args) == 2  # noqa: PLR2004
    text = str(cause.args[1] if code_and_text else cause) or type(cause).__name__
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return SECRET.sub(rf"\1{HIDDEN}", " ".join(text.split()))[:MOST_SHOWN]
