"""A MariaDB of the test's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymysql

from support.database_server import ADMIN_PASSWORD, PASSWORD, DatabaseServer
from support.processes import HOST, require

SMALL = (
    "--innodb-buffer-pool-size=8M",
    "--innodb-log-file-size=4M",
    "--innodb-flush-method=nosync",
    "--innodb-use-native-aio=0",
    # What is committed is there after a kill, though not after a power failure.
    "--innodb-flush-log-at-trx-commit=2",
    "--skip-name-resolve",
    "--skip-log-bin",
)


class MariaDb(DatabaseServer):
    """A server with the account `perdition`, which may read everything."""

    @property
    def directories(self) -> Sequence[str]:
        """The options that keep it to its own: servers remove temporary files of others."""
        return [f"--datadir={self.home / 'data'}", f"--tmpdir={self.home}"]

    @property
    def socket(self) -> Path:
        """Its socket."""
        return self.home / "socket"

    def prepare(self) -> None:
        require("mariadbd")
        self.run(
            require("mariadb-install-db"),
            "--no-defaults",
            *self.directories,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            *SMALL,
        )
        (self.home / "init").write_text(
            f"ALTER USER root@localhost IDENTIFIED BY '{ADMIN_PASSWORD}';\n"
            f"CREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY '{ADMIN_PASSWORD}';\n"
            "GRANT ALL PRIVILEGES ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;\n"
            f"CREATE OR REPLACE USER perdition@'%' IDENTIFIED BY '{PASSWORD}';\n"
            "GRANT SELECT ON *.* TO perdition@'%';\n"
        )

    def command(self) -> Sequence[str]:
        return [
            require("mariadbd"),
            "--no-defaults",
            *self.directories,
            f"--socket={self.socket}",
            f"--pid-file={self.home / 'pid'}",
            f"--init-file={self.home / 'init'}",
            f"--bind-address={HOST}",
            f"--port={self.port}",
            *SMALL,
        ]

    def connect(self, database: str = "", user: str = "", password: str = ADMIN_PASSWORD) -> Any:
        return pymysql.connect(
            host=HOST,
            port=self.port,
            user=user or "root",
            password=password,
            database=database or None,
            autocommit=True,
        )

    def connections(self) -> int:
        """How many the account has."""
        query = "SELECT count(*) FROM information_schema.processlist WHERE user = 'perdition'"
        return int(self.execute(query)[0][0])
