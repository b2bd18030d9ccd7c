"""A PostgreSQL of the test's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from support.database_server import ADMIN_PASSWORD, DatabaseServer
from support.processes import HOST, require


def program(name: str) -> str:
    """A program of the server, which Debian has in a directory by version."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else require(name)


class PostgreSql(DatabaseServer):
    """A server with the account `perdition`, which may read everything."""

    def prepare(self) -> None:
        secret = self.home / "secret"
        secret.write_text(ADMIN_PASSWORD)
        self.run(
            program("initdb"),
            f"--pgdata={self.home / 'data'}",
            "--no-sync",
            "--username=postgres",
            "--auth=scram-sha-256",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            "--locale=C",
        )

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": self.home,
            "fsync": "off",
            "max_connections": 40,
            "shared_buffers": "4MB",
        }
        words = [f"--{name}={value}" for name, value in settings.items()]
        return [program("postgres"), "-D", str(self.home / "data"), *words]

    def connect(self, database: str = "", user: str = "", password: str = ADMIN_PASSWORD) -> Any:
        return psycopg.connect(
            host=HOST,
            port=self.port,
            user=user or "postgres",
            password=password,
            dbname=database or "postgres",
            autocommit=True,
        )

    def connections(self) -> int:
        """How many the account has."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'perdition'"
        return int(self.execute(query)[0][0])
